"""Whole stories of approval and of static challenges, octets to octets, on the fakes of our own ports."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import AttributeOID, NameOID

from regalia import reasons
from regalia.ca.profile import DEFAULT_DOCUMENT
from regalia.errors import AdminError, UnavailableError
from regalia.model import (
    Action,
    Authoriser,
    CertificateKind,
    EnrolmentState,
    Names,
    Revocation,
    RevocationReason,
)
from regalia.ports import CertificateFilter, EnrolmentFilter
from regalia.ra.audit import verify
from regalia.wire.scep import FailInfo, MessageType, PkiStatus
from world import ADMIN, Device, World, names, rsa_key

if TYPE_CHECKING:
    from regalia.wire.scep_client import Reply

LAPTOP = names("laptop-1", "laptop-1.example.com")


@pytest.fixture
def world() -> World:
    """A deployment with the endpoints `queue`, whose requests are approved, and `static`."""
    made = World()
    made.open_endpoint("queue", Authoriser.APPROVAL)
    made.open_endpoint("static", Authoriser.STATIC)
    return made


def ask(device: Device, wanted: Names = LAPTOP) -> Reply:
    """Enrol with the endpoint's static challenge, signed with a self-signed certificate."""
    device.certificate = None
    return device.enrol(wanted, device.world.secrets[device.endpoint])


