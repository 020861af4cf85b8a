"""The client's transport port, fake: a URL's octets go to the real `ScepService` of a world in memory and back."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, urlsplit

from cryptography.hazmat.primitives import hashes

from regalia.client.scep import ScepClient
from regalia.client.transport import HttpAnswer
from regalia.errors import UnavailableError
from regalia.ra.scep import CertRep, Limited
from regalia.wire.scep import read_message

if TYPE_CHECKING:
    from collections.abc import Callable

    from regalia.client.transport import Transport
    from regalia.wire.scep import RawMessage
    from world import World

__all__ = ["URL", "Altered", "RaSigner", "ServiceTransport", "client_of", "fingerprint_of"]

URL: Final = "http://pki.example.test/scep/default"


def _asked(url: str, body: bytes | None) -> tuple[str, bytes]:
    """Read operation and message."""
    query = parse_qs(urlsplit(url).query)
    message = base64.b64decode(query["message"][0]) if body is None and "message" in query else body or b""
    return query["operation"][0], message


@dataclass
class ServiceTransport:
    """What `web/scep` does with a request, without HTTP; it remembers what was sent."""

    world: World
    sent: list[tuple[str, str, bytes]] = field(default_factory=list)
    """Method, operation and message of each exchange."""

    def exchange(self, url: str, body: bytes | None) -> HttpAnswer:
        """Answer as the server would."""
        operation, message = _asked(url, body)
        self.sent.append(("GET" if body is None else "POST", operation, message))
        endpoint = urlsplit(url).path.rpartition("/")[2]
        door = self.world.scep.door(endpoint)
        if door is None:
            return HttpAnswer(404, b"not found")
        if operation == "GetCACaps":
            return HttpAnswer(200, self.world.scep.ca_capabilities(door))
        if operation == "GetCACert":
            return HttpAnswer(200, self.world.scep.ca_certificates(door))
        if operation == "GetNextCACert":
            following = self.world.scep.next_ca_certificates(door)
            return HttpAnswer(404, b"not found") if following is None else HttpAnswer(200, following)
        return self._operate(message, endpoint)

    def _operate(self, message: bytes, endpoint: str) -> HttpAnswer:
        try:
            answer = self.world.send(message, endpoint)
        except UnavailableError:
            return HttpAnswer(503, b"unavailable", 7)
        if isinstance(answer, Limited):
            return HttpAnswer(429, b"too many", answer.retry_after)
        return HttpAnswer(200, answer.der) if isinstance(answer, CertRep) else HttpAnswer(400, b"bad request")

    @property
    def operations(self) -> list[tuple[str, str]]:
        """Method and operation of each exchange."""
        return [(method, operation) for method, operation, _ in self.sent]


@dataclass
class Altered:
    """Somebody between client and server, who answers one operation in his own way."""

    inner: Transport
    operation: str
    alter: Callable[[bytes, HttpAnswer], HttpAnswer]
    """Gets the message that was sent and the honest answer."""

    def exchange(self, url: str, body: bytes | None) -> HttpAnswer:
        """Hand on, then alter."""
        answer = self.inner.exchange(url, body)
        operation, message = _asked(url, body)
        return self.alter(message, answer) if operation == self.operation else answer


@dataclass
class RaSigner:
    """The RA of a world's endpoint, free to sign what the server would not."""

    world: World

    @property
    def certificate(self) -> bytes:
        """Its certificate."""
        door = self.world.store.door("default")
        assert door is not None
        return door.ra.certificate_der

    def sign(self, data: bytes) -> bytes:
        """Sign with SHA-256."""
        door = self.world.store.door("default")
        assert door is not None
        return self.world.keys.open(door.ra.key_id).sign(data, "sha256")

    @staticmethod
    def request(message: bytes) -> RawMessage:
        """Read what the client asked, to answer it."""
        return read_message(message)


def client_of(transport: Transport, world: World, heard: list[str] | None = None, url: str = URL) -> ScepClient:
    """Make a client whose pauses move the world's clock on, and whose progress is kept."""
    lines = [] if heard is None else heard
    return ScepClient(
        url,
        transport,
        world.clock,
        world.entropy,
        pause=lambda seconds: lines.append(f"paused {seconds}"),
        progress=lines.append,
    )


def fingerprint_of(certificate: bytes, digest: hashes.HashAlgorithm | None = None) -> str:
    """Return the fingerprint, hex."""
    hasher = hashes.Hash(digest or hashes.SHA256())
    hasher.update(certificate)
    return hasher.finalize().hex()
