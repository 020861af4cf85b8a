"""What nobody listed: the URL together with a static secret, an old certificate, a captured message, or all of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509

from attacks.forgery import certificate, csr_of, message_of, requested
from attacks.harness import Target, attack, refused, rightful
from regalia import reasons
from regalia.ca.profile import DEFAULT_DOCUMENT
from regalia.errors import AdminError, UnavailableError
from regalia.model import Authoriser, Certificate, CertificateKind, NamesFrom, Revocation, RevocationReason
from regalia.ports import CertificateFilter
from regalia.ra.registry import EndpointOptions
from regalia.ra.scep import CertRep
from regalia.wire import der, oids
from regalia.wire.certificate import basic_constraints, extended_key_usage
from regalia.wire.names import encode_name
from regalia.wire.scep import MessageType, PkiStatus, Transaction
from scep_parts import Identity, attribute
from world import ADMIN, Device, names, rsa_key


def leaves(world: Target) -> list[Certificate]:
    """All certificates of devices, oldest first."""
    return [*reversed(world.store.certificates(CertificateFilter(kind=CertificateKind.LEAF, limit=100)))]


def issued_to(device: Device, world: Target) -> Certificate:
    """The row of the certificate that a device holds."""
    return next(row for row in leaves(world) if row.der == device.certificate)


def static_device(world: Target, wanted: str = "ceo") -> tuple[Device, str]:
    """Somebody with the static secret of `printers`, enrolled with it, and the secret."""
    secret = world.open_endpoint("printers", Authoriser.STATIC)
    device = Device(world, key=rsa_key(1), endpoint="printers", transaction=Transaction(b"static"))
    assert device.enrol(names(wanted), secret).status is PkiStatus.SUCCESS
    return device, secret


# --- a static secret and something else -----------------------------------------------------------------------------


@pytest.mark.parametrize("door", ["default", "printers", "queue"])
def test_a_bearers_certificate_renews_into_no_other_name_at_any_door(world: Target, door: str) -> None:
    """POL-3, REN-3, AUTHZ-2: enrolled by static secret, renewed where names are bound or approved: its key's name."""
    device, _ = static_device(world)
    world.open_endpoint("queue", Authoriser.APPROVAL)
    own = issued_to(device, world).intent.names
    visitor = replace(device, endpoint=door, transaction=Transaction(b"renewal"))
    assert visitor.enrol(names("ceo"), None).status is PkiStatus.SUCCESS
    assert issued_to(visitor, world).intent.names == own
    assert issued_to(visitor, world).intent.unverified


def test_a_bearers_certificate_does_not_jump_the_queue(world: Target) -> None:
    """POL-3, R4: its certificate and the queue's own secret together are neither a renewal nor a first enrolment."""
    device, _ = static_device(world)
    secret = world.open_endpoint("queue", Authoriser.APPROVAL)
    visitor = replace(device, endpoint="queue", transaction=Transaction(b"queue"))
    message = visitor.message(visitor.csr(names("ceo"), secret))
    refused(world, message, reasons.RENEWAL_CHALLENGE_WRONG, security=True, endpoint="queue")


def test_a_stolen_key_and_the_static_secret_do_not_make_its_owner(world: Target) -> None:
    """KEY-2, POL-3: the key of laptop-1 shown at the static door would get a second identity for one key."""
    victim = Device(world)
    victim.enrol(names("laptop-1"), world.mint("laptop-1"))
    secret = world.open_endpoint("printers", Authoriser.STATIC)
    thief = Device(world, endpoint="printers", transaction=Transaction(b"thief"))
    assert thief.public_key() == victim.public_key()
    message = thief.message(thief.csr(names("laptop-1"), secret))
    refused(world, message, reasons.KEY_OF_ANOTHER, endpoint="printers")


def test_a_static_secret_proves_nothing_for_another_key_in_the_same_transaction(world: Target) -> None:
    """R3, CHA-2: all bearers have one challenge; what tells their conversations apart is the key."""
    device, secret = static_device(world)
    other = replace(device, key=rsa_key(2), certificate=None)
    message = other.message(other.csr(names("ceo"), secret))
    refused(world, message, reasons.TRANSACTION_TAKEN, security=True, endpoint="printers")


def test_a_static_secret_as_somebody_elses_renewal_challenge_is_refused(world: Target) -> None:
    """R4, CHA-2: laptop-1's certificate, stolen, together with the printers' secret."""
    victim = Device(world)
    victim.enrol(names("laptop-1"), world.mint("laptop-1"))
    secret = world.open_endpoint("printers", Authoriser.STATIC)
    thief = replace(victim, endpoint="printers", transaction=Transaction(b"thief"))
    message = thief.message(thief.csr(names("laptop-1"), secret))
    refused(world, message, reasons.RENEWAL_CHALLENGE_WRONG, security=True, endpoint="printers")


