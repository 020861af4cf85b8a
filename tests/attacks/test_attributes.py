"""Signed attributes stripped, doubled and moved; signers, recipients and certificates too many or too few."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from attacks.forgery import certificate, csr_of, message_of, request_of
from attacks.harness import Target, refused, rightful
from forge import envelope
from regalia import reasons
from regalia.wire import der, oids
from regalia.wire.names import encode_name
from regalia.wire.scep import Transaction
from scep_parts import Identity, attribute, issuer_and_serial
from world import Device, names, rsa_key

if TYPE_CHECKING:
    from regalia.errors import Reason

ATTRIBUTES = {
    "contentType": oids.CONTENT_TYPE,
    "messageDigest": oids.MESSAGE_DIGEST,
    "messageType": oids.MESSAGE_TYPE,
    "transactionID": oids.TRANSACTION_ID,
    "senderNonce": oids.SENDER_NONCE,
}
EACH = pytest.mark.parametrize("name", ATTRIBUTES)


def attributes_of(device: Device, csr: bytes) -> tuple[bytes, dict[str, bytes]]:
    """The envelope of a good message, and its signed attributes' values."""
    content = envelope(device, csr)
    good = request_of(device, csr, content=content)
    return content, {**good.values, oids.MESSAGE_DIGEST: der.octet_string(good.digest.of(content))}


def sent(
    device: Device, content: bytes, attributes: list[bytes], *, unsigned: bytes = b"", order: bool = True
) -> bytes:
    """Sign exactly these attributes."""
    listed = sorted(attributes) if order else attributes
    signer = device.certificate or device.self_signed()
    digest = der.sequence(der.oid(oids.SHA256))
    info = der.sequence(
        der.integer(1),
        issuer_and_serial(signer),
        digest,
        der.context(0, *listed),
        der.sequence(der.oid(oids.RSA_ENCRYPTION), der.null()),
        der.octet_string(device.sign(der.tlv(der.SET, *listed))),
        unsigned,
    )
    signed_data = der.sequence(
        der.integer(1),
        der.set_of([digest]),
        der.sequence(der.oid(oids.ID_DATA), der.context(0, der.octet_string(content))),
        der.context(0, signer),
        der.tlv(der.SET, info),
    )
    return der.sequence(der.oid(oids.ID_SIGNED_DATA), der.context(0, signed_data))


def expected(name: str, *, missing: bool = False, in_all: bool = False) -> tuple[Reason, bool]:
    """The reason, and whether there is nobody to answer to: a fault of all attributes, or of the transactionID."""
    if missing and not in_all and name == "messageDigest":
        return reasons.ATTRIBUTES_REFUSED, False
    if name == "transactionID" and not in_all:
        return reasons.TRANSACTION_UNTRUSTED, True
    return reasons.ATTRIBUTES_REFUSED, in_all


@EACH
def test_a_message_without_one_of_the_attributes_is_refused(world: Target, name: str) -> None:
    """SIG-2, IN-4, MSG-4: each of the five missing, the rest rightly signed."""
    secret, device = world.mint("laptop-1"), Device(world)
    content, values = attributes_of(device, csr_of(device, challenge=secret))
    kept = [attribute(oid, value) for oid, value in values.items() if oid != ATTRIBUTES[name]]
    reason, unreadable = expected(name, missing=True)
    refused(world, sent(device, content, kept), reason, unreadable=unreadable)
    rightful(world, secret)


@EACH
def test_an_attribute_that_is_only_unsigned_counts_for_nothing(world: Target, name: str) -> None:
    """SIG-1, SIG-2: each of the five in unsignedAttrs alone: what stands there was said by anybody."""
    secret, device = world.mint("laptop-1"), Device(world)
    content, values = attributes_of(device, csr_of(device, challenge=secret))
    kept = [attribute(oid, value) for oid, value in values.items() if oid != ATTRIBUTES[name]]
    moved = der.context(1, attribute(ATTRIBUTES[name], values[ATTRIBUTES[name]]))
    reason, unreadable = expected(name, missing=True)
    refused(world, sent(device, content, kept, unsigned=moved), reason, unreadable=unreadable)
    rightful(world, secret)


@EACH
@pytest.mark.parametrize("second", ["the same", "another"])
@pytest.mark.parametrize("order", [True, False], ids=["sorted", "reversed"])
def test_a_message_with_an_attribute_twice_is_refused(world: Target, name: str, second: str, *, order: bool) -> None:
    """POL-4, SIG-2: each of the five doubled; no transactionID is trusted where anything stands twice."""
    secret, device = world.mint("laptop-1"), Device(world)
    content, values = attributes_of(device, csr_of(device, challenge=secret))
    value = values[ATTRIBUTES[name]]
    other = value if second == "the same" else value[:-1] + bytes((value[-1] ^ 1,))
    twice = [attribute(oid, value) for oid, value in values.items()] + [attribute(ATTRIBUTES[name], other)]
    message = sent(device, content, twice if order else twice[::-1], order=order)
    refused(world, message, reasons.ATTRIBUTES_REFUSED, unreadable=True)
    rightful(world, secret)


