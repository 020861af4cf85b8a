"""Orders: what an administrator asks for is judged as a device's request is, and the administrator's names count."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from regalia import reasons
from regalia.ca.issue import Prepared
from regalia.ca.revoke import revoke
from regalia.errors import AdminError, Reason
from regalia.model import (
    Action,
    AuthorisationKind,
    Certificate,
    CertificateState,
    EnrolmentState,
    Names,
    Outcome,
    RevocationReason,
)
from regalia.ports import EnrolmentFilter
from regalia.ra.evidence import authorise_order
from regalia.ra.order import Order
from regalia.wire import oids
from regalia.wire.certificate import basic_constraints, read_certificate
from world import ADMIN, Device, World, names, rsa_key, spki

RADIUS = names("radius", "radius.example.com")


def csr(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | None = None,
    cn: str | None = "localhost",
    *,
    ca: bool = False,
) -> bytes:
    """Make a request as a server's own tool does, with a name of its own."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cn)] if cn else [])
    builder = x509.CertificateSigningRequestBuilder(subject)
    if ca:
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return builder.sign(key or rsa_key(0), hashes.SHA256()).public_bytes(Encoding.DER)


def order(request: bytes | None = None, wanted: Names | None = RADIUS, **more: str) -> Order:
    """Order a certificate of the group and the profile that a new home has."""
    return Order(
        more.get("group", "default"), more.get("profile", "default"), request or csr(), wanted, more.get("device")
    )


def refusal(world: World, wanted: Order) -> Reason:
    """Place an order that is refused, and say why."""
    with pytest.raises(AdminError) as caught:
        world.orders.place(wanted, ADMIN)
    return caught.value.reason


def test_pol1_the_certificate_carries_the_administrators_names_and_nothing_of_the_request() -> None:
    """POL-1: the key comes from the request, the names from who orders, whatever the request says."""
    world = World()
    certificate = world.orders.place(order(device="NPS-1"), ADMIN).certificate
    facts = read_certificate(certificate.der or b"")
    assert facts.public_key == spki(rsa_key(0))
    assert certificate.intent.names == RADIUS
    assert certificate.intent.subject == "CN=radius"
    assert certificate.intent.device == "NPS-1"
    assert not certificate.intent.unverified


def test_an_order_is_an_enrolment_with_its_stages() -> None:
    """What was ordered stands in the list of enrolments, with who vouched, and no device's message in it."""
    world = World()
    certificate = world.orders.place(order(), ADMIN).certificate
    (enrolment,) = world.store.enrolments(EnrolmentFilter())
    assert (enrolment.state, enrolment.certificate_id) == (EnrolmentState.ISSUED, certificate.id)
    assert (enrolment.key.endpoint, enrolment.source) == ("admin/default/default", "os:tester")
    assert [note.note for note in enrolment.stages][:2] == [
        "a request that an administrator brought",
        f"the key is proven, SHA-256 {hashlib.sha256(spki(rsa_key(0))).hexdigest()[:16]}…",
    ]
    assert "admin os:tester" in [note.note for note in enrolment.stages]


def test_aud1_the_events_name_the_administrator() -> None:
    """AUD-1: intent and issue are events of the administrator, not of a device."""
    world = World()
    certificate = world.orders.place(order(), ADMIN).certificate
    told = [event.draft for event in world.store.log if event.draft.serial == f"{certificate.serial:x}"]
    assert [(each.action, each.actor) for each in told] == [
        (Action.CERTIFICATE_INTENT, ADMIN),
        (Action.CERTIFICATE_ISSUED, ADMIN),
    ]


def test_msg1_the_authorisation_is_an_administrators() -> None:
    """MSG-1: the evidence for an order is the administrator's word, and says so."""
    world = World()
    request = world.orders._request(order(), ADMIN)  # noqa: SLF001 - what the evidence is made of
    assert request.vouched is not None
    evidence = authorise_order(request, request.vouched, first := uuid4())
    assert evidence.authorisation is not None
    assert evidence.authorisation.kind is AuthorisationKind.ADMINISTRATOR
    assert evidence.lineage.first == first
    assert evidence.names == RADIUS


