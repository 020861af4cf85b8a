"""GetCert and GetCRL: who may have which certificate again, and what everybody else learns."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from attacks.forgery import certificate, message_of
from attacks.harness import Attempt, Target, attack, masked, refused
from attacks.messages import publish_crls
from forge import REQUEST_NONCE, envelope
from regalia import reasons
from regalia.model import Action, CertificateKind, Revocation, RevocationReason
from regalia.ports import CertificateFilter
from regalia.ra.scep import CertRep
from regalia.wire import der, oids
from regalia.wire.certificate import read_certificate
from regalia.wire.names import encode_name
from regalia.wire.scep import MessageType, PkiStatus, Transaction
from world import Device, names, rsa_key

if TYPE_CHECKING:
    from collections.abc import Callable

BOTH = pytest.mark.parametrize("kind", [MessageType.GET_CERT, MessageType.GET_CRL], ids=["GetCert", "GetCRL"])


def enrolled(world: Target, cn: str, key: int, endpoint: str = "default") -> Device:
    """A device with a certificate."""
    device = Device(world, key=rsa_key(key), endpoint=endpoint, transaction=Transaction(cn.encode()))
    device.enrol(names(cn), world.mint(cn, endpoint=endpoint))
    assert device.certificate is not None
    return device


def wanted(octets: bytes) -> bytes:
    """The IssuerAndSerialNumber of a certificate."""
    facts = read_certificate(octets)
    return der.sequence(facts.issuer, der.integer(facts.serial))


def asking(device: Device, kind: MessageType, content: bytes) -> bytes:
    """A message that asks for a certificate, or for the CRL that covers it."""
    return message_of(
        device,
        b"",
        content=envelope(device, content),
        values={
            oids.CONTENT_TYPE: der.oid(oids.ID_DATA),
            oids.MESSAGE_TYPE: der.printable_string(kind),
            oids.TRANSACTION_ID: device.transaction.encoded,
            oids.SENDER_NONCE: der.octet_string(REQUEST_NONCE),
        },
    )


def told(world: Target, message: bytes, endpoint: str = "default") -> Attempt:
    """What is answered where nothing of the asker's own was asked for: badCertId, and nothing changed."""
    return refused(world, message, reasons.CERTIFICATE_UNKNOWN, endpoint=endpoint, row=False)


@BOTH
def test_a_certificate_of_another_device_is_as_good_as_none(world: Target, kind: MessageType) -> None:
    """MSG-3: with the own certificate, with the own key alone, and for a serial that never was: one answer."""
    publish_crls(world)
    victim, thief = enrolled(world, "laptop-1", 1), enrolled(world, "laptop-2", 2)
    stranger = Device(world, key=rsa_key(3), transaction=thief.transaction)
    assert victim.certificate is not None
    facts = read_certificate(victim.certificate)
    never = der.sequence(facts.issuer, der.integer(facts.serial ^ 1))
    answers = {
        masked(told(world, asking(device, kind, content)))
        for device, content in ((thief, wanted(victim.certificate)), (thief, never))
    }
    assert len(answers) == 1
    strangers = {
        masked(told(world, asking(stranger, kind, content))) for content in (wanted(victim.certificate), never)
    }
    assert len(strangers) == 1


@BOTH
def test_a_certificate_of_another_group_is_as_good_as_none(world: Target, kind: MessageType) -> None:
    """MSG-3, AUTHZ-2: the very certificate that signs, at the door of a group that did not issue it."""
    publish_crls(world)
    world.open_group("staff")
    device = enrolled(world, "laptop-1", 1)
    assert device.certificate is not None
    visitor = replace(device, endpoint="staff", certificate=None)
    told(world, asking(visitor, kind, wanted(device.certificate)), endpoint="staff")
    message = asking(replace(device, endpoint="staff"), kind, wanted(device.certificate))
    refused(world, message, reasons.SIGNER_FOREIGN, endpoint="staff")


@BOTH
def test_our_own_certificates_are_nobodys(world: Target, kind: MessageType) -> None:
    """MSG-3: CA, root, RA and OCSP responder have serials too, which a device may guess."""
    publish_crls(world)
    device = enrolled(world, "laptop-1", 1)
    rows = [row for row in world.store.certificates(CertificateFilter(limit=1000)) if row.der is not None]
    ours = [row for row in rows if row.intent.kind is not CertificateKind.LEAF]
    assert len({row.intent.kind for row in ours}) >= 3
    answers = set()
    for row in ours:
        assert row.der is not None
        answers.add(masked(told(world, asking(device, kind, wanted(row.der)))))
    assert len(answers) == 1


FALSE_NAMES: dict[str, Callable[[bytes], bytes]] = {
    "another issuer": lambda own: der.sequence(encode_name(cn="somebody"), der.integer(read_certificate(own).serial)),
    "the subject as issuer": lambda own: der.sequence(
        read_certificate(own).subject, der.integer(read_certificate(own).serial)
    ),
    "no issuer": lambda own: der.sequence(der.sequence(), der.integer(read_certificate(own).serial)),
    "serial 0": lambda own: der.sequence(read_certificate(own).issuer, der.integer(0)),
    "a negative serial": lambda own: der.sequence(
        read_certificate(own).issuer, der.integer(-read_certificate(own).serial)
    ),
    "a serial of 500 octets": lambda own: der.sequence(read_certificate(own).issuer, der.integer(1 << 3999)),
}


