"""Public keys that peers sign with: bounds first (KEY-1), then one cached object per key.

An enrolment uses a device's key three times (outer signature, request's signature, envelope of the reply); OpenSSL
spends half of a first use on preparing the key, so the prepared object is kept for a while.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey, MLDSA65PublicKey, MLDSA87PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from regalia.wire import der, oids
from regalia.wire.algorithms import STANDARD, Accepted, AlgorithmIdentifier, read_algorithm
from regalia.wire.der import DerError

__all__ = [
    "MAX_RSA_BITS",
    "MIN_RSA_BITS",
    "PURE_KEYS",
    "PublicKey",
    "can_decrypt",
    "key_algorithm",
    "key_bits",
    "key_fault",
    "load_public_key",
]

MIN_RSA_BITS: Final = 2048
MAX_RSA_BITS: Final = 8192
_MIN_EXPONENT: Final = 65537
_LEGACY_EXPONENT: Final = 3
_MAX_EXPONENT_BITS: Final = 256
PublicKey = (
    RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey | MLDSA44PublicKey | MLDSA65PublicKey | MLDSA87PublicKey
)
"""A key that some endpoint verifies with."""

PURE_KEYS: Final = {
    oids.ED25519: Ed25519PublicKey,
    oids.ML_DSA_44: MLDSA44PublicKey,
    oids.ML_DSA_65: MLDSA65PublicKey,
    oids.ML_DSA_87: MLDSA87PublicKey,
}
"""Keys that sign without a digest beforehand, by algorithm; its parameters are absent (RFC 8410 §3, RFC 9881 §2)."""

_PURE_OCTETS: Final = {oids.ED25519: 32, oids.ML_DSA_44: 1312, oids.ML_DSA_65: 1952, oids.ML_DSA_87: 2592}
_MAX_OCTETS: Final = 4608
"""ML-DSA-87 takes 2614, and two integers as long as IN-3 lets them be 4200: what is remembered here stays small."""
_CURVES: Final = {oids.SECP256R1, oids.SECP384R1}


@lru_cache(maxsize=256)
def _split(spki: bytes) -> tuple[AlgorithmIdentifier, bytes]:
    if len(spki) > _MAX_OCTETS:
        raise DerError(f"a public key of {len(spki)} octets")
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


class _Fault(NamedTuple):
    text: str
    legacy: bool = False
    """Whether a legacy endpoint overlooks it."""


def key_fault(spki: bytes, accepted: Accepted = STANDARD) -> str | None:
    """Why we do not verify with this key, in words; None where we do (KEY-1).

    RSA: n odd, 2048 to 8192 bits, e odd, from 65537 to 2^256, or 3 with `legacy`. EC: named P-256 or P-384. With
    `non_rsa` also Ed25519 and ML-DSA. Nothing else. Raises `DerError` where it is not readable.
    """
    fault = _fault(spki)
    if fault is None:
        algorithm = _split(spki)[0]
        return None if accepted.non_rsa or algorithm.oid not in PURE_KEYS else f"its type is {algorithm}"
    return None if fault.legacy and accepted.legacy else fault.text


@lru_cache(maxsize=256)
def _fault(spki: bytes) -> _Fault | None:
    algorithm, key = _split(spki)
    if algorithm.oid == oids.RSA_ENCRYPTION:
        return _rsa_fault(algorithm, key)
    if algorithm.oid in PURE_KEYS:
        return _pure_fault(algorithm, key)
    if algorithm.oid != oids.EC_PUBLIC_KEY:
        return _Fault(f"its type is {algorithm}")
    if algorithm.parameters is None or algorithm.parameters.tag != der.OID:
        return _Fault("its curve is not a named one")
    curve = algorithm.parameters.as_oid()
    return None if curve in _CURVES else _Fault(f"its curve is {oids.describe(curve)}")


def _rsa_fault(algorithm: AlgorithmIdentifier, key: bytes) -> _Fault | None:
    numbers = der.read_one(key, der.SEQUENCE).children()
    if len(numbers) != 2 or not algorithm.plain:
        raise DerError("RSAPublicKey is not a modulus and an exponent")
    modulus, exponent = numbers[0].as_integer(), numbers[1].as_integer()
    bits = modulus.bit_length()
    if not MIN_RSA_BITS <= bits <= MAX_RSA_BITS or modulus < 0:
        return _Fault(f"it is an RSA key of {bits} bits")
    if not modulus & 1:
        return _Fault("its RSA modulus or exponent is even")
    if exponent == _LEGACY_EXPONENT:
        return _Fault("its RSA exponent is 3", legacy=True)
    if exponent < _MIN_EXPONENT or exponent.bit_length() > _MAX_EXPONENT_BITS:
        return _Fault(f"its RSA exponent is out of bounds ({exponent.bit_length()} bits)")
    return None if exponent & 1 else _Fault("its RSA modulus or exponent is even")


def _pure_fault(algorithm: AlgorithmIdentifier, key: bytes) -> _Fault | None:
    if algorithm.parameters is not None or len(key) != _PURE_OCTETS[algorithm.oid]:
        raise DerError(f"{algorithm} has no parameters and a key of {_PURE_OCTETS[algorithm.oid]} octets")
    if algorithm.oid != oids.ED25519:
        return None
    y = int.from_bytes(key, "little") & ((1 << 255) - 1)  # the highest bit is the sign of x
    if y >= _ED25519_FIELD or y in _SMALL_ORDER:
        return _Fault("its point is of small order or not canonical")
    return None


_ED25519_FIELD: Final = 2**255 - 19
_SMALL_ORDER: Final = frozenset(
    {
        0,
        1,
        _ED25519_FIELD - 1,
        0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
        0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7,
    }
)
"""The y of all points whose order divides 8: with such a key one signature holds for any octets."""


def can_decrypt(spki: bytes) -> bool:
    """Whether a reply can be encrypted to this key: an RSA one (RFC 8894 §3.1). Raises `DerError`."""
    return key_algorithm(spki).oid == oids.RSA_ENCRYPTION


@lru_cache(maxsize=256)
def load_public_key(spki: bytes) -> PublicKey:
    """Load a key that some endpoint accepts; whether this one does, `key_fault` says.

    Raises `DerError` where it is not one, for instance a point beside its curve.
    """
    fault = key_fault(spki, _WIDEST)
    if fault is not None:
        raise DerError(fault)
    try:
        key = load_der_public_key(spki)
    except (ValueError, UnsupportedAlgorithm) as refused:
        raise DerError("the public key is not valid") from refused
    if not isinstance(key, PublicKey):
        raise DerError("the public key is of another type than it says")
    return key


_WIDEST: Final = Accepted(legacy=True, non_rsa=True)
