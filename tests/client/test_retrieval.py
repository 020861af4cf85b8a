"""GetCert, GetCRL and GetNextCACert, against the server's own code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

from client.service import Altered, RaSigner, ServiceTransport, client_of
from client.test_authorities import BOTH, CA, ders, make, make_chain
from regalia import reasons
from regalia.ca.crl import CrlPublisher
from regalia.ca.revoke import revoke
from regalia.client.keys import KeyType, generate_key
from regalia.client.transport import HttpAnswer
from regalia.errors import AdminError, PeerError, UnavailableError
from regalia.model import RevocationReason, San, SanKind
from regalia.wire.algorithms import Cipher, Digest
from regalia.wire.cms import certs_only
from regalia.wire.cms_build import crl_only
from regalia.wire.scep import (
    MessageType,
    build_next_ca,
    build_pending,
    build_success,
    verify_message,
)
from world import ADMIN, World, rsa_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from regalia.client.scep import ScepClient, Server
    from regalia.client.transport import Transport

DNS = frozenset({San(SanKind.DNS, "lap1.example.com")})


class Owner:
    """A device that has a certificate, and the server that issued it."""

    def __init__(self, alter: Callable[[bytes, HttpAnswer], HttpAnswer] | None = None) -> None:
        self.world = World()
        self.transport = ServiceTransport(self.world)
        plain = client_of(self.transport, self.world)
        self.server: Server = plain.server(None)
        self.key = rsa_key(0)
        challenge = self.world.mint("lap1", "lap1.example.com")
        self.certificate = plain.enrol(self.server, self.key, cn="lap1", sans=DNS, challenge=challenge).certificate
        transport = Altered(self.transport, "PKIOperation", alter) if alter is not None else self.transport
        self.client: ScepClient = client_of(transport, self.world)

    @property
    def serial(self) -> int:
        """Serial of its certificate."""
        return x509.load_der_x509_certificate(self.certificate).serial_number

    def publish(self) -> None:
        """Publish the CRL of its issuer."""
        world = self.world
        CrlPublisher(world.store, world.files, world.signer, world.clock, world.entropy, world.urls).publish(
            "default-ca-1"
        )

    def asked(self) -> str:
        """Type of the last message that was sent."""
        return verify_message(RaSigner.request(self.transport.sent[-1][2])).message_type


def _altered(make_content: Callable[[Owner], bytes]) -> Owner:
    """A device whose server answers GetCert and GetCRL with a content of somebody's choice, rightly signed."""
    owner: list[Owner] = []

    def answer(message: bytes, _: HttpAnswer) -> HttpAnswer:
        ra, request = RaSigner(owner[0].world), verify_message(RaSigner.request(message))
        reply = build_success(
            transaction=request.transaction,
            recipient_nonce=request.sender_nonce,
            sender_nonce=bytes(16),
            digest=Digest.SHA256,
            cipher=Cipher.AES128_CBC,
            content=make_content(owner[0]),
            recipient=request.signer,
            content_key=bytes(16),
            iv=bytes(16),
            ra_certificate=ra.certificate,
            sign=ra.sign,
        )
        return HttpAnswer(200, reply)

    owner.append(Owner(answer))
    return owner[0]


def refused(act: Callable[[], object], told: str = "") -> None:
    """Expect CLI-006."""
    with pytest.raises(PeerError) as caught:
        act()
    assert caught.value.reason is reasons.CLIENT_REPLY_REFUSED
    assert told in caught.value.detail


# --- GetCert --------------------------------------------------------------------------------------------------------


def test_fetches_its_own_certificate() -> None:
    """A device that lost its certificate's file gets the same octets again (RFC 8894 §4.5)."""
    owner = Owner()
    assert owner.client.get_certificate(owner.server, owner.certificate, owner.key) == owner.certificate
    assert owner.asked() == MessageType.GET_CERT


def test_fetches_a_certificate_of_its_chain() -> None:
    """After a renewal the former certificate is still to be had by its serial."""
    owner = Owner()
    renewed = owner.client.renew(owner.server, owner.certificate, owner.key, rsa_key(1)).certificate
    assert owner.client.get_certificate(owner.server, renewed, rsa_key(1), owner.serial) == owner.certificate


