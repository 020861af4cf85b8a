"""Publishes each authority's CRL when it is due: revocations are in it within a minute, many in one (REV-3)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from regalia.ca.crl_plan import lists_of
from regalia.errors import InvariantError, RegaliaError
from regalia.jobs.loop import Scope
from regalia.model import AuthorityState

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from regalia.ca.crl import CrlPublisher
    from regalia.model import Authority
    from regalia.ports import Authorities, CrlFiles, KeyStore

__all__ = ["PublishCrls"]

_EVERY = timedelta(seconds=20)
"""A third of the minute: one run that fails leaves room for another."""

_ALERT_OCTETS = 2 * 1024 * 1024

_log = structlog.get_logger("regalia.jobs")


class PublishCrls:
    """Looks at every authority whose key is here; a root whose key was moved out has its CRL made by hand (R10)."""

    name = "publish-crl"
    scope = Scope.CLUSTER

    def __init__(
        self,
        authorities: Authorities,
        keys: KeyStore,
        publisher: CrlPublisher,
        files: CrlFiles,
        *,
        every: timedelta = _EVERY,
        alert_octets: int = _ALERT_OCTETS,
    ) -> None:
        """`alert_octets`: from which size on each publication is also a warning in the log (REV-5)."""
        self.every = every
        self._files = files
        self._alert_octets = alert_octets
        self._authorities = authorities
        self._keys = keys
        self._publisher = publisher

    def run(self, now: datetime) -> None:
        """Publish what is due. What one list cannot keeps no other waiting; all failures are raised."""
        del now
        failures: list[Exception] = []
        for authority in self._authorities.authorities():
            # Also of one that issues no more: what it issued can still be revoked.
            if authority.state is not AuthorityState.RETIRED:
                failures += self._publish_due(authority)
        if failures:
            raise ExceptionGroup("CRLs not published", failures)

    def _publish_due(self, authority: Authority) -> Iterator[Exception]:
        for shard in lists_of(authority):
            try:
                if self._keys.holds(authority.key_id) and self._publisher.due(authority.name, shard):
                    self._publish(authority.name, shard)
            except (RegaliaError, InvariantError) as failure:
                yield failure

    def _publish(self, authority: str, shard: int) -> None:
        record = self._publisher.publish(authority, shard=shard)
        _log.info("crl-published", crl=record.name, number=str(record.number), entries=record.entries)
        self._warn(record.name)

    def _warn(self, name: str) -> None:
        published = self._files.published(name)
        if published is not None and published.length > self._alert_octets:
            _log.warning("crl-large", crl=name, octets=published.length, alert=self._alert_octets)
