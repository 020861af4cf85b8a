"""The way to a signer in another process or on another host: `IntentSigner`, and `KeyStore` for CA keys.

A thread has a connection of its own and keeps it. Where a connection breaks the call is made again, once, on a new one:
signing a row again gives the same octets, and the signer refuses that where a token's key would give others. Where no
signer answers, calls fail at once for a second, so that those who wait do not hold every thread of a worker.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, TypeVar
from uuid import UUID

from regalia import reasons
from regalia.errors import AdminError, InvariantError, RegaliaError, UnavailableError
from regalia.keys.medium import write_key_file
from regalia.keys.signer_wire import CHUNK, Kind, Wire, WireError, read_refusal, write_events
from regalia.ports import NewKey

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from regalia.keys.pkcs11 import TokenKey
    from regalia.keys.signer import TbsFiles
    from regalia.model import EventDraft, KeyKind
    from regalia.ports import KeyVault

__all__ = ["RemoteSigner", "SignerAddress", "TlsAddress", "UnixAddress"]

T = TypeVar("T")

_CONNECT_SECONDS: Final = 3.0
_ANSWER_SECONDS: Final = 15.0
"""A busy token may take seconds for a signature."""
_NEW_KEY_SECONDS: Final = 120.0
_WORD_SECONDS: Final = 3.0
"""For what the signer answers without a key: whether it holds one is asked every second (`/readyz`)."""
_AWAY_SECONDS: Final = 1.0
_SIGNED: Final = frozenset({Kind.SIGNATURE, Kind.SEND, Kind.REFUSED})
_TOLD: Final = frozenset({Kind.YES, Kind.NO, Kind.REFUSED})
_MADE: Final = frozenset({Kind.KEY, Kind.DONE, Kind.REFUSED})
_WELCOME: Final = frozenset({Kind.WELCOME, Kind.REFUSED})


class SignerAddress(Protocol):
    """Where a signer is."""

    @property
    def token(self) -> bytes:
        """What to say first."""

    def connect(self, seconds: float) -> socket.socket:
        """Connect. Raises OSError."""


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A UNIX socket on this machine."""

    path: str
    """A file, or an abstract name after a NUL."""
    token: bytes = b""

    def connect(self, seconds: float) -> socket.socket:
        """Connect. Raises OSError."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(seconds)
            connection.connect(self.path)
        except OSError:
            connection.close()
            raise
        return connection

    def __str__(self) -> str:
        return self.path.replace("\x00", "@")


@dataclass(frozen=True, slots=True)
class TlsAddress:
    """Another host, with certificates on both sides."""

    host: str
    port: int
    context: ssl.SSLContext
    token: bytes = b""

    def connect(self, seconds: float) -> socket.socket:
        """Connect and shake hands; the signer's certificate must bear the host's name. Raises OSError."""
        plain = socket.create_connection((self.host, self.port), seconds)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            return self.context.wrap_socket(plain, server_hostname=self.host)
        except OSError:
            plain.close()
            raise

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class _RefusedError(Exception):
    """What the signer answered with, between two frames: the connection is as good as before."""

    def __init__(self, error: RegaliaError | InvariantError) -> None:
        super().__init__(str(error))
        self.error = error


class _Line:
    """A thread's connection."""

    def __init__(self, address: SignerAddress) -> None:
        self.socket = address.connect(_CONNECT_SECONDS)
        self.wire = Wire(self.socket, _ANSWER_SECONDS)
        self._poll = select.poll()
        self._poll.register(self.socket, select.POLLIN)
        try:
            self.wire.send(Kind.HELLO, address.token)
            _answered(*self.wire.receive(_WELCOME, within=_CONNECT_SECONDS), Kind.WELCOME)
        except BaseException:
            self.wire.close()
            raise

    def __del__(self) -> None:
        # With the thread that it belonged to: it has nowhere else to be closed.
        with suppress(AttributeError, OSError):
            self.wire.close()

    def stands(self) -> bool:
        """Whether the other end is still there: between two calls it has nothing to say but its end."""
        return not self._poll.poll(0)