def ask_with_csr(device: Device, *extensions: x509.ExtensionType) -> Reply:
    """Ask for `LAPTOP` in a CSR with more extensions, made by a library that is not ours."""
    builder = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "laptop-1")]))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("laptop-1.example.com")]), critical=False)
        .add_attribute(AttributeOID.CHALLENGE_PASSWORD, device.world.secrets[device.endpoint].encode())
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    csr = builder.sign(device.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
    return device.open(device.world.send(device.message(csr), device.endpoint, device.source), csr)


def leaves(world: World) -> int:
    """Count the certificates that were begun for devices."""
    return len(world.store.certificates(CertificateFilter(kind=CertificateKind.LEAF, limit=1000)))


def subject_names(certificate: bytes) -> Names:
    """Read the names of a certificate."""
    read = x509.load_der_x509_certificate(certificate)
    cn = read.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    try:
        sans = read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return names(str(cn))
    return names(str(cn), *sans.get_values_for_type(x509.DNSName))


# --- approval -------------------------------------------------------------------------------------------------------


def test_a_device_asks_polls_is_approved_and_collects(world: World) -> None:
    """POL-3 and RFC 8894 §3.3.3: PENDING until an administrator approved, then the certificate with those names."""
    device = Device(world, endpoint="queue")
    assert ask(device).status is PkiStatus.PENDING
    assert device.poll().status is PkiStatus.PENDING
    assert leaves(world) == 0
    approved = world.approve()
    collected = device.poll()
    assert collected.status is PkiStatus.SUCCESS
    assert collected.certificates == (approved.der,)
    assert subject_names(collected.certificates[0]) == LAPTOP


def test_certmonger_collects_by_asking_again_in_other_octets(world: World) -> None:
    """R3: its resubmit changes the CSR's random subject key identifier and nothing else."""
    device = Device(world, endpoint="queue")
    assert ask_with_csr(device, x509.SubjectKeyIdentifier(b"first")).status is PkiStatus.PENDING
    assert ask_with_csr(device, x509.SubjectKeyIdentifier(b"second")).status is PkiStatus.PENDING
    approved = world.approve()
    assert ask_with_csr(device, x509.SubjectKeyIdentifier(b"third")).certificates == (approved.der,)
    assert leaves(world) == 1


def test_a_denied_device_is_refused_and_held_anew_when_it_asks_again(world: World) -> None:
    """RA-017: its poll ends in badRequest; a request is judged afresh, as refusals are never replayed (R3)."""
    device = Device(world, endpoint="queue")
    ask(device)
    first = world.approvals.deny(world.pending().id, ADMIN, "who is this?")
    assert device.poll().fail_info is FailInfo.BAD_REQUEST
    assert world.last_event().draft.reason_id == "RA-003"
    assert ask(device).status is PkiStatus.PENDING
    assert world.pending().id != first.id
    assert leaves(world) == 0


def test_an_expired_request_is_refused(world: World) -> None:
    """RA-018 and RES-5: nobody decided for 30 days; the queue does not grow for ever."""
    device = Device(world, endpoint="queue")
    ask(device)
    world.clock.advance(timedelta(days=31))
    assert world.approvals.expire(world.clock.now()) == 1
    assert device.poll().fail_info is FailInfo.BAD_REQUEST
    assert leaves(world) == 0


def test_a_closed_endpoint_issues_nothing_that_it_held(world: World) -> None:
    """R6: to the device the endpoint was never there; the administrator is told why it cannot be approved."""
    device = Device(world, endpoint="queue")
    ask(device)
    world.registry.disable_endpoint("queue", actor=ADMIN)
    assert world.scep.door("queue") is None
    with pytest.raises(AdminError) as told:
        world.approve()
    assert told.value.reason is reasons.ENDPOINT_DISABLED
    assert leaves(world) == 0


def test_a_key_revoked_as_compromised_while_it_waits_is_not_certified(world: World) -> None:
    """KEY-2: judged again at the moment of approval; the request waits on until it is denied."""
    device = Device(world, endpoint="queue")
    ask(device)
    Device(world).fresh("elsewhere").enrol(LAPTOP, world.mint("laptop-1", "laptop-1.example.com"))
    (row,) = world.store.certificates(CertificateFilter(kind=CertificateKind.LEAF))
    world.store.revoke(
        Revocation(row.id, RevocationReason.KEY_COMPROMISE, "administrator", "os:x", world.clock.now()), ()
    )
    with pytest.raises(AdminError) as told:
        world.approve()
    assert told.value.reason is reasons.KEY_BLOCKED
    assert device.poll().status is PkiStatus.PENDING
    assert leaves(world) == 1


def test_the_transaction_of_a_device_that_waits_is_not_another_keys(world: World) -> None:
    """R3 and MSG-3: another key can neither begin nor collect under the same transactionID."""
    device = Device(world, endpoint="queue")
    thief = Device(world, key=rsa_key(1), endpoint="queue")
    ask(device)
    assert ask(thief).fail_info is FailInfo.BAD_REQUEST
    assert world.last_event().draft.reason_id == "RA-002"
    world.approve()
    assert thief.poll().fail_info is FailInfo.BAD_REQUEST
    assert device.poll().status is PkiStatus.SUCCESS


def test_an_approved_device_renews_without_approval(world: World) -> None:
    """REN-3 and R5.3: its live certificate vouches, for the approved names and no others, over generations."""
    device = Device(world, endpoint="queue")
    ask(device)
    world.approve()
    device.poll()
    for turn, wanted in enumerate((LAPTOP, names(), names("laptop-1"))):
        renewed = device.fresh(f"renewal-{turn}")
        assert renewed.enrol(wanted, None, MessageType.RENEWAL_REQ).status is PkiStatus.SUCCESS
        device.certificate = renewed.certificate
        assert subject_names(renewed.certificate or b"") == LAPTOP
    more = device.fresh("renewal-more").enrol(names("laptop-1", "mail.example.com"), None)
    assert more.fail_info is FailInfo.BAD_REQUEST
    assert world.last_event().draft.reason_id == "RA-021"


def test_an_approval_cut_short_reaches_its_device_after_recovery(world: World) -> None:
    """ISS-2 and R8: the process ended between TX1 and the signature; no second approval is asked for."""
    device = Device(world, endpoint="queue")
    ask(device)
    keys = dict(world.keys.private)
    door = world.store.door("queue")
    assert door is not None
    del world.keys.private[door.authority.key_id]
    with pytest.raises(UnavailableError):
        world.approve()
    world.keys.private.update(keys)
    world.clock.advance(timedelta(seconds=61))
    assert world.recovery.run() == (1, 0)
    assert device.poll().status is PkiStatus.SUCCESS
    assert leaves(world) == 1


def test_a_device_that_comes_late_for_its_certificate_is_held_again(world: World) -> None:
    """R3: a certificate is handed out for 24 hours from its approval, however long it was waited for."""
    device = Device(world, endpoint="queue")
    ask(device)
    world.clock.advance(timedelta(days=3))
    world.approve()
    world.clock.advance(timedelta(hours=24))
    assert device.poll().fail_info is FailInfo.BAD_REQUEST
    assert ask(device).status is PkiStatus.PENDING


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [(names("laptop-1", "*.example.com"), "RA-023"), (names("laptop-1", "localhost"), "RA-023")],
)
def test_what_could_not_be_issued_is_not_held(world: World, wanted: Names, reason: str) -> None:
    """POL-5: no administrator is asked to approve a name that no certificate may carry."""
    assert ask(Device(world, endpoint="queue"), wanted).fail_info is FailInfo.BAD_REQUEST
    assert world.last_event().draft.reason_id == reason
    assert world.store.pending_count("default") == 0


def test_a_forbidden_extension_is_not_held(world: World) -> None:
    """POL-2: what is not shown to the administrator cannot come in with what is."""
    reply = ask_with_csr(Device(world, endpoint="queue"), x509.BasicConstraints(ca=True, path_length=None))
    assert reply.fail_info is FailInfo.BAD_REQUEST
    assert world.last_event().draft.reason_id == "RA-022"
    assert world.store.pending_count("default") == 0


def test_an_approval_may_take_names_where_the_profile_takes_them_from_requests(world: World) -> None:
    """POL-3: the profile that a static challenge may not use is right for a queue; the names count as verified."""
    document = DEFAULT_DOCUMENT.replace('names = "binding"', 'names = "from-csr"')
    world.registry.disable_endpoint("static", actor=ADMIN)
    world.registry.create_profile("default", "default", document, actor=ADMIN, acknowledged=["names-from-request"])
    device = Device(world, endpoint="queue")
    ask(device)
    assert not world.approve().intent.unverified
    assert subject_names(device.poll().certificates[0]) == LAPTOP


