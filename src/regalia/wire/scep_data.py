"""What GetCert and GetCRL carry: IssuerAndSerialNumber (RFC 8894 §3.3.4).

It comes out of an envelope and nobody signs it, so whatever is wrong with it is told like a certificate that there is
not: stage RETRIEVAL (R6).
"""

from __future__ import annotations

from dataclasses import dataclass

from regalia import reasons
from regalia.wire import der, tlv
from regalia.wire.boundary import reading
from regalia.wire.names import read_name

__all__ = ["IssuerAndSerial", "read_issuer_and_serial"]

_PARTS = 2


@dataclass(frozen=True, slots=True)
class IssuerAndSerial:
    """Which certificate is meant (RFC 5652 §10.2.4)."""

    issuer: bytes
    """DER Name as sent, which may be written otherwise than in the certificate."""
    serial: int
    """As sent: it may be negative, or longer than any of ours."""


def read_issuer_and_serial(octets: bytes) -> IssuerAndSerial:
    """Read a decrypted content that must be exactly one DER IssuerAndSerialNumber (ENV-4).

    Raises `PeerError` RETRIEVAL_REFUSED.
    """
    with reading(reasons.RETRIEVAL_REFUSED):
        tlv.walk(octets)
        parts = der.read_one(octets, der.SEQUENCE).children()
        if len(parts) != _PARTS:
            raise der.DerError(f"IssuerAndSerialNumber has {len(parts)} parts")
        issuer, serial = parts
        read_name(issuer.raw)
        return IssuerAndSerial(issuer.raw, serial.as_integer())
