"""A group's rules for what follows: shown cause by cause, set whole, and checked against what connectors read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from connectors.microsoft_parts import Cloud
from regalia.errors import AdminError
from regalia.model import Action, Grant, Reach, Role
from regalia.model.fleet import Cause
from regalia.ra.roles import EVERYTHING
from regalia.verbs import Caller, LocalDoor
from regalia.verbs import connector as connectors
from regalia.verbs import group_follow as verbs
from verbs.test_connector import created, open_endpoint
from world import ADMIN, World

if TYPE_CHECKING:
    from collections.abc import Callable

RULES = json.dumps(
    {"rules": {"lost": {"consequence": "revoke", "reason": "key-compromise", "after": "4h"}}, "compliance-grace": "3d"}
)
GROUP = "ffffffff-0000-0000-0000-000000000001"


@pytest.fixture
def world() -> World:
    """Return a system that has the cloud outside."""
    made = World()
    made.outgoing = Cloud()
    return made


@pytest.fixture
def door(world: World) -> LocalDoor:
    """Return the door of somebody who may do everything."""
    return LocalDoor(world, Caller(ADMIN, EVERYTHING, fresh=True))


def setting(document: str) -> verbs.SetFollowRules:
    """Set the rules of the first group."""
    return verbs.SetFollowRules(name="default", document=document)


def reason(act: Callable[[], object]) -> tuple[str, str]:
    """Do what is refused; return the reason's id and the detail."""
    with pytest.raises(AdminError) as refused:
        act()
    return refused.value.reason.id, refused.value.detail


def test_the_defaults_hold_where_nothing_was_said(door: LocalDoor) -> None:
    """Every cause is shown with what follows from it, and that it is not the group's own."""
    shown = door.ask(verbs.SHOW, verbs.ShowFollowRules(name="default"))
    assert (shown.document, [each.cause for each in shown.rules], {each.own for each in shown.rules}) == (
        "",
        list(Cause),
        {False},
    )
    disabled = next(each for each in shown.rules if each.cause is Cause.DISABLED)
    assert (disabled.consequence, disabled.revoke_after, disabled.reason) == ("hold", "30d", "cessation-of-operation")


def test_rules_are_set_whole_and_taken_back(world: World, door: LocalDoor) -> None:
    """What is set is what holds and is on record; an empty document brings the defaults back."""
    asked = setting(RULES)
    assert door.plan(verbs.SET, asked).would == (
        "let revoke after 4h follow from lost in group default, and no longer hold",
        "take compliance grace to be 3d",
    )
    shown = door.ask(verbs.SET, asked)
    lost = next(each for each in shown.rules if each.cause is Cause.LOST)
    assert (lost.consequence, lost.reason, lost.after, lost.own) == ("revoke", "key-compromise", "4h", True)
    event = world.last_event().draft
    assert (event.action, event.group) == (Action.GROUP_FOLLOW_SET, "default")
    assert json.loads(str(event.details["document"]))["rules"]["lost"]["consequence"] == "revoke"
    assert door.ask(verbs.SHOW, verbs.ShowFollowRules(name="default")) == shown
    assert door.ask(verbs.SET, setting("")).document == ""
    assert door.plan(verbs.SET, setting("{}")).would == ("leave the rules of group default as they are",)


def test_a_wrong_document_changes_nothing(world: World, door: LocalDoor) -> None:
    """ADM-083: everything that is wrong is told at once, and the rules stay."""
    told, detail = reason(lambda: door.ask(verbs.SET, setting('{"rules": {"lots": {}}, "x": 1}')))
    assert told == "ADM-083"
    assert "x" in detail
    group = world.store.group("default")
    assert group is not None
    assert group.follow == ""


def test_a_membership_that_nobody_reads_is_refused(world: World, door: LocalDoor) -> None:
    """CON-066: a rule over a group whose members no connector of this group reads would revoke everybody."""
    required = setting(json.dumps({"required-memberships": [GROUP]}))
    created(door)
    open_endpoint(door)
    assert reason(lambda: door.ask(verbs.SET, required)) == ("CON-066", GROUP)
    assert reason(lambda: door.plan(verbs.SET, required))[0] == "CON-066"
    door.ask(connectors.CHANGE, connectors.ChangeConnector(name="intune", settings={"groups": GROUP}))
    assert door.ask(verbs.SET, required).required_memberships == (GROUP,)
    assert world.store.group("default") is not None


def test_rules_are_those_of_ones_own_groups(world: World) -> None:
    """AUTHZ-4, ADM-070: an administrator of one group sets its rules and sees no other's; an operator only looks."""
    world.open_group("other")
    bound = Reach(frozenset({"other"}))
    admin, operator = (
        LocalDoor(world, Caller(ADMIN, (Grant(role, bound),), fresh=True)) for role in (Role.ADMIN, Role.OPERATOR)
    )
    assert reason(lambda: admin.ask(verbs.SHOW, verbs.ShowFollowRules(name="default"))) == ("ADM-004", "group default")
    assert reason(lambda: admin.ask(verbs.SET, setting(RULES))) == ("ADM-004", "group default")
    mine = verbs.SetFollowRules(name="other", document=RULES)
    assert reason(lambda: operator.ask(verbs.SET, mine))[0] == "ADM-070"
    assert operator.ask(verbs.SHOW, verbs.ShowFollowRules(name="other")).document == ""
    assert admin.ask(verbs.SET, mine).document != ""
