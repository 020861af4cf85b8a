"""Judging checkpoints: which of them are proved, and what they say the log must hold (AUD-3)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from regalia.wire.checkpoint import read_checkpoint, signed_by
from regalia.wire.event import RecordError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from regalia.model import Checkpoint, SignedCheckpoint

__all__ = ["TABLE", "Anchors", "Finding", "Proof", "weigh"]

TABLE: Final = "checkpoints"
"""What findings call the checkpoints themselves, in the place of a stream."""

_FIRST: Final = bytes(32)


@dataclass(frozen=True, slots=True)
class Finding:
    """The first record of a stream, or the checkpoint, that is not as it was written."""

    stream: str
    sequence: int
    what: str
    """`changed`, `removed`, `truncated`, `inserted`, `swapped`, `forked` or `forged`, and how that shows."""


@dataclass(frozen=True, slots=True)
class Anchors:
    """Checkpoints to verify a log against."""

    ours: Sequence[SignedCheckpoint] | None = None
    """Those of the database, all of them; None where there is none to compare with."""
    copy: Sequence[SignedCheckpoint] = ()
    """Those that lie elsewhere."""
    keys: Sequence[bytes] = ()
    """Public keys that are trusted to begin with, DER SubjectPublicKeyInfo; a checkpoint may name their successors."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What checkpoints prove."""

    findings: tuple[Finding, ...]
    expected: Mapping[str, Mapping[int, tuple[bytes, int]]]
    """By stream and sequence: the hash of the record, and the checkpoint that says so."""
    proved: tuple[Checkpoint, ...]
    """By number; of two with one number, that of the copy."""


def weigh(anchors: Anchors) -> Proof:
    """Verify the checkpoints of database and copy, compare them, and gather what they say."""
    findings: list[Finding] = []
    keys = set(anchors.keys)
    proved: dict[int, Checkpoint] = {}
    # Those of the copy come last, and so win where both speak.
    for where, signed in (("the database's", anchors.ours or ()), ("the copy's", anchors.copy)):
        good, wrong = _proved(signed, keys, where)
        findings += wrong
        proved |= good
    if anchors.ours is not None:
        findings += _gaps(anchors.ours) + _lost(anchors.ours, anchors.copy)
    expected: dict[str, dict[int, tuple[bytes, int]]] = {}
    for number in sorted(proved):
        for head in proved[number].heads:
            expected.setdefault(head.stream, {}).setdefault(head.sequence, (head.hash, number))
    return Proof(tuple(_once(findings)), expected, tuple(proved[number] for number in sorted(proved)))


def _proved(
    signed: Sequence[SignedCheckpoint], keys: set[bytes], where: str
) -> tuple[dict[int, Checkpoint], list[Finding]]:
    """Verify signatures, the newest first: what a proved one follows is proved by its hash.

    Keys that a proved one names are added to `keys`.
    """
    readable: dict[int, tuple[SignedCheckpoint, Checkpoint]] = {}
    findings: list[Finding] = []
    for one in sorted(signed, key=lambda one: one.number):
        checkpoint = _readable(one)
        if checkpoint is None:
            findings.append(Finding(TABLE, one.number, f"changed: {where} is not what was signed"))
        elif one.number in readable and readable[one.number][0].hash != one.hash:
            findings.append(Finding(TABLE, one.number, f"forked: two of {where} have this number"))
        else:
            readable[one.number] = (one, checkpoint)
    by_signature = {number for number, (one, checkpoint) in readable.items() if _trusted(one, checkpoint, keys)}
    good: dict[int, Checkpoint] = {}
    link: bytes | None = None
    for number in sorted(readable, reverse=True):
        one, checkpoint = readable[number]
        if number in by_signature or link == one.hash:
            good[number] = checkpoint
            link = checkpoint.previous
        else:
            link = None
            findings.append(Finding(TABLE, number, f"forged: {where} is signed by no key that is trusted"))
    return good, findings


def _readable(signed: SignedCheckpoint) -> Checkpoint | None:
    try:
        checkpoint = read_checkpoint(signed.record)
    except RecordError:
        return None
    intact = hashlib.sha256(signed.record).digest() == signed.hash and checkpoint.number == signed.number
    return checkpoint if intact else None


def _trusted(signed: SignedCheckpoint, checkpoint: Checkpoint, keys: set[bytes]) -> bool:
    key = next((key for key in keys if hashlib.sha256(key).digest() == checkpoint.key), None)
    if key is None or not signed_by(signed, key):
        return False
    if checkpoint.successor is not None:
        keys.add(checkpoint.successor)
    return True


def _gaps(ours: Sequence[SignedCheckpoint]) -> list[Finding]:
    """Find what is missing between those of the database, which has all from the first one on."""
    findings: list[Finding] = []
    number, previous = 0, _FIRST
    for one in ours:
        checkpoint = _readable(one)
        if one.number != number + 1:
            findings.append(Finding(TABLE, number + 1, f"removed: checkpoint {one.number} follows {number}"))
        elif checkpoint is not None and checkpoint.previous != previous:
            findings.append(Finding(TABLE, one.number, "changed or swapped: it does not follow the one before"))
        number, previous = one.number, one.hash
    return findings


def _lost(ours: Sequence[SignedCheckpoint], copy: Sequence[SignedCheckpoint]) -> list[Finding]:
    """Find what the copy holds and the database does not."""
    known = {one.number: one.hash for one in ours}
    last = max(known, default=0)
    beyond = [one.number for one in copy if one.number > last]
    findings: list[Finding] = []
    if beyond:
        what = f"truncated: the copy goes on to {max(beyond)}; the database was cut, or set back to an older state"
        findings.append(Finding(TABLE, last + 1, what))
    for one in copy:
        if one.number > last or known.get(one.number) == one.hash:
            continue
        what = "forked: the copy holds another one" if one.number in known else "removed: the copy holds it"
        findings.append(Finding(TABLE, one.number, what))
    return findings


def _once(findings: Iterable[Finding]) -> list[Finding]:
    """Tell each place once, in order."""
    places: dict[int, Finding] = {}
    for finding in findings:
        places.setdefault(finding.sequence, finding)
    return [places[number] for number in sorted(places)]