@BOTH
@pytest.mark.parametrize("change", FALSE_NAMES.values(), ids=FALSE_NAMES.keys())
def test_a_certificate_is_found_by_issuer_and_serial_together(
    world: Target, kind: MessageType, change: Callable[[bytes], bytes]
) -> None:
    """MSG-3, IN-4, IN-7: the own serial under another issuer, and numbers that no certificate has."""
    publish_crls(world)
    device = enrolled(world, "laptop-1", 1)
    assert device.certificate is not None
    told(world, asking(device, kind, change(device.certificate)))


@BOTH
@pytest.mark.parametrize(
    "content",
    [b"", b"\x30\x00", der.sequence(encode_name(cn="CA")), der.integer(1), b"\x05\x00"],
    ids=["nothing", "empty", "a name", "a number", "NULL"],
)
def test_a_retrieval_with_another_content_fails_like_one_for_no_certificate(
    world: Target, kind: MessageType, content: bytes
) -> None:
    """ENV-3, ENV-4, MSG-3: whatever is wrong inside is told like a serial number that nobody has."""
    device = enrolled(world, "laptop-1", 1)
    assert device.certificate is not None
    attempt = refused(world, asking(device, kind, content), reasons.RETRIEVAL_REFUSED)
    trailing = asking(device, kind, wanted(device.certificate) + b"\x00")
    assert masked(attempt) == masked(refused(world, trailing, reasons.RETRIEVAL_REFUSED))
    never = der.sequence(read_certificate(device.certificate).issuer, der.integer(1))
    assert masked(attempt) == masked(told(world, asking(device, kind, never)))


@BOTH
def test_who_copies_a_certificate_into_his_message_owns_nothing(world: Target, kind: MessageType) -> None:
    """MSG-3, SIG-1, REN-2: issuer, serial and names of the victim's around another key, and the very certificate."""
    publish_crls(world)
    victim = enrolled(world, "laptop-1", 1)
    assert victim.certificate is not None
    facts = read_certificate(victim.certificate)
    thief = Device(world, key=rsa_key(2), transaction=victim.transaction)
    copied = certificate(thief.key, b"", issuer=facts.issuer, subject=facts.subject, serial=facts.serial, device=thief)
    message = asking(replace(thief, certificate=copied), kind, wanted(victim.certificate))
    refused(world, message, reasons.SIGNER_FOREIGN)
    message = asking(replace(thief, certificate=victim.certificate), kind, wanted(victim.certificate))
    refused(world, message, reasons.SIGNATURE_INVALID)


def test_a_captured_retrieval_gives_only_its_sender_the_certificate(world: Target) -> None:
    """MSG-3, MSG-4: sent again by whoever saw it: sealed for the key that asked, and no certificate is made."""
    device = enrolled(world, "laptop-1", 1)
    assert device.certificate is not None
    message = asking(device, MessageType.GET_CERT, wanted(device.certificate))
    before = len(world.store.certificates(CertificateFilter(limit=1000)))
    for _ in range(2):
        attempt = attack(world, message)
        assert attempt.told == (PkiStatus.SUCCESS, None)
        assert (attempt.rows, attempt.changed) == ((), ())
        assert [event.action for event in attempt.events] == [Action.CERTIFICATE_RETRIEVED]
        assert isinstance(attempt.answer, CertRep)
        assert not attempt.answer.issued
        assert device.certificate not in attempt.answer.der
    assert len(world.store.certificates(CertificateFilter(limit=1000))) == before


@BOTH
def test_a_revoked_certificate_asks_for_nothing_as_a_signer(world: Target, kind: MessageType) -> None:
    """MSG-3, REN-1: what was revoked vouches for nobody, for its own certificate neither."""
    publish_crls(world)
    device = enrolled(world, "laptop-1", 1)
    assert device.certificate is not None
    (row,) = world.store.certificates(CertificateFilter(kind=CertificateKind.LEAF))
    revocation = Revocation(row.id, RevocationReason.KEY_COMPROMISE, "administrator", "os:tester", world.clock.now())
    world.store.revoke(revocation, ())
    refused(world, asking(device, kind, wanted(device.certificate)), reasons.SIGNER_REVOKED)


@BOTH
def test_the_content_of_a_retrieval_enrols_nobody_and_a_request_retrieves_nothing(
    world: Target, kind: MessageType
) -> None:
    """MSG-1: a good request sent as a retrieval, and what a retrieval carries sent as a request."""
    secret, device = world.mint("laptop-1"), Device(world)
    refused(world, asking(device, kind, device.csr(names("laptop-1"), secret)), reasons.RETRIEVAL_REFUSED)
    other = enrolled(world, "laptop-2", 2)
    assert other.certificate is not None
    refused(world, asking(other, MessageType.PKCS_REQ, wanted(other.certificate)), reasons.CSR_REFUSED)
    assert device.enrol(names("laptop-1"), secret).status is PkiStatus.SUCCESS
