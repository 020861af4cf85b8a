"""Contract of leases of jobs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import TYPE_CHECKING

from regalia.model import Action, Actor, ActorKind, EventDraft, Outcome
from regalia.ports import EventFilter, JobStatus
from store.samples import MINUTE, NOW

if TYPE_CHECKING:
    from regalia.ports import Store


def test_a_lease_has_one_holder(store: Store) -> None:
    """While a lease lasts only its holder gets it again; at its end anybody does."""
    assert store.lease("crl", "a", NOW, NOW + MINUTE)
    assert not store.lease("crl", "b", NOW, NOW + MINUTE)
    assert store.lease("recovery", "b", NOW, NOW + MINUTE)
    assert store.lease("crl", "a", NOW, NOW + 2 * MINUTE)
    assert not store.lease("crl", "b", NOW + 2 * MINUTE - timedelta(milliseconds=1), NOW + 3 * MINUTE)
    assert store.lease("crl", "b", NOW + 2 * MINUTE, NOW + 3 * MINUTE)
    assert not store.lease("crl", "a", NOW + 2 * MINUTE, NOW + 3 * MINUTE)


def test_a_clock_that_was_set_back_holds_no_lease(store: Store) -> None:
    """A lease that ends more than a minute later than the one that is asked for is free: its clock is gone (ISS-2)."""
    assert store.lease("crl", "a", NOW + 60 * MINUTE, NOW + 61 * MINUTE)
    assert not store.lease("crl", "b", NOW + 59 * MINUTE, NOW + 60 * MINUTE)
    assert store.lease("crl", "b", NOW, NOW + MINUTE)
    assert not store.lease("crl", "a", NOW, NOW + MINUTE)


def test_a_probe_holds_nobody_up(store: Store) -> None:
    """A probe writes and leaves no lease: it can be repeated at once, at any node, and no job is told of."""
    store.probe(NOW)
    store.probe(NOW)
    store.probe(NOW - MINUTE)
    assert store.job_status() == ()
    assert store.lease("crl", "a", NOW, NOW + MINUTE)


def test_of_many_who_ask_at_once_one_holds(store: Store) -> None:
    """A race for a free lease has one winner, for the first lease and for an ended one."""
    start = Barrier(8)

    def ask(turn: int) -> list[bool]:
        start.wait()
        first = store.lease("crl", f"holder {turn}", NOW, NOW + MINUTE)
        start.wait()
        return [first, store.lease("crl", f"later {turn}", NOW + MINUTE, NOW + 2 * MINUTE)]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(8)))
    assert [sum(answer[0] for answer in answers), sum(answer[1] for answer in answers)] == [1, 1]


def test_a_finished_job_is_free(store: Store) -> None:
    """Finishing gives the lease back and notes when and how the job ended."""
    assert store.job_status() == ()
    store.lease("crl", "a", NOW, NOW + MINUTE)
    assert store.job_status() == ()
    store.finished("crl", "a", NOW, "disk full")
    assert store.job_status() == (JobStatus("crl", NOW, "disk full", last_began=NOW),)
    assert store.lease("crl", "b", NOW, NOW + MINUTE)
    store.finished("crl", "b", NOW + MINUTE, "")
    store.lease("audit", "b", NOW, NOW + MINUTE)
    store.finished("audit", "b", NOW, "")
    assert store.job_status() == (
        JobStatus("audit", NOW, "", NOW, NOW),
        JobStatus("crl", NOW + MINUTE, "", NOW, NOW + MINUTE),
    )


def test_who_lost_the_lease_frees_nothing(store: Store) -> None:
    """A holder who comes late does not end the lease of the one who took over."""
    store.lease("crl", "a", NOW, NOW + MINUTE)
    assert store.lease("crl", "b", NOW + MINUTE, NOW + 2 * MINUTE)
    store.finished("crl", "a", NOW + MINUTE, "")
    assert not store.lease("crl", "c", NOW + MINUTE, NOW + 2 * MINUTE)


def test_what_a_job_did_is_on_record(store: Store) -> None:
    """When a job began, ended and last succeeded, how often it is due and who has it is there to be read."""
    store.lease("crl", "a", NOW, NOW + MINUTE)
    # Its lease is extended while it runs.
    store.lease("crl", "a", NOW + MINUTE, NOW + 2 * MINUTE)
    store.finished("crl", "a", NOW + MINUTE, "", every=5 * MINUTE)
    store.lease("crl", "b", NOW + 6 * MINUTE, NOW + 7 * MINUTE)
    expected = JobStatus("crl", NOW + MINUTE, "", NOW, NOW + MINUTE, 5 * MINUTE, "b", NOW + 7 * MINUTE)
    assert store.job_status() == (expected,)
    store.finished("crl", "b", NOW + 7 * MINUTE, "disk full")
    failed = JobStatus("crl", NOW + 7 * MINUTE, "disk full", NOW + 6 * MINUTE, NOW + MINUTE, 5 * MINUTE)
    assert store.job_status() == (failed,)


def test_a_job_can_be_wanted(store: Store) -> None:
    """A request stays until the run that answers it ends; one that came meanwhile is not answered by it."""
    asked = EventDraft(NOW, Actor(ActorKind.ADMIN, "os:root"), Action.JOB_WANTED, "job:crl", Outcome.OK)
    assert not store.want_job("crl", NOW, (asked,))
    store.lease("crl", "a", NOW, NOW + MINUTE)
    store.finished("crl", "a", NOW, "")
    assert store.want_job("crl", NOW, (asked,))
    assert [event.draft for event in store.events(EventFilter(action=Action.JOB_WANTED))] == [asked]
    assert store.job_status()[0].wanted_at == NOW
    store.finished("crl", "a", NOW + MINUTE, "")
    assert store.job_status()[0].wanted_at == NOW
    assert store.want_job("crl", NOW + MINUTE, ())
    store.finished("crl", "a", NOW + MINUTE, "", wanted=NOW)
    assert store.job_status()[0].wanted_at == NOW + MINUTE
    store.finished("crl", "a", NOW + MINUTE, "", wanted=NOW + MINUTE)
    assert store.job_status()[0].wanted_at is None