@EACH
@pytest.mark.parametrize("second", ["the same", "another", "none"])
def test_a_message_with_two_values_or_none_is_refused(world: Target, name: str, second: str) -> None:
    """SIG-2, IN-4: one attribute with two values, or with an empty SET."""
    secret, device = world.mint("laptop-1"), Device(world)
    content, values = attributes_of(device, csr_of(device, challenge=secret))
    value = values[ATTRIBUTES[name]]
    given = {"the same": [value, value], "another": [value, value[:-1] + b"\x00"], "none": []}[second]
    listed = [
        attribute(oid, *given) if oid == ATTRIBUTES[name] else attribute(oid, value) for oid, value in values.items()
    ]
    reason, unreadable = expected(name, missing=True, in_all=second == "none")
    refused(world, sent(device, content, listed), reason, unreadable=unreadable)
    rightful(world, secret)


@EACH
def test_an_attribute_of_another_type_is_refused(world: Target, name: str) -> None:
    """IN-7, R7, SIG-2: the right octets under the tag of another type, and under none that anybody knows."""
    secret, device = world.mint("laptop-1"), Device(world)
    content, values = attributes_of(device, csr_of(device, challenge=secret))
    value = values[ATTRIBUTES[name]]
    for tag in (0x02, 0x05, 0x1A):
        world.pass_minutes()
        listed = [
            attribute(oid, bytes((tag,)) + given[1:] if oid == ATTRIBUTES[name] else given)
            for oid, given in values.items()
        ]
        assert value[0] != tag
        reason, unreadable = expected(name, missing=True)
        refused(world, sent(device, content, listed), reason, unreadable=unreadable)
    rightful(world, secret)


@pytest.mark.parametrize("octets", [0, 65, 1000, 20_000])
def test_a_nonce_that_is_none_is_refused(world: Target, octets: int) -> None:
    """IN-8: senderNonce has 1 to 64 octets; a refusal echoes none that is longer."""
    secret, device = world.mint("laptop-1"), Device(world)
    content, values = attributes_of(device, csr_of(device, challenge=secret))
    values[oids.SENDER_NONCE] = der.octet_string(b"n" * octets)
    message = sent(device, content, [attribute(oid, value) for oid, value in values.items()])
    attempt = refused(world, message, reasons.ATTRIBUTES_REFUSED)
    assert attempt.attribute(oids.RECIPIENT_NONCE) is None
    rightful(world, secret)


TRANSACTIONS = {
    "empty": b"",
    "256 octets": b"a" * 256,
    "NUL": b"a\x00b",
    "newline": b"a\nb",
    "escape": b"\x1b[2J",
    "bidi": "a\u202eb".encode(),
    "zero width": "a\u200bb".encode(),
    "no UTF-8": b"\xff\xfe",
    "surrogate": b"\xed\xa0\x80",
    "private use": "\ue000".encode(),
    "line separator": "\u2028".encode(),
}


@pytest.mark.parametrize("octets", TRANSACTIONS.values(), ids=TRANSACTIONS.keys())
@pytest.mark.parametrize("tag", [0x13, 0x0C, 0x16], ids=["PrintableString", "UTF8String", "IA5String"])
def test_a_transaction_that_nobody_could_print_is_not_answered(world: Target, octets: bytes, tag: int) -> None:
    """IN-6, IN-8, R6: HTTP 400 and an event without it: what is echoed or logged never holds controls."""
    secret, device = world.mint("laptop-1"), Device(world)
    device.transaction = Transaction(octets, tag)
    attempt = refused(
        world, message_of(device, csr_of(device, challenge=secret)), reasons.TRANSACTION_UNTRUSTED, unreadable=True
    )
    assert attempt.events[0].transaction_id is None
    rightful(world, secret)


# --- signers, recipients, certificates ------------------------------------------------------------------------------


@pytest.mark.parametrize("signers", [0, 2, 3, 50])
def test_other_than_one_signer_is_refused(world: Target, signers: int) -> None:
    """IN-4, SIG-1: no signer at all (Go's and gitsign's flaw), the good one twice, and many: HTTP 400."""
    secret, device = world.mint("laptop-1"), Device(world)
    message = message_of(device, csr_of(device, challenge=secret), signers=signers)
    refused(world, message, reasons.SIGNER_COUNT, unreadable=True)
    rightful(world, secret)


