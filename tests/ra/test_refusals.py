"""Folding: a flood of refusals from one source costs one record a minute."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from fakes import FakeClock
from memory_store import MemoryStore
from regalia import reasons
from regalia.errors import UnavailableError
from regalia.model import Action, Denied
from regalia.ra.refusals import Refusals, Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from regalia.model import EventDraft


def refusal(clock: FakeClock, source: str = "192.0.2.1") -> Refused:
    """Make a refusal that happens now."""
    return Refused(at=clock.now(), source=source, endpoint="default", denied=Denied(reasons.CHALLENGE_UNKNOWN))


def test_up_to_sixty_a_minute_are_one_event_each() -> None:
    """R13: nothing is folded while a source stays within its minute's sixty."""
    store, clock = MemoryStore(), FakeClock()
    refusals = Refusals(store)
    for _ in range(60):
        refusals.record(refusal(clock))
    assert [event.draft.action for event in store.log] == [Action.ENROLMENT_REFUSED] * 60


def test_beyond_sixty_they_fold_into_one_event_with_a_count_by_reason() -> None:
    """R13 and RES: forty more become one record when the minute is over, and nothing is lost from the count."""
    store, clock = MemoryStore(), FakeClock()
    refusals = Refusals(store)
    for _ in range(100):
        refusals.record(refusal(clock))
    refusals.flush(clock.now())
    assert len(store.log) == 60
    clock.advance(timedelta(minutes=1))
    refusals.flush(clock.now())
    folded = store.log[-1].draft
    assert folded.action is Action.REFUSALS_FOLDED
    assert folded.details["count"] == 40
    assert folded.details["reasons"] == {"RA-011": 40}


def test_the_next_minute_writes_what_the_last_one_folded_before_its_own() -> None:
    """A new minute begins with the count of the one before, whether or not the job came by."""
    store, clock = MemoryStore(), FakeClock()
    refusals = Refusals(store, per_minute=1)
    refusals.record(refusal(clock))
    refusals.record(refusal(clock))
    clock.advance(timedelta(seconds=61))
    refusals.record(refusal(clock))
    assert [event.draft.action for event in store.log] == [
        Action.ENROLMENT_REFUSED,
        Action.REFUSALS_FOLDED,
        Action.ENROLMENT_REFUSED,
    ]


def test_one_source_does_not_fold_another() -> None:
    """Each source has a minute of its own."""
    store, clock = MemoryStore(), FakeClock()
    refusals = Refusals(store, per_minute=1)
    for source in ("192.0.2.1", "192.0.2.1", "192.0.2.2"):
        refusals.record(refusal(clock, source))
    assert [event.draft.actor.source for event in store.log] == ["192.0.2.1", "192.0.2.2"]


def test_an_ipv6_network_is_one_source() -> None:
    """RES-6: whoever holds a /64 has one minute, not one for each of its addresses."""
    store, clock = MemoryStore(), FakeClock()
    refusals = Refusals(store, per_minute=1)
    for source in ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"):
        refusals.record(refusal(clock, source))
    assert [event.draft.actor.source for event in store.log] == ["2001:db8::1", "2001:db8:0:1::1"]


def test_a_clock_that_was_set_back_ends_the_minute() -> None:
    """R13: what was folded is written at once, and refusals after it are events again, not silent for a day."""
    store, clock = MemoryStore(), FakeClock()
    refusals = Refusals(store, per_minute=1)
    refusals.record(refusal(clock))
    refusals.record(refusal(clock))
    clock.advance(timedelta(days=-1))
    refusals.record(refusal(clock))
    assert [event.draft.action for event in store.log] == [
        Action.ENROLMENT_REFUSED,
        Action.REFUSALS_FOLDED,
        Action.ENROLMENT_REFUSED,
    ]
    refusals.record(refusal(clock))
    clock.advance(timedelta(days=-1))
    refusals.flush(clock.now())
    assert store.log[-1].draft.action is Action.REFUSALS_FOLDED