def test_the_rotation_of_a_leaked_secret_ends_first_enrolments_and_not_renewals(world: Target) -> None:
    """CHA-2, REN-1: what was enrolled with it before renews on until it is revoked: the drill must revoke as well."""
    device, leaked = static_device(world)
    world.desk.rotate("printers", actor=ADMIN, overlap=timedelta(0))
    late = Device(world, key=rsa_key(2), endpoint="printers", transaction=Transaction(b"late"))
    attempt = attack(world, message_of(late, csr_of(late, challenge=leaked)), endpoint="printers")
    assert attempt.told == (PkiStatus.FAILURE, 2)
    assert device.fresh("renewal").enrol(names("ceo"), leaked).status is PkiStatus.SUCCESS
    for row in leaves(world):
        ended = Revocation(row.id, RevocationReason.PRIVILEGE_WITHDRAWN, "administrator", "os:x", world.clock.now())
        world.store.revoke(ended, ())
    renewal = device.fresh("renewal 2")
    refused(world, renewal.message(renewal.csr(names("ceo"), None)), reasons.SIGNER_REVOKED, endpoint="printers")


def test_the_name_of_a_key_cannot_be_asked_for_by_another_key(world: Target) -> None:
    """POL-3, R5: the d- name of a bearer is computed from the proven key: asking for it by name brings nothing."""
    device, secret = static_device(world)
    taken = issued_to(device, world).intent.names
    thief = Device(world, key=rsa_key(2), endpoint="printers", transaction=Transaction(b"thief"))
    thief.enrol(taken, secret)
    assert issued_to(thief, world).intent.names != taken


def test_what_could_not_be_issued_is_not_held_for_approval(world: Target) -> None:
    """POL-3, POL-5: a hurried administrator approves what he sees: wildcards and the CA's own name are not held."""
    secret = world.open_endpoint("queue", Authoriser.APPROVAL)
    door = world.store.door("queue")
    assert door is not None
    (issuer,) = x509.load_der_x509_certificate(door.authority.certificate_der).subject
    device = Device(world, key=rsa_key(1), endpoint="queue", transaction=Transaction(b"held"))
    for cn, reason in (("*.example.com", reasons.NAME_MALFORMED), (str(issuer.value), reasons.NAME_PROTECTED)):
        refused(world, device.message(device.csr(names(cn), secret)), reason, endpoint="queue")
    assert world.store.pending_count("default") == 0
    assert leaves(world) == []


def test_no_profile_gives_names_to_bearers_of_a_static_secret(world: Target) -> None:
    """POL-3: a later version of the profile, with names from the request, is refused; past that, nothing is issued."""
    secret = world.open_endpoint("printers", Authoriser.STATIC)
    document = DEFAULT_DOCUMENT.replace('names = "binding"', 'names = "from-csr"')
    with pytest.raises(AdminError) as told:
        world.registry.create_profile("default", "default", document, actor=ADMIN, acknowledged=["names-from-request"])
    assert told.value.reason is reasons.STATIC_NAMES_FROM_REQUEST
    profile = world.store.profile("default")
    assert profile is not None
    world.store.add_profile(replace(profile, version=profile.version + 1, names_from=NamesFrom.CSR), ())
    thief = Device(world, key=rsa_key(1), endpoint="printers", transaction=Transaction(b"thief"))
    message = thief.message(thief.csr(names("ceo"), secret))
    refused(world, message, reasons.STATIC_NAMES_FROM_REQUEST, endpoint="printers")


# --- an old or captured message -------------------------------------------------------------------------------------


def test_a_captured_renewal_replayed_later_advances_nothing(world: Target) -> None:
    """REN-1, R3: a day later it is judged afresh and at most repeats itself: same key, same generation."""
    device = Device(world)
    device.enrol(names("laptop-1"), world.mint("laptop-1"))
    renewing = device.fresh("renewal")
    csr = renewing.csr(names("laptop-1"), None)
    captured = renewing.message(csr)
    renewed = renewing.open(world.send(captured), csr).certificates[0]
    for _ in range(3):
        world.clock.advance(timedelta(hours=25))
        attempt = attack(world, captured)
        assert attempt.told == (PkiStatus.SUCCESS, None)
    assert {row.intent.key_sha256 for row in leaves(world)} == {leaves(world)[0].intent.key_sha256}
    assert max(row.intent.generation for row in leaves(world)) == 1
    current = replace(device, certificate=renewed)
    assert current.fresh("next").enrol(names("laptop-1"), None).status is PkiStatus.SUCCESS


