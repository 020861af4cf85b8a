"""Passwords that are kept as slow hashes."""

from __future__ import annotations

import hashlib

import pytest

from regalia.ra.passwords import SALT_OCTETS, hash_password, is_password

SALT = bytes(range(SALT_OCTETS))


def test_only_the_password_itself_is_right() -> None:
    """A password is known again, and nothing that resembles it (WEB-6)."""
    kept = hash_password(b"correct horse battery", SALT)
    assert is_password(b"correct horse battery", kept)
    ends = (b"correct horse battery ", b"correct horse battery\0", hashlib.sha256(b"correct horse battery").digest())
    for wrong in (b"", b"correct horse batterY", *ends):
        assert not is_password(wrong, kept)


def test_what_is_kept_is_scrypt_with_its_parameters() -> None:
    """The kept text holds salt and cost, so that a later one can cost more; it is RFC 7914's function over SHA-256."""
    kept = hash_password(b"correct horse battery", SALT)
    first = hashlib.sha256(b"correct horse battery").digest()
    digest = hashlib.scrypt(first, salt=SALT, n=16_384, r=8, p=1, dklen=32)
    assert kept == f"scrypt-sha256$16384$8$1${SALT.hex()}${digest.hex()}"
    cheap = hashlib.scrypt(first, salt=SALT, n=2, r=1, p=1, dklen=32)
    assert is_password(b"correct horse battery", f"scrypt-sha256$2$1$1${SALT.hex()}${cheap.hex()}")


@pytest.mark.parametrize("password", [b"correct horse battery", b""])
def test_two_salts_make_two_hashes(password: bytes) -> None:
    """Equal passwords do not show as equal."""
    assert hash_password(password, SALT) != hash_password(password, bytes(SALT_OCTETS))
