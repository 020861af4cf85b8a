"""Load over HTTP: a bounded number of connections that are kept, and a bounded number of requests."""

from __future__ import annotations

import http.client
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import TYPE_CHECKING, Final, Self

from tools.bench.measure import VoidRunError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["CONNECTIONS", "Lockstep", "free_port", "get", "post_all", "wait_until_answering"]

CONNECTIONS: Final = 4
_SECONDS: Final = 60.0
"""Longest wait for one answer."""


def free_port() -> int:
    """Return a port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def get(port: int, path: str) -> bytes:
    """GET from this machine. Raises `VoidRunError` for any status but 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
    try:
        connection.request("GET", path)
        return _body(connection.getresponse())
    finally:
        connection.close()


def wait_until_answering(port: int, path: str, *, seconds: float = _SECONDS) -> float:
    """Ask until there is an answer of 200; returns the clock at that moment."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            get(port, path)
        except (OSError, http.client.HTTPException, VoidRunError) as error:
            if time.monotonic() > deadline:
                raise VoidRunError(f"no answer from port {port} in {seconds:g} s: {error}") from error
            time.sleep(0.005)
        else:
            return time.monotonic()


def post_all(port: int, path: str, bodies: Sequence[bytes], *, connections: int) -> list[bytes]:
    """POST each body once over so many connections; the answers in the order of the bodies."""
    shares = [bodies[number::connections] for number in range(connections)]
    with ThreadPoolExecutor(connections) as threads:
        answered = list(threads.map(lambda share: _post_share(port, path, share), shares))
    return [answered[number % connections][number // connections] for number in range(len(bodies))]


def _post_share(port: int, path: str, bodies: Sequence[bytes]) -> list[bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
    try:
        answers = []
        for body in bodies:
            connection.request("POST", path, body, {"Content-Type": "application/x-pki-message"})
            answers.append(_body(connection.getresponse()))
        return answers
    finally:
        connection.close()


def _body(response: http.client.HTTPResponse) -> bytes:
    body = response.read()
    if response.status != http.client.OK:
        raise VoidRunError(f"HTTP {response.status}: {body[:200]!r}")
    return body


class Lockstep:
    """Connections to one server that stay open, and whole HTTP requests sent over them as they are.

    All connections send before any of them reads: the server always finds several requests waiting, as under load.
    Answers must have a Content-Length.
    """

    def __init__(self, port: int, connections: int = 2 * CONNECTIONS) -> None:
        self._sockets = [socket.create_connection(("127.0.0.1", port), _SECONDS) for _ in range(connections)]
        for each in self._sockets:
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._sockets:
            each.close()

    def ask(self, requests: Sequence[bytes]) -> list[bytes]:
        """Send each request, one per connection at a time; the bodies in the order of the requests."""
        at_a_time = len(self._sockets)
        rounds = [requests[first : first + at_a_time] for first in range(0, len(requests), at_a_time)]
        return list(chain.from_iterable(_round(self._sockets, each) for each in rounds))


def _round(sockets: Sequence[socket.socket], requests: Sequence[bytes]) -> list[bytes]:
    pairs = list(zip(sockets, requests, strict=False))
    for each, request in pairs:
        each.sendall(request)
    return [_read_answer(each) for each, _ in pairs]


def _read_answer(connection: socket.socket) -> bytes:
    received = b""
    while (end := received.find(b"\r\n\r\n")) < 0:
        received += _more(connection)
    head, body = received[:end].lower(), received[end + 4 :]
    if not head.startswith(b"http/1.1 200 "):
        raise VoidRunError(f"an answer begins with {head[:60]!r}")
    length = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
    while len(body) < length:
        body += _more(connection)
    return body


def _more(connection: socket.socket) -> bytes:
    octets = connection.recv(65_536)
    if not octets:
        raise VoidRunError("the server closed the connection")
    return octets
