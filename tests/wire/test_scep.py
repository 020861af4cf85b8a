"""SCEP requests: what is accepted, and each refusal with its reason, in the order of security.md §3."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ber_forms import indefinite, loosen
from regalia import reasons
from regalia.errors import PeerError
from regalia.wire import cms, der, oids
from regalia.wire.algorithms import STANDARD, Cipher, Digest
from regalia.wire.cms_build import build_enveloped
from regalia.wire.scep import MessageType, PkiMessage, Transaction, read_message, verify_message
from scep_parts import (
    CONTENT_KEY,
    DEVICE,
    IV,
    NONCE,
    NOW,
    RA,
    TRANSACTION,
    Request,
    algorithm,
    attribute,
    ec_identity,
    identity,
    issuer_and_serial,
    make_csr,
    nest,
)

if TYPE_CHECKING:
    from regalia.errors import Reason


def _verified(request: Request) -> PkiMessage:
    return verify_message(read_message(request.build()))


def _refusal(request: Request | bytes) -> PeerError:
    body = request if isinstance(request, bytes) else request.build()
    with pytest.raises(PeerError) as refused:
        verify_message(read_message(body))
    return refused.value


def _values(**changes: bytes) -> dict[str, bytes]:
    """The good attributes with some of them changed, by the name of their constant; b"" leaves one out."""
    return Request().values | {getattr(oids, name): value for name, value in changes.items()}


# --- accepted -------------------------------------------------------------------------------------------------------


def test_a_good_request_is_read_in_full() -> None:
    """Every part of a good PKCSReq comes out as it was put in."""
    message = _verified(Request())
    assert message.transaction == Transaction(TRANSACTION.encode(), der.PRINTABLE_STRING)
    assert (message.message_type, message.sender_nonce) == (MessageType.PKCS_REQ, NONCE)
    assert (message.digest, message.enveloped.cipher) == (Digest.SHA256, Cipher.AES128_CBC)
    assert message.signing_time == NOW
    assert message.signer == DEVICE().certificate
    assert message.signer_facts.public_key == DEVICE().spki
    key = cms.encrypted_key_for(message.enveloped, RA().certificate)
    assert cms.decrypt_content(message.enveloped, key or cms.EncryptedKey(b""), RA().decrypt, bytes(32)) == make_csr()


@pytest.mark.parametrize("cipher", STANDARD.ciphers.values())
@pytest.mark.parametrize(
    ("digest", "combined"),
    [
        (Digest.SHA256, oids.SHA256_WITH_RSA),
        (Digest.SHA384, oids.SHA384_WITH_RSA),
        (Digest.SHA512, oids.SHA512_WITH_RSA),
    ],
)
@pytest.mark.parametrize("parameters", [b"", b"\x05\x00"], ids=["absent", "NULL"])
def test_the_whole_list_of_r1_is_accepted(digest: Digest, combined: str, cipher: Cipher, parameters: bytes) -> None:
    """Each digest and cipher, either way to name RSA, parameters NULL or absent, is accepted (R1, R7)."""
    for oid in (oids.RSA_ENCRYPTION, combined):
        message = _verified(
            Request(
                digest=digest,
                envelope_cipher=cipher,
                digest_algorithm=algorithm(digest.oid, parameters),
                signature_algorithm=algorithm(oid, parameters),
            )
        )
        assert (message.digest, message.enveloped.cipher) == (digest, cipher)


@pytest.mark.parametrize("signed_as", ["sent", "sorted"])
def test_unsorted_attributes_verify_as_sent_or_sorted(signed_as: str) -> None:
    """SignedAttrs out of order verify over the octets as sent and, failing that, sorted (R7)."""
    assert _verified(Request(sort_attributes=False, signed_as=signed_as)).sender_nonce == NONCE


@given(st.randoms(use_true_random=False))
def test_ber_around_the_signed_parts_is_accepted(chance: object) -> None:
    """A message whose layers come in any BER form verifies like its DER (R7)."""
    assert verify_message(read_message(loosen(Request().build(), chance))).sender_nonce == NONCE


@pytest.mark.parametrize(
    ("tag", "octets"),
    [
        (der.PRINTABLE_STRING, b"FQl9QaqxzL+NsaAohIl6GqEwG0A="),
        (der.IA5_STRING, b"some_device@example"),
        (der.UTF8_STRING, "gerät-7".encode()),
        (der.PRINTABLE_STRING, b"1" * 255),
        (der.PRINTABLE_STRING, b"SSCEP transactionId"),
    ],
)
def test_transaction_ids_keep_octets_and_tag(tag: int, octets: bytes) -> None:
    """A transactionID of any of three string types is kept octet for octet under its own tag (R7)."""
    transaction = _verified(Request(values=_values(TRANSACTION_ID=der.tlv(tag, octets)))).transaction
    assert (transaction.octets, transaction.tag) == (octets, tag)
    assert transaction.encoded == der.tlv(tag, octets)
    assert transaction.text.encode() == octets


@pytest.mark.parametrize("size", [1, 8, 16, 64])
def test_nonces_of_1_to_64_octets_are_taken(size: int) -> None:
    """A senderNonce of 1 to 64 octets is kept as it is: old Apple devices send 8 (IN-8)."""
    assert _verified(Request(values=_values(SENDER_NONCE=der.octet_string(bytes(size))))).sender_nonce == bytes(size)


def test_a_signer_named_by_ski_is_found() -> None:
    """A sid by subjectKeyIdentifier finds its certificate (R7)."""
    ski = _verified(Request()).signer_facts.ski or b""
    assert _verified(Request(sid=der.context(0, ski, constructed=False))).signer == DEVICE().certificate


def test_the_bag_is_only_a_pool() -> None:
    """Further certificates, the same one twice or one that cannot be read do not disturb (SIG-3)."""
    bag = [RA().certificate, der.sequence(der.null()), DEVICE().certificate, DEVICE().certificate]
    assert _verified(Request(certificates=bag)).signer == DEVICE().certificate


@pytest.mark.parametrize("time", [b"", der.tlv(0x17, b"2606010000Z"), der.null()])
def test_a_signing_time_that_is_absent_or_odd_is_none(time: bytes) -> None:
    """SigningTime is only audited: one that cannot be read is none (R6)."""
    assert _verified(Request(values=_values(SIGNING_TIME=time))).signing_time is None


def test_unknown_signed_attributes_are_tolerated() -> None:
    """A signed attribute that we do not know, with several values, does not disturb."""
    assert _verified(Request(extra_attributes=[attribute("1.2.3.4", der.null(), der.null())])).sender_nonce == NONCE


def test_unsigned_attributes_are_not_believed() -> None:
    """SCEP attributes among the unsigned ones are ignored, and cannot stand in for missing signed ones."""
    forged = der.context(1, attribute(oids.MESSAGE_TYPE, der.printable_string("17")))
    assert _verified(Request(unsigned_attributes=forged)).message_type == "19"
    fault = _refusal(Request(unsigned_attributes=forged, values=_values(MESSAGE_TYPE=b"")))
    assert fault.reason is reasons.ATTRIBUTES_REFUSED


@pytest.mark.parametrize("text", ["19", "17", "18", " 19", "+19", "1_9", "099", ""])
def test_message_types_are_octets_not_numbers(text: str) -> None:
    """MessageType comes exactly as its octets; what only int() would take for 19 stays what it is (IN-7)."""
    message = _verified(Request(values=_values(MESSAGE_TYPE=der.tlv(der.PRINTABLE_STRING, text.encode()))))
    assert message.message_type == text
    assert (message.message_type == MessageType.PKCS_REQ) is (text == "19")


# --- steps 1 and 2: no answer but 400 -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", reasons.STRUCTURE_REFUSED),
        (b"\x30\x80", reasons.STRUCTURE_REFUSED),
        (b"MIIJ+gYJKoZIhvcNAQcCoIIJ6zCCCecCAQExDzAN", reasons.STRUCTURE_REFUSED),
        (bytes(65537), reasons.STRUCTURE_REFUSED),
        (nest(40), reasons.STRUCTURE_REFUSED),
        (der.sequence(der.oid(oids.ID_SIGNED_DATA)), reasons.STRUCTURE_REFUSED),
        (der.sequence(der.oid(oids.ID_DATA), der.context(0, der.sequence())), reasons.NOT_SIGNED_DATA),
        (der.sequence(der.oid(oids.ID_SIGNED_DATA), der.context(0, der.sequence())), reasons.STRUCTURE_REFUSED),
    ],
)
def test_what_is_no_signed_data_is_refused_first(body: bytes, reason: Reason) -> None:
    """Bodies that are not SignedData end at steps 1 and 2 (R6: 400)."""
    with pytest.raises(PeerError) as refused:
        read_message(body)
    assert refused.value.reason is reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"outer_type": oids.ID_ENVELOPED_DATA}, reasons.NOT_SIGNED_DATA),
        ({"content_type": oids.ID_ENVELOPED_DATA}, reasons.NOT_SIGNED_DATA),
        ({"certificates": [b"\x30\x00"] * 11}, reasons.STRUCTURE_REFUSED),
        ({"certificates": [b"\xa1\x00"]}, reasons.STRUCTURE_REFUSED),
        ({"sid": der.sequence()}, reasons.STRUCTURE_REFUSED),
        ({"sid": der.context(0, constructed=False)}, reasons.STRUCTURE_REFUSED),
        ({"digest_algorithm": der.sequence()}, reasons.STRUCTURE_REFUSED),
        ({"unsigned_attributes": der.null()}, reasons.STRUCTURE_REFUSED),
    ],
)
def test_what_has_another_shape_is_refused_first(changes: dict[str, Any], reason: Reason) -> None:
    """Structure is judged before anything is verified, the cap of ten certificates with it (SIG-3)."""
    with pytest.raises(PeerError) as refused:
        read_message(Request(**changes).build())
    assert refused.value.reason is reason


def test_trailing_octets_are_refused() -> None:
    """One octet after the message refuses it (IN-5), in DER and in BER."""
    whole = Request().build()
    for body in (whole + b"\x00", indefinite(whole) + b"\x00", whole + whole):
        with pytest.raises(PeerError) as refused:
            read_message(body)
        assert refused.value.reason is reasons.STRUCTURE_REFUSED


@pytest.mark.parametrize(
    "value",
    [
        b"",
        der.printable_string(""),
        der.tlv(der.PRINTABLE_STRING, b"1" * 256),
        der.octet_string(b"4F3A"),
        der.integer(19),
        der.tlv(der.PRINTABLE_STRING, b"a\nb"),
        der.tlv(der.PRINTABLE_STRING, b"\x00"),
        der.tlv(der.PRINTABLE_STRING, b"caf\xe9"),
        der.tlv(der.UTF8_STRING, b"\xff"),
        der.tlv(der.UTF8_STRING, "a\u202eb".encode()),
    ],
)
def test_a_transaction_id_that_cannot_be_echoed_is_none(value: bytes) -> None:
    """A transactionID that is missing, empty, long, of another type or not printable is not trustworthy (R6)."""
    raw = read_message(Request(values=_values(TRANSACTION_ID=value)).build())
    assert raw.transaction is None
    with pytest.raises(PeerError) as refused:
        verify_message(raw)
    assert refused.value.reason is reasons.TRANSACTION_UNTRUSTED


def test_a_refusal_can_be_addressed_before_anything_is_verified() -> None:
    """Transaction, nonce and digest are known after step 2, though the signature is wrong (R6)."""
    raw = read_message(Request(signature=bytes(256)).build())
    assert raw.transaction == Transaction(TRANSACTION.encode())
    assert (raw.sender_nonce, raw.digest) == (NONCE, Digest.SHA256)


# --- step 3: algorithms, all in clear -------------------------------------------------------------------------------


def _foreign_envelope(*, transport: bytes = b"", cipher: bytes = b"", recipient: bytes = b"") -> bytes:
    """An envelope with an algorithm of choice; what it holds is never looked at."""
    whole = build_enveloped(
        make_csr(), recipient=RA().certificate, cipher=Cipher.AES128_CBC, content_key=CONTENT_KEY, iv=IV
    )
    oid, explicit = der.read_one(whole).children()
    version, recipients, content = der.read_one(explicit.content).children()
    parts = [part.raw for part in recipients.children()[0].children()]
    info = recipient or der.sequence(*parts[:2], transport or parts[2], parts[3])
    inner = [part.raw for part in content.children()]
    sealed = der.sequence(version.raw, der.set_of([info]), der.sequence(inner[0], cipher or inner[1], inner[2]))
    return der.sequence(oid.raw, der.context(0, sealed))


_IV8 = der.octet_string(bytes(8))


@pytest.mark.parametrize(
    ("changes", "reason", "named"),
    [
        ({"digest_algorithm": algorithm(oids.SHA1)}, reasons.DIGEST_REFUSED, "SHA-1"),
        ({"digest_algorithm": algorithm(oids.MD5)}, reasons.DIGEST_REFUSED, "MD5"),
        ({"digest_algorithm": algorithm(oids.SHA224)}, reasons.DIGEST_REFUSED, "SHA-224"),
        ({"digest_algorithm": algorithm("1.2.3.4")}, reasons.DIGEST_REFUSED, "1.2.3.4"),
        ({"digest_algorithm": algorithm(oids.SHA256, der.integer(1))}, reasons.DIGEST_REFUSED, "SHA-256"),
        ({"signature_algorithm": algorithm(oids.SHA1_WITH_RSA)}, reasons.SIGNATURE_ALGORITHM_REFUSED, "sha1With"),
        ({"signature_algorithm": algorithm(oids.RSASSA_PSS)}, reasons.SIGNATURE_ALGORITHM_REFUSED, "RSASSA-PSS"),
        ({"signature_algorithm": algorithm(oids.ECDSA_WITH_SHA256)}, reasons.SIGNATURE_ALGORITHM_REFUSED, "ecdsa"),
        (
            {"signature_algorithm": algorithm(oids.SHA512_WITH_RSA)},
            reasons.SIGNATURE_ALGORITHM_REFUSED,
            "sha512WithRSAEncryption over digest SHA-256",
        ),
        (
            {"foreign": {"transport": algorithm(oids.RSAES_OAEP)}},
            reasons.KEY_TRANSPORT_REFUSED,
            "RSAES-OAEP without its parameters",
        ),
        ({"foreign": {"recipient": der.context(1)}}, reasons.KEY_TRANSPORT_REFUSED, "kari"),
        ({"foreign": {"recipient": der.context(3)}}, reasons.KEY_TRANSPORT_REFUSED, "pwri"),
        ({"foreign": {"cipher": algorithm(oids.DES_CBC, _IV8)}}, reasons.CIPHER_REFUSED, "DES-CBC"),
        (
            {"foreign": {"cipher": algorithm(oids.DES_EDE3_CBC, _IV8)}},
            reasons.CIPHER_REFUSED,
            "triple DES",
        ),
        ({"foreign": {"cipher": algorithm(oids.RC2_CBC, _IV8)}}, reasons.CIPHER_REFUSED, "RC2"),
        ({"foreign": {"cipher": algorithm(oids.AES256_GCM, _IV8)}}, reasons.CIPHER_REFUSED, "GCM"),
    ],
)
def test_algorithms_off_the_list_are_named(changes: dict[str, Any], reason: Reason, named: str) -> None:
    """What R1 does not list is refused at stage ALGORITHM, and the detail names it."""
    request = Request(content=_foreign_envelope(**changes["foreign"])) if "foreign" in changes else Request(**changes)
    refused = _refusal(request)
    assert refused.reason is reason
    assert named in refused.detail


def test_a_client_with_several_faults_reads_them_all() -> None:
    """The first fault is the reason; the detail names the others too, so that one look mends the client."""
    refused = _refusal(
        Request(
            digest_algorithm=algorithm(oids.SHA1),
            signature_algorithm=algorithm(oids.SHA1_WITH_RSA),
            content=_foreign_envelope(cipher=algorithm(oids.DES_CBC, _IV8)),
        )
    )
    assert refused.reason is reasons.DIGEST_REFUSED
    assert refused.detail == "digest SHA-1; signature sha1WithRSAEncryption; content cipher DES-CBC"


def test_a_signer_with_an_ec_key_is_an_algorithm_off_the_list() -> None:
    """An ECDSA signer is refused for its algorithm, whatever its signature says it is (R1)."""
    for oid in (oids.ECDSA_WITH_SHA256, oids.RSA_ENCRYPTION):
        request = Request(signer=ec_identity("curve"), signature_algorithm=algorithm(oid, b""))
        assert _refusal(request).reason is reasons.SIGNATURE_ALGORITHM_REFUSED


def test_algorithms_are_judged_before_digest_and_signature() -> None:
    """A message that is altered and uses a refused cipher is refused for the cipher."""
    content = _foreign_envelope(cipher=algorithm(oids.DES_CBC, _IV8))
    request = Request(content=content, message_digest=bytes(32), signature=bytes(256))
    assert _refusal(request).reason is reasons.CIPHER_REFUSED


def test_an_algorithm_fault_outweighs_an_unreadable_envelope() -> None:
    """A refused digest is the reason also where the content cannot be read at all."""
    request = Request(digest_algorithm=algorithm(oids.SHA1), content=b"\x30")
    assert _refusal(request).reason is reasons.DIGEST_REFUSED
    assert _refusal(Request(content=b"\x30")).reason is reasons.ENVELOPE_STRUCTURE_REFUSED
    assert _refusal(Request(content=b"")).reason is reasons.ENVELOPE_STRUCTURE_REFUSED


# --- steps 3 to 5, the rest -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"signers": 0}, reasons.SIGNER_COUNT),
        ({"signers": 2}, reasons.SIGNER_COUNT),
        ({"certificates": []}, reasons.SIGNER_CERTIFICATE_MISSING),
        ({"certificates": [b"\x30\x00"]}, reasons.SIGNER_CERTIFICATE_MISSING),
        ({"signed_as": "content"}, reasons.ATTRIBUTES_REFUSED),
        ({"message_digest": bytes(32)}, reasons.DIGEST_MISMATCH),
        ({"message_digest": b""}, reasons.DIGEST_MISMATCH),
        ({"signature": bytes(256)}, reasons.SIGNATURE_INVALID),
        ({"signature": b""}, reasons.SIGNATURE_INVALID),
        ({"extra_attributes": [attribute(oids.MESSAGE_TYPE, der.printable_string("17"))]}, reasons.ATTRIBUTES_REFUSED),
        ({"extra_attributes": [attribute("1.2.3.4", der.null())] * 2}, reasons.ATTRIBUTES_REFUSED),
        ({"extra_attributes": [attribute("1.2.3.4")]}, reasons.ATTRIBUTES_REFUSED),
    ],
)
def test_each_fault_of_the_outer_signature_has_its_reason(changes: dict[str, Any], reason: Reason) -> None:
    """Signer count, certificate, attributes, digest and signature each fail under their own reason (SIG-1, SIG-2)."""
    assert _refusal(Request(**changes)).reason is reason


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"CONTENT_TYPE": b""}, "contentType is missing"),
        ({"CONTENT_TYPE": der.oid(oids.ID_ENVELOPED_DATA)}, "contentType is not id-data"),
        ({"CONTENT_TYPE": der.null()}, "contentType is of the wrong type"),
        ({"MESSAGE_TYPE": b""}, "messageType is missing"),
        ({"MESSAGE_TYPE": der.integer(19)}, "messageType is of the wrong type"),
        ({"MESSAGE_TYPE": der.utf8_string("19")}, "messageType is of the wrong type"),
        ({"MESSAGE_TYPE": der.printable_string("19") * 2}, "messageType has several values"),
        ({"SENDER_NONCE": b""}, "senderNonce is missing"),
        ({"SENDER_NONCE": der.printable_string("x")}, "senderNonce is of the wrong type"),
        ({"SENDER_NONCE": der.octet_string(b"")}, "senderNonce has not 1 to 64 octets"),
        ({"SENDER_NONCE": der.octet_string(bytes(65))}, "senderNonce has not 1 to 64 octets"),
        ({"MESSAGE_DIGEST": der.null()}, "messageDigest is of the wrong type"),
    ],
)
def test_each_attribute_is_there_once_and_of_its_type(changes: dict[str, bytes], named: str) -> None:
    """A signed attribute that is missing, has several values or another type is refused by name (step 4, R7)."""
    refused = _refusal(Request(values=_values(**changes)))
    assert refused.reason is reasons.ATTRIBUTES_REFUSED
    assert refused.detail == named


def test_attributes_cannot_be_dropped_from_a_signature() -> None:
    """A signature over the bare content, the attributes taken away, is not looked at (SIG-2)."""
    stripped = _refusal(Request(signed_as="content"))
    assert stripped.reason is reasons.ATTRIBUTES_REFUSED
    assert stripped.detail == "signedAttrs are missing"


def test_another_envelope_under_the_same_signature_is_seen() -> None:
    """An exchanged envelope shows in the messageDigest, which the signature covers."""
    good = Request()
    digest = Digest.SHA256.of(good.envelope())
    exchanged = Request(content=_foreign_envelope(), message_digest=digest)
    assert _refusal(exchanged).reason is reasons.DIGEST_MISMATCH


def test_a_signature_by_another_key_is_refused() -> None:
    """The certificate that the sid names must have made the signature."""
    other = identity("another")
    request = Request(signer=other, certificates=[DEVICE().certificate], sid=issuer_and_serial(DEVICE().certificate))
    assert _refusal(request).reason is reasons.SIGNATURE_INVALID


def test_a_sid_that_fits_two_certificates_is_refused() -> None:
    """Two different certificates with the signer's issuer and serial leave it open who signed."""
    twin = identity("device", 3072)
    assert _refusal(Request(certificates=[DEVICE().certificate, twin.certificate])).reason is (
        reasons.SIGNER_CERTIFICATE_MISSING
    )


