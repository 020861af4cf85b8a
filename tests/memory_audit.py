"""The part of the store's fake that keeps checkpoints and forgets personal data. See `memory_store`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from regalia.ports import Forgotten, PseudonymKey, StoredRecord
from regalia.wire.event import canonical_record

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from regalia.model import CheckpointKey, Event, EventDraft, SignedCheckpoint

__all__ = ["MemoryAudit"]


class MemoryAudit:
    """Checkpoints with their keys, pseudonym keys, and events that lose their source."""

    _lock: threading.RLock
    log: list[Event]

    def __init__(self) -> None:
        super().__init__()
        self._checkpoints: list[SignedCheckpoint] = []
        self._checkpoint_keys: list[CheckpointKey] = []
        self._pseudonym_keys: list[PseudonymKey] = []
        self._forgotten: set[int] = set()

    if TYPE_CHECKING:

        def record(self, events: Sequence[EventDraft]) -> None:
            """Append events: the whole store does."""

    # checkpoints

    def add_checkpoint(
        self,
        signed: SignedCheckpoint,
        at: datetime,
        key_number: int,
        successor: CheckpointKey | None = None,
        events: Sequence[EventDraft] = (),
    ) -> bool:
        """See the port."""
        del at, key_number
        with self._lock:
            if signed.number != len(self._checkpoints) + 1:
                return False
            self._checkpoints.append(signed)
            self._checkpoint_keys += [successor] if successor is not None else []
            self.record(events)
            return True

    def last_checkpoint(self) -> SignedCheckpoint | None:
        """See the port."""
        return self._checkpoints[-1] if self._checkpoints else None

    def checkpoints(self, after: int = 0) -> Iterator[SignedCheckpoint]:
        """See the port."""
        yield from self._checkpoints[after:]

    def add_checkpoint_key(self, key: CheckpointKey) -> bool:
        """See the port."""
        with self._lock:
            if key.number != len(self._checkpoint_keys) + 1:
                return False
            self._checkpoint_keys.append(key)
            return True

    def checkpoint_keys(self) -> tuple[CheckpointKey, ...]:
        """See the port."""
        return tuple(self._checkpoint_keys)

    # the log as it was written

    def stored_records(
        self,
        *,
        after: int = 0,
        since: datetime | None = None,
        until: datetime | None = None,
        group: str | None = None,
    ) -> Iterator[StoredRecord]:
        """See the port; here a record's position is its number, and nothing of it is a pseudonym."""
        for event in self.log[after:]:
            draft = event.draft
            in_time = (since is None or draft.at >= since) and (until is None or draft.at < until)
            if in_time and group in (None, draft.group):
                text = canonical_record(event.stream, event.sequence, event.previous, draft).decode()
                yield StoredRecord(event.sequence, event.hash, text, None)

    # personal data

    def count_personal(self, before: datetime) -> Forgotten:
        """See the port; only events hold any here."""
        return Forgotten(events=len(self._personal(before)))

    def forget_personal(self, before: datetime, told: Callable[[Forgotten], Sequence[EventDraft]]) -> Forgotten:
        """See the port."""
        with self._lock:
            found = self._personal(before)
            self._forgotten |= found
            forgotten = Forgotten(events=len(found))
            if found:
                self.record(told(forgotten))
            return forgotten

    def _personal(self, before: datetime) -> set[int]:
        named = {event.sequence for event in self.log if event.draft.actor.source and event.draft.at < before}
        return named - self._forgotten

    def pseudonym_keys(self) -> tuple[PseudonymKey, ...]:
        """See the port."""
        return tuple(self._pseudonym_keys)

    def add_pseudonym_key(
        self, number: int, created_at: datetime, until: datetime, sealed: bytes, events: Sequence[EventDraft]
    ) -> bool:
        """See the port."""
        del sealed
        with self._lock:
            if number != len(self._pseudonym_keys) + 1:
                return False
            self._pseudonym_keys.append(PseudonymKey(number, created_at, until, None))
            self.record(events)
            return True

    def destroy_pseudonym_key(self, number: int, at: datetime, events: Sequence[EventDraft]) -> bool:
        """See the port."""
        with self._lock:
            if number > len(self._pseudonym_keys) or self._pseudonym_keys[number - 1].destroyed_at is not None:
                return False
            key = self._pseudonym_keys[number - 1]
            self._pseudonym_keys[number - 1] = PseudonymKey(key.number, key.created_at, key.until, at)
            self.record(events)
            return True
