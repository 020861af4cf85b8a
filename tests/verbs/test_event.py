"""Verbs about the audit log."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from regalia.errors import AdminError
from regalia.model import Action, Actor, ActorKind, EventDraft, Grant, Outcome, Reach, Role
from regalia.ra.export import verify_export
from regalia.verbs import Caller, LocalDoor, ask
from regalia.verbs import event as verbs
from regalia.verbs import event_checkpoint as checkpoints
from world import ADMIN, World

if TYPE_CHECKING:
    from collections.abc import Callable

    from regalia.model import JsonValue
    from regalia.verbs import Asked, Record, Verb

RULER = Caller(ADMIN, (Grant(Role.ADMIN),), fresh=True, local=True)


@pytest.fixture
def world() -> World:
    """Return a system."""
    return World()


@pytest.fixture
def door(world: World) -> LocalDoor:
    """Return somebody's door who may do everything."""
    return LocalDoor(world, RULER)


def refused(act: Callable[[], object]) -> str:
    """Do what is refused, and return the reason's id."""
    with pytest.raises(AdminError) as error:
        act()
    return error.value.reason.id


def some_events(world: World, count: int, details: dict[str, JsonValue] | None = None) -> None:
    """Record many events that name a source."""
    actor = Actor(ActorKind.ADMIN, "os:tester", "192.0.2.1")
    draft = EventDraft(world.clock.now(), actor, Action.SERVER_STARTED, "server", Outcome.OK, details=details or {})
    world.store.record([draft] * count)


def test_events_come_newest_first_and_a_page_at_a_time(world: World, door: LocalDoor) -> None:
    """The newest event is the first; `next` goes on to older ones; filters hold on every page."""
    some_events(world, 3)
    asked = verbs.TailEvents(action=Action.SERVER_STARTED, limit=2)
    first = door.ask(verbs.TAIL, asked)
    second = door.ask(verbs.TAIL, asked.model_copy(update={"after": first.next}))
    numbers = [event.sequence for event in (*first.items, *second.items)]
    assert numbers == sorted(numbers, reverse=True)
    assert len(numbers) == 3
    assert second.next is None
    assert first.items[0].hash == world.last_event().hash


def test_who_is_bounded_to_a_group_sees_its_events_alone(world: World) -> None:
    """AUTHZ-4: an operator of one group sees no event of another one, nor of what belongs to none."""
    world.open_group("staff")
    bounded = Caller(ADMIN, (Grant(Role.OPERATOR, Reach(frozenset({"staff"}))),))
    found = ask(verbs.TAIL, world, bounded, verbs.TailEvents(limit=1_000))
    assert {event.group for event in found.items} == {"staff"}
    assert ask(verbs.TAIL, world, bounded, verbs.TailEvents(group="default")).items == ()
    assert len(ask(verbs.TAIL, world, RULER, verbs.TailEvents(limit=1_000)).items) == len(world.store.log)


def test_an_export_verifies_alone(world: World, door: LocalDoor) -> None:
    """What is exported verifies without the log, and begins with the record that somebody took it."""
    made = door.ask(verbs.EXPORT, verbs.ExportEvents())
    found = verify_export(line.encode() for line in made.text.splitlines(keepends=True))
    assert (found.records, found.findings) == (made.records, ())
    assert made.last_position == made.records
    assert world.store.log[made.records].draft.action is Action.LOG_EXPORTED


def test_a_long_log_is_exported_in_parts(world: World, door: LocalDoor) -> None:
    """ADM-084: too many records are refused before anything is recorded; with a limit the next part goes on."""
    some_events(world, verbs.MOST_EXPORTED)
    before = len(world.store.log)
    with pytest.raises(AdminError, match="10000 records") as error:
        door.ask(verbs.EXPORT, verbs.ExportEvents())
    assert (error.value.reason.id, len(world.store.log)) == ("ADM-084", before)
    first = door.ask(verbs.EXPORT, verbs.ExportEvents(limit=3))
    second = door.ask(verbs.EXPORT, verbs.ExportEvents(limit=2, after=first.last_position))
    positions = [json.loads(line)["position"] for line in second.text.splitlines()[1:-1]]
    assert (first.last_position, positions, second.last_position) == (3, [4, 5], 5)


