"""The loop that runs jobs: when each is due, under which lease, and what becomes of its failures."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

import structlog

from regalia.errors import RegaliaError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from regalia.ports import Clock, Jobs

__all__ = ["Job", "JobLoop", "Outcome", "Scope"]

_LEASE = timedelta(seconds=15)
"""A process that died in a job holds nobody up for longer than this and one interval of the job: for `publish-crl` at
most 15 + 5 seconds by default, where a revocation must be in the CRL within 60 (REV-3). A job that takes longer has its
lease extended while it runs."""
_EXTEND_SECONDS = 5.0
_WANTED_SECONDS = 2.0
"""How often each process looks whether somebody asked for a job: one small query."""

_log = structlog.get_logger("regalia.jobs")


class Scope(StrEnum):
    """Where a job has to run."""

    CLUSTER = "cluster"
    """Once per interval in all processes together, under a lease."""
    NODE = "node"
    """Once per interval in all processes of one home, under a lease: it tends to what lies in that home."""
    PROCESS = "process"
    """In every process: it tends to what that process holds in memory."""


class Job(Protocol):
    """Something that runs by itself. `run` is plain code in a thread of its own, never twice at a time."""

    @property
    def name(self) -> str:
        """What leases, the record and the log call it."""

    @property
    def every(self) -> timedelta:
        """From one run to the next."""

    @property
    def scope(self) -> Scope:
        """Where it has to run."""

    def run(self, now: datetime) -> None:
        """Do what is due. Whatever it raises is noted, and the job runs again at its next time."""


class Outcome(StrEnum):
    """How one attempt at a job ended."""

    OK = "ok"
    FAILED = "failed"
    ELSEWHERE = "elsewhere"
    """Another process has the lease, or ran it within the interval."""


class JobLoop:
    """Runs jobs until it is told to stop."""

    def __init__(
        self,
        jobs: Sequence[Job],
        *,
        leases: Jobs,
        clock: Clock,
        node: str,
        holder: str,
        observe: Callable[[str, bool], None] = lambda _name, _ok: None,
    ) -> None:
        """`node` names this home, `holder` this process; `observe` hears of each run by name and success."""
        self._jobs = tuple(jobs)
        self._leases = leases
        self._clock = clock
        self._node = node
        self._holder = holder
        self._observe = observe
        self._busy = {job.name: threading.Lock() for job in self._jobs}
        self._leased: set[str] = set()
        self._leased_lock = threading.Lock()
        self._last_errors: dict[str, str] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Run every job at once and then at its interval. Returns when `stop` is set and no job runs any more."""
        # A thread each: a CRL that takes long must not keep recovery waiting. And one that extends the leases.
        with ThreadPoolExecutor(len(self._jobs) + 2, thread_name_prefix="regalia-job") as threads:
            beside = [
                asyncio.create_task(self._every(_EXTEND_SECONDS, self.extend_leases, threads)),
                asyncio.create_task(self._every(_WANTED_SECONDS, self.run_wanted, threads)),
            ]
            await asyncio.gather(*(self._repeat(job, threads, stop) for job in self._jobs))
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)

    async def _repeat(self, job: Job, threads: ThreadPoolExecutor, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await asyncio.wrap_future(threads.submit(self.run_once, job))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), job.every.total_seconds())

    async def _every(self, seconds: float, what: Callable[[], None], threads: ThreadPoolExecutor) -> None:
        while True:
            await asyncio.sleep(seconds)
            await asyncio.wrap_future(threads.submit(what))

    def extend_leases(self) -> None:
        """Keep what runs now from being run elsewhere, too. Never raises."""
        with self._leased_lock:
            # Under the lock: a lease that was given back must not be taken again.
            for lease in self._leased:
                now = self._clock.now()
                try:
                    self._leases.lease(lease, self._holder, now, now + _LEASE)
                except UnavailableError as unavailable:
                    _log.info("lease-not-extended", lease=lease, error=str(unavailable))

    def run_wanted(self) -> None:
        """Run what administrators asked for and nobody has run since, one after the other. Never raises."""
        try:
            wanted = {status.name: status.wanted_at for status in self._leases.job_status()}
        except UnavailableError as unavailable:
            _log.info("requests-not-read", error=str(unavailable))
            return
        for job in self._jobs:
            asked_at = wanted.get(self._lease_name(job) or "")
            if asked_at is not None:
                self.run_once(job, asked_at)

    def run_once(self, job: Job, wanted: datetime | None = None) -> Outcome:
        """Run a job now if it is this process's turn; note how it ended. Never raises.

        `wanted` is when somebody asked for it: then it runs although it ran lately, once for each request.
        """
        busy = self._busy.setdefault(job.name, threading.Lock())
        if not busy.acquire(blocking=False):
            # This process is at it: its lease would be given to us, too.
            return Outcome.ELSEWHERE
        try:
            return self._run_alone(job, wanted)
        finally:
            busy.release()

    def _run_alone(self, job: Job, wanted: datetime | None) -> Outcome:
        began = self._clock.now()
        try:
            if not self._is_ours(job, began, wanted):
                return Outcome.ELSEWHERE
            job.run(began)
        except Exception as error:  # noqa: BLE001 - see below
            # The one place where jobs catch everything: a bug in one of them must not end the others, nor itself.
            return self._note(job, _told(error), error, wanted)
        return self._note(job, "", None, wanted)

    def _is_ours(self, job: Job, now: datetime, wanted: datetime | None) -> bool:
        lease = self._lease_name(job)
        if lease is None:
            return True
        # Asked before the lease, which is a write, and after it: another process can have run it a moment ago.
        if self._is_done(lease, job, now, wanted) or not self._leases.lease(lease, self._holder, now, now + _LEASE):
            return False
        if self._is_done(lease, job, now, wanted):
            return False
        with self._leased_lock:
            self._leased.add(lease)
        return True

    def _is_done(self, lease: str, job: Job, now: datetime, wanted: datetime | None) -> bool:
        """Whether another process ran it within half an interval or, where somebody asked for it, has answered that."""
        status = next((status for status in self._leases.job_status() if status.name == lease), None)
        if wanted is not None:
            return status is None or status.wanted_at != wanted
        if status is None or status.last_run is None or status.last_error:
            return False
        return timedelta(0) <= now - status.last_run < job.every / 2

    def _lease_name(self, job: Job) -> str | None:
        if job.scope is Scope.PROCESS:
            return None
        return job.name if job.scope is Scope.CLUSTER else f"{job.name}@{self._node}"

    def _note(self, job: Job, told: str, error: Exception | None, wanted: datetime | None) -> Outcome:
        if told and told != self._last_errors.get(job.name):
            # What stays wrong is said once: a job that runs every second would fill the log.
            expected = isinstance(error, RegaliaError | ExceptionGroup)
            _log.error("job-failed", job=job.name, error=told, exc_info=None if expected else error)
        elif not told and self._last_errors.get(job.name):
            _log.info("job-recovered", job=job.name)
        self._last_errors[job.name] = told
        self._observe(job.name, not told)
        lease = self._lease_name(job)
        if lease is not None:
            with self._leased_lock:
                self._leased.discard(lease)
            try:
                now = self._clock.now()
                self._leases.finished(lease, self._holder, now, told, every=job.every, wanted=wanted)
            except UnavailableError as unavailable:
                _log.info("job-not-noted", job=job.name, error=str(unavailable))
        return Outcome.FAILED if told else Outcome.OK


def _told(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(_told(each) for each in error.exceptions)
    return str(error) if isinstance(error, RegaliaError) else f"{type(error).__name__}: {error}"
