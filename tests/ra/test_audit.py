"""Verifying the log: each way of altering it is named with the first record that shows it (AUD-2)."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from memory_store import MemoryStore
from regalia.model import (
    Action,
    Actor,
    ActorKind,
    Checkpoint,
    EventDraft,
    Outcome,
    SignedCheckpoint,
    StreamHead,
)
from regalia.ra.anchors import Anchors
from regalia.ra.audit import verify
from regalia.wire.checkpoint import checkpoint_record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Row = tuple[int, bytes, bytes, str, bool]


class Altered(MemoryStore):
    """A log whose rows somebody changed behind our back."""

    def __init__(self, alter: Callable[[list[Row]], list[Row]]) -> None:
        super().__init__()
        self._alter = alter

    def stream(self, name: str, after: int | None = None) -> Iterator[Row]:
        """Yield the rows as they are now."""
        yield from self._alter(list(super().stream(name)))[after or 0 :]


def filled(store: MemoryStore, count: int = 5) -> MemoryStore:
    """Write a few records."""
    for number in range(count):
        store.record(
            [
                EventDraft(
                    at=datetime(2026, 3, 1, tzinfo=UTC),
                    actor=Actor(ActorKind.ADMIN, "os:tester"),
                    action=Action.GROUP_CREATED,
                    object=f"group:g{number}",
                    outcome=Outcome.OK,
                )
            ]
        )
    return store


def changed(rows: list[Row]) -> list[Row]:
    """Rewrite the third record's text."""
    sequence, previous, digest, text, columns = rows[2]
    return [*rows[:2], (sequence, previous, digest, text.replace("g2", "g9"), columns), *rows[3:]]


def removed(rows: list[Row]) -> list[Row]:
    """Delete the third record."""
    return rows[:2] + rows[3:]


def swapped(rows: list[Row]) -> list[Row]:
    """Exchange the contents of the third and the fourth."""
    third, fourth = rows[2], rows[3]
    return [*rows[:2], (third[0], *fourth[1:]), (fourth[0], *third[1:]), *rows[4:]]


def inserted(rows: list[Row]) -> list[Row]:
    """Put a copy of the second record behind it."""
    return [*rows[:2], rows[1], *rows[2:]]


def truncated(rows: list[Row]) -> list[Row]:
    """Delete the last record, leaving the stream's head."""
    return rows[:-1]


def column_changed(rows: list[Row]) -> list[Row]:
    """Change a column that queries use, not the record."""
    return [*rows[:2], (*rows[2][:4], False), *rows[3:]]


def test_an_untouched_log_verifies() -> None:
    """I8: every record follows the one before, up to the head."""
    verified = verify(filled(MemoryStore()))
    assert (verified.streams, verified.records, verified.findings) == (1, 5, ())


@pytest.mark.parametrize(
    ("alter", "sequence", "word"),
    [
        (changed, 3, "changed"),
        (removed, 3, "removed"),
        (swapped, 3, "swapped"),
        (inserted, 2, "inserted"),
        (truncated, 5, "removed"),
        (column_changed, 3, "changed"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_the_first_altered_record_is_named(alter: Callable[[list[Row]], list[Row]], sequence: int, word: str) -> None:
    """AUD-2: what was changed, removed, swapped or inserted is found, with its place."""
    (finding,) = verify(filled(Altered(alter))).findings
    assert finding.sequence == sequence
    assert word in finding.what


class Growing(MemoryStore):
    """A log to which a server writes while it is read; `honest` heads know of it, others do not."""

    def __init__(self, *, honest: bool) -> None:
        super().__init__()
        self._honest = honest
        self._asked = 0

    def streams(self) -> tuple[tuple[str, int, bytes], ...]:
        """Say what the heads said two records ago, the first time or always."""
        self._asked += 1
        if self._honest and self._asked > 1:
            return super().streams()
        last = self.log[-3]
        return ((last.stream, last.sequence, last.hash),)


def test_what_is_written_meanwhile_is_no_finding() -> None:
    """A server may write while its log is verified; records that no head ever knows of are found all the same."""
    verified = verify(filled(Growing(honest=True)))
    assert (verified.records, verified.findings) == (5, ())
    (finding,) = verify(filled(Growing(honest=False))).findings
    assert (finding.sequence, finding.what) == (4, "removed: the stream's head says 3 records")


def test_a_checkpoint_alone_shows_what_was_cut_off() -> None:
    """AUD-3: a stream that ends before the record that a checkpoint names is told of, with its place."""
    key = ec.derive_private_key(7, ec.SECP256R1())
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    log = filled(MemoryStore())
    heads = tuple(StreamHead(*head) for head in log.streams())
    digest = hashlib.sha256(spki).digest()
    record = checkpoint_record(Checkpoint(1, datetime(2026, 3, 2, tzinfo=UTC), bytes(32), "system", digest, heads))
    signed = SignedCheckpoint(1, record, hashlib.sha256(record).digest(), key.sign(record, ec.ECDSA(hashes.SHA256())))
    assert verify(log, Anchors((signed,), keys=(spki,))).findings == ()
    (finding,) = verify(filled(MemoryStore(), 4), Anchors((signed,), keys=(spki,))).findings
    assert (finding.sequence, finding.what) == (5, "truncated: checkpoint 1 covers 5 records")
    (other,) = verify(log, Anchors((signed,))).findings
    assert other.what.startswith("forged")
