"""CMS: recipients, decryption with one way to fail, certs-only messages, attributes."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_der_private_key
from cryptography.hazmat.primitives.serialization.pkcs7 import load_der_pkcs7_certificates
from hypothesis import given
from hypothesis import strategies as st

from ber_forms import constructed_content
from regalia import reasons
from regalia.errors import PeerError, UnavailableError
from regalia.wire import cms, der, oids, tlv
from regalia.wire.algorithms import STANDARD, Cipher
from regalia.wire.certificate import read_certificate
from regalia.wire.cms import CertificateId, EncryptedKey, EnvelopedData
from regalia.wire.cms_build import build_enveloped, crl_only
from regalia.wire.der import DerError
from regalia.wire.scep import judge_envelope
from scep_parts import CONTENT_KEY, DEVICE, IV, RA, algorithm, attribute, identity, issuer_and_serial

if TYPE_CHECKING:
    from collections.abc import Callable

    from regalia.wire.algorithms import Oaep

VECTORS = Path(__file__).parents[1] / "vectors"
SPARE = bytes(32)


def _enveloped(plaintext: bytes = b"a request", cipher: Cipher = Cipher.AES128_CBC) -> EnvelopedData:
    content = build_enveloped(plaintext, recipient=RA().certificate, cipher=cipher, content_key=CONTENT_KEY, iv=IV)
    return judge_envelope(content)


def _open(enveloped: EnvelopedData) -> bytes:
    key = cms.encrypted_key_for(enveloped, RA().certificate)
    assert key is not None
    return cms.decrypt_content(enveloped, key, RA().decrypt, SPARE)


# --- envelopes ------------------------------------------------------------------------------------------------------


@given(st.binary(max_size=600), st.sampled_from(sorted(STANDARD.ciphers.values())))
def test_what_is_enveloped_opens(plaintext: bytes, cipher: Cipher) -> None:
    """Any content under any allowed cipher comes back as it was."""
    assert _open(_enveloped(plaintext, cipher)) == plaintext


@pytest.mark.parametrize("open_ended", [False, True])
def test_constructed_encrypted_content_is_joined(open_ended: bool) -> None:  # noqa: FBT001 - a parameter of the table
    """`[0]` encryptedContent in its constructed form, as Apple and Go send it, opens the same (R7)."""
    whole = build_enveloped(
        b"x" * 500, recipient=RA().certificate, cipher=Cipher.AES256_CBC, content_key=CONTENT_KEY, iv=IV
    )
    assert _open(judge_envelope(constructed_content(whole, open_ended=open_ended))) == b"x" * 500


def _with_recipients(*recipients: CertificateId) -> EnvelopedData:
    enveloped = _enveloped()
    first = enveloped.recipients[0]
    return replace(enveloped, recipients=tuple(replace(first, rid=rid) for rid in recipients))


def test_a_recipient_is_found_by_issuer_and_serial_or_by_ski() -> None:
    """The recipient that names the certificate is found, by issuer and serial or by subjectKeyIdentifier (R7)."""
    facts = read_certificate(RA().certificate)
    by_name = CertificateId(issuer=facts.issuer, serial=facts.serial)
    assert cms.encrypted_key_for(_with_recipients(by_name), RA().certificate)
    assert cms.encrypted_key_for(_with_recipients(CertificateId(ski=facts.ski)), RA().certificate)


def test_an_issuer_in_another_string_type_is_the_same() -> None:
    """A rid whose issuer was re-encoded with another string type names the same certificate (RFC 5280 §7.1)."""
    facts = read_certificate(RA().certificate)
    recoded = der.sequence(der.set_of([der.sequence(der.oid(oids.AT_COMMON_NAME), der.printable_string("RA"))]))
    assert recoded != facts.issuer
    assert cms.encrypted_key_for(_with_recipients(CertificateId(issuer=recoded, serial=facts.serial)), RA().certificate)


def test_exactly_one_recipient_must_name_the_certificate() -> None:
    """No recipient for us, or two, is none (ENV-7)."""
    facts = read_certificate(RA().certificate)
    ours = CertificateId(issuer=facts.issuer, serial=facts.serial)
    other = CertificateId(issuer=facts.issuer, serial=facts.serial + 1)
    assert cms.encrypted_key_for(_with_recipients(other), RA().certificate) is None
    assert cms.encrypted_key_for(_with_recipients(ours, ours), RA().certificate) is None
    assert cms.encrypted_key_for(_with_recipients(other, ours), RA().certificate) is not None
    assert cms.encrypted_key_for(_with_recipients(CertificateId(ski=b"\x01")), RA().certificate) is None


# --- one way to fail (ENV-1 to ENV-3) -------------------------------------------------------------------------------


def _fails(
    enveloped: EnvelopedData,
    encrypted_key: bytes,
    decrypt: Callable[[bytes, Oaep | None], bytes] = lambda c, oaep: RA().decrypt(c, oaep),
) -> str:
    with pytest.raises(PeerError) as refused:
        cms.decrypt_content(enveloped, EncryptedKey(encrypted_key), decrypt, SPARE)
    assert refused.value.reason is reasons.DECRYPTION_FAILED
    return str(refused.value)


def _raise(_: bytes, __: Oaep | None) -> bytes:
    raise RuntimeError("token says no")


def test_every_way_to_fail_looks_the_same() -> None:
    """A tampered key, a key of another length, a raising token, bad padding and cut blocks give one error (ENV-3)."""
    good = _enveloped()
    key = good.recipients[0].encrypted_key
    told = {
        _fails(good, bytes(255) + b"\x02"),
        _fails(good, key[:-1] + bytes((key[-1] ^ 1,))),
        _fails(good, b""),
        _fails(good, key * 2),
        _fails(good, key, decrypt=_raise),
        _fails(good, key, decrypt=lambda _, __: b""),
        _fails(good, key, decrypt=lambda _, __: bytes(31)),
        _fails(replace(good, ciphertext=b""), key),
        _fails(replace(good, ciphertext=good.ciphertext[:-1]), key),
        _fails(replace(good, ciphertext=good.ciphertext + bytes(16)), key),
    }
    assert told == {str(PeerError(reasons.DECRYPTION_FAILED))}


def test_the_spare_key_takes_the_place_of_a_wrong_one() -> None:
    """Where RSA gives no key of the right length, decryption really goes on with the spare one (ENV-2)."""
    enveloped = _enveloped(b"content under the spare key")
    assert cms.decrypt_content(enveloped, EncryptedKey(b""), _raise, CONTENT_KEY) == b"content under the spare key"
    assert (
        cms.decrypt_content(enveloped, EncryptedKey(b""), lambda _, __: bytes(5), CONTENT_KEY)
        == b"content under the spare key"
    )


def test_a_key_out_of_reach_is_our_fault() -> None:
    """A key store that is down is reported as such and not blamed on the content."""

    def down(_: bytes, __: Oaep | None) -> bytes:
        raise UnavailableError(reasons.STORE_UNAVAILABLE)

    with pytest.raises(UnavailableError):
        cms.decrypt_content(_enveloped(), EncryptedKey(b""), down, SPARE)


def _returning(key: bytes) -> Callable[[bytes, Oaep | None], bytes]:
    return lambda _, __: key


def _cases(name: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    document = json.loads((VECTORS / "wycheproof" / name).read_text())
    return [(group, case) for group in document["testGroups"] for case in group["tests"]]


def test_wycheproof_padding_cases() -> None:
    """All of Wycheproof's AES-CBC cases decrypt to what they should, or fail in the one way."""
    ciphers = {cipher.key_octets: cipher for cipher in STANDARD.ciphers.values()}
    seen = 0
    for _, case in _cases("aes_cbc_pkcs5_test.json"):
        key = bytes.fromhex(case["key"])
        enveloped = EnvelopedData((), ciphers[len(key)], bytes.fromhex(case["iv"]), bytes.fromhex(case["ct"]))
        if case["result"] == "valid":
            assert cms.decrypt_content(enveloped, EncryptedKey(b""), _returning(key), SPARE).hex() == case["msg"]
        else:
            _fails(enveloped, b"", decrypt=_returning(key))
        seen += 1
    assert seen > 200


