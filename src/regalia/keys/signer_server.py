"""The signer as a server: who may come in, a thread for each connection, and an end that lets what was begun finish.

Callers come by a UNIX socket, where the kernel says which user they are, or by TCP with TLS 1.3, where both sides show
a certificate of one pinned authority and the caller's has a name that was agreed on. Whoever is refused is in the log.
"""

from __future__ import annotations

import hmac
import os
import selectors
import socket
import ssl
import struct
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from regalia import reasons
from regalia.errors import AdminError, UnavailableError
from regalia.keys.private_files import read_private
from regalia.keys.signer_wire import ClosedError, Kind, Wire, WireError, write_refusal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from regalia.keys.signer_desk import Bounds, Desk

__all__ = ["Entrance", "SignerServer", "TlsEntrance", "UnixEntrance", "listen_unix", "tls_context"]

_BACKLOG: Final = 128
_CREDENTIALS = struct.Struct("3i")
_HELLO: Final = frozenset({Kind.HELLO})
_END_SECONDS: Final = 10.0
"""How long calls that were begun may take to finish."""

_TOLD_SECONDS: Final = 1.0
"""How long somebody who is not let in may take to hear so."""

_log = structlog.get_logger("regalia.signer")


class _StrangerError(Exception):
    """Somebody who is not let in; `spoken` is where to tell so, if anywhere."""

    def __init__(self, caller: str, spoken: socket.socket | None = None) -> None:
        super().__init__(caller)
        self.spoken = spoken


class Entrance(Protocol):
    """A listening socket, and who may come in by it."""

    @property
    def listening(self) -> socket.socket:
        """Where callers connect."""

    def admit(self, connection: socket.socket, patience: float) -> tuple[socket.socket, str]:
        """Look who it is. Returns the connection to speak on and the caller's name, or raises."""

    def accepts(self, token: bytes) -> bool:
        """Whether the caller's first word is right."""


@dataclass(frozen=True, slots=True)
class UnixEntrance:
    """A UNIX socket."""

    listening: socket.socket
    users: frozenset[int]
    """Numbers of the users who may call."""
    groups: frozenset[int] = frozenset()
    """Numbers of the groups whose processes may call: by the process's own group, not its further ones."""
    token: bytes = b""
    """What callers have to say besides; only processes that were forked from one parent know it."""

    def admit(self, connection: socket.socket, patience: float) -> tuple[socket.socket, str]:
        """Ask the kernel who is at the other end."""
        del patience
        octets = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        process, user, group = _CREDENTIALS.unpack(octets)
        caller = f"process {process} of user {user}"
        if user not in self.users and group not in self.groups:
            raise _StrangerError(caller, connection)
        return connection, caller

    def accepts(self, token: bytes) -> bool:
        """Compare in constant time."""
        return hmac.compare_digest(token, self.token)


@dataclass(frozen=True, slots=True)
class TlsEntrance:
    """A TCP socket with TLS 1.3 on both sides' certificates."""

    listening: socket.socket
    context: ssl.SSLContext
    names: frozenset[str]
    """DNS names of callers; a certificate with one of them may call."""

    def admit(self, connection: socket.socket, patience: float) -> tuple[socket.socket, str]:
        """Shake hands, and look at the name."""
        connection.settimeout(patience)
        address = str(connection.getpeername()[0])
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        try:
            spoken = self.context.wrap_socket(connection, server_side=True)
        except OSError as error:  # ssl.SSLError is one
            raise _StrangerError(f"{address}: {error}") from error
        names = _dns_names(spoken)
        if not names & self.names:
            raise _StrangerError(f"{address} as {', '.join(sorted(names)) or 'nobody'}", spoken)
        return spoken, f"{address} as {', '.join(sorted(names & self.names))}"

    def accepts(self, token: bytes) -> bool:
        """Nothing more is asked."""
        return not token


def _dns_names(spoken: ssl.SSLSocket) -> frozenset[str]:
    shown = spoken.getpeercert() or {}
    pairs = shown.get("subjectAltName", ())
    return frozenset(str(pair[1]).lower() for pair in pairs if isinstance(pair, tuple) and pair[0] == "DNS")


def _hear_out(spoken: socket.socket) -> None:
    """Read what the other end says until it closes: closed on it, its sending fails and what it was told is lost."""
    until = time.monotonic() + _TOLD_SECONDS
    spoken.shutdown(socket.SHUT_WR)
    while spoken.recv(1_024) and time.monotonic() < until:
        pass


