"""TLS connections before they speak HTTP: counted and bounded from their first packet on (RES-2).

An event loop that is given a TLS listener tells nobody of a connection before its handshake has ended. Who opens
connections and never begins one would then be counted nowhere, for a minute each; so we accept them ourselves.
"""

from __future__ import annotations

import asyncio
import errno
from typing import TYPE_CHECKING, Final

import structlog

from regalia.ra.sources import source_of

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence
    from ssl import SSLContext

    from regalia.web.connections import OpenConnections
    from regalia.web.protocol import ConnectionLimits
    from regalia.web.proxies import TrustedProxies

__all__ = ["TlsDoor"]

_log = structlog.get_logger("regalia.web")

_GOODBYE_SECONDS: Final = 5.0
"""How long a peer has to say that it heard that we close."""
_AT_A_TIME: Final = 16
"""Connections that are taken in one go; other workers want some, too."""
_SCARCE: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_SCARCE_SECONDS: Final = 0.5


class TlsDoor:
    """Accepts on opened sockets; each connection gets a protocol of `speaks` when both sides have agreed on keys."""

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        context: SSLContext,
        limits: ConnectionLimits,
        open_connections: OpenConnections,
        proxies: TrustedProxies,
        speaks: Callable[[Callable[[], None]], asyncio.Protocol],
    ) -> None:
        """`speaks` makes the protocol; it calls what it is given when the connection is its own, and counts it then."""
        self._sockets = sockets
        self._context = context
        self._limits = limits
        self._connections = open_connections
        self._proxies = proxies
        self._speaks = speaks
        self._loop = asyncio.get_running_loop()
        self._shaking: set[asyncio.Task[None]] = set()
        self._is_open = False

    def open(self) -> None:
        """Begin to accept."""
        self._is_open = True
        for each in self._sockets:
            each.settimeout(0)
            self._listen(each)

    def close(self) -> None:
        """Accept no more. Handshakes that were begun come to their end."""
        self._is_open = False
        for each in self._sockets:
            self._loop.remove_reader(each)

    def _listen(self, listening: socket.socket) -> None:
        if self._is_open:
            self._loop.add_reader(listening, self._accept, listening)

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(_AT_A_TIME):
            try:
                connection, address = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _SCARCE:
                    raise
                # What waits would wake us at once again, to no use.
                self._loop.remove_reader(listening)
                self._loop.call_later(_SCARCE_SECONDS, self._listen, listening)
                return
            self._take(connection, str(address[0]))

    def _take(self, connection: socket.socket, address: str) -> None:
        connection.settimeout(0)
        source = None if self._proxies.trusts(address) else source_of(address)
        of_source, of_all = self._connections.opened(source)
        if of_source > self._limits.per_source or of_all > self._limits.connections:
            # There are no keys yet to say anything under.
            self._connections.closed(source)
            connection.close()
            return
        task = self._loop.create_task(self._shake(connection, source))
        self._shaking.add(task)
        task.add_done_callback(self._shaking.discard)

    async def _shake(self, connection: socket.socket, source: str | None) -> None:
        counted = True

        def hand_over() -> None:
            nonlocal counted
            if counted:
                counted = False
                self._connections.closed(source)

        try:
            await self._loop.connect_accepted_socket(
                lambda: self._speaks(hand_over),
                connection,
                ssl=self._context,
                ssl_handshake_timeout=self._limits.header_seconds,
                ssl_shutdown_timeout=_GOODBYE_SECONDS,
            )
        except OSError as error:  # ssl.SSLError is one
            # The event loop hangs up before it has told the peer why, so whoever looks for the reason needs it here.
            # Strangers cause it at will: it is said to those alone who ask for everything.
            _log.debug("tls-handshake-failed", source=source, error=str(error))
            connection.close()
        finally:
            hand_over()
