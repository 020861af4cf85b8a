"""Personal data on real databases: under pseudonyms at once, and gone when its time is over (PRIV-1)."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from fakes import SeededEntropy
from regalia.keys.master import create_master_key
from regalia.keys.sealing import MasterSealer
from regalia.model import NO_NAMES, Action, Actor, ActorKind
from regalia.ports import EventFilter, Forgotten
from regalia.ra.audit import verify
from regalia.ra.personal import KEY_LIFE, PersonalDesk
from regalia.store import open_store
from store.databases import REFUSALS, query, run, tamper
from store.samples import (
    NOW,
    a_challenge,
    a_pending_enrolment,
    a_static_challenge,
    an_enrolment,
    an_event,
    an_id,
    an_intent,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fakes import FakeClock
    from regalia.model import Event, EventDraft
    from regalia.store import SqlStore

SEEDS = itertools.count(9)
KEPT = timedelta(days=400)
WHO = Actor(ActorKind.SYSTEM, "housekeeping")


@pytest.fixture
def sealer(tmp_path: Path) -> MasterSealer:
    """Return what seals under a master key."""
    return MasterSealer(create_master_key(tmp_path, SeededEntropy(7)), SeededEntropy(8))


@pytest.fixture
def named(url: str, clock: FakeClock, sealer: MasterSealer) -> Iterator[SqlStore]:
    """Open a store that writes pseudonyms, as the product's processes do."""
    store = open_store(url, node="node", clock=clock, sealer=sealer)
    a_desk(store, sealer, clock).provide_key(WHO)
    yield store
    store.close()


@pytest.fixture
def desk(named: SqlStore, sealer: MasterSealer, clock: FakeClock) -> PersonalDesk:
    """Return what forgets."""
    return a_desk(named, sealer, clock)


def a_desk(store: SqlStore, sealer: MasterSealer, clock: FakeClock) -> PersonalDesk:
    """Wire one."""
    return PersonalDesk(store, sealer, clock, SeededEntropy(next(SEEDS)))


def a_refusal(clock: FakeClock, address: str = "192.0.2.7") -> EventDraft:
    """Return an event that names an address and a device."""
    details = {"title": "no", "asked": ["cn:laptop-7"]}
    actor = Actor(ActorKind.DEVICE, address, address)
    return an_event(at=clock.now(), actor=actor, action=Action.ENROLMENT_REFUSED, details=details)


def text_of(url: str) -> str:
    """Return all that any column of the log holds."""
    return str(query(url, "SELECT * FROM event"))


def shown(store: SqlStore) -> EventDraft:
    """Return the newest refusal as `event tail` shows it."""
    return store.events(EventFilter(action=Action.ENROLMENT_REFUSED, limit=1))[0].draft


def test_events_are_shown_in_clear_and_recorded_under_pseudonyms(named: SqlStore, url: str, clock: FakeClock) -> None:
    """PRIV-1: who looks at the log sees names and addresses while they are kept; the hashed record never had them."""
    named.record((a_refusal(clock),))
    assert shown(named) == replace(a_refusal(clock), at=shown(named).at)
    ((record, personal),) = query(url, "SELECT record, personal FROM event WHERE personal IS NOT NULL")
    assert "192.0.2.7" not in str(record)
    assert json.loads(str(personal))["details.asked"] == ["cn:laptop-7"]
    assert verify(named).findings == ()


def test_a_records_events_are_found_by_its_id(named: SqlStore, clock: FakeClock) -> None:
    """What became of a device or a user is found by the id of its record, which names nobody."""
    for number, kind in enumerate(("device", "user", "device")):
        object_ = f"{kind}:{an_id(kind, number)}"
        named.record(
            (an_event(at=clock.now(), action=Action.DEVICE_CHANGED, object=object_, details={"state": "lost"}),)
        )
        (found,) = named.event_page(EventFilter(object=object_)).items
        assert (found.draft.object, found.draft.details) == (object_, {"state": "lost"})
    assert verify(named).findings == ()


