"""Building CMS: who may be encrypted to, and with what."""

from __future__ import annotations

import pytest

from regalia.errors import InvariantError
from regalia.wire import cms, der, oids
from regalia.wire.algorithms import Cipher
from regalia.wire.cms_build import PasswordRecipient, build_enveloped, crl_only
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


def test_a_weak_key_is_our_bug() -> None:
    """Triple DES under a key that makes it single DES is refused on writing too."""
    with pytest.raises(InvariantError):
        build_enveloped(b"x", recipient=RA().certificate, cipher=Cipher.TRIPLE_DES_CBC, content_key=bytes(24), iv=IV)


def test_a_password_takes_the_place_of_a_certificate() -> None:
    """Under a password no certificate is needed, and nothing of one is written."""
    whole = build_enveloped(
        b"x", recipient=PasswordRecipient("s", IV, IV, 1000), cipher=Cipher.AES128_CBC, content_key=CONTENT_KEY, iv=IV
    )
    recipients = cms.read_sealed_content(whole).recipients
    assert [(one.kind, one.encrypted_key, one.rid) for one in recipients] == [("pwri", b"", cms.CertificateId())]


def test_a_crl_stands_alone() -> None:
    """A CRL-only message has version 1 and neither digests, content, certificates nor signers (RFC 8894 §3.4)."""
    crl = der.sequence(der.integer(5))
    _, signed_data = cms.read_content_info(crl_only(crl))
    version, digests, content, crls, signers = signed_data.children()
    assert (version.as_integer(), digests.raw, signers.raw) == (1, b"\x31\x00", b"\x31\x00")
    assert content.raw == der.sequence(der.oid(oids.ID_DATA))
    assert crls.raw == der.context(1, crl)


@pytest.mark.parametrize(("key", "iv"), [(bytes(31), IV), (CONTENT_KEY, bytes(15)), (CONTENT_KEY, bytes(17))])
def test_short_keys_and_ivs_are_our_bug(key: bytes, iv: bytes) -> None:
    """A content key shorter than the cipher's, or an IV that is not one block, is our own mistake."""
    with pytest.raises(InvariantError):
        _build(RA().certificate, key, iv)
