"""Making checkpoints of the audit log: when one is due, with which key, and the copy outside (AUD-3)."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol

from regalia import reasons
from regalia.ca.key_events import key_destroyed
from regalia.ca.scopes import AUDIT_SCOPE
from regalia.errors import AdminError, UnavailableError
from regalia.model import (
    Action,
    Checkpoint,
    CheckpointKey,
    EventDraft,
    KeyKind,
    Outcome,
    SignedCheckpoint,
    StreamHead,
)
from regalia.ports import Checkpoints, Events
from regalia.wire.checkpoint import checkpoint_record, read_checkpoint

if TYPE_CHECKING:
    from datetime import datetime

    from regalia.model import Actor
    from regalia.ports import CheckpointCopy, Clock, KeyStore, NewKey

__all__ = ["IDLE", "INTERVAL", "MOST_RECORDS", "CheckpointDesk", "Copier"]

INTERVAL: Final = timedelta(minutes=10)
"""A record is covered by a checkpoint after this time at the latest."""
MOST_RECORDS: Final = 1_000
"""So many records wait for no time."""
IDLE: Final = timedelta(days=1)
"""Where nothing is recorded, a checkpoint says so this often."""

_FIRST: Final = bytes(32)
_TRIES: Final = 5


class _Log(Events, Checkpoints, Protocol):
    """What checkpoints are made of, and where they go."""


class CheckpointDesk:
    """Makes checkpoints. Each is one durable commit; of two processes that make one at a time, both do, in turn."""

    def __init__(self, log: _Log, keys: KeyStore, clock: Clock) -> None:
        self._log = log
        self._keys = keys
        self._clock = clock

    def due(self, now: datetime) -> bool:
        """Whether the log has grown so much, or so long ago, that the next checkpoint is due."""
        signed = self._log.last_checkpoint()
        records = sum(sequence for _, sequence, _ in self._log.streams())
        if signed is None:
            return records > 0
        last = read_checkpoint(signed.record)
        waiting, since = records - last.records, now - last.at
        if since < timedelta(0):
            # The clock was set back: what the last one covers is not known by its time.
            return waiting > 0
        return waiting >= MOST_RECORDS or (since >= INTERVAL and waiting > 0) or since >= IDLE

    def make(self, actor: Actor) -> SignedCheckpoint:
        """Make the next checkpoint now, whether one is due or not.

        Raises `UnavailableError`: CA-010 where the key is not here, CA-013 where others are always faster.
        """
        key = self._key(actor)
        for _ in range(_TRIES):
            at = self._clock.now()
            signed = self._signed(at, actor, key, None)
            if self._log.add_checkpoint(signed, at, key.number):
                return signed
        raise UnavailableError(reasons.IN_PROGRESS, "another process makes checkpoints, too")

    def rotate(self, actor: Actor) -> SignedCheckpoint:
        """Go over to another key: the old one signs a checkpoint that names the new one, and is destroyed.

        Raises what `make` does.
        """
        old = self._key(actor)
        new = self._keys.generate(KeyKind.P256, AUDIT_SCOPE, lambda key: (_generated(key, actor, self._clock.now()),))
        for _ in range(_TRIES):
            at = self._clock.now()
            successor = CheckpointKey(old.number + 1, new.id, new.public_key, at)
            signed = self._signed(at, actor, old, new.public_key)
            if self._log.add_checkpoint(signed, at, old.number, successor):
                self._keys.destroy(old.key_id, (key_destroyed(old.key_id, at=at, actor=actor, why="rotation"),))
                return signed
        raise UnavailableError(reasons.IN_PROGRESS, "another process makes checkpoints, too")

    def key(self) -> CheckpointKey | None:
        """Return the key in use; None before the first checkpoint."""
        keys = self._log.checkpoint_keys()
        return keys[-1] if keys else None

    def _key(self, actor: Actor) -> CheckpointKey:
        """Return the key in use, and make it where there was none."""
        key = self.key()
        if key is not None:
            return key
        now = self._clock.now()
        new = self._keys.generate(KeyKind.P256, AUDIT_SCOPE, lambda key: (_generated(key, actor, now),))
        key = CheckpointKey(1, new.id, new.public_key, now)
        if self._log.add_checkpoint_key(key):
            return key
        self._keys.destroy(new.id, (key_destroyed(new.id, at=now, actor=actor, why="another process made one first"),))
        return self._log.checkpoint_keys()[-1]

    def _signed(self, at: datetime, actor: Actor, key: CheckpointKey, successor: bytes | None) -> SignedCheckpoint:
        last = self._log.last_checkpoint()
        heads = tuple(StreamHead(*head) for head in self._log.streams() if head[1] > 0)
        record = checkpoint_record(
            Checkpoint(
                number=1 if last is None else last.number + 1,
                at=at,
                previous=_FIRST if last is None else last.hash,
                by=f"{actor.kind} {actor.id}",
                key=hashlib.sha256(key.public_key).digest(),
                heads=heads,
                successor=successor,
            )
        )
        number = 1 if last is None else last.number + 1
        signature = self._keys.open(key.key_id).sign(record, "sha256")
        return SignedCheckpoint(number, record, hashlib.sha256(record).digest(), signature)


def _generated(key: NewKey, actor: Actor, at: datetime) -> EventDraft:
    details = {
        "kind": KeyKind.P256.value,
        "scope": AUDIT_SCOPE,
        "key_sha256": hashlib.sha256(key.public_key).hexdigest(),
    }
    return EventDraft(at, actor, Action.KEY_GENERATED, f"key:{key.id}", Outcome.OK, details=details)


class Copier:
    """Keeps a copy of the checkpoints up to date, and looks whether it knows what the log has lost."""

    def __init__(self, log: Checkpoints, copy: CheckpointCopy) -> None:
        self._log = log
        self._copy = copy
        self._kept: int | None = None

    def run(self) -> int:
        """Write what is not in the copy yet, and say how much that was.

        Raises `AdminError` ADM-055 where the copy holds a checkpoint that the log does not: it was cut or set back.
        What the log does hold is written all the same. `UnavailableError` where the copy cannot be written.
        """
        if self._kept is not None:
            return self._write(self._kept, frozenset())
        there = self._copy.names()
        for key in self._log.checkpoint_keys():
            self._copy.keep_key(key.public_key)
        ours = {self._copy.name(signed) for signed in self._log.checkpoints()}
        written = self._write(0, there)
        unknown = sorted(there - ours)
        if unknown:
            # Looked at anew the next time: this is not over until somebody has seen to it.
            self._kept = None
            raise AdminError(
                reasons.CHECKPOINT_COPY_DIVERGED, f"{self._copy.place} holds {len(unknown)} of them: {unknown[0]}, …"
            )
        return written

    def _write(self, after: int, there: frozenset[str]) -> int:
        written = 0
        for signed in self._log.checkpoints(after):
            if self._copy.name(signed) not in there:
                successor = read_checkpoint(signed.record).successor
                if successor is not None:
                    self._copy.keep_key(successor)
                self._copy.keep(signed)
                written += 1
            after = signed.number
        self._kept = after
        return written
