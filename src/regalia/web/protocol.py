"""HTTP/1 with bounds (RES-1, RES-2): uvicorn's own protocol keeps what it is sent, as long as it is sent.

URL and header sizes, deadlines for header, body and answer, connections per source and in all. What is beyond a bound
is answered with a constant and hung up on before any application sees it.
"""

from __future__ import annotations

import contextlib
import fcntl
import sys
import termios
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from regalia.ra.sources import source_of
from regalia.web.answers import AT_ONCE

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from uvicorn._types import ASGI3Application
    from uvicorn.config import Config
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
    from uvicorn.server import ServerState

    from regalia.web.answers import FromMemory
    from regalia.web.connections import OpenConnections
    from regalia.web.proxies import TrustedProxies

__all__ = ["BoundedProtocol", "ConnectionLimits", "bounded_protocol"]


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Bounds of one listener: octets, seconds, numbers."""

    url: int = 65_000
    """Above what any application allows: those answer 414 themselves, and record it."""
    headers: int = 16_384
    header_seconds: float = 10.0
    body_seconds: float = 20.0
    """Enough for 64 KiB at 3.3 kB/s, so the floor of 500 octets a second needs no watching of its own."""
    answer_seconds: float = 20.0
    """How often it is looked whether a peer reads its answer: at 500 octets a second or more it may take its time."""
    per_source: int = 50
    connections: int = 1_000


class _BeyondBoundError(Exception):
    """Raised inside the parser's callbacks, which turn it into a parser error."""


_LEAST_RATE = 500
"""Octets a second that a peer must read of what we have for it (RES-2)."""

