"""GetCert and GetCRL (RFC 8894 §3.3.4): a device gets what is its own, and learns nothing of what is not."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import padding

from forge import attributes, envelope, signed
from memory_store import MemoryStore
from regalia import reasons
from regalia.ca.crl import CrlPublisher
from regalia.errors import UnavailableError
from regalia.model import Action, CertificateKind, CertificateState, Revocation, RevocationReason
from regalia.ports import CertificateFilter
from regalia.ra.limits import Allowances, Limited
from regalia.ra.retrieve import MAX_CRL
from regalia.ra.scep import CertRep
from regalia.wire import der, oids
from regalia.wire.certificate import read_certificate
from regalia.wire.names import encode_name
from regalia.wire.scep import FailInfo, MessageType, PkiStatus, read_message
from regalia.wire.scep_client import issuer_and_serial, read_crl_reply, read_reply
from signing_device import SigningDevice, open_signing_endpoint
from world import Device, World, names, rsa_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from regalia.model import CrlRecord
    from regalia.wire.scep_client import Reply

GET_CERT, GET_CRL = MessageType.GET_CERT, MessageType.GET_CRL
BOTH = pytest.mark.parametrize("message_type", [GET_CERT, GET_CRL])
LAPTOP = names("laptop-1")


@pytest.fixture
def world() -> World:
    """A world whose authority has published a CRL."""
    made = World()
    publish(made)
    return made


def publish(world: World, authority: str = "default-ca-1") -> CrlRecord:
    """Publish a CRL."""
    return CrlPublisher(world.store, world.files, world.signer, world.clock, world.entropy, world.urls).publish(
        authority
    )


def enrolled(world: World, key: int = 0, endpoint: str = "default") -> Device:
    """A device with a certificate; it signs with that, unless told otherwise."""
    device = Device(world, key=rsa_key(key), endpoint=endpoint).fresh(f"transaction-{key}-{endpoint}")
    assert device.enrol(names(f"laptop-{key}"), world.mint(f"laptop-{key}", endpoint=endpoint)).certificates
    return device


def own(device: Device) -> bytes:
    """The IssuerAndSerialNumber of a device's certificate."""
    assert device.certificate is not None
    facts = read_certificate(device.certificate)
    return issuer_and_serial(facts.issuer, facts.serial)


def ask(device: Device, message_type: MessageType, wanted: bytes, *, signer: bytes | None = None) -> Reply:
    """Ask, and open the answer as a client does."""
    answer = device.world.send(device.message(wanted, message_type=message_type, signer=signer), device.endpoint)
    assert isinstance(answer, CertRep), answer
    assert not answer.issued
    door = device.world.store.door(device.endpoint)
    assert door is not None
    return (read_reply if message_type == GET_CERT else read_crl_reply)(
        answer.der,
        transaction=device.transaction,
        sender_nonce=hashlib.sha256(wanted).digest()[:16],
        ra_certificates=(door.ra.certificate_der,),
        decrypt=lambda sealed: device.key.decrypt(sealed, padding.PKCS1v15()),
    )


def refused(world: World, reply: Reply, reason: object = reasons.CERTIFICATE_UNKNOWN) -> None:
    """Check that the device was told badCertId and the administrator why."""
    assert (reply.status, reply.fail_info) == (PkiStatus.FAILURE, FailInfo.BAD_CERT_ID)
    event = world.last_event().draft
    assert (event.action, event.reason_id) == (Action.ENROLMENT_REFUSED, getattr(reason, "id", None))


# --- what is one's own ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("signs", ["certificate", "self-signed"])
def test_a_device_gets_its_certificate_again(world: World, signs: str) -> None:
    """MSG-3, RFC 8894 §2.6: to the certificate itself and to its very key, in one event each (AUD-1)."""
    device = enrolled(world)
    signer = device.self_signed() if signs == "self-signed" else None
    logged = len(world.store.log)
    reply = ask(device, GET_CERT, own(device), signer=signer)
    assert reply.certificates == (device.certificate,)
    (event,) = [each.draft for each in world.store.log[logged:]]
    assert event.action is Action.CERTIFICATE_RETRIEVED
    assert device.certificate is not None
    assert event.object == f"certificate:{read_certificate(device.certificate).serial:x}"
    assert event.group == "default"
    assert event.transaction_id == device.transaction.text


