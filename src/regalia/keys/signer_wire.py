"""What a signer and its callers say to each other: frames with a fixed header, each kind with its own bounds.

A frame is version (1 octet), kind (1), two zero octets, length of the payload (4, big-endian), payload. A kind that is
not expected, a length outside the kind's bounds or an octet that must be zero ends the connection: nothing is guessed.
One call is under way on a connection at a time.

    caller                      signer
    HELLO token               → WELCOME
    SIGN row id, again?       → SIGNATURE octets | SEND path, then DATA … END → SIGNATURE octets
    HOLDS | REPEATS | PROVE   → YES | NO
    GENERATE kind, scope      → KEY id, public key; EVENTS → DONE
    DESTROY key id, events    → YES | NO
                              → REFUSED family, reason's id, detail: instead of any answer
"""

from __future__ import annotations

import struct
import time
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Final

from regalia import reasons
from regalia.errors import AdminError, InvariantError, RegaliaError, UnavailableError
from regalia.wire.event import RecordError, canonical_record, read_record

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from regalia.model import EventDraft

__all__ = [
    "ANSWERS",
    "CALLS",
    "CHUNK",
    "TOKEN_OCTETS",
    "ClosedError",
    "Kind",
    "Wire",
    "WireError",
    "read_events",
    "read_refusal",
    "write_events",
    "write_refusal",
]

VERSION: Final = 1
TOKEN_OCTETS: Final = 32
CHUNK: Final = 65_536
"""Longest part of a file in one frame."""

_HEADER = struct.Struct(">BBHI")
_ID: Final = 16
_READ: Final = 8_192
_EVENTS: Final = 65_536
_MAX_EVENTS: Final = 8
_DETAIL: Final = 2_048
_REASON: Final = 16


class Kind(IntEnum):
    """What a frame says."""

    HELLO = 1
    SIGN = 2
    HOLDS = 3
    REPEATS = 4
    PROVE = 5
    GENERATE = 6
    DESTROY = 7
    EVENTS = 16
    DATA = 17
    END = 18
    WELCOME = 64
    SIGNATURE = 65
    SEND = 66
    KEY = 67
    YES = 68
    NO = 69
    DONE = 70
    REFUSED = 71


_BOUNDS: Final[dict[Kind, tuple[int, int]]] = {
    Kind.HELLO: (0, TOKEN_OCTETS),
    Kind.SIGN: (_ID + 1, _ID + 1),
    Kind.HOLDS: (_ID, _ID),
    Kind.REPEATS: (_ID, _ID),
    Kind.PROVE: (_ID, _ID),
    Kind.GENERATE: (3, 128),
    Kind.DESTROY: (_ID, _ID + _EVENTS),
    Kind.EVENTS: (0, _EVENTS),
    Kind.DATA: (1, CHUNK),
    Kind.END: (0, 0),
    Kind.WELCOME: (0, 0),
    Kind.SIGNATURE: (8, 1_024),
    Kind.SEND: (1, 4_096),
    Kind.KEY: (_ID + 1, _ID + 2_048),
    Kind.YES: (0, 0),
    Kind.NO: (0, 0),
    Kind.DONE: (0, 0),
    Kind.REFUSED: (1, 1 + _REASON + 1 + _DETAIL),
}
CALLS: Final = frozenset({Kind.SIGN, Kind.HOLDS, Kind.REPEATS, Kind.PROVE, Kind.GENERATE, Kind.DESTROY})
"""What a caller may begin with, once it was welcomed."""
ANSWERS: Final = frozenset(kind for kind in Kind if kind >= Kind.WELCOME)

_KINDS: Final = {int(kind): kind for kind in Kind}


class WireError(Exception):
    """The connection cannot be used any more: it broke, it stalled, or the other end said what it may not say."""


class ClosedError(WireError):
    """The other end closed the connection between two frames."""