@pytest.mark.parametrize("whose", ["nobody's", "another device's"])
def test_nothing_is_told_of_others(whose: str) -> None:
    """A serial of another device is refused like one that does not exist: badCertId (CLI-007, RA-004)."""
    owner = Owner()
    serial = 0x1234
    if whose == "another device's":
        challenge = owner.world.mint("lap2")
        issued = owner.client.enrol(owner.server, rsa_key(1), cn="lap2", sans=frozenset(), challenge=challenge)
        serial = x509.load_der_x509_certificate(issued.certificate).serial_number
    with pytest.raises(PeerError) as denied:
        owner.client.get_certificate(owner.server, owner.certificate, owner.key, serial)
    assert denied.value.reason is reasons.CLIENT_DENIED
    assert denied.value.detail.startswith("bad cert id, transaction ")


def _other_ca(owner: Owner) -> bytes:
    """The device's certificate as somebody else's CA would have made it: the same serial, another signature."""
    foreign = make("default-ca-1", rsa_key(1), usages=CA, ca=True)
    theirs = x509.load_der_x509_certificate(owner.certificate)
    builder = (
        x509.CertificateBuilder()
        .subject_name(theirs.subject)
        .issuer_name(theirs.issuer)
        .public_key(theirs.public_key())
        .serial_number(theirs.serial_number)
        .not_valid_before(theirs.not_valid_before_utc)
        .not_valid_after(theirs.not_valid_after_utc)
    )
    return builder.sign(foreign.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def test_another_certificate_is_no_answer() -> None:
    """A certificate of another serial or of a CA that is not the server's is not taken for the answer (CLI-006)."""
    for content in (
        lambda owner: certs_only([RaSigner(owner.world).certificate]),
        lambda owner: certs_only([_other_ca(owner)]),
        lambda _: certs_only([b"\x30\x00"]),
    ):
        owner = _altered(content)
        refused(
            lambda owner=owner: owner.client.get_certificate(owner.server, owner.certificate, owner.key),  # type: ignore[misc] # mypy cannot infer a default's type
            "it holds no certificate",
        )


def test_a_pending_answer_is_none() -> None:
    """Nobody has to decide about what was issued already, so PENDING is not believed (CLI-006)."""
    owner: list[Owner] = []

    def answer(message: bytes, _: HttpAnswer) -> HttpAnswer:
        ra, request = RaSigner(owner[0].world), verify_message(RaSigner.request(message))
        pending = build_pending(
            transaction=request.transaction,
            recipient_nonce=request.sender_nonce,
            sender_nonce=bytes(16),
            digest=Digest.SHA256,
            ra_certificate=ra.certificate,
            sign=ra.sign,
        )
        return HttpAnswer(200, pending)

    owner.append(Owner(answer))
    one = owner[0]
    refused(lambda: one.client.get_certificate(one.server, one.certificate, one.key), "pending")


def test_a_key_that_cannot_decrypt_asks_for_nothing() -> None:
    """GetCert and GetCRL carry no challenge, so a key that only signs is told before anything leaves (CLI-010)."""
    owner = Owner()
    key = generate_key(KeyType.P_256)
    own = owner.client.renew(owner.server, owner.certificate, owner.key, key).certificate
    before = len(owner.transport.sent)
    for ask in (owner.client.get_certificate, owner.client.get_crl):
        with pytest.raises(AdminError) as told:
            ask(owner.server, own, key)
        assert told.value.reason is reasons.CLIENT_CHALLENGE_NEEDED
        assert "carry no challenge" in told.value.detail
    assert len(owner.transport.sent) == before


def test_only_with_its_own_key() -> None:
    """A certificate asks for nothing with a key that it is not for (CLI-009)."""
    owner = Owner()
    with pytest.raises(AdminError) as told:
        owner.client.get_crl(owner.server, owner.certificate, rsa_key(1))
    assert told.value.reason is reasons.CLIENT_FILE


# --- GetCRL ---------------------------------------------------------------------------------------------------------


def test_fetches_the_crl_of_its_issuer() -> None:
    """A device gets the newest CRL of the CA that issued its certificate, verified (RFC 8894 §4.6)."""
    owner = Owner()
    owner.publish()
    assert owner.client.get_crl(owner.server, owner.certificate, owner.key).entries == 0
    challenge = owner.world.mint("lap2")
    issued = owner.client.enrol(owner.server, rsa_key(1), cn="lap2", sans=frozenset(), challenge=challenge)
    serial = x509.load_der_x509_certificate(issued.certificate).serial_number
    found = owner.world.store.certificate_by_serial("default-ca-1", serial)
    assert found is not None
    revoke(owner.world.store, owner.world.clock, found, reason=RevocationReason.SUPERSEDED, actor=ADMIN)
    owner.publish()
    crl = owner.client.get_crl(owner.server, owner.certificate, owner.key)
    assert owner.asked() == MessageType.GET_CRL
    entry = x509.load_der_x509_crl(crl.der).get_revoked_certificate_by_serial_number(serial)
    assert (entry is not None, crl.entries) == (True, 1)


def test_a_server_without_a_crl_is_busy() -> None:
    """Where none is published yet the server says 503, and the client gives up after its patience (CLI-002)."""
    owner = Owner()
    with pytest.raises(UnavailableError) as told:
        owner.client.get_crl(owner.server, owner.certificate, owner.key)
    assert told.value.reason is reasons.CLIENT_HTTP_REFUSED


def test_a_crl_of_another_ca_is_no_answer() -> None:
    """A CRL that the certificate's issuer did not sign is not believed in a genuine reply (CLI-006)."""
    foreign = Owner()
    foreign.publish()
    theirs = foreign.client.get_crl(foreign.server, foreign.certificate, foreign.key).der
    one = _altered(lambda _: crl_only(theirs))
    refused(lambda: one.client.get_crl(one.server, one.certificate, one.key), "the CRL is not believed")


def test_certificates_are_no_crl() -> None:
    """A reply to GetCRL that holds certificates is refused (CLI-006)."""
    one = _altered(lambda owner: certs_only([owner.certificate]))
    refused(lambda: one.client.get_crl(one.server, one.certificate, one.key))


# --- GetNextCACert --------------------------------------------------------------------------------------------------


def offering(inner: Transport) -> Altered:
    """A server whose capabilities list GetNextCACert."""
    return Altered(inner, "GetCACaps", lambda _, honest: HttpAnswer(200, honest.body + b"GetNextCACert\n"))


def telling(inner: Transport, message: bytes) -> Altered:
    """A server that answers GetNextCACert so."""
    return Altered(inner, "GetNextCACert", lambda _, __: HttpAnswer(200, message))


class Rollover:
    """A server that offers a next CA, which somebody's RA signed."""

    def __init__(self, signed_by: World | None = None) -> None:
        self.world = World()
        self.following = ders(*make_chain(" of 2030")[1:])
        ra = RaSigner(signed_by or self.world)
        message = build_next_ca(self.following, digest=Digest.SHA256, ra_certificate=ra.certificate, sign=ra.sign)
        self.client = client_of(offering(telling(ServiceTransport(self.world), message)), self.world)


def test_fetches_the_next_ca() -> None:
    """What the current RA signed as the next CA's certificates is believed, in its order (RFC 8894 §4.7.1)."""
    rollover = Rollover()
    assert rollover.client.next_ca(rollover.client.server(None)) == tuple(rollover.following)


def test_a_next_ca_of_somebody_else() -> None:
    """A next CA that another CA's RA signed is not believed (CLI-006)."""
    rollover = Rollover(World())
    server = rollover.client.server(None)
    refused(lambda: rollover.client.next_ca(server), "none of the trusted RA certificates signed it")


def test_a_server_without_a_next_ca_is_not_asked() -> None:
    """Where GetCACaps does not offer GetNextCACert, it is not asked, and that is told as no fault (CLI-011)."""
    world = World()
    transport = ServiceTransport(world)
    client = client_of(transport, world)
    server = client.server(None)
    with pytest.raises(PeerError) as told:
        client.next_ca(server)
    assert told.value.reason is reasons.CLIENT_NO_NEXT_CA
    assert ("GET", "GetNextCACert") not in transport.operations


def test_a_ca_signs_for_its_successor_itself() -> None:
    """A CA that is its own RA signs the message with its own key, and is believed (RFC 8894 §4.7.1)."""
    world = World()
    old = make("old CA", rsa_key(0), usages=BOTH + CA, ca=True)
    new = make("new CA", rsa_key(1), usages=BOTH + CA, ca=True)
    message = build_next_ca(
        [new.der],
        digest=Digest.SHA256,
        ra_certificate=old.der,
        sign=lambda data: rsa_key(0).sign(data, padding.PKCS1v15(), hashes.SHA256()),
    )
    transport = telling(ServiceTransport(world), message)
    client = client_of(offering(Altered(transport, "GetCACert", lambda _, __: HttpAnswer(200, old.der))), world)
    assert client.next_ca(client.server(None)) == (new.der,)
