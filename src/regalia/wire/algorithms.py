"""Algorithms of CMS messages: identifiers as they stand, and the closed list that is accepted (R1)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from regalia.wire import der, oids

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers import BlockCipherAlgorithm

__all__ = [
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

    @property
    def digests(self) -> dict[str, Digest]:
        """What a message may be signed with, by object identifier."""
        return _DIGESTS[self.legacy]

    @property
    def ciphers(self) -> dict[str, Cipher]:
        """What a message may be encrypted with, by object identifier."""
        return _CIPHERS[self.legacy]


STANDARD: Final = Accepted()
"""R1's list and nothing beside it."""


@dataclass(frozen=True, slots=True)
class Oaep:
    """Parameters of RSAES-OAEP (RFC 8017 appendix A.2.1); the label is always empty."""

    digest: Digest
    mask_digest: Digest
    """Of MGF1."""


class Digest(StrEnum):
    """Digests that we name. SHA-1 is for OAEP, and for signatures only where the endpoint is a legacy one (SIG-5)."""

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
    """Block ciphers in CBC mode with PKCS #7 padding (RFC 3565, RFC 3370 §5.1)."""

    AES128_CBC = "aes-128-cbc"
    AES192_CBC = "aes-192-cbc"
    AES256_CBC = "aes-256-cbc"
    TRIPLE_DES_CBC = "des-ede3-cbc"
    """Only where the endpoint is a legacy one (ENV-5)."""

    @property
    def oid(self) -> str:
        """The cipher's object identifier (RFC 3565 §4.1, RFC 3370 §5.1)."""
        return _CIPHER_OIDS[self]

    @property
    def key_octets(self) -> int:
        """Length of its key."""
        return _KEY_OCTETS[self]

    @property
    def block_octets(self) -> int:
        """Length of a block, and so of its IV."""
        return 8 if self is Cipher.TRIPLE_DES_CBC else 16

    def fits(self, key: bytes) -> bool:
        """Whether these octets are a key of it. Triple DES with two equal neighbours would be single DES."""
        if len(key) != self.key_octets:
            return False
        if self is not Cipher.TRIPLE_DES_CBC:
            return True
        # The lowest bit of each octet is parity, which no DES looks at.
        first, second, third = (bytes(octet & 0xFE for octet in key[at : at + 8]) for at in (0, 8, 16))
        return second not in (first, third)

    def with_key(self, key: bytes) -> BlockCipherAlgorithm:
        """The cipher for `cryptography`; the key is one that `fits`."""
        return TripleDES(key) if self is Cipher.TRIPLE_DES_CBC else AES(key)


_DIGEST_OIDS: Final = {
    Digest.SHA1: oids.SHA1,
    Digest.SHA256: oids.SHA256,
    Digest.SHA384: oids.SHA384,
    Digest.SHA512: oids.SHA512,
}
_DIGEST_IDENTIFIERS: Final = {digest: der.sequence(der.oid(oid)) for digest, oid in _DIGEST_OIDS.items()}
_HASHES: Final[dict[Digest, hashes.HashAlgorithm]] = {
    Digest.SHA1: hashes.SHA1(),  # noqa: S303 - OAEP's default, and for legacy endpoints
    Digest.SHA256: hashes.SHA256(),
    Digest.SHA384: hashes.SHA384(),
    Digest.SHA512: hashes.SHA512(),
}
_CIPHER_OIDS: Final = {
    Cipher.AES128_CBC: oids.AES128_CBC,
    Cipher.AES192_CBC: oids.AES192_CBC,
    Cipher.AES256_CBC: oids.AES256_CBC,
    Cipher.TRIPLE_DES_CBC: oids.DES_EDE3_CBC,
}
_KEY_OCTETS: Final = {
    Cipher.AES128_CBC: 16,
    Cipher.AES192_CBC: 24,
    Cipher.AES256_CBC: 32,
    Cipher.TRIPLE_DES_CBC: 24,
}

_LEGACY_DIGESTS: Final = {digest.oid: digest for digest in Digest}
_LEGACY_CIPHERS: Final = {cipher.oid: cipher for cipher in Cipher}
_DIGESTS: Final[tuple[dict[str, Digest], ...]] = (
    {oid: digest for oid, digest in _LEGACY_DIGESTS.items() if digest is not Digest.SHA1},
    _LEGACY_DIGESTS,
)
_CIPHERS: Final[tuple[dict[str, Cipher], ...]] = (
    {oid: cipher for oid, cipher in _LEGACY_CIPHERS.items() if cipher is not Cipher.TRIPLE_DES_CBC},
    _LEGACY_CIPHERS,
)
"""Standard and legacy: each is looked up once a message."""