_TEXTS = {
    400: b"400 Bad Request",
    408: b"408 Request Timeout",
    414: b"414 URI Too Long",
    429: b"429 Too Many Requests",
    431: b"431 Request Header Fields Too Large",
    503: b"503 Service Unavailable",
}


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    limits: ConnectionLimits
    open: OpenConnections
    proxies: TrustedProxies
    from_memory: FromMemory | None = None
    accepted: Callable[[], None] | None = None
    """Told when the connection is ours to count: somebody counted it while its TLS was being agreed on."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._source: str | None = ""
        self._status = 400
        self._requests = 0
        self._begun = False
        self._in_body = False
        self._head_octets = 0
        self._header_octets = 0
        self._awaited: tuple[int, bool] | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._answered: RequestResponseCycle | None = None
        self._parsing = False
        self._starting: tuple[RequestResponseCycle, ASGI3Application] | None = None
        self._reading: asyncio.TimerHandle | None = None
        self._unread = 0

    # --- the connection ---------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Take the connection, or say at once that there are too many."""
        super().connection_made(transport)
        if self.accepted is not None:
            self.accepted()
        address = self.client[0] if self.client else ""
        self._source = None if self.proxies.trusts(address) else source_of(address)
        of_source, of_all = self.open.opened(self._source)
        if of_source > self.limits.per_source:
            self._hang_up(429)
        elif of_all > self.limits.connections:
            self._hang_up(503)
        else:
            self._await((0, False))

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._await(None)
        if self._reading is not None:
            self._reading.cancel()
        self.open.closed(self._source)
        # uvicorn tells the newest request only; one that was pipelined before it would go on to write its answer into
        # a closed socket, and count as a bug of ours.
        if self._answered is not None and not self._answered.response_complete:
            self._answered.disconnected = True
            self._answered.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse, unless it was hung up on already."""
        if self.transport.is_closing():
            return
        if not self._in_body:
            self._head_octets += len(data)
        self._parsing = True
        HttpToolsProtocol.data_received(self, data)
        # The parser tells of a header only once it is complete; one that does not end is counted here.
        if not self._in_body and self._head_octets > self.limits.url + self.limits.headers:
            self._hang_up(431)
        # Most requests come in one piece, and never need a timer.
        if self._in_body or self._head_octets:
            self._await((self._requests, self._in_body))
        elif self._awaited is not None:
            self._await(None)
        self._start_what_was_parsed()

    def eof_received(self) -> bool:  # type: ignore[override]  # uvicorn's never keeps it
        """Answer what was asked before the peer closed its side: simple clients send, close, and read (RFC 9112 §9.6).

        Half a request is not waited for, and TLS has no half of a connection.
        """
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete or self._in_body or self.scheme == "https":
            return False
        cycle.keep_alive = False
        return True

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answered = cycle
        if self._parsing:
            # Its body is mostly in the same octets: then it can be answered without a task.
            self._starting = cycle, app
            return
        self.proxies.apply(cycle.scope)  # type: ignore[arg-type]  # a scope, if a typed one
        cycle.scope[AT_ONCE] = partial(_at_once, cycle)  # type: ignore[typeddict-unknown-key]  # ours
        HttpToolsProtocol._start_asgi_task(self, cycle, app)  # noqa: SLF001 - our own base class

    def _start_what_was_parsed(self) -> None:
        """Start the request that began in these octets, and those behind it while each is answered from memory."""
        while self._starting is not None:
            (cycle, app), self._starting = self._starting, None
            if not self._answered_from_memory(cycle):
                self._parsing = False
                self._start_asgi_task(cycle, app)
        self._parsing = False

    def _answered_from_memory(self, cycle: RequestResponseCycle) -> bool:
        if self.from_memory is None or cycle.more_body or self.transport.is_closing() or not _takes_at_once(cycle):
            return False
        given = self.from_memory(cycle.scope, bytes(cycle.body))  # type: ignore[arg-type]  # a scope, if a typed one
        return given is not None and _at_once(cycle, given.head, given.body)

    # --- the parser's callbacks -------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A request begins: the first, or the next on a connection that was kept."""
        HttpToolsProtocol.on_message_begin(self)  # super() would cost each callback a quarter of itself
        self._requests += 1
        self._begun = True
        self._head_octets = self._head_octets or 1
        self._header_octets = 0

    def on_url(self, url: bytes) -> None:
        """Count the request target."""
        self.url += url
        if len(self.url) > self.limits.url:
            self._status = 414
            raise _BeyondBoundError

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep and count the header fields, those after a chunked body too: called more often than all others."""
        octets = self._header_octets = self._header_octets + len(name) + len(value) + 4
        if octets > self.limits.headers:
            self._status = 431
            raise _BeyondBoundError
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The body begins."""
        self._in_body = True
        HttpToolsProtocol.on_headers_complete(self)

    def on_message_complete(self) -> None:
        """From here on it is we who take time; what comes next belongs to another request."""
        self._in_body = self._begun = False
        self._head_octets = 0
        HttpToolsProtocol.on_message_complete(self)

    # --- a peer that does not read ----------------------------------------------------------------------------------

    def pause_writing(self) -> None:
        """More is waiting for the peer than it takes at once."""
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        """The peer has read nearly all of it."""
        super().resume_writing()
        self._unread = sys.maxsize

    def on_response_complete(self) -> None:
        """See that the answer is read, too: a connection may be closed and wait for that without end."""
        HttpToolsProtocol.on_response_complete(self)
        if self.transport.get_write_buffer_size() > 0:
            self._watch()

    def _watch(self) -> None:
        if self._reading is None and self.transport.get_write_buffer_size() > 0:
            self._unread = self._left()
            self._reading = self.loop.call_later(self.limits.answer_seconds, self._look)

    def _look(self) -> None:
        self._reading = None
        if self._unread - self._left() < _LEAST_RATE * self.limits.answer_seconds and self._left() > 0:
            self.transport.abort()
        else:
            self._watch()

    def _left(self) -> int:
        """Count what the peer has not taken: of ours, and of the megabytes that the kernel holds for it."""
        left = self.transport.get_write_buffer_size()
        with contextlib.suppress(OSError, ValueError):
            queued = fcntl.ioctl(self.transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
            left += int.from_bytes(queued, sys.byteorder)
        return left

    # --- ending it --------------------------------------------------------------------------------------------------

    def _await(self, awaited: tuple[int, bool] | None) -> None:
        """Set the deadline for the rest of a request's head or body, once for each; none for None."""
        if awaited == self._awaited or (awaited is not None and self.transport.is_closing()):
            return
        self._awaited = awaited
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if awaited is not None:
            seconds = self.limits.body_seconds if awaited[1] else self.limits.header_seconds
            self._deadline = self.loop.call_later(seconds, self._is_late)

    def _is_late(self) -> None:
        awaited, self._awaited = self._awaited, None
        cycle: RequestResponseCycle | None = self.cycle
        if not self._in_body and cycle is not None and not cycle.response_complete:
            # We owe an answer to the request before; old browsers' code sends a stray CRLF after a POST's body.
            self._await(awaited)
        else:
            self._hang_up(408)

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser refused: a constant, whatever it was."""
        del msg
        self._hang_up(self._status)

    def _hang_up(self, status: int) -> None:
        self._await(None)
        if self.transport.is_closing():
            return
        silent = status == 408 and not self._begun
        cycle: RequestResponseCycle | None = self.cycle
        answering = self.pipeline or (cycle is not None and cycle.response_started and not cycle.response_complete)
        if not silent and not answering:
            # In the middle of an answer this would be taken for its body; who never asked anything needs no answer.
            retry = b"retry-after: 10\r\n" if status in {429, 503} else b""
            head = b"HTTP/1.1 " + _TEXTS[status] + b"\r\ncontent-length: 0\r\nconnection: close\r\n" + retry
            self.transport.write(head + b"\r\n")
        self.transport.close()
        self._watch()


def _takes_at_once(cycle: RequestResponseCycle) -> bool:
    if cycle.response_started or cycle.disconnected or not cycle.keep_alive or cycle.flow.write_paused:
        return False
    return cycle.scope["method"] != "HEAD"


def _at_once(cycle: RequestResponseCycle, head: bytes, body: bytes) -> bool:
    """Write a whole answer with one call of the system; False where uvicorn's own way has more to do.

    uvicorn examines each header field and writes head and body one after the other, which costs more than finding an
    answer that is remembered.
    """
    if not _takes_at_once(cycle) or b"\r\nconnection: " in head:
        return False
    cycle.response_started = cycle.response_complete = True
    cycle.waiting_for_100_continue = False
    fields = [b"%s: %s\r\n" % header for header in cycle.default_headers]
    cycle.transport.write(b"".join([head, *fields, b"\r\n", body]))
    cycle.message_event.set()
    cycle.on_response()
    return True


def bounded_protocol(
    limits: ConnectionLimits,
    open_connections: OpenConnections,
    proxies: TrustedProxies,
    from_memory: FromMemory | None = None,
) -> type[BoundedProtocol]:
    """Make the protocol class of one listener, whose connections it counts, in this process and those beside it.

    A trusted proxy's connections are bounded by the number of all: it stands for many devices.
    """
    own: dict[str, object] = {"limits": limits, "open": open_connections, "proxies": proxies}
    if from_memory is not None:
        own["from_memory"] = staticmethod(from_memory)
    return type("Bounded", (BoundedProtocol,), own)
