"""Keys that cannot decrypt, against the server's own code: enrolment, renewal and polling under a challenge."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from client.service import Altered, ServiceTransport, client_of
from regalia import reasons
from regalia.ca.profile import DEFAULT_DOCUMENT
from regalia.client.keys import (
    DeviceKey,
    KeyType,
    can_decrypt,
    device_key,
    generate_key,
    key_text,
    public_octets,
    scheme_of,
    sign_with,
    unwrap_with,
)
from regalia.client.transport import HttpAnswer
from regalia.errors import AdminError, PeerError, UnavailableError
from regalia.model import Authoriser
from regalia.ra.registry import EndpointOptions
from regalia.wire import cms
from regalia.wire.algorithms import Accepted
from regalia.wire.certificate import verify_signature
from regalia.wire.scep import MessageType, read_message, verify_message
from world import ADMIN, World, names, rsa_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from regalia.client.scep import ScepClient
    from regalia.client.transaction import OpenTransaction

WITHOUT_DECRYPTION = [kind for kind in KeyType if not kind.startswith("rsa-")]
NON_RSA = Accepted(non_rsa=True)
NAMES = names("meter-1", "meter-1.example.com")
URL = "http://pki.example.test/scep/meters"
DOCUMENT = DEFAULT_DOCUMENT.replace("ed25519 = false", "ed25519 = true").replace(
    "ml-dsa = []", 'ml-dsa = ["ml-dsa-44", "ml-dsa-65", "ml-dsa-87"]'
)
QUEUE = "http://pki.example.test/scep/queue"


@cache
def key_of(kind: KeyType, number: int = 0) -> DeviceKey:
    """Return a key of a kind, made once in a run."""
    if kind is KeyType.RSA_2048:
        return rsa_key(number)
    return generate_key(kind)


class Meters:
    """A server with an endpoint for keys that cannot decrypt, and one of those with approval."""

    def __init__(self) -> None:
        self.world = World()
        self.world.registry.create_profile("meter", "default", DOCUMENT, actor=ADMIN)
        options = EndpointOptions(non_rsa=True)
        for name, authoriser in (("meters", Authoriser.ONE_TIME), ("queue", Authoriser.APPROVAL)):
            self.world.registry.create_endpoint(
                name, group="default", profile="meter", actor=ADMIN, authoriser=authoriser, options=options
            )
        self.secret = self.world.desk.rotate("queue", actor=ADMIN).secret
        self.transport = ServiceTransport(self.world)

    def client(self, url: str = URL) -> ScepClient:
        """Make a client."""
        return client_of(self.transport, self.world, url=url)

    def mint(self) -> str:
        """Hand out a challenge for the meter."""
        return self.world.mint(NAMES.cn, "meter-1.example.com", endpoint="meters")

    def enrol(self, key: DeviceKey, challenge: str | None) -> bytes:
        """Enrol and return the certificate."""
        client = self.client()
        return client.enrol(client.server(None), key, cn=NAMES.cn, sans=NAMES.sans, challenge=challenge).certificate

    def messages(self) -> list[bytes]:
        """List the messages that were sent."""
        return [message for _, operation, message in self.transport.sent if operation == "PKIOperation"]


@pytest.fixture
def meters() -> Meters:
    """The server."""
    return Meters()


def _certified(certificate: bytes) -> bytes:
    """Return the SubjectPublicKeyInfo of a certificate."""
    key = x509.load_der_x509_certificate(certificate).public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


# --- the keys themselves --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", WITHOUT_DECRYPTION)
def test_each_kind_signs(kind: KeyType) -> None:
    """What a key signs verifies with its public half by the algorithm of its scheme, and it decrypts nothing."""
    key = key_of(kind)
    scheme = scheme_of(key)
    assert verify_signature(b"data", scheme.algorithm, sign_with(key, b"data"), public_octets(key))
    assert (can_decrypt(key), unwrap_with(key, b"x" * 256)) == (False, b"")
    assert key_text(key).lower() == kind
    assert device_key(key) is key
    load_der_public_key(public_octets(key))


def test_rsa_decrypts() -> None:
    """An RSA key of 2048 bits and more is taken, and it alone decrypts; a smaller one and a foreign thing are not."""
    assert can_decrypt(rsa_key(0))
    assert key_text(rsa_key(0)) == "RSA-2048"
    assert device_key(rsa.generate_private_key(65537, 1024)) is None  # noqa: S505 - weak on purpose
    assert device_key("no key") is None


# --- enrolment ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", WITHOUT_DECRYPTION)
def test_each_kind_enrols(meters: Meters, kind: KeyType) -> None:
    """A key that cannot decrypt gets its certificate in a reply that its challenge opens (RFC 8894 §3.1)."""
    key = key_of(kind)
    certificate = meters.enrol(key, meters.mint())
    assert _certified(certificate) == public_octets(key)
    assert x509.load_der_x509_certificate(certificate).subject.rfc4514_string() == "CN=meter-1"
    sent = verify_message(read_message(meters.messages()[-1], NON_RSA), NON_RSA)
    assert sent.digest == scheme_of(key).digest
    assert [one.kind for one in sent.enveloped.recipients] == ["ktri"]
    usage = x509.load_der_x509_certificate(sent.signer).extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.digital_signature, usage.key_encipherment) == (True, False)


def test_the_reply_is_for_the_password(meters: Meters) -> None:
    """The reply to a key that cannot decrypt has one recipient, of kind pwri; an RSA key's has one of kind ktri."""
    kinds: list[str] = []

    def look(_: bytes, honest: HttpAnswer) -> HttpAnswer:
        content = read_message(honest.body).signed_data.content
        assert content is not None
        kinds.extend(one.kind for one in cms.read_sealed_content(content).recipients)
        return honest

    client = client_of(Altered(meters.transport, "PKIOperation", look), meters.world, url=URL)
    for key in (key_of(KeyType.P_256), rsa_key(0)):
        client.enrol(client.server(None), key, cn=NAMES.cn, sans=NAMES.sans, challenge=meters.mint())
    assert kinds == ["pwri", "ktri"]


