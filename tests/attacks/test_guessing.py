"""Guessing: challenges, RSA blocks, other people's transactions and polls, and how soon that ends."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from cryptography import x509

from attacks.forgery import csr_of, message_of, requested
from attacks.harness import Attempt, Target, attack, limited, masked, refused, rightful
from forge import REQUEST_NONCE, envelope
from regalia import reasons
from regalia.errors import InvariantError
from regalia.model import Authoriser, CertificateKind, EnrolmentState
from regalia.ports import CertificateFilter
from regalia.wire import der, oids
from regalia.wire.boundary import reading
from regalia.wire.certificate import basic_constraints
from regalia.wire.names import encode_name
from regalia.wire.scep import PkiStatus, Transaction
from scep_parts import attribute
from world import ADMIN, Device, names, rsa_key


def guesser(world: Target, number: int = 0, endpoint: str = "default") -> Device:
    """Somebody who begins a transaction of his own for each guess."""
    return Device(world, key=rsa_key(1), transaction=Transaction(b"guess %d" % number), endpoint=endpoint)


def guess(world: Target, number: int, challenge: str = "", endpoint: str = "default") -> bytes:
    """One guess."""
    device = guesser(world, number, endpoint)
    return message_of(device, csr_of(device, challenge=challenge or f"guess number {number}"))


def unreadable(world: Target, number: int) -> bytes:
    """A message whose envelope holds no request."""
    device = guesser(world, number)
    return message_of(device, b"", content=envelope(device, b"block %d" % number))


# --- challenges -----------------------------------------------------------------------------------------------------


def test_ten_wrong_challenges_a_minute_are_all_that_one_address_has(world: Target) -> None:
    """CHA-3, R6: LIM-001: the eleventh is 429, the right one as well; others go on; a minute later so does he."""
    secret = world.mint("laptop-1")
    for number in range(10):
        refused(world, guess(world, number), reasons.CHALLENGE_UNKNOWN)
    limited(world, guess(world, 10), reasons.SOURCE_GUESSING, alarm=True)
    limited(world, guess(world, 11, secret), reasons.SOURCE_GUESSING, alarm=False)
    rightful(world, secret)
    world.pass_minutes()
    refused(world, guess(world, 12), reasons.CHALLENGE_UNKNOWN)


@pytest.mark.parametrize(
    ("sources", "one"),
    [
        (lambda n: f"2001:db8:1:1::{n:x}", True),
        (lambda n: f"::ffff:198.51.100.{n % 2}", False),
        (lambda n: f"2001:db8:1:{n:x}::1", False),
    ],
    ids=["one /64", "two mapped addresses", "many networks"],
)
def test_a_guesser_with_many_addresses_is_counted_by_his_network(world: Target, sources: object, *, one: bool) -> None:
    """RES-6, CHA-3: an IPv6 holder has a /64; addresses of other networks are other people's."""
    assert callable(sources)
    for number in range(10):
        refused(world, guess(world, number), reasons.CHALLENGE_UNKNOWN, source=sources(number))
    if one:
        limited(world, guess(world, 10), reasons.SOURCE_GUESSING, alarm=True, source=sources(10))
    else:
        refused(world, guess(world, 10), reasons.CHALLENGE_UNKNOWN, source=sources(10))


def test_a_hundred_wrong_challenges_a_minute_close_the_group_for_strangers(world: Target) -> None:
    """CHA-3, REN-1: LIM-002: from many addresses; renewals go on, another group too, a minute later it ends."""
    device = Device(world)
    device.enrol(names("laptop-1"), world.mint("laptop-1"))
    world.open_group("staff")
    secret, other = world.mint("laptop-2"), world.mint("laptop-3", endpoint="staff")
    for number in range(100):
        refused(world, guess(world, number), reasons.CHALLENGE_UNKNOWN, source=f"198.51.100.{number}")
    limited(world, guess(world, 101, secret), reasons.GROUP_GUESSING, alarm=True, source="203.0.113.1")
    assert device.fresh("renewal").enrol(names("laptop-1"), None).status is PkiStatus.SUCCESS
    visitor = Device(world, key=rsa_key(2), endpoint="staff", transaction=Transaction(b"staff"))
    assert visitor.enrol(names("laptop-3"), other).status is PkiStatus.SUCCESS
    world.pass_minutes()
    late = Device(world, key=rsa_key(3), transaction=Transaction(b"late"))
    assert late.enrol(names("laptop-2"), secret).status is PkiStatus.SUCCESS


