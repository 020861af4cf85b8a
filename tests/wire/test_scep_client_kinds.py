"""The device's side beyond RSA and certificates: other keys, replies under a challenge, CRLs, the next CA."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from regalia import reasons
from regalia.errors import PeerError
from regalia.wire import cms, der, oids
from regalia.wire.algorithms import Accepted, Cipher, Digest
from regalia.wire.cms_build import PasswordRecipient, build_signed, crl_only
from regalia.wire.names import encode_name
from regalia.wire.rsa_parameters import pss_identifier
from regalia.wire.scep import (
    MessageType,
    PkiStatus,
    Transaction,
    build_next_ca,
    build_pending,
    build_success,
    read_message,
    verify_message,
)
from regalia.wire.scep_client import (
    Reply,
    build_request,
    issuer_and_serial,
    read_crl_reply,
    read_next_ca,
    read_reply,
)
from scep_parts import (
    CONTENT_KEY,
    DEVICE,
    IV,
    NON_RSA,
    NONCE,
    RA,
    Identity,
    Request,
    algorithm,
    identity,
    key_identity,
    make_csr,
    pss,
)

if TYPE_CHECKING:
    from collections.abc import Callable

TRANSACTION = Transaction(b"4F3A")
FRESH = bytes(range(50, 66))
SECRET = "gerät-7"
CRL = der.sequence(der.sequence(der.integer(1)), algorithm(oids.SHA256_WITH_RSA), der.bit_string(bytes(256)))
KEYS = Accepted(non_rsa=True)


def password(secret: str = SECRET, iterations: int = 1000) -> PasswordRecipient:
    """The challenge as a recipient."""
    return PasswordRecipient(secret, NONCE, IV, iterations)


def success(
    content: bytes | None = None, recipient: bytes | PasswordRecipient | None = None, cipher: Cipher = Cipher.AES128_CBC
) -> bytes:
    """A CertRep SUCCESS."""
    return build_success(
        transaction=TRANSACTION,
        recipient_nonce=NONCE,
        sender_nonce=FRESH,
        digest=Digest.SHA256,
        cipher=cipher,
        content=cms.certs_only([identity("leaf").certificate]) if content is None else content,
        recipient=recipient or password(),
        content_key=CONTENT_KEY,
        iv=IV,
        ra_certificate=RA().certificate,
        sign=RA().signer(Digest.SHA256),
    )


@dataclass(frozen=True)
class Device:
    """What a device has to open a reply with."""

    secret: str | None = SECRET
    decrypt: Callable[[bytes], bytes] | None = None
    recipient: bytes | None = None

    def read(self, body: bytes) -> Reply:
        """Read certificates."""
        return read_reply(
            body,
            transaction=TRANSACTION,
            sender_nonce=NONCE,
            ra_certificates=[RA().certificate],
            decrypt=self.decrypt,
            recipient=self.recipient,
            secret=self.secret,
        )

    def read_crl(self, body: bytes) -> Reply:
        """Read a CRL."""
        return read_crl_reply(
            body,
            transaction=TRANSACTION,
            sender_nonce=NONCE,
            ra_certificates=[RA().certificate],
            decrypt=self.decrypt,
            recipient=self.recipient,
            secret=self.secret,
        )


RSA = Device(None, lambda octets: DEVICE().decrypt(octets))


def disbelief(read: Callable[[bytes], object], body: bytes) -> str:
    """Why a reply is not believed."""
    with pytest.raises(PeerError) as refused:
        read(body)
    assert refused.value.reason is reasons.CLIENT_REPLY_REFUSED
    return refused.value.detail


# --- requests -------------------------------------------------------------------------------------------------------


def _request(owner: Identity, digest: Digest, sign: Callable[[bytes], bytes], signature: bytes | None) -> bytes:
    return build_request(
        message_type=MessageType.PKCS_REQ,
        transaction=TRANSACTION,
        sender_nonce=NONCE,
        message_data=make_csr(),
        recipient=RA().certificate,
        signer=owner.certificate,
        digest=digest,
        cipher=Cipher.AES256_CBC,
        content_key=CONTENT_KEY,
        iv=IV,
        sign=sign,
        signature=signature,
    )


@pytest.mark.parametrize("kind", NON_RSA)
def test_our_client_signs_with_keys_that_are_not_rsa(kind: str) -> None:
    """A request signed with ECDSA, Ed25519 or ML-DSA is what our server takes where it takes such keys."""
    _, oid, digest = NON_RSA[kind]
    owner = key_identity(kind)
    body = _request(owner, digest, lambda octets: owner.sign(octets, digest), algorithm(oid, b""))
    message = verify_message(read_message(body, KEYS), KEYS)
    assert (message.signer, message.digest) == (owner.certificate, digest)


def test_our_client_signs_with_pss() -> None:
    """A request signed with RSASSA-PSS is what our server takes."""
    body = _request(DEVICE(), Digest.SHA384, pss(DEVICE(), Digest.SHA384), pss_identifier(Digest.SHA384))
    assert verify_message(read_message(body)).digest is Digest.SHA384


def test_issuer_and_serial_are_two_parts() -> None:
    """GetCert and GetCRL carry an issuer and a serial and nothing else (RFC 8894 §3.3.4)."""
    issuer = encode_name(cn="CA")
    parts = der.read_one(issuer_and_serial(issuer, 1 << 159)).children()
    assert (parts[0].raw, parts[1].as_integer(), len(parts)) == (issuer, 1 << 159, 2)


# --- replies under a challenge --------------------------------------------------------------------------------------


@pytest.mark.parametrize("cipher", [Cipher.AES128_CBC, Cipher.AES192_CBC, Cipher.AES256_CBC])
def test_a_reply_under_the_challenge_opens(cipher: Cipher) -> None:
    """A key that cannot decrypt gets its certificate under the challenge of its request (RFC 8894 §3.1)."""
    expected = Reply(PkiStatus.SUCCESS, None, None, (identity("leaf").certificate,))
    assert Device().read(success(cipher=cipher)) == expected
    assert Device(decrypt=RSA.decrypt, recipient=DEVICE().certificate).read(success(cipher=cipher)) == expected


@pytest.mark.parametrize(
    ("device", "body", "why"),
    [
        (Device("other"), success, "another challenge than the one that was sent"),
        (Device(""), success, "another challenge"),
        (Device(None), success, "the request had none"),
        (RSA, success, "the request had none"),
        (Device(), lambda: success(recipient=DEVICE().certificate), "not encrypted to the key"),
        (Device(), lambda: success(recipient=password(iterations=1_000_001)), "1000001 iterations"),
        (Device(), lambda: success(cipher=Cipher.TRIPLE_DES_CBC), "triple DES"),
        (Device(), lambda: success(content=b""), "0 octets"),
        (Device(), lambda: success(content=crl_only(CRL)), "not a certs-only message"),
    ],
)
def test_a_reply_under_something_else_is_refused(device: Device, body: Callable[[], bytes], why: str) -> None:
    """Another challenge, none at all, too many iterations or 3DES: refused, and the device's log says which."""
    with pytest.raises(PeerError, match=why):
        device.read(body())


