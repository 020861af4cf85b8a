"""Is this a key that may be certified (KEY-1, KEY-2)? Type, size and the known ways to be weak.

Called before any signature is verified with the key, since a hostile key can make verification slow.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from regalia import reasons
from regalia.errors import PeerError
from regalia.wire import oids
from regalia.wire.public_key import key_algorithm

if TYPE_CHECKING:
    from collections.abc import Iterable

    from regalia.model import Profile

__all__ = ["check_key"]

_MAX_SPKI: Final = 2800
"""Octets: an RSA-8192 key takes some 1100, one of ML-DSA-87 2614."""
_MIN_RSA_BITS: Final = 2048
_MAX_RSA_BITS: Final = 8192
_MIN_EXPONENT: Final = 65537
_MAX_EXPONENT_BITS: Final = 256
_SMALL_EXPONENT: Final = 3
_FERMAT_ROUNDS: Final = 110
_LARGEST_SMALL_FACTOR: Final = 751

_CURVES: Final = {"p-256": "secp256r1", "p-384": "secp384r1"}
_ML_DSA: Final = {oids.ML_DSA_44: "ml-dsa-44", oids.ML_DSA_65: "ml-dsa-65", oids.ML_DSA_87: "ml-dsa-87"}


def check_key(spki: bytes, profile: Profile, *, small_exponents: bool = False) -> None:
    """Refuse a DER SubjectPublicKeyInfo that the profile does not allow or that is known to be weak.

    `small_exponents` lets RSA keys with the exponent 3 in, for devices that make no others (KEY-1). Raises `PeerError`
    KEY_REFUSED for type, size and form, KEY_WEAK for a modulus that can be factored.
    """
    if len(spki) > _MAX_SPKI:
        raise _refused(f"a public key of {len(spki)} octets")
    try:
        key = load_der_public_key(spki)
    except (ValueError, UnsupportedAlgorithm):
        raise _refused("a key that is no RSA key and on no named curve, or whose point is not on it") from None
    if isinstance(key, rsa.RSAPublicKey):
        _check_rsa(key.public_numbers(), profile, small_exponents=small_exponents)
    elif isinstance(key, ec.EllipticCurvePublicKey):
        _check_curve(key.curve.name, profile)
    elif isinstance(key, ed25519.Ed25519PublicKey):
        if not profile.ed25519:
            raise _refused("an Ed25519 key; the profile allows none")
    elif isinstance(key, mldsa.MLDSA44PublicKey | mldsa.MLDSA65PublicKey | mldsa.MLDSA87PublicKey):
        _check_ml_dsa(_ML_DSA[key_algorithm(spki).oid], profile)
    else:
        raise _refused("a key that is neither RSA nor on a named curve, nor of Ed25519 or ML-DSA")
    if key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) != spki:
        # One key in two encodings would have two hashes, and a blocked key could come back in the other (KEY-2).
        raise _refused("a key that is not in its usual encoding (compressed point, odd parameters)")


def _refused(what: str) -> PeerError:
    return PeerError(reasons.KEY_REFUSED, what)


def _weak(why: str) -> PeerError:
    return PeerError(reasons.KEY_WEAK, why)


def _check_curve(curve: str, profile: Profile) -> None:
    if curve not in {_CURVES[name] for name in profile.curves}:
        raise _refused(f"an elliptic curve key on {curve}; the profile allows {', '.join(profile.curves) or 'none'}")


def _check_ml_dsa(parameters: str, profile: Profile) -> None:
    if parameters not in profile.ml_dsa:
        raise _refused(f"an {parameters.upper()} key; the profile allows {', '.join(profile.ml_dsa) or 'none'}")


def _check_rsa(numbers: rsa.RSAPublicNumbers, profile: Profile, *, small_exponents: bool) -> None:
    n, e = numbers.n, numbers.e
    if not profile.rsa_min_bits:
        raise _refused("an RSA key; the profile allows none")
    least = max(profile.rsa_min_bits, _MIN_RSA_BITS)
    if not least <= n.bit_length() <= _MAX_RSA_BITS:
        raise _refused(f"an RSA key of {n.bit_length()} bits; the profile allows {least} to {_MAX_RSA_BITS}")
    if profile.rsa_bits and n.bit_length() not in profile.rsa_bits:
        allowed = ", ".join(map(str, profile.rsa_bits))
        raise _refused(f"an RSA key of {n.bit_length()} bits; the profile allows {allowed}")
    small = e == _SMALL_EXPONENT and small_exponents
    if not small and (e < _MIN_EXPONENT or e % 2 == 0 or e.bit_length() > _MAX_EXPONENT_BITS):
        raise _refused("an RSA key whose exponent is below 65537, even or huge")
    if math.gcd(n % _SMALL_PRIMES_PRODUCT, _SMALL_PRIMES_PRODUCT) != 1:
        raise _weak(f"the modulus has a prime factor of at most {_LARGEST_SMALL_FACTOR}")
    if _has_roca_fingerprint(n):
        raise _weak("the modulus has the fingerprint of a faulty Infineon generator (ROCA, CVE-2017-15361)")
    if _has_close_factors(n):
        raise _weak("the modulus is a product of two primes close to each other (Fermat, CVE-2022-26320)")


# --- small factors --------------------------------------------------------------------------------------------------


def _primes(largest: int) -> list[int]:
    sieve = bytearray([1]) * (largest + 1)
    sieve[:2] = b"\x00\x00"
    for number in range(2, math.isqrt(largest) + 1):
        if sieve[number]:
            sieve[number * number :: number] = bytes(len(sieve[number * number :: number]))
    return [number for number in range(largest + 1) if sieve[number]]


_SMALL_PRIMES_PRODUCT: Final = math.prod(_primes(_LARGEST_SMALL_FACTOR))


# --- ROCA -----------------------------------------------------------------------------------------------------------
#
# The generator made primes of the form k * M + (65537 ** a mod M), with M the product of the first primes: 39 of them
# for its smallest keys, more for larger ones. So N is a power of 65537 modulo each of these primes, which a random
# modulus is for all of them with a probability below 1 in 100 million.

_GENERATOR: Final = 65537


def _powers(prime: int) -> int:
    """All powers of the generator modulo a prime, as a bit set."""
    bits, power = 0, 1
    while not bits >> power & 1:
        bits |= 1 << power
        power = power * _GENERATOR % prime
    return bits


_ROCA_PRIMES: Final = tuple((prime, _powers(prime)) for prime in _primes(167) if _powers(prime).bit_count() < prime - 1)
"""Primes whose group 65537 does not generate: the others would tell nothing."""
_ROCA_PRODUCT: Final = math.prod(prime for prime, _ in _ROCA_PRIMES)


def _has_roca_fingerprint(n: int) -> bool:
    rest = n % _ROCA_PRODUCT
    return all(powers >> (rest % prime) & 1 for prime, powers in _ROCA_PRIMES)


# --- Fermat ---------------------------------------------------------------------------------------------------------


#
# n = a² - b² with a just above its root. A candidate a can be told from its rests alone in all but one case in a
# thousand: a² - n must be a square modulo every small number. All candidates are looked at together, as bits.

_MODULI: Final = (64, 63, 65, 11, 17, 19, 23)
"""Without a common factor, so that each rules out what the others leave."""
_MODULUS: Final = math.prod(_MODULI)
_ALL_ROUNDS: Final = (1 << _FERMAT_ROUNDS) - 1


def _fitting(modulus: int) -> tuple[int, ...]:
    """For each rest of n the numbers a for which a² - n is a square modulo `modulus`, as a bit set.

    The bits go on beyond the modulus, so that shifting by a's rest gives all rounds that begin there.
    """
    squares = {number * number % modulus for number in range(modulus)}
    rests = range(modulus + _FERMAT_ROUNDS)
    return tuple(_bit_set(a for a in rests if (a * a - n) % modulus in squares) for n in range(modulus))


def _bit_set(numbers: Iterable[int]) -> int:
    bits = 0
    for number in numbers:
        bits |= 1 << number
    return bits


_SIEVES: Final = tuple((modulus, _fitting(modulus)) for modulus in _MODULI)


def _has_close_factors(n: int) -> bool:
    """Try to write n as a difference of squares near its root, 110 rounds."""
    first = math.isqrt(n - 1) + 1
    a_rest, n_rest = first % _MODULUS, n % _MODULUS
    rounds = _ALL_ROUNDS
    for modulus, fitting in _SIEVES:
        rounds &= fitting[n_rest % modulus] >> a_rest % modulus
    while rounds:
        a = first + (rounds & -rounds).bit_length() - 1
        rest = a * a - n
        if math.isqrt(rest) ** 2 == rest:
            return True
        rounds &= rounds - 1
    return False
