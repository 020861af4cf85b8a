"""The client against the server's own code, without a socket; each way to fail has its real cause."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from client.service import URL, Altered, RaSigner, ServiceTransport, client_of, fingerprint_of
from regalia import reasons
from regalia.client.transport import HttpAnswer
from regalia.errors import AdminError, PeerError, UnavailableError
from regalia.model import EnrolmentState, San, SanKind
from regalia.ports import EnrolmentFilter
from regalia.wire.algorithms import Cipher, Digest
from regalia.wire.cms import certs_only
from regalia.wire.scep import (
    FailInfo,
    MessageType,
    Transaction,
    build_failure,
    build_pending,
    build_success,
    verify_message,
)
from world import World, rsa_key, spki

if TYPE_CHECKING:
    from collections.abc import Callable

    from regalia.client.scep import Issued

DNS = frozenset({San(SanKind.DNS, "lap1.example.com")})
STRONG = b"POSTPKIOperation\nSHA-256\nAES\n"


@pytest.fixture(scope="module")
def other_world() -> World:
    """Another Regalia, of somebody else."""
    return World()


@pytest.fixture
def world() -> World:
    """The server."""
    return World()


def root_pin(world: World) -> str:
    """The SHA-256 of the root."""
    return fingerprint_of(world.registry.root().certificate_der)


def first(
    world: World, transport: ServiceTransport | Altered, challenge: str, heard: list[str] | None = None
) -> Issued:
    """Enrol lap1 with key 0."""
    client = client_of(transport, world, heard)
    server = client.server(root_pin(world))
    return client.enrol(server, rsa_key(0), cn="lap1", sans=DNS, challenge=challenge)


def mint(world: World) -> str:
    """A challenge for lap1."""
    return world.mint("lap1", "lap1.example.com")


# --- what works -----------------------------------------------------------------------------------------------------


def test_enrols(world: World) -> None:
    """A client with a challenge gets a certificate for its key and names, and the chain that signed it."""
    issued = first(world, ServiceTransport(world), mint(world))
    leaf = x509.load_der_x509_certificate(issued.certificate)
    assert leaf.subject.rfc4514_string() == "CN=lap1"
    assert leaf.public_key() == rsa_key(0).public_key()
    issuer, root = (x509.load_der_x509_certificate(certificate) for certificate in issued.chain)
    leaf.verify_directly_issued_by(issuer)
    issuer.verify_directly_issued_by(root)
    assert world.store.certificate_by_serial("default-ca-1", leaf.serial_number) is not None


def test_posts_where_it_may(world: World) -> None:
    """Messages are POSTed where the server says so, questions are asked by GET (RFC 8894 §4.1)."""
    transport = ServiceTransport(world)
    first(world, transport, mint(world))
    assert transport.operations == [("GET", "GetCACaps"), ("GET", "GetCACert"), ("POST", "PKIOperation")]


def test_gets_where_it_must(world: World) -> None:
    """Without POSTPKIOperation the message travels in the URL and arrives octet for octet."""
    transport = ServiceTransport(world)
    without_post = Altered(transport, "GetCACaps", lambda _, __: HttpAnswer(200, b"AES\r\nSHA-256\r\n"))
    assert first(world, without_post, mint(world)).certificate
    assert transport.operations[-1] == ("GET", "PKIOperation")


def test_keeps_a_query_of_the_url(world: World) -> None:
    """A URL that has a query keeps it."""
    transport = ServiceTransport(world)
    client_of(transport, world, url=f"{URL}?profile=wifi").caps()
    assert transport.operations == [("GET", "GetCACaps")]


def test_renews_with_the_same_key(world: World) -> None:
    """A renewal is signed with the certificate alone and brings a successor with the same names and key."""
    transport = ServiceTransport(world)
    old = first(world, transport, mint(world))
    client = client_of(transport, world)
    new = client.renew(client.server(None), old.certificate, rsa_key(0))
    before, after = (x509.load_der_x509_certificate(each.certificate) for each in (old, new))
    assert (after.subject, after.public_key()) == (before.subject, before.public_key())
    assert after.serial_number != before.serial_number
    assert verify_message(RaSigner.request(transport.sent[-1][2])).message_type == MessageType.RENEWAL_REQ


def test_renews_with_a_new_key(world: World) -> None:
    """A renewal for a new key brings a certificate for that key, with which the next renewal is signed."""
    transport = ServiceTransport(world)
    old = first(world, transport, mint(world))
    client = client_of(transport, world)
    server = client.server(None)
    second = client.renew(server, old.certificate, rsa_key(0), rsa_key(1))
    third = client.renew(server, second.certificate, rsa_key(1))
    assert x509.load_der_x509_certificate(third.certificate).public_key() == rsa_key(1).public_key()
    assert third.transaction != second.transaction


def test_renews_where_renewal_is_not_offered(world: World) -> None:
    """Without the keyword Renewal the successor is asked for with a PKCSReq that the old certificate signs."""
    transport = ServiceTransport(world)
    old = first(world, transport, mint(world))
    client = client_of(Altered(transport, "GetCACaps", lambda _, __: HttpAnswer(200, STRONG)), world)
    assert client.renew(client.server(None), old.certificate, rsa_key(0)).certificate != old.certificate
    assert verify_message(RaSigner.request(transport.sent[-1][2])).message_type == MessageType.PKCS_REQ


def test_uses_aes_and_sha_256(world: World) -> None:
    """Requests are signed with SHA-256 and encrypted with AES-128 (RFC 8894 §2.9)."""
    transport = ServiceTransport(world)
    first(world, transport, mint(world))
    message = verify_message(RaSigner.request(transport.sent[-1][2]))
    assert (message.digest, message.enveloped.cipher) == (Digest.SHA256, Cipher.AES128_CBC)


def test_a_busy_server_is_asked_again(world: World) -> None:
    """A 503 is answered by patience as long as it asks for, with the same octets: one conversation, one certificate."""
    transport, heard, busy = ServiceTransport(world), list[str](), iter((True, True, False))

    def answer(_: bytes, honest: HttpAnswer) -> HttpAnswer:
        return HttpAnswer(503, b"", 7) if next(busy) else honest

    issued = first(world, Altered(transport, "PKIOperation", answer), mint(world), heard)
    messages = [message for _, operation, message in transport.sent if operation == "PKIOperation"]
    assert len(messages) == 3
    assert len(set(messages)) == 1
    assert [line for line in heard if line.startswith("paused")] == ["paused 7", "paused 7"]
    assert [each.der for each in world.store.certificates_by_key(sha256(spki(rsa_key(0))).digest())] == [
        issued.certificate
    ]


def test_a_lost_answer_is_asked_for_again(world: World) -> None:
    """An answer that does not arrive is asked for again with the same octets, and is the same certificate (R3)."""
    transport, lost = ServiceTransport(world), iter((True, False))

    def answer(_: bytes, honest: HttpAnswer) -> HttpAnswer:
        if next(lost):
            raise UnavailableError(reasons.CLIENT_UNREACHABLE, "the connection broke")
        return honest

    issued = first(world, Altered(transport, "PKIOperation", answer), mint(world))
    assert transport.operations.count(("POST", "PKIOperation")) == 2
    assert [each.der for each in world.store.certificates_by_key(sha256(spki(rsa_key(0))).digest())] == [
        issued.certificate
    ]


def test_a_server_that_cannot_be_reached_is_told_at_once(world: World) -> None:
    """A question that nobody answers fails at once, a message after four attempts (CLI-001)."""

    def dead(_: bytes, __: HttpAnswer) -> HttpAnswer:
        raise UnavailableError(reasons.CLIENT_UNREACHABLE, "the connection broke")

    for operation, attempts in (("GetCACaps", 1), ("PKIOperation", 4)):
        transport = ServiceTransport(world)
        with pytest.raises(UnavailableError) as failed:
            first(world, Altered(transport, operation, dead), mint(world))
        assert failed.value.reason is reasons.CLIENT_UNREACHABLE
        assert [asked for _, asked, _ in transport.sent].count(operation) == attempts


def test_a_server_with_a_limit_is_asked_again(world: World) -> None:
    """A 429 is answered by patience as long as it asks for, with the same octets (R6)."""
    transport, heard, limited = ServiceTransport(world), list[str](), iter((True, False))

    def answer(_: bytes, honest: HttpAnswer) -> HttpAnswer:
        return HttpAnswer(429, b"", 31) if next(limited) else honest

    assert first(world, Altered(transport, "PKIOperation", answer), mint(world), heard).certificate
    first_sent, then = (message for _, operation, message in transport.sent if operation == "PKIOperation")
    assert first_sent == then
    assert "the server says that it was asked too often (429); trying again in 31 s" in heard
    assert "paused 31" in heard


@pytest.mark.parametrize("status", [429, 503])
def test_a_pause_is_bounded(world: World, status: int) -> None:
    """A server that wants an hour of peace is not asked again before, and the error says how long that is (CLI-002)."""
    heard: list[str] = []
    busy = Altered(ServiceTransport(world), "GetCACaps", lambda _, __: HttpAnswer(status, b"", 3600))
    with pytest.raises(UnavailableError) as failed:
        client_of(busy, world, heard).caps()
    assert failed.value.reason is reasons.CLIENT_HTTP_REFUSED
    assert failed.value.detail == f"{status} to GetCACaps, not to be asked again for 3600 s"
    assert heard == []


def test_patience_ends(world: World) -> None:
    """A server that never says how long, and never answers, is asked four times with 2 seconds between (CLI-002)."""
    heard: list[str] = []
    transport = ServiceTransport(world)
    with pytest.raises(UnavailableError, match="503 to GetCACaps, 4 times"):
        client_of(Altered(transport, "GetCACaps", lambda _, __: HttpAnswer(503, b"")), world, heard).caps()
    assert [line for line in heard if line.startswith("paused")] == ["paused 2"] * 3
    assert len(transport.sent) == 4


# --- what fails, and why --------------------------------------------------------------------------------------------


def test_challenges_are_not_told(world: World) -> None:
    """Neither progress nor error holds the challenge (CHA-4)."""
    heard: list[str] = []
    secret = mint(world)
    first(world, ServiceTransport(world), secret, heard)
    client = client_of(ServiceTransport(world), world, heard)
    with pytest.raises(PeerError) as refused:
        client.enrol(client.server(None), rsa_key(1), cn="lap1", sans=DNS, challenge=secret)
    assert refused.value.reason is reasons.CLIENT_DENIED
    assert secret not in "".join([*heard, str(refused.value)])


def test_no_such_endpoint(world: World) -> None:
    """A wrong path is told as the HTTP error that it is (CLI-002)."""
    with pytest.raises(PeerError) as refused:
        client_of(ServiceTransport(world), world, url="http://pki.example.test/scep/wrong").caps()
    assert refused.value.reason is reasons.CLIENT_HTTP_REFUSED
    assert refused.value.detail == "404 to GetCACaps"


def test_a_redirect_is_an_error(world: World) -> None:
    """A redirect is not followed, and the error says so (CLI-002)."""
    moved = Altered(ServiceTransport(world), "GetCACaps", lambda _, __: HttpAnswer(302, b""))
    with pytest.raises(PeerError, match="redirects are not followed") as refused:
        client_of(moved, world).caps()
    assert refused.value.reason is reasons.CLIENT_HTTP_REFUSED


def test_a_server_that_stays_busy(world: World) -> None:
    """A server that is still busy after four attempts is told as unavailable (CLI-002)."""
    transport = ServiceTransport(world)
    for authority in world.store.authorities():
        world.keys.private.pop(authority.key_id)
    with pytest.raises(UnavailableError) as refused:
        first(world, transport, mint(world))
    assert refused.value.reason is reasons.CLIENT_HTTP_REFUSED
    assert transport.operations.count(("POST", "PKIOperation")) == 4


@pytest.mark.parametrize("offer", [b"", b"SHA-1\nDES3\nPOSTPKIOperation\n", b"AES\nSHA-1\n", b"SHA-256\nDES3\n"])
def test_weak_servers_are_refused(world: World, offer: bytes) -> None:
    """A server without AES and SHA-256 is refused before anything but the question was sent (CLI-003)."""
    transport = ServiceTransport(world)
    weak = Altered(transport, "GetCACaps", lambda _, __: HttpAnswer(200, offer))
    with pytest.raises(PeerError) as refused:
        first(world, weak, mint(world))
    assert refused.value.reason is reasons.CLIENT_CAPS_WEAK
    assert transport.operations == [("GET", "GetCACaps")]


def test_a_foreign_server_is_refused(world: World, other_world: World) -> None:
    """A server whose chain does not have the fingerprint learns nothing more of us (CLI-004)."""
    transport = ServiceTransport(other_world)
    with pytest.raises(PeerError) as refused:
        client_of(transport, world).server(root_pin(world))
    assert refused.value.reason is reasons.CLIENT_FINGERPRINT
    assert root_pin(other_world) in refused.value.detail
    assert ("POST", "PKIOperation") not in transport.operations


@pytest.mark.parametrize("body", [b"", b"<html>", b"\x30\x03\x02\x01\x00"])
def test_an_unreadable_ca_answer(world: World, body: bytes) -> None:
    """A GetCACert that is neither a certificate nor certs-only is not believed (CLI-006)."""
    with pytest.raises(PeerError) as refused:
        client_of(Altered(ServiceTransport(world), "GetCACert", lambda _, __: HttpAnswer(200, body)), world).server(
            None
        )
    assert refused.value.reason is reasons.CLIENT_REPLY_REFUSED


def _other_nonce(world: World, message: bytes) -> bytes:
    """Build an answer, rightly signed, to another message of the same transaction."""
    ra, request = RaSigner(world), RaSigner.request(message)
    return build_failure(
        transaction=request.transaction or Transaction(b""),
        recipient_nonce=bytes(16),
        sender_nonce=bytes(16),
        digest=Digest.SHA256,
        fail_info=FailInfo.BAD_REQUEST,
        fail_info_text=None,
        ra_certificate=ra.certificate,
        sign=ra.sign,
    )


def _success(world: World, message: bytes, leaf: bytes) -> bytes:
    """Build a rightly signed and encrypted SUCCESS with some certificate."""
    ra, request = RaSigner(world), verify_message(RaSigner.request(message))
    return build_success(
        transaction=request.transaction,
        recipient_nonce=request.sender_nonce,
        sender_nonce=bytes(16),
        digest=Digest.SHA256,
        cipher=Cipher.AES128_CBC,
        content=certs_only([leaf]),
        recipient=request.signer,
        content_key=bytes(16),
        iv=bytes(16),
        ra_certificate=ra.certificate,
        sign=ra.sign,
    )


def _self_signed_for_the_key(world: World, message: bytes) -> bytes:
    """Return the client's own self-signed certificate: for its key, and from no CA."""
    return _success(world, message, verify_message(RaSigner.request(message)).signer)


