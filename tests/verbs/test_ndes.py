"""Verbs about the pages of endpoints for MDMs."""

from __future__ import annotations

import pytest

from regalia.errors import AdminError
from regalia.model import Grant, Reach, Role
from regalia.ra.roles import EVERYTHING
from regalia.verbs import Caller, LocalDoor
from regalia.verbs import ndes as verbs
from regalia.verbs.challenge import ChallengeDoubt
from world import ADMIN, World

PASSWORD = "a password of 30 characters ok"


@pytest.fixture
def world() -> World:
    """Return a system with a second group."""
    made = World()
    made.open_group("other")
    return made


@pytest.fixture
def door(world: World) -> LocalDoor:
    """Return the door of somebody who may do everything."""
    return LocalDoor(world, Caller(ADMIN, EVERYTHING))


def page(name: str = "default", *, certsrv: bool = False, digits: int | None = None) -> verbs.SetPage:
    """Ask for a page."""
    return verbs.SetPage(name=name, user="svc-ndes", password=PASSWORD, certsrv=certsrv, digits=digits)


def test_opens_a_page_and_keeps_its_password_to_itself(door: LocalDoor) -> None:
    """The answer has all of the page but its password, and says that its challenges name no device (R5.4)."""
    made = door.ask(verbs.SET, page())
    assert (made.page, made.digits, made.doubts) == ("/mscep_admin/default", 32, (ChallengeDoubt.NAMED_BY_SERVER,))
    assert PASSWORD not in made.model_dump_json()
    assert PASSWORD not in repr(page())


def test_leaves_what_is_not_given(door: LocalDoor) -> None:
    """A change of one value leaves the others."""
    door.ask(verbs.SET, page())
    changed = door.ask(verbs.SET, verbs.SetPage(name="default", rate=10, allow_binding=True))
    assert (changed.user, changed.rate, changed.doubts) == ("svc-ndes", 10, ())


def test_plan_refuses_what_the_deed_refuses(world: World, door: LocalDoor) -> None:
    """Short challenges need an acknowledgement, in the plan as well (ADM-013); a plan opens nothing."""
    for face in (door.plan, door.ask):
        with pytest.raises(AdminError) as refused:
            face(verbs.SET, page(digits=16))
        assert refused.value.reason.id == "ADM-013"
    assert door.plan(verbs.SET, page()).would == ("open the page /mscep_admin/default for svc-ndes",)
    assert world.store.ndes_page("default") is None


def test_does_not_tell_who_of_another_group_has_certsrv(world: World, door: LocalDoor) -> None:
    """Whoever sees another group only learns that /certsrv is taken, and not by whom (AUTHZ-4)."""
    door.ask(verbs.SET, page(certsrv=True))
    operator = LocalDoor(world, Caller(ADMIN, (Grant(Role.OPERATOR, Reach(frozenset({"other"}))),)))
    for face in (operator.plan, operator.ask):
        with pytest.raises(AdminError) as refused:
            face(verbs.SET, page("other", certsrv=True))
        assert refused.value.detail == "/certsrv leads to another endpoint"
        with pytest.raises(AdminError, match=r"^ADM-004.*endpoint default$"):
            face(verbs.SET, page())


def test_closes_a_page_once(door: LocalDoor) -> None:
    """A page that is not there cannot be closed, which the plan says as well."""
    asked = verbs.ClosePage(name="default")
    door.ask(verbs.SET, page())
    assert door.ask(verbs.CLOSE, asked).model_dump() == {"endpoint": "default", "page": None}
    for face in (door.plan, door.ask):
        with pytest.raises(AdminError, match="has no NDES page"):
            face(verbs.CLOSE, asked)
