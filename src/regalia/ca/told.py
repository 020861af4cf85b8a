"""What others are told of a certificate now: OCSP is asked as clients ask it, and the CRL that is served is read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.ocsp import OCSPRequestBuilder, OCSPResponseStatus, load_der_ocsp_response

from regalia.ca.known_crl import reason_of_flag
from regalia.model import AuthorityKind, RevocationReason, crl_name
from regalia.wire import oids
from regalia.wire.certificate import read_certificate
from regalia.wire.crl import REMOVE_FROM_CRL, find_entry
from regalia.wire.ocsp import issuer_hashes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from regalia.ca.status import OcspResponder
    from regalia.model import Authority, Certificate
    from regalia.ports import CrlFiles, Crls

__all__ = ["CrlTold", "OcspTold", "crls_say", "ocsp_says"]


@dataclass(frozen=True, slots=True)
class OcspTold:
    """An answer of OCSP."""

    answer: str
    """`good`, `revoked`, `unknown`, or what the responder says instead, as `unauthorized` or `try_later`."""
    reason: RevocationReason | None = None
    since: datetime | None = None
    this_update: datetime | None = None
    next_update: datetime | None = None


@dataclass(frozen=True, slots=True)
class CrlTold:
    """What a CRL that this node serves says."""

    name: str
    delta: bool
    number: int
    this_update: datetime
    next_update: datetime
    listed: bool
    reason: RevocationReason | None = None
    since: datetime | None = None


def ocsp_says(responder: OcspResponder, authority: Authority, serial: int) -> OcspTold | None:
    """Ask as most clients do: one CertID by SHA-1, no nonce. None where no OCSP speaks for the issuer: a root.

    Raises `UnavailableError` where the responder does.
    """
    if authority.kind is not AuthorityKind.ISSUING:
        return None
    issuer = read_certificate(authority.certificate_der)
    hashes = issuer_hashes(oids.SHA1, issuer.subject, issuer.public_key)
    asked = OCSPRequestBuilder().add_certificate_by_hash(*hashes, serial, SHA1())  # noqa: S303 - RFC 5019 §2.1.1
    answer = responder.answer(asked.build().public_bytes(Encoding.DER))
    read = load_der_ocsp_response(answer.der)
    if read.response_status is not OCSPResponseStatus.SUCCESSFUL:
        return OcspTold(answer.status)
    return OcspTold(
        read.certificate_status.name.lower(),
        None if read.revocation_time_utc is None else reason_of_flag(read.revocation_reason),
        read.revocation_time_utc,
        read.this_update_utc,
        read.next_update_utc,
    )


def crls_say(store: Crls, files: CrlFiles, certificate: Certificate) -> Iterator[CrlTold]:
    """Look into the CRL that the certificate names, and into the delta beside it, as far as they are published.

    What is read is the file of this node; where it has none yet, what the database holds. Raises `UnavailableError`
    where that does not answer.
    """
    for delta in (False, True):
        name = crl_name(certificate.intent.authority, certificate.intent.shard, delta=delta)
        record = store.last_crl(name)
        if record is None:
            continue
        here = files.published(name) if files.digest(name) == record.sha256 else None
        octets = store.crl_octets(record) if here is None else files.read(here.path)
        entry = find_entry(octets, certificate.serial)
        listed = entry is not None and entry.reason != REMOVE_FROM_CRL
        yield CrlTold(
            name,
            delta,
            record.number,
            record.this_update,
            record.next_update,
            listed,
            RevocationReason(entry.reason) if entry is not None and listed else None,
            datetime.fromtimestamp(entry.at / 1000, UTC) if entry is not None and listed else None,
        )
