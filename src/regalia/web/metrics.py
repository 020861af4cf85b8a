"""What Prometheus may ask: what all workers of this `serve` counted, and what is looked up when it asks.

A registry of our own, so that nothing but these appears and two servers in one process do not share counts. The
library's own multi-process mode keeps its numbers in files, which outlive the server and are lost with a full disk.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from regalia.ca.crl_plan import lists_of
from regalia.model import crl_name
from regalia.web.counts import SharedCounts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from prometheus_client.metrics_core import Metric

    from regalia.errors import Reason
    from regalia.ports import Authorities, Clock, Crls
    from regalia.web.counts import Cell
    from regalia.web.pool import Pool

__all__ = ["Metrics", "crl_times"]

CrlTimes = tuple[str, "datetime", "datetime"]

_BETWEEN: Final = "\x1f"
"""Between the parts of a key; no label has it."""


@dataclass(frozen=True, slots=True)
class _Family:
    """What stands under one name."""

    name: str
    text: str
    labels: tuple[str, ...] = ()
    is_gauge: bool = False

    def key(self, *values: str) -> str:
        """Name one number of it."""
        return _BETWEEN.join((self.name, *values))


class _Families(Enum):
    """Everything that is counted."""

    REFUSALS = _Family("regalia_refusals", "Requests refused, by error id (docs/errors).", ("reason",))
    ISSUED = _Family(
        "regalia_enrolments_issued", "PKIOperations answered with a certificate, retransmissions included."
    )
    OCSP = _Family(
        "regalia_ocsp_answers", "OCSP answers, by status and whether they came from memory.", ("status", "cache")
    )
    JOBS = _Family("regalia_job_runs", "Runs of each job, by outcome.", ("job", "outcome"))
    INCIDENTS = _Family("regalia_incidents", "Errors of our own that a listener answered 503 to.")
    STARTS = _Family("regalia_worker_starts", "Workers started, those in the place of a dead one included.")
    POOLS = _Family("regalia_pool_depth", "Calls that run or wait, by pool.", ("pool",), is_gauge=True)


class Metrics:
    """Counts of one `serve`; every method may be called from any thread."""

    def __init__(self, clock: Clock, *, workers: int = 1) -> None:
        """Make it before the workers are forked; each then says `begin` with its number."""
        self.registry = CollectorRegistry()
        self._clock = clock
        self._counts = SharedCounts(workers)
        self._row = self._counts.row(0)
        # Looking a number up by its key costs more than a remembered OCSP answer.
        self._ocsp_cells: dict[tuple[str, bool], Cell] = {}
        self.begin(0, starts=False)
        self.registry.register(_Counted(self._counts))

    def begin(self, worker: int, *, starts: bool = True) -> None:
        """Count for this worker from here on; where another one died before, go on with what it had counted."""
        self._row = self._counts.row(worker)
        self._ocsp_cells = {}
        for key, _ in self._row.read():
            if _GAUGES.get(key.partition(_BETWEEN)[0]):
                self._row.cell(key).set(0.0)
        # What has no label is there from the beginning.
        for family in (_Families.ISSUED, _Families.INCIDENTS, _Families.STARTS):
            self._cell(family)
        if starts:
            self._cell(_Families.STARTS).add()

    def _cell(self, family: _Families, *values: str) -> Cell:
        return self._row.cell(family.value.key(*values))

    def refused(self, reason: Reason) -> None:
        """Count a refusal; `ra.refusals.Refusals` calls it for each."""
        self._cell(_Families.REFUSALS, reason.id).add()

    def issued(self) -> None:
        """Count a certificate handed out."""
        self._cell(_Families.ISSUED).add()

    def ocsp_answered(self, status: str, *, cached: bool) -> None:
        """Count an OCSP answer: `good`, `revoked`, `unknown`, or the name of an OCSP error."""
        counted = self._ocsp_cells.get((status, cached))
        if counted is None:
            counted = self._cell(_Families.OCSP, status, "hit" if cached else "miss")
            self._ocsp_cells[status, cached] = counted
        counted.add()

    def job_ran(self, job: str, *, ok: bool) -> None:
        """Count a run of a job; `jobs.loop` calls it."""
        self._cell(_Families.JOBS, job, "ok" if ok else "failed").add()

    def incident(self) -> None:
        """Count a bug that met a request."""
        self._cell(_Families.INCIDENTS).add()

    def watch_pools(self, pools: Sequence[Pool]) -> None:
        """Show how many calls run or wait in each pool."""
        for pool in pools:
            pool.watch(self._cell(_Families.POOLS, pool.name).set)

    def watch_crls(self, crls: Callable[[], Iterable[CrlTimes]]) -> None:
        """Show how old each CRL is and how long it is still good; `crls` is called for each scrape."""
        self.registry.register(_CrlAges(crls, self._clock))

    def render(self) -> bytes:
        """Return the exposition text. Looks up what is watched: a call for a pool."""
        return generate_latest(self.registry)


_GAUGES: Final = {family.value.name: family.value.is_gauge for family in _Families}


class _Counted(Collector):
    """The sums over all workers."""

    def __init__(self, counts: SharedCounts) -> None:
        self._counts = counts

    def collect(self) -> Iterable[Metric]:
        totals = self._counts.totals()
        for family in (each.value for each in _Families):
            kind = GaugeMetricFamily if family.is_gauge else CounterMetricFamily
            made = kind(family.name, family.text, labels=family.labels)
            for key, value in totals.items():
                name, *labels = key.split(_BETWEEN)
                if name == family.name:
                    made.add_metric(labels, value)
            yield made


class _CrlAges(Collector):
    def __init__(self, crls: Callable[[], Iterable[CrlTimes]], clock: Clock) -> None:
        self._crls = crls
        self._clock = clock

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Name the families without looking anything up: registering must not need the database."""
        return self._families()

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Look up the CRLs."""
        age, left = families = self._families()
        now = self._clock.now()
        for authority, this_update, next_update in self._crls():
            age.add_metric((authority,), (now - this_update).total_seconds())
            left.add_metric((authority,), (next_update - now).total_seconds())
        return families

    @staticmethod
    def _families() -> tuple[GaugeMetricFamily, GaugeMetricFamily]:
        labels = ("authority",)
        return (
            GaugeMetricFamily("regalia_crl_age_seconds", "Time since the last CRL was made.", labels=labels),
            GaugeMetricFamily("regalia_crl_valid_seconds", "Time until the last CRL expires.", labels=labels),
        )


def crl_times(authorities: Authorities, crls: Crls) -> list[CrlTimes]:
    """List each authority's last CRL, of each of its lists: name, thisUpdate, nextUpdate."""
    known = authorities.authorities()
    names = [crl_name(authority.name, shard) for authority in known for shard in lists_of(authority)]
    records = [(name, crls.last_crl(name)) for name in names]
    return [(name, record.this_update, record.next_update) for name, record in records if record is not None]