def test_without_names_those_of_the_request_are_vouched_for() -> None:
    """POL-1: who orders without names answers for exactly those in the request."""
    world = World()
    request = csr(cn="vpn-1")
    assert world.orders.asked(request) == Names("vpn-1")
    assert world.orders.place(order(request, None), ADMIN).certificate.intent.names == Names("vpn-1")


def test_r3_the_same_order_again_gives_the_same_certificate_for_a_day() -> None:
    """R3: a repeated order is answered with its certificate, not with a second one, until 24 hours are over."""
    world = World()
    first = world.orders.place(order(), ADMIN)
    world.clock.advance(timedelta(hours=23))
    again = world.orders.place(order(), ADMIN)
    assert (first.repeated, again.repeated) == (False, True)
    assert again.certificate.der == first.certificate.der
    world.clock.advance(timedelta(hours=2))
    later = world.orders.place(order(), ADMIN)
    assert not later.repeated
    assert later.certificate.serial != first.certificate.serial


def test_a_repeated_order_after_its_certificate_was_revoked_gives_another() -> None:
    """What was revoked is handed out to nobody again; the order begins anew."""
    world = World()
    first = world.orders.place(order(), ADMIN).certificate
    world.clock.advance(timedelta(minutes=1))
    revoke(world.store, world.clock, first, reason=RevocationReason.SUPERSEDED, actor=ADMIN)
    second = world.orders.place(order(), ADMIN)
    assert second.certificate.serial != first.serial
    assert not second.repeated


def test_another_device_or_profile_version_is_another_order() -> None:
    """An order that differs in anything but its names is judged by itself: it is not a repetition."""
    world = World()
    first = world.orders.place(order(), ADMIN).certificate
    world.clock.advance(timedelta(minutes=1))
    other = world.orders.place(order(device="NPS-2"), ADMIN).certificate
    assert first.serial != other.serial


def test_key2_a_key_has_one_identity_for_administrators_too() -> None:
    """KEY-2: the same key for other names is refused, whoever orders it."""
    world = World()
    world.orders.place(order(), ADMIN)
    assert refusal(world, order(wanted=names("radius", "other.example.com"))) is reasons.KEY_OF_ANOTHER


def test_key2_a_compromised_key_and_our_own_are_refused() -> None:
    """KEY-2: a key that was revoked for compromise is closed for ever, and the CA's own is certified for nobody."""
    world = World()
    certificate = world.orders.place(order(), ADMIN).certificate
    revoke(world.store, world.clock, certificate, reason=RevocationReason.KEY_COMPROMISE, actor=ADMIN)
    assert refusal(world, order()) is reasons.KEY_BLOCKED


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (order(group="nobody"), reasons.NOT_FOUND),
        (order(profile="nobody"), reasons.NOT_FOUND),
        (order(b"\x30\x00"), reasons.CSR_REFUSED),
        (order(csr(ec.generate_private_key(ec.SECP521R1()))), reasons.KEY_REFUSED),
        (order(csr()[:-1] + bytes([csr()[-1] ^ 1])), reasons.POSSESSION_UNPROVEN),
        (order(wanted=names("x", "*.example.com")), reasons.NAME_MALFORMED),
        (order(csr(cn=None), None), reasons.NO_NAMES),
        (order(csr(ca=True)), reasons.EXTENSION_FORBIDDEN),
    ],
    ids=["group", "profile", "no request", "key", "possession", "names", "no names", "extension"],
)
def test_what_a_device_would_be_refused_for_an_administrator_is_too(wanted: Order, reason: Reason) -> None:
    """Group, profile, request, key, possession, names and extensions are checked as for a device."""
    world = World()
    assert refusal(world, wanted) is reason
    assert all(enrolment.state is EnrolmentState.REFUSED for enrolment in world.store.enrolments(EnrolmentFilter()))