class Wire:
    """One connection, of either end. Not for two threads at a time."""

    def __init__(self, connection: socket.socket, patience: float) -> None:
        """`patience`: seconds that the other end may take for a frame once it began, or to take one of ours."""
        self._socket = connection
        self._patience = patience
        self._got = b""
        connection.settimeout(patience)

    def close(self) -> None:
        """Let go of it."""
        self._socket.close()

    def send(self, kind: Kind, payload: bytes = b"") -> None:
        """Send a frame. Raises `WireError`."""
        try:
            self._socket.sendall(_HEADER.pack(VERSION, kind, 0, len(payload)) + payload)
        except OSError as error:
            raise WireError(f"sending: {error}") from error

    def receive(self, expected: frozenset[Kind], *, within: float | None = None) -> tuple[Kind, bytes]:
        """Read the next frame, which must be of one of these kinds.

        It has to begin `within` so many seconds, the patience unless said, and to be whole a patience later. Raises
        `ClosedError` where the connection ended before it, `WireError` for everything else.
        """
        if len(self._got) < _HEADER.size:
            self._first(self._patience if within is None else within)
        until = None if len(self._got) >= _HEADER.size else time.monotonic() + self._patience
        if until is not None:
            self._fill(_HEADER.size, until)
        kind, length = _read_header(self._got, expected)
        whole = _HEADER.size + length
        if len(self._got) < whole:
            self._fill(whole, until or time.monotonic() + self._patience)
        payload, self._got = self._got[_HEADER.size : whole], self._got[whole:]
        return kind, payload

    def _first(self, within: float) -> None:
        """Wait for the first octets of a frame, as long as it may be before it begins."""
        if self._got:
            return
        until = time.monotonic() + within
        while not self._got:
            try:
                octets = self._socket.recv(_READ)
            except TimeoutError as error:
                if time.monotonic() < until:
                    continue
                raise WireError("nothing came in time") from error
            except OSError as error:
                raise WireError(f"receiving: {error}") from error
            if not octets:
                raise ClosedError("closed")
            self._got = octets

    def _fill(self, wanted: int, until: float) -> None:
        # In one piece where it is long: a part of a CRL's file comes in dozens of segments.
        parts, have = [self._got], len(self._got)
        while have < wanted:
            if time.monotonic() > until:
                raise WireError("a frame came too slowly")
            try:
                octets = self._socket.recv(max(_READ, min(wanted - have, CHUNK)))
            except OSError as error:
                raise WireError(f"receiving: {error}") from error
            if not octets:
                raise WireError("closed within a frame")
            parts.append(octets)
            have += len(octets)
        self._got = b"".join(parts)


def _read_header(octets: bytes, expected: frozenset[Kind]) -> tuple[Kind, int]:
    version, number, zero, length = _HEADER.unpack_from(octets)
    kind = _KINDS.get(number)
    if version != VERSION:
        raise WireError(f"version {version} is spoken there, {VERSION} here")
    if kind is None or kind not in expected or zero:
        raise WireError(f"a frame of kind {number} was not expected")
    least, most = _BOUNDS[kind]
    if not least <= length <= most:
        raise WireError(f"{kind.name} with {length} octets")
    return kind, length


# --- refusals ---------------------------------------------------------------------------------------------------------


class _Family(StrEnum):
    ADMIN = "A"
    UNAVAILABLE = "U"
    INVARIANT = "I"


@dataclass(frozen=True, slots=True)
class _Refusal:
    family: _Family
    reason_id: str
    detail: str


def write_refusal(error: RegaliaError | InvariantError) -> bytes:
    """Encode what a call raised."""
    if isinstance(error, RegaliaError):
        family = _Family.ADMIN if isinstance(error, AdminError) else _Family.UNAVAILABLE
        refusal = _Refusal(family, error.reason.id, error.detail)
    else:
        refusal = _Refusal(_Family.INVARIANT, "", str(error))
    detail = refusal.detail.encode("utf-8", "replace")[:_DETAIL]
    return refusal.family.encode() + refusal.reason_id.encode() + b"\x00" + detail


def read_refusal(payload: bytes) -> RegaliaError | InvariantError:
    """Make the error that was told, to be raised. Raises `WireError` for what cannot be read."""
    family, (reason_id, separator, detail) = payload[:1], payload[1:].partition(b"\x00")
    text = detail.decode("utf-8", "replace")
    if not separator:
        raise WireError("a refusal without a reason")
    if family == _Family.INVARIANT.encode():
        return InvariantError(f"the signer: {text}")
    reason = reasons.by_id(reason_id.decode("ascii", "replace"))
    if family == _Family.ADMIN.encode():
        return AdminError(reason or reasons.ISSUER_UNAVAILABLE, text)
    if family == _Family.UNAVAILABLE.encode():
        return UnavailableError(reason or reasons.ISSUER_UNAVAILABLE, text)
    raise WireError("a refusal of no known family")


# --- events -----------------------------------------------------------------------------------------------------------


def write_events(events: Sequence[EventDraft]) -> bytes:
    """Encode the events of a change, each in its canonical form behind its length."""
    records = [canonical_record("", 0, bytes(32), event) for event in events]
    octets = b"".join(len(record).to_bytes(4, "big") + record for record in records)
    if len(records) > _MAX_EVENTS or len(octets) > _EVENTS:
        raise InvariantError(f"{len(records)} events for one key, {len(octets)} octets")
    return octets


def read_events(payload: bytes) -> tuple[EventDraft, ...]:
    """Read what `write_events` wrote. Raises `WireError` for anything else."""
    drafts: list[EventDraft] = []
    while payload:
        length = int.from_bytes(payload[:4], "big")
        record, payload = payload[4 : 4 + length], payload[4 + length :]
        try:
            drafts.append(read_record(record)[3])
        except RecordError as error:
            raise WireError(f"events: {error}") from error
    if len(drafts) > _MAX_EVENTS:
        raise WireError(f"{len(drafts)} events for one key")
    return tuple(drafts)