def _flipped(answer: bytes) -> bytes:
    return answer[:-1] + bytes((answer[-1] ^ 1,))


UNTRUSTED: dict[str, tuple[Callable[[World, bytes, bytes], bytes], str]] = {
    "signature": (lambda _, __, honest: _flipped(honest), "signature"),
    "nonce": (lambda world, message, _: _other_nonce(world, message), "nonce"),
    "empty": (lambda _, __, ___: b"", ""),
    "echo": (lambda _, message, __: message, "none of the trusted RA certificates signed it"),
    "other key": (lambda world, message, _: _success(world, message, RaSigner(world).certificate), "for our key"),
    "no CA": (lambda world, message, _: _self_signed_for_the_key(world, message), "none of the server's CA"),
}


@pytest.mark.parametrize("case", UNTRUSTED)
def test_untrustworthy_replies(world: World, case: str) -> None:
    """A reply whose signature, nonce, key or issuer is wrong brings no certificate (CLI-006)."""
    make, told = UNTRUSTED[case]
    forged = Altered(
        ServiceTransport(world),
        "PKIOperation",
        lambda message, honest: HttpAnswer(200, make(world, message, honest.body)),
    )
    with pytest.raises(PeerError) as refused:
        first(world, forged, mint(world))
    assert refused.value.reason is reasons.CLIENT_REPLY_REFUSED
    assert told in refused.value.detail


