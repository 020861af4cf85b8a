"""Verbs about groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from regalia.errors import AdminError
from regalia.model import Grant, Reach, Role
from regalia.ra.roles import EVERYTHING
from regalia.verbs import Caller, LocalDoor
from regalia.verbs import group as verbs
from regalia.verbs import group_replacement as replacement
from world import ADMIN, Device, World, names

if TYPE_CHECKING:
    from pathlib import Path

    from regalia.verbs import Asked, Verb


@pytest.fixture
def world() -> World:
    """Return a system with a second group."""
    made = World()
    made.open_group("other")
    return made


@pytest.fixture
def door(world: World) -> LocalDoor:
    """Return the door of somebody on the machine itself."""
    return LocalDoor(world, Caller(ADMIN, EVERYTHING, fresh=True, local=True))


def bounded(world: World, role: Role = Role.ADMIN) -> LocalDoor:
    """Return the door of somebody who sees the second group only."""
    return LocalDoor(world, Caller(ADMIN, (Grant(role, Reach(frozenset({"other"}))),), fresh=True))


def test_a_new_group_can_issue_and_has_a_crl(world: World, door: LocalDoor) -> None:
    """A group comes with an authority of its own, whose CRL is published at once."""
    made = door.ask(verbs.CREATE, verbs.CreateGroup(name="staff"))
    assert made.authority == "staff-ca-1"
    assert world.files.published("staff-ca-1") is not None
    shown = door.ask(verbs.SHOW, verbs.ShowGroup(name="staff"))
    assert shown.ra_not_after is not None
    assert shown.suspended_why is None


def test_lists_the_oldest_first(world: World, door: LocalDoor) -> None:
    """All groups are listed as they were made; a search finds by name and authority."""
    assert [each.name for each in door.ask(verbs.LIST, verbs.ListGroups()).items] == ["default", "other"]
    assert [each.name for each in door.ask(verbs.LIST, verbs.ListGroups(q="OTHER-CA")).items] == ["other"]
    assert [each.name for each in bounded(world).ask(verbs.LIST, verbs.ListGroups()).items] == ["other"]


def test_suspends_and_resumes_once(world: World, door: LocalDoor) -> None:
    """A suspended group issues nothing until it is resumed; neither can be done twice (ADM-039)."""
    challenge = world.mint("laptop-17")
    suspended = door.ask(verbs.SUSPEND, verbs.SuspendGroup(name="default", reason="drill"))
    assert (suspended.suspended_why, suspended.suspended_at) == ("drill", world.clock.now())
    with pytest.raises(AdminError, match="ADM-039"):
        door.ask(verbs.SUSPEND, verbs.SuspendGroup(name="default", reason="again"))
    assert door.ask(verbs.RESUME, verbs.ResumeGroup(name="default")).suspended_at is None
    with pytest.raises(AdminError, match="ADM-039"):
        door.ask(verbs.RESUME, verbs.ResumeGroup(name="default"))
    assert Device(world).enrol(names("laptop-17"), challenge).certificates


def test_one_of_another_group_is_as_one_that_is_not_there(world: World) -> None:
    """Whoever sees another group only cannot look at a foreign one, nor stop it (AUTHZ-4)."""
    for name in ("default", "nowhere"):
        questions: tuple[tuple[Verb[Any, Any], Asked], ...] = (
            (verbs.SHOW, verbs.ShowGroup(name=name)),
            (verbs.SUSPEND, verbs.SuspendGroup(name=name, reason="mine")),
            (verbs.RESUME, verbs.ResumeGroup(name=name)),
            (verbs.HOLDERS, verbs.ListHolders(name=name)),
        )
        for verb, asked in questions:
            with pytest.raises(AdminError) as refused:
                bounded(world).ask(verb, asked)
            assert (refused.value.reason.id, refused.value.detail) == ("ADM-004", f"group {name}")


def test_only_who_rules_everywhere_makes_a_group(world: World) -> None:
    """An administrator of some groups neither makes one nor replaces an authority, of their own group either."""
    questions: tuple[tuple[Verb[Any, Any], Asked], ...] = (
        (verbs.CREATE, verbs.CreateGroup(name="staff")),
        (replacement.REPLACE_AUTHORITY, replacement.ReplaceAuthority(name="other", compromised=True)),
    )
    for verb, asked in questions:
        with pytest.raises(AdminError) as refused:
            bounded(world).ask(verb, asked)
        assert refused.value.reason.id == "ADM-070"


def test_replaces_an_authority_and_says_who_comes_anew(world: World, door: LocalDoor) -> None:
    """The new authority issues, each step is told, and who had a certificate of the former one is a holder."""
    Device(world).enrol(names("laptop-17"), world.mint("laptop-17"))
    asked = replacement.ReplaceAuthority(name="default", compromised=True, note="drill")
    assert "cut off group default" in door.plan(replacement.REPLACE_AUTHORITY, asked).would
    ended = door.ask(replacement.REPLACE_AUTHORITY, asked)
    assert ended.replaced is not None
    assert (ended.replaced.replaces, ended.replaced.holders, ended.waits) == ("default-ca-1", 1, None)
    assert ended.done[0] == "suspended group default: nothing is issued in it"
    (holder,) = door.ask(verbs.HOLDERS, verbs.ListHolders(name="default")).items
    assert (holder.subject, holder.authority) == ("CN=laptop-17", "default-ca-1")


def test_a_replacement_without_the_roots_key_says_what_to_bring(world: World, door: LocalDoor, tmp_path: Path) -> None:
    """Where the root's key is elsewhere, the answer has the request to sign and what the root's CRL must list."""
    root = world.store.authority("root")
    assert root is not None
    world.keys.move_out(root.key_id, tmp_path)
    ended = door.ask(
        replacement.REPLACE_AUTHORITY, replacement.ReplaceAuthority(name="default", compromised=True, note="drill")
    )
    assert ended.replaced is None
    assert ended.waits is not None
    assert (ended.waits.root, ended.waits.revoke) == ("root", ("default-ca-1",))
    assert (ended.waits.csr or "").startswith("-----BEGIN CERTIFICATE REQUEST-----")


def test_nothing_is_replaced_by_mistake(world: World, door: LocalDoor) -> None:
    """Unless it is said that the key is in other hands, both plan and deed refuse (ADM-013), and nothing ends."""
    asked = replacement.ReplaceAuthority(name="default")
    for face in (door.plan, door.ask):
        with pytest.raises(AdminError) as refused:
            face(replacement.REPLACE_AUTHORITY, asked)
        assert refused.value.reason.id == "ADM-013"
    group = world.store.group("default")
    assert group is not None
    assert group.suspended_at is None
