"""Both sides of SCEP in memory: our client's requests, our server's replies, and replies that must not be believed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regalia import reasons
from regalia.errors import PeerError, UnavailableError
from regalia.wire import cms, der, oids
from regalia.wire.algorithms import STANDARD, Cipher, Digest
from regalia.wire.cms_build import attribute, build_signed
from regalia.wire.csr import read_csr
from regalia.wire.names import encode_name
from regalia.wire.scep import (
    FailInfo,
    MessageType,
    PkiStatus,
    Transaction,
    build_failure,
    build_pending,
    build_success,
    capabilities,
    read_message,
    verify_message,
)
from regalia.wire.scep_client import (
    Reply,
    build_request,
    issuer_and_subject,
    parse_capabilities,
    read_certs_only,
    read_reply,
)
from scep_parts import CONTENT_KEY, DEVICE, IV, NONCE, RA, Identity, Request, ec_identity, identity, make_csr

if TYPE_CHECKING:
    from collections.abc import Callable

TRANSACTION = Transaction(b"4F3A")
FRESH = bytes(range(50, 66))


@dataclass
class Replying:
    """What a server puts into its reply; set one part wrong."""

    transaction: Transaction = TRANSACTION
    recipient_nonce: bytes = NONCE
    digest: Digest = Digest.SHA256
    cipher: Cipher = Cipher.AES128_CBC
    ra: Identity = field(default_factory=RA)
    recipient: Identity = field(default_factory=DEVICE)
    sign: Callable[[bytes], bytes] | None = None

    def success(self, leaf: bytes | None = None) -> bytes:
        """A CertRep SUCCESS."""
        return build_success(
            transaction=self.transaction,
            recipient_nonce=self.recipient_nonce,
            sender_nonce=FRESH,
            digest=self.digest,
            cipher=self.cipher,
            content=cms.certs_only([leaf or identity("leaf").certificate]),
            recipient=self.recipient.certificate,
            content_key=CONTENT_KEY,
            iv=IV,
            ra_certificate=self.ra.certificate,
            sign=self.sign or self.ra.signer(self.digest),
        )

    def failure(self, fail_info: FailInfo = FailInfo.BAD_REQUEST, text: str | None = None) -> bytes:
        """A CertRep FAILURE."""
        return build_failure(
            transaction=self.transaction,
            recipient_nonce=self.recipient_nonce,
            sender_nonce=FRESH,
            digest=self.digest,
            fail_info=fail_info,
            fail_info_text=text,
            ra_certificate=self.ra.certificate,
            sign=self.sign or self.ra.signer(self.digest),
        )

    def pending(self) -> bytes:
        """A CertRep PENDING."""
        return build_pending(
            transaction=self.transaction,
            recipient_nonce=self.recipient_nonce,
            sender_nonce=FRESH,
            digest=self.digest,
            ra_certificate=self.ra.certificate,
            sign=self.sign or self.ra.signer(self.digest),
        )


def read(body: bytes, transaction: Transaction = TRANSACTION, nonce: bytes = NONCE) -> Reply:
    """Read a reply as the device does."""
    return read_reply(
        body,
        transaction=transaction,
        sender_nonce=nonce,
        ra_certificates=[RA().certificate],
        decrypt=DEVICE().decrypt,
        recipient=DEVICE().certificate,
    )


def disbelief(body: bytes) -> str:
    """Why a reply is not believed."""
    with pytest.raises(PeerError) as refused:
        read(body)
    assert refused.value.reason is reasons.CLIENT_REPLY_REFUSED
    return refused.value.detail


# --- our client, our server -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("cipher", STANDARD.ciphers.values())
@pytest.mark.parametrize("digest", [Digest.SHA256, Digest.SHA384, Digest.SHA512])
@pytest.mark.parametrize("message_type", [MessageType.PKCS_REQ, MessageType.RENEWAL_REQ])
def test_what_our_client_sends_our_server_opens(message_type: MessageType, digest: Digest, cipher: Cipher) -> None:
    """A request with any allowed digest and cipher is verified and opened by the server's side."""
    body = build_request(
        message_type=message_type,
        transaction=TRANSACTION,
        sender_nonce=NONCE,
        message_data=make_csr(),
        recipient=RA().certificate,
        signer=DEVICE().certificate,
        digest=digest,
        cipher=cipher,
        content_key=CONTENT_KEY,
        iv=IV,
        sign=DEVICE().signer(digest),
    )
    message = verify_message(read_message(body))
    assert (message.message_type, message.digest, message.enveloped.cipher) == (message_type, digest, cipher)
    key = cms.encrypted_key_for(message.enveloped, RA().certificate) or cms.EncryptedKey(b"")
    assert read_csr(cms.decrypt_content(message.enveloped, key, RA().decrypt, bytes(32))).challenge == "hunter2"