@pytest.mark.parametrize("signs", ["certificate", "self-signed"])
def test_a_device_gets_the_crl_that_covers_it(world: World, signs: str) -> None:
    """RFC 8894 §4.6.1: the newest CRL of the certificate's issuer, alone in `crls`; sscep asks so for its own."""
    device = enrolled(world)
    other = enrolled(world, 1)
    assert other.certificate is not None
    serial = read_certificate(other.certificate).serial
    (row,) = world.store.find_serial(serial)
    world.store.revoke(Revocation(row.id, RevocationReason.SUPERSEDED, "administrator", "os:x", world.clock.now()), ())
    world.clock.advance(timedelta(seconds=1))
    record = publish(world)
    logged = len(world.store.log)
    reply = ask(device, GET_CRL, own(device), signer=device.self_signed() if signs == "self-signed" else None)
    assert reply.crl is not None
    assert reply.certificates == ()
    assert hashlib.sha256(reply.crl).digest() == record.sha256
    assert x509.load_der_x509_crl(reply.crl).get_revoked_certificate_by_serial_number(serial) is not None
    (event,) = [each.draft for each in world.store.log[logged:]]
    assert (event.action, event.object) == (Action.CRL_RETRIEVED, "authority:default-ca-1")
    assert event.details["number"] == str(record.number)


@BOTH
def test_a_renewed_device_reaches_back_in_its_chain(world: World, message_type: MessageType) -> None:
    """MSG-3: the certificate before the renewal is its own too, though its key is another one by now."""
    device = enrolled(world)
    before = own(device)
    csr = device.csr(names(), None, key=rsa_key(1))
    renewing = device.fresh("renewal")
    certificate = renewing.open(world.send(renewing.message(csr)), csr).certificates[0]
    renewed = Device(world, key=rsa_key(1), certificate=certificate).fresh("retrieval")
    assert ask(renewed, message_type, before).status is PkiStatus.SUCCESS
    assert ask(renewed, message_type, own(renewed)).status is PkiStatus.SUCCESS
    # By its key alone, in a certificate that it made itself, only what is of this key.
    refused(world, ask(renewed, message_type, before, signer=renewed.self_signed()))


@BOTH
def test_a_revoked_certificate_is_still_ones_own(world: World, message_type: MessageType) -> None:
    """RFC 8894 §2.6: what it was is handed out by its key; signed with itself it is a dead signer (REN-1)."""
    device = enrolled(world)
    (row,) = world.store.certificates(CertificateFilter(kind=CertificateKind.LEAF))
    world.store.revoke(Revocation(row.id, RevocationReason.SUPERSEDED, "administrator", "os:x", world.clock.now()), ())
    assert ask(device, message_type, own(device), signer=device.self_signed()).status is PkiStatus.SUCCESS
    assert ask(device, message_type, own(device)).fail_info is FailInfo.BAD_REQUEST
    assert world.last_event().draft.reason_id == reasons.SIGNER_REVOKED.id


@BOTH
def test_the_issuer_may_be_written_otherwise(world: World, message_type: MessageType) -> None:
    """R7, RFC 5280 §7.1: a name in another string type, case and spacing is the same name; another one is not."""
    device = enrolled(world)
    assert device.certificate is not None
    serial = read_certificate(device.certificate).serial
    text = x509.load_der_x509_certificate(device.certificate).issuer.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    spelt = der.printable_string(f" {str(text[0].value).upper()} ")
    issuer = der.sequence(der.set_of([der.sequence(der.oid(oids.AT_COMMON_NAME), spelt)]))
    assert ask(device, message_type, issuer_and_serial(issuer, serial)).status is PkiStatus.SUCCESS
    refused(world, ask(device, message_type, issuer_and_serial(encode_name(cn="another CA"), serial)))


# --- what is not ----------------------------------------------------------------------------------------------------


