"""How long a connector may take: a deadline, tries, and the longest pause between two of them."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Budget", "Pace"]


@dataclass(frozen=True, slots=True)
class Pace:
    """What passes while somebody waits."""

    seconds: Callable[[], float] = field(default=time.monotonic)
    """Seconds since whenever; never back."""
    wait: Callable[[float], None] = field(default=time.sleep)

    def enrolment(self, within: float) -> Budget:
        """Plan a call while a device waits: short pauses only, since a thread waits with it."""
        return Budget(self, self.seconds() + within, tries=2, longest_pause=2.0)

    def background(self, within: float) -> Budget:
        """Plan a call of a job, which nobody waits for."""
        return Budget(self, self.seconds() + within, tries=4, longest_pause=30.0)


@dataclass(frozen=True, slots=True)
class Budget:
    """What is left for one question, over all calls that it takes."""

    pace: Pace
    until: float
    tries: int
    """Of each call."""
    longest_pause: float
    """Before a further try; what would take longer is told to the caller instead."""

    def left(self) -> float:
        """Seconds that are left."""
        return self.until - self.pace.seconds()

    def allows(self, pause: float) -> bool:
        """Whether there is time to pause so long and to ask again."""
        return pause <= self.longest_pause and pause < self.left()