def _decrypt_with(key: RSAPrivateKey, ciphertext: bytes, _: Oaep | None) -> bytes:
    return key.decrypt(ciphertext, PKCS1v15())


def test_wycheproof_rsa_decryption_cases() -> None:
    """No case of Wycheproof's PKCS #1 v1.5 decryption raises: bad padding gives a key of no use (ENV-1)."""
    seen = 0
    keys: dict[str, RSAPrivateKey] = {}
    for group, case in _cases("rsa_pkcs1_2048_test.json"):
        encoded = group["privateKeyPkcs8"]
        if encoded not in keys:
            key = load_der_private_key(bytes.fromhex(encoded), None)
            assert isinstance(key, RSAPrivateKey)
            keys[encoded] = key
        enveloped = EnvelopedData((), Cipher.AES128_CBC, IV, bytes(32))
        _fails(enveloped, bytes.fromhex(case["ct"]), decrypt=partial(_decrypt_with, keys[encoded]))
        seen += 1
    assert seen > 50


# --- structure ------------------------------------------------------------------------------------------------------


def _recipient(rid: bytes = b"") -> bytes:
    return der.sequence(
        der.integer(0),
        rid or issuer_and_serial(RA().certificate),
        algorithm(oids.RSA_ENCRYPTION),
        der.octet_string(bytes(256)),
    )


