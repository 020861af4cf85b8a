"""Verifying the audit log: recompute each stream from its records and name the first one that is wrong (AUD-2).

A record taken off the end together with the stream's head cannot be seen from inside the database; that needs the
copy which the SIEM holds (AUD-3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from regalia.wire.event import read_record, record_hash

if TYPE_CHECKING:
    from regalia.ports import Events

__all__ = ["Finding", "Verified", "verify"]

_GENESIS = bytes(32)


@dataclass(frozen=True, slots=True)
class Finding:
    """The first record of a stream that is not as it was written."""

    stream: str
    sequence: int
    what: str
    """`changed`, `removed`, `inserted` or `swapped`, and how that shows."""


@dataclass(frozen=True, slots=True)
class Verified:
    """The outcome over all streams."""

    streams: int
    records: int
    findings: tuple[Finding, ...]


def verify(events: Events) -> Verified:
    """Recompute every stream. At most one finding each: what follows a broken link proves nothing."""
    findings: list[Finding] = []
    records = 0
    heads = events.streams()
    for name, last, head in heads:
        count, finding = _verify_stream(events, name, last, head)
        records += count
        if finding is not None:
            findings.append(finding)
    return Verified(len(heads), records, tuple(findings))


def _verify_stream(events: Events, name: str, last: int, head: bytes) -> tuple[int, Finding | None]:
    expected, previous = 1, _GENESIS
    for sequence, stored_previous, stored_hash, text, columns_agree in events.stream(name):
        what = _wrong(name, expected, previous, sequence, stored_previous, stored_hash, text)
        if what is None and not columns_agree:
            what = "changed: the columns that queries use differ from the record"
        if what is not None:
            return expected, Finding(name, min(sequence, expected), what)
        expected, previous = sequence + 1, stored_hash
    if expected - 1 != last or previous != head:
        return expected, Finding(name, expected, f"removed: the stream's head says {last} records")
    return last, None


def _wrong(
    name: str, expected: int, previous: bytes, sequence: int, stored_previous: bytes, stored_hash: bytes, text: str
) -> str | None:
    """Say what is wrong with one record in its place, None if nothing is."""
    if sequence > expected:
        return f"removed: record {sequence} follows {expected - 1}"
    if sequence < expected:
        return f"inserted: a second record {sequence}"
    try:
        record_stream, record_sequence, record_previous, _ = read_record(text.encode())
    except ValueError:
        return "changed: the record cannot be read"
    if record_hash(text.encode()) != stored_hash:
        return "changed: its hash is not that of its text"
    if record_stream != name or record_sequence != sequence:
        return f"swapped: it was written as record {record_sequence} of {record_stream}"
    if record_previous != stored_previous or stored_previous != previous:
        return "changed, inserted or swapped: it does not follow the record before it"
    return None