class RemoteSigner:
    """A signer behind a socket. For any number of threads, in one process: open nothing before a fork."""

    def __init__(self, address: SignerAddress, files: TbsFiles, vault: KeyVault) -> None:
        """`files` has what a CRL's row names, to be sent to the signer; `vault` the wrapped keys, to be moved out."""
        self._address = address
        self._files = files
        self._vault = vault
        self._lines = threading.local()
        self._away_until = 0.0
        self._why = ""

    def sign_intent(self, row_id: UUID) -> bytes:
        """Have the committed row signed; see `ports.IntentSigner`.

        Raises `UnavailableError` too where the signer cannot open the key: it may be another site's.
        """

        def ask(wire: Wire, attempt: int) -> bytes:
            wire.send(Kind.SIGN, row_id.bytes + (b"\x01" if attempt else b"\x00"))
            kind, payload = wire.receive(_SIGNED)
            if kind is Kind.SEND:
                self._send_file(wire, payload.decode())
                kind, payload = wire.receive(_SIGNED)
            return _answered(kind, payload, Kind.SIGNATURE)

        try:
            return self._call(ask)
        except AdminError as error:
            raise UnavailableError(reasons.ISSUER_UNAVAILABLE, f"the signer: {error}") from error

    def repeats(self, key_id: UUID) -> bool:
        """Whether signing a row of this key again gives the same octets (ISS-2)."""
        return self._told(Kind.REPEATS, key_id)

    def holds(self, key_id: UUID) -> bool:
        """Whether the signer has the key. Raises `UnavailableError` CA-025 where it cannot be asked."""
        return self._told(Kind.HOLDS, key_id)

    def prove(self, key_id: UUID) -> None:
        """See that the signer can use the key. Raises what it met: `AdminError` ADM-010, `UnavailableError`."""
        self._told(Kind.PROVE, key_id)

    def generate(
        self, kind: KeyKind, scope: str, told: Callable[[NewKey], Sequence[EventDraft]] = lambda _: ()
    ) -> NewKey:
        """Have a CA's key made there; it never comes here. The signer commits it with the events of `told`."""

        def ask(wire: Wire, attempt: int) -> NewKey:
            del attempt
            wire.send(Kind.GENERATE, kind.value.encode() + b"\x00" + scope.encode())
            payload = _answered(*wire.receive(_MADE, within=_NEW_KEY_SECONDS), Kind.KEY)
            key = NewKey(UUID(bytes=payload[:16]), payload[16:])
            wire.send(Kind.EVENTS, write_events(told(key)))
            _answered(*wire.receive(_MADE), Kind.DONE)
            return key

        return self._call(ask, attempts=1)

    def destroy(self, key_id: UUID, events: Sequence[EventDraft]) -> bool:
        """Have a CA's key destroyed; see `ports.KeyStore`."""
        return self._told(Kind.DESTROY, key_id, write_events(events), attempts=1)

    def move_out(self, key_id: UUID, directory: Path, events: Sequence[EventDraft] = ()) -> Path:
        """Write the key, wrapped as it lies in the database, into `directory`, then destroy that copy.

        The signer proves before that it opens. Raises `UnavailableError` CA-010, `AdminError` ADM-010, ADM-020.
        """
        row = self._vault.get_key(key_id)
        if row is None:
            raise UnavailableError(reasons.ISSUER_UNAVAILABLE, f"key {key_id} is not in the database")
        self.prove(key_id)
        path = write_key_file(row, directory)
        self._vault.destroy_key(key_id, events)
        return path

    def find_by_uri(self, uri: str) -> TokenKey:
        """Refuse: the token is the signer's, and so is the command that looks at it."""
        raise AdminError(reasons.CONFIG_REFUSED, f"{uri} is on the token of {self._address}: run this command there")

    def adopt(self, uri: str, scope: str, told: Callable[[NewKey], Sequence[EventDraft]] = lambda _: ()) -> NewKey:
        """Refuse, as `find_by_uri` does."""
        del scope, told
        return NewKey(UUID(int=0), self.find_by_uri(uri).public_key)

    def __str__(self) -> str:
        return str(self._address)

    def _told(self, kind: Kind, key_id: UUID, more: bytes = b"", attempts: int = 2) -> bool:
        def ask(wire: Wire, attempt: int) -> bool:
            del attempt
            wire.send(kind, key_id.bytes + more)
            answer, payload = wire.receive(_TOLD, within=_WORD_SECONDS if kind is Kind.HOLDS else None)
            if answer is Kind.REFUSED:
                raise _RefusedError(read_refusal(payload))
            return answer is Kind.YES

        return self._call(ask, attempts)

    def _send_file(self, wire: Wire, path: str) -> None:
        for chunk in self._files.read(path):
            for start in range(0, len(chunk), CHUNK):
                wire.send(Kind.DATA, chunk[start : start + CHUNK])
        wire.send(Kind.END)

    def _call(self, ask: Callable[[Wire, int], T], attempts: int = 2) -> T:
        """Make one call. Raises `UnavailableError` CA-025 where nobody answers, and what the signer refused with."""
        broken = ""
        for attempt in range(attempts):
            line = self._line()
            try:
                return ask(line.wire, attempt)
            except _RefusedError as refused:
                raise refused.error from None
            except WireError as error:
                self._drop(line)
                broken = str(error)
            except BaseException:
                self._drop(line)
                raise
        raise UnavailableError(reasons.SIGNER_AWAY, f"{self._address}: {broken}")

    def _line(self) -> _Line:
        line: _Line | None = getattr(self._lines, "line", None)
        if line is not None:
            if line.stands():
                return line
            self._drop(line)
        if time.monotonic() < self._away_until:
            raise UnavailableError(reasons.SIGNER_AWAY, self._why)
        try:
            line = _Line(self._address)
        except _RefusedError as refused:
            raise refused.error from None
        except (OSError, WireError) as error:
            self._why = f"{self._address}: {error}"
            self._away_until = time.monotonic() + _AWAY_SECONDS
            raise UnavailableError(reasons.SIGNER_AWAY, self._why) from error
        self._lines.line = line
        return line

    def _drop(self, line: _Line) -> None:
        with suppress(OSError):
            line.wire.close()
        self._lines.line = None


def _answered(kind: Kind, payload: bytes, wanted: Kind) -> bytes:
    if kind is Kind.REFUSED:
        raise _RefusedError(read_refusal(payload))
    if kind is not wanted:
        raise WireError(f"{kind.name} in the place of {wanted.name}")
    return payload