def test_nothing_is_sent_without_a_challenge(meters: Meters) -> None:
    """Without a challenge nothing could open the reply, which is told before the request leaves (CLI-010)."""
    with pytest.raises(AdminError) as refused:
        meters.enrol(key_of(KeyType.ED25519), None)
    assert refused.value.reason is reasons.CLIENT_CHALLENGE_NEEDED
    assert refused.value.detail == "the key is of kind Ed25519, which only signs"
    assert meters.messages() == []


def test_an_endpoint_without_the_switch_refuses(meters: Meters) -> None:
    """An endpoint that was not opened for such keys answers badAlg (R1)."""
    client = client_of(meters.transport, meters.world)
    challenge = meters.world.mint(NAMES.cn, "meter-1.example.com")
    with pytest.raises(PeerError) as refused:
        client.enrol(client.server(None), key_of(KeyType.P_256), cn=NAMES.cn, sans=NAMES.sans, challenge=challenge)
    assert refused.value.reason is reasons.CLIENT_DENIED
    assert refused.value.detail.startswith("bad alg, transaction ")


def test_another_challenge_does_not_open_it(meters: Meters) -> None:
    """A reply that is encrypted under another challenge than ours is not believed (CLI-006)."""
    waiting = Waiting(meters)
    meters.world.approve()
    with pytest.raises(PeerError, match="under another challenge") as refused:
        waiting.poll("another challenge of the same kind")
    assert refused.value.reason is reasons.CLIENT_REPLY_REFUSED


# --- renewal --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [KeyType.P_384, KeyType.ED25519, KeyType.ML_DSA_65])
def test_renews_with_a_fresh_challenge(meters: Meters, kind: KeyType) -> None:
    """A renewal of such a key is signed with its certificate and keyed by a fresh challenge (R4)."""
    key, new_key = key_of(kind), key_of(kind, 1)
    old = meters.enrol(key, meters.mint())
    client = meters.client()
    new = client.renew(client.server(None), old, key, new_key, challenge=meters.mint())
    assert _certified(new.certificate) == public_octets(new_key)
    assert verify_message(read_message(meters.messages()[-1], NON_RSA), NON_RSA).message_type == MessageType.RENEWAL_REQ


def test_a_renewal_without_a_challenge_is_not_sent(meters: Meters) -> None:
    """A renewal that nothing could open is told before it leaves (CLI-010)."""
    key = key_of(KeyType.P_256)
    old = meters.enrol(key, meters.mint())
    client = meters.client()
    server, before = client.server(None), len(meters.messages())
    with pytest.raises(AdminError) as refused:
        client.renew(server, old, key)
    assert refused.value.reason is reasons.CLIENT_CHALLENGE_NEEDED
    assert len(meters.messages()) == before


