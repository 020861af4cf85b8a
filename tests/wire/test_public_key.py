"""Bounds of the keys that peers sign with (KEY-1)."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from regalia.wire import der, oids
from regalia.wire.algorithms import STANDARD, Accepted
from regalia.wire.der import DerError
from regalia.wire.public_key import PURE_KEYS, can_decrypt, key_algorithm, key_fault, load_public_key
from scep_parts import DEVICE, NON_RSA, algorithm, ec_identity, key_identity

N = (1 << 2047) + 1


def rsa_key(n: int, e: int) -> bytes:
    """SubjectPublicKeyInfo of an RSA key of any numbers."""
    return der.sequence(algorithm(oids.RSA_ENCRYPTION), der.bit_string(der.sequence(der.integer(n), der.integer(e))))


@pytest.mark.parametrize(
    ("n", "e"), [(N, 65537), ((1 << 8191) + 1, 65537), (N, (1 << 255) + 1)], ids=["2048", "8192", "large e"]
)
def test_keys_within_the_bounds_have_no_fault(n: int, e: int) -> None:
    """RSA keys of 2048 to 8192 bits with an odd exponent from 65537 to 2^256 are verified with."""
    assert key_fault(rsa_key(n, e)) is None


@pytest.mark.parametrize(
    ("n", "e", "named"),
    [
        ((1 << 2046) + 1, 65537, "2047 bits"),
        ((1 << 8192) + 1, 65537, "8193 bits"),
        (-N, 65537, "2048 bits"),
        (N, 5, "exponent"),
        (N, 65535, "exponent"),
        (N, -65537, "exponent"),
        (N, (1 << 256) + 1, "exponent"),
        (N, 65538, "even"),
        (N + 1, 65537, "even"),
    ],
)
def test_keys_beyond_the_bounds_are_named(n: int, e: int, named: str) -> None:
    """One step beyond each bound is a fault, which is told before OpenSSL sees the key."""
    spki = rsa_key(n, e)
    assert named in (key_fault(spki) or "")
    with pytest.raises(DerError):
        load_public_key(spki)


@pytest.mark.parametrize(
    "spki",
    [
        der.sequence(algorithm(oids.RSA_ENCRYPTION), der.bit_string(b"", 0)[:-1] + b""),
        der.sequence(algorithm(oids.RSA_ENCRYPTION), der.bit_string(b"\x80", 7)),
        der.sequence(
            algorithm(oids.RSA_ENCRYPTION, der.sequence()), der.bit_string(der.sequence(der.null(), der.null()))
        ),
        der.sequence(algorithm(oids.RSA_ENCRYPTION), der.bit_string(der.sequence(der.null(), der.null()))),
    ],
    ids=["cut", "unused bits", "parameters", "no numbers"],
)
def test_what_is_no_key_is_refused(spki: bytes) -> None:
    """A SubjectPublicKeyInfo of the wrong shape raises DerError."""
    with pytest.raises(DerError):
        key_fault(spki)


def test_the_same_key_is_loaded_once() -> None:
    """A key comes back as the same object, so that OpenSSL prepares it once."""
    assert load_public_key(DEVICE().spki) is load_public_key(bytes(bytearray(DEVICE().spki)))


def test_the_algorithm_of_a_key_is_told() -> None:
    """RSA and EC keys are told apart by their algorithm."""
    assert key_algorithm(DEVICE().spki).oid == oids.RSA_ENCRYPTION
    assert key_algorithm(ec_identity("curve").spki).oid == oids.EC_PUBLIC_KEY


@given(st.binary(max_size=80))
def test_only_dererror_leaves(octets: bytes) -> None:
    """Whatever the octets, a key is loaded or DerError raised (IN-1)."""
    try:
        load_public_key(octets)
    except DerError:
        return
    assert octets


# --- switches -------------------------------------------------------------------------------------------------------


def test_the_exponent_3_needs_legacy() -> None:
    """The RSA exponent 3 is no fault at a legacy endpoint, other bounds hold there as everywhere (KEY-1)."""
    legacy = Accepted(legacy=True)
    assert key_fault(rsa_key(N, 3)) == key_fault(rsa_key(N, 3), Accepted(non_rsa=True)) == "its RSA exponent is 3"
    assert key_fault(rsa_key(N, 3), legacy) is None
    assert key_fault(rsa_key((1 << 1023) + 1, 3), legacy) == "it is an RSA key of 1024 bits"
    assert key_fault(rsa_key(N + 1, 3), legacy) == "its RSA modulus or exponent is even"
    for e in (1, 5, 17, -3):
        assert "exponent is out of bounds" in (key_fault(rsa_key(N, e), legacy) or "")


@pytest.mark.parametrize("kind", NON_RSA)
def test_keys_that_are_not_rsa_need_their_switch(kind: str) -> None:
    """Ed25519 and ML-DSA are no fault with non-rsa; EC keys are none anywhere, since requests may hold them (R1)."""
    spki = key_identity(kind).spki
    assert key_fault(spki, Accepted(non_rsa=True)) is None
    for accepted in (STANDARD, Accepted(legacy=True)):
        assert (key_fault(spki, accepted) is None) is kind.startswith("p-")
    assert not can_decrypt(spki)
    loaded = load_public_key(spki)
    assert loaded.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == spki


def test_rsa_keys_decrypt() -> None:
    """A reply can be encrypted to an RSA key and to no other (RFC 8894 §3.1)."""
    assert can_decrypt(DEVICE().spki)


@pytest.mark.parametrize("oid", PURE_KEYS)
def test_pure_keys_have_one_form(oid: str) -> None:
    """Parameters, and keys of another length, are refused before OpenSSL sees them (RFC 8410 §3, RFC 9881 §4)."""
    size = {oids.ED25519: 32, oids.ML_DSA_44: 1312, oids.ML_DSA_65: 1952, oids.ML_DSA_87: 2592}[oid]
    for parameters, octets in ((der.null(), size), (b"", size - 1), (b"", size + 1), (b"", 0)):
        spki = der.sequence(algorithm(oid, parameters), der.bit_string(b"\x03" * octets))
        with pytest.raises(DerError):
            key_fault(spki, Accepted(non_rsa=True))


FIELD = 2**255 - 19
D = -121665 * pow(121666, -1, FIELD) % FIELD


def _add(p: tuple[int, int], q: tuple[int, int]) -> tuple[int, int]:
    """Add two points of edwards25519 (RFC 8032 §5.1.4, in affine form)."""
    product = D * p[0] * q[0] * p[1] * q[1] % FIELD
    x = (p[0] * q[1] + q[0] * p[1]) * pow(1 + product, -1, FIELD) % FIELD
    y = (p[1] * q[1] + p[0] * q[0]) * pow(1 - product, -1, FIELD) % FIELD
    return x, y


def _point(y: int) -> tuple[int, int]:
    """A point with this y (RFC 8032 §5.1.3)."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, FIELD) % FIELD
    x = pow(square, (FIELD + 3) // 8, FIELD)
    if (x * x - square) % FIELD:
        x = x * pow(2, (FIELD - 1) // 4, FIELD) % FIELD
    assert (x * x - square) % FIELD == 0
    return x, y


ORDER_8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
SMALL = [0, 1, FIELD - 1, ORDER_8, FIELD - ORDER_8]


def _ed25519(y: int, sign: int = 0) -> bytes:
    octets = (y | sign << 255).to_bytes(32, "little")
    return der.sequence(algorithm(oids.ED25519, b""), der.bit_string(octets))


@pytest.mark.parametrize("y", SMALL)
@pytest.mark.parametrize("sign", [0, 1])
def test_points_of_small_order_are_refused(y: int, sign: int) -> None:
    """Ed25519 points whose order divides 8 are refused: with them one signature holds for many messages (KEY-2)."""
    point = _point(y)
    for _ in range(3):
        point = _add(point, point)
    assert point == (0, 1)
    assert key_fault(_ed25519(y, sign), Accepted(non_rsa=True)) == "its point is of small order or not canonical"


def test_a_point_of_small_order_would_prove_nothing() -> None:
    """Under the neutral point, OpenSSL takes one signature for any message: what the refusal is for."""
    neutral = Ed25519PublicKey.from_public_bytes((1).to_bytes(32, "little"))
    forged = (1).to_bytes(32, "little") + bytes(32)
    for message in (b"one", b"other"):
        neutral.verify(forged, message)
    assert key_fault(_ed25519(1), Accepted(non_rsa=True)) is not None


@pytest.mark.parametrize("y", [FIELD, FIELD + 1, 2**255 - 1])
def test_points_in_two_encodings_are_refused(y: int) -> None:
    """An Ed25519 key whose y is not below the field's prime is refused: it has another encoding (KEY-2)."""
    assert key_fault(_ed25519(y), Accepted(non_rsa=True)) == "its point is of small order or not canonical"


def test_a_key_of_absurd_length_is_not_remembered() -> None:
    """A SubjectPublicKeyInfo longer than any key is refused before it takes a place in memory (RES-1)."""
    long = der.sequence(algorithm(oids.RSA_ENCRYPTION), der.bit_string(bytes(5000)))
    for read in (key_fault, key_algorithm, load_public_key, can_decrypt):
        before = load_public_key.cache_info().currsize
        with pytest.raises(DerError, match="a public key of"):
            read(long)
        assert load_public_key.cache_info().currsize == before
