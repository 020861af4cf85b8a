"""Whole SCEP conversations, octets in to octets out, on nothing but the fakes of our own ports."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from regalia.ca.profile import DEFAULT_DOCUMENT
from regalia.model import (
    Action,
    CertificateKind,
    CertificateState,
    EnrolmentState,
    Revocation,
    RevocationReason,
)
from regalia.ports import CertificateFilter, EnrolmentFilter
from regalia.wire.scep import FailInfo, MessageType, PkiStatus, Transaction
from world import ADMIN, Device, World, names, rsa_key


@pytest.fixture
def world() -> World:
    """A deployment with one group."""
    return World()


def leaves(world: World) -> int:
    """Count the certificates that devices got."""
    return len(world.store.certificates(CertificateFilter(kind=CertificateKind.LEAF, limit=1000)))


def test_a_device_with_a_bound_challenge_gets_exactly_the_bound_names(world: World) -> None:
    """The certificate carries the binding, whatever part of it the CSR asks for (R5.1, R5.2, POL-1)."""
    secret = world.mint("laptop-1", "laptop-1.example.com", "vpn.example.com")
    reply = Device(world).enrol(names("laptop-1", "laptop-1.example.com"), secret)
    assert reply.status is PkiStatus.SUCCESS
    certificate = x509.load_der_x509_certificate(reply.certificates[0])
    sans = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value == "laptop-1"
    assert set(sans.get_values_for_type(x509.DNSName)) == {"laptop-1.example.com", "vpn.example.com"}


def test_the_reply_holds_the_leaf_alone_and_the_store_holds_the_same_octets(world: World) -> None:
    """Apple pairs a reply's first certificate with its key, so there is only one; I3: the store has these octets."""
    reply = Device(world).enrol(names("laptop-1"), world.mint("laptop-1"))
    (leaf,) = reply.certificates
    stored = world.store.certificates_by_key(hashlib.sha256(Device(world).public_key()).digest())
    assert [row.der for row in stored] == [leaf]
    assert stored[0].state is CertificateState.ISSUED


def test_issuance_leaves_an_intent_before_the_signature_and_one_event_for_each_step(world: World) -> None:
    """ISS-1 and AUD-1: the log has the intent, then the issue, with the serial and the enrolment in both."""
    Device(world).enrol(names("laptop-1"), world.mint("laptop-1"))
    intent, issued = world.store.log[-2:]
    assert [intent.draft.action, issued.draft.action] == [Action.CERTIFICATE_INTENT, Action.CERTIFICATE_ISSUED]
    assert intent.draft.serial == issued.draft.serial
    assert intent.draft.details["enrolment"] == issued.draft.details["enrolment"]


def test_a_retransmission_gets_the_same_certificate(world: World) -> None:
    """ISS-3 and R3: same transaction, key, challenge and names answer from the store, without a new certificate."""
    secret = world.mint("laptop-1")
    first = Device(world).enrol(names("laptop-1"), secret)
    again = Device(world).enrol(names("laptop-1"), secret)
    assert again.certificates == first.certificates
    assert leaves(world) == 1


def test_a_retransmission_after_a_day_is_judged_afresh(world: World) -> None:
    """R3: after 24 hours the stored answer is spent, and the challenge has been used."""
    secret = world.mint("laptop-1", minutes=60 * 48)
    Device(world).enrol(names("laptop-1"), secret)
    world.clock.advance(timedelta(hours=24))
    assert Device(world).enrol(names("laptop-1"), secret).fail_info is FailInfo.BAD_REQUEST
    assert world.last_event().draft.reason_id == "RA-013"


def test_a_revoked_certificate_is_not_handed_out_again(world: World) -> None:
    """R3: a revoked answer is no answer."""
    secret = world.mint("laptop-1")
    Device(world).enrol(names("laptop-1"), secret)
    (row,) = world.store.certificates(CertificateFilter(kind=CertificateKind.LEAF))
    world.store.revoke(Revocation(row.id, RevocationReason.SUPERSEDED, "administrator", "os:x", world.clock.now()), ())
    assert Device(world).enrol(names("laptop-1"), secret).status is PkiStatus.FAILURE


def test_an_expired_certificate_is_not_handed_out_again(world: World) -> None:
    """R3: a profile may be shorter than the 24 hours; what expired meanwhile is no answer."""
    world.registry.create_profile("default", "default", DEFAULT_DOCUMENT.replace("365d", "1h"), actor=ADMIN)
    secret = world.mint("laptop-1")
    assert Device(world).enrol(names("laptop-1"), secret).status is PkiStatus.SUCCESS
    world.clock.advance(timedelta(hours=1))
    assert Device(world).enrol(names("laptop-1"), secret).status is PkiStatus.FAILURE
    assert world.last_event().draft.reason_id == "RA-013"


def test_a_bearer_challenge_gets_a_name_from_the_key_alone(world: World) -> None:
    """R5.4: without a binding the server names the certificate, and marks it unverified."""
    reply = Device(world).enrol(names("ceo", "mail.example.com"), world.mint())
    certificate = x509.load_der_x509_certificate(reply.certificates[0])
    digest = hashlib.sha256(Device(world).public_key()).hexdigest()
    (row,) = world.store.certificates(CertificateFilter(kind=CertificateKind.LEAF))
    assert certificate.subject.rfc4514_string() == f"CN=d-{digest[:20]}"
    assert row.intent.unverified


