"""A renewal signed by a certificate that may not renew here, or that asks for more than it was."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from attacks.forgery import certificate, csr_of, message_of, rdn
from attacks.harness import Target, refused
from regalia import reasons
from regalia.ca.profile import DEFAULT_DOCUMENT
from regalia.model import (
    CertificateKind,
    CertificateState,
    CredentialPurpose,
    KeyKind,
    Names,
    Revocation,
    RevocationReason,
)
from regalia.ports import CertificateFilter
from regalia.wire import der, oids
from regalia.wire.certificate import basic_constraints, key_usage, read_certificate
from regalia.wire.names import encode_name
from regalia.wire.scep import MessageType, PkiStatus, Transaction
from scep_parts import Identity
from world import ADMIN, Device, names, rsa_key

if TYPE_CHECKING:
    from regalia.model import Certificate

TYPES = pytest.mark.parametrize("message_type", [MessageType.PKCS_REQ, MessageType.RENEWAL_REQ])


def enrolled(world: Target) -> Device:
    """A device with a certificate for laptop-1, in a new transaction."""
    device = Device(world)
    device.enrol(names("laptop-1"), world.mint("laptop-1"))
    return device.fresh("renewal")


def renewal(device: Device, message_type: MessageType = MessageType.PKCS_REQ, wanted: Names | None = None) -> bytes:
    """What it sends to renew."""
    return device.message(device.csr(wanted or names("laptop-1"), None), message_type=message_type)


def leaves(world: Target) -> list[Certificate]:
    """The rows of devices' certificates, oldest generation first."""
    rows = world.store.certificates(CertificateFilter(kind=CertificateKind.LEAF, limit=100))
    return sorted(rows, key=lambda row: row.intent.generation)


def still_renews(device: Device) -> None:
    """The attack changed nothing: the rightful certificate renews."""
    assert device.fresh("rightful renewal").enrol(names("laptop-1"), None).status is PkiStatus.SUCCESS


@TYPES
@pytest.mark.parametrize("same", ["nothing", "names", "names and serial", "names, serial and public key"])
def test_a_certificate_of_another_ca_renews_nothing(world: Target, same: str, message_type: MessageType) -> None:
    """REN-1, REN-2, SIG-3: a foreign CA copies issuer, subject, serial and key of a good certificate."""
    device = enrolled(world)
    assert device.certificate is not None
    real, foreign_ca = read_certificate(device.certificate), ec.generate_private_key(ec.SECP256R1())
    key = device.key if same.endswith("public key") else rsa_key(1)
    forged = certificate(
        foreign_ca,
        Device(world, key=key).public_key(),
        issuer=encode_name(cn="Foreign CA") if same == "nothing" else real.issuer,
        subject=encode_name(cn="laptop-9") if same == "nothing" else real.subject,
        serial=real.serial if "serial" in same else 4711,
        device=device,
    )
    thief = Device(world, key=key, certificate=forged, transaction=Transaction(b"thief"))
    refused(world, renewal(thief, message_type), reasons.SIGNER_FOREIGN, security=True)
    still_renews(device)


@TYPES
def test_a_certificate_equal_but_for_one_octet_renews_nothing(world: Target, message_type: MessageType) -> None:
    """REN-1: DER equality: the last octet of the CA's signature changed, the device's own key and names kept."""
    device = enrolled(world)
    assert device.certificate is not None
    spoilt = device.certificate[:-1] + bytes((device.certificate[-1] ^ 1,))
    thief = replace(device, certificate=spoilt)
    refused(world, renewal(thief, message_type), reasons.SIGNER_FOREIGN, security=True)
    still_renews(device)


@TYPES
def test_an_expired_certificate_renews_nothing(world: Target, message_type: MessageType) -> None:
    """REN-1: the old certificate that somebody finds in a backup a year later."""
    device = enrolled(world)
    world.clock.advance(timedelta(days=365, seconds=1))
    refused(world, renewal(device, message_type), reasons.SIGNER_EXPIRED, security=True)


@TYPES
def test_a_certificate_from_the_future_renews_nothing(world: Target, message_type: MessageType) -> None:
    """REN-1: not yet valid is not valid: the server's clock was set back since."""
    device = enrolled(world)
    world.clock.advance(timedelta(days=-2))
    refused(world, renewal(device, message_type), reasons.SIGNER_EXPIRED, security=True)


