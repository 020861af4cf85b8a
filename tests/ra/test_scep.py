"""The SCEP conversation, octets in and octets out: polls, what is held, and what a request leaves behind."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from forge import attributes, envelope, signed
from regalia import reasons
from regalia.errors import PeerError, UnavailableError
from regalia.model import Action, Authoriser, CertificateKind, EnrolmentState, Revocation, RevocationReason
from regalia.ports import CertificateFilter, EnrolmentFilter
from regalia.ra.registry import EndpointOptions
from regalia.ra.scep import FAIL_INFO, CertRep
from regalia.wire import der, oids
from regalia.wire.certificate import SignatureAlgorithm, read_certificate
from regalia.wire.names import encode_name
from regalia.wire.scep import FailInfo, MessageType, PkiStatus, read_message
from regalia.wire.scep_client import issuer_and_serial, issuer_and_subject, read_next_ca
from world import ADMIN, Device, World, names, rsa_key

if TYPE_CHECKING:
    from regalia.ra.scep import ScepAnswer
    from regalia.wire.scep_client import Reply


def test_what_nobody_reads_is_kept_in_short() -> None:
    """R5.2 and RES: what is dropped from a request is noted, but a request full of it does not fill the disk."""
    device = Device(World())
    organisation = der.sequence(der.oid(oids.AT_ORGANIZATION_NAME), der.utf8_string("x" * 20))
    subject = der.sequence(*[der.set_of([organisation])] * 900)
    info = der.sequence(der.integer(0), subject, device.public_key(), der.context(0))
    csr = der.sequence(info, SignatureAlgorithm.RSA_SHA256.identifier, der.bit_string(device.sign(info)))
    device.open(device.world.send(device.message(csr)), csr)
    (refused,) = device.world.store.enrolments(EnrolmentFilter(state=EnrolmentState.REFUSED))
    notes = " ".join(stage.note for stage in refused.stages)
    assert "dropped from the request: " in notes
    assert "xxxxxxxxxxxxxxxxxxxx" in notes
    assert len(notes) < 2_000


BOTH = issuer_and_subject(encode_name(cn="default"), encode_name(cn="laptop-1"))
"""What a CertPoll carries."""


# --- held, polled, collected ------------------------------------------------------------------------------------------


@pytest.fixture
def world() -> World:
    """A world with the endpoint `queue`, where administrators approve."""
    made = World()
    made.open_endpoint("queue", Authoriser.APPROVAL)
    return made


def held(world: World) -> Device:
    """Send a request that is held."""
    device = Device(world, endpoint="queue")
    assert device.enrol(names("laptop-1"), world.secrets["queue"]).status is PkiStatus.PENDING
    return device


def poll_message(device: Device, content: bytes) -> bytes:
    """Make a CertPoll that carries any octets."""
    return poll_of(device, envelope(device, content))


def poll_of(device: Device, sealed: bytes) -> bytes:
    """Make a CertPoll around an envelope."""
    return signed(device, sealed, attributes(device, der.printable_string(MessageType.CERT_POLL)))


def of(answer: ScepAnswer) -> bytes:
    """Return the octets of a CertRep."""
    assert isinstance(answer, CertRep)
    return answer.der


def told(reply: Reply) -> tuple[PkiStatus, FailInfo | None]:
    """What a device learns."""
    return reply.status, reply.fail_info


def test_a_held_request_is_answered_pending_with_an_empty_content(world: World) -> None:
    """RFC 8894 §3.3.1: PENDING without an envelope; certmonger needs the content there, of length zero."""
    device = Device(world, endpoint="queue")
    sent = device.message(device.csr(names("laptop-1"), world.secrets["queue"]))
    answer = of(world.send(sent, "queue"))
    raw = read_message(answer)
    assert raw.signed_data.content == b""
    assert der.tlv(der.OCTET_STRING) in answer
    assert raw.attributes is not None
    assert raw.attributes.one(oids.PKI_STATUS, der.PRINTABLE_STRING).content == b"3"
    assert raw.attributes.maybe(oids.FAIL_INFO) is None
    assert raw.transaction == device.transaction


def test_a_device_polls_until_somebody_approves(world: World) -> None:
    """RFC 8894 §4.4: pending, pending, then its certificate, encrypted for the key that polls; no event for waiting."""
    device = held(world)
    logged = len(world.store.log)
    assert told(device.poll()) == told(device.poll()) == (PkiStatus.PENDING, None)
    assert len(world.store.log) == logged
    approved = world.approve()
    reply = device.poll()
    assert reply.certificates == (approved.der,)
    repeated = replace(device, certificate=None).enrol(names("laptop-1"), world.secrets["queue"])
    assert repeated.certificates == (approved.der,)


def test_unknown_and_foreign_polls_are_one_answer_for_the_same_work(world: World) -> None:
    """MSG-3: whoever knows a transactionID learns nothing from it, and each poll is one event."""
    held(world)
    thief = Device(world, key=rsa_key(1), endpoint="queue")
    answers = []
    for poller in (thief, replace(thief, transaction=replace(thief.transaction, octets=b"transaction-x"))):
        logged = len(world.store.log)
        answers.append(of(world.send(poll_message(poller, BOTH), "queue")))
        (event,) = world.store.log[logged:]
        assert (event.draft.action, event.draft.reason_id) == (Action.ENROLMENT_REFUSED, "RA-003")
    assert len(answers[0]) == len(answers[1])
    assert told(thief.poll()) == (PkiStatus.FAILURE, FailInfo.BAD_REQUEST)
    assert world.pending().state is EnrolmentState.PENDING


def test_a_poll_signed_with_a_certificate_is_refused(world: World) -> None:
    """MSG-3: only first enrolments are held, so a certificate has nothing to poll for."""
    device = Device(world)
    device.enrol(names("laptop-1"), world.mint("laptop-1"))
    content = device.poll_content()
    reply = device.open(world.send(device.message(content, message_type=MessageType.CERT_POLL)), content)
    assert told(reply) == (PkiStatus.FAILURE, FailInfo.BAD_REQUEST)
    assert world.last_event().draft.reason_id == reasons.POLL_UNKNOWN.id


def test_what_a_poll_carries_is_not_opened(world: World) -> None:
    """R6, ENV-3 and ENV-4: an octet too many, another structure, a spoilt padding: nobody is told which it is."""
    device = held(world)
    sealed = bytearray(envelope(device, BOTH))
    sealed[-1] ^= 1
    contents = [envelope(device, BOTH), envelope(device, BOTH + bytes(16)), envelope(device, b"x"), bytes(sealed)]
    polls = [of(world.send(poll_of(device, content), "queue")) for content in contents]
    assert len({len(poll) for poll in polls}) == 1
    for poll in polls:
        raw = read_message(poll)
        assert raw.attributes is not None
        assert raw.attributes.one(oids.PKI_STATUS, der.PRINTABLE_STRING).content == PkiStatus.PENDING.encode()


def test_a_poll_is_never_a_request(world: World) -> None:
    """MSG-1: a CSR with a good challenge in a poll enrols nobody, and a poll's names in a request neither."""
    device = Device(world)
    csr = device.csr(names("laptop-1"), world.mint("laptop-1"))
    answer = read_message(of(world.send(poll_message(device, csr))))
    assert answer.attributes is not None
    assert answer.attributes.one(oids.PKI_STATUS, der.PRINTABLE_STRING).content == PkiStatus.FAILURE.encode()
    assert world.last_event().draft.reason_id == reasons.POLL_UNKNOWN.id
    of(world.send(device.message(BOTH)))
    assert world.last_event().draft.reason_id == reasons.CSR_REFUSED.id