def test_wrong_guesses_of_every_kind_count(world: Target) -> None:
    """CHA-3, IN-4: absent, used, expired, revoked and another endpoint's challenge are guesses as well."""
    used, expired = world.mint("laptop-1"), world.mint("laptop-1", minutes=1)
    rightful(world, used)
    world.pass_minutes()
    device = guesser(world, 100)
    for number in range(4):
        refused(world, message_of(replace(device), csr_of(device)), reasons.CHALLENGE_MISSING)
        refused(world, guess(world, number, expired), reasons.CHALLENGE_EXPIRED)
        if number < 2:
            refused(world, guess(world, number, used), reasons.CHALLENGE_REPLAYED, security=True)
    limited(world, guess(world, 20), reasons.SOURCE_GUESSING, alarm=True)


def test_a_right_challenge_in_between_does_not_begin_the_count_anew(world: Target) -> None:
    """CHA-3: whoever has one good challenge gets no more guesses at others for it."""
    for number in range(9):
        refused(world, guess(world, number), reasons.CHALLENGE_UNKNOWN)
    device = replace(guesser(world, 50), source="192.0.2.66")
    assert device.enrol(names("laptop-1"), world.mint("laptop-1")).status is PkiStatus.SUCCESS
    refused(world, guess(world, 9), reasons.CHALLENGE_UNKNOWN)
    limited(world, guess(world, 10), reasons.SOURCE_GUESSING, alarm=True)


def test_a_static_challenge_is_guessed_no_faster(world: Target) -> None:
    """CHA-2, CHA-3: the same limit at the door of a static challenge, whose secret lives long."""
    secret = world.open_endpoint("printers", Authoriser.STATIC)
    for number in range(10):
        refused(world, guess(world, number, endpoint="printers"), reasons.CHALLENGE_UNKNOWN, endpoint="printers")
    limited(world, guess(world, 10, secret, "printers"), reasons.SOURCE_GUESSING, alarm=True, endpoint="printers")


# --- the RA's key ---------------------------------------------------------------------------------------------------


def test_a_hundred_unreadable_messages_a_minute_are_all_that_one_address_has(world: Target) -> None:
    """ENV-9, R6: LIM-003: a Bleichenbacher attack needs volume; at 429 nothing is opened and nothing signed."""
    for number in range(100):
        assert attack(world, unreadable(world, number)).told == (PkiStatus.FAILURE, 1)
    limited(world, unreadable(world, 100), reasons.SOURCE_UNREADABLE, alarm=True, folded=True)
    limited(world, b"not even a message", reasons.SOURCE_UNREADABLE, alarm=False, folded=True)


def test_a_thousand_unreadable_messages_from_many_addresses_close_the_group_for_strangers(world: Target) -> None:
    """ENV-9, REN-1: LIM-004: spread over addresses it ends the same; renewals go on."""
    device = Device(world)
    device.enrol(names("laptop-1"), world.mint("laptop-1"))
    for number in range(1_000):
        attempt = attack(world, unreadable(world, number), source=f"198.51.100.{number // 10}")
        assert attempt.told == (PkiStatus.FAILURE, 1)
    limited(world, unreadable(world, 1_000), reasons.GROUP_UNREADABLE, alarm=True, source="203.0.113.9")
    assert device.fresh("renewal").enrol(names("laptop-1"), None).status is PkiStatus.SUCCESS