def test_the_log_of_a_day_at_the_queue_verifies(world: World) -> None:
    """I8 and AUD-1: one record for what is held, approved, denied; none for the polls between; the chain holds."""
    first, second = (
        Device(world, key=rsa_key(number), endpoint="queue").fresh(f"transaction-{number}") for number in (0, 1)
    )
    ask(first)
    first.poll()
    approved = world.approve()
    ask(second, names("laptop-2"))
    second.poll()
    world.approvals.deny(world.pending().id, ADMIN)
    first.poll()
    told = [event.draft.action for event in world.store.log if event.draft.action.value.startswith("enrolment.")]
    assert told == [
        Action.ENROLMENT_PENDING,
        Action.ENROLMENT_APPROVED,
        Action.ENROLMENT_PENDING,
        Action.ENROLMENT_DENIED,
    ]
    assert verify(world.store).findings == ()
    assert world.secrets["queue"] not in repr(world.store.log)
    assert approved.serial == x509.load_der_x509_certificate(first.certificate or b"").serial_number


# --- static challenges ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", [names(), LAPTOP, names("ceo", "mail.example.com")], ids=["nothing", "own", "other"])
def test_a_static_challenge_gets_the_servers_name(world: World, wanted: Names) -> None:
    """R5.4, R5.5 and VU#971035: whatever the CSR asks for, the name says which key it is, and is marked unverified."""
    device = Device(world, endpoint="static")
    reply = ask(device, wanted)
    digest = hashlib.sha256(device.public_key()).hexdigest()
    (row,) = world.store.certificates(CertificateFilter(kind=CertificateKind.LEAF))
    assert subject_names(reply.certificates[0]) == names(f"d-{digest[:20]}")
    assert row.intent.unverified


def test_many_devices_share_a_static_challenge(world: World) -> None:
    """CHA-2: each gets a certificate of its own; a repetition gets the one it has (R3)."""
    issued: set[bytes] = set()
    for number in range(3):
        device = Device(world, key=rsa_key(number), endpoint="static").fresh(f"transaction-{number}")
        first = ask(device)
        assert ask(device).certificates == first.certificates
        issued.update(first.certificates)
    assert len(issued) == leaves(world) == 3


def test_a_static_device_renews_under_its_name(world: World) -> None:
    """REN-3 and R4: with a new key or the old one the name stays; the challenge it enrolled with may come along."""
    device = Device(world, endpoint="static")
    first = subject_names(ask(device).certificates[0])
    world.desk.rotate("static", overlap=timedelta(0), actor=ADMIN)
    renewed = device.fresh("renewal")
    assert renewed.enrol(LAPTOP, world.secrets["static"]).status is PkiStatus.SUCCESS
    assert subject_names(renewed.certificate or b"") == first


def test_both_secrets_enrol_during_a_rotation_and_then_the_new_one(world: World) -> None:
    """CHA-2: the fleet learns the new secret while the old one still works; afterwards it is refused as expired."""
    former, new = world.secrets["static"], world.desk.rotate("static", actor=ADMIN).secret
    outcomes = []
    for turn, secret in enumerate((former, new)):
        outcomes.append(Device(world, endpoint="static").fresh(f"early-{turn}").enrol(LAPTOP, secret).status)
    world.clock.advance(timedelta(days=7))
    for turn, secret in enumerate((former, new)):
        outcomes.append(Device(world, endpoint="static").fresh(f"late-{turn}").enrol(LAPTOP, secret).status)
    assert outcomes == [PkiStatus.SUCCESS, PkiStatus.SUCCESS, PkiStatus.FAILURE, PkiStatus.SUCCESS]


def test_a_rotation_leaves_what_waits_in_the_queue(world: World) -> None:
    """R3: the conversation was admitted by the former secret and goes on with it."""
    device = Device(world, endpoint="queue")
    ask(device)
    world.desk.rotate("queue", overlap=timedelta(0), actor=ADMIN)
    assert ask(device).status is PkiStatus.PENDING
    approved = world.approve()
    assert ask(device).certificates == (approved.der,)


@pytest.mark.parametrize("endpoint", ["queue", "static"])
def test_an_endpoint_without_a_secret_refuses_everything(world: World, endpoint: str) -> None:
    """No challenge and no approval is no open CA: with the last secret withdrawn nobody enrols."""
    for challenge in world.store.challenges(endpoint):
        world.desk.revoke(challenge.id, ADMIN)
    for turn, secret in enumerate((world.secrets[endpoint], None, "x" * 32, world.mint("laptop-1"))):
        device = Device(world, endpoint=endpoint).fresh(f"transaction-{turn}")
        assert device.enrol(LAPTOP, secret).fail_info is FailInfo.BAD_REQUEST
    assert leaves(world) == 0
    assert not world.store.enrolments(EnrolmentFilter(state=EnrolmentState.PENDING))
