"""Keys: those that the profile allows pass, those that can be factored or have two encodings do not."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from functools import lru_cache

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from regalia import reasons
from regalia.ca.keycheck import check_key
from regalia.errors import PeerError, Reason
from regalia.wire import der, oids
from small_ca import ec_spki, profile_of

_PROFILE = profile_of()
_KEY = rsa.generate_private_key(65537, 2048)
_PRIMES = (_KEY.private_numbers().p, _KEY.private_numbers().q)


def _der(key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | dsa.DSAPublicKey) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _rsa(n: int, e: int = 65537, parameters: bytes = b"\x05\x00") -> bytes:
    """Encode any numbers as an RSA key: `cryptography` would refuse to make some of them."""
    key = der.bit_string(der.sequence(der.integer(n), der.integer(e)))
    return der.sequence(der.sequence(der.oid(oids.RSA_ENCRYPTION), parameters), key)


def _refusal(spki: bytes) -> tuple[Reason, str]:
    with pytest.raises(PeerError) as caught:
        check_key(spki, _PROFILE)
    return caught.value.reason, caught.value.detail


def _is_prime(number: int) -> bool:
    """Miller and Rabin's test with fixed bases: enough for numbers that nobody chose to deceive it."""
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for base in (2, 3, 5, 7, 11, 13, 17, 19, 23):
        power = pow(base, odd, number)
        if power in (1, number - 1):
            continue
        for _ in range(twos - 1):
            power = power * power % number
            if power == number - 1:
                break
        else:
            return False
    return True


def _next_prime(number: int) -> int:
    number |= 1
    while math.gcd(number, 3 * 5 * 7 * 11 * 13) != 1 or not _is_prime(number):
        number += 2
    return number


# --- what passes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spki",
    [_der(_KEY.public_key()), ec_spki(), ec_spki(ec.SECP384R1()), _rsa(_PRIMES[0] * _PRIMES[1], 2**255 + 95)],
)
def test_key1_ordinary_keys_pass(spki: bytes) -> None:
    """KEY-1: RSA-2048, P-256, P-384 and an RSA exponent just below the limit are allowed."""
    check_key(spki, _PROFILE)


# --- KEY-1: type, size, form -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spki", "what"),
    [
        (b"", "no RSA key"),
        (b"\x30\x00", "no RSA key"),
        (ec_spki()[:-1], "no RSA key"),
        (b"\x30" + bytes(3000), "3000|3001"),
        (_der(ed25519.Ed25519PrivateKey.generate().public_key()), "Ed25519 key; the profile allows none"),
        (_der(dsa.generate_private_key(1024).public_key()), "neither RSA"),  # noqa: S505 - never used
        (ec_spki(ec.SECP521R1()), "secp521r1"),
        (ec_spki(ec.SECP256K1()), "secp256k1"),
        (_rsa((1 << 1023) | 1), "1024 bits"),
        (_rsa((1 << 2046) | 1), "2047 bits"),
        (_rsa((1 << 8192) | 1), "8193 bits"),
        (_rsa(_PRIMES[0] * _PRIMES[1], 3), "exponent"),
        (_rsa(_PRIMES[0] * _PRIMES[1], 65539 * 2), "exponent|no RSA key"),
        (_rsa(_PRIMES[0] * _PRIMES[1], 2**256 + 1), "exponent"),
        (_rsa(_PRIMES[0] * _PRIMES[1], parameters=b""), "usual encoding|no RSA key"),
    ],
)
def test_key1_other_types_sizes_and_forms_are_refused(spki: bytes, what: str) -> None:
    """KEY-1: what is no RSA key of the right size or point on an allowed curve is refused by name."""
    reason, detail = _refusal(spki)
    assert reason is reasons.KEY_REFUSED
    assert any(words in detail for words in what.split("|"))


def test_key1_a_point_off_the_curve_is_refused() -> None:
    """KEY-1: a point whose equation does not hold is no key."""
    octets = bytearray(ec_spki())
    octets[-1] ^= 1
    assert _refusal(bytes(octets))[0] is reasons.KEY_REFUSED


def test_key2_a_second_encoding_of_a_key_is_refused() -> None:
    """KEY-2: the compressed form of a point has another hash, so a blocked key could return in it."""
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    point = key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    algorithm = der.sequence(der.oid(oids.EC_PUBLIC_KEY), der.oid(oids.SECP256R1))
    reason, detail = _refusal(der.sequence(algorithm, der.bit_string(point)))
    assert reason is reasons.KEY_REFUSED
    assert "usual encoding" in detail


def test_the_profile_narrows_the_choice() -> None:
    """A profile without RSA, without a curve or with a larger size refuses what the default allows."""
    small, point = _der(_KEY.public_key()), ec_spki()
    for profile, spki in (
        (replace(_PROFILE, rsa_min_bits=0), small),
        (replace(_PROFILE, rsa_min_bits=3072), small),
        (replace(_PROFILE, curves=("p-384",)), point),
        (replace(_PROFILE, curves=()), point),
    ):
        with pytest.raises(PeerError, match="SCEP-054"):
            check_key(spki, profile)


def test_key1_keys_that_only_sign_are_certified_where_the_profile_lists_them() -> None:
    """KEY-1: Ed25519 and each parameter set of ML-DSA by name; one that is listed lets no other in."""
    pure = ed25519.Ed25519PrivateKey.generate().public_key()
    small, large = mldsa.MLDSA44PrivateKey.generate().public_key(), mldsa.MLDSA87PrivateKey.generate().public_key()
    encoded = [key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) for key in (pure, small, large)]
    for spki, profile in zip(
        encoded,
        (
            replace(_PROFILE, ed25519=True),
            replace(_PROFILE, ml_dsa=("ml-dsa-44",)),
            replace(_PROFILE, ml_dsa=("ml-dsa-87",)),
        ),
        strict=True,
    ):
        check_key(spki, profile)
        for other in encoded:
            if other != spki:
                with pytest.raises(PeerError, match="SCEP-054"):
                    check_key(other, profile)
        assert _refusal(spki)[0] is reasons.KEY_REFUSED