def test_at_the_limit_no_private_key_is_used(world: Target) -> None:
    """ENV-9, CHA-3, R6: with the RA's key gone altogether, a limited message is still answered."""
    for number in range(10):
        refused(world, guess(world, number), reasons.CHALLENGE_UNKNOWN)
    world.keys.private.clear()
    limited(world, guess(world, 10), reasons.SOURCE_GUESSING, alarm=True)


# --- transactions ---------------------------------------------------------------------------------------------------


def test_another_key_does_not_enter_an_open_transaction(world: Target) -> None:
    """R3, ISS-3: the transactionID of another, fresh: two devices with one, and a thief who saw it in clear."""
    Device(world).enrol(names("laptop-1"), world.mint("laptop-1"))
    secret, thief = world.mint("laptop-2"), Device(world, key=rsa_key(1))
    refused(world, message_of(thief, _csr(thief, "laptop-2", secret)), reasons.TRANSACTION_TAKEN, security=True)
    world.clock.advance(timedelta(hours=23))
    again = world.mint("laptop-2")
    refused(world, message_of(thief, _csr(thief, "laptop-2", again)), reasons.TRANSACTION_TAKEN, security=True)
    world.clock.advance(timedelta(hours=2))
    late = world.mint("laptop-2")
    assert thief.enrol(names("laptop-2"), late).status is PkiStatus.SUCCESS


def _csr(device: Device, cn: str, challenge: str | None) -> bytes:
    return csr_of(device, challenge=challenge, subject=encode_name(cn=cn))


def test_a_transaction_of_another_endpoint_is_another_transaction(world: Target) -> None:
    """R3: the same transactionID at two doors, by two devices: neither keeps the other out."""
    world.open_group("staff")
    Device(world).enrol(names("laptop-1"), world.mint("laptop-1"))
    other = Device(world, key=rsa_key(1), endpoint="staff")
    assert other.enrol(names("laptop-2"), world.mint("laptop-2", endpoint="staff")).status is PkiStatus.SUCCESS


def test_a_refused_stranger_does_not_keep_a_transaction(world: Target) -> None:
    """R3, I10: whoever knows the transactionID and no challenge cannot occupy it before its owner comes."""
    thief = Device(world, key=rsa_key(1))
    refused(world, message_of(thief, _csr(thief, "laptop-1", "wrong")), reasons.CHALLENGE_UNKNOWN)
    device = Device(world)
    assert device.transaction == thief.transaction
    assert device.enrol(names("laptop-1"), world.mint("laptop-1")).status is PkiStatus.SUCCESS


@pytest.mark.parametrize("tag", [0x0C, 0x16])
def test_a_transaction_under_another_tag_is_the_same_transaction(world: Target, tag: int) -> None:
    """R3, R7: the octets count, not the string type that they come in."""
    Device(world).enrol(names("laptop-1"), world.mint("laptop-1"))
    thief = Device(world, key=rsa_key(1), transaction=Transaction(b"transaction-1", tag))
    secret = world.mint("laptop-2")
    refused(world, message_of(thief, _csr(thief, "laptop-2", secret)), reasons.TRANSACTION_TAKEN, security=True)


def test_a_repetition_with_other_names_is_refused(world: Target) -> None:
    """R3, ISS-3: the same transaction, key and challenge asking for less, once it has its certificate."""
    secret, device = world.mint("laptop-1", "a.example.com"), Device(world)
    csr = device.csr(names("laptop-1"), secret)
    assert device.open(world.send(device.message(csr)), csr).status is PkiStatus.SUCCESS
    other = device.message(device.csr(names(None, "a.example.com"), secret))
    refused(world, other, reasons.CONVERSATION_CHANGED)


# --- polls ----------------------------------------------------------------------------------------------------------


