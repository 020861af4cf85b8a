"""Counting by the minute or the hour, in memory, for one process: what limits stand on."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from regalia.errors import Reason

__all__ = ["MINUTE", "Counts", "Window"]

MINUTE = timedelta(minutes=1)
_SUBJECTS_WATCHED = 10_000
"""Beyond so many subjects at a time the rest share one count, so that memory stays bounded."""


@dataclass(slots=True)
class Window:
    """What one subject did since it began."""

    since: datetime
    count: int = 0
    told: bool = False
    """Whether it is on record that the limit was reached."""


@dataclass(slots=True, eq=False)
class Counts:
    """How often each subject did one thing in its current window, which begins with the first time.

    Not locked: whoever counts from several threads does so under a lock of its own.
    """

    reason: Reason
    """Why a subject is refused that reached the limit."""
    per: str
    """What is counted: `source`, `group`, `certificate` or `endpoint`."""
    limit: int
    span: timedelta = MINUTE
    windows: dict[str, Window] = field(default_factory=dict)

    def add(self, subject: str, at: datetime) -> Window:
        """Count once more."""
        window = self._current(subject, at)
        if window is None:
            if len(self.windows) >= _SUBJECTS_WATCHED:
                self.windows = {name: each for name, each in self.windows.items() if not self._is_over(each, at)}
            window = self.windows.setdefault(self._watched(subject), Window(at))
        window.count += 1
        return window

    def used_up(self, subject: str, at: datetime) -> Window | None:
        """Return the subject's window where nothing is left in it."""
        window = self._current(subject, at)
        return window if window is not None and window.count >= self.limit else None

    def _current(self, subject: str, at: datetime) -> Window | None:
        watched = self._watched(subject)
        window = self.windows.get(watched)
        if window is None:
            return None
        if self._is_over(window, at):
            del self.windows[watched]
            return None
        # A clock that was set back must not make a window longer than it is.
        window.since = min(window.since, at)
        return window

    def _watched(self, subject: str) -> str:
        return subject if subject in self.windows or len(self.windows) < _SUBJECTS_WATCHED else "many"

    def _is_over(self, window: Window, at: datetime) -> bool:
        return at - window.since >= self.span
