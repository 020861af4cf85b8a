"""Algorithms by name: what is accepted under which switch, and what is a key of a cipher."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher as BlockCipher
from cryptography.hazmat.primitives.ciphers.modes import CBC

from regalia.wire import oids
from regalia.wire.algorithms import STANDARD, Accepted, Cipher, Digest
from scep_parts import CONTENT_KEY


@pytest.mark.parametrize("non_rsa", [False, True])
def test_what_is_accepted_is_r1s_list(non_rsa: bool) -> None:  # noqa: FBT001 - a parameter of the table
    """Digests and ciphers are R1's; SHA-1 and triple DES with legacy; DES, RC2 and MD5 nowhere (SIG-5, ENV-5)."""
    usual = Accepted(non_rsa=non_rsa)
    assert set(usual.digests) == {oids.SHA256, oids.SHA384, oids.SHA512}
    assert set(usual.ciphers) == {oids.AES128_CBC, oids.AES192_CBC, oids.AES256_CBC}
    legacy = Accepted(legacy=True, non_rsa=non_rsa)
    assert set(legacy.digests) - set(usual.digests) == {oids.SHA1}
    assert set(legacy.ciphers) - set(usual.ciphers) == {oids.DES_EDE3_CBC}
    assert legacy.digests[oids.SHA1] is Digest.SHA1
    assert legacy.ciphers[oids.DES_EDE3_CBC] is Cipher.TRIPLE_DES_CBC


def test_looking_up_makes_nothing() -> None:
    """The tables are made once: what is asked for each message is the same object."""
    assert STANDARD.digests is Accepted().digests
    assert STANDARD.ciphers is Accepted(non_rsa=True).ciphers


@pytest.mark.parametrize("cipher", Cipher)
def test_a_key_fits_by_its_length(cipher: Cipher) -> None:
    """Octets of the cipher's length are a key of it, others are not; a block is what its IV takes."""
    key = CONTENT_KEY[: cipher.key_octets]
    assert cipher.fits(key)
    assert not cipher.fits(key[:-1])
    assert not cipher.fits(key + b"x")
    assert not cipher.fits(b"")
    encryptor = BlockCipher(cipher.with_key(key), CBC(bytes(cipher.block_octets))).encryptor()
    assert len(encryptor.update(bytes(48)) + encryptor.finalize()) == 48


def test_triple_des_with_equal_neighbours_is_single_des() -> None:
    """A key whose first or last two parts are equal but for the parity is no key (R1: single DES never)."""
    one, two = CONTENT_KEY[:8], CONTENT_KEY[8:16]
    parity = bytes(octet ^ 1 for octet in one)
    for weak in (one * 3, one + one + two, two + one + one, one + parity + two, two + parity + one):
        assert not Cipher.TRIPLE_DES_CBC.fits(weak)
    assert Cipher.TRIPLE_DES_CBC.fits(one + two + one)