def poll_of(device: Device, *, certificate: bytes | None = None) -> bytes:
    """A CertPoll (RFC 8894 §3.3.3) of the device's transaction."""
    content = envelope(device, der.sequence(encode_name(cn="CA"), encode_name(cn="laptop-1")))
    changes: dict[str, object] = {} if certificate is None else {"certificates": [certificate]}
    return message_of(
        device,
        b"",
        content=content,
        values={
            oids.CONTENT_TYPE: der.oid(oids.ID_DATA),
            oids.MESSAGE_TYPE: der.printable_string("20"),
            oids.TRANSACTION_ID: device.transaction.encoded,
            oids.SENDER_NONCE: der.octet_string(REQUEST_NONCE),
        },
        **changes,
    )


def held(world: Target) -> Device:
    """A device whose enrolment waits for approval."""
    secret = world.open_endpoint("queue", Authoriser.APPROVAL)
    device = Device(world, endpoint="queue", transaction=Transaction(b"held"))
    assert device.enrol(names("laptop-1"), secret).status is PkiStatus.PENDING
    return device


def unknown(world: Target, device: Device) -> Attempt:
    """A poll that finds nothing."""
    return refused(world, poll_of(device), reasons.POLL_UNKNOWN, endpoint=device.endpoint, row=False)


@pytest.mark.parametrize("when", ["waiting", "approved", "denied"])
def test_a_poll_by_another_key_learns_nothing(world: Target, when: str) -> None:
    """MSG-3: the right transactionID with another key: before and after the decision the same answer as for none."""
    device = held(world)
    if when == "approved":
        world.approve()
    elif when == "denied":
        world.approvals.deny(world.pending().id, ADMIN)
    thief = replace(device, key=rsa_key(1))
    found = masked(unknown(world, thief))
    never = masked(unknown(world, replace(thief, transaction=Transaction(b"nope"))))
    assert found.replace(b"held", b"nope") == never
    if when == "approved":
        own = attack(world, poll_of(device), endpoint="queue")
        assert own.told == (PkiStatus.SUCCESS, None)
        assert own.changed == ()


def test_a_poll_of_another_transaction_learns_nothing(world: Target) -> None:
    """MSG-3: guessing transactionIDs with the own key, and at another endpoint."""
    device = held(world)
    for guessed in (b"hele", b"HELD", b"held ", b"0", b"transaction-1"):
        unknown(world, replace(device, transaction=Transaction(guessed)))
    unknown(world, replace(device, endpoint="default"))


def test_a_poll_does_not_decide_anything(world: Target) -> None:
    """MSG-1, MSG-3, POL-3: a hundred polls of a waiting enrolment are a hundred PENDINGs: no event, nothing changed."""
    device = held(world)
    for _ in range(100):
        attempt = attack(world, poll_of(device), endpoint="queue")
        assert attempt.told == (PkiStatus.PENDING, None)
        assert (attempt.events, attempt.rows, attempt.changed) == ((), (), ())


def test_a_poll_by_a_live_certificate_finds_nothing(world: Target) -> None:
    """MSG-3: with the key of a certificate of ours, and a transactionID that waits."""
    device = held(world)
    other = Device(world, key=rsa_key(2))
    other.enrol(names("laptop-2"), world.mint("laptop-2"))
    visitor = replace(other, endpoint="queue", transaction=device.transaction)
    refused(world, poll_of(visitor), reasons.POLL_UNKNOWN, endpoint="queue", row=False)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x30\x00", der.sequence(encode_name(cn="CA")), der.sequence(*[encode_name(cn="CA")] * 3), b"\x05\x00"],
    ids=["nothing", "empty", "one name", "three names", "NULL"],
)
def test_a_poll_with_another_content_is_answered_all_the_same(world: Target, content: bytes) -> None:
    """ENV-3, ENV-4, MSG-3: transaction and key say whose poll it is; what nobody signed is not opened."""
    device = held(world)
    message = poll_of(device)
    values = {
        oids.CONTENT_TYPE: der.oid(oids.ID_DATA),
        oids.MESSAGE_TYPE: der.printable_string("20"),
        oids.TRANSACTION_ID: device.transaction.encoded,
        oids.SENDER_NONCE: der.octet_string(REQUEST_NONCE),
    }
    spoilt = message_of(device, b"", content=envelope(device, content), values=values)
    told = [attack(world, each, endpoint="queue") for each in (spoilt, message)]
    assert told[0].told == (PkiStatus.PENDING, None)
    assert masked(told[0]) == masked(told[1])