def test_an_old_reply_is_refused(world: World) -> None:
    """A recorded reply to an earlier request is not taken for the answer to this one (CLI-006)."""
    replies: list[HttpAnswer] = []

    def replay(_: bytes, honest: HttpAnswer) -> HttpAnswer:
        replies.append(honest)
        return replies[0]

    transport = Altered(ServiceTransport(world), "PKIOperation", replay)
    first(world, transport, mint(world))
    with pytest.raises(PeerError, match="transactionID") as refused:
        first(world, transport, mint(world))
    assert refused.value.reason is reasons.CLIENT_REPLY_REFUSED


def test_a_foreign_ra_is_refused(world: World, other_world: World) -> None:
    """A reply that is signed by the RA of another CA is not believed, whoever's certificate it carries (CLI-006)."""
    ours = ServiceTransport(world)
    forged = Altered(
        ours,
        "PKIOperation",
        lambda message, _: HttpAnswer(200, _success(other_world, message, RaSigner(world).certificate)),
    )
    with pytest.raises(PeerError) as refused:
        first(world, forged, mint(world))
    assert refused.value.reason is reasons.CLIENT_REPLY_REFUSED


def test_a_refusal_is_told(world: World) -> None:
    """A FAILURE is told with its failInfo and the transaction to look for in `enrolment list` (CLI-007)."""
    with pytest.raises(PeerError) as refused:
        first(world, ServiceTransport(world), "not a challenge of this endpoint")
    assert refused.value.reason is reasons.CLIENT_DENIED
    told, _, transaction = refused.value.detail.partition(", transaction ")
    assert told == "bad request"
    refusal = world.store.enrolments(EnrolmentFilter(EnrolmentState.REFUSED))[0]
    assert refusal.key.transaction_id == transaction.encode()


