"""Verbs about keys."""

from __future__ import annotations

import pytest

from regalia.errors import AdminError
from regalia.model import EVERYWHERE, Action, Grant, Reach, Role
from regalia.verbs import Caller, LocalDoor, ask
from regalia.verbs import key as verbs
from world import ADMIN, World

RULER = Caller(ADMIN, (Grant(Role.ADMIN, EVERYWHERE),), fresh=True, local=True)


@pytest.fixture
def world() -> World:
    """Return a system."""
    return World()


@pytest.fixture
def door(world: World) -> LocalDoor:
    """Return somebody's door who may do everything."""
    return LocalDoor(world, RULER)


def the_key(door: LocalDoor, scope: str) -> verbs.KeyShown:
    """Find the key of a scope."""
    (found,) = door.ask(verbs.LIST, verbs.ListKeys(scope=scope)).items
    return found


def test_lists_what_each_key_is_for(door: LocalDoor) -> None:
    """A key is listed with what uses it and what stops without it."""
    key = the_key(door, "ca:root")
    assert (key.used_by, key.needed_by, key.place) == (("authority root",), ("authority root",), "software")


def test_finds_a_key_by_the_beginning_of_its_id(door: LocalDoor) -> None:
    """A key is shown by its whole id; one that is not there is ADM-004."""
    key = the_key(door, "ca:root")
    assert door.ask(verbs.SHOW, verbs.ShowKey(key_id=str(key.id))) == key
    with pytest.raises(AdminError, match="key 0000") as refused:
        door.ask(verbs.SHOW, verbs.ShowKey(key_id="0000"))
    assert refused.value.reason.id == "ADM-004"


def test_destroys_nothing_that_is_needed(door: LocalDoor) -> None:
    """Plan and deed refuse a key that something needs with CA-024, unless it is said that it may."""
    asked = verbs.DestroyKey(key_id=str(the_key(door, "ca:root").id))
    for face in (door.plan, door.ask):
        with pytest.raises(AdminError) as refused:
            face(verbs.DESTROY, asked)
        assert refused.value.reason.id == "CA-024"
    although = asked.model_copy(update={"although_needed": True})
    assert door.plan(verbs.DESTROY, although).would[1:] == ("stop authority root",)


def test_destroys_a_key_once(world: World, door: LocalDoor) -> None:
    """A destroyed key keeps its record, and destroying it again changes and plans nothing."""
    asked = verbs.DestroyKey(key_id=str(the_key(door, "ca:root").id), although_needed=True, why="drill")
    ended = door.ask(verbs.DESTROY, asked)
    assert (ended.place, ended.destroyed_by, ended.needed_by) == ("destroyed", "admin os:tester", ())
    assert door.ask(verbs.DESTROY, asked) == ended
    assert door.plan(verbs.DESTROY, asked).would == ()
    told = [event for event in world.store.log if event.draft.action is Action.KEY_DESTROYED]
    assert [event.draft.details["why"] for event in told] == ["drill"]
    assert door.ask(verbs.LIST, verbs.ListKeys(here=True, scope="ca:root")).items == ()


def test_is_for_who_rules_everywhere(world: World) -> None:
    """AUTHZ-1: an administrator of one group, or an operator of all, is refused with ADM-070."""
    for grant in (Grant(Role.ADMIN, Reach(frozenset({"default"}))), Grant(Role.OPERATOR)):
        with pytest.raises(AdminError) as refused:
            ask(verbs.LIST, world, Caller(ADMIN, (grant,)), verbs.ListKeys())
        assert refused.value.reason.id == "ADM-070"
