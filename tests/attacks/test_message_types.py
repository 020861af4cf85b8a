"""messageType: every number there is, and every way to write one of the few that mean something."""

from __future__ import annotations

import pytest

from attacks.forgery import csr_of, message_of
from attacks.harness import Target, refused, rightful
from forge import REQUEST_NONCE
from regalia import reasons
from regalia.wire import der, oids
from regalia.wire.event import FIELD_OCTETS, capped
from regalia.wire.scep import PkiStatus
from scep_parts import attribute
from world import Device, names

MEANT = frozenset({17, 19, 20, 21, 22})
"""RenewalReq, PKCSReq, CertPoll, GetCert, GetCRL."""


def typed(device: Device, secret: str, value: bytes) -> bytes:
    """A good first enrolment whose messageType is any encoded value; b"" leaves it out."""
    return message_of(
        device,
        csr_of(device, challenge=secret),
        values={
            oids.CONTENT_TYPE: der.oid(oids.ID_DATA),
            oids.MESSAGE_TYPE: value,
            oids.TRANSACTION_ID: device.transaction.encoded,
            oids.SENDER_NONCE: der.octet_string(REQUEST_NONCE),
        },
    )


def test_every_number_but_five_is_refused(world: Target) -> None:
    """MSG-1, IN-7: 0 to 255 in turn, UpdateReq (18) among them: step-ca's CVE-2026-30836."""
    secret, device = world.mint("laptop-1", minutes=24 * 60), Device(world)
    for number in sorted(set(range(256)) - MEANT):
        world.pass_minutes(1)
        message = typed(device, secret, der.printable_string(str(number)))
        refused(world, message, reasons.MESSAGE_TYPE_REFUSED, security=True)
    rightful(world, secret)


@pytest.mark.parametrize("number", sorted(MEANT - {19}))
def test_a_request_under_another_served_type_enrols_nobody(world: Target, number: int) -> None:
    """MSG-1, MSG-2: a PKCSReq's content with a good challenge, sent as each of the other types."""
    secret, device = world.mint("laptop-1"), Device(world)
    message = typed(device, secret, der.printable_string(str(number)))
    expected = {17: reasons.RENEWAL_NEEDS_CERTIFICATE, 20: reasons.POLL_UNKNOWN}
    refused(world, message, expected.get(number, reasons.RETRIEVAL_REFUSED), row=False)
    rightful(world, secret)


WRITTEN = {
    "leading zero": b"019",
    "space before": b" 19",
    "space after": b"19 ",
    "NUL after": b"19\x00",
    "NUL inside": b"1\x009",
    "newline": b"19\n",
    "plus": b"+19",
    "minus": b"-19",
    "underscore": b"1_9",
    "hexadecimal": b"0x13",
    "point": b"19.0",
    "two types": b"19,17",
    "empty": b"",
    "arabic digits": "\u0661\u0669".encode(),
    "full-width digits": "\uff11\uff19".encode(),
    "mathematical digits": "\U0001d7cf\U0001d7d7".encode(),
    "escape sequence": b"\x1b[2J19",
    "a thousand digits": b"19" * 500,
    "sixty thousand digits": b"1" * 60_000,
}


@pytest.mark.parametrize("text", WRITTEN.values(), ids=WRITTEN.keys())
def test_a_type_is_compared_octet_for_octet(world: Target, text: bytes) -> None:
    """IN-7, MSG-1, AUD-5: what int() would take for 19 is not 19; and the record stays short."""
    secret, device = world.mint("laptop-1"), Device(world)
    attempt = refused(world, typed(device, secret, der.tlv(0x13, text)), reasons.MESSAGE_TYPE_REFUSED, security=True)
    assert len(str(capped(attempt.events[0]).details["detail"]).encode()) <= FIELD_OCTETS
    rightful(world, secret)


@pytest.mark.parametrize("tag", [0x02, 0x04, 0x0C, 0x12, 0x14, 0x16, 0x1A, 0x1E, 0x30, 0x05])
def test_a_type_of_another_type_is_refused(world: Target, tag: int) -> None:
    """IN-7, R7: INTEGER 19, UTF8String 19 and their kind: only a PrintableString is a messageType."""
    secret, device = world.mint("laptop-1"), Device(world)
    content = {0x02: b"\x13", 0x1E: "19".encode("utf-16-be"), 0x30: der.printable_string("19"), 0x05: b""}.get(
        tag, b"19"
    )
    refused(world, typed(device, secret, der.tlv(tag, content)), reasons.ATTRIBUTES_REFUSED)
    rightful(world, secret)


def test_no_type_is_no_request(world: Target) -> None:
    """MSG-1, IN-4: a message without messageType is not a PKCSReq by default."""
    secret, device = world.mint("laptop-1"), Device(world)
    refused(world, typed(device, secret, b""), reasons.ATTRIBUTES_REFUSED)
    rightful(world, secret)


@pytest.mark.parametrize("form", ["two attributes", "two values"])
@pytest.mark.parametrize("first", ["19", "18"])
def test_two_types_are_none(world: Target, form: str, first: str) -> None:
    """MSG-1, POL-4: 19 and 18 in one message, in either order and in both forms."""
    secret, device = world.mint("laptop-1"), Device(world)
    pair = [der.printable_string(first), der.printable_string("18" if first == "19" else "19")]
    extra = (
        [attribute(oids.MESSAGE_TYPE, value) for value in pair]
        if form == "two attributes"
        else [attribute(oids.MESSAGE_TYPE, *pair)]
    )
    message = message_of(
        device,
        csr_of(device, challenge=secret),
        values={
            oids.CONTENT_TYPE: der.oid(oids.ID_DATA),
            oids.TRANSACTION_ID: device.transaction.encoded,
            oids.SENDER_NONCE: der.octet_string(REQUEST_NONCE),
        },
        extra_attributes=extra,
        sort_attributes=first == "19",
    )
    refused(world, message, reasons.ATTRIBUTES_REFUSED, unreadable=form == "two attributes")
    rightful(world, secret)


def test_an_unsigned_type_counts_for_nothing(world: Target) -> None:
    """MSG-1, SIG-1: messageType 19 in unsignedAttrs beside a signed 18, and beside none at all."""
    secret, device = world.mint("laptop-1"), Device(world)
    unsigned = der.context(1, attribute(oids.MESSAGE_TYPE, der.printable_string("19")))
    values = {
        oids.CONTENT_TYPE: der.oid(oids.ID_DATA),
        oids.TRANSACTION_ID: device.transaction.encoded,
        oids.SENDER_NONCE: der.octet_string(REQUEST_NONCE),
    }
    csr = csr_of(device, challenge=secret)
    without = message_of(device, csr, values=values, unsigned_attributes=unsigned)
    refused(world, without, reasons.ATTRIBUTES_REFUSED)
    other = {**values, oids.MESSAGE_TYPE: der.printable_string("18")}
    beside = message_of(device, csr, values=other, unsigned_attributes=unsigned)
    refused(world, beside, reasons.MESSAGE_TYPE_REFUSED, security=True)
    rightful(world, secret)


def test_a_reply_of_ours_sent_back_is_no_request(world: Target) -> None:
    """MSG-1, SIG-4: the CertRep (3) that the RA signed, reflected to the RA."""
    device = Device(world)
    secret = world.mint("laptop-1")
    assert device.enrol(names("laptop-1"), secret).status is PkiStatus.SUCCESS
    success = world.send(device.message(device.csr(names("laptop-1"), secret), signer=device.self_signed()))
    refused(world, success.der, reasons.MESSAGE_TYPE_REFUSED, security=True)  # type: ignore[union-attr]  # it is one