def test_a_captured_first_enrolment_replayed_later_brings_nothing(world: Target) -> None:
    """CHA-1, R3: a day later the stored answer is spent and the challenge used."""
    secret, device = world.mint("laptop-1", minutes=60 * 72), Device(world)
    captured = device.message(device.csr(names("laptop-1"), secret))
    world.send(captured)
    world.clock.advance(timedelta(hours=25))
    refused(world, captured, reasons.CHALLENGE_USED)


def test_a_repetition_with_rights_gets_what_was_judged(world: Target) -> None:
    """POL-2, R3: the same conversation asking for CA:TRUE the second time is answered with the first certificate."""
    secret, device = world.mint("laptop-1"), Device(world)
    first = world.send(message_of(device, csr_of(device, challenge=secret)))
    assert isinstance(first, CertRep)
    assert first.issued
    greedy = csr_of(device, requested(basic_constraints(ca=True).encode()), challenge=secret)
    attempt = attack(world, message_of(device, greedy))
    assert attempt.changed == ()
    (row,) = leaves(world)
    assert row.der is not None
    found = x509.load_der_x509_certificate(row.der)
    assert not found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_an_abandoned_certificate_is_not_resumed_with_rights(world: Target) -> None:
    """POL-2, ISS-2, R8: what goes on after a crash is judged again: a greedy repetition of it is refused."""
    secret, device = world.mint("laptop-1"), Device(world)
    key_id = world.store.door("default").authority.key_id  # type: ignore[union-attr]  # it is there
    lost = world.keys.private.pop(key_id)
    with pytest.raises(UnavailableError):
        world.send(message_of(device, csr_of(device, challenge=secret)))
    world.clock.advance(timedelta(minutes=2))
    world.recovery.run()
    world.keys.private[key_id] = lost
    greedy = csr_of(device, requested(extended_key_usage([oids.KP_CODE_SIGNING]).encode()), challenge=secret)
    refused(world, message_of(device, greedy), reasons.EXTENSION_FORBIDDEN, security=True)
    assert [row.der for row in leaves(world)] == [None]
    modest = world.send(message_of(device, csr_of(device, challenge=secret)))
    assert isinstance(modest, CertRep)
    assert modest.issued


@pytest.mark.parametrize("message_type", [MessageType.PKCS_REQ, MessageType.RENEWAL_REQ])
def test_a_thief_of_the_old_key_does_not_outrun_the_owner(world: Target, message_type: MessageType) -> None:
    """REN-1: both renew from one stolen certificate: the owner's chain goes on, the thief's branch ends with it."""
    owner = Device(world)
    owner.enrol(names("laptop-1"), world.mint("laptop-1"))
    thief = replace(owner, transaction=Transaction(b"thief"), source="192.0.2.66")
    csr = thief.csr(names("laptop-1"), None, key=rsa_key(1))
    stolen = thief.open(world.send(thief.message(csr, message_type=message_type)), csr).certificates[0]
    owner.fresh("renewal").enrol(names("laptop-1"), None)
    lost = next(row for row in leaves(world) if row.der == stolen)
    gone = Revocation(lost.id, RevocationReason.KEY_COMPROMISE, "administrator", "os:x", world.clock.now())
    world.store.revoke(gone, ())
    again = Device(world, key=rsa_key(1), certificate=stolen, transaction=Transaction(b"thief again"))
    refused(world, again.message(again.csr(names("laptop-1"), None)), reasons.SIGNER_REVOKED)
    # The old certificate, which both held, cannot renew around that either.
    refused(world, thief.fresh("once more").message(thief.csr(names("laptop-1"), None)), reasons.SIGNER_WITHDRAWN)


def test_a_renewal_does_not_outlive_its_authority_or_its_profile(world: Target) -> None:
    """POL-7: renewed again and again up to the authority's end, no certificate is longer than the profile's year."""
    device = Device(world)
    device.enrol(names("laptop-1"), world.mint("laptop-1"))
    door = world.store.door("default")
    assert door is not None
    end = x509.load_der_x509_certificate(door.authority.certificate_der).not_valid_after_utc
    turns = 0
    while world.clock.now() + timedelta(days=300) < end:
        world.clock.advance(timedelta(days=300))
        turns += 1
        renewed = device.fresh(f"renewal {turns}")
        assert renewed.enrol(names("laptop-1"), None).status is PkiStatus.SUCCESS
        device = renewed
        assert device.certificate is not None
        found = x509.load_der_x509_certificate(device.certificate)
        assert found.not_valid_after_utc <= end
        assert found.not_valid_after_utc - found.not_valid_before_utc <= timedelta(days=366)
    assert turns > 3