@TYPES
@pytest.mark.parametrize("reason", [RevocationReason.KEY_COMPROMISE, RevocationReason.SUPERSEDED])
def test_a_revoked_certificate_renews_nothing(
    world: Target, message_type: MessageType, reason: RevocationReason
) -> None:
    """REN-1: revoked for whatever reason, however short ago: EJBCA's CVE-2020-25276."""
    device = enrolled(world)
    (row,) = leaves(world)
    world.store.revoke(Revocation(row.id, reason, "administrator", "os:tester", world.clock.now()), ())
    refused(world, renewal(device, message_type), reasons.SIGNER_REVOKED, security=True)


@TYPES
def test_a_superseded_certificate_renews_nothing(world: Target, message_type: MessageType) -> None:
    """REN-1: a certificate two generations back, as a stolen backup holds it."""
    stolen = enrolled(world)
    current = stolen
    for turn in range(2):
        current = current.fresh(f"renewal {turn}")
        current.enrol(names("laptop-1"), None)
    refused(world, renewal(stolen, message_type), reasons.SIGNER_SUPERSEDED, security=True)
    still_renews(current)


@TYPES
def test_the_older_certificate_does_not_survive_its_successor(world: Target, message_type: MessageType) -> None:
    """REN-1, REV-1: the successor was revoked as stolen; its predecessor is no way around that."""
    device = enrolled(world)
    device.fresh("successor").enrol(names("laptop-1"), None)
    lost = Revocation(
        leaves(world)[-1].id, RevocationReason.PRIVILEGE_WITHDRAWN, "administrator", "os:tester", world.clock.now()
    )
    world.store.revoke(lost, ())
    refused(world, renewal(device, message_type), reasons.SIGNER_WITHDRAWN, security=True)


@TYPES
def test_a_certificate_of_another_group_renews_nothing(world: Target, message_type: MessageType) -> None:
    """REN-1, AUTHZ-2: each group has its own population; a contractor does not become staff by renewing."""
    device = enrolled(world)
    world.open_group("staff")
    visitor = replace(device, endpoint="staff")
    refused(world, renewal(visitor, message_type), reasons.SIGNER_FOREIGN, security=True, endpoint="staff")
    still_renews(device)


def test_a_certificate_of_another_profile_renews_nothing(world: Target) -> None:
    """REN-1: within one group, too, a certificate does not renew into another profile's rights."""
    device = enrolled(world)
    document = DEFAULT_DOCUMENT.replace("clientAuth", "serverAuth")
    world.registry.create_profile("servers", "default", document, actor=ADMIN)
    world.registry.create_endpoint("servers", group="default", profile="servers", actor=ADMIN)
    visitor = replace(device, endpoint="servers")
    refused(world, renewal(visitor), reasons.SIGNER_FOREIGN, security=True, endpoint="servers")
    still_renews(device)


@TYPES
@pytest.mark.parametrize("purpose", [CredentialPurpose.RA, CredentialPurpose.OCSP])
def test_our_own_credentials_sign_no_request(
    world: Target, message_type: MessageType, purpose: CredentialPurpose
) -> None:
    """SIG-4: the RA's certificate with its key, and the OCSP responder's, whose EC key signs no message anyway."""
    door = world.store.door("default")
    assert door is not None
    credential = world.store.credentials(purpose, door.authority.name)[0]
    key = world.keys.private[credential.key_id]
    device = Device(world, certificate=credential.certificate_der)
    if isinstance(key, rsa.RSAPrivateKey):
        device.key = key
        refused(world, renewal(device, message_type), reasons.SIGNER_IS_OURS, security=True)
    else:
        refused(world, renewal(device, message_type), reasons.SIGNATURE_ALGORITHM_REFUSED)


