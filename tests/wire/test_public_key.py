"""Bounds of the keys that peers sign with (KEY-1)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regalia.wire import der, oids
from regalia.wire.der import DerError
from regalia.wire.public_key import key_algorithm, key_fault, load_public_key
from scep_parts import DEVICE, algorithm, ec_identity

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