def test_a_profile_of_another_group_is_not_found() -> None:
    """A group's authority signs under its own profiles only."""
    world = World()
    world.open_group("staff")
    assert refusal(world, order(group="staff", profile="default")) is reasons.NOT_FOUND


def test_a_refused_order_is_on_record_with_who_ordered() -> None:
    """R13: a refusal of the decision is an event of the administrator and an enrolment that explains it."""
    world = World()
    refusal(world, order(csr(ca=True)))
    told = world.last_event().draft
    assert (told.action, told.outcome, told.actor) == (Action.ENROLMENT_REFUSED, Outcome.REFUSED, ADMIN)
    assert told.object == "endpoint:admin/default/default"


def test_a_preview_shows_the_certificate_and_leaves_nothing() -> None:
    """A dry run renders and lints the certificate, records nothing and signs nothing."""
    world = World()
    events = len(world.store.log)
    found = world.orders.preview(order(), ADMIN)
    assert isinstance(found, Prepared)
    assert found.intent.names == RADIUS
    assert len(world.store.log) == events
    assert world.store.enrolments(EnrolmentFilter()) == ()
    issued = world.orders.place(order(), ADMIN).certificate
    assert isinstance(world.orders.preview(order(), ADMIN), Certificate)
    assert issued.state is CertificateState.ISSUED


def test_a_preview_refuses_as_the_order_would() -> None:
    """A dry run says why an order would be refused, and records no refusal."""
    world = World()
    events = len(world.store.log)
    with pytest.raises(AdminError) as caught:
        world.orders.preview(order(csr(ca=True)), ADMIN)
    assert caught.value.reason is reasons.EXTENSION_FORBIDDEN
    assert len(world.store.log) == events


def test_res5_the_daily_quota_of_devices_does_not_bind_administrators() -> None:
    """RES-5: the limit per device holds off devices; six orders for one device on a day are issued."""
    world = World()
    for number in range(6):
        world.clock.advance(timedelta(seconds=1))
        key = ec.generate_private_key(ec.SECP256R1())
        placed = world.orders.place(order(csr(key), names(f"radius-{number}"), device="NPS-1"), ADMIN)
        assert placed.certificate.state is CertificateState.ISSUED


def test_basic_constraints_of_an_ordered_certificate_say_no_ca() -> None:
    """An ordered certificate is a leaf like any other."""
    world = World()
    facts = read_certificate(world.orders.place(order(), ADMIN).certificate.der or b"")
    extension = facts.extension(oids.CE_BASIC_CONSTRAINTS)
    assert extension is not None
    assert extension.value == basic_constraints(ca=False).value


def test_a_suspended_group_refuses_orders() -> None:
    """In a suspended group nothing is issued, to administrators neither, and a dry run says so, too."""
    world = World()
    (group,) = world.store.groups()
    world.store._groups[group.name] = replace(group, suspended_at=world.clock.now())  # noqa: SLF001 - as `suspend` does
    assert refusal(world, order()) is reasons.GROUP_SUSPENDED
    with pytest.raises(AdminError) as caught:
        world.orders.preview(order(), ADMIN)
    assert caught.value.reason is reasons.GROUP_SUSPENDED


def test_an_ordered_certificate_renews_at_an_endpoint_of_its_profile() -> None:
    """A server that speaks SCEP renews what was ordered for it, with the names that the administrator fixed (REN-3)."""
    world = World()
    device = Device(world)
    device.certificate = world.orders.place(order(csr(device.key)), ADMIN).certificate.der
    world.clock.advance(timedelta(days=200))
    renewed = device.fresh("renewal").enrol(RADIUS, None, "17").certificates[0]
    assert renewed != device.certificate
    assert read_certificate(renewed).subject == read_certificate(device.certificate or b"").subject
