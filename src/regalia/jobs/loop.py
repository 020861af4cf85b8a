"""The loop that runs jobs: when each is due, under which lease, and what becomes of its failures."""

from __future__ import annotations

import asyncio
import contextlib
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

_LEASE = timedelta(seconds=45)
"""A process that died in a job holds nobody up for longer: a revocation must be in the CRL within a minute."""

_log = structlog.get_logger("regalia.jobs")


class Scope(StrEnum):
    """Where a job has to run."""

    CLUSTER = "cluster"
    """Once per interval in all processes together, under a lease."""
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
        holder: str,
        observe: Callable[[str, bool], None] = lambda _name, _ok: None,
    ) -> None:
        """`holder` names this process; `observe` hears of each run by name and success."""
        self._jobs = tuple(jobs)
        self._leases = leases
        self._clock = clock
        self._holder = holder
        self._observe = observe
        self._last_errors: dict[str, str] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Run every job at once and then at its interval. Returns when `stop` is set and no job runs any more."""
        # A thread each: a CRL that takes long must not keep recovery waiting.
        with ThreadPoolExecutor(max(1, len(self._jobs)), thread_name_prefix="regalia-job") as threads:
            await asyncio.gather(*(self._repeat(job, threads, stop) for job in self._jobs))

    async def _repeat(self, job: Job, threads: ThreadPoolExecutor, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await asyncio.wrap_future(threads.submit(self.run_once, job))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), job.every.total_seconds())

    def run_once(self, job: Job) -> Outcome:
        """Run a job now if it is this process's turn; note how it ended. Never raises."""
        began = self._clock.now()
        try:
            if job.scope is Scope.CLUSTER and not self._is_ours(job, began):
                return Outcome.ELSEWHERE
            job.run(began)
        except Exception as error:  # noqa: BLE001 - see below
            # The one place where jobs catch everything: a bug in one of them must not end the others, nor itself.
            return self._note(job, _told(error), error)
        return self._note(job, "", None)

    def _is_ours(self, job: Job, now: datetime) -> bool:
        if not self._leases.lease(job.name, self._holder, now, now + _LEASE):
            return False
        # Whoever has the lease may still be late: another process can have run it a moment ago and given it back.
        status = next((status for status in self._leases.job_status() if status.name == job.name), None)
        if status is None or status.last_run is None or status.last_error:
            return True
        return not timedelta(0) <= now - status.last_run < job.every / 2

    def _note(self, job: Job, told: str, error: Exception | None) -> Outcome:
        if told and told != self._last_errors.get(job.name):
            # What stays wrong is said once: a job that runs every second would fill the log.
            expected = isinstance(error, RegaliaError | ExceptionGroup)
            _log.error("job-failed", job=job.name, error=told, exc_info=None if expected else error)
        elif not told and self._last_errors.get(job.name):
            _log.info("job-recovered", job=job.name)
        self._last_errors[job.name] = told
        self._observe(job.name, not told)
        if job.scope is Scope.CLUSTER:
            try:
                self._leases.finished(job.name, self._holder, self._clock.now(), told)
            except UnavailableError as unavailable:
                _log.info("job-not-noted", job=job.name, error=str(unavailable))
        return Outcome.FAILED if told else Outcome.OK


def _told(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(_told(each) for each in error.exceptions)
    return str(error) if isinstance(error, RegaliaError) else f"{type(error).__name__}: {error}"
