"""Leases of jobs: each job runs once in a cluster."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from sqlalchemy import select, text

from regalia.ports import JobStatus
from regalia.store.session import LostError, Noun, Statement
from regalia.store.tables import job
from regalia.store.values import from_millis, millis, optional_millis, plain, storable, time_or_none

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from regalia.model import EventDraft
    from regalia.store.session import Columns, Row, Transaction

__all__ = ["SqlJobs"]

_PROBE: Final = "readiness"
_MILLISECOND: Final = timedelta(milliseconds=1)
_CLOCKS_DIFFER = 60_000
"""Milliseconds that the clocks of two nodes may be apart before one takes the other's lease for a clock's mistake."""

# One statement, so that two holders who ask at once cannot both see a free lease.
_LEASE = Statement(
    text(
        "INSERT INTO job (name, holder, lease_until, last_error, began_at) VALUES (:name, :holder, :until, '', :now)"
        " ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, lease_until = excluded.lease_until,"
        # Who extends a lease has begun before.
        " began_at = CASE WHEN job.holder = excluded.holder THEN job.began_at ELSE excluded.began_at END"
        " WHERE job.holder IS NULL OR job.holder = excluded.holder OR job.lease_until <= :now OR job.lease_until > :far"
    )
)
_GIVE_BACK = Statement(text("UPDATE job SET holder = NULL, lease_until = 0 WHERE name = :name AND holder = :holder"))
_FINISHED = Statement(
    text(
        "INSERT INTO job (name, holder, lease_until, last_run, last_error, last_success, every_ms)"
        " VALUES (:name, NULL, 0, :at, :error, CAST(:success AS BIGINT), CAST(:every AS BIGINT))"
        " ON CONFLICT (name) DO UPDATE SET last_run = excluded.last_run, last_error = excluded.last_error,"
        " last_success = COALESCE(excluded.last_success, job.last_success),"
        " every_ms = COALESCE(excluded.every_ms, job.every_ms),"
        " last_began = CASE WHEN job.holder = :holder THEN job.began_at ELSE job.last_began END,"
        " wanted_at = CASE WHEN job.wanted_at = CAST(:wanted AS BIGINT) THEN NULL ELSE job.wanted_at END,"
        " holder = CASE WHEN job.holder = :holder THEN NULL ELSE job.holder END"
    )
)
_WANT = Statement(text("UPDATE job SET wanted_at = :at WHERE name = :name AND last_run IS NOT NULL"))
_STATUS = Statement(select(job).where(job.c.last_run.is_not(None)).order_by(job.c.name))


class SqlJobs(Noun):
    """See `ports.Jobs`."""

    def lease(self, job: str, holder: str, now: datetime, until: datetime) -> bool:
        """Take or extend the lease; False while another holder has it.

        One that ends a minute later than this one would was given by a clock that has been set back since.
        """
        values: Columns = {"name": job, "holder": holder, "now": millis(now), "until": millis(until)}
        values["far"] = millis(until) + _CLOCKS_DIFFER
        return bool(self._database.write(lambda transaction: transaction.run(_LEASE, values)))

    def probe(self, now: datetime) -> None:
        """Take a lease that ends at once, and ask the database for its room."""
        self.lease(_PROBE, _PROBE, now, now)
        self._database.require_room()

    def give_back(self, job: str, holder: str) -> None:
        """End the lease, if it is still the holder's."""
        self._database.write(lambda transaction: transaction.run(_GIVE_BACK, {"name": job, "holder": holder}))

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
        """Give the lease back, if it is still the holder's, and note the outcome."""
        values: Columns = {"name": job, "holder": holder, "at": millis(at), "error": plain(error)}
        values["success"] = None if error else millis(at)
        values["every"] = None if every is None else every // _MILLISECOND
        values["wanted"] = optional_millis(wanted)
        self._database.write(lambda transaction: transaction.run(_FINISHED, values))

    def job_status(self) -> tuple[JobStatus, ...]:
        """Return how each job that ever ended did so the last time, by name."""
        rows = self._database.rows(_STATUS, {})
        return tuple(map(_read, rows))

    def want_job(self, job: str, at: datetime, events: Sequence[EventDraft]) -> bool:
        """Ask for a job to run at once; False where none of this name ever ran."""

        def unit(transaction: Transaction) -> None:
            if not transaction.run(_WANT, {"name": job, "at": millis(at)}):
                raise LostError
            transaction.record(events)

        return storable(job) and self._won(unit)


def _read(row: Row) -> JobStatus:
    return JobStatus(
        row["name"],
        from_millis(row["last_run"]),
        row["last_error"],
        time_or_none(row["last_began"]),
        time_or_none(row["last_success"]),
        None if row["every_ms"] is None else row["every_ms"] * _MILLISECOND,
        row["holder"],
        None if row["holder"] is None else from_millis(row["lease_until"]),
        time_or_none(row["wanted_at"]),
    )
