"""Public keys that peers sign with: bounds first (KEY-1), then one cached object per key.

An enrolment uses a device's key three times (outer signature, request's signature, envelope of the reply); OpenSSL
spends half of a first use on preparing the key, so the prepared object is kept for a while.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from regalia.wire import der, oids
from regalia.wire.algorithms import STANDARD, Accepted, AlgorithmIdentifier, read_algorithm
from regalia.wire.der import DerError

__all__ = [
    "MAX_RSA_BITS",
    "MIN_RSA_BITS",
    "can_decrypt",
    "key_algorithm",
    "key_bits",
    "key_fault",
    "load_public_key",
]

MIN_RSA_BITS: Final = 2048
MAX_RSA_BITS: Final = 8192
_MIN_EXPONENT: Final = 65537
_MAX_EXPONENT_BITS: Final = 256
_CURVES: Final = {oids.SECP256R1, oids.SECP384R1}


@lru_cache(maxsize=256)
def _split(spki: bytes) -> tuple[AlgorithmIdentifier, bytes]:
    parts = der.read_one(spki, der.SEQUENCE).children()
    if len(parts) != 2:
        raise DerError("SubjectPublicKeyInfo is not an algorithm and a key")
    bits = parts[1].expect(der.BIT_STRING).content
    if not bits or bits[0]:
        raise DerError("a public key is not a whole number of octets")
    return read_algorithm(parts[0]), bits[1:]


def key_algorithm(spki: bytes) -> AlgorithmIdentifier:
    """The algorithm of a DER SubjectPublicKeyInfo. Raises `DerError`."""
    return _split(spki)[0]


def key_bits(spki: bytes) -> bytes:
    """The octets of the subjectPublicKey of a DER SubjectPublicKeyInfo. Raises `DerError`."""
    return _split(spki)[1]


@lru_cache(maxsize=256)
def key_fault(spki: bytes, accepted: Accepted = STANDARD) -> str | None:
    """Why we do not verify with this key, in words; None where we do (KEY-1).

    RSA: n odd, 2048 to 8192 bits, e odd, from 65537 to 2^256. EC: named P-256 or P-384. Nothing else.
    Raises `DerError` where it is not readable.
    """
    algorithm, key = _split(spki)
    if algorithm.oid == oids.RSA_ENCRYPTION:
        return _rsa_fault(algorithm, key)
    if algorithm.oid != oids.EC_PUBLIC_KEY:
        return f"its type is {algorithm}"
    if algorithm.parameters is None or algorithm.parameters.tag != der.OID:
        return "its curve is not a named one"
    curve = algorithm.parameters.as_oid()
    return None if curve in _CURVES else f"its curve is {oids.describe(curve)}"


def _rsa_fault(algorithm: AlgorithmIdentifier, key: bytes) -> str | None:
    numbers = der.read_one(key, der.SEQUENCE).children()
    if len(numbers) != 2 or not algorithm.plain:
        raise DerError("RSAPublicKey is not a modulus and an exponent")
    modulus, exponent = numbers[0].as_integer(), numbers[1].as_integer()
    bits = modulus.bit_length()
    if not MIN_RSA_BITS <= bits <= MAX_RSA_BITS or modulus < 0:
        return f"it is an RSA key of {bits} bits"
    if exponent < _MIN_EXPONENT or exponent.bit_length() > _MAX_EXPONENT_BITS:
        return f"its RSA exponent is out of bounds ({exponent.bit_length()} bits)"
    if not modulus & exponent & 1:
        return "its RSA modulus or exponent is even"
    return None


def can_decrypt(spki: bytes) -> bool:
    """Whether a reply can be encrypted to this key: an RSA one (RFC 8894 §3.1). Raises `DerError`."""
    return key_algorithm(spki).oid == oids.RSA_ENCRYPTION


@lru_cache(maxsize=256)
def load_public_key(spki: bytes) -> RSAPublicKey | EllipticCurvePublicKey:
    """Load a key without `key_fault`. Raises `DerError` where it is not one, for instance a point beside its curve."""
    fault = key_fault(spki)
    if fault is not None:
        raise DerError(fault)
    try:
        key = load_der_public_key(spki)
    except (ValueError, UnsupportedAlgorithm) as refused:
        raise DerError("the public key is not valid") from refused
    if not isinstance(key, RSAPublicKey | EllipticCurvePublicKey):
        raise DerError("the public key is neither RSA nor EC")
    return key
