"""The loop: leases, intervals, failures."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import structlog

from fakes import FakeClock
from memory_store import MemoryStore
from regalia import reasons
from regalia.errors import UnavailableError
from regalia.jobs.loop import JobLoop, Outcome, Scope

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from regalia.ports import JobStatus

MINUTE = timedelta(minutes=1)


@dataclass
class Work:
    """A job that notes when it ran and does what it is told."""

    name: str = "work"
    every: timedelta = MINUTE
    scope: Scope = Scope.CLUSTER
    does: Callable[[], object] = lambda: None
    ran: list[datetime] = field(default_factory=list)

    def run(self, now: datetime) -> None:
        """Run."""
        self.ran.append(now)
        self.does()


@pytest.fixture
def store() -> MemoryStore:
    """Leases."""
    return MemoryStore()


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still."""
    return FakeClock()


def loop(store: MemoryStore, clock: FakeClock, holder: str = "a", *jobs: Work, node: str = "node") -> JobLoop:
    """Make the loop of one process."""
    return JobLoop(jobs, leases=store, clock=clock, node=node, holder=holder)


def raising(error: Exception) -> Callable[[], object]:
    """Make something that fails."""

    def fail() -> None:
        raise error

    return fail


def test_a_run_is_noted(store: MemoryStore, clock: FakeClock) -> None:
    """A job runs with the time of the clock, and its success is on record."""
    work = Work()
    assert loop(store, clock).run_once(work) is Outcome.OK
    assert work.ran == [clock.now()]
    (status,) = store.job_status()
    assert (status.name, status.last_run, status.last_error) == ("work", clock.now(), "")


def test_another_holder_keeps_a_job_from_running(store: MemoryStore, clock: FakeClock) -> None:
    """While another process has the lease, this one does not run the job; when the lease is over, it does."""
    work = Work()
    assert store.lease("work", "b", clock.now(), clock.now() + MINUTE)
    assert loop(store, clock).run_once(work) is Outcome.ELSEWHERE
    assert work.ran == []
    clock.advance(MINUTE)
    assert loop(store, clock).run_once(work) is Outcome.OK


def test_a_job_runs_once_per_interval_in_a_cluster(store: MemoryStore, clock: FakeClock) -> None:
    """Two processes that start together do not both run a job; the second comes back later."""
    work = Work()
    assert loop(store, clock, "a").run_once(work) is Outcome.OK
    assert loop(store, clock, "b").run_once(work) is Outcome.ELSEWHERE
    clock.advance(MINUTE)
    assert loop(store, clock, "b").run_once(work) is Outcome.OK
    assert len(work.ran) == 2


def test_a_failure_elsewhere_is_tried_here(store: MemoryStore, clock: FakeClock) -> None:
    """What one process could not do, its key being elsewhere, another may do at once."""
    broken = Work(does=raising(UnavailableError(reasons.ISSUER_UNAVAILABLE)))
    assert loop(store, clock, "a").run_once(broken) is Outcome.FAILED
    assert loop(store, clock, "b").run_once(Work()) is Outcome.OK


def test_a_node_job_runs_once_in_each_home(store: MemoryStore, clock: FakeClock) -> None:
    """What tends to a home's files runs in one process of that home, and on the other nodes all the same."""
    work = Work(scope=Scope.NODE)
    assert loop(store, clock, "a", node="one").run_once(work) is Outcome.OK
    assert loop(store, clock, "b", node="one").run_once(work) is Outcome.ELSEWHERE
    assert loop(store, clock, "c", node="two").run_once(work) is Outcome.OK
    assert [status.name for status in store.job_status()] == ["work@one", "work@two"]


def test_a_killed_process_holds_a_job_up_for_15_seconds(store: MemoryStore, clock: FakeClock) -> None:
    """REV-3: whoever dies in a job leaves it to the others in time for a CRL within the minute."""
    other = Work()

    def killed() -> None:
        assert loop(store, clock, "b").run_once(other) is Outcome.ELSEWHERE
        clock.advance(timedelta(seconds=15))
        assert loop(store, clock, "b").run_once(other) is Outcome.OK

    loop(store, clock, "a").run_once(Work(does=killed))
    assert len(other.ran) == 1