@pytest.mark.parametrize("good_first", [True, False])
def test_a_strangers_signature_beside_the_good_one_is_refused(world: Target, *, good_first: bool) -> None:
    """SIG-1, POL-4: two signers with one transaction each: whose it is must not be a matter of choice."""
    secret = world.mint("laptop-1")
    victim, thief = Device(world), Device(world, key=rsa_key(1), transaction=Transaction(b"thief"))
    csr = csr_of(victim, challenge=secret)
    requests = [request_of(device, csr) for device in (victim, thief)]
    content = requests[0].envelope()
    infos = [request.signer_info(content) for request in requests]
    signed_data = der.sequence(
        der.integer(1),
        der.set_of([requests[0].digest.identifier]),
        der.sequence(der.oid(oids.ID_DATA), der.context(0, der.octet_string(content))),
        der.context(0, *(request.signer.certificate for request in requests)),
        der.tlv(der.SET, *(infos if good_first else infos[::-1])),
    )
    message = der.sequence(der.oid(oids.ID_SIGNED_DATA), der.context(0, signed_data))
    refused(world, message, reasons.SIGNER_COUNT, unreadable=True)
    rightful(world, secret)


def test_a_message_of_certificates_alone_is_no_request(world: Target) -> None:
    """IN-4: the degenerate SignedData that we answer GetCACert with, sent back."""
    door = world.store.door("default")
    assert door is not None
    refused(world, world.scep.ca_certificates(door), reasons.SIGNER_COUNT, unreadable=True)


@pytest.mark.parametrize("count", [11, 12, 40])
def test_a_bag_of_more_than_ten_certificates_is_not_looked_into(world: Target, count: int) -> None:
    """SIG-3, RES-4: at most ten, the right one among them or not."""
    secret, device = world.mint("laptop-1"), Device(world)
    signer = device.self_signed()
    bag = [signer, *(der.sequence(der.integer(n)) for n in range(count - 1))]
    message = message_of(
        device, csr_of(device, challenge=secret), signer=Identity(device.key, signer), certificates=bag
    )
    refused(world, message, reasons.STRUCTURE_REFUSED)
    rightful(world, secret)


def test_a_ca_certificate_in_the_bag_is_no_trust_anchor(world: Target) -> None:
    """SIG-3, REN-2: a whole chain of the thief's own, his root named like ours, with the renewing leaf under it."""
    device = Device(world)
    device.enrol(names("laptop-1"), world.mint("laptop-1"))
    door = world.store.door("default")
    assert door is not None
    subject = der.read_one(door.authority.certificate_der).children()[0].children()[5].raw
    ca_key = ec.generate_private_key(ec.SECP256R1())
    thief = Device(world, key=rsa_key(1), transaction=Transaction(b"thief"))
    ca = certificate(ca_key, b"", issuer=subject, subject=subject, serial=1, device=thief)
    leaf = certificate(
        ca_key, thief.public_key(), issuer=subject, subject=encode_name(cn="laptop-1"), serial=2, device=thief
    )
    message = message_of(
        thief,
        csr_of(thief),
        signer=Identity(thief.key, leaf),
        certificates=[leaf, ca, door.authority.certificate_der, door.root.certificate_der],
    )
    refused(world, message, reasons.SIGNER_FOREIGN, security=True)


def test_two_certificates_that_the_signer_could_mean_are_none(world: Target) -> None:
    """SIG-3, POL-4: one sid, two certificates with it and with different keys."""
    secret, device = world.mint("laptop-1"), Device(world)
    signer, name = device.self_signed(), encode_name(cn="SCEP signer")
    other = certificate(
        rsa_key(1), Device(world, key=rsa_key(1)).public_key(), issuer=name, subject=name, serial=1, device=device
    )
    for bag in ([signer, other], [other, signer]):
        message = message_of(
            device, csr_of(device, challenge=secret), signer=Identity(device.key, signer), certificates=bag
        )
        refused(world, message, reasons.SIGNER_CERTIFICATE_MISSING)
    rightful(world, secret)


@pytest.mark.parametrize("sid", ["empty SKI", "SKI of nobody", "issuer alone", "serial of another"])
def test_a_signer_that_names_no_certificate_is_refused(world: Target, sid: str) -> None:
    """SIG-3, IN-4: the whole sid must match; an empty SKI does not mean the certificate without one."""
    secret, device = world.mint("laptop-1"), Device(world)
    given, reason = {
        "empty SKI": (der.context(0, b"", constructed=False), reasons.STRUCTURE_REFUSED),
        "SKI of nobody": (der.context(0, b"nobody", constructed=False), reasons.SIGNER_CERTIFICATE_MISSING),
        "issuer alone": (der.sequence(encode_name(cn="SCEP signer")), reasons.STRUCTURE_REFUSED),
        "serial of another": (
            der.sequence(encode_name(cn="SCEP signer"), der.integer(2)),
            reasons.SIGNER_CERTIFICATE_MISSING,
        ),
    }[sid]
    refused(world, message_of(device, csr_of(device, challenge=secret), sid=given), reason)
    rightful(world, secret)


