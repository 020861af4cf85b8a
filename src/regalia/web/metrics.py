"""What Prometheus may ask: counters of this process, and what is looked up when it asks.

A registry of our own, so that nothing but these appears and two servers in one process do not share counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from regalia.errors import Reason
    from regalia.ports import Authorities, Clock, Crls
    from regalia.web.pool import Pool

__all__ = ["Metrics", "crl_times"]

CrlTimes = tuple[str, "datetime", "datetime"]


class Metrics:
    """Counts, for one process; every method may be called from any thread."""

    def __init__(self, clock: Clock) -> None:
        self.registry = CollectorRegistry()
        self._clock = clock
        self._refusals = self._counter("regalia_refusals", "Requests refused, by error id (docs/errors).", ("reason",))
        self._issued = self._counter(
            "regalia_enrolments_issued", "PKIOperations answered with a certificate, retransmissions included."
        )
        self._ocsp = self._counter(
            "regalia_ocsp_answers", "OCSP answers, by status and whether they came from memory.", ("status", "cache")
        )
        # Looking a child up by its labels costs more than a remembered answer.
        self._ocsp_children: dict[tuple[str, bool], Counter] = {}
        self._jobs = self._counter("regalia_job_runs", "Runs of each job, by outcome.", ("job", "outcome"))
        self._incidents = self._counter("regalia_incidents", "Errors of our own that a listener answered 503 to.")

    def _counter(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def refused(self, reason: Reason) -> None:
        """Count a refusal; `ra.refusals.Refusals` calls it for each."""
        self._refusals.labels(reason.id).inc()

    def issued(self) -> None:
        """Count a certificate handed out."""
        self._issued.inc()

    def ocsp_answered(self, status: str, *, cached: bool) -> None:
        """Count an OCSP answer: `good`, `revoked`, `unknown`, or the name of an OCSP error."""
        counted = self._ocsp_children.get((status, cached))
        if counted is None:
            counted = self._ocsp_children[status, cached] = self._ocsp.labels(status, "hit" if cached else "miss")
        counted.inc()

    def job_ran(self, job: str, *, ok: bool) -> None:
        """Count a run of a job; `jobs.loop` calls it."""
        self._jobs.labels(job, "ok" if ok else "failed").inc()

    def incident(self) -> None:
        """Count a bug that met a request."""
        self._incidents.inc()

    def watch_pools(self, pools: Sequence[Pool]) -> None:
        """Show how many calls run or wait in each pool."""
        self.registry.register(_PoolDepths(pools))

    def watch_crls(self, crls: Callable[[], Iterable[CrlTimes]]) -> None:
        """Show how old each CRL is and how long it is still good; `crls` is called for each scrape."""
        self.registry.register(_CrlAges(crls, self._clock))

    def render(self) -> bytes:
        """Return the exposition text. Looks up what is watched: a call for a pool."""
        return generate_latest(self.registry)


class _PoolDepths(Collector):
    def __init__(self, pools: Sequence[Pool]) -> None:
        self._pools = tuple(pools)

    def collect(self) -> Iterable[GaugeMetricFamily]:
        family = GaugeMetricFamily("regalia_pool_depth", "Calls that run or wait, by pool.", labels=("pool",))
        for pool in self._pools:
            family.add_metric((pool.name,), pool.depth)
        yield family


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
    """List each authority's last CRL: name, thisUpdate, nextUpdate."""
    records = ((authority.name, crls.last_crl(authority.name)) for authority in authorities.authorities())
    return [(name, record.this_update, record.next_update) for name, record in records if record is not None]
