"""Reads again, every hour, what was issued last and some of what was issued before (see `ca.audit`)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol

from regalia import reasons
from regalia.ca.audit import Audited, Auditor, AuditStore, audit_events
from regalia.errors import AdminError
from regalia.jobs.loop import Scope
from regalia.model import Actor, ActorKind, new_id
from regalia.ports import CertificateFilter, Events

if TYPE_CHECKING:
    from datetime import datetime

    from regalia.ca.urls import Urls
    from regalia.model import Certificate
    from regalia.ports import Entropy

__all__ = ["AuditCertificates"]

NEWEST: Final = 100
OLDER: Final = 100
"""At a millisecond each: less than a CRL costs. A million certificates have been read again after a year or so."""
_SAMPLE: Final = 10
"""Of them every tenth is given to pkilint, a second opinion on the native lint of every leaf (R8)."""
_ACTOR: Final = Actor(ActorKind.SYSTEM, "certificate-audit")


class _Store(AuditStore, Events, Protocol):
    """What is read, and where findings go."""


class AuditCertificates:
    """A finding is a security event and the job's failure: `doctor` and the log show it."""

    name = "audit-certificates"
    every = timedelta(hours=1)
    scope = Scope.CLUSTER

    def __init__(
        self, store: _Store, urls: Urls, entropy: Entropy, *, newest: int = NEWEST, older: int = OLDER
    ) -> None:
        """`newest` and `older` are how many of each it reads at a time."""
        self._newest = newest
        self._older = older
        self._store = store
        self._urls = urls
        self._entropy = entropy

    def run(self, now: datetime) -> None:
        """Look at the newest, and at some from a random time on. Raises `AdminError` ADM-047 with every finding."""
        auditor, audited = Auditor(self._store, self._urls, now), Audited()
        newest = self._store.certificates(CertificateFilter(limit=self._newest))
        auditor.look_at(newest, audited, sample=_SAMPLE)
        if len(newest) == self._newest:
            auditor.look_at(self._some(now), audited, sample=_SAMPLE)
        if audited.doubts:
            self._store.record(audit_events(audited, _ACTOR, now, since=None))
            told = "; ".join(f"{doubt.serial:x} {doubt.rule}: {doubt.text}" for doubt in audited.doubts[:20])
            raise AdminError(reasons.AUDIT_FOUND, told)

    def _some(self, now: datetime) -> tuple[Certificate, ...]:
        """Choose some from a random time on; one time in eleven those from the beginning, which follow upon nothing."""
        first = next(iter(self._store.certificates_after(None, 1)), None)
        if first is None:
            return ()
        begin = first.intent.created_at
        share = int.from_bytes(self._entropy.octets(4), "big") / 2**32
        start = begin + (share * 1.1 - 0.1) * (now - begin)
        after = new_id(start, bytes(10)) if start > begin else None
        return self._store.certificates_after(after, self._older)