@BOTH
def test_unknown_and_foreign_are_one_answer_for_the_same_work(world: World, message_type: MessageType) -> None:
    """MSG-3: other devices', unknown, negative and endless serials, our own certificates: one answer, one event."""
    device, other = enrolled(world), enrolled(world, 1)
    door = world.store.door("default")
    assert door is not None
    assert device.certificate is not None
    issuer = read_certificate(device.certificate).issuer
    ra = read_certificate(door.ra.certificate_der)
    lengths = set()
    for wanted in (
        own(other),
        issuer_and_serial(issuer, 1),
        issuer_and_serial(issuer, 0),
        issuer_and_serial(issuer, -5),
        issuer_and_serial(issuer, 1 << 2_000),
        issuer_and_serial(ra.issuer, ra.serial),
    ):
        for signer in (device.certificate, device.self_signed()):
            logged = len(world.store.log)
            message = device.message(wanted, message_type=message_type, signer=signer)
            answer = world.send(message)
            assert isinstance(answer, CertRep)
            lengths.add(len(answer.der))
            (event,) = [each.draft for each in world.store.log[logged:]]
            assert (event.action, event.reason_id) == (Action.ENROLMENT_REFUSED, "RA-004")
            assert not event.security
            refused(world, ask(device, message_type, wanted, signer=signer))
    assert len(lengths) == 1


@BOTH
def test_another_groups_endpoint_knows_nothing_of_it(world: World, message_type: MessageType) -> None:
    """AUTHZ-2: a device asks at its own group's endpoints; elsewhere its serial number is unknown like any."""
    device = enrolled(world)
    world.open_group("staff")
    abroad = replace(device, endpoint="staff", certificate=None)
    refused(world, ask(abroad, message_type, own(device), signer=device.self_signed()))


@BOTH
@pytest.mark.parametrize("end", ["abandoned", "intent"])
def test_a_certificate_that_was_never_signed_is_unknown(world: World, message_type: MessageType, end: str) -> None:
    """ISS-7: an intent, and one that was abandoned, are nothing that anybody has."""
    device = Device(world)
    key = world.store.authorities()[-1].key_id
    kept = world.keys.private.pop(key)
    with pytest.raises(UnavailableError):
        device.enrol(LAPTOP, world.mint("laptop-1"))
    world.keys.private[key] = kept
    rows = world.store.certificates(CertificateFilter(kind=CertificateKind.LEAF))
    (row,) = [each for each in rows if each.state is CertificateState.INTENT]
    if end == "abandoned":
        world.store.abandon(row.id, world.clock.now(), ())
    door = world.store.door("default")
    assert door is not None
    wanted = issuer_and_serial(read_certificate(door.authority.certificate_der).subject, row.serial)
    refused(world, ask(device, message_type, wanted))


@BOTH
def test_a_key_that_cannot_decrypt_is_told_so(message_type: MessageType) -> None:
    """RFC 8894 §3.1: these messages carry no challenge that could key an answer; it is no attack, though."""
    world = World()
    open_signing_endpoint(world)
    device = SigningDevice(world)
    device.enrol(LAPTOP, world.mint("laptop-1", endpoint="signing"))
    assert device.certificate is not None
    facts = read_certificate(device.certificate)
    wanted = issuer_and_serial(facts.issuer, facts.serial)
    for signer in (device.certificate, device.self_signed()):
        reply = device.open(world.send(device.message(wanted, message_type, signer), "signing"), wanted, None)
        assert (reply.status, reply.fail_info) == (PkiStatus.FAILURE, FailInfo.BAD_REQUEST)
        event = world.last_event().draft
        assert (event.reason_id, event.security) == (reasons.RETRIEVAL_NEEDS_DECRYPTION.id, False)


# --- what cannot be read --------------------------------------------------------------------------------------------


@BOTH
def test_what_cannot_be_read_is_told_like_a_certificate_that_there_is_not(
    world: World, message_type: MessageType
) -> None:
    """R6, ENV-3, ENV-4: trailing octets, other structures, spoilt padding: as a certificate that there is not."""
    device = enrolled(world)
    wanted = own(device)
    spoilt = bytearray(envelope(device, wanted))
    spoilt[-1] ^= 1
    kind = der.printable_string(message_type)
    answers = [
        world.send(signed(device, sealed, attributes(device, kind)))
        for sealed in (
            bytes(spoilt),
            envelope(device, wanted + b"\x00"),
            envelope(device, device.poll_content()),
            envelope(device, device.csr(LAPTOP, None)),
            envelope(device, b""),
        )
    ]
    never = der.sequence(read_certificate(device.certificate or b"").issuer, der.integer(1))
    answers.append(world.send(signed(device, envelope(device, never), attributes(device, kind))))
    lengths = set()
    for answer in answers:
        assert isinstance(answer, CertRep)
        raw = read_message(answer.der)
        assert raw.attributes is not None
        assert raw.attributes.one(oids.FAIL_INFO, der.PRINTABLE_STRING).content == b"4"
        assert answer.opening_began is not None
        lengths.add(len(answer.der))
    assert len(lengths) == 1