def test_an_envelope_under_the_challenge_is_of_version_3() -> None:
    """EnvelopedData with a password recipient has version 3 (RFC 5652 §6.1) and that one recipient."""
    content = read_message(success()).signed_data.content or b""
    version, recipients, _ = der.read_one(cms.read_content_info(content)[1].raw).children()
    assert version.as_integer() == 3
    assert [recipient.tag for recipient in recipients.children()] == [0xA3]


def test_a_reply_by_oaep_is_refused() -> None:
    """A reply whose key was encrypted with OAEP, which our requests never ask for, is refused by name."""
    body = success(recipient=DEVICE().certificate)
    content = read_message(body).signed_data.content or b""
    changed = content.replace(algorithm(oids.RSA_ENCRYPTION), algorithm(oids.RSAES_OAEP, der.sequence()))
    assert len(changed) == len(content)
    attributes = read_message(body).attributes
    assert attributes is not None
    own = [
        der.sequence(der.oid(oid), der.tlv(der.SET, *(value.raw for value in values)))
        for oid, values in attributes.values.items()
        if oid not in (oids.CONTENT_TYPE, oids.MESSAGE_DIGEST)
    ]
    forged = build_signed(
        changed, attributes=own, digest=Digest.SHA256, certificate=RA().certificate, sign=RA().signer(Digest.SHA256)
    )
    assert "RSAES-OAEP" in disbelief(RSA.read, forged)


# --- CRLs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", [Device(), RSA], ids=["challenge", "RSA"])
def test_a_crl_arrives(device: Device) -> None:
    """The SUCCESS to a GetCRL brings one CRL and no certificates (RFC 8894 §3.3.5)."""
    recipient = password() if device.secret else DEVICE().certificate
    assert device.read_crl(success(crl_only(CRL), recipient)) == Reply(PkiStatus.SUCCESS, None, None, (), CRL)


