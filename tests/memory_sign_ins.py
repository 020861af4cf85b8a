"""The part of the store's fake that counts tries at the door, and knows what was good once. See `memory_store`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from regalia.ports import NO_TRIES, Tries

if TYPE_CHECKING:
    import threading
    from datetime import datetime

__all__ = ["MemorySignIns"]


class MemorySignIns:
    """See `ports.SignIns`."""

    _lock: threading.RLock

    def __init__(self) -> None:
        super().__init__()
        self._tries: dict[str, Tries] = {}
        self._spent: dict[bytes, datetime] = {}

    def tries(self, subject: str) -> Tries:
        """Return the tries of a subject."""
        return self._tries.get(subject, NO_TRIES)

    def count_try(self, subject: str, before: Tries, at: datetime) -> bool:
        """Count one more; False where the count is not `before` any more."""
        with self._lock:
            if self.tries(subject).count != before.count:
                return False
            self._tries[subject] = Tries(before.count + 1, at)
            return True

    def forget_tries(self, subject: str) -> None:
        """Begin anew."""
        with self._lock:
            self._tries.pop(subject, None)

    def spend(self, digest: bytes, until: datetime) -> bool:
        """Use up what is good once."""
        with self._lock:
            if digest in self._spent:
                return False
            self._spent[digest] = until
            return True

    def is_spent(self, digest: bytes) -> bool:
        """Whether it was used up."""
        with self._lock:
            return digest in self._spent

    def forget_sign_ins(self, spent_before: datetime, tried_before: datetime) -> None:
        """Forget what has ended by itself."""
        with self._lock:
            self._spent = {digest: until for digest, until in self._spent.items() if until >= spent_before}
            self._tries = {
                subject: tries
                for subject, tries in self._tries.items()
                if tries.last_at is not None and tries.last_at >= tried_before
            }