# --- limits and CRLs ------------------------------------------------------------------------------------------------


def test_retrievals_count_as_requests_of_the_group() -> None:
    """RES-5, R6: the group's share bounds them, before the RA's key is used; a renewal quota does not."""
    world = World(allowances=Allowances(requests_per_group=4, certificates_per_device=1))
    device = enrolled(world)
    for _ in range(4):
        assert ask(device, GET_CERT, own(device)).status is PkiStatus.SUCCESS
    answer = world.send(device.message(own(device), message_type=GET_CERT))
    assert isinstance(answer, Limited)
    assert answer.reason is reasons.GROUP_BUSY


def test_without_a_crl_the_device_comes_again() -> None:
    """R6: that none is published is our fault, so it is no answer at all."""
    world = World()
    device = enrolled(world)
    with pytest.raises(UnavailableError) as unavailable:
        ask(device, GET_CRL, own(device))
    assert unavailable.value.reason is reasons.CRL_UNPUBLISHED


@dataclass
class _Read:
    """What a store with a strange CRL hands out, time after time."""

    chunks: Callable[[], Iterator[bytes]]
    entries: int = 0


class StrangeCrls(MemoryStore):
    """A store whose CRL is another one than its record says."""

    strange: _Read | None = None

    def last_crl(self, authority: str) -> CrlRecord | None:
        """See `ports.Crls`."""
        record = super().last_crl(authority)
        return replace(record, entries=self.strange.entries) if record is not None and self.strange else record

    def crl_octets(self, record: CrlRecord) -> Iterator[bytes]:
        """See `ports.Crls`."""
        return self.strange.chunks() if self.strange else super().crl_octets(record)


@pytest.mark.parametrize("told", ["by its entries", "by its octets"])
def test_a_crl_that_is_too_large_is_not_put_into_a_reply(told: str) -> None:
    """RES: above 1 MiB the administrator reads the URL that the device has in its certificate anyway."""
    store = StrangeCrls()
    world = World(store=store)
    publish(world)
    device = enrolled(world)
    chunks = [bytes(MAX_CRL), b"\x00"]
    store.strange = _Read(lambda: iter(chunks), MAX_CRL if told == "by its entries" else 0)
    refused(world, ask(device, GET_CRL, own(device)), reasons.CRL_TOO_LARGE)
    assert "http://pki.example.test/crl/default-ca-1.crl" in str(world.last_event().draft.details["detail"])


def test_a_crl_that_changes_while_it_is_read_is_read_anew() -> None:
    """REV-2: half of one CRL and half of the next is no CRL; who cannot read a whole one tries again."""
    store = StrangeCrls()
    world = World(store=store)
    publish(world)
    device = enrolled(world)
    (record,) = [store.last_crl("default-ca-1")]
    assert record is not None
    whole = b"".join(store.crl_octets(record))
    turns = iter([whole[:-1], whole])
    store.strange = _Read(lambda: iter([next(turns)]))
    assert ask(device, GET_CRL, own(device)).crl == whole
    store.strange = _Read(lambda: iter([whole[:-1]]))
    with pytest.raises(UnavailableError):
        ask(device, GET_CRL, own(device))


def test_a_partial_crl_is_the_one_that_covers_the_certificate(world: World) -> None:
    """RFC 8894 §3.3.4: GetCRL gives the list that the certificate names, not the full one."""
    world.store.set_crl_plan("default-ca-1", 2, (), lists=2, delta=False, full=True)
    device = enrolled(world)
    publisher = CrlPublisher(world.store, world.files, world.signer, world.clock, world.entropy, world.urls)
    for shard in (1, 2):
        publisher.publish("default-ca-1", shard=shard)
    assert device.certificate is not None
    shard = read_certificate(device.certificate).serial % 2 + 1
    assert ask(device, GET_CRL, own(device)).crl == world.files.files[f"published/default-ca-1-{shard}"]