@dataclass(frozen=True)
class _Envelope:
    """A ContentInfo with EnvelopedData, part by part."""

    rids: tuple[bytes, ...] = (b"",)
    content_type: str = oids.ID_DATA
    ciphertext: bytes = der.context(0, bytes(32), constructed=False)
    iv: bytes = der.octet_string(IV)
    kind: str = oids.ID_ENVELOPED_DATA
    extra: bytes = b""
    before: bytes = b""
    after: bytes = b""

    def build(self) -> bytes:
        """Encode it."""
        cipher = der.sequence(der.oid(oids.AES128_CBC), self.iv)
        content = der.sequence(der.oid(self.content_type), cipher, self.ciphertext)
        recipients = der.tlv(der.SET, *(_recipient(rid) for rid in self.rids))
        enveloped = der.sequence(der.integer(0), self.before, recipients, content, self.extra)
        return der.sequence(der.oid(self.kind), der.context(0, enveloped)) + self.after


def test_four_recipients_are_read() -> None:
    """Up to four recipients are read (ENV-7)."""
    assert len(judge_envelope(_Envelope(rids=(b"",) * 4).build()).recipients) == 4


@pytest.mark.parametrize(
    "envelope",
    [
        pytest.param(_Envelope(rids=()), id="no recipient (IN-4)"),
        pytest.param(_Envelope(rids=(b"",) * 5), id="five recipients (ENV-7)"),
        pytest.param(_Envelope(rids=(der.sequence(),)), id="empty rid"),
        pytest.param(_Envelope(rids=(der.context(0, constructed=False),)), id="empty ski"),
        pytest.param(_Envelope(content_type=oids.ID_SIGNED_DATA), id="inner type"),
        pytest.param(_Envelope(iv=der.octet_string(bytes(8))), id="short IV"),
        pytest.param(_Envelope(iv=der.null()), id="NULL for an IV"),
        pytest.param(_Envelope(iv=b""), id="no IV"),
        pytest.param(_Envelope(ciphertext=b""), id="no ciphertext"),
        pytest.param(_Envelope(ciphertext=der.octet_string(bytes(16))), id="ciphertext not [0]"),
        pytest.param(_Envelope(kind=oids.ID_AUTH_ENVELOPED_DATA), id="authEnvelopedData"),
        pytest.param(_Envelope(extra=der.null()), id="something more"),
        pytest.param(_Envelope(after=b"\x00"), id="trailing octet (IN-5)"),
    ],
)
def test_envelopes_of_the_wrong_shape_are_refused(envelope: _Envelope) -> None:
    """EnvelopedData that is not exactly as RFC 5652 §6.1 has it is refused before any key is touched."""
    with pytest.raises(PeerError) as refused:
        judge_envelope(envelope.build())
    assert refused.value.reason is reasons.ENVELOPE_STRUCTURE_REFUSED