def test_a_talkative_refusal_is_told_safely(world: World) -> None:
    """The text of a failInfoText is shown, with whatever a terminal would act on escaped (CLI-007)."""
    ra = RaSigner(world)

    def answer(message: bytes, _: HttpAnswer) -> HttpAnswer:
        request = verify_message(ra.request(message))
        failure = build_failure(
            transaction=request.transaction,
            recipient_nonce=request.sender_nonce,
            sender_nonce=bytes(16),
            digest=Digest.SHA256,
            fail_info=FailInfo.BAD_TIME,
            fail_info_text="late\x1b[2J",
            ra_certificate=ra.certificate,
            sign=ra.sign,
        )
        return HttpAnswer(200, failure)

    with pytest.raises(PeerError) as refused:
        first(world, Altered(ServiceTransport(world), "PKIOperation", answer), mint(world))
    assert refused.value.reason is reasons.CLIENT_DENIED
    assert refused.value.detail.startswith("bad time, it says 'late\\x1b[2J', transaction ")


def test_pending(world: World) -> None:
    """A PENDING is told as such, with the transaction (CLI-008)."""
    ra = RaSigner(world)

    def answer(message: bytes, _: HttpAnswer) -> HttpAnswer:
        request = verify_message(ra.request(message))
        pending = build_pending(
            transaction=request.transaction,
            recipient_nonce=request.sender_nonce,
            sender_nonce=bytes(16),
            digest=Digest.SHA256,
            ra_certificate=ra.certificate,
            sign=ra.sign,
        )
        return HttpAnswer(200, pending)

    with pytest.raises(UnavailableError) as waiting:
        first(world, Altered(ServiceTransport(world), "PKIOperation", answer), mint(world))
    assert waiting.value.reason is reasons.CLIENT_PENDING


def test_a_renewal_needs_its_own_key(world: World) -> None:
    """A certificate is not sent with a key that it is not for (CLI-009)."""
    transport = ServiceTransport(world)
    old = first(world, transport, mint(world))
    client = client_of(transport, world)
    server, before = client.server(None), len(transport.sent)
    with pytest.raises(AdminError) as refused:
        client.renew(server, old.certificate, rsa_key(1))
    with pytest.raises(AdminError):
        client.renew(server, b"no certificate", rsa_key(1))
    assert refused.value.reason is reasons.CLIENT_FILE
    assert len(transport.sent) == before