def test_the_lease_of_a_long_job_is_extended(store: MemoryStore, clock: FakeClock) -> None:
    """A job that takes longer than its lease is not begun elsewhere while it runs."""
    mine = loop(store, clock, "a")

    def long() -> None:
        for _ in range(6):
            clock.advance(timedelta(seconds=5))
            mine.extend_leases()
            assert loop(store, clock, "b").run_once(Work()) is Outcome.ELSEWHERE

    work = Work(does=long)
    assert mine.run_once(work) is Outcome.OK
    mine.extend_leases()
    assert store.lease("work", "b", clock.now(), clock.now() + MINUTE)


def test_a_process_job_needs_no_lease(store: MemoryStore, clock: FakeClock) -> None:
    """What tends to a process's own memory runs in each, and leaves no record in the database."""
    work = Work(scope=Scope.PROCESS)
    assert loop(store, clock, "a").run_once(work) is Outcome.OK
    assert loop(store, clock, "b").run_once(work) is Outcome.OK
    assert store.job_status() == ()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (UnavailableError(reasons.STORE_UNAVAILABLE, "gone"), "CA-011 the database does not answer: gone"),
        (ZeroDivisionError("by zero"), "ZeroDivisionError: by zero"),
        (
            ExceptionGroup("two", [UnavailableError(reasons.BUSY), ValueError("odd")]),
            "CA-012 all workers are busy; ValueError: odd",
        ),
    ],
)
def test_a_failure_is_noted_and_gives_the_lease_back(
    store: MemoryStore, clock: FakeClock, error: Exception, told: str
) -> None:
    """Whatever a job raises is the record of its last run, and the next run may follow."""
    assert loop(store, clock).run_once(Work(does=raising(error))) is Outcome.FAILED
    (status,) = store.job_status()
    assert status.last_error == told
    assert store.lease("work", "b", clock.now(), clock.now() + MINUTE)


def test_what_stays_wrong_is_logged_once(store: MemoryStore, clock: FakeClock) -> None:
    """A failure is logged when it begins and when it ends, not at each run."""
    work = Work(scope=Scope.PROCESS, does=raising(ValueError("odd")))
    made = loop(store, clock)
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            made.run_once(work)
        work.does = lambda: None
        made.run_once(work)
        made.run_once(work)
    assert [entry["event"] for entry in logs] == ["job-failed", "job-recovered"]


def test_leases_that_cannot_be_had_fail_the_run_only(clock: FakeClock) -> None:
    """With the database down, nothing runs and nothing ends."""

    class Down(MemoryStore):
        def lease(self, job: str, holder: str, now: datetime, until: datetime) -> bool:
            raise UnavailableError(reasons.STORE_UNAVAILABLE, f"{job} {holder} {now} {until}")

        def finished(
            self,
            job: str,
            holder: str,
            at: datetime,
            error: str,
            *,
            every: timedelta | None = None,
            wanted: datetime | None = None,
        ) -> None:
            raise UnavailableError(reasons.STORE_UNAVAILABLE, f"{job} {holder} {at} {error} {every} {wanted}")

        def job_status(self) -> tuple[JobStatus, ...]:
            raise UnavailableError(reasons.STORE_UNAVAILABLE)

    work = Work()
    assert loop(Down(), clock).run_once(work) is Outcome.FAILED
    loop(Down(), clock, "a", work).run_wanted()
    assert work.ran == []


def test_every_outcome_is_observed(store: MemoryStore, clock: FakeClock) -> None:
    """Who counts hears of each run, by name and success."""
    heard: list[tuple[str, bool]] = []
    made = JobLoop(
        (), leases=store, clock=clock, node="node", holder="a", observe=lambda name, ok: heard.append((name, ok))
    )
    made.run_once(Work(name="one", scope=Scope.PROCESS))
    made.run_once(Work(name="two", scope=Scope.PROCESS, does=raising(ValueError())))
    assert heard == [("one", True), ("two", False)]


