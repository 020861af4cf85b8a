"""Folding: a flood of refusals from one source costs one record a minute."""

from __future__ import annotations

from datetime import timedelta

from fakes import FakeClock
from memory_store import MemoryStore
from regalia import reasons
from regalia.model import Action, Denied
from regalia.ra.refusals import Refusals, Refused


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