# --- other kinds of doors -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Authoriser.STATIC, Authoriser.APPROVAL])
def test_a_one_time_challenge_opens_no_other_kind_of_door(world: Target, kind: Authoriser) -> None:
    """AUTHZ-2, CHA-1: a captured one-time challenge at an endpoint of another authoriser, in the same group."""
    world.open_endpoint("other", kind)
    secret, thief = world.mint("laptop-1"), guesser(world, endpoint="other")
    message = message_of(thief, csr_of(thief, challenge=secret))
    refused(world, message, reasons.CHALLENGE_UNKNOWN, security=True, endpoint="other")
    rightful(world, secret)


@pytest.mark.parametrize("kind", [Authoriser.STATIC, Authoriser.APPROVAL])
@pytest.mark.parametrize("door", ["default", "static-2", "approval-2", "staff"])
def test_a_static_challenge_opens_no_door_but_its_own(world: Target, kind: Authoriser, door: str) -> None:
    """AUTHZ-2, CHA-2: a static secret at every other door of the group, and at another group's."""
    secret = world.open_endpoint("own", kind)
    world.open_endpoint("static-2", Authoriser.STATIC)
    world.open_endpoint("approval-2", Authoriser.APPROVAL)
    world.open_group("staff")
    thief = guesser(world, endpoint=door)
    message = message_of(thief, csr_of(thief, challenge=secret))
    refused(world, message, reasons.CHALLENGE_UNKNOWN, security=True, endpoint=door)


@pytest.mark.parametrize("wanted", ["ceo", "administrator", "d-00000000000000000000", "vpn.example.com"])
def test_a_static_challenge_chooses_no_name(world: Target, wanted: str) -> None:
    """POL-3, R5: whoever has the URL and the static secret gets the name of his key, and no other (VU#971035)."""
    secret = world.open_endpoint("printers", Authoriser.STATIC)
    thief = guesser(world, endpoint="printers")
    assert thief.enrol(names(wanted), secret).status is PkiStatus.SUCCESS
    (row,) = world.store.certificates(CertificateFilter(kind=CertificateKind.LEAF))
    assert row.intent.names == names(f"d-{row.intent.key_sha256.hex()[:20]}")
    assert row.intent.unverified


def test_a_static_challenge_of_an_approval_endpoint_gets_nobody_a_certificate(world: Target) -> None:
    """POL-3, CHA-2: it admits to the queue and no further: repeating, polling, and beginning anew are still PENDING."""
    secret = world.open_endpoint("queue", Authoriser.APPROVAL)
    thief = guesser(world, endpoint="queue")
    for transaction in (b"one", b"two"):
        thief.transaction = Transaction(transaction)
        for _ in range(3):
            assert thief.enrol(names("ceo"), secret).status is PkiStatus.PENDING
            assert attack(world, poll_of(thief), endpoint="queue").told == (PkiStatus.PENDING, None)
    assert world.store.certificates(CertificateFilter(kind=CertificateKind.LEAF)) == ()