def test_a_used_challenge_renews_nothing(meters: Meters) -> None:
    """The challenge of the enrolment does not key a renewal: the server refuses it (R4, RA-019)."""
    key, challenge = key_of(KeyType.P_256), meters.mint()
    old = meters.enrol(key, challenge)
    client = meters.client()
    with pytest.raises(PeerError) as refused:
        client.renew(client.server(None), old, key, challenge=challenge)
    assert refused.value.reason is reasons.CLIENT_DENIED


def test_the_old_key_decides(meters: Meters) -> None:
    """The reply is for the key that signed: from RSA to P-256 no challenge is needed, from P-256 to RSA one is."""
    first = meters.enrol(rsa_key(0), meters.mint())
    client = meters.client()
    server = client.server(None)
    second = client.renew(server, first, rsa_key(0), key_of(KeyType.P_256))
    assert _certified(second.certificate) == public_octets(key_of(KeyType.P_256))
    with pytest.raises(AdminError):
        client.renew(server, second.certificate, key_of(KeyType.P_256), rsa_key(1))
    third = client.renew(server, second.certificate, key_of(KeyType.P_256), rsa_key(1), challenge=meters.mint())
    assert _certified(third.certificate) == public_octets(rsa_key(1))


# --- polls ----------------------------------------------------------------------------------------------------------


class Waiting:
    """A request of an ML-DSA key that is pending."""

    def __init__(self, meters: Meters) -> None:
        self.meters = meters
        self.key = key_of(KeyType.ML_DSA_44)
        self.client = meters.client(QUEUE)
        self.server = self.client.server(None)
        self.opened: OpenTransaction = self.client.begin(self.key, cn=NAMES.cn, sans=NAMES.sans)
        with pytest.raises(UnavailableError) as held:
            self.client.submit(self.server, self.key, self.opened, challenge=meters.secret)
        assert held.value.reason is reasons.CLIENT_PENDING

    def poll(self, challenge: str | None) -> bytes:
        """Ask, and return the certificate."""
        return self.client.poll(self.server, self.key, self.opened, challenge=challenge).certificate


def test_a_poll_is_opened_by_the_challenge_of_the_request(meters: Meters) -> None:
    """What was approved meanwhile comes under the challenge that the request had, which the poll does not carry."""
    waiting = Waiting(meters)
    with pytest.raises(UnavailableError):
        waiting.poll(meters.secret)
    approved = meters.world.approve()
    assert waiting.poll(meters.secret) == approved.der
    assert meters.secret.encode() not in b"".join(meters.messages())


def test_waiting_knows_the_challenge(meters: Meters) -> None:
    """Whoever waits for a decision opens the reply that comes at last."""
    waiting = Waiting(meters)
    approved = meters.world.approve()
    issued = waiting.client.wait(waiting.server, waiting.key, waiting.opened, seconds=60, challenge=meters.secret)
    assert issued.certificate == approved.der


def test_a_poll_without_the_challenge_is_not_sent(meters: Meters) -> None:
    """A poll whose answer nothing could open is told before it leaves (CLI-010)."""
    waiting = Waiting(meters)
    before = len(meters.messages())
    with pytest.raises(AdminError) as refused:
        waiting.poll(None)
    assert refused.value.reason is reasons.CLIENT_CHALLENGE_NEEDED
    assert len(meters.messages()) == before


# --- what somebody in between cannot do -----------------------------------------------------------------------------


def _unsigned(answer: bytes) -> bytes:
    return answer[:-1] + bytes((answer[-1] ^ 1,))


FORGED: dict[str, Callable[[Meters, bytes, bytes], bytes]] = {
    "signature": lambda _, __, honest: _unsigned(honest),
    "echo": lambda _, message, __: message,
}


@pytest.mark.parametrize("case", FORGED)
def test_replies_under_a_challenge_are_verified_first(meters: Meters, case: str) -> None:
    """The RA's signature is looked at before the challenge opens anything (CLI-006)."""
    forged = Altered(
        meters.transport, "PKIOperation", lambda sent, honest: HttpAnswer(200, FORGED[case](meters, sent, honest.body))
    )
    client = client_of(forged, meters.world, url=URL)
    with pytest.raises(PeerError) as refused:
        client.enrol(client.server(None), key_of(KeyType.P_256), cn=NAMES.cn, sans=NAMES.sans, challenge=meters.mint())
    assert refused.value.reason is reasons.CLIENT_REPLY_REFUSED


def test_the_challenge_travels_encrypted(meters: Meters) -> None:
    """The request goes to the RA's RSA key as ever: nobody on the way reads the challenge, and no error tells it."""
    challenge = meters.mint()
    meters.enrol(key_of(KeyType.ED25519), challenge)
    assert challenge.encode() not in b"".join(meters.messages())