@pytest.mark.parametrize("message_type", [MessageType.PKCS_REQ, MessageType.RENEWAL_REQ])
@pytest.mark.parametrize("asks", ["first CSR's names", "old certificate's names", "nothing"])
def test_a_live_certificate_renews(world: World, message_type: MessageType, asks: str) -> None:
    """MSG-2, R4 and R5.3: 17 and 19 signed by the old certificate renew it; its names stay."""
    device = Device(world)
    secret = world.mint("laptop-1", "a.example.com", "b.example.com")
    device.enrol(names("laptop-1", "a.example.com"), secret)
    wanted = {
        "first CSR's names": names("laptop-1", "a.example.com"),
        "old certificate's names": names("laptop-1", "a.example.com", "b.example.com"),
        "nothing": names(),
    }[asks]
    renewed = device.fresh("transaction-2").enrol(wanted, None, message_type)
    certificate = x509.load_der_x509_certificate(renewed.certificates[0])
    sans = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert set(sans.get_values_for_type(x509.DNSName)) == {"a.example.com", "b.example.com"}
    assert leaves(world) == 2


def test_a_renewal_may_repeat_the_challenge_that_it_was_enrolled_with(world: World) -> None:
    """R4: certmonger and scepclient always send it again; it is ignored, over generations."""
    device, secret = Device(world), world.mint("laptop-1")
    device.enrol(names("laptop-1"), secret)
    for turn in range(3):
        renewing = device.fresh(f"renewal-{turn}")
        assert renewing.enrol(names("laptop-1"), secret).status is PkiStatus.SUCCESS
        device.certificate = renewing.certificate
    assert leaves(world) == 4


def test_a_renewal_brings_a_new_key(world: World) -> None:
    """RFC 8894 §3.3.1.2: the reply goes to the old key, the certificate to the new one."""
    device = Device(world)
    device.enrol(names("laptop-1"), world.mint("laptop-1"))
    new_key = ec.generate_private_key(ec.SECP256R1())
    csr = device.csr(names("laptop-1"), None, key=new_key)
    renewing = device.fresh("transaction-2")
    reply = renewing.open(world.send(renewing.message(csr)), csr)
    assert x509.load_der_x509_certificate(reply.certificates[0]).public_key() == new_key.public_key()


def test_the_same_transaction_id_serves_for_a_renewal(world: World) -> None:
    """R3: clients reuse the transactionID on a same-key renewal; the signer's serial keeps the conversations apart."""
    device, secret = Device(world), world.mint("laptop-1")
    first = device.enrol(names("laptop-1"), secret)
    second = device.enrol(names("laptop-1"), secret)
    assert second.status is PkiStatus.SUCCESS
    assert second.certificates != first.certificates


def test_a_refused_request_is_judged_afresh(world: World) -> None:
    """R3: refusals are recorded, never replayed."""
    device = Device(world)
    assert device.enrol(names("laptop-1"), "wrong").status is PkiStatus.FAILURE
    assert device.enrol(names("laptop-1"), world.mint("laptop-1")).status is PkiStatus.SUCCESS


def test_a_refusal_changes_nothing_but_the_log_and_its_own_row(world: World) -> None:
    """I10: no certificate, no consumed challenge; one event and one refused enrolment with its stages."""
    secret = world.mint("laptop-1")
    events = len(world.store.log)
    Device(world).enrol(names("laptop-2"), secret)
    (refused,) = world.store.enrolments(EnrolmentFilter())
    assert leaves(world) == 0
    assert len(world.store.log) == events + 1
    assert refused.state is EnrolmentState.REFUSED
    assert not refused.stages[-1].ok
    assert Device(world).enrol(names("laptop-1"), secret).status is PkiStatus.SUCCESS


def test_the_challenge_is_nowhere_in_what_is_kept(world: World) -> None:
    """CHA-4: neither events nor enrolments hold the challenge, refused or not."""
    secret = world.mint("laptop-1")
    Device(world).enrol(names("laptop-2"), secret)
    Device(world).enrol(names("laptop-1"), secret)
    kept = repr(world.store.log) + repr(world.store.enrolments(EnrolmentFilter())) + repr(world.store.challenges())
    assert secret not in kept
    assert secret.encode() not in b"".join(e.csr for e in world.store.enrolments(EnrolmentFilter()))


def test_the_former_ra_credential_still_decrypts(world: World) -> None:
    """ENV-8: a device that fetched GetCACert before the RA changed enrols all the same."""
    device = Device(world)
    door = world.store.door("default")
    assert door is not None
    world.ceremony.create_credential(door.ra.purpose, door.authority, actor=world.store.log[0].draft.actor)
    csr = device.csr(names("laptop-1"), world.mint("laptop-1"))
    answer = world.send(device.message(csr, recipient=door.ra.certificate_der))
    assert device.open(answer, csr, ra=door.ra.certificate_der).status is PkiStatus.SUCCESS


def test_the_transaction_id_is_echoed_with_its_own_tag(world: World) -> None:
    """R7: a UTF8String comes back as a UTF8String."""
    device = replace(Device(world), transaction=Transaction("gerät".encode(), tag=0x0C))
    assert device.enrol(names("laptop-1"), world.mint("laptop-1")).status is PkiStatus.SUCCESS


def test_debug_tells_the_reason_but_never_for_the_uniform_reply(world: World) -> None:
    """R6: failInfoText only under the group's debug switch, and not for what depends on decrypted content."""
    world.open_group("lab", debug=True)
    device = Device(world, endpoint="lab")
    spoken = device.enrol(names("laptop-1"), "wrong")
    other = rsa_key(1)
    csr = device.csr(names("laptop-1"), "wrong", key=other)
    uniform = device.open(world.send(device.message(csr), "lab"), csr)
    quiet = Device(world).enrol(names("laptop-1"), "wrong")
    assert spoken.fail_info_text is not None
    assert spoken.fail_info_text.startswith("RA-011")
    assert uniform.fail_info_text is None
    assert quiet.fail_info_text is None
