"""Leases of jobs: each job runs once in a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select, text

from regalia.ports import JobStatus
from regalia.store.session import Noun, Statement
from regalia.store.tables import job
from regalia.store.values import from_millis, millis, plain

if TYPE_CHECKING:
    from datetime import datetime

    from regalia.store.session import Columns

__all__ = ["SqlJobs"]

_CLOCKS_DIFFER = 60_000
"""Milliseconds that the clocks of two nodes may be apart before one takes the other's lease for a clock's mistake."""

# One statement, so that two holders who ask at once cannot both see a free lease.
_LEASE = Statement(
    text(
        "INSERT INTO job (name, holder, lease_until, last_error) VALUES (:name, :holder, :until, '')"
        " ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, lease_until = excluded.lease_until"
        " WHERE job.holder IS NULL OR job.holder = excluded.holder OR job.lease_until <= :now OR job.lease_until > :far"
    )
)
_FINISHED = Statement(
    text(
        "INSERT INTO job (name, holder, lease_until, last_run, last_error) VALUES (:name, NULL, 0, :at, :error)"
        " ON CONFLICT (name) DO UPDATE SET last_run = excluded.last_run, last_error = excluded.last_error,"
        " holder = CASE WHEN job.holder = :holder THEN NULL ELSE job.holder END"
    )
)
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

    def finished(self, job: str, holder: str, at: datetime, error: str) -> None:
        """Give the lease back, if it is still the holder's, and note the outcome."""
        values: Columns = {"name": job, "holder": holder, "at": millis(at), "error": plain(error)}
        self._database.write(lambda transaction: transaction.run(_FINISHED, values))

    def job_status(self) -> tuple[JobStatus, ...]:
        """Return how each job that ever ended did so the last time, by name."""
        rows = self._database.rows(_STATUS, {})
        return tuple(JobStatus(row["name"], from_millis(row["last_run"]), row["last_error"]) for row in rows)