def test_a_poll_carries_issuer_and_subject() -> None:
    """A CertPoll holds the CA's subject and the one asked for, and nothing else (RFC 8894 §3.3.3)."""
    issuer, subject = encode_name(cn="CA", organisation="Regalia"), encode_name(cn="lap1")
    body = build_request(
        message_type=MessageType.CERT_POLL,
        transaction=TRANSACTION,
        sender_nonce=NONCE,
        message_data=issuer_and_subject(issuer, subject),
        recipient=RA().certificate,
        signer=DEVICE().certificate,
        digest=Digest.SHA256,
        cipher=Cipher.AES128_CBC,
        content_key=CONTENT_KEY,
        iv=IV,
        sign=DEVICE().signer(Digest.SHA256),
    )
    message = verify_message(read_message(body))
    assert message.message_type == MessageType.CERT_POLL
    key = cms.encrypted_key_for(message.enveloped, RA().certificate) or cms.EncryptedKey(b"")
    content = der.read_one(cms.decrypt_content(message.enveloped, key, RA().decrypt, bytes(32)))
    assert [part.raw for part in content.children()] == [issuer, subject]


@pytest.mark.parametrize("cipher", STANDARD.ciphers.values())
@pytest.mark.parametrize("digest", [Digest.SHA256, Digest.SHA384, Digest.SHA512])
def test_a_success_brings_the_leaf_alone(digest: Digest, cipher: Cipher) -> None:
    """A CertRep SUCCESS holds exactly the issued certificate: Apple pairs the first one with its key."""
    reply = read(Replying(digest=digest, cipher=cipher).success())
    assert reply == Reply(PkiStatus.SUCCESS, None, None, (identity("leaf").certificate,))


@pytest.mark.parametrize("fail_info", FailInfo)
def test_a_failure_brings_its_fail_info(fail_info: FailInfo) -> None:
    """Each failInfo arrives, with or without a text."""
    assert read(Replying().failure(fail_info)) == Reply(PkiStatus.FAILURE, fail_info, None, ())
    assert read(Replying().failure(fail_info, "gerät")).fail_info_text == "gerät"


def test_a_pending_is_pending() -> None:
    """A CertRep PENDING arrives as such."""
    assert read(Replying().pending()) == Reply(PkiStatus.PENDING, None, None, ())


@pytest.mark.parametrize("tag", [der.PRINTABLE_STRING, der.UTF8_STRING, der.IA5_STRING])
def test_replies_echo_the_transaction_under_its_own_tag(tag: int) -> None:
    """TransactionID goes back octet for octet under its own tag, the nonce whatever its length (R7)."""
    transaction = Transaction(b"a+b/c=", tag)
    body = Replying(transaction=transaction, recipient_nonce=bytes(8)).failure()
    assert transaction.encoded in body
    assert read(body, transaction, bytes(8)).status is PkiStatus.FAILURE


@pytest.mark.parametrize("body", [lambda: Replying().failure(), lambda: Replying().pending()])
def test_failure_and_pending_have_an_empty_content(body: Callable[[], bytes]) -> None:
    """FAILURE and PENDING carry a present eContent of no octets (R7), and our own senderNonce, fresh (MSG-4)."""
    raw = read_message(body())
    assert raw.signed_data.content == b""
    assert raw.sender_nonce == FRESH


def test_replies_are_der_as_strongswan_wants_it() -> None:
    """SignatureAlgorithm is rsaEncryption with NULL, signedAttrs are sorted, and the RA's certificate comes along."""
    raw = read_message(Replying().success())
    signer = raw.signed_data.signers[0]
    assert (signer.signature_algorithm.oid, signer.signature_algorithm.plain) == (oids.RSA_ENCRYPTION, True)
    assert len(list(cms.signed_octets(signer.signed_attributes or b""))) == 1
    assert raw.signed_data.certificates == (RA().certificate,)
    assert set(raw.attributes.values if raw.attributes else ()) == {
        oids.CONTENT_TYPE,
        oids.MESSAGE_DIGEST,
        oids.MESSAGE_TYPE,
        oids.PKI_STATUS,
        oids.TRANSACTION_ID,
        oids.SENDER_NONCE,
        oids.RECIPIENT_NONCE,
    }


def test_a_failure_to_a_request_without_nonce_has_none() -> None:
    """Where the request had no usable senderNonce, the reply has no recipientNonce."""
    body = build_failure(
        transaction=TRANSACTION,
        recipient_nonce=None,
        sender_nonce=FRESH,
        digest=Digest.SHA256,
        fail_info=FailInfo.BAD_MESSAGE_CHECK,
        fail_info_text=None,
        ra_certificate=RA().certificate,
        sign=RA().signer(Digest.SHA256),
    )
    attributes = read_message(body).attributes
    assert attributes is not None
    assert oids.RECIPIENT_NONCE not in attributes.values


