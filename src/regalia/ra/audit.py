"""Verifying the audit log: recompute each stream from its records and name the first one that is wrong (AUD-2).

A record taken off the end together with the stream's head cannot be seen from inside the database; checkpoints show it,
and a copy of them elsewhere shows also that checkpoints were taken away (AUD-3).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from json.encoder import encode_basestring as _quoted
from typing import TYPE_CHECKING, Final

from regalia.ra.anchors import Anchors, Finding, weigh
from regalia.wire.event import record_hash

if TYPE_CHECKING:
    from collections.abc import Mapping

    from regalia.model import Checkpoint, StreamHead
    from regalia.ports import Events

__all__ = ["Finding", "Verified", "verify"]

_GENESIS: Final = bytes(32)


@dataclass(frozen=True, slots=True)
class Verified:
    """The outcome over all streams."""

    streams: int
    records: int
    findings: tuple[Finding, ...]
    checkpoint: Checkpoint | None = None
    """The newest one that was proved."""
    covered: int = 0
    """How many records it covers."""


@dataclass(frozen=True, slots=True)
class _Stream:
    """What a stream has to be."""

    name: str
    last: int
    head: bytes
    expected: Mapping[int, tuple[bytes, int]]
    """What checkpoints say of its records."""
    begin: StreamHead | None
    """A record that is taken as verified with all before it."""


def verify(events: Events, anchors: Anchors | None = None, *, since: Checkpoint | None = None) -> Verified:
    """Recompute every stream. At most one finding each: what follows a broken link proves nothing.

    With `anchors`, each stream is also what the checkpoints say. What `since` covers, which must be proved, is taken as
    verified but for the record where it ends.
    """
    proof = weigh(anchors or Anchors())
    findings = list(proof.findings)
    begin = {head.stream: head for head in since.heads} if since is not None else {}
    records = 0
    heads = events.streams()
    grown: dict[str, int] = {}
    for name, last, head in heads:
        stream = _Stream(name, last, head, proof.expected.get(name, {}), begin.get(name))
        count, end, finding = _verify_stream(events, stream)
        records += count
        if finding is not None:
            findings.append(finding)
        elif end > last:
            grown[name] = end
    findings += _beyond_heads(events, grown)
    for name in sorted(proof.expected.keys() - {name for name, _, _ in heads}):
        last, (_, number) = max(proof.expected[name].items())
        findings.append(Finding(name, 1, f"truncated: checkpoint {number} covers {last} records, and none is left"))
    newest = proof.proved[-1] if proof.proved else None
    return Verified(len(heads), records, tuple(findings), newest, newest.records if newest is not None else 0)


def _beyond_heads(events: Events, grown: Mapping[str, int]) -> list[Finding]:
    """Tell what a server wrote while we read from records that no head knows."""
    now = {name: last for name, last, _ in events.streams()} if grown else {}
    return [
        Finding(name, now[name] + 1, f"removed: the stream's head says {now[name]} records")
        for name, end in grown.items()
        if now[name] < end
    ]


def _verify_stream(events: Events, stream: _Stream) -> tuple[int, int, Finding | None]:
    """Return how many records were read, the last one's sequence, and what is wrong."""
    expected, previous, after = 1, _GENESIS, None
    if stream.begin is not None:
        # The record where the checkpoint ends is read as well: it must still be there.
        expected, after = stream.begin.sequence, stream.begin.sequence - 1
        previous = b""
    first = expected
    for sequence, stored_previous, stored_hash, text, columns_agree in events.stream(stream.name, after):
        what = _wrong(stream.name, expected, previous or stored_previous, sequence, stored_previous, stored_hash, text)
        if what is None and not columns_agree:
            what = "changed: the columns that queries use differ from the record"
        if what is None and sequence in stream.expected and stream.expected[sequence][0] != stored_hash:
            number = stream.expected[sequence][1]
            what = f"forked: checkpoint {number} covers another record; the stream was written anew before this"
        if what is None and sequence == stream.last and stored_hash != stream.head:
            what = "removed or changed: the stream's head names another record"
        if what is not None:
            return expected - first, expected - 1, Finding(stream.name, min(sequence, expected), what)
        expected, previous = sequence + 1, stored_hash
    return expected - first, expected - 1, _wrong_end(stream, expected - 1)


def _wrong_end(stream: _Stream, last: int) -> Finding | None:
    """Say what is wrong with the end of a stream whose records are right."""
    if last < stream.last:
        return Finding(stream.name, last + 1, f"removed: the stream's head says {stream.last} records")
    covered = max(stream.expected, default=0)
    if covered > last:
        number = stream.expected[covered][1]
        return Finding(stream.name, last + 1, f"truncated: checkpoint {number} covers {covered} records")
    return None


def _wrong(
    name: str, expected: int, previous: bytes, sequence: int, stored_previous: bytes, stored_hash: bytes, text: str
) -> str | None:
    """Say what is wrong with one record in its place, None if nothing is."""
    if sequence > expected:
        return f"removed: record {sequence} follows {expected - 1}"
    if sequence < expected:
        return f"inserted: a second record {sequence}"
    if (
        record_hash(text.encode()) == stored_hash
        and stored_previous == previous
        and _says(text, name, sequence, previous)
    ):
        return None
    place = _place(text)
    if place is None:
        return "changed: the record cannot be read"
    if record_hash(text.encode()) != stored_hash:
        return "changed: its hash is not that of its text"
    if place[:2] != (name, sequence):
        return f"swapped: it was written as record {place[1]} of {place[0]}"
    return "changed, inserted or swapped: it does not follow the record before it"


def _says(text: str, name: str, sequence: int, previous: bytes) -> bool:
    """Look whether a record says that it stands here: without reading it, which the store has done already."""
    return (
        f'"previous":"{previous.hex()}"' in text
        and f'"sequence":{sequence},"serial":' in text
        and f'"stream":{_quoted(name)},"transaction":' in text
    )


def _place(record: str) -> tuple[object, object, object] | None:
    """Read where a record says that it stands; whether it is canonical the store has seen (`columns_agree`)."""
    try:
        fields = json.loads(record)
        return fields["stream"], fields["sequence"], fields["previous"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
