"""What a CertPoll carries: IssuerAndSubject (RFC 8894 §3.3.3)."""

from __future__ import annotations

from regalia import reasons
from regalia.wire import der, tlv
from regalia.wire.boundary import reading
from regalia.wire.names import read_name

__all__ = ["check_poll"]

_PARTS = 2


def check_poll(octets: bytes) -> None:
    """Check that a decrypted content is exactly one DER IssuerAndSubject: two Names, and nothing after them (ENV-4).

    Which names they are is not judged. The poll is found by its transactionID and its signer's key, and clients differ
    in what they write: the issuer may be the RA's name or the CA's, the subject may be empty.
    Raises `PeerError` POLL_REFUSED.
    """
    with reading(reasons.POLL_REFUSED):
        tlv.walk(octets)
        parts = der.read_one(octets, der.SEQUENCE).children()
        if len(parts) != _PARTS:
            raise der.DerError(f"IssuerAndSubject has {len(parts)} parts")
        for part in parts:
            read_name(part.raw)