@TYPES
def test_a_ca_certificate_signs_no_request(world: Target, message_type: MessageType) -> None:
    """SIG-4: an RSA issuing CA, whose certificate and key make a signature that verifies: refused for whose it is."""
    world.registry.create_group("legacy", actor=ADMIN, key_kind=KeyKind.RSA_2048)
    world.registry.create_profile("legacy", "legacy", DEFAULT_DOCUMENT, actor=ADMIN)
    world.registry.create_endpoint("legacy", group="legacy", profile="legacy", actor=ADMIN)
    door = world.store.door("legacy")
    assert door is not None
    key = world.keys.private[door.authority.key_id]
    assert isinstance(key, rsa.RSAPrivateKey)
    device = Device(world, key=key, certificate=door.authority.certificate_der, endpoint="legacy")
    refused(world, renewal(device, message_type), reasons.SIGNER_IS_OURS, security=True, endpoint="legacy")


def test_the_ras_key_in_another_certificate_signs_no_request(world: Target) -> None:
    """SIG-4: the key counts, not the certificate around it: self-signed anew by whoever has the RA's key."""
    door = world.store.door("default")
    assert door is not None
    key = world.keys.private[door.ra.key_id]
    assert isinstance(key, rsa.RSAPrivateKey)
    device = Device(world, key=key)
    message = device.message(device.csr(names("laptop-1"), world.mint("laptop-1")))
    refused(world, message, reasons.SIGNER_IS_OURS, security=True)


@pytest.mark.parametrize("challenge", ["", "wrong", "one of its own", "somebody else's"])
def test_a_renewal_request_by_a_self_signed_certificate_is_none(world: Target, challenge: str) -> None:
    """MSG-2: type 17 with a NEW signer is no renewal, with a good challenge and without."""
    secrets = {"": None, "wrong": "wrong", "one of its own": world.mint("laptop-1")}
    device = Device(world)
    csr = device.csr(names("laptop-1"), secrets.get(challenge) if challenge in secrets else world.mint("laptop-2"))
    message = device.message(csr, message_type=MessageType.RENEWAL_REQ)
    refused(world, message, reasons.RENEWAL_NEEDS_CERTIFICATE, security=True)


@TYPES
@pytest.mark.parametrize("challenge", ["wrong", "a fresh one", "another device's", "another group's"])
def test_a_renewal_with_another_challenge_is_refused(world: Target, message_type: MessageType, challenge: str) -> None:
    """R4, CHA-1: any value but the chain's own is refused, and the challenge stays good for whom it was made."""
    device = enrolled(world)
    world.open_group("staff")
    minted = {"a fresh one": ("laptop-1", "default"), "another device's": ("laptop-2", "default")}
    cn, endpoint = minted.get(challenge, ("laptop-1", "staff"))
    secret = "wrong" if challenge == "wrong" else world.mint(cn, endpoint=endpoint)
    message = device.message(device.csr(names("laptop-1"), secret), message_type=message_type)
    refused(world, message, reasons.RENEWAL_CHALLENGE_WRONG, security=True)
    still_renews(device)


@pytest.mark.parametrize(
    "wanted", [names("ceo"), names("laptop-1", "mail.example.com"), names(None, "mail.example.com"), names("laptop-2")]
)
@TYPES
def test_a_renewal_changes_no_name(world: Target, wanted: Names, message_type: MessageType) -> None:
    """REN-3, R5: OpenBao's CVE-2026-39388 in our words: what it never was, no renewal makes of it."""
    device = enrolled(world)
    refused(world, renewal(device, message_type, wanted), reasons.NAMES_CHANGED_ON_RENEWAL)
    still_renews(device)


def test_a_renewal_for_a_key_that_another_device_has_is_refused(world: Target) -> None:
    """KEY-2: a device signs for a key that is certified for somebody else, and proves to hold it."""
    other = Device(world, key=rsa_key(2), transaction=Transaction(b"other"))
    other.enrol(names("laptop-2"), world.mint("laptop-2"))
    device = enrolled(world)
    message = device.message(device.csr(names("laptop-1"), None, key=rsa_key(2)))
    refused(world, message, reasons.KEY_OF_ANOTHER)
    still_renews(device)


def test_a_certificate_whose_intent_was_abandoned_renews_nothing(world: Target) -> None:
    """ISS-2, REN-1: a signature may exist of a serial that was closed; whoever holds it does not renew with it."""
    device = enrolled(world)
    (row,) = leaves(world)
    world.store._certificates[row.id] = replace(row, state=CertificateState.ABANDONED)  # noqa: SLF001 - nothing undoes an issue
    refused(world, renewal(device), reasons.SIGNER_FOREIGN, security=True)