def test_forgetting_leaves_a_log_that_verifies(named: SqlStore, desk: PersonalDesk, url: str, clock: FakeClock) -> None:
    """PRIV-1: after 400 days addresses and names are gone, the chain of hashes holds, and the change is recorded."""
    named.record((a_refusal(clock), a_refusal(clock, "192.0.2.8")))
    clock.advance(KEPT - timedelta(seconds=1))
    assert desk.count(clock.now() - KEPT) == Forgotten()
    assert not desk.forget(clock.now() - KEPT, WHO).any
    named.record((a_refusal(clock, "192.0.2.9"),))
    clock.advance(timedelta(seconds=2))
    assert desk.count(clock.now() - KEPT) == Forgotten(events=2)
    assert desk.forget(clock.now() - KEPT, WHO) == Forgotten(events=2)
    text = text_of(url)
    assert "192.0.2.7" not in text
    assert "192.0.2.8" not in text
    assert "192.0.2.9" in text
    assert shown(named).actor.id == "192.0.2.9"
    (told,) = named.events(EventFilter(action=Action.PERSONAL_FORGOTTEN))
    assert told.draft.details["events"] == 2
    assert verify(named).findings == ()
    assert not desk.forget(clock.now() - KEPT, WHO).any


def test_what_was_forgotten_shows_as_pseudonyms(named: SqlStore, desk: PersonalDesk, clock: FakeClock) -> None:
    """Afterwards the same sender still has the same pseudonym in all events of one key, and another one another."""
    named.record((a_refusal(clock), a_refusal(clock), a_refusal(clock, "192.0.2.8")))
    clock.advance(KEPT + timedelta(days=1))
    desk.forget(clock.now() - KEPT, WHO)
    names = Counter(event.draft.actor.id for event in named.events(EventFilter(action=Action.ENROLMENT_REFUSED)))
    assert sorted(names.values()) == [1, 2]
    assert all(name.startswith("~") for name in names)


def test_what_lies_beside_a_record_cannot_be_changed_unseen(named: SqlStore, url: str, clock: FakeClock) -> None:
    """AUD-2: who changes a name beside a record is found, as long as the key is there."""
    named.record((a_refusal(clock),))
    tamper(url, "UPDATE event SET personal = replace(personal, '192.0.2.7', '192.0.2.66')")
    assert [one.what.partition(":")[0] for one in verify(named).findings] == ["changed"]


def test_a_clear_record_takes_nothing_beside_it(sql: SqlStore, url: str) -> None:
    """AUD-2: what is written beside a record that has no pseudonyms is found."""
    sql.record((an_event(),))
    tamper(url, """UPDATE event SET personal = '{"actor.id":"somebody"}'""")
    assert [one.what.partition(":")[0] for one in verify(sql).findings] == ["changed"]


REFUSED = {
    "another text": "UPDATE event SET personal = 'x' WHERE personal IS NOT NULL",
    "with another field": "UPDATE event SET personal = NULL, outcome = 'failed' WHERE personal IS NOT NULL",
    "another record": "UPDATE event SET record = 'x'",
    "another position": "UPDATE event SET position = position + 100",
    "remove a key": "DELETE FROM pseudonym_key",
    "another key": "UPDATE pseudonym_key SET number = 7",
}


@pytest.mark.parametrize("name", REFUSED)
def test_the_database_lets_nothing_else_go(named: SqlStore, url: str, clock: FakeClock, name: str) -> None:
    """AUD-2: of an event the database lets personal data be removed, and refuses every other change."""
    named.record((a_refusal(clock),))
    with pytest.raises(REFUSALS):
        run(url, REFUSED[name])
    run(url, "UPDATE event SET personal = NULL")
    assert verify(named).findings == ()