def test_jobs_run_at_once_and_again_until_the_loop_is_stopped(store: MemoryStore, clock: FakeClock) -> None:
    """Each job runs at the start and at its interval; a slow or failing one holds up no other; the end is soon."""
    slow_done = threading.Event()
    often = Work(name="often", every=timedelta(milliseconds=1), scope=Scope.PROCESS)
    slow = Work(name="slow", scope=Scope.PROCESS, does=lambda: slow_done.wait(20))
    broken = Work(name="broken", every=timedelta(milliseconds=1), scope=Scope.PROCESS, does=raising(ValueError("odd")))

    async def story() -> None:
        stop = asyncio.Event()
        running = asyncio.create_task(loop(store, clock, "a", often, slow, broken).run(stop))
        while len(often.ran) < 5 or len(broken.ran) < 5:  # noqa: ASYNC110 - threads set no event of the loop
            await asyncio.sleep(0.001)
        assert len(slow.ran) == 1
        slow_done.set()
        stop.set()
        await running

    began = time.monotonic()
    asyncio.run(asyncio.wait_for(story(), 30))
    assert time.monotonic() - began < 30
    assert len(slow.ran) == 1


def test_a_loop_without_jobs_ends(store: MemoryStore, clock: FakeClock) -> None:
    """There is nothing to wait for."""
    asyncio.run(asyncio.wait_for(loop(store, clock).run(asyncio.Event()), 10))


def test_a_wanted_job_runs_once_in_a_cluster(store: MemoryStore, clock: FakeClock) -> None:
    """Whoever asks for a job gets one run, in one process, although it ran a moment ago; then it is due as ever."""
    work, other = Work(), Work()
    here, there = loop(store, clock, "a", work), loop(store, clock, "b", other)
    here.run_once(work)
    there.run_wanted()
    assert (len(work.ran), len(other.ran)) == (1, 0)
    clock.advance(timedelta(seconds=1))
    assert store.want_job("work", clock.now(), ())
    there.run_wanted()
    here.run_wanted()
    there.run_wanted()
    assert (len(work.ran), len(other.ran)) == (1, 1)
    (status,) = store.job_status()
    assert (status.wanted_at, status.every, status.last_began) == (None, MINUTE, clock.now())


def test_a_wanted_job_that_fails_is_not_run_again_at_once(store: MemoryStore, clock: FakeClock) -> None:
    """A request is answered by a run that fails, too: its error is on record, and the next run comes in its time."""
    work = Work(does=raising(ValueError("broken")))
    made = loop(store, clock, "a", work)
    made.run_once(work)
    store.want_job("work", clock.now(), ())
    made.run_wanted()
    made.run_wanted()
    assert len(work.ran) == 2
    (status,) = store.job_status()
    assert (status.last_error, status.wanted_at, status.last_success) == ("ValueError: broken", None, None)


def test_a_wanted_job_waits_for_its_lease(store: MemoryStore, clock: FakeClock) -> None:
    """A request that comes while another process runs the job waits for its end, and is then answered."""
    work = Work()
    made = loop(store, clock, "a", work)
    made.run_once(work)
    assert store.lease("work", "b", clock.now(), clock.now() + MINUTE)
    store.want_job("work", clock.now(), ())
    made.run_wanted()
    assert len(work.ran) == 1
    store.finished("work", "b", clock.now(), "")
    made.run_wanted()
    assert len(work.ran) == 2


def test_a_wanted_job_of_a_node_runs_there(store: MemoryStore, clock: FakeClock) -> None:
    """What tends to a home is asked for by its name with the node's, and runs there alone."""
    one, two = Work(scope=Scope.NODE), Work(scope=Scope.NODE)
    here = loop(store, clock, "a", one, node="one")
    there = loop(store, clock, "b", two, node="two")
    here.run_once(one)
    there.run_once(two)
    assert store.want_job("work@two", clock.now(), ())
    here.run_wanted()
    there.run_wanted()
    assert (len(one.ran), len(two.ran)) == (1, 2)


def test_a_job_does_not_run_twice_at_a_time_in_one_process(store: MemoryStore, clock: FakeClock) -> None:
    """A request that meets a run in the same process, which has the lease, starts no second one beside it."""
    work = Work()
    made = loop(store, clock, "a", work)
    outcomes: list[Outcome] = []
    work.does = lambda: outcomes.append(made.run_once(work, clock.now()))
    assert made.run_once(work) is Outcome.OK
    assert outcomes == [Outcome.ELSEWHERE]
    assert len(work.ran) == 1