def test_originator_and_unprotected_attributes_are_passed_over() -> None:
    """The optional parts of EnvelopedData that SCEP does not use do not disturb."""
    read = judge_envelope(_Envelope(before=der.context(0), extra=der.context(1)).build())
    assert (len(read.recipients), read.ciphertext) == (1, bytes(32))


@pytest.mark.parametrize(
    "content",
    [
        attribute(oids.MESSAGE_TYPE, der.null()) * 2,
        attribute(oids.MESSAGE_TYPE),
        der.sequence(der.oid(oids.MESSAGE_TYPE)),
        der.null(),
    ],
    ids=["doubled", "no value (IN-4)", "no values at all", "no attribute"],
)
def test_attributes_that_say_nothing_or_twice_are_refused(content: bytes) -> None:
    """An attribute type stands once and has a value (POL-4)."""
    with pytest.raises(DerError):
        cms.read_attributes(content)


# --- certs-only -----------------------------------------------------------------------------------------------------


def test_certs_only_is_what_others_read() -> None:
    """An independent parser reads the certificates of our degenerate SignedData."""
    bag = [DEVICE().certificate, RA().certificate, identity("third one").certificate]
    loaded = load_der_pkcs7_certificates(cms.certs_only(bag))
    assert {certificate.serial_number for certificate in loaded} == {1006, 1002, 1009}


def test_certs_only_keeps_the_order_only_where_asked() -> None:
    """GetCACert's certificates stand in the order given (R2); elsewhere the SET is DER-sorted."""
    bag = sorted([DEVICE().certificate, RA().certificate], reverse=True)
    assert list(cms.read_certs_only(cms.certs_only(bag, ordered=True))) == bag
    assert list(cms.read_certs_only(cms.certs_only(bag))) == bag[::-1]


def test_certs_only_without_a_certificate_is_refused() -> None:
    """A degenerate SignedData that holds nothing is no answer (IN-4)."""
    with pytest.raises(DerError):
        cms.read_certs_only(cms.certs_only([]))


def _crls(*crls: bytes, certificates: bytes = b"", signers: bytes = b"") -> bytes:
    signed_data = der.sequence(
        der.integer(1),
        der.set_of([]),
        der.sequence(der.oid(oids.ID_DATA)),
        certificates,
        der.tlv(0xA1, *crls) if crls else b"",
        der.tlv(der.SET, signers),
    )
    return der.sequence(der.oid(oids.ID_SIGNED_DATA), der.context(0, signed_data))


CRL = der.sequence(der.integer(1))


def test_a_crl_is_read_alone() -> None:
    """The one CRL of a degenerate SignedData is read octet for octet (RFC 8894 §3.4)."""
    assert cms.read_crl_only(_crls(CRL)) == cms.read_crl_only(crl_only(CRL)) == CRL


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(_crls(), id="no CRL (IN-4)"),
        pytest.param(_crls(b""), id="empty (IN-4)"),
        pytest.param(_crls(CRL, CRL), id="two"),
        pytest.param(_crls(der.context(1, CRL)), id="another kind of revocation information"),
        pytest.param(_crls(CRL, certificates=der.context(0, CRL)), id="a certificate too"),
        pytest.param(_crls(CRL) + b"\x00", id="trailing octet (IN-5)"),
        pytest.param(der.sequence(der.oid(oids.ID_DATA), der.context(0, der.octet_string(CRL))), id="no SignedData"),
    ],
)
def test_what_is_not_one_crl_is_refused(octets: bytes) -> None:
    """Anything but exactly one CRL and nothing else is refused."""
    with pytest.raises(DerError):
        cms.read_crl_only(octets)


def test_bounds_of_a_reader_are_its_callers() -> None:
    """A CRL beyond the bounds of a request is refused by them and read within larger ones (IN-3)."""
    large = der.sequence(der.octet_string(bytes(70_000)))
    with pytest.raises(DerError):
        cms.read_crl_only(crl_only(large))
    assert cms.read_crl_only(crl_only(large), replace(tlv.SCEP_LIMITS, octets=1 << 20)) == large
