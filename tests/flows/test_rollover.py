"""An issuing authority is rolled over while devices go on: octets in, octets out."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import padding

from regalia import reasons
from regalia.ca.profile import DEFAULT_DOCUMENT
from regalia.ca.rollover import OVERLAP
from regalia.ca.sign_request import read_wish
from regalia.client.authorities import judge
from regalia.errors import AdminError
from regalia.jobs.renew_credentials import RenewCredentials
from regalia.jobs.rollover import RollOver
from regalia.model import Action, AuthorityState, CertificateKind, CredentialPurpose, KeyKind
from regalia.ports import CertificateFilter
from regalia.ra.registry import EndpointOptions
from regalia.ra.scep import CertRep
from regalia.wire.certificate import read_certificate
from regalia.wire.names import same_name
from regalia.wire.scep import FailInfo, MessageType
from regalia.wire.scep_client import issuer_and_serial, read_certs_only, read_crl_reply, read_next_ca
from world import ADMIN, Device, World, names, rsa_key

WEEK = timedelta(days=7)
LAPTOP = names("laptop-1")


def issuer_of(world: World, certificate: bytes | None) -> str:
    """Name the authority that issued a certificate."""
    assert certificate is not None
    issuer = read_certificate(certificate).issuer
    (found,) = [
        authority.name
        for authority in world.store.authorities()
        if same_name(read_certificate(authority.certificate_der).subject, issuer)
    ]
    return found


def end_superseded(world: World) -> int:
    """End what is superseded, as the job does; return how many keys were destroyed."""
    now = world.clock.now()
    return sum(world.rollover.end(each, now) for each in world.rollover.superseded(now))


def rolled(world: World, overlap: timedelta | None = WEEK) -> str:
    """Make the next authority of the group, and return its name."""
    return world.rollover.rotate("default", root=world.registry.root(), actor=ADMIN, overlap=overlap).name


def test_get_next_ca_cert_goes_live() -> None:
    """From rotation to activation GetCACaps offers GetNextCACert, which holds the next RA and CA, signed by the RA."""
    world = World()
    before = world.scep.door("default")
    assert before is not None
    assert b"GetNextCACert" not in world.scep.ca_capabilities(before)
    name = rolled(world)
    door = world.scep.door("default")
    assert door is not None
    assert b"GetNextCACert" in world.scep.ca_capabilities(door)
    body = world.scep.next_ca_certificates(door)
    assert body is not None
    told = read_next_ca(body, ra_certificates=(door.ra.certificate_der,))
    following = world.store.authority(name)
    assert following is not None
    assert following.certificate_der in told
    # What is told is enough for a client to set itself up with: an RA to encrypt to, and the CA above it.
    assert judge(told, None, world.clock.now()).chain[0] == following.certificate_der
    world.rollover.activate(name, actor=ADMIN)
    after = world.scep.door("default")
    assert after is not None
    assert world.scep.next_ca_certificates(after) is None
    assert read_certs_only(world.scep.ca_certificates(after))[1] == following.certificate_der


def test_clients_move_over() -> None:
    """A device enrolled before the activation renews by its old certificate, and gets one of the new authority."""
    world = World()
    device = Device(world)
    device.enrol(LAPTOP, world.mint("laptop-1"))
    assert issuer_of(world, device.certificate) == "default-ca-1"
    name = rolled(world)
    renewing = device.fresh("renewal-1")
    renewing.enrol(LAPTOP, None, MessageType.RENEWAL_REQ)
    assert issuer_of(world, renewing.certificate) == "default-ca-1"
    world.clock.advance(WEEK)
    assert world.rollover.due(world.clock.now()) == (name,)
    RollOver(world.rollover).run(world.clock.now())
    moved = renewing.fresh("renewal-2")
    moved.enrol(LAPTOP, None, MessageType.RENEWAL_REQ)
    assert issuer_of(world, moved.certificate) == name
    assert [a.state for a in world.store.authorities()] == ["active", "retiring", "active"]
    again = moved.fresh("renewal-3")
    again.enrol(LAPTOP, None, MessageType.RENEWAL_REQ)
    assert issuer_of(world, again.certificate) == name


def test_both_are_accepted_by_recipient() -> None:
    """A message to the former RA opens, and that RA signs the reply; one to the next RA asks the next authority."""
    world = World()
    old = world.scep.door("default")
    assert old is not None
    name = rolled(world)
    early = Device(world, rsa_key(1))
    door = world.store.door("default")
    assert door is not None
    assert door.successor_ra is not None
    csr = early.csr(names("early"), world.mint("early"))
    answer = world.send(early.message(csr, recipient=door.successor_ra.certificate_der))
    reply = early.open(answer, csr, ra=door.successor_ra.certificate_der)
    assert issuer_of(world, reply.certificates[0]) == name
    world.rollover.activate(name, actor=ADMIN)
    late = Device(world, rsa_key(2)).fresh("transaction-2")
    csr = late.csr(names("late"), world.mint("late"))
    reply = late.open(world.send(late.message(csr, recipient=old.ra.certificate_der)), csr, ra=old.ra.certificate_der)
    assert issuer_of(world, reply.certificates[0]) == name


def test_what_a_retiring_authority_issued_is_handed_out_with_its_crl() -> None:
    """A device gets its certificate of the former authority, and the CRL of that one; suspended or not."""
    world = World()
    device = Device(world)
    device.enrol(LAPTOP, world.mint("laptop-1"))
    world.crls.publish("default-ca-1", ADMIN)
    world.rollover.activate(rolled(world), actor=ADMIN)
    world.containment.suspend("default", "drill", actor=ADMIN)
    assert device.certificate is not None
    facts = read_certificate(device.certificate)
    wanted = issuer_and_serial(facts.issuer, facts.serial)
    asking = device.fresh("get-cert")
    answer = world.send(asking.message(wanted, message_type=MessageType.GET_CERT))
    assert asking.open(answer, wanted).certificates == (device.certificate,)
    asking = device.fresh("get-crl")
    answer = world.send(asking.message(wanted, message_type=MessageType.GET_CRL))
    door = world.store.door("default")
    assert door is not None
    assert isinstance(answer, CertRep)
    opened = read_crl_reply(
        answer.der,
        transaction=asking.transaction,
        sender_nonce=hashlib.sha256(wanted).digest()[:16],
        ra_certificates=(door.ra.certificate_der,),
        decrypt=lambda sealed: asking.key.decrypt(sealed, padding.PKCS1v15()),
    )
    last = world.store.last_crl("default-ca-1")
    assert last is not None
    assert opened.crl == b"".join(world.store.crl_octets(last))


def test_a_root_on_another_machine_signs_the_next_authority() -> None:
    """A request goes out and a certificate comes back: the authority is NEXT, with its credentials."""
    world, elsewhere = World(), World()
    device = Device(world)
    device.enrol(LAPTOP, world.mint("laptop-1"))
    root = elsewhere.registry.root()
    world.hierarchy.trust("corporate", root.certificate_der, actor=ADMIN)
    name = world.rollover.free_name("default")
    request = world.hierarchy.request(name, group="default", parent="corporate", actor=ADMIN)
    assert request.csr is not None
    assert world.rollover.free_name("default") != name
    wish = read_wish(request.csr)
    assert wish.crl is not None
    assert wish.issuer is not None
    signed = elsewhere.hierarchy.sign(name, wish, root=root, crl=wish.crl, issuer=wish.issuer, actor=ADMIN)
    made = world.hierarchy.accept(name, signed.certificate_der, actor=ADMIN, state=AuthorityState.NEXT)
    assert (made.state, world.rollover.lacks(made)) == (AuthorityState.NEXT, ())
    door = world.scep.door("default")
    assert door is not None
    assert door.successor is not None
    assert door.successor.name == name
    world.rollover.activate(name, actor=ADMIN)
    moved = device.fresh("renewal")
    moved.enrol(LAPTOP, None, MessageType.RENEWAL_REQ)
    assert issuer_of(world, moved.certificate) == name
    after = world.scep.door("default")
    assert after is not None
    assert read_certs_only(world.scep.ca_certificates(after))[-1] == root.certificate_der


# --- the end of what was ---------------------------------------------------------------------------------------------


def test_a_former_ra_key_opens_for_its_overlap_and_is_destroyed() -> None:
    """ENV-8: a new RA key at once, the former one for 30 days; then it is gone, with an event, and opens nothing."""
    world = World()
    door = world.store.door("default")
    assert door is not None
    old = door.ra
    made = world.rollover.rotate_ra("default", actor=ADMIN)
    late = world.store.door("default")
    assert late is not None
    assert (late.ra, late.former_ras) == (made, (old,))
    world.clock.advance(OVERLAP - timedelta(minutes=1))
    assert end_superseded(world) == 0
    device = Device(world)
    csr = device.csr(LAPTOP, world.mint("laptop-1"))
    body = device.message(csr, recipient=old.certificate_der)
    assert device.open(world.send(body), csr, ra=old.certificate_der).certificates
    world.clock.advance(timedelta(minutes=1))
    assert end_superseded(world) == 1
    told = world.last_event().draft
    assert (told.action, told.object) == (Action.KEY_DESTROYED, f"key:{old.key_id}")
    assert not world.keys.holds(old.key_id)
    assert end_superseded(world) == 0
    assert device.open(world.send(body), csr).fail_info is FailInfo.BAD_MESSAGE_CHECK
    assert world.last_event().draft.reason_id == "SCEP-037"


def test_superseded_responder_keys_are_destroyed() -> None:
    """An OCSP key that a newer one took over from is destroyed a day later; the newest never."""
    world = World()
    authority = world.store.authority("default-ca-1")
    assert authority is not None
    first = world.store.credentials(CredentialPurpose.OCSP, authority.name)[0]
    second = world.ceremony.create_credential(CredentialPurpose.OCSP, authority, actor=ADMIN)
    world.clock.advance(timedelta(hours=23))
    assert end_superseded(world) == 0
    world.clock.advance(timedelta(hours=1))
    assert end_superseded(world) == 1
    assert (world.keys.holds(first.key_id), world.keys.holds(second.key_id)) == (False, True)


def test_a_job_leads_an_authority_to_its_end() -> None:
    """NEXT takes over when its overlap ends; the former one answers by OCSP until its last leaf expired."""
    world = World()
    Device(world).enrol(LAPTOP, world.mint("laptop-1"))
    name = rolled(world)
    job = RollOver(world.rollover)
    renewals = RenewCredentials(world.store, world.store, world.ceremony)
    job.run(world.clock.now())
    assert states(world) == {"default-ca-1": "active", name: "next"}
    world.clock.advance(WEEK)
    job.run(world.clock.now())
    assert states(world) == {"default-ca-1": "retiring", name: "active"}
    responders = len(world.store.credentials(CredentialPurpose.OCSP, "default-ca-1"))
    world.clock.advance(timedelta(days=60))
    job.run(world.clock.now())
    renewals.run(world.clock.now())
    assert states(world)["default-ca-1"] == "retiring"
    assert len(world.store.credentials(CredentialPurpose.OCSP, "default-ca-1")) == responders + 1
    assert all(ra.ended_at for ra in world.store.credentials(CredentialPurpose.RA, "default-ca-1"))
    leaf = world.store.certificates(CertificateFilter(kind=CertificateKind.LEAF))[0]
    world.clock.advance(leaf.intent.not_after - world.clock.now() + timedelta(seconds=1))
    job.run(world.clock.now())
    assert states(world)["default-ca-1"] == "retired"
    retired = [event.draft for event in world.store.log if event.draft.action is Action.AUTHORITY_RETIRED]
    assert [draft.object for draft in retired] == ["authority:default-ca-1"]
    renewals.run(world.clock.now())
    world.clock.advance(timedelta(days=2))
    job.run(world.clock.now())
    ocsp = world.store.credentials(CredentialPurpose.OCSP, "default-ca-1")
    assert not any(world.keys.holds(each.key_id) for each in ocsp)
    assert all(world.keys.holds(each.key_id) for each in world.store.credentials(CredentialPurpose.OCSP, name)[:1])


def states(world: World) -> dict[str, str]:
    """The state of each issuing authority."""
    return {each.name: each.state.value for each in world.store.authorities() if each.parent is not None}


def test_what_one_authority_cannot_keeps_no_other_waiting() -> None:
    """A next authority that is not complete is told of, and another group's takes over all the same."""
    world = World()
    world.open_group("other")
    root = world.registry.root()
    now = world.clock.now()
    world.ceremony.create_issuing("bare", group="default", root=root, actor=ADMIN, next_until=now)
    good = world.rollover.rotate("other", root=root, actor=ADMIN, overlap=timedelta()).name
    with pytest.RaisesGroup(pytest.RaisesExc(AdminError, match="bare lacks credentials")):
        RollOver(world.rollover).run(now)
    assert states(world)["bare"] == "next"
    assert states(world)[good] == "active"


