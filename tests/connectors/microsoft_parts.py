"""Entra ID, Graph and Intune as a test wants them: answers by path, in order, and what was asked for."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import UUID

from fakes import FakeClock, SeededEntropy
from regalia import reasons
from regalia.connectors.pace import Pace
from regalia.connectors.registry import Parts, linked
from regalia.errors import UnavailableError
from regalia.model import Names
from regalia.model.connector import Asked, Connector, IssuedNotice
from regalia.ports import OutgoingResponse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from regalia.connectors.intune_link import IntuneAndGraphLink
    from regalia.ports import Outgoing, OutgoingRequest

__all__ = [
    "ASKED",
    "CHALLENGE",
    "CLIENT_ID",
    "ISSUED",
    "SECRET",
    "Cloud",
    "PassingTime",
    "connector",
    "golden",
    "intune",
    "listening",
    "refusing",
    "said",
]

GOLDEN = Path(__file__).resolve().parent / "golden"
CLIENT_ID = "99999999-8888-7777-6666-555555555555"
SECRET = "s3cret~value/with+signs"
CHALLENGE = "MIICchallenge" * 40
NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)

ASKED = Asked("mdm", "devices", "TX1", b"\x30\x00", Names(cn="LAPTOP-1"), b"\x00" * 32, CHALLENGE, "192.0.2.1")
ISSUED = IssuedNotice(
    "TX1",
    b"\x30\x00",
    b"test",
    0xABC,
    datetime(2027, 6, 11, 16, 11, 20, 90_000, tzinfo=UTC),
    "CN=Issuing",
    "devices-1",
)

Spoken = OutgoingResponse | UnavailableError


def golden(name: str) -> Any:  # noqa: ANN401 - it is JSON
    """Read a golden file."""
    return json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))


def said(document: object, status: int = 200, **headers: str) -> OutgoingResponse:
    """Make an answer; `retry_after=` is its header Retry-After."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return OutgoingResponse(status, {"request-id": "theirs-1", **named}, body)


def refusing(code: str, description: str = "") -> OutgoingResponse:
    """Make Intune's refusal."""
    return said({"code": code, "errorDescription": description})


AWAY = UnavailableError(reasons.OUTGOING_FAILED, "nobody answers there")


@dataclass
class PassingTime:
    """Time that passes only while somebody waits."""

    at: float = 1000.0
    waited: list[float] = field(default_factory=list)

    def wait(self, seconds: float) -> None:
        """Let it pass."""
        self.waited.append(seconds)
        self.at += seconds

    @property
    def pace(self) -> Pace:
        """It, as connectors see it."""
        return Pace(lambda: self.at, self.wait)


class Cloud:
    """Answers by the end of a path, several in turn and the last for good; see `ports.Outgoing`."""

    def __init__(self, time: PassingTime | None = None, *, slow: float = 0.0) -> None:
        self.requests: list[OutgoingRequest] = []
        self.time = time
        self.slow = slow
        self.answers: dict[str, list[Spoken]] = {
            "/token": [said(golden("token"))],
            "/endpoints": [said(golden("endpoints"))],
            "/serviceEndpoints": [said(golden("endpoints_older"))],
            "/validateRequest": [said(golden("verdict"))],
            "/successNotification": [said(golden("verdict"))],
            "/failureNotification": [said(golden("verdict"))],
            "/downloadRevocationRequests": [said(golden("revocation_requests"))],
            "/uploadRevocationResults": [said(golden("kept"))],
            "/managedDevices": [said(golden("managed_devices"))],
            "/devices/delta": [said(golden("devices_delta"))],
            "/users/delta": [said(golden("users_delta"))],
            "/devices": [said({"value": golden("devices_delta")["value"][:1]})],
            "/users": [said({"value": []})],
            "/groups": [said({"value": []})],
        }

    def say(self, path: str, *answers: Spoken) -> Cloud:
        """Have a path answer this."""
        self.answers[path] = list(answers)
        return self

    def say_everywhere(self, answer: Spoken) -> Cloud:
        """Have all paths answer this."""
        self.answers = {"": [answer]}
        return self

    def exchange(self, request: OutgoingRequest) -> OutgoingResponse:
        """Answer, or raise."""
        self.requests.append(request)
        if self.time is not None:
            assert request.timeout is not None
            self.time.at += min(self.slow, request.timeout)
            if self.slow > request.timeout:
                raise AWAY
        path = urlsplit(request.url).path
        found = max((end for end in self.answers if path.endswith(end)), key=len, default=None)
        if found is None:
            return said({"error": {"code": "Request_ResourceNotFound", "message": "no"}}, 404)
        answers = self.answers[found]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, UnavailableError):
            raise answer
        return answer

    def asked(self, end: str) -> list[OutgoingRequest]:
        """Return what was asked of a path."""
        return [request for request in self.requests if urlsplit(request.url).path.endswith(end)]


def connector(**settings: object) -> Connector:
    """Make a connector of Intune's with these settings."""
    given: dict[str, Any] = {"tenant": "example.onmicrosoft.com", "client_id": CLIENT_ID, **settings}
    return Connector(UUID(int=1), "mdm", "intune", given, NOW)


def intune(
    cloud: Outgoing, time: PassingTime | None = None, secret: str = SECRET, **settings: object
) -> IntuneAndGraphLink:
    """Make one that asks this cloud."""
    parts = Parts(cloud, FakeClock(NOW), SeededEntropy(), (time or PassingTime()).pace)
    link: Any = linked(connector(**settings), secret, parts)
    made: IntuneAndGraphLink = link
    return made


@contextmanager
def listening(make: Callable[[str], Cloud]) -> Iterator[tuple[str, Cloud]]:
    """Serve a cloud by HTTP on a port of 127.0.0.1."""
    from regalia.ports import OutgoingRequest as Request  # noqa: PLC0415 - only whoever listens needs it at run time

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer("GET")

        def do_POST(self) -> None:
            self._answer("POST")

        def _answer(self, method: Any) -> None:  # noqa: ANN401 - one of two words
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            answer = cloud.exchange(Request(method, self.path, dict(self.headers.items()), body))
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    base = f"http://127.0.0.1:{server.server_address[1]}"
    cloud = make(base)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield base, cloud
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