@pytest.mark.parametrize("message_type", ["3", "18", "0", "23", "020", " 20", "19\n", ""])
def test_what_is_not_in_the_table_is_refused(world: World, message_type: str) -> None:
    """MSG-1 and IN-7: there is no branch for it, octet for octet, so it is refused before anything is decrypted."""
    device = Device(world)
    csr = device.csr(names("laptop-1"), world.mint("laptop-1"))
    sent = signed(device, envelope(device, csr), attributes(device, der.printable_string(message_type)))
    answer = world.send(sent)
    assert failure_of(of(answer)) is FAIL_INFO[reasons.MESSAGE_TYPE_REFUSED.stage]
    assert isinstance(answer, CertRep)
    assert answer.opening_began is None
    assert world.last_event().draft.reason_id == reasons.MESSAGE_TYPE_REFUSED.id


def failure_of(answer: bytes) -> FailInfo:
    """Read the failInfo."""
    raw = read_message(answer)
    assert raw.attributes is not None
    return FailInfo(int(raw.attributes.one(oids.FAIL_INFO, der.PRINTABLE_STRING).content))


def test_the_type_decides_what_is_read_and_nothing_else(world: World) -> None:
    """MSG-1: each content under each other type is refused, and nothing but a request with its challenge issues."""
    device = Device(world)
    device.enrol(names("laptop-1"), world.mint("laptop-1"))
    assert device.certificate is not None
    facts = read_certificate(device.certificate)
    contents = {
        "request": device.csr(names("laptop-1"), world.mint("laptop-1")),
        "poll": BOTH,
        "retrieval": issuer_and_serial(facts.issuer, facts.serial),
    }
    fits = {"request": ("19", "17"), "poll": (), "retrieval": ("21", "22")}
    for kind, content in contents.items():
        for message_type in ("17", "19", "21", "22"):
            if message_type in fits[kind]:
                continue
            sent = signed(
                device,
                envelope(device, content),
                attributes(device, der.printable_string(message_type)),
                None if message_type == "17" else device.self_signed(),
            )
            told = FailInfo.BAD_CERT_ID if message_type in fits["retrieval"] else FailInfo.BAD_MESSAGE_CHECK
            assert failure_of(of(world.send(sent))) is told, (kind, message_type)
    assert len(world.store.certificates(CertificateFilter(kind=CertificateKind.LEAF))) == 1


