"""A CRL of one of our authorities as it was published: what it says, if it is genuine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_public_key

from regalia import reasons
from regalia.errors import AdminError
from regalia.model import RevocationReason
from regalia.wire.certificate import read_certificate
from regalia.wire.names import same_name

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from regalia.model import Authority

__all__ = ["KnownCrl", "ListedSerial", "is_signed_by", "number_of", "read_known_crl", "reason_of", "reason_of_flag"]

_REASONS = {
    x509.ReasonFlags.key_compromise: RevocationReason.KEY_COMPROMISE,
    x509.ReasonFlags.ca_compromise: RevocationReason.CA_COMPROMISE,
    x509.ReasonFlags.affiliation_changed: RevocationReason.AFFILIATION_CHANGED,
    x509.ReasonFlags.superseded: RevocationReason.SUPERSEDED,
    x509.ReasonFlags.cessation_of_operation: RevocationReason.CESSATION_OF_OPERATION,
    x509.ReasonFlags.certificate_hold: RevocationReason.CERTIFICATE_HOLD,
    x509.ReasonFlags.privilege_withdrawn: RevocationReason.PRIVILEGE_WITHDRAWN,
}


@dataclass(frozen=True, slots=True)
class ListedSerial:
    """An entry of a CRL."""

    serial: int
    reason: RevocationReason
    at: datetime


@dataclass(frozen=True, slots=True)
class KnownCrl:
    """A CRL that one of our authorities signed."""

    authority: str
    number: int
    this_update: datetime
    entries: tuple[ListedSerial, ...]


def read_known_crl(octets: bytes, authorities: Sequence[Authority]) -> KnownCrl:
    """Read a CRL, DER or PEM, and find which of the authorities signed it; it may have ended by now.

    Raises `AdminError` ADM-062 where it cannot be read, has no number or is nobody's of these.
    """
    try:
        pem = octets.lstrip().startswith(b"-----BEGIN")
        crl = x509.load_pem_x509_crl(octets) if pem else x509.load_der_x509_crl(octets)
        number, delta = number_of(crl), _is_delta(crl)
        entries = tuple(ListedSerial(each.serial_number, reason_of(each), each.revocation_date_utc) for each in crl)
    except (ValueError, x509.InvalidVersion, x509.DuplicateExtension, UnsupportedAlgorithm) as error:
        raise AdminError(reasons.KNOWN_CRL_REFUSED, "it cannot be read as a CRL with a number") from error
    if number is None:
        raise AdminError(reasons.KNOWN_CRL_REFUSED, "it cannot be read as a CRL with a number")
    if delta:
        raise AdminError(reasons.KNOWN_CRL_REFUSED, "it is a delta CRL, which says only what changed")
    for authority in authorities:
        if is_signed_by(crl, authority.certificate_der):
            return KnownCrl(authority.name, number, crl.last_update_utc, entries)
    raise AdminError(reasons.KNOWN_CRL_REFUSED, f"none of the authorities signed it: {crl.issuer.rfc4514_string()}")


def number_of(crl: x509.CertificateRevocationList) -> int | None:
    """Read a CRL's number (RFC 5280 §5.2.3). Raises `ValueError` for what is none."""
    try:
        return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except x509.ExtensionNotFound:
        return None


def _is_delta(crl: x509.CertificateRevocationList) -> bool:
    return any(isinstance(extension.value, x509.DeltaCRLIndicator) for extension in crl.extensions)


def reason_of(entry: x509.RevokedCertificate) -> RevocationReason:
    """Read why a serial is listed; what nobody here gives counts as unspecified."""
    try:
        flag = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
    except x509.ExtensionNotFound:
        return RevocationReason.UNSPECIFIED
    return reason_of_flag(flag)


def reason_of_flag(flag: x509.ReasonFlags | None) -> RevocationReason:
    """Read a reason; none counts as unspecified, too."""
    return RevocationReason.UNSPECIFIED if flag is None else _REASONS.get(flag, RevocationReason.UNSPECIFIED)


def is_signed_by(crl: x509.CertificateRevocationList, certificate: bytes) -> bool:
    """Whether name and signature of a CRL are those of a DER certificate."""
    facts = read_certificate(certificate)
    if not same_name(crl.issuer.public_bytes(), facts.subject):
        return False
    try:
        return crl.is_signature_valid(load_der_public_key(facts.public_key))  # type: ignore[arg-type]  # it raises for others
    except (TypeError, ValueError, UnsupportedAlgorithm):
        return False
