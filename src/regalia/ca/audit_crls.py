"""Revocations beside the log and the published CRLs: what was revoked is revoked still, and everybody can know it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from cryptography import x509

from regalia.model import Action, CertificateState, RevocationReason, crl_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from regalia.model import Authority, Certificate, CrlRecord, Event
    from regalia.ports import Crls

__all__ = ["Listed"]

_TOLERANCE: Final = timedelta(minutes=2)
"""Between clocks of nodes: a revocation this close to a CRL may be too late for it."""


class Listed:
    """The published CRLs, read once each."""

    def __init__(self, crls: Crls) -> None:
        self._crls = crls
        self._read: dict[str, tuple[CrlRecord, x509.CertificateRevocationList] | None] = {}

    def broken(
        self, certificate: Certificate, events: Sequence[Event], authority: Authority | None, now: datetime
    ) -> Iterator[str]:
        """Say where revocation, log and CRL disagree."""
        revocation = certificate.revocation
        revoked = [event.draft for event in events if event.draft.action is Action.CERTIFICATE_REVOKED]
        if revocation is None or revocation.reason is RevocationReason.CERTIFICATE_HOLD:
            if revoked:
                yield "the log says that it was revoked, and it is not"
            return
        if certificate.state is CertificateState.ISSUED and not revoked:
            yield "it is revoked, and the log does not say so"
        if authority is None or certificate.intent.not_after <= now:
            return
        if revocation.cause == "crl":
            # A CRL from elsewhere said so of it or of who stands above it: what the next one lists is not ours.
            return
        published = self._list(crl_name(authority.name, certificate.intent.shard))
        if published is None:
            return
        record, crl = published
        if revocation.at >= record.this_update - _TOLERANCE:
            return
        if crl.get_revoked_certificate_by_serial_number(certificate.serial) is None:
            yield f"CRL {record.number} of {record.this_update:%Y-%m-%d %H:%M} UTC does not list it"

    def _list(self, name: str) -> tuple[CrlRecord, x509.CertificateRevocationList] | None:
        if name not in self._read:
            record = self._crls.last_crl(name)
            octets = b"".join(self._crls.crl_octets(record)) if record is not None else b""
            # Overtaken while it was read: the next run looks at the newer one.
            self._read[name] = (record, x509.load_der_x509_crl(octets)) if record is not None and octets else None
        return self._read[name]