# --- replies that must not be believed ------------------------------------------------------------------------------


def _unsigned(_: bytes) -> bytes:
    return bytes(256)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"transaction": Transaction(b"other")}, "its transactionID is another one"),
        ({"recipient_nonce": bytes(16)}, "its recipientNonce is not the nonce that was sent"),
        ({"sign": _unsigned}, "the signature of the message does not verify"),
    ],
)
def test_a_reply_must_answer_our_message(change: dict[str, object], why: str) -> None:
    """Another transaction, nonce or signature is not believed, whatever the status (RFC 8894 §3.2.1.5)."""
    reply = Replying(**change)  # type: ignore[arg-type]  # of any field
    assert disbelief(reply.success()) == why
    assert disbelief(reply.failure()) == why
    assert disbelief(reply.pending()) == why


def test_a_reply_is_signed_by_a_trusted_certificate() -> None:
    """A certificate that comes with the reply proves nothing: the signer must be trusted already (SIG-3)."""
    assert disbelief(Replying(ra=identity("stranger")).success()) == "none of the trusted RA certificates signed it"


def test_a_key_of_the_same_name_is_not_the_ra() -> None:
    """A signer with the RA's issuer and serial but another key is not believed."""
    impostor = Identity(identity("stranger").key, RA().certificate)
    assert disbelief(Replying(ra=impostor).success()) == reasons.SIGNATURE_INVALID.title


def test_a_reply_for_another_key_is_not_opened() -> None:
    """A SUCCESS encrypted to somebody else is refused."""
    assert "not encrypted to the key" in disbelief(Replying(recipient=identity("leaf")).success())


def test_a_single_recipient_needs_no_certificate() -> None:
    """Without its own certificate at hand the client opens a reply that has one recipient."""
    reply = read_reply(
        Replying().success(),
        transaction=TRANSACTION,
        sender_nonce=NONCE,
        ra_certificates=[RA().certificate],
        decrypt=DEVICE().decrypt,
    )
    assert reply.status is PkiStatus.SUCCESS


def test_a_key_out_of_reach_is_not_the_servers_fault() -> None:
    """A key store that is down stays UnavailableError on the client's side too."""

    def down(_: bytes) -> bytes:
        raise UnavailableError(reasons.STORE_UNAVAILABLE)

    with pytest.raises(UnavailableError):
        read_reply(
            Replying().success(),
            transaction=TRANSACTION,
            sender_nonce=NONCE,
            ra_certificates=[RA().certificate],
            decrypt=down,
        )


def _signed(content: bytes = b"", **changes: bytes | None) -> bytes:
    """A CertRep with attributes of choice; None leaves one out."""
    values = {
        "MESSAGE_TYPE": der.printable_string("3"),
        "PKI_STATUS": der.printable_string("0"),
        "TRANSACTION_ID": TRANSACTION.encoded,
        "RECIPIENT_NONCE": der.octet_string(NONCE),
        **changes,
    }
    return build_signed(
        content,
        attributes=[attribute(getattr(oids, name), value) for name, value in values.items() if value],
        digest=Digest.SHA256,
        certificate=RA().certificate,
        sign=RA().signer(Digest.SHA256),
    )


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (lambda: _signed(MESSAGE_TYPE=der.printable_string("19")), "not a CertRep"),
        (lambda: _signed(MESSAGE_TYPE=None), "messageType is missing"),
        (lambda: _signed(MESSAGE_TYPE=der.integer(3)), "messageType is of the wrong type"),
        (lambda: _signed(PKI_STATUS=der.printable_string("1")), "pkiStatus is not in RFC 8894"),
        (lambda: _signed(PKI_STATUS=None), "pkiStatus is missing"),
        (lambda: _signed(PKI_STATUS=der.printable_string("2")), "failInfo is missing"),
        (
            lambda: _signed(PKI_STATUS=der.printable_string("2"), FAIL_INFO=der.printable_string("9")),
            "failInfo is not in RFC 8894",
        ),
        (lambda: _signed(RECIPIENT_NONCE=None), "recipientNonce"),
        (lambda: _signed(TRANSACTION_ID=None), "transactionID"),
        (_signed, "not readable EnvelopedData"),
        (lambda: b"<html>", "not well-formed"),
        (lambda: cms.certs_only([RA().certificate]), "there is not exactly one signer"),
    ],
)
def test_a_reply_is_complete(body: Callable[[], bytes], why: str) -> None:
    """A signed reply that lacks a part, or says what RFC 8894 does not know, is refused and says why."""
    assert why in disbelief(body())


