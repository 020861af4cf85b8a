"""The client at an endpoint with approval: what it keeps, how it asks again, and how long it waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from client.service import Altered, RaSigner, ServiceTransport, client_of
from regalia import reasons
from regalia.errors import PeerError, UnavailableError
from regalia.model import Authoriser, San, SanKind
from regalia.wire.scep import MessageType, verify_message
from world import ADMIN, World, rsa_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from regalia.client.scep import ScepClient, Server
    from regalia.client.transaction import OpenTransaction
    from regalia.client.transport import HttpAnswer

QUEUE = "http://pki.example.test/scep/queue"
DNS = frozenset({San(SanKind.DNS, "lap1.example.com")})


class Waiting:
    """A client whose request is pending."""

    def __init__(self, alter: Callable[[bytes, HttpAnswer], HttpAnswer] | None = None) -> None:
        self.world = World()
        self.secret = self.world.open_endpoint("queue", Authoriser.APPROVAL)
        self.transport = ServiceTransport(self.world)
        self.heard: list[str] = []
        quiet = client_of(self.transport, self.world, url=QUEUE)
        self.server: Server = quiet.server(None)
        self.opened: OpenTransaction = quiet.begin(rsa_key(0), cn="lap1", sans=DNS)
        with pytest.raises(UnavailableError) as held:
            quiet.submit(self.server, rsa_key(0), self.opened, challenge=self.secret)
        assert held.value.reason is reasons.CLIENT_PENDING
        assert held.value.detail == f"transaction {self.opened.id}"
        transport = Altered(self.transport, "PKIOperation", alter) if alter is not None else self.transport
        self.client: ScepClient = client_of(transport, self.world, self.heard, url=QUEUE)

    def pauses(self) -> list[float]:
        """How long it paused each time, seconds."""
        return [float(line.removeprefix("paused ")) for line in self.heard if line.startswith("paused ")]

    def approve_after(self, polls: int) -> Callable[[bytes, HttpAnswer], HttpAnswer]:
        """Approve when so many polls were answered: the next one brings the certificate."""
        left = [polls]

        def answer(_: bytes, honest: HttpAnswer) -> HttpAnswer:
            left[0] -= 1
            if not left[0]:
                self.world.approve()
            return honest

        return answer


def test_polls_until_there_is_a_certificate() -> None:
    """A poll of a pending request is told so; after the approval it brings the certificate for the names asked for."""
    waiting = Waiting()
    with pytest.raises(UnavailableError) as held:
        waiting.client.poll(waiting.server, rsa_key(0), waiting.opened)
    assert held.value.reason is reasons.CLIENT_PENDING
    approved = waiting.world.approve()
    issued = waiting.client.poll(waiting.server, rsa_key(0), waiting.opened)
    assert issued.certificate == approved.der
    assert issued.transaction == waiting.opened.id
    leaf = x509.load_der_x509_certificate(issued.certificate)
    assert leaf.subject.rfc4514_string() == "CN=lap1"


def test_a_poll_is_a_cert_poll_of_the_same_signer() -> None:
    """A poll is a CertPoll signed by the certificate that signed the request, under its transaction (RFC 8894 §4.4)."""
    waiting = Waiting()
    waiting.world.approve()
    waiting.client.poll(waiting.server, rsa_key(0), waiting.opened)
    request, poll = (
        verify_message(RaSigner.request(message))
        for _, operation, message in waiting.transport.sent
        if operation == "PKIOperation"
    )
    assert (request.message_type, poll.message_type) == (MessageType.PKCS_REQ, MessageType.CERT_POLL)
    assert poll.signer == request.signer == waiting.opened.signer
    assert poll.transaction == request.transaction
    assert poll.sender_nonce != request.sender_nonce


def test_the_same_request_collects_it_too() -> None:
    """Submitting a kept transaction again brings the approved certificate, and no second one (R3)."""
    waiting = Waiting()
    approved = waiting.world.approve()
    again = waiting.client.submit(waiting.server, rsa_key(0), waiting.opened, challenge=waiting.secret)
    assert again.certificate == approved.der


def test_a_denial_ends_the_waiting() -> None:
    """A poll after a denial is refused, like one that the server never heard of (CLI-007, MSG-3)."""
    waiting = Waiting()
    waiting.world.approvals.deny(waiting.world.pending().id, ADMIN)
    never_sent = waiting.client.begin(rsa_key(0), cn="lap1", sans=DNS)
    for opened in (waiting.opened, never_sent):
        with pytest.raises(PeerError) as refused:
            waiting.client.wait(waiting.server, rsa_key(0), opened, seconds=60)
        assert refused.value.reason is reasons.CLIENT_DENIED
        assert refused.value.detail == f"bad request, transaction {opened.id}"
    assert waiting.pauses() == [5, 5]


def test_waiting_grows() -> None:
    """Pauses begin with 5 seconds, grow by half to a minute, and are as long together as was asked for (CLI-008)."""
    waiting = Waiting()
    with pytest.raises(UnavailableError) as held:
        waiting.client.wait(waiting.server, rsa_key(0), waiting.opened, seconds=300)
    assert held.value.reason is reasons.CLIENT_PENDING
    pauses = waiting.pauses()
    assert pauses[:4] == [5, 7.5, 11.25, 16.875]
    assert sorted(pauses[:-1]) == pauses[:-1]
    assert max(pauses) == 60
    assert sum(pauses) == 300


def test_waiting_ends_with_the_approval() -> None:
    """Nobody waits on when the certificate is there."""
    waiting = Waiting()
    altered = Altered(waiting.transport, "PKIOperation", waiting.approve_after(2))
    client = client_of(altered, waiting.world, waiting.heard, url=QUEUE)
    issued = client.wait(waiting.server, rsa_key(0), waiting.opened, seconds=3600)
    assert issued.certificate
    assert waiting.pauses() == [5, 7.5, 11.25]


def test_a_server_that_goes_away_may_come_back() -> None:
    """Whoever waits for a decision goes on when the server cannot be reached for a while, and says so."""
    answers = iter([True] * 5 + [False] * 100)

    def answer(_: bytes, honest: HttpAnswer) -> HttpAnswer:
        if next(answers):
            raise UnavailableError(reasons.CLIENT_UNREACHABLE, "the connection broke")
        return honest

    waiting = Waiting(answer)
    waiting.world.approve()
    issued = waiting.client.wait(waiting.server, rsa_key(0), waiting.opened, seconds=600)
    assert issued.certificate
    assert "CLI-001 the SCEP server cannot be reached: the connection broke" in waiting.heard


def test_waiting_for_a_dead_server_ends() -> None:
    """A server that does not come back is told as such when the time is over (CLI-001)."""

    def answer(_: bytes, __: HttpAnswer) -> HttpAnswer:
        raise UnavailableError(reasons.CLIENT_UNREACHABLE, "the connection broke")

    waiting = Waiting(answer)
    with pytest.raises(UnavailableError) as failed:
        waiting.client.wait(waiting.server, rsa_key(0), waiting.opened, seconds=12)
    assert failed.value.reason is reasons.CLIENT_UNREACHABLE


def test_another_key_learns_nothing() -> None:
    """A poll with another key for a known transaction is refused like an unknown one (MSG-3)."""
    waiting = Waiting()
    waiting.world.approve()
    mine = waiting.client.begin(rsa_key(1), cn="lap1", sans=DNS)
    stolen = type(mine)(waiting.opened.id, mine.signer, mine.names)
    with pytest.raises(PeerError) as refused:
        waiting.client.poll(waiting.server, rsa_key(1), stolen)
    assert refused.value.detail == f"bad request, transaction {waiting.opened.id}"


def test_a_request_without_names_polls_too() -> None:
    """A request that asks for no name is held and collected under the name that the server made (R5.4)."""
    world = World()
    secret = world.open_endpoint("queue", Authoriser.APPROVAL)
    client = client_of(ServiceTransport(world), world, url=QUEUE)
    server, opened = client.server(None), client.begin(rsa_key(0), cn=None, sans=frozenset())
    with pytest.raises(UnavailableError):
        client.submit(server, rsa_key(0), opened, challenge=secret)
    world.approve()
    issued = client.poll(server, rsa_key(0), opened)
    assert x509.load_der_x509_certificate(issued.certificate).subject.rfc4514_string().startswith("CN=d-")