def test_a_large_export_is_refused(world: World, door: LocalDoor) -> None:
    """ADM-084: few records that are long are too much as well."""
    some_events(world, 900, {f"a long detail {number}": "x" * 900 for number in range(22)})
    assert refused(lambda: door.ask(verbs.EXPORT, verbs.ExportEvents())) == "ADM-084"


def test_an_export_asks_for_times_that_are_some(door: LocalDoor) -> None:
    """A time that cannot be read is ADM-018, and names its field."""
    with pytest.raises(AdminError, match="since yesterday") as error:
        door.ask(verbs.EXPORT, verbs.ExportEvents(since="yesterday"))
    assert error.value.reason.id == "ADM-018"


def test_forgetting_removes_what_was_counted(world: World, door: LocalDoor) -> None:
    """PRIV-1: what would be forgotten is counted, planned and then removed, once."""
    some_events(world, 2)
    world.clock.advance(timedelta(days=2))
    asked = verbs.ForgetPersonal(older_than_days=1, destroy_keys=True)
    assert door.ask(verbs.FORGETTABLE, asked).events == 2
    assert door.plan(verbs.FORGET, asked).would == (
        "remove what names users and devices from 2 events older than 1 days",
        "destroy 0 keys of pseudonyms",
    )
    assert door.ask(verbs.FORGET, asked).events == 2
    assert door.ask(verbs.FORGETTABLE, asked).events == 0
    assert door.ask(verbs.FORGETTABLE, verbs.ForgetPersonal()).older_than_days == world.practice.personal_days


def test_a_checkpoint_is_made_and_verified(door: LocalDoor) -> None:
    """AUD-3: a checkpoint has its line and its key, and the log verifies against it."""
    assert refused(lambda: door.ask(checkpoints.KEY, checkpoints.ShowCheckpointKey())) == "ADM-004"
    made = door.ask(checkpoints.CHECKPOINT, checkpoints.MakeCheckpoint())
    key = door.ask(checkpoints.KEY, checkpoints.ShowCheckpointKey())
    line = json.loads(door.ask(checkpoints.LINE, checkpoints.ShowCheckpointLine(number=made.checkpoint)).line)
    assert line["checkpoint"] == 1
    found = door.ask(checkpoints.VERIFY, checkpoints.VerifyLog(public_key=key.public_key, from_checkpoint="last"))
    assert (found.intact, found.checkpoint, found.findings) == (True, 1, ())
    assert "next_key_sha256" not in made.model_dump(mode="json")
    assert "next_key_sha256" in door.ask(checkpoints.CHECKPOINT, checkpoints.MakeCheckpoint(new_key=True)).model_dump()
    assert refused(lambda: door.ask(checkpoints.LINE, checkpoints.ShowCheckpointLine(number=9))) == "ADM-004"
    assert refused(lambda: door.ask(checkpoints.VERIFY, checkpoints.VerifyLog(from_checkpoint="9"))) == "ADM-004"
    assert refused(lambda: door.ask(checkpoints.VERIFY, checkpoints.VerifyLog(public_key="no key"))) == "ADM-056"


def test_a_log_that_was_altered_is_found(world: World, door: LocalDoor) -> None:
    """AUD-2: a record that is gone is told with its stream and number."""
    door.ask(checkpoints.CHECKPOINT, checkpoints.MakeCheckpoint())
    del world.store.log[3]
    found = door.ask(checkpoints.VERIFY, checkpoints.VerifyLog())
    assert not found.intact
    assert found.findings[0].record == 4


@pytest.mark.parametrize(
    ("verb", "asked"),
    [
        (verbs.EXPORT, verbs.ExportEvents()),
        (verbs.FORGET, verbs.ForgetPersonal()),
        (checkpoints.VERIFY, checkpoints.VerifyLog()),
        (checkpoints.CHECKPOINT, checkpoints.MakeCheckpoint()),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_the_whole_log_is_for_who_sees_all_of_it(world: World, verb: Verb[Asked, Record], asked: Asked) -> None:
    """AUTHZ-1: whoever is bounded to a group takes, verifies and forgets nothing."""
    bounded = Caller(ADMIN, (Grant(Role.ADMIN, Reach(frozenset({"default"}))),))
    assert refused(lambda: ask(verb, world, bounded, asked)) == "ADM-070"
