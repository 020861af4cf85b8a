"""HTTP answers as values: most of what we say to a stranger is a constant (R6, IN-2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import Receive, Scope, Send

__all__ = [
    "AT_ONCE",
    "BAD_REQUEST",
    "METHOD_NOT_ALLOWED",
    "MISDIRECTED",
    "NOT_FOUND",
    "NO_STORE",
    "READING_ONLY",
    "TOO_LARGE",
    "TOO_MANY",
    "UNAVAILABLE",
    "URL_OCTETS",
    "URL_TOO_LONG",
    "Answer",
    "FromMemory",
    "Header",
    "answer",
    "not_among",
    "with_headers",
]

Header = tuple[bytes, bytes]

NO_STORE: Header = (b"cache-control", b"no-store")
_NOSNIFF: Header = (b"x-content-type-options", b"nosniff")

AT_ONCE: Final = "regalia.at_once"
"""Where `web.protocol` puts, in the scope, a function that writes a whole answer: head without date, body."""

URL_OCTETS: Final = 8_192
"""Of everything but SCEP, whose GET carries a message (RES-1)."""

_RETRY_SECONDS = b"10"
"""R8 lets a retransmission wait up to 5 s for the worker that is at it; twice that, and there is something to get."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer; it is an ASGI application that gives itself."""

    status: int
    headers: tuple[Header, ...]
    body: bytes
    head: bytes = field(init=False, repr=False, compare=False)
    """Status line and header fields as they are sent, without date and empty line."""

    def __post_init__(self) -> None:
        fields = [b"%s: %s\r\n" % header for header in self.headers]
        line = f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}\r\n".encode()
        object.__setattr__(self, "head", b"".join([line, *fields]))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it. The server leaves the body out where the method is HEAD."""
        del receive
        at_once = scope.get(AT_ONCE)
        if at_once is not None and at_once(self.head, self.body):
            return
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body})


FromMemory = Callable[[dict[str, Any], bytes], Answer | None]
"""Gives, for scope and whole body of a request, the answer that needs no waiting; None where there is none."""


def answer(status: int, body: bytes, media: bytes = b"text/plain; charset=utf-8", *headers: Header) -> Answer:
    """Make an answer with its length and type; browsers must not guess another type (WEB-2)."""
    first: tuple[Header, ...] = ((b"content-type", media), (b"content-length", b"%d" % len(body)), _NOSNIFF)
    return Answer(status, first + headers, body)


def with_headers(given: Answer, *headers: Header) -> Answer:
    """Add headers to an answer."""
    return Answer(given.status, given.headers + headers, given.body)


def _refusal(status: int, body: bytes, *headers: Header) -> Answer:
    return answer(status, body, b"text/plain; charset=utf-8", NO_STORE, *headers)


def not_among(methods: Iterable[str]) -> Answer:
    """Refuse a method, and name those that are taken."""
    return _refusal(405, b"method not allowed\n", (b"allow", ", ".join(sorted(methods)).encode()))


_CLOSE: Header = (b"connection", b"close")
"""After an answer that did not wait for the whole request: what is still on its way is nobody's."""

BAD_REQUEST = _refusal(400, b"bad request\n")
NOT_FOUND = _refusal(404, b"not found\n")
METHOD_NOT_ALLOWED = _refusal(405, b"method not allowed\n", (b"allow", b"GET, HEAD, POST"))
READING_ONLY = _refusal(405, b"method not allowed\n", (b"allow", b"GET, HEAD"))
TOO_LARGE = _refusal(413, b"too large\n", _CLOSE)
URL_TOO_LONG = _refusal(414, b"url too long\n")
TOO_MANY = _refusal(429, b"too many requests\n")
"""Goes out with the Retry-After of its limit (R6)."""
MISDIRECTED = _refusal(421, b"misdirected request\n")
UNAVAILABLE = _refusal(503, b"try again later\n", (b"retry-after", _RETRY_SECONDS))
"""The only 5xx, and never for what a request holds (IN-2)."""
