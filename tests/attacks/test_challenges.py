"""A challenge that somebody captured, guessed or was given, shown where it is worth nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from attacks.forgery import csr_of, message_of
from attacks.harness import Target, attack, refused, rightful
from regalia import reasons
from regalia.model import CertificateKind, Names, San, SanKind
from regalia.ports import CertificateFilter
from regalia.wire import der, oids
from regalia.wire.scep import PkiStatus, Transaction
from scep_parts import attribute
from world import ADMIN, Device, names, rsa_key


def thief(world: Target, endpoint: str = "default") -> Device:
    """Somebody with a key and a transaction of his own."""
    return Device(world, key=rsa_key(1), transaction=Transaction(b"thief"), endpoint=endpoint)


OTHER_NAMES = {
    "cn": names("ceo"),
    "dns": names("laptop-1", "mail.example.com"),
    "one more dns": names("laptop-1", "laptop-1.example.com", "mail.example.com"),
    "cn in other letters": names("LAPTOP-1"),
    "cn as dns": names("laptop-1", "laptop-1.example.net"),
    "e-mail": Names("laptop-1", frozenset({San(SanKind.EMAIL, "ceo@example.com")})),
    "ip": Names("laptop-1", frozenset({San(SanKind.IP, "192.0.2.1")})),
    "uri": Names("laptop-1", frozenset({San(SanKind.URI, "urn:uuid:0")})),
    "look-alike": names("l\u0430ptop-1"),
}


@pytest.mark.parametrize("wanted", OTHER_NAMES.values(), ids=OTHER_NAMES.keys())
def test_a_captured_challenge_names_nobody_else(world: Target, wanted: Names) -> None:
    """POL-1, CHA-1, R5: VU#971035, a challenge for one name shown for another, each difference of asked and allowed."""
    secret = world.mint("laptop-1", "laptop-1.example.com")
    device = thief(world)
    attempt = refused(world, device.message(device.csr(wanted, secret)), reasons.NAMES_OUTSIDE_BINDING)
    (event,) = attempt.events
    assert event.details["difference"] == sorted(
        set(wanted.listed()) - set(names("laptop-1", "laptop-1.example.com").listed())
    )
    rightful(world, secret)


def test_a_captured_challenge_is_worth_nothing_in_another_group(world: Target) -> None:
    """CHA-1, AUTHZ-2: a challenge of one group at the door of another; the event says whose it is."""
    world.open_group("staff")
    secret, device = world.mint("laptop-1"), thief(world, "staff")
    message = device.message(device.csr(names("laptop-1"), secret))
    attempt = refused(world, message, reasons.CHALLENGE_UNKNOWN, security=True, endpoint="staff")
    assert "endpoint default" in str(attempt.events[0].details["detail"])
    rightful(world, secret)


def test_a_captured_challenge_is_worth_nothing_at_another_endpoint(world: Target) -> None:
    """CHA-1: a second endpoint of the same group and profile takes no challenge of the first."""
    world.registry.create_endpoint("second", group="default", profile="default", actor=ADMIN)
    secret, device = world.mint("laptop-1"), thief(world, "second")
    message = device.message(device.csr(names("laptop-1"), secret))
    refused(world, message, reasons.CHALLENGE_UNKNOWN, security=True, endpoint="second")
    rightful(world, secret)


def test_a_used_challenge_shown_with_another_key_is_told_as_theft(world: Target) -> None:
    """CHA-1, ISS-4: the event holds both keys and both sources, so that the administrator can tell who was first."""
    secret = world.mint("laptop-1")
    first = Device(world, source="192.0.2.1")
    first.enrol(names("laptop-1"), secret)
    second = thief(world)
    attempt = refused(
        world, second.message(second.csr(names("laptop-1"), secret)), reasons.CHALLENGE_REPLAYED, security=True
    )
    facts = attempt.events[0].details
    assert (facts["first_source"], facts["this_source"]) == ("192.0.2.1", "192.0.2.66")
    assert facts["first_key_sha256"] != facts["this_key_sha256"]


