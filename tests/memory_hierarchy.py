"""The part of the store's fake that keeps what the hierarchy brings from outside. See `memory_store`."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from regalia.model import (
    NO_NAMES,
    Certificate,
    CertificateIntent,
    CertificateKind,
    CertificateState,
    Revocation,
    RevocationReason,
    SigningIntent,
    new_id,
)

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence
    from uuid import UUID

    from regalia.model import Authority, AuthorityRequest, CrlRecord, EventDraft, RevokedEntry
    from regalia.ports import Adopted

__all__ = ["MemoryHierarchies"]


def _final(reason: int) -> RevocationReason:
    """A hold of somebody else's certificate ends it here."""
    told = RevocationReason(reason)
    return RevocationReason.UNSPECIFIED if told is RevocationReason.CERTIFICATE_HOLD else told


class MemoryHierarchies:
    """Requests, and authorities and CRLs that were made elsewhere."""

    _lock: threading.RLock
    _authorities: dict[str, Authority]
    _requests: dict[str, AuthorityRequest]
    _certificates: dict[UUID, Certificate]
    _revocations: dict[str, int]
    _crl_numbers: dict[str, int]
    _crls: dict[str, CrlRecord]
    _crl_octets: dict[str, bytes]

    if TYPE_CHECKING:

        def record(self, events: Sequence[EventDraft]) -> None:
            """Append events: the whole store does."""

        def _count_revocation(self, row: Certificate) -> None:
            """Count one more."""

    def authority_request(self, name: str) -> AuthorityRequest | None:
        """See the port."""
        return self._requests.get(name)

    def authority_requests(self) -> tuple[AuthorityRequest, ...]:
        """See the port."""
        return tuple(sorted(self._requests.values(), key=lambda request: (request.created_at, request.name)))

    def add_authority_request(self, request: AuthorityRequest, events: Sequence[EventDraft]) -> bool:
        """See the port."""
        with self._lock:
            if request.name in self._requests or request.name in self._authorities:
                return False
            self._requests[request.name] = request
            self.record(events)
            return True

    def request_intent(self, row_id: UUID) -> SigningIntent | None:
        """What a signer may read of a request."""
        for request in self._requests.values():
            if request.id == row_id and request.csr is None:
                return SigningIntent(row_id, request.key_id, request.info, None, None)
        return None

    def sign_authority_request(self, request_id: UUID, csr: bytes, events: Sequence[EventDraft]) -> bool:
        """See the port."""
        with self._lock:
            if self.request_intent(request_id) is None:
                return False
            (name,) = (name for name, request in self._requests.items() if request.id == request_id)
            self._requests[name] = replace(self._requests[name], csr=csr)
            self.record(events)
            return True

    def drop_authority_request(self, name: str, events: Sequence[EventDraft]) -> bool:
        """See the port."""
        with self._lock:
            if self._requests.pop(name, None) is None:
                return False
            self.record(events)
            return True

    def adopt_authority(self, adopted: Adopted, der: bytes, events: Sequence[EventDraft]) -> bool:
        """See the port."""
        with self._lock:
            made, intent = adopted.authority, adopted.certificate
            if made.name in self._authorities or self._serial_taken(intent.authority, intent.serial):
                return False
            self._requests.pop(made.name, None)
            self._authorities[made.name] = made
            row = Certificate(intent, CertificateState.ISSUED, der, intent.created_at, None)
            self._certificates[intent.id] = row
            self._crl_numbers[made.name] = max(self._crl_numbers.get(made.name, 0), adopted.crl_number)
            for entry in adopted.revoked:
                self._add_revoked(made, intent.not_after, entry)
            self.record(events)
            return True

    def _serial_taken(self, authority: str, serial: int) -> bool:
        return any(c.intent.authority == authority and c.serial == serial for c in self._certificates.values())

    def _add_revoked(self, issuer: Authority, until: datetime, entry: RevokedEntry) -> bool:
        serial = int.from_bytes(entry.serial, "big")
        if self._serial_taken(issuer.name, serial):
            return False
        at = datetime.fromtimestamp(entry.at / 1000, UTC)
        intent = CertificateIntent(
            id=new_id(issuer.created_at, hashlib.sha256(issuer.certificate_id.bytes + entry.serial).digest()[:10]),
            kind=CertificateKind.LEAF,
            authority=issuer.name,
            key_id=issuer.key_id,
            serial=serial,
            tbs=b"",
            group=issuer.group,
            profile=None,
            profile_version=None,
            subject="",
            names=NO_NAMES,
            device=None,
            unverified=True,
            key_sha256=bytes(32),
            not_before=at,
            not_after=until,
            enrolment_id=None,
            generation=0,
            lease_until=issuer.created_at,
            created_at=issuer.created_at,
        )
        told = "from a CRL that its issuer had published"
        revocation = Revocation(intent.id, _final(entry.reason), "imported", "system", at, told)
        row = Certificate(intent, CertificateState.ABANDONED, None, None, revocation)
        self._certificates[intent.id] = row
        self._count_revocation(row)
        return True

    def keep_revoked(
        self, authority: Authority, until: datetime, entries: Sequence[RevokedEntry], events: Sequence[EventDraft]
    ) -> int:
        """See the port."""
        with self._lock:
            added = sum(self._add_revoked(authority, until, entry) for entry in entries)
            self.record(events)
            return added

    def keep_certificate(self, intent: CertificateIntent, der: bytes, events: Sequence[EventDraft]) -> bool:
        """See the port."""
        with self._lock:
            if self._serial_taken(intent.authority, intent.serial):
                return False
            self._certificates[intent.id] = Certificate(intent, CertificateState.ISSUED, der, intent.created_at, None)
            self.record(events)
            return True

    def import_crl(self, crl_id: UUID, record: CrlRecord, octets: bytes, events: Sequence[EventDraft]) -> bool:
        """See the port."""
        del crl_id
        with self._lock:
            last = self._crls.get(record.authority)
            if last is not None and last.number >= record.number:
                return False
            self._crl_numbers[record.authority] = max(self._crl_numbers.get(record.authority, 0), record.number)
            self._crls[record.authority] = replace(record, snapshot=self._revocations.get(record.authority, 0))
            self._crl_octets[record.authority] = octets
            self.record(events)
            return True