def test_key1_the_exponent_3_is_for_devices_that_make_no_other() -> None:
    """KEY-1: it passes where the endpoint is a legacy one, and nothing else becomes easier there."""
    modulus = _PRIMES[0] * _PRIMES[1]
    check_key(_rsa(modulus, 3), _PROFILE, small_exponents=True)
    check_key(_rsa(modulus), _PROFILE, small_exponents=True)
    assert "exponent" in _refusal(_rsa(modulus, 3))[1]
    for exponent in (5, 17, 4, 2**256 + 1):
        with pytest.raises(PeerError, match="SCEP-054"):
            check_key(_rsa(modulus, exponent), _PROFILE, small_exponents=True)
    with pytest.raises(PeerError, match="SCEP-055"):
        check_key(_rsa(3 * modulus, 3), _PROFILE, small_exponents=True)


# --- KEY-2: weak keys ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [2, 3, 251, 751])
def test_key2_a_small_factor_is_found(factor: int) -> None:
    """KEY-2: a modulus with a prime factor of at most 751 is weak."""
    reason, detail = _refusal(_rsa(factor * _PRIMES[0] * _PRIMES[1]))
    # OpenSSL may refuse an even modulus before we look for its factor.
    assert (reason, "751" in detail) in {(reasons.KEY_WEAK, True), (reasons.KEY_REFUSED, False)}
    assert factor == 2 or reason is reasons.KEY_WEAK


def test_key2_a_factor_above_the_bound_is_not_looked_for() -> None:
    """The check stops at 751: 757, the next prime, passes it."""
    check_key(_rsa(757 * _PRIMES[0] * _PRIMES[1]), _PROFILE)


@pytest.mark.parametrize("gap", [2, 1 << 64, 1 << 500])
def test_key2_primes_close_to_each_other_are_found(gap: int) -> None:
    """KEY-2: two primes that share their upper half or more are found by Fermat's method."""
    p = _next_prime(_PRIMES[0])
    reason, detail = _refusal(_rsa(p * _next_prime(p + gap)))
    assert reason is reasons.KEY_WEAK
    assert "Fermat" in detail


def test_key2_a_square_is_found() -> None:
    """KEY-2: a modulus that is a prime squared is the closest pair of all."""
    assert _refusal(_rsa(_PRIMES[0] ** 2))[0] is reasons.KEY_WEAK


@pytest.mark.parametrize("rounds", range(110))
def test_key2_fermat_goes_110_rounds(rounds: int) -> None:
    """KEY-2: a product that Fermat's method finds in any of its first 110 rounds is refused."""
    n = _found_in_round(rounds)
    assert _refusal(_rsa(n))[0] is reasons.KEY_WEAK
    assert "Fermat" in _refusal(_rsa(n))[1]


def test_key2_fermat_stops_after_110_rounds() -> None:
    """KEY-2: what only the 111th round would find passes, so the check's cost is bounded."""
    check_key(_rsa(_found_in_round(110)), _PROFILE)


def _found_in_round(rounds: int) -> int:
    """Make n = a² - b² without small factors whose root lies `rounds` below a."""
    a = (1 << 1024) + 1
    b = math.isqrt(2 * a * rounds + a) // 2 * 2
    while math.gcd(a * a - b * b, _SMALL) != 1:
        b += 2
    n = a * a - b * b
    assert math.isqrt(n - 1) + 1 + rounds == a
    return n


_SMALL = math.prod(number for number in range(3, 752) if all(number % low for low in range(2, 28) if low < number))


@lru_cache(maxsize=1)
def _infineon_modulus() -> int:
    """Make a modulus as the faulty generator did for 2048 bits: both primes are k * M + 65537 ** a mod M."""
    m = math.prod(number for number in range(2, 702) if all(number % low for low in range(2, 27) if low < number))
    primes: list[int] = []
    seed = 0
    while len(primes) < 2:
        seed += 1
        noise = int.from_bytes(hashlib.shake_256(f"roca {seed}".encode()).digest(40), "big")
        k = (3 << 1022) // m + noise % ((1 << 1021) // m)
        candidate = k * m + pow(65537, noise, m)
        if _is_prime(candidate):
            primes.append(candidate)
    return primes[0] * primes[1]


def test_key2_the_fingerprint_of_the_faulty_generator_is_found() -> None:
    """KEY-2: a key made as CVE-2017-15361 describes is refused."""
    reason, detail = _refusal(_rsa(_infineon_modulus()))
    assert reason is reasons.KEY_WEAK
    assert "ROCA" in detail


def test_ordinary_moduli_have_no_fingerprint() -> None:
    """Two hundred random products of primes of common size pass: the checks do not cry wolf."""
    p = _PRIMES[0]
    for step in range(200):
        candidate = _PRIMES[1] + 2 * step * 30_031
        if math.gcd(candidate, 2 * _SMALL) == 1:
            check_key(_rsa(p * candidate), _PROFILE)


@settings(deadline=None)
@given(st.data())
def test_in1_a_damaged_key_passes_or_is_refused(data: st.DataObject) -> None:
    """IN-1: whatever the octets, the check answers or raises PeerError."""
    octets = bytearray(data.draw(st.sampled_from([_der(_KEY.public_key()), ec_spki()])))
    for _ in range(data.draw(st.integers(1, 4))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    try:
        check_key(bytes(octets), _PROFILE)
    except PeerError:
        return