def test_a_self_issued_copy_of_a_live_certificate_is_a_new_signer(world: Target) -> None:
    """MSG-2, REN-2: subject, serial and key of the good certificate, signed by the device itself, vouch for nothing."""
    device = enrolled(world)
    assert device.certificate is not None
    real = read_certificate(device.certificate)
    copy = certificate(
        device.key,
        device.public_key(),
        issuer=real.subject,
        subject=real.subject,
        serial=real.serial,
        device=device,
        extensions=(basic_constraints(ca=True), key_usage(("keyCertSign",))),
    )
    forged = replace(device, certificate=copy)
    refused(world, renewal(forged), reasons.CHALLENGE_MISSING)
    refused(world, renewal(forged, MessageType.RENEWAL_REQ), reasons.RENEWAL_NEEDS_CERTIFICATE, security=True)
    still_renews(device)


def test_a_live_certificate_in_the_bag_does_not_lend_itself(world: Target) -> None:
    """SIG-3, REN-1: the good certificate lies beside the thief's own one; the one that signed counts."""
    device = enrolled(world)
    assert device.certificate is not None
    thief = Device(world, key=rsa_key(1), transaction=Transaction(b"thief"))
    own = thief.self_signed()
    message = message_of(thief, csr_of(thief), signer=Identity(thief.key, own), certificates=[device.certificate, own])
    refused(world, message, reasons.CHALLENGE_MISSING)
    still_renews(device)


def test_the_sid_of_a_live_certificate_over_another_key_is_refused(world: Target) -> None:
    """SIG-1, SIG-3: a self-made certificate with issuer and serial of the good one makes the look-up ambiguous."""
    device = enrolled(world)
    assert device.certificate is not None
    real = read_certificate(device.certificate)
    thief = Device(world, key=rsa_key(1), transaction=Transaction(b"thief"))
    twin = certificate(
        thief.key, thief.public_key(), issuer=real.issuer, subject=real.subject, serial=real.serial, device=thief
    )
    both = message_of(thief, csr_of(thief), signer=Identity(thief.key, twin), certificates=[device.certificate, twin])
    refused(world, both, reasons.SIGNER_CERTIFICATE_MISSING)
    alone = message_of(thief, csr_of(thief), signer=Identity(thief.key, twin), certificates=[device.certificate])
    refused(world, alone, reasons.SIGNATURE_INVALID)
    still_renews(device)


@pytest.mark.parametrize(
    "serial", [0, -1, 1 << 159, 1 << 4000, -(1 << 4000)], ids=["0", "-1", "2^159", "huge", "-huge"]
)
def test_a_signer_with_an_impossible_serial_is_just_foreign(world: Target, serial: int) -> None:
    """IN-2, IN-3, REN-1: no serial, however long or negative, is more than a stranger's."""
    thief = Device(world, key=rsa_key(1), transaction=Transaction(b"thief"))
    thief.certificate = certificate(
        thief.key,
        thief.public_key(),
        issuer=encode_name(cn="Somebody"),
        subject=encode_name(cn="laptop-1"),
        serial=serial,
        device=thief,
    )
    attempt = refused(world, renewal(thief), reasons.SIGNER_FOREIGN, security=True)
    assert len(str(attempt.events[0].details["detail"])) < 1100


def test_a_signer_named_like_its_issuer_in_other_words_is_no_new_signer(world: Target) -> None:
    """MSG-2, REN-2: issuer and subject that only look equal (case, string type) make no self-signed certificate."""
    thief = Device(world, key=rsa_key(1), transaction=Transaction(b"thief"))
    thief.certificate = certificate(
        thief.key,
        thief.public_key(),
        issuer=der.sequence(rdn((oids.AT_COMMON_NAME, der.printable_string("SCEP signer")))),
        subject=encode_name(cn="SCEP signer"),
        serial=1,
        device=thief,
    )
    secret = world.mint("laptop-1")
    message = thief.message(thief.csr(names("laptop-1"), secret))
    refused(world, message, reasons.SIGNER_FOREIGN, security=True)
