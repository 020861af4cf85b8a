"""How often somebody may be wrong at the door: five times, then each further try waits twice as long (WEB-6).

Counted in the store, so that neither another process nor a restart gives anybody more. A try is counted before it is
judged: of a hundred that come at once no more than the allowed are looked at.
"""

from __future__ import annotations

import hashlib
import math
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from regalia.ra.sources import source_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from regalia.ports import SignIns, Tries

__all__ = ["FREE", "Attempts", "account_subject", "source_subject"]

FREE: Final = 5
"""Tries before the first delay."""
_FIRST: Final = timedelta(seconds=30)
_LONGEST: Final = timedelta(hours=1)
_FORGOTTEN: Final = timedelta(days=1)
"""After so long without a try they count for nothing."""
_CLOCKS_DIFFER: Final = timedelta(minutes=1)
"""So far the clocks of two nodes may be apart."""
_RACES: Final = 20
"""So many others may be faster before this try gives up."""


def account_subject(name: str) -> str:
    """Name what counts an account's tries: one of 65,536 words, the same for names that nobody has.

    What strangers type in is thus neither kept nor able to fill the table, and known names answer as unknown ones do.
    """
    return f"account:{hashlib.sha256(name.encode()).hexdigest()[:4]}"


def source_subject(source: str) -> str:
    """Name what counts an address's tries, without the address."""
    return f"source:{hashlib.sha256(source_of(source).encode()).hexdigest()[:6]}"


class Attempts:
    """Judges tries of any number of subjects."""

    def __init__(self, store: SignIns) -> None:
        self._store = store

    def enter(self, subjects: Sequence[str], at: datetime) -> int:
        """Count a try for each subject; return 0, or the seconds until one of them may try again.

        Who has to wait is not counted, so that a delay ends however often somebody knocks.
        """
        waits = max(self._wait(self._store.tries(subject), at) for subject in subjects)
        if waits:
            return waits
        return max(self._count(subject, at) for subject in subjects)

    def right(self, subjects: Sequence[str]) -> None:
        """Note that the try was right."""
        for subject in subjects:
            self._store.forget_tries(subject)

    def _count(self, subject: str, at: datetime) -> int:
        for _ in range(_RACES):
            before = self._store.tries(subject)
            if _counts_for_nothing(before, at):
                self._store.forget_tries(subject)
                continue
            wait = self._wait(before, at)
            if wait:
                return wait
            if self._store.count_try(subject, before, at):
                return 0
        return math.ceil(_FIRST.total_seconds())

    @staticmethod
    def _wait(tries: Tries, at: datetime) -> int:
        if tries.last_at is None or tries.count < FREE or _counts_for_nothing(tries, at):
            return 0
        doublings = min(tries.count - FREE, 12)
        delay: timedelta = min(_FIRST * (1 << doublings), _LONGEST)
        left = tries.last_at + delay - at
        return max(math.ceil(left.total_seconds()), 0)


def _counts_for_nothing(tries: Tries, at: datetime) -> bool:
    """Whether they are too old; or of a time that is not yet: a clock that was set back must not lock anybody out."""
    if tries.last_at is None:
        return False
    return at - tries.last_at >= _FORGOTTEN or tries.last_at - at > _CLOCKS_DIFFER