# --- polls in all forms -----------------------------------------------------------------------------------------------


def polled(device: Device, content: bytes) -> Reply:
    """Poll with any content, signed with the key that is asked for."""
    message = device.message(content, message_type=MessageType.CERT_POLL, signer=device.self_signed())
    return device.open(device.world.send(message, device.endpoint), content)


def test_the_names_in_a_poll_are_nobodys_business(world: World) -> None:
    """RFC 8894 §3.3.3: the CA's name, the RA's, another's or none, whatever subject: transaction and key decide."""
    device = held(world)
    door = world.store.door("queue")
    assert door is not None
    ca, ra = (read_certificate(each).subject for each in (door.authority.certificate_der, door.ra.certificate_der))
    subjects = (encode_name(cn="laptop-1"), encode_name(cn="somebody else"), der.sequence())
    contents = [
        issuer_and_subject(issuer, subject)
        for issuer in (ca, ra, encode_name(cn="x"), der.sequence())
        for subject in subjects
    ]
    assert {told(polled(device, content)) for content in contents} == {(PkiStatus.PENDING, None)}
    approved = world.approve()
    assert {polled(device, content).certificates for content in contents} == {(approved.der,)}


def test_a_poll_after_a_denial_is_refused_and_the_request_is_held_again(world: World) -> None:
    """RFC 8894 §4.4: FAILURE ends the polling; a request that comes again is a new one (R3)."""
    device = held(world)
    first = world.pending().id
    world.approvals.deny(first, ADMIN, "not ours")
    assert told(device.poll()) == (PkiStatus.FAILURE, FailInfo.BAD_REQUEST)
    assert world.last_event().draft.reason_id == reasons.POLL_UNKNOWN.id
    assert device.enrol(names("laptop-1"), world.secrets["queue"]).status is PkiStatus.PENDING
    assert world.pending().id != first
    assert told(device.poll()) == (PkiStatus.PENDING, None)


def test_a_poll_after_the_issue_collects_for_a_day(world: World) -> None:
    """R3: a certificate is handed out for 24 hours after the approval, as often as it is asked for."""
    device = held(world)
    world.clock.advance(timedelta(days=3))
    approved = world.approve()
    world.clock.advance(timedelta(hours=24) - timedelta(milliseconds=1))
    assert device.poll().certificates == (approved.der,)
    world.clock.advance(timedelta(milliseconds=1))
    assert told(device.poll()) == (PkiStatus.FAILURE, FailInfo.BAD_REQUEST)


def test_a_poll_for_what_was_revoked_meanwhile_is_refused(world: World) -> None:
    """R3: a revoked certificate is handed out no more."""
    device = held(world)
    row = world.approve()
    world.store.revoke(Revocation(row.id, RevocationReason.SUPERSEDED, "administrator", "os:x", world.clock.now()), ())
    assert told(device.poll()) == (PkiStatus.FAILURE, FailInfo.BAD_REQUEST)


