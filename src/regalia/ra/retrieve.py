"""GetCert and GetCRL (RFC 8894 §3.3.4): a device gets its own certificates again, and the CRL that covers them.

Own means: issued for the very key that signed the message, or in the chain of renewals of the LIVE certificate that
signed it (MSG-3). Whatever else is asked for gets one answer, so nobody learns which serial numbers exist.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from regalia import reasons
from regalia.errors import PeerError, UnavailableError
from regalia.model import (
    Action,
    Actor,
    ActorKind,
    CertificateKind,
    CertificateState,
    Denied,
    EventDraft,
    Outcome,
    crl_name,
)
from regalia.ports import Crls, Events
from regalia.ra.legacy import legacy_events
from regalia.ra.refusals import Refused
from regalia.ra.renew import RenewalStore, lineage_of
from regalia.wire.certificate import read_certificate
from regalia.wire.names import same_name

if TYPE_CHECKING:
    from uuid import UUID

    from regalia.ca.urls import Urls
    from regalia.model import Certificate, CrlRecord, JsonValue
    from regalia.ports import Clock
    from regalia.ra.refusals import Refusals
    from regalia.ra.request import RetrievalRequest

__all__ = ["MAX_CRL", "Retriever", "RetrieverStore"]

MAX_CRL = 1024 * 1024
"""Octets of a CRL that are still put into a reply: all of it is in memory, encrypted and signed for one device."""
_LEAST_ENTRY = 20
"""Octets of the shortest entry of a CRL: its serial number alone has so many in most of ours."""
_LOOKS = 3
"""How often a CRL is read anew that a newer one replaced while it was read."""


class RetrieverStore(RenewalStore, Crls, Events, Protocol):
    """What is handed out, and where that is written."""


@dataclass(frozen=True, slots=True)
class _Crl:
    record: CrlRecord
    octets: bytes


class Retriever:
    """Hands out what was issued already."""

    def __init__(self, *, store: RetrieverStore, refusals: Refusals, clock: Clock, urls: Urls) -> None:
        self._store = store
        self._refusals = refusals
        self._clock = clock
        self._urls = urls

    def certificate(self, request: RetrievalRequest) -> bytes | Denied:
        """Answer GetCert: the certificate's DER. What was said is on record before this returns (AUD-1)."""
        found = self._own(request)
        if found is None or found.der is None:
            return self._refused(request, Denied(reasons.CERTIFICATE_UNKNOWN, _asked(request)))
        object_ = f"certificate:{found.serial:x}"
        self._record(request, Action.CERTIFICATE_RETRIEVED, object_, {"authority": found.intent.authority})
        return found.der

    def crl(self, request: RetrievalRequest) -> bytes | Denied:
        """Answer GetCRL: the newest published CRL of the certificate's issuer, DER.

        Raises `UnavailableError` where there is none yet.
        """
        found = self._own(request)
        if found is None:
            return self._refused(request, Denied(reasons.CERTIFICATE_UNKNOWN, _asked(request)))
        authority = found.intent.authority
        crl = self._newest(crl_name(authority, found.intent.shard))
        if crl is None:
            return self._refused(request, Denied(reasons.CRL_TOO_LARGE, self._urls.crl(authority, found.intent.shard)))
        facts: dict[str, JsonValue] = {"asked": f"{found.serial:x}", "number": str(crl.record.number)}
        self._record(request, Action.CRL_RETRIEVED, f"authority:{authority}", facts)
        return crl.octets

    # --- whose is it? -----------------------------------------------------------------------------------------------

    def _own(self, request: RetrievalRequest) -> Certificate | None:
        """Find the certificate that is asked for, if the requester may have it."""
        group, issuer = request.door.group.name, request.wanted.issuer
        for candidate in self._store.find_serial(request.wanted.serial):
            intent = candidate.intent
            if intent.kind is not CertificateKind.LEAF or candidate.state is not CertificateState.ISSUED:
                continue
            if intent.group == group and self._issued_by(candidate, issuer) and self._belongs(candidate, request):
                return candidate
        return None

    def _issued_by(self, certificate: Certificate, issuer: bytes) -> bool:
        authority = self._store.authority(certificate.intent.authority)
        if authority is None:
            return False
        name = read_certificate(authority.certificate_der).subject
        return name == issuer or same_name(name, issuer)

    def _belongs(self, certificate: Certificate, request: RetrievalRequest) -> bool:
        if certificate.intent.key_sha256 == request.key_sha256:
            return True
        chain = self._chain(certificate)
        return chain is not None and request.signer is not None and chain == self._chain(request.signer)

    def _chain(self, certificate: Certificate) -> UUID | None:
        """Find the chain of renewals; None for a certificate that nobody enrolled."""
        try:
            return lineage_of(self._store, certificate).first
        except PeerError:
            return None

    # --- CRLs -------------------------------------------------------------------------------------------------------

    def _newest(self, name: str) -> _Crl | None:
        """Read the newest CRL; None where it is too large for a reply."""
        for _ in range(_LOOKS):
            record = self._store.last_crl(name)
            if record is None:
                raise UnavailableError(reasons.CRL_UNPUBLISHED, name)
            octets = self._octets(record)
            if octets is None:
                return None
            if hashlib.sha256(octets).digest() == record.sha256:
                return _Crl(record, octets)
        raise UnavailableError(reasons.IN_PROGRESS, f"the CRL {name} changes while it is read")

    def _octets(self, record: CrlRecord) -> bytes | None:
        if record.entries * _LEAST_ENTRY > MAX_CRL:
            return None
        read = bytearray()
        for chunk in self._store.crl_octets(record):
            read += chunk
            if len(read) > MAX_CRL:
                return None
        return bytes(read)

    # --- the record -------------------------------------------------------------------------------------------------

    def _record(self, request: RetrievalRequest, action: Action, object_: str, facts: dict[str, JsonValue]) -> None:
        event = EventDraft(
            at=request.received_at,
            actor=Actor(ActorKind.DEVICE, request.source, request.source),
            action=action,
            object=object_,
            outcome=Outcome.OK,
            group=request.door.group.name,
            transaction_id=_text(request),
            details={"endpoint": request.door.endpoint.name, "message": request.described, **facts},
        )
        self._store.record((event, *legacy_events(request)))

    def _refused(self, request: RetrievalRequest, denied: Denied) -> Denied:
        self._refusals.record(
            Refused(
                at=self._clock.now(),
                source=request.source,
                endpoint=request.door.endpoint.name,
                denied=denied,
                group=request.door.group.name,
                transaction_id=_text(request),
                message=request.described,
            )
        )
        return denied


def _asked(request: RetrievalRequest) -> str:
    return f"serial {request.wanted.serial:x}"[:80]


def _text(request: RetrievalRequest) -> str:
    return request.transaction_id.decode("utf-8", "replace")
