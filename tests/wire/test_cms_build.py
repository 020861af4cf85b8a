"""Building CMS: who may be encrypted to, and with what."""

from __future__ import annotations

import pytest

from regalia.errors import InvariantError
from regalia.wire import cms, der
from regalia.wire.algorithms import Cipher
from regalia.wire.cms_build import build_enveloped
from regalia.wire.der import DerError
from regalia.wire.scep import judge_envelope
from scep_parts import CONTENT_KEY, IV, RA, ec_identity


def _build(recipient: bytes, key: bytes = CONTENT_KEY, iv: bytes = IV) -> bytes:
    return build_enveloped(b"x", recipient=recipient, cipher=Cipher.AES256_CBC, content_key=key, iv=iv)


@pytest.mark.parametrize(
    "recipient", [b"", der.sequence(), der.sequence(der.sequence()), der.sequence(der.sequence(der.integer(1)))]
)
def test_a_recipient_is_a_certificate(recipient: bytes) -> None:
    """Octets that are no certificate cannot be encrypted to."""
    with pytest.raises(DerError):
        _build(recipient)


def test_a_recipient_has_an_rsa_key() -> None:
    """A certificate with an EC key cannot be encrypted to."""
    with pytest.raises(DerError):
        _build(ec_identity("curve").certificate)


def test_a_version_1_certificate_can_be_encrypted_to() -> None:
    """A certificate without version and extensions is named and encrypted to like any other."""
    tbs, algorithm, signature = der.read_one(RA().certificate).children()
    old = der.sequence(der.sequence(*(part.raw for part in tbs.children()[1:7])), algorithm.raw, signature.raw)
    assert cms.encrypted_key_for(judge_envelope(_build(old)), RA().certificate)


@pytest.mark.parametrize(("key", "iv"), [(bytes(31), IV), (CONTENT_KEY, bytes(15)), (CONTENT_KEY, bytes(17))])
def test_short_keys_and_ivs_are_our_bug(key: bytes, iv: bytes) -> None:
    """A content key shorter than the cipher's, or an IV that is not one block, is our own mistake."""
    with pytest.raises(InvariantError):
        _build(RA().certificate, key, iv)