def tls_context(*, server: bool, certificate: Path, key: Path, authority: Path) -> ssl.SSLContext:
    """Make a context of either side: TLS 1.3, our certificate, the other's from this one authority.

    Raises `AdminError` ADM-020 where a file is not what it should be, ADM-011 where others may read the key.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    if server:
        # A ticket would let a caller come back without showing its certificate, and lie unread in its socket.
        context.num_tickets = 0
    try:
        read_private(key, 1)  # SEC-3: not where others may read it
        context.load_cert_chain(certificate, key)
        context.load_verify_locations(authority)
    except (OSError, ssl.SSLError) as error:
        told = f"{certificate}, {key} or {authority}: {error.strerror or error}"
        raise AdminError(reasons.FILE_REFUSED, told) from error
    return context


def listen_unix(path: Path, mode: int = 0o600, group: int | None = None) -> socket.socket:
    """Listen at a path; a socket that nobody listens at any more is replaced.

    Raises `AdminError` ADM-019 where it cannot be, or where somebody listens there.
    """
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        before = os.umask(0o177)
        try:
            listening.bind(str(path))
        finally:
            os.umask(before)
        if group is not None:
            os.chown(path, -1, group)
        path.chmod(mode)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise AdminError(reasons.LISTENER_REFUSED, f"{path}: {error.strerror or error}") from error
    return listening


def _remove_stale(path: Path) -> None:
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
        else:
            raise AdminError(reasons.LISTENER_REFUSED, f"{path}: another signer listens there")


class SignerServer:
    """Serves entrances until it is told to stop. To be used once."""

    def __init__(self, entrances: Sequence[Entrance], desk: Desk, bounds: Bounds) -> None:
        self._entrances = entrances
        self._desk = desk
        self._bounds = bounds
        self._places = threading.BoundedSemaphore(bounds.connections)
        self._coming = threading.BoundedSemaphore(bounds.handshakes)
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()

    def run(self, stops: Sequence[int]) -> None:
        """Serve until one of these descriptors can be read or has ended; then finish what was begun."""
        with selectors.DefaultSelector() as selector:
            for stop in stops:
                selector.register(stop, selectors.EVENT_READ)
            for entrance in self._entrances:
                entrance.listening.settimeout(0)
                selector.register(entrance.listening, selectors.EVENT_READ, entrance)
            while True:
                ready = [key for key, _ in selector.select()]
                if any(key.data is None for key in ready):
                    break
                for key in ready:
                    self._accept(key.data)
        self._finish()

    def _accept(self, entrance: Entrance) -> None:
        try:
            connection, _ = entrance.listening.accept()
        except OSError as error:
            # Whoever it was is gone again, or there are no descriptors: then the backlog holds them for a moment.
            if not isinstance(error, BlockingIOError):
                _log.warning("signer-not-accepted", why=str(error))
                time.sleep(0.05)
            return
        if not self._coming.acquire(blocking=False):
            _log.warning("signer-full", handshakes=self._bounds.handshakes)
            connection.close()
            return
        # Daemons: what is left of them after the last answers must not keep the process.
        threading.Thread(target=self._talk, args=(entrance, connection), name="signer", daemon=True).start()

    def _talk(self, entrance: Entrance, connection: socket.socket) -> None:
        spoken = connection
        try:
            spoken, caller = self._admitted(entrance, connection)
            with self._lock:
                self._open.add(spoken)
            self._seat(entrance, spoken, caller)
        except _StrangerError as stranger:
            self._turn_away(stranger)
        except ClosedError:
            pass
        except WireError as error:
            _log.warning("signer-connection-broken", why=str(error))
        finally:
            with self._lock:
                self._open.discard(spoken)
            spoken.close()
            connection.close()

    def _admitted(self, entrance: Entrance, connection: socket.socket) -> tuple[socket.socket, str]:
        """Look who it is; meanwhile nobody's place is taken: anybody on the network gets this far."""
        try:
            return entrance.admit(connection, self._bounds.frame_seconds)
        finally:
            self._coming.release()

    def _seat(self, entrance: Entrance, spoken: socket.socket, caller: str) -> None:
        if not self._places.acquire(blocking=False):
            _log.warning("signer-full", connections=self._bounds.connections)
            return
        try:
            self._welcome(entrance, spoken, caller)
        finally:
            self._places.release()

    def _welcome(self, entrance: Entrance, spoken: socket.socket, caller: str) -> None:
        wire = Wire(spoken, self._bounds.frame_seconds)
        _, token = wire.receive(_HELLO)
        if not entrance.accepts(token):
            raise _StrangerError(f"{caller} with a wrong first word", spoken)
        wire.send(Kind.WELCOME)
        self._desk.serve(wire, caller)

    def _turn_away(self, stranger: _StrangerError) -> None:
        _log.warning("signer-stranger", caller=str(stranger))
        if stranger.spoken is None or not self._coming.acquire(blocking=False):
            return
        refusal = write_refusal(UnavailableError(reasons.SIGNER_REFUSED, "the signer's log says why"))
        try:
            with suppress(WireError, OSError):
                Wire(stranger.spoken, _TOLD_SECONDS).send(Kind.REFUSED, refusal)
                _hear_out(stranger.spoken)
        finally:
            self._coming.release()

    def _finish(self) -> None:
        """Let no more calls begin, and those that were begun be answered."""
        for entrance in self._entrances:
            entrance.listening.close()
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    # Past `ssl`, whose own shutdown would have the last answers go out in the clear.
                    socket.socket.shutdown(connection, socket.SHUT_RD)
        until = time.monotonic() + _END_SECONDS
        while self._open and time.monotonic() < until:
            time.sleep(0.01)
