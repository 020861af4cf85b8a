"""A TCP proxy between Regalia and PostgreSQL that can be cut, stalled, and made to swallow."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress
from enum import Enum
from typing import Final, Self

__all__ = ["Mood", "Proxy"]

_CHUNK: Final = 65_536
_LOOK_SECONDS: Final = 0.05


class Mood(Enum):
    """What the proxy does."""

    FORWARD = "forward"
    CUT = "cut"
    """Every connection is reset, new ones too."""
    STALL = "stall"
    """Nothing is forwarded, and nothing is lost: it comes later."""
    SWALLOW = "swallow"
    """What comes is thrown away and nobody is told, as when a host has gone; connections end when the mood does."""


class Proxy:
    """Forwards a port on the loopback to another one. Threads: one that accepts, two for each connection."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._listener.settimeout(_LOOK_SECONDS)
        self.port: int = self._listener.getsockname()[1]
        self._mood = Mood.FORWARD
        self._moved = threading.Condition()
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._closed = False
        self._accepting = threading.Thread(target=self._accept, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._accepting.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        self.set(Mood.CUT)
        self._accepting.join()
        self._listener.close()

    def set(self, mood: Mood) -> None:
        """Change what is done, at once and for every connection."""
        with self._moved:
            before, self._mood = self._mood, mood
            if mood is Mood.CUT or before is Mood.SWALLOW:
                for pair in tuple(self._pairs):
                    _reset(pair)
            self._moved.notify_all()

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            if self._mood is Mood.CUT:
                _reset((client,))
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self._target), 5)
            except OSError:
                _reset((client,))
                continue
            client.settimeout(None)
            server.settimeout(None)
            pair = (client, server)
            with self._moved:
                self._pairs.add(pair)
            for source, sink in (pair, pair[::-1]):
                threading.Thread(target=self._pump, args=(source, sink, pair), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, pair: tuple[socket.socket, socket.socket]) -> None:
        with suppress(OSError):
            while chunk := source.recv(_CHUNK):
                if self._may_pass():
                    sink.sendall(chunk)
        with self._moved:
            self._pairs.discard(pair)
        for each in pair:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _may_pass(self) -> bool:
        """Wait while stalled; whether what has come is to be forwarded."""
        with self._moved:
            while self._mood is Mood.STALL:
                self._moved.wait()
            return self._mood is not Mood.SWALLOW


def _reset(sockets: tuple[socket.socket, ...]) -> None:
    """Close with RST, as a firewall does that forgot the connection."""
    for each in sockets:
        with suppress(OSError):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            each.shutdown(socket.SHUT_RDWR)
        each.close()