@pytest.mark.parametrize("renewed", [False, True], ids=["first certificate", "after a renewal"])
def test_a_used_challenge_shown_again_by_its_own_key_enrols_nobody(world: Target, *, renewed: bool) -> None:
    """ISS-4, R8: one challenge, one certificate: the same key in a new transaction gets no second one."""
    secret, device = world.mint("laptop-1"), Device(world)
    device.enrol(names("laptop-1"), secret)
    if renewed:
        device.fresh("renewal").enrol(names("laptop-1"), None)
    again = replace(device, certificate=None, transaction=Transaction(b"again"))
    refused(world, again.message(again.csr(names("laptop-1"), secret)), reasons.CHALLENGE_USED)


@pytest.mark.parametrize("late", [0, 1, 3600], ids=["to the second", "a second late", "an hour late"])
def test_an_expired_challenge_enrols_nobody(world: Target, late: int) -> None:
    """CHA-1: the sixty minutes are over at their end, not after it."""
    secret, device = world.mint("laptop-1"), thief(world)
    world.clock.advance(timedelta(minutes=60, seconds=late))
    refused(world, device.message(device.csr(names("laptop-1"), secret)), reasons.CHALLENGE_EXPIRED)


def test_a_challenge_expires_between_two_requests_of_one_transaction(world: Target) -> None:
    """CHA-1, R3: a refused first try keeps no foot in the door: the second is judged by the clock of its own."""
    secret, device = world.mint("laptop-1"), thief(world)
    refused(world, device.message(device.csr(names("ceo"), secret)), reasons.NAMES_OUTSIDE_BINDING)
    world.clock.advance(timedelta(minutes=60))
    refused(world, device.message(device.csr(names("laptop-1"), secret)), reasons.CHALLENGE_EXPIRED)


def test_a_revoked_challenge_enrols_nobody(world: Target) -> None:
    """CHA-1: what an administrator withdrew is worth nothing, whoever shows it first."""
    secret, device = world.mint("laptop-1"), thief(world)
    world.desk.revoke(world.store.challenges()[0].id, ADMIN)
    refused(world, device.message(device.csr(names("laptop-1"), secret)), reasons.CHALLENGE_REVOKED)


@pytest.mark.parametrize(
    "change",
    [
        str.lower,
        lambda text: text + " ",
        lambda text: " " + text,
        lambda text: text + "=",
        lambda text: text[:-1],
        lambda text: text + text,
        lambda text: text[::-1],
        lambda _: "%",
        lambda _: "' OR 1=1 --",
        lambda _: "None",
        lambda _: "*" * 32,
    ],
    ids=["lower case", "space after", "space before", "padded", "cut", "twice", "reversed", "like", "sql", "none", "*"],
)
def test_a_challenge_is_compared_whole(world: Target, change: object) -> None:
    """CHA-1, IN-6, IN-7: no letter case, trimming, prefix or pattern makes a wrong challenge right."""
    assert callable(change)
    secret, device = world.mint("laptop-1"), thief(world)
    message = device.message(device.csr(names("laptop-1"), change(secret)))
    refused(world, message, reasons.CHALLENGE_UNKNOWN)
    rightful(world, secret)


@pytest.mark.parametrize("empty", [None, b"\x13\x00", b"\x0c\x00", b"\x16\x00"], ids=["absent", "P", "U", "IA5"])
@pytest.mark.parametrize("message_type", ["19", "17"])
def test_no_challenge_is_no_evidence(world: Target, empty: bytes | None, message_type: str) -> None:
    """IN-4, MSG-2: absent and empty challenges in every form, on both types that enrol: no path goes without one."""
    device = thief(world)
    wanted = [attribute(oids.CHALLENGE_PASSWORD, empty)] if empty is not None else []
    request = message_of(device, csr_of(device, *wanted))
    if message_type == "17":
        request = message_of(
            device,
            csr_of(device, *wanted),
            values={
                oids.CONTENT_TYPE: der.oid(oids.ID_DATA),
                oids.MESSAGE_TYPE: der.printable_string("17"),
                oids.TRANSACTION_ID: device.transaction.encoded,
                oids.SENDER_NONCE: der.octet_string(bytes(16)),
            },
        )
    reason = reasons.CHALLENGE_MISSING if message_type == "19" else reasons.RENEWAL_NEEDS_CERTIFICATE
    refused(world, request, reason)


