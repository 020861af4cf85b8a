"""The SCEP conversation, octets in and octets out: polls, what is held, and what a request leaves behind."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from forge import attributes, envelope, signed
from regalia import reasons
from regalia.model import Action, Authoriser, EnrolmentState
from regalia.ports import EnrolmentFilter
from regalia.ra.scep import FAIL_INFO, CertRep
from regalia.wire import der, oids
from regalia.wire.certificate import SignatureAlgorithm
from regalia.wire.names import encode_name
from regalia.wire.scep import FailInfo, MessageType, PkiStatus, read_message
from regalia.wire.scep_client import issuer_and_subject
from world import Device, World, names, rsa_key

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


def test_a_poll_that_cannot_be_read_fails_like_a_request_that_cannot(world: World) -> None:
    """R6 and ENV-4: an octet too many, another structure, a spoilt padding: one answer of one length, without text."""
    device = held(world)
    sealed = bytearray(envelope(device, BOTH))
    sealed[-1] ^= 1
    contents = [envelope(device, BOTH + bytes(16)), envelope(device, b"x"), bytes(sealed)]
    polls = [of(world.send(poll_of(device, content), "queue")) for content in contents]
    request = of(world.send(signed(device, envelope(device, b"x")), "queue"))
    for answer in (*polls, request):
        raw = read_message(answer)
        assert raw.attributes is not None
        assert raw.attributes.one(oids.FAIL_INFO, der.PRINTABLE_STRING).content == b"1"
        assert raw.attributes.maybe(oids.FAIL_INFO_TEXT) is None
        assert len(answer) == len(request)


def test_a_poll_is_never_a_request(world: World) -> None:
    """MSG-1: a CSR with a good challenge in a poll enrols nobody, and a poll's names in a request neither."""
    device = Device(world)
    csr = device.csr(names("laptop-1"), world.mint("laptop-1"))
    answer = read_message(of(world.send(poll_message(device, csr))))
    assert answer.attributes is not None
    assert answer.attributes.one(oids.PKI_STATUS, der.PRINTABLE_STRING).content == PkiStatus.FAILURE.encode()
    assert world.last_event().draft.reason_id == reasons.POLL_REFUSED.id
    of(world.send(device.message(BOTH)))
    assert world.last_event().draft.reason_id == reasons.CSR_REFUSED.id


@pytest.mark.parametrize("message_type", [MessageType.GET_CERT, MessageType.GET_CRL, MessageType.CERT_REP])
def test_what_is_not_in_the_table_is_refused(world: World, message_type: MessageType) -> None:
    """MSG-1: there is no branch for it, so it is refused before anything is decrypted."""
    device = Device(world)
    csr = device.csr(names("laptop-1"), world.mint("laptop-1"))
    reply = device.open(world.send(device.message(csr, message_type=message_type)), csr)
    assert told(reply) == (PkiStatus.FAILURE, FAIL_INFO[reasons.MESSAGE_TYPE_REFUSED.stage])
    assert world.last_event().draft.reason_id == reasons.MESSAGE_TYPE_REFUSED.id