@pytest.mark.parametrize("change", ["names", "key", "extension"])
def test_what_was_approved_is_what_was_asked(world: Target, change: str) -> None:
    """POL-1, POL-3, R3: what waits does not change under the administrator's eyes: neither names, key nor rights."""
    secret = world.open_endpoint("queue", Authoriser.APPROVAL)
    device = Device(world, endpoint="queue", transaction=Transaction(b"held"))
    assert device.enrol(names("printer-1"), secret).status is PkiStatus.PENDING
    if change == "names":
        message = message_of(device, _csr(device, "ceo", secret))
        refused(world, message, reasons.CONVERSATION_CHANGED, endpoint="queue")
    elif change == "key":
        other = replace(device, key=rsa_key(1))
        message = message_of(other, _csr(other, "printer-1", secret))
        refused(world, message, reasons.TRANSACTION_TAKEN, security=True, endpoint="queue")
    else:
        csr = csr_of(
            device,
            requested(basic_constraints(ca=True).encode()),
            challenge=secret,
            subject=encode_name(cn="printer-1"),
        )
        attempt = attack(world, message_of(device, csr), endpoint="queue")
        assert attempt.told[0] in (PkiStatus.PENDING, PkiStatus.FAILURE)
        assert attempt.changed == ()
    issued = world.approve()
    assert issued.intent.names == names("printer-1")
    assert issued.der is not None
    assert device.enrol(names("printer-1"), secret).certificates == (issued.der,)
    found = x509.load_der_x509_certificate(issued.der)
    assert not found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert found.public_key() == device.key.public_key()


def test_a_denied_enrolment_is_collected_by_nobody(world: Target) -> None:
    """POL-3, MSG-3: after the administrator said no, a poll finds nothing; asking again waits for another decision."""
    device = held(world)
    denied = world.approvals.deny(world.pending().id, ADMIN)
    assert denied.state is EnrolmentState.REFUSED
    unknown(world, device)
    assert device.enrol(names("laptop-1"), world.secrets["queue"]).status is PkiStatus.PENDING


@pytest.mark.parametrize("kind", [Authoriser.STATIC, Authoriser.APPROVAL])
@pytest.mark.parametrize("rotations", [1, 2])
def test_a_rotated_static_challenge_is_worth_nothing(world: Target, kind: Authoriser, rotations: int) -> None:
    """CHA-2: the leaked secret after a rotation without overlap, and after two rotations with one."""
    leaked = world.open_endpoint("printers", kind)
    for _ in range(rotations):
        world.desk.rotate("printers", actor=ADMIN, overlap=timedelta(days=rotations - 1))
    thief = guesser(world, endpoint="printers")
    message = message_of(thief, csr_of(thief, challenge=leaked))
    attempt = attack(world, message, endpoint="printers")
    assert attempt.told == (PkiStatus.FAILURE, 2)
    assert attempt.changed == ()
    (event,) = attempt.events
    assert event.reason_id == reasons.CHALLENGE_REVOKED.id


def test_a_challenge_of_the_wrong_kind_in_the_database_opens_nothing(world: Target) -> None:
    """AUTHZ-2: were a static challenge ever stored at a one-time endpoint, it would be of the wrong kind there."""
    world.open_endpoint("printers", Authoriser.STATIC)
    (stored,) = world.store.challenges("printers")
    secret = "known to the thief alone 123"
    misplaced = replace(stored, id=UUID(int=7), endpoint="default", mac=world.challenge_mac(secret))
    world.store.add_challenge(misplaced, ())
    thief = guesser(world)
    message = message_of(thief, csr_of(thief, challenge=secret))
    refused(world, message, reasons.CHALLENGE_UNKNOWN, security=True)


def test_the_attributes_of_a_reply_do_not_turn_a_request_into_one(world: Target) -> None:
    """MSG-1, MSG-4: pkiStatus SUCCESS, failInfo and a recipientNonce in a request are nobody's business."""
    device = guesser(world)
    extra = [
        attribute(oids.PKI_STATUS, der.printable_string("0")),
        attribute(oids.FAIL_INFO, der.printable_string("0")),
        attribute(oids.RECIPIENT_NONCE, der.octet_string(bytes(16))),
    ]
    refused(world, message_of(device, csr_of(device), extra_attributes=extra), reasons.CHALLENGE_MISSING)


def test_a_bug_of_ours_is_not_hidden_from_these_tests(world: Target) -> None:
    """IN-1: the boundary turns what readers raise into refusals, but not what says that we are wrong ourselves."""
    with pytest.raises(InvariantError), reading(reasons.CSR_REFUSED):
        raise InvariantError(str(world.pauses))
