"""Algorithms of CMS messages: identifiers as they stand, and the closed list that is accepted (R1)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final

from cryptography.hazmat.primitives import hashes

from regalia.wire import der, oids

__all__ = [
    "CIPHERS",
    "DIGESTS",
    "RSA_SIGNATURES",
    "STANDARD",
    "Accepted",
    "AlgorithmIdentifier",
    "Cipher",
    "Digest",
    "Oaep",
    "read_algorithm",
]


@dataclass(frozen=True, slots=True)
class AlgorithmIdentifier:
    """An algorithm as it stands in a message, not judged."""

    oid: str
    parameters: der.Tlv | None

    @property
    def plain(self) -> bool:
        """Whether the parameters are absent or NULL (R7)."""
        return self.parameters is None or self.parameters.raw == b"\x05\x00"

    def __str__(self) -> str:
        return oids.describe(self.oid)


def read_algorithm(element: der.Tlv) -> AlgorithmIdentifier:
    """Read an AlgorithmIdentifier (RFC 5280 §4.1.1.2). Raises `DerError`."""
    return _read_short(element) if len(element.raw) <= _MAX_REMEMBERED else _read(element)


_MAX_REMEMBERED: Final = 24
"""Octets of an identifier that is kept: a message holds half a dozen, the same in each. Those with an IV are longer."""


def _read(element: der.Tlv) -> AlgorithmIdentifier:
    parts = element.expect(der.SEQUENCE).children()
    if not 1 <= len(parts) <= 2:
        raise der.DerError("AlgorithmIdentifier is not an algorithm and its parameters")
    return AlgorithmIdentifier(parts[0].as_oid(), parts[1] if len(parts) == 2 else None)


_read_short = lru_cache(maxsize=128)(_read)


@dataclass(frozen=True, slots=True)
class Accepted:
    """What an endpoint takes beside R1's list: the two switches of its administrator."""

    legacy: bool = False
    """SHA-1, triple DES, and RSA exponents of 3."""
    non_rsa: bool = False
    """ECDSA on P-256 and P-384, Ed25519 and ML-DSA."""


STANDARD: Final = Accepted()
"""R1's list and nothing beside it."""


@dataclass(frozen=True, slots=True)
class Oaep:
    """Parameters of RSAES-OAEP (RFC 8017 appendix A.2.1); the label is always empty."""

    digest: Digest
    mask_digest: Digest
    """Of MGF1."""


class Digest(StrEnum):
    """Digests that we name. SHA-1 is here to be named, not to be accepted: see `DIGESTS`."""

    SHA1 = "sha1"
    SHA256 = "sha256"
    SHA384 = "sha384"
    SHA512 = "sha512"

    @property
    def oid(self) -> str:
        """The digest's object identifier (RFC 5754 §2)."""
        return _DIGEST_OIDS[self]

    @property
    def identifier(self) -> bytes:
        """DER AlgorithmIdentifier with parameters absent, as RFC 5754 §2 asks of writers."""
        return _DIGEST_IDENTIFIERS[self]

    def hash(self) -> hashes.HashAlgorithm:
        """The digest for `cryptography`."""
        return _HASHES[self]

    def of(self, data: bytes) -> bytes:
        """Digest `data`."""
        return hashlib.new(self.value, data, usedforsecurity=self is not Digest.SHA1).digest()


class Cipher(StrEnum):
    """AES in CBC mode with PKCS #7 padding (RFC 3565)."""

    AES128_CBC = "aes-128-cbc"
    AES192_CBC = "aes-192-cbc"
    AES256_CBC = "aes-256-cbc"

    @property
    def oid(self) -> str:
        """The cipher's object identifier (RFC 3565 §4.1)."""
        return _CIPHER_OIDS[self]

    @property
    def key_octets(self) -> int:
        """Length of its key."""
        return _KEY_OCTETS[self]


_DIGEST_OIDS: Final = {
    Digest.SHA1: oids.SHA1,
    Digest.SHA256: oids.SHA256,
    Digest.SHA384: oids.SHA384,
    Digest.SHA512: oids.SHA512,
}
_DIGEST_IDENTIFIERS: Final = {digest: der.sequence(der.oid(oid)) for digest, oid in _DIGEST_OIDS.items()}
_HASHES: Final[dict[Digest, hashes.HashAlgorithm]] = {
    Digest.SHA1: hashes.SHA1(),  # noqa: S303 - named so that it can be refused by name
    Digest.SHA256: hashes.SHA256(),
    Digest.SHA384: hashes.SHA384(),
    Digest.SHA512: hashes.SHA512(),
}
_CIPHER_OIDS: Final = {
    Cipher.AES128_CBC: oids.AES128_CBC,
    Cipher.AES192_CBC: oids.AES192_CBC,
    Cipher.AES256_CBC: oids.AES256_CBC,
}
_KEY_OCTETS: Final = {Cipher.AES128_CBC: 16, Cipher.AES192_CBC: 24, Cipher.AES256_CBC: 32}

DIGESTS: Final = {digest.oid: digest for digest in (Digest.SHA256, Digest.SHA384, Digest.SHA512)}
"""What a SCEP message may be signed with, by object identifier (R1)."""

CIPHERS: Final = {cipher.oid: cipher for cipher in Cipher}
"""What a SCEP message may be encrypted with, by object identifier (R1)."""

RSA_SIGNATURES: Final = {
    oids.SHA256_WITH_RSA: Digest.SHA256,
    oids.SHA384_WITH_RSA: Digest.SHA384,
    oids.SHA512_WITH_RSA: Digest.SHA512,
}
"""RSA PKCS #1 v1.5 by combined object identifier (RFC 8017 appendix A.2.4)."""
