"""Events, change notices, jobs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from regalia.model import (
        Change,
        Event,
        EventDraft,
    )

__all__ = [
    "ChangeFeed",
    "EventFilter",
    "Events",
    "JobStatus",
    "Jobs",
]


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events to show, newest last."""

    action: str | None = None
    object: str | None = None
    group: str | None = None
    security: bool | None = None
    limit: int = 50


class Events(Protocol):
    """The audit log (AUD-1, AUD-2)."""

    def record(self, events: Sequence[EventDraft]) -> None:
        """Append events that belong to no other change."""

    def events(self, wanted: EventFilter) -> tuple[Event, ...]:
        """The newest that match, oldest of them first."""

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
    last_error: str


class Jobs(Protocol):
    """Leases, so that each job runs once in a cluster."""

    def lease(self, job: str, holder: str, now: datetime, until: datetime) -> bool:
        """Take or extend the lease; False while another holder has it.

        A lease that ends more than a minute after `until` holds nobody up: the clock has been set back since.
        """

    def finished(self, job: str, holder: str, at: datetime, error: str) -> None:
        """Give the lease back and note the outcome; an empty error means success."""

    def job_status(self) -> tuple[JobStatus, ...]: ...