def test_a_reply_with_sha_1_is_refused_by_name() -> None:
    """A server that signs with SHA-1 is refused, and the detail names it."""
    body = build_signed(
        b"",
        attributes=[],
        digest=Digest.SHA1,
        certificate=RA().certificate,
        sign=RA().signer(Digest.SHA1),
    )
    assert disbelief(body) == "it is signed with rsaEncryption and SHA-1"


def test_a_reply_without_signed_attributes_is_refused() -> None:
    """A signature over the bare content is not believed on the client's side either (SIG-2)."""
    body = Request(signer=RA(), signed_as="content").build()
    assert "signedAttrs are missing" in disbelief(body)


def test_an_ra_that_cannot_have_signed_with_rsa_is_refused() -> None:
    """A reply that claims RSA under a trusted certificate with an EC key is refused, not crashed on."""
    curve = ec_identity("curve")
    with pytest.raises(PeerError) as refused:
        read_reply(
            Request(signer=curve).build(),
            transaction=TRANSACTION,
            sender_nonce=NONCE,
            ra_certificates=[curve.certificate],
            decrypt=DEVICE().decrypt,
        )
    assert refused.value.detail.endswith("signed with rsaEncryption by a key ecPublicKey")


def test_an_ra_whose_key_is_not_rsa_cannot_be_encrypted_to() -> None:
    """A client that is given an EC certificate for the RA says so instead of failing."""
    with pytest.raises(PeerError) as refused:
        build_request(
            message_type=MessageType.PKCS_REQ,
            transaction=TRANSACTION,
            sender_nonce=NONCE,
            message_data=make_csr(),
            recipient=ec_identity("curve").certificate,
            signer=DEVICE().certificate,
            digest=Digest.SHA256,
            cipher=Cipher.AES128_CBC,
            content_key=CONTENT_KEY,
            iv=IV,
            sign=DEVICE().signer(Digest.SHA256),
        )
    assert refused.value.reason is reasons.CLIENT_REPLY_REFUSED


@given(st.data())
def test_only_peererror_leaves(data: st.DataObject) -> None:
    """A damaged reply is refused or says the same as the good one (IN-1)."""
    good = Replying().success()
    body = bytearray(good)
    body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        reply = read(bytes(body))
    except PeerError as refused:
        assert refused.reason is reasons.CLIENT_REPLY_REFUSED  # noqa: PT017 - a refusal is only one outcome
        return
    assert reply == read(good)


# --- GetCACert and GetCACaps ----------------------------------------------------------------------------------------


def test_certificates_of_getcacert_keep_their_order() -> None:
    """The client sees {RA, issuing CA, root} in the order in which the server gave them (R2)."""
    chain = (RA().certificate, identity("leaf").certificate, DEVICE().certificate)
    assert read_certs_only(cms.certs_only(chain, ordered=True)) == chain


@pytest.mark.parametrize("body", [b"", b"<html>", cms.certs_only([]), cms.certs_only([b"\x30\x00"]) + b"\x00"])
def test_a_getcacert_answer_that_is_none_is_refused(body: bytes) -> None:
    """What is not a certs-only message with a certificate is refused (IN-4, IN-5)."""
    with pytest.raises(PeerError) as refused:
        read_certs_only(body)
    assert refused.value.reason is reasons.CLIENT_REPLY_REFUSED


def test_capabilities_are_the_list_of_r1() -> None:
    """GetCACaps is R1's list, one keyword a line, LF, in the exact case that sscep compares."""
    assert capabilities() == b"POSTPKIOperation\nRenewal\nSHA-256\nSHA-384\nSHA-512\nAES\nSCEPStandard\n"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"AES\nSHA-256\n", {"AES", "SHA-256"}),
        (b"aes\r\nPostPKIOperation\r\n", {"AES", "POSTPKIOPERATION"}),
        (b"AES \n\n Unknown-Thing", {"AES", "UNKNOWN-THING"}),
        (b"\xff\xfe", {"\ufffd\ufffd"}),
        (b"", set()),
    ],
)
def test_capabilities_are_read_leniently(body: bytes, expected: set[str]) -> None:
    """LF or CRLF, any case, unknown keywords: all are taken (RFC 8894 §3.5.2)."""
    assert parse_capabilities(body) == expected


def test_our_capabilities_are_what_our_client_reads() -> None:
    """What the server says, the client understands."""
    assert {"AES", "POSTPKIOPERATION", "SCEPSTANDARD", "RENEWAL"} <= parse_capabilities(capabilities())


def test_replies_with_one_key_differ_only_in_signature_and_key() -> None:
    """Two replies built from the same values differ only where OpenSSL pads RSA at random."""
    first, second = Replying().failure(), Replying().failure()
    assert hashlib.sha256(first).digest() == hashlib.sha256(second).digest()
    assert len(Replying().success()) == len(Replying().success())
