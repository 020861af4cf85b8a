"""Who ends trust by itself does so in a turn: one at a time, whichever process, node or path it comes by (REV-7).

The brake measures what a run would end, and what ended shortly before. Two runs that are measured at once would each
find the other's share unused: a message, a feed, the job and an administrator's word therefore take turns, by a lease
in the database. One whose process died is over after `_LEASE`; one that takes longer is extended by who has it, who
stops where that comes too late.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from regalia.ports import Jobs

__all__ = ["BUSY", "TURN", "Turn", "in_turn"]

TURN: Final = "following-turn"
"""What the lease is called. No job is."""
BUSY: Final = "another run is ending certificates just now; the next run does what is left"
_LEASE: Final = timedelta(seconds=15)
_EXTENDED_AFTER: Final = 5.0
_PATIENCE_SECONDS: Final = 5.0
"""How long one waits for those before: whoever tells us something by a message still waits for its answer."""
_PAUSE_SECONDS: Final = 0.05


@dataclass(slots=True)
class Turn:
    """A turn that one has. `now` is the run's time, from which it is counted on: there is one clock for a lease."""

    leases: Jobs
    now: datetime
    holder: str = field(default_factory=lambda: f"turn:{uuid4().hex}")
    _began: float = field(default_factory=time.monotonic)
    _extended: float = 0.0

    def taken(self) -> bool:
        """Take it, or have it longer; False where somebody else has it."""
        elapsed = time.monotonic() - self._began
        now = self.now + timedelta(seconds=elapsed)
        self._extended = elapsed
        return self.leases.lease(TURN, self.holder, now, now + _LEASE)

    def lasts(self) -> bool:
        """Whether one still has it; to be asked before each deed."""
        return time.monotonic() - self._began - self._extended < _EXTENDED_AFTER or self.taken()

    def give_back(self) -> None:
        """Let the next one have it."""
        self.leases.give_back(TURN, self.holder)


@contextmanager
def in_turn(leases: Jobs, now: datetime, patience: float = _PATIENCE_SECONDS) -> Iterator[Turn | None]:
    """Wait for one's turn, and give it back; None where it did not come within so many seconds.

    Raises `UnavailableError` where the database does not answer.
    """
    turn = Turn(leases, now)
    until = time.monotonic() + patience
    while not turn.taken():
        if time.monotonic() >= until:
            yield None
            return
        time.sleep(_PAUSE_SECONDS)
    try:
        yield turn
    finally:
        turn.give_back()