# --- odd places -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "moment",
    [
        b"99991231235959Z",
        b"00000101000000Z",
        b"20260230000000Z",
        b"2026",
        b"",
        b"-0000101000000Z",
        b"20260301090000.5Z",
    ],
)
@pytest.mark.parametrize("punctual", [True, False])
def test_a_signing_time_from_nowhere_does_no_harm(world: Target, moment: bytes, *, punctual: bool) -> None:
    """IN-2, R6: GeneralizedTimes at and beyond the edge, where signing times are checked and where they are not."""
    options = EndpointOptions(check_signing_time=punctual)
    world.registry.create_endpoint("door", group="default", profile="default", actor=ADMIN, options=options)
    device = Device(world, endpoint="door")
    extra = attribute(oids.SIGNING_TIME, der.tlv(0x18, moment))
    message = message_of(device, csr_of(device), extra_attributes=[extra])
    attempt = attack(world, message, endpoint="door")
    assert attempt.changed == ()
    (event,) = attempt.events
    assert event.reason_id in {reasons.SIGNING_TIME_REFUSED.id, reasons.CHALLENGE_MISSING.id}


@pytest.mark.parametrize("version", [1, 2, -1, 1 << 64])
def test_a_request_of_another_version_is_none(world: Target, version: int) -> None:
    """IN-5, IN-7: PKCS #10 has the version 0; what another one would mean nobody knows."""
    device = Device(world)
    info = der.read_one(csr_of(device, challenge=world.mint("laptop-1"))).children()[0].children()
    changed = der.sequence(der.integer(version), *(part.raw for part in info[1:]))
    csr = der.sequence(
        changed,
        der.sequence(der.oid(oids.SHA256_WITH_RSA), der.null()),
        der.bit_string(device.sign(changed)),
    )
    refused(world, message_of(device, csr), reasons.CSR_REFUSED)


def test_a_request_without_attributes_is_none(world: Target) -> None:
    """IN-4, ENV-6: attributes are not optional in PKCS #10; a fourth part that is missing is not an empty one."""
    device = Device(world)
    info = der.sequence(der.integer(0), encode_name(cn="laptop-1"), device.public_key())
    csr = der.sequence(info, der.sequence(der.oid(oids.SHA256_WITH_RSA), der.null()), der.bit_string(device.sign(info)))
    refused(world, message_of(device, csr), reasons.CSR_REFUSED)


def test_a_disabled_endpoint_lets_nobody_renew(world: Target) -> None:
    """AUTHZ-1, R6: with a good certificate and a good challenge in hand: there is no such door any more."""
    device = Device(world)
    device.enrol(names("laptop-1"), world.mint("laptop-1"))
    world.registry.disable_endpoint("default", actor=ADMIN)
    assert world.scep.door("default") is None


def test_a_group_in_debug_tells_its_own_strangers_only(world: Target) -> None:
    """R6, IN-2: failInfoText of the debugged group names the reason's title, never what is the administrator's."""
    world.open_group("lab", debug=True)
    device = Device(world, endpoint="lab")
    other = world.mint("laptop-1")
    message = message_of(device, csr_of(device, challenge=other))
    attempt = refused(world, message, reasons.CHALLENGE_UNKNOWN, security=True, endpoint="lab")
    text = (attempt.attribute(oids.FAIL_INFO_TEXT) or b"").decode()
    assert text == str(reasons.CHALLENGE_UNKNOWN)
    assert "default" not in text


def test_one_challenge_under_two_types_is_used_once(world: Target) -> None:
    """MSG-2, ISS-4: PKCSReq first, then a RenewalReq by the new certificate with its challenge: R4's repetition."""
    secret, device = world.mint("laptop-1"), Device(world)
    assert device.enrol(names("laptop-1"), secret).status is PkiStatus.SUCCESS
    renewing = device.fresh("renewal")
    assert renewing.enrol(names("laptop-1"), secret, MessageType.RENEWAL_REQ).status is PkiStatus.SUCCESS
    stranger = Device(world, key=rsa_key(1), transaction=Transaction(b"stranger"))
    message = message_of(stranger, csr_of(stranger, challenge=secret))
    refused(world, message, reasons.CHALLENGE_REPLAYED, security=True)


def test_a_signer_with_a_subject_of_the_ca_is_a_stranger(world: Target) -> None:
    """SIG-4, REN-2: self-signed, named exactly like our CA, with its serial and key identifier: a NEW signer."""
    door = world.store.door("default")
    assert door is not None
    tbs = der.read_one(door.authority.certificate_der).children()[0].children()
    device = Device(world)
    forged = certificate(
        device.key,
        device.public_key(),
        issuer=tbs[5].raw,
        subject=tbs[5].raw,
        serial=tbs[1].as_integer(),
        device=device,
        extensions=(basic_constraints(ca=True),),
    )
    signer = Identity(device.key, forged)
    refused(world, message_of(device, csr_of(device), signer=signer), reasons.CHALLENGE_MISSING)
    secret = world.mint("laptop-1")
    rightful(world, secret)