def test_a_rollover_is_refused_where_it_would_be_a_second_one() -> None:
    """One next authority at a time, announced for at most a year; only one with credentials takes over."""
    world = World()
    for act, reason in (
        (lambda: rolled(world, timedelta(days=400)), reasons.USAGE),
        (lambda: world.rollover.activate("default-ca-1", actor=ADMIN), reasons.AUTHORITY_STATE),
        (lambda: world.rollover.activate("root", actor=ADMIN), reasons.NOT_FOUND),
        (lambda: world.rollover.rotate_ra("nobody", actor=ADMIN), reasons.NOT_FOUND),
    ):
        with pytest.raises(AdminError) as caught:
            act()
        assert caught.value.reason is reason
    root = world.registry.root()
    bare = world.ceremony.create_issuing("bare", group="default", root=root, actor=ADMIN, next_until=True)
    with pytest.raises(AdminError, match=r"ADM-038 .* lacks credentials: ra, ocsp"):
        world.rollover.activate(bare.name, actor=ADMIN)
    # What a crash left without credentials is finished by the same command.
    assert rolled(world) == "bare"
    with pytest.raises(AdminError, match=r"ADM-038 .* bare is next already"):
        rolled(world)


# --- an authority that is its own RA ---------------------------------------------------------------------------------


