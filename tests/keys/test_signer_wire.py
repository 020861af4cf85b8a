"""Frames between a signer and its callers: what is read, and that nothing else is."""

from __future__ import annotations

import socket
import struct
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from regalia import reasons
from regalia.errors import AdminError, InvariantError, RegaliaError, UnavailableError
from regalia.keys.signer_wire import (
    CALLS,
    CHUNK,
    ClosedError,
    Kind,
    Wire,
    WireError,
    read_events,
    read_refusal,
    write_events,
    write_refusal,
)
from regalia.model import Action, Actor, ActorKind, EventDraft, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

ROW = bytes(range(16))
EVENT = EventDraft(
    datetime(2026, 3, 1, 9, 0, tzinfo=UTC),
    Actor(ActorKind.ADMIN, "os:root"),
    Action.KEY_GENERATED,
    "key:1",
    Outcome.OK,
    details={"scope": "ca:group:staff", "of": "Zürich"},
)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, Wire]]:
    """A bare socket, and a wire at the other end of it that waits for half a second at most."""
    left, right = socket.socketpair()
    with left, right:
        yield left, Wire(right, 0.2)


def frame(kind: int, payload: bytes = b"", *, version: int = 1, zero: int = 0, length: int | None = None) -> bytes:
    """Write a frame by hand."""
    return struct.pack(">BBHI", version, kind, zero, len(payload) if length is None else length) + payload


def test_frames_arrive_one_by_one_however_they_are_cut(ends: tuple[socket.socket, Wire]) -> None:
    """Two frames in one piece are two, and a frame in many pieces is one."""
    left, wire = ends
    left.sendall(frame(Kind.HOLDS, ROW) + frame(Kind.PROVE, ROW))
    assert [wire.receive(CALLS), wire.receive(CALLS)] == [(Kind.HOLDS, ROW), (Kind.PROVE, ROW)]
    for octet in frame(Kind.SIGN, ROW + b"\x00"):
        left.sendall(bytes([octet]))
    assert wire.receive(CALLS) == (Kind.SIGN, ROW + b"\x00")


def test_the_largest_part_of_a_file_passes(ends: tuple[socket.socket, Wire]) -> None:
    """A part of a CRL's file has up to 64 KiB."""
    left, wire = ends
    left.sendall(frame(Kind.DATA, bytes(CHUNK)))
    assert wire.receive(frozenset({Kind.DATA})) == (Kind.DATA, bytes(CHUNK))


@pytest.mark.parametrize(
    "octets",
    [
        frame(Kind.HOLDS, ROW, version=2),
        frame(Kind.HOLDS, ROW, zero=1),
        frame(Kind.HOLDS, ROW[:15]),
        frame(Kind.HOLDS, ROW + b"\x00"),
        frame(Kind.SIGN, ROW),
        frame(Kind.SIGNATURE, bytes(64)),
        frame(99),
        frame(0),
        frame(Kind.GENERATE, length=2**32 - 1),
        frame(Kind.DESTROY, length=CHUNK * 2),
        frame(Kind.HOLDS, ROW)[:5],
        frame(Kind.HOLDS, ROW)[:-1],
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x80\x04\x95",
    ],
)
def test_whatever_is_no_frame_of_a_call_ends_the_connection(ends: tuple[socket.socket, Wire], octets: bytes) -> None:
    """SEC-1: another version, kind or length, and what stalls within a frame, is refused; nothing is guessed."""
    left, wire = ends
    left.sendall(octets)
    with pytest.raises(WireError) as refused:
        wire.receive(CALLS)
    assert not isinstance(refused.value, ClosedError)


def test_an_end_between_frames_is_told_from_one_within(ends: tuple[socket.socket, Wire]) -> None:
    """A caller that leaves between calls is no fault."""
    left, wire = ends
    left.sendall(frame(Kind.HOLDS, ROW))
    left.close()
    assert wire.receive(CALLS)[0] is Kind.HOLDS
    with pytest.raises(ClosedError):
        wire.receive(CALLS)


@pytest.mark.parametrize(
    "error",
    [
        AdminError(reasons.MASTER_KEY_REFUSED, "another one"),
        UnavailableError(reasons.IN_PROGRESS, "no open intent « »"),
        UnavailableError(reasons.SIGNER_BUSY),
    ],
)
def test_a_refusal_arrives_as_what_it_was(error: RegaliaError) -> None:
    """Kind, reason and words of an error survive the way."""
    read = read_refusal(write_refusal(error))
    assert isinstance(read, RegaliaError)
    assert (type(read), read.reason, read.detail) == (type(error), error.reason, error.detail)


def test_a_bug_of_the_signer_is_one_here() -> None:
    """An `InvariantError` arrives as one, in the signer's words; they are cut, not sent in full."""
    read = read_refusal(write_refusal(InvariantError("x" * 10_000)))
    assert isinstance(read, InvariantError)
    assert 2_000 < len(str(read)) < 2_100


@pytest.mark.parametrize("octets", [b"", b"A", b"AADM-010", b"Z\x00", b"ZADM-010\x00why"])
def test_what_is_no_refusal_is_not_read(octets: bytes) -> None:
    """A refusal without a family or a reason's end is refused itself."""
    with pytest.raises(WireError):
        read_refusal(octets)


def test_a_reason_that_is_not_known_here_is_unavailable() -> None:
    """A newer signer may have reasons of its own: the caller still waits and tries again."""
    read = read_refusal(b"UCA-999\x00why")
    assert isinstance(read, UnavailableError)
    assert read.reason is reasons.ISSUER_UNAVAILABLE


def test_events_arrive_as_they_were() -> None:
    """AUD-1: what the caller wants recorded with a key is recorded as it was said."""
    assert read_events(write_events([EVENT, EVENT])) == (EVENT, EVENT)
    assert read_events(write_events([])) == ()


@pytest.mark.parametrize("octets", [b"\x00", bytes(4), b"\x00\x00\x00\x02{}", write_events([EVENT])[:-1]])
def test_what_is_no_event_is_not_read(octets: bytes) -> None:
    """Only the canonical form of an event is read."""
    with pytest.raises(WireError):
        read_events(octets)


def test_a_key_has_few_events() -> None:
    """A call cannot fill the log: eight events, 64 KiB."""
    with pytest.raises(InvariantError):
        write_events([EVENT] * 9)
    with pytest.raises(WireError):
        read_events(write_events([EVENT] * 8) + write_events([EVENT]))