@pytest.mark.parametrize("bits", [1024, 1536])
def test_a_short_signer_key_is_refused_before_it_verifies(bits: int) -> None:
    """A signer's RSA key below 2048 bits is refused by size, its signature being good or not (KEY-1)."""
    for signature in (None, bytes(16)):
        refused = _refusal(Request(signer=identity("short", bits), signature=signature))
        assert refused.reason is reasons.SIGNER_KEY_REFUSED
        assert f"{bits} bits" in refused.detail


# --- whatever the bytes ---------------------------------------------------------------------------------------------


@given(st.binary(max_size=400))
def test_only_peererror_leaves_for_noise(body: bytes) -> None:
    """Noise is refused, by PeerError and with nothing but DerError behind it (IN-1)."""
    with pytest.raises(PeerError) as refused:
        read_message(body)
    assert type(refused.value.__cause__) in (type(None), der.DerError)


@given(st.data())
def test_only_peererror_leaves_for_damaged_messages(data: st.DataObject) -> None:
    """A good message with octets changed, cut or doubled verifies or is refused, never anything else (IN-1)."""
    body = bytearray(Request().build())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body) - 1))
        match data.draw(st.integers(0, 2)):
            case 0:
                body[at] = data.draw(st.integers(0, 255))
            case 1:
                del body[at : at + data.draw(st.integers(1, 40))]
            case _:
                body[at:at] = body[at : at + data.draw(st.integers(1, 40))]
        if not body:
            break
    try:
        message = verify_message(read_message(bytes(body)))
    except PeerError as refused:
        assert type(refused.__cause__) in (type(None), der.DerError)  # noqa: PT017 - a refusal is only one outcome
        return
    assert message.transaction.octets == TRANSACTION.encode()
    assert message.message_type == "19"
    assert message.signing_time in (None, datetime(2026, 6, 1, tzinfo=UTC))