class FlushedMeanwhile(MemoryStore):
    """A store where the job comes by whenever a folded event is written."""

    refusals: Refusals
    clock: FakeClock

    def record(self, events: Sequence[EventDraft]) -> None:
        """Write, and flush as the job does in its own thread."""
        super().record(events)
        if events[0].action is Action.REFUSALS_FOLDED:
            self.refusals.flush(self.clock.now() + timedelta(minutes=1))


def test_the_job_may_come_by_in_the_middle_of_a_record() -> None:
    """IN-2: a minute that ends while a refusal is written is no error, and the refusal is written all the same."""
    store, clock = FlushedMeanwhile(), FakeClock()
    store.refusals, store.clock = Refusals(store, per_minute=1), clock
    store.refusals.record(refusal(clock))
    store.refusals.record(refusal(clock))
    clock.advance(timedelta(seconds=61))
    store.refusals.record(refusal(clock))
    assert [event.draft.action for event in store.log] == [
        Action.ENROLMENT_REFUSED,
        Action.REFUSALS_FOLDED,
        Action.ENROLMENT_REFUSED,
    ]


class AwayStore(MemoryStore):
    """A store that cannot be reached while `away` is set."""

    away = False

    def record(self, events: Sequence[EventDraft]) -> None:
        """Write, or be unreachable."""
        if self.away:
            raise UnavailableError(reasons.STORE_UNAVAILABLE, "away")
        super().record(events)


def test_what_cannot_be_written_is_counted_on() -> None:
    """AUD-1 and RES-7: an outage of the database loses no count; what several minutes folded becomes one record."""
    store, clock = AwayStore(), FakeClock()
    refusals = Refusals(store, per_minute=1)
    began = clock.now()
    for _ in range(3):
        for _ in range(3):
            refusals.record(refusal(clock))
        clock.advance(timedelta(minutes=1))
        store.away = True
        with pytest.raises(UnavailableError):
            refusals.flush(clock.now())
        store.away = False
    refusals.flush(clock.now())
    (folded,) = [event.draft for event in store.log if event.draft.action is Action.REFUSALS_FOLDED]
    assert folded.details["count"] == 6
    assert folded.details["since"] == began.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    refusals.flush(clock.now())
    assert store.log[-1].draft.action is Action.REFUSALS_FOLDED


def test_a_minute_that_could_not_be_written_by_the_next_refusal_is_kept() -> None:
    """AUD-1: the count of the minute before survives that the database is away just then."""
    store, clock = AwayStore(), FakeClock()
    refusals = Refusals(store, per_minute=1)
    for _ in range(5):
        refusals.record(refusal(clock))
    clock.advance(timedelta(minutes=2))
    store.away = True
    with pytest.raises(UnavailableError):
        refusals.record(refusal(clock))
    store.away = False
    refusals.flush(clock.now())
    assert store.log[-1].draft.details["count"] == 4


def test_kept_counts_are_bounded() -> None:
    """RES-5: an outage under a flood from many addresses costs no more memory than a minute of it."""
    store, clock = AwayStore(), FakeClock()
    refusals = Refusals(store, per_minute=0)
    for part in range(2):
        for number in range(10_000):
            refusals.record(refusal(clock, f"10.{part}.{number // 256}.{number % 256}"))
        clock.advance(timedelta(minutes=1))
        store.away = True
        with pytest.raises(UnavailableError):
            refusals.flush(clock.now())
        store.away = False
    refusals.flush(clock.now())
    folded = [event.draft for event in store.log]
    assert len(folded) == 10_001
    assert sum(int(str(draft.details["count"])) for draft in folded) == 20_000


def test_what_could_not_be_written_uses_nothing_up() -> None:
    """R13: after an outage each refusal is an event again; who was told to come again did not use up the minute."""
    store, clock = AwayStore(), FakeClock()
    refusals = Refusals(store, per_minute=2)
    store.away = True
    for _ in range(5):
        with pytest.raises(UnavailableError):
            refusals.record(refusal(clock))
    store.away = False
    for _ in range(3):
        refusals.record(refusal(clock))
    assert [event.draft.action for event in store.log] == [Action.ENROLMENT_REFUSED] * 2