def test_an_authority_that_is_its_own_ra() -> None:
    """R2: GetCACert is one bare certificate; devices encrypt to it, it answers, and they go on after a rollover."""
    world = World()
    world.registry.create_group("solo", actor=ADMIN, key_kind=KeyKind.RSA_2048, ca_as_ra=True, acknowledged=True)
    told = [event.draft for event in world.store.log if event.draft.security]
    assert [draft.details["acknowledged"] for draft in told] == [
        "the authority is its own RA: its key opens messages from strangers"
    ]
    world.registry.create_profile("solo", "solo", DEFAULT_DOCUMENT, actor=ADMIN)
    world.registry.create_endpoint("solo", group="solo", profile="solo", actor=ADMIN)
    door = world.scep.door("solo")
    assert door is not None
    bare = world.scep.ca_certificates(door)
    assert bare == door.authority.certificate_der
    ca = judge([bare], None, world.clock.now())
    assert (ca.recipient, ca.signers, ca.chain) == (bare, (bare,), (bare,))
    device = Device(world, endpoint="solo")
    assert device.enrol(LAPTOP, world.mint("laptop-1", endpoint="solo")).certificates
    following = world.rollover.rotate("solo", root=world.registry.root(), actor=ADMIN)
    assert world.rollover.serves_itself(following)
    world.rollover.activate(following.name, actor=ADMIN)
    moved = device.fresh("renewal")
    assert moved.enrol(LAPTOP, None, MessageType.RENEWAL_REQ).certificates
    assert issuer_of(world, moved.certificate) == following.name
    # The key of the former one is a CA's: it signs CRLs as long as there is something to say.
    world.clock.advance(timedelta(days=31))
    end_superseded(world)
    assert world.keys.holds(door.authority.key_id)


