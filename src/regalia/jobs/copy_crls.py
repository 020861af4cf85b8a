"""Keeps this node's copies of the CRLs the same as the published ones, which another node may have made."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from regalia import reasons
from regalia.ca.crl_copy import Copied
from regalia.ca.crl_plan import lists_of
from regalia.errors import InvariantError, RegaliaError, UnavailableError
from regalia.jobs.loop import Scope
from regalia.model import crl_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from regalia.ca.crl import CrlPublisher
    from regalia.ca.crl_copy import CrlCopier
    from regalia.model import Authority
    from regalia.ports import Authorities, KeyStore

__all__ = ["CopyCrls"]

_EVERY = timedelta(seconds=5)
_WAIT_SECONDS = 1.0
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)

_log = structlog.get_logger("regalia.jobs")


class CopyCrls:
    """Looks at every authority each five seconds, and at once when a notice says that a CRL was published.

    In every process: the look costs one query an authority and no write, and it takes no lease that a killed process
    would keep. The copy itself is made by one process of the node at a time.
    """

    name = "copy-crls"
    every = timedelta(milliseconds=20)
    scope = Scope.PROCESS

    def __init__(self, authorities: Authorities, keys: KeyStore, copier: CrlCopier, publisher: CrlPublisher) -> None:
        self._authorities = authorities
        self._keys = keys
        self._copier = copier
        self._publisher = publisher
        self._heard = threading.Event()
        self._looked = _NEVER

    def hear(self) -> None:
        """A CRL was published somewhere, or notices may have been missed: look at once."""
        self._heard.set()

    def run(self, now: datetime) -> None:
        """Look if it is time, else wait for a second or until a notice comes; the loop calls again at once."""
        # A clock that went back makes it look, too.
        recently = timedelta(0) <= now - self._looked < _EVERY
        if recently and not self._heard.wait(_WAIT_SECONDS):
            return
        self._heard.clear()
        self._looked = now
        failures: list[Exception] = []
        for authority in self._authorities.authorities():
            failures += self._copy(authority)
        if failures:
            raise ExceptionGroup("CRLs not copied", failures)

    def _copy(self, authority: Authority) -> Iterator[Exception]:
        for shard in lists_of(authority):
            # The delta last: it is for those who have the other one.
            for delta in (False, True) if authority.crl_delta else (False,):
                try:
                    self._copy_one(authority, shard, crl_name(authority.name, shard, delta=delta))
                except (RegaliaError, InvariantError) as failure:
                    yield failure

    def _copy_one(self, authority: Authority, shard: int, name: str) -> None:
        copied = self._copier.copy(authority, name)
        if copied is Copied.MADE:
            _log.info("crl-copied", crl=name)
        elif copied is Copied.UNUSABLE and self._keys.holds(authority.key_id):
            record = self._publisher.publish(authority.name, shard=shard)
            _log.warning("crl-published-anew", crl=record.name, number=str(record.number))
        elif copied is Copied.UNUSABLE:
            raise UnavailableError(reasons.ISSUER_UNAVAILABLE, f"the CRL {name} has to be made anew")