def test_a_large_crl_arrives() -> None:
    """A CRL of a megabyte, which no request could be as large as, is read from a reply."""
    entries = der.sequence(der.integer(1), der.tlv(0x17, b"260601000000Z")) * 40_000
    crl = der.sequence(der.sequence(der.integer(1), der.sequence(entries)), der.bit_string(bytes(256)))
    assert len(crl) > 700_000
    assert RSA.read_crl(success(crl_only(crl), DEVICE().certificate)).crl == crl


def test_a_get_crl_that_fails_or_waits_brings_none() -> None:
    """A PENDING in answer to GetCRL is read as such."""
    body = build_pending(
        transaction=TRANSACTION,
        recipient_nonce=NONCE,
        sender_nonce=FRESH,
        digest=Digest.SHA256,
        ra_certificate=RA().certificate,
        sign=RA().signer(Digest.SHA256),
    )
    assert RSA.read_crl(body) == Reply(PkiStatus.PENDING, None, None, ())


def test_what_is_not_one_crl_is_refused() -> None:
    """Certificates where a CRL was asked for, or two CRLs, are refused."""
    leaf = cms.certs_only([identity("leaf").certificate])
    assert "not a CRL-only message" in disbelief(RSA.read_crl, success(leaf, DEVICE().certificate))
    double = crl_only(CRL + CRL)
    assert "2 CRLs" in disbelief(RSA.read_crl, success(double, DEVICE().certificate))


# --- the next CA ----------------------------------------------------------------------------------------------------


NEXT = ("next ra", "next ca", "a root")


def _next_ca(signer: Identity | None = None, sign: Callable[[bytes], bytes] | None = None) -> bytes:
    owner = signer or RA()
    return build_next_ca(
        [identity(name).certificate for name in NEXT],
        digest=Digest.SHA256,
        ra_certificate=owner.certificate,
        sign=sign or owner.signer(Digest.SHA256),
    )


def test_the_next_ca_arrives_in_its_order() -> None:
    """GetNextCACert's certificates come in the server's order, believed for the current RA's signature alone."""
    read = read_next_ca(_next_ca(), ra_certificates=[identity("other").certificate, RA().certificate])
    assert read == tuple(identity(name).certificate for name in NEXT)


def test_the_next_ca_has_no_scep_attributes() -> None:
    """GetNextCACert's answer is plain SignedData over a certs-only message (RFC 8894 §4.7.1)."""
    raw = read_message(_next_ca())
    assert set(raw.attributes.values if raw.attributes else ()) == {oids.CONTENT_TYPE, oids.MESSAGE_DIGEST}
    assert raw.signed_data.certificates == (RA().certificate,)


def test_a_next_ca_by_another_servers_key_is_read() -> None:
    """A server whose CA has an EC key signs GetNextCACert with it: verified with that CA's certificate."""
    owner = key_identity("p-256")
    body = build_signed(
        cms.certs_only([identity("next ca").certificate]),
        attributes=(),
        digest=Digest.SHA256,
        certificate=owner.certificate,
        sign=lambda octets: owner.sign(octets, Digest.SHA256),
        signature=algorithm(oids.ECDSA_WITH_SHA256, b""),
    )
    assert read_next_ca(body, ra_certificates=[owner.certificate]) == (identity("next ca").certificate,)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (lambda: _next_ca(identity("stranger")), "none of the trusted RA certificates signed it"),
        (lambda: _next_ca(sign=lambda _: bytes(256)), "does not verify"),
        (lambda: cms.certs_only([RA().certificate]), "not exactly one signer"),
        (lambda: success(recipient=DEVICE().certificate), "expected"),
        (lambda: Request(signer=RA()).build(), "expected"),
        (lambda: _next_ca()[:-1], ""),
        (lambda: b"", ""),
    ],
    ids=["stranger", "forged", "unsigned", "CertRep", "request", "cut", "empty"],
)
def test_a_next_ca_that_is_not_vouched_for_is_refused(body: Callable[[], bytes], why: str) -> None:
    """A bare bag, a stranger's or forged signature, another message: nothing in it is believed (RFC 8894 §4.7.1)."""
    assert why in disbelief(lambda octets: read_next_ca(octets, ra_certificates=[RA().certificate]), body())