def test_a_poll_where_nothing_was_held_collects_too(world: World) -> None:
    """RFC 8894 §5.2: a client whose answer was lost may poll for it, at an endpoint without approval as well."""
    device = Device(world)
    issued = device.enrol(names("laptop-1"), world.mint("laptop-1"))
    assert device.poll().certificates == issued.certificates


@pytest.mark.parametrize("change", ["transaction", "key", "endpoint"])
def test_a_poll_from_elsewhere_finds_nothing(world: World, change: str) -> None:
    """MSG-3: another transactionID, another key, another endpoint of the group: all the same answer."""
    device = held(world)
    other = {
        "transaction": device.fresh("transaction-x"),
        "key": replace(device, key=rsa_key(1)),
        "endpoint": replace(device, endpoint="default"),
    }[change]
    assert told(other.poll()) == (PkiStatus.FAILURE, FailInfo.BAD_REQUEST)
    assert world.last_event().draft.reason_id == reasons.POLL_UNKNOWN.id
    assert told(device.poll()) == (PkiStatus.PENDING, None)


def test_a_poll_under_a_renewals_transaction_is_refused(world: World) -> None:
    """RFC 8894 §4.4: a renewal is never held, so nothing of it waits: neither for its certificate nor for its key."""
    device = Device(world)
    device.enrol(names("laptop-1"), world.mint("laptop-1"))
    renewing = device.fresh("renewal")
    assert renewing.enrol(names(), None).status is PkiStatus.SUCCESS
    for signer in (device.certificate, renewing.certificate, renewing.self_signed()):
        content = renewing.poll_content()
        message = renewing.message(content, message_type=MessageType.CERT_POLL, signer=signer)
        assert told(renewing.open(world.send(message), content)) == (PkiStatus.FAILURE, FailInfo.BAD_REQUEST)
        assert world.last_event().draft.reason_id == reasons.POLL_UNKNOWN.id


# --- what every device may know ---------------------------------------------------------------------------------------


def test_the_next_authority_is_told_when_there_is_one(world: World) -> None:
    """RFC 8894 §4.7: offered and answered only then: its certificate, under the signature of the RA of today."""
    door = world.scep.door("default")
    assert door is not None
    assert b"GetNextCACert" not in world.scep.ca_capabilities(door)
    assert world.scep.next_ca_certificates(door) is None
    successor = world.ceremony.create_issuing("next", group="default", root=door.root, actor=ADMIN)
    following = replace(door, successor=successor)
    assert b"\nGetNextCACert\n" in world.scep.ca_capabilities(following)
    message = world.scep.next_ca_certificates(following)
    assert message is not None
    trusted = (door.ra.certificate_der,)
    assert read_next_ca(message, ra_certificates=trusted) == (successor.certificate_der,)
    with pytest.raises(PeerError):
        read_next_ca(message, ra_certificates=(door.authority.certificate_der,))


def test_the_next_authority_is_signed_once(world: World) -> None:
    """R6: whoever asks again and again uses no private key; another successor, and another RA, are another message."""
    door = world.scep.door("default")
    assert door is not None
    following = replace(door, successor=door.root)
    first = world.scep.next_ca_certificates(following)
    kept = dict(world.keys.private)
    world.keys.private.clear()
    assert world.scep.next_ca_certificates(following) == first
    with pytest.raises(UnavailableError):
        world.scep.next_ca_certificates(replace(door, successor=door.authority))
    world.keys.private.update(kept)
    assert world.scep.next_ca_certificates(replace(door, successor=door.authority)) != first


@pytest.mark.parametrize("legacy", [False, True])
def test_each_endpoint_tells_its_own_capabilities(world: World, *, legacy: bool) -> None:
    """R1: SHA-1 and DES3 where the switch is on, never elsewhere; non-rsa has no keyword."""
    options = EndpointOptions(legacy=legacy, non_rsa=True)
    world.registry.create_endpoint("other", group="default", profile="default", actor=ADMIN, options=options)
    door, usual = world.scep.door("other"), world.scep.door("default")
    assert door is not None
    assert usual is not None
    standard = {"POSTPKIOperation", "Renewal", "SHA-256", "SHA-384", "SHA-512", "AES", "SCEPStandard"}
    assert set(world.scep.ca_capabilities(usual).decode().split()) == standard
    wanted = standard | ({"SHA-1", "DES3"} if legacy else set())
    assert set(world.scep.ca_capabilities(door).decode().split()) == wanted
