"""What the smaller SCEP messages carry: IssuerAndSubject and IssuerAndSerialNumber (RFC 8894 §3.3.3, §3.3.4).

Both come out of an envelope, so whatever is wrong with them is one refusal of stage ENVELOPE (R6).
"""

from __future__ import annotations

from dataclasses import dataclass

from regalia import reasons
from regalia.wire import der, tlv
from regalia.wire.boundary import reading
from regalia.wire.names import read_name

__all__ = ["IssuerAndSerial", "check_poll", "read_issuer_and_serial"]

_PARTS = 2


@dataclass(frozen=True, slots=True)
class IssuerAndSerial:
    """Which certificate is meant (RFC 5652 §10.2.4)."""

    issuer: bytes
    """DER Name as sent, which may be written otherwise than in the certificate."""
    serial: int
    """As sent: it may be negative, or longer than any of ours."""


def check_poll(octets: bytes) -> None:
    """Check that a decrypted content is exactly one DER IssuerAndSubject: two Names, and nothing after them (ENV-4).

    Which names they are is not judged. The poll is found by its transactionID and its signer's key, and clients differ
    in what they write: the issuer may be the RA's name or the CA's, the subject may be empty.
    Raises `PeerError` POLL_REFUSED.
    """
    with reading(reasons.POLL_REFUSED):
        for part in _two_parts(octets, "IssuerAndSubject"):
            read_name(part.raw)


def read_issuer_and_serial(octets: bytes) -> IssuerAndSerial:
    """Read a decrypted content that must be exactly one DER IssuerAndSerialNumber (ENV-4).

    Raises `PeerError` RETRIEVAL_REFUSED.
    """
    with reading(reasons.RETRIEVAL_REFUSED):
        issuer, serial = _two_parts(octets, "IssuerAndSerialNumber")
        read_name(issuer.raw)
        return IssuerAndSerial(issuer.raw, serial.as_integer())


def _two_parts(octets: bytes, what: str) -> tuple[der.Tlv, der.Tlv]:
    tlv.walk(octets)
    parts = der.read_one(octets, der.SEQUENCE).children()
    if len(parts) != _PARTS:
        raise der.DerError(f"{what} has {len(parts)} parts")
    return parts[0], parts[1]