def recipients(content: bytes, change: object) -> bytes:
    """The same envelope with its recipientInfos replaced."""
    assert callable(change)
    outer, inner = der.read_one(content).children()
    version, infos, sealed = inner.children()[0].children()
    return der.sequence(
        outer.raw, der.context(0, der.sequence(version.raw, der.tlv(der.SET, *change(infos.content)), sealed.raw))
    )


RECIPIENTS = {
    "none": (lambda _: [], reasons.ENVELOPE_STRUCTURE_REFUSED),
    "the RA twice": (lambda info: [info, info], reasons.RECIPIENT_UNKNOWN),
    "five": (lambda info: [info] * 5, reasons.ENVELOPE_STRUCTURE_REFUSED),
    "twenty": (lambda info: [info] * 20, reasons.ENVELOPE_STRUCTURE_REFUSED),
    "a password": (lambda _: [der.context(3, der.integer(0))], reasons.KEY_TRANSPORT_REFUSED),
    "the RA and a password": (lambda info: [info, der.context(3, der.integer(0))], reasons.KEY_TRANSPORT_REFUSED),
    "key agreement": (lambda _: [der.context(1, der.integer(3))], reasons.KEY_TRANSPORT_REFUSED),
    "a key-encryption key": (lambda _: [der.context(2, der.integer(4))], reasons.KEY_TRANSPORT_REFUSED),
    "another kind": (lambda _: [der.context(4, der.oid("1.2.3"))], reasons.KEY_TRANSPORT_REFUSED),
    "no recipient at all": (lambda _: [der.sequence()], reasons.ENVELOPE_STRUCTURE_REFUSED),
}


@pytest.mark.parametrize(("change", "reason"), RECIPIENTS.values(), ids=RECIPIENTS.keys())
def test_other_than_one_recipient_that_is_the_ra_is_refused(world: Target, change: object, reason: Reason) -> None:
    """ENV-7, IN-4: before the private key is touched: one recipient is the RA, once, and all use its key transport."""
    secret, device = world.mint("laptop-1"), Device(world)
    content = recipients(envelope(device, csr_of(device, challenge=secret)), change)
    refused(world, message_of(device, b"", content=content), reason)
    rightful(world, secret)


@pytest.mark.parametrize("whose", ["a stranger's", "the CA's", "another group's RA"])
def test_an_envelope_for_somebody_else_is_refused(world: Target, whose: str) -> None:
    """ENV-7, ENV-8: encrypted to a certificate that is not this group's RA, the CA's own names included."""
    world.open_group("staff")
    secret, device = world.mint("laptop-1"), Device(world)
    door, other = world.store.door("default"), world.store.door("staff")
    assert door is not None
    assert other is not None
    if whose == "the CA's":
        outer, inner = der.read_one(envelope(device, csr_of(device, challenge=secret))).children()
        version, infos, sealed = inner.children()[0].children()
        parts = infos.children()[0].children()
        info = der.sequence(parts[0].raw, issuer_and_serial(door.authority.certificate_der), parts[2].raw, parts[3].raw)
        content = der.sequence(outer.raw, der.context(0, der.sequence(version.raw, der.set_of([info]), sealed.raw)))
    else:
        stranger = replace(device, key=rsa_key(1)).self_signed()
        recipient = stranger if whose == "a stranger's" else other.ra.certificate_der
        content = envelope(device, csr_of(device, challenge=secret), recipient=recipient)
    refused(world, message_of(device, b"", content=content), reasons.RECIPIENT_UNKNOWN)
    rightful(world, secret)


def test_an_empty_content_is_no_envelope(world: Target) -> None:
    """IN-4: a signed message with zero-length and with absent content."""
    device = Device(world)
    refused(world, message_of(device, b"", content=b""), reasons.ENVELOPE_STRUCTURE_REFUSED)
    good = message_of(device, b"", content=b"")
    outer, inner = der.read_one(good).children()
    parts = inner.children()[0].children()
    absent = der.sequence(
        outer.raw,
        der.context(
            0,
            der.sequence(
                parts[0].raw, parts[1].raw, der.sequence(der.oid(oids.ID_DATA)), *(part.raw for part in parts[3:])
            ),
        ),
    )
    refused(world, absent, reasons.ENVELOPE_STRUCTURE_REFUSED)
