"""Events, change notices, jobs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime, timedelta

    from regalia.model import (
        Change,
        Event,
        EventDraft,
    )
    from regalia.ports.lists import Listed, Place

__all__ = [
    "ChangeFeed",
    "EventFilter",
    "Events",
    "JobStatus",
    "Jobs",
    "Probe",
]


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events to show, newest last; on pages newest first."""

    action: str | None = None
    object: str | None = None
    group: str | None = None
    security: bool | None = None
    limit: int = 50
    groups: frozenset[str] | None = None
    """Only of these groups; None for all, and for what belongs to none (AUTHZ-4). For pages, as what follows."""
    search: str = ""
    """Text that object, serial or transactionID begin with, or that the event holds."""
    after: Place | None = None


class Events(Protocol):
    """The audit log (AUD-1, AUD-2)."""

    def record(self, events: Sequence[EventDraft]) -> None:
        """Append events that belong to no other change."""

    def events(self, wanted: EventFilter) -> tuple[Event, ...]:
        """The newest that match, oldest of them first."""

    def event_page(self, wanted: EventFilter) -> Listed[Event]:
        """One page, newest first."""

    def streams(self) -> tuple[tuple[str, int, bytes], ...]:
        """Each stream's name, last sequence number and last hash as its head says."""

    def stream(self, name: str, after: int | None = None) -> Iterator[tuple[int, bytes, bytes, str, bool]]:
        """A stream in order of its rows; from behind a sequence number, where one is given.

        Each: sequence, previous hash, hash, canonical record text, whether the columns that queries use agree with it.
        """


class ChangeFeed(Protocol):
    """Notices of what other processes changed (R9)."""

    def wait(self, timeout: float) -> tuple[Change, ...] | None:
        """Changes since the last call, after at most `timeout` seconds; None while the channel is down."""


@dataclass(frozen=True, slots=True)
class JobStatus:
    """When a job last ran, and how it ended."""

    name: str
    last_run: datetime | None
    """When it last ended."""
    last_error: str
    last_began: datetime | None = None
    last_success: datetime | None = None
    every: timedelta | None = None
    holder: str | None = None
    """Which process has its lease, until `lease_until`."""
    lease_until: datetime | None = None
    wanted_at: datetime | None = None
    """When somebody asked for it to run at once; None once it has."""


class Probe(Protocol):
    """Whether what an enrolment writes can be written."""

    def probe(self, now: datetime) -> None:
        """Write something small, durably. Raises `UnavailableError` where that fails, or an enrolment's would."""


class Jobs(Protocol):
    """Leases, so that each job runs once in a cluster."""

    def lease(self, job: str, holder: str, now: datetime, until: datetime) -> bool:
        """Take or extend the lease; False while another holder has it.

        A lease that ends more than a minute after `until` holds nobody up: the clock has been set back since.
        """

    def give_back(self, job: str, holder: str) -> None:
        """End the holder's lease, if it is still theirs, and note nothing."""

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
        """Give the lease back and note the outcome; an empty error means success.

        `every` is its interval, for who wants to know when it is due; `wanted` the request that this run answers.
        """

    def want_job(self, job: str, at: datetime, events: Sequence[EventDraft]) -> bool:
        """Ask for a job to run at once, wherever its loop is; False where none of this name ever ran."""

    def job_status(self) -> tuple[JobStatus, ...]: ...