def test_keys_follow_one_another_and_are_destroyed(
    named: SqlStore, desk: PersonalDesk, url: str, clock: FakeClock, sealer: MasterSealer
) -> None:
    """PRIV-1: each key makes pseudonyms for 90 days; destroyed, what it made can be tried against guesses no more."""
    named.record((a_refusal(clock),))
    assert not desk.provide_key(WHO)
    clock.advance(KEY_LIFE)
    assert desk.provide_key(WHO)
    named.record((a_refusal(clock),))
    first, second = (
        event.draft.actor.id for event in _forgotten(named, desk, clock) if event.draft.actor.kind is ActorKind.DEVICE
    )
    assert first != second
    assert desk.keys_to_destroy(clock.now()) == (1,)
    assert desk.destroy_keys(clock.now(), WHO) == (1,)
    assert desk.destroy_keys(clock.now(), WHO) == ()
    assert [key.destroyed_at is not None for key in named.pseudonym_keys()] == [True, False]
    assert query(url, "SELECT sealed FROM pseudonym_key WHERE number = 1") == [(None,)]
    with pytest.raises(REFUSALS):
        run(url, "UPDATE pseudonym_key SET sealed = (SELECT hash FROM event LIMIT 1) WHERE number = 1")
    again = open_store(url, node="node", clock=clock, sealer=sealer)
    assert verify(again).findings == ()
    again.close()


def _forgotten(store: SqlStore, desk: PersonalDesk, clock: FakeClock) -> tuple[Event, ...]:
    clock.advance(KEPT)
    desk.forget(clock.now(), WHO)
    return store.events(EventFilter(action=Action.ENROLMENT_REFUSED))


def test_a_process_takes_over_the_next_key(
    named: SqlStore, desk: PersonalDesk, url: str, clock: FakeClock, sealer: MasterSealer
) -> None:
    """Who has an old key open goes over to the one that another process made, and needs no restart."""
    other = open_store(url, node="other", clock=clock, sealer=sealer)
    other.record((a_refusal(clock),))
    clock.advance(KEY_LIFE)
    desk.provide_key(WHO)
    other.record((a_refusal(clock),))
    other.close()
    records = query(url, "SELECT record FROM event WHERE personal <> '' ORDER BY position")
    assert [json.loads(str(record))["pseudonyms"] for (record,) in records] == [1, 2]
    assert verify(named).findings == ()


def test_other_places_forget_as_well(named: SqlStore, desk: PersonalDesk) -> None:
    """PRIV-1: senders, requests and names go from enrolments and challenges; what is still in use stays."""
    enrolment, waiting = an_enrolment(1), a_pending_enrolment(2)
    named.add_challenge(a_challenge(1), ())
    named.add_challenge(a_static_challenge(2), ())
    named.begin(an_intent(1, enrolment), (), enrolment=enrolment, consume=a_challenge(1).id)
    named.finish(an_intent(1).id, b"der", NOW, ())
    named.hold(waiting, ())
    while_valid = desk.forget(NOW + timedelta(days=1), WHO)
    assert (while_valid.sources, while_valid.enrolments) == (2, 0)
    held = named.enrolment(enrolment.id)
    assert held is not None
    assert (held.source, held.asked) == ("", enrolment.asked)
    later = desk.forget(an_intent(1).not_after + timedelta(days=1), WHO)
    assert later.enrolments == 1
    gone = named.enrolment(enrolment.id)
    assert gone is not None
    assert (gone.csr, gone.asked, gone.allowed, gone.detail, gone.stages) == (b"", NO_NAMES, NO_NAMES, "", ())
    pending = named.enrolment(waiting.id)
    assert pending is not None
    assert pending.asked == waiting.asked
    used, static = (named.challenge_by_id(each.id) for each in (a_challenge(1), a_static_challenge(2)))
    assert used is not None
    assert static is not None
    assert (used.binding, used.device, used.consumed_source, used.created_by) == (NO_NAMES, None, "", "")
    assert used.consumed_by is not None


def test_a_long_log_is_forgotten_in_pages(named: SqlStore, desk: PersonalDesk, clock: FakeClock, url: str) -> None:
    """More rows than one transaction takes: each page is a change with its event, and the next run begins behind."""
    for _ in range(9):
        named.record([a_refusal(clock, f"192.0.2.{number}") for number in range(250)])
    clock.advance(KEPT)
    assert desk.forget(clock.now(), WHO).events == 2250
    told = named.events(EventFilter(action=Action.PERSONAL_FORGOTTEN))
    assert [event.draft.details["events"] for event in told] == [1999, 251]
    ((done,),) = query(url, "SELECT done FROM retention WHERE name = 'event'")
    assert isinstance(done, bytes)
    assert int.from_bytes(done, "big") >= 2251
    assert not desk.forget(clock.now(), WHO).any