@pytest.mark.parametrize("tag", [0x04, 0x02, 0x14, 0x1E, 0x30], ids=["OCTET", "INTEGER", "T61", "BMP", "SEQUENCE"])
def test_a_challenge_of_another_type_is_not_guessed_at(world: Target, tag: int) -> None:
    """IN-7, IN-8, R7: a challenge that is no string of the three kinds is a fault of the request, right or not."""
    secret, device = world.mint("laptop-1"), thief(world)
    value = der.tlv(tag, secret.encode("utf-16-be" if tag == 0x1E else "ascii"))
    message = message_of(device, csr_of(device, attribute(oids.CHALLENGE_PASSWORD, value)))
    refused(world, message, reasons.CSR_REFUSED)
    rightful(world, secret)


@pytest.mark.parametrize("form", ["two attributes", "two values"])
@pytest.mark.parametrize("good_first", [True, False])
def test_two_challenges_are_none(world: Target, form: str, *, good_first: bool) -> None:
    """POL-4: a right challenge beside a wrong one is no right challenge, in neither order and in neither form."""
    secret, device = world.mint("laptop-1"), thief(world)
    values = [der.printable_string(secret), der.printable_string("another")]
    values = values if good_first else values[::-1]
    attributes = (
        [attribute(oids.CHALLENGE_PASSWORD, value) for value in values]
        if form == "two attributes"
        else [attribute(oids.CHALLENGE_PASSWORD, *values)]
    )
    refused(world, message_of(device, csr_of(device, *attributes)), reasons.CSR_AMBIGUOUS)
    rightful(world, secret)


def test_a_challenge_outside_the_envelope_counts_for_nothing(world: Target) -> None:
    """CHA-4, SIG-1: a challengePassword among the signed attributes, in clear, is not the request's."""
    secret, device = world.mint("laptop-1"), thief(world)
    beside = attribute(oids.CHALLENGE_PASSWORD, der.printable_string(secret))
    message = message_of(device, csr_of(device), extra_attributes=[beside])
    refused(world, message, reasons.CHALLENGE_MISSING)
    rightful(world, secret)


def test_a_challenge_in_another_place_of_the_request_counts_for_nothing(world: Target) -> None:
    """POL-4, CHA-1: as unstructuredName or in the subject it is a name that is dropped, not evidence."""
    secret, device = world.mint("laptop-1"), thief(world)
    hidden = attribute(oids.UNSTRUCTURED_NAME, der.printable_string(secret[:-1]))
    refused(world, message_of(device, csr_of(device, hidden)), reasons.CHALLENGE_MISSING)
    rightful(world, secret)


def test_a_bearer_challenge_chooses_no_name(world: Target) -> None:
    """POL-3, R5: whoever has an unbound challenge gets the name of his key and none of those he asks for."""
    device = thief(world)
    device.enrol(names("ceo", "mail.example.com"), world.mint())
    (row,) = world.store.certificates(CertificateFilter(kind=CertificateKind.LEAF))
    assert row.intent.names == names(f"d-{row.intent.key_sha256.hex()[:20]}")
    assert row.intent.unverified


def test_a_captured_message_sent_again_gives_only_its_sender_the_certificate(world: Target) -> None:
    """ISS-3, MSG-4: a replay of the very octets gets the same certificate, sealed for the key that asked."""
    secret, device = world.mint("laptop-1"), Device(world)
    csr = device.csr(names("laptop-1"), secret)
    message = device.message(csr)
    device.certificate = device.open(world.send(message), csr).certificates[0]
    attempt = attack(world, message)
    assert attempt.told == (PkiStatus.SUCCESS, None)
    assert (attempt.events, attempt.rows, attempt.changed) == ((), (), ())
    assert device.certificate not in attempt.answer.der  # type: ignore[union-attr]  # told has seen that it is one
