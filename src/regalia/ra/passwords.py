"""Passwords that are kept as slow hashes: scrypt (RFC 7914) of their SHA-256, with salt and cost beside the hash.

scrypt hands a password to HMAC as its key, which is filled up with zeros and, when long, replaced by its hash; the
SHA-256 before it keeps two passwords from being one.
"""

from __future__ import annotations

import hashlib
import hmac

__all__ = ["SALT_OCTETS", "hash_password", "is_password"]

SALT_OCTETS = 16

_COST, _BLOCK, _PARALLEL = 16_384, 8, 1
"""16 MiB and some 0.1 s for each guess: passwords have 14 characters or more, and each wrong one costs us as much."""
_OCTETS = 32
_MEMORY = 64 << 20
"""What OpenSSL may take; it wants to be asked for more than its own 32 MiB."""
_NAME = "scrypt-sha256"


def hash_password(password: bytes, salt: bytes) -> str:
    """Hash a password with a fresh salt of `SALT_OCTETS`; the text is all that `is_password` needs."""
    digest = _scrypt(password, salt, _COST, _BLOCK, _PARALLEL)
    return f"{_NAME}${_COST}${_BLOCK}${_PARALLEL}${salt.hex()}${digest.hex()}"


def is_password(password: bytes, kept: str) -> bool:
    """Whether this is the password; takes the same time for every wrong one. `kept` is what `hash_password` wrote."""
    _, cost, block, parallel, salt, digest = kept.split("$")
    given = _scrypt(password, bytes.fromhex(salt), int(cost), int(block), int(parallel))
    return hmac.compare_digest(given, bytes.fromhex(digest))


def _scrypt(password: bytes, salt: bytes, cost: int, block: int, parallel: int) -> bytes:
    digest = hashlib.sha256(password).digest()
    return hashlib.scrypt(digest, salt=salt, n=cost, r=block, p=parallel, maxmem=_MEMORY, dklen=_OCTETS)
