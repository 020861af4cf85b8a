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

__all__ = ["KnownCrl", "ListedSerial", "read_known_crl"]

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
        number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        entries = tuple(_entry(each) for each in crl)
    except (ValueError, x509.InvalidVersion, x509.ExtensionNotFound, x509.DuplicateExtension) as error:
        raise AdminError(reasons.KNOWN_CRL_REFUSED, "it cannot be read as a CRL with a number") from error
    for authority in authorities:
        if _signed_by(crl, authority):
            return KnownCrl(authority.name, number, crl.last_update_utc, entries)
    raise AdminError(reasons.KNOWN_CRL_REFUSED, f"none of the authorities signed it: {crl.issuer.rfc4514_string()}")


def _entry(entry: x509.RevokedCertificate) -> ListedSerial:
    try:
        flag = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
    except x509.ExtensionNotFound:
        flag = x509.ReasonFlags.unspecified
    reason = _REASONS.get(flag, RevocationReason.UNSPECIFIED)
    return ListedSerial(entry.serial_number, reason, entry.revocation_date_utc)


def _signed_by(crl: x509.CertificateRevocationList, authority: Authority) -> bool:
    facts = read_certificate(authority.certificate_der)
    if not same_name(crl.issuer.public_bytes(), facts.subject):
        return False
    try:
        return crl.is_signature_valid(load_der_public_key(facts.public_key))  # type: ignore[arg-type]  # a CA's key signs
    except (TypeError, ValueError, UnsupportedAlgorithm):
        return False
