"""Jobs: what runs by itself, when it last did, and having it run now."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import Field

from regalia import reasons
from regalia.errors import AdminError
from regalia.model import Action, EventDraft, Outcome, Right
from regalia.verbs.paging import ListAsked, page_of_few
from regalia.verbs.verb import Asked, Desk, Page, Record, Time, Verb

if TYPE_CHECKING:
    from datetime import datetime

    from regalia.ports import JobStatus

__all__ = ["LIST", "RUN", "SHOW", "VERBS", "JobRecord", "JobState", "ListJobs", "RunJob", "ShowJob"]

_ALIVE: Final = timedelta(minutes=2)
"""Some job of a server that runs has ended within this: several do every few seconds."""

JobName = Annotated[
    str,
    Field(min_length=1, max_length=200, description="Name of the job; of one that each node has, with `@NODE`."),
]


class JobState(StrEnum):
    """What it does at the moment."""

    OK = "ok"
    FAILED = "failed"
    RUNNING = "running"
    WANTED = "wanted"
    """Somebody asked for it, and it has not begun."""


class ListJobs(ListAsked):
    """All that ever ran."""


class ShowJob(Asked):
    """Which one."""

    name: JobName


class RunJob(ShowJob):
    """Which one."""


class JobRecord(Record):
    """What a job did, and when it is due."""

    name: str
    state: JobState
    last_run: Time | None
    last_success: Time | None
    last_error: str | None
    milliseconds: int | None
    """How long the last run took."""
    every_seconds: int | None
    next_due: Time | None
    holder: str | None
    """The process that runs it now."""
    wanted_at: Time | None


def list_jobs(desk: Desk, asked: ListJobs) -> Page[JobRecord]:
    """All, by name. Jobs that each process has for its own memory are in the metrics alone."""
    now = desk.now()
    return page_of_few(
        asked,
        LIST.name,
        desk.services.store.job_status(),
        place=lambda job: (job.name,),
        words=lambda job: (job.name, job.last_error),
        record=lambda job: _record(job, now),
    )


def show_job(desk: Desk, asked: ShowJob) -> JobRecord:
    """One job."""
    return _record(_found(desk, asked.name), desk.now())


def run_job(desk: Desk, asked: RunJob) -> JobRecord:
    """Ask for a run; the process whose turn it is begins within seconds, under the job's lease.

    Raises `AdminError`: ADM-004 where no such job ever ran, ADM-089 where no server runs that would do it.
    """
    now, store = desk.now(), desk.services.store
    _found(desk, asked.name)
    node = asked.name.partition("@")[2]
    theirs = [job for job in store.job_status() if not node or job.name.endswith(f"@{node}")]
    if not any(job.last_run is not None and abs(now - job.last_run) < _alive(job) for job in theirs):
        raise AdminError(reasons.JOB_UNATTENDED, f"nothing ran lately{f' on node {node}' if node else ''}")
    event = EventDraft(now, desk.actor, Action.JOB_WANTED, f"job:{asked.name}", Outcome.OK)
    if not store.want_job(asked.name, now, (event,)):
        raise AdminError(reasons.NOT_FOUND, f"job {asked.name}")
    return _record(_found(desk, asked.name), now)


def _alive(job: JobStatus) -> timedelta:
    # An hourly job that ran half an hour ago says nothing of now.
    return min(_ALIVE, 4 * (job.every or _ALIVE) + timedelta(seconds=30))


def _found(desk: Desk, name: str) -> JobStatus:
    for job in desk.services.store.job_status():
        if job.name == name:
            return job
    raise AdminError(reasons.NOT_FOUND, f"job {name}")


def _record(job: JobStatus, now: datetime) -> JobRecord:
    running = job.holder is not None and job.lease_until is not None and job.lease_until > now
    took = None
    if job.last_began is not None and job.last_run is not None and not running:
        took = max(0, (job.last_run - job.last_began) // timedelta(milliseconds=1))
    due = job.last_run + job.every if job.last_run is not None and job.every is not None else None
    return JobRecord(
        name=job.name,
        state=_state(job, running=running),
        last_run=job.last_run,
        last_success=job.last_success,
        last_error=job.last_error or None,
        milliseconds=took,
        every_seconds=None if job.every is None else job.every // timedelta(seconds=1),
        next_due=due,
        holder=job.holder if running else None,
        wanted_at=job.wanted_at,
    )


def _state(job: JobStatus, *, running: bool) -> JobState:
    if running:
        return JobState.RUNNING
    if job.wanted_at is not None:
        return JobState.WANTED
    return JobState.FAILED if job.last_error else JobState.OK


LIST = Verb(
    "job.list",
    "GET",
    "/jobs",
    Right.READ,
    ListJobs,
    Page[JobRecord],
    list_jobs,
    "List the jobs: what ran, what failed, what is due.",
    everywhere=True,
)
SHOW = Verb("job.show", "GET", "/jobs/{name}", Right.READ, ShowJob, JobRecord, show_job, "Show a job.", everywhere=True)
RUN = Verb(
    "job.run",
    "POST",
    "/jobs/{name}/run",
    Right.RULE,
    RunJob,
    JobRecord,
    run_job,
    "Have a job run now: once in the cluster, in a process of the server.",
    everywhere=True,
)

VERBS = (LIST, SHOW, RUN)