def test_what_an_authority_that_is_its_own_ra_may_not() -> None:
    """Without acknowledgement, with a key that decrypts nothing, and SHA-1 in any answer: ADM-013 and ADM-037."""
    world = World()
    world.registry.create_group("solo", actor=ADMIN, key_kind=KeyKind.RSA_2048, ca_as_ra=True, acknowledged=True)
    world.registry.create_profile("solo", "solo", DEFAULT_DOCUMENT, actor=ADMIN)
    create, legacy = world.registry.create_group, EndpointOptions(legacy=True)
    rsa, p256 = KeyKind.RSA_2048, KeyKind.P256
    for act, reason in (
        (lambda: create("x", actor=ADMIN, key_kind=rsa, ca_as_ra=True), reasons.ACKNOWLEDGEMENT_NEEDED),
        (lambda: create("x", actor=ADMIN, key_kind=p256, ca_as_ra=True, acknowledged=True), reasons.CA_AS_RA_REFUSED),
        (
            lambda: create("x", actor=ADMIN, authority="solo-ca-1", ca_as_ra=True, acknowledged=True),
            reasons.CA_AS_RA_REFUSED,
        ),
        (lambda: world.rollover.rotate_ra("solo", actor=ADMIN), reasons.CA_AS_RA_REFUSED),
        (
            lambda: world.registry.create_endpoint("old", group="solo", profile="solo", actor=ADMIN, options=legacy),
            reasons.CA_AS_RA_REFUSED,
        ),
    ):
        with pytest.raises(AdminError) as caught:
            act()
        assert caught.value.reason is reason
