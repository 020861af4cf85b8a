"""Turns: the processes that write to one SQLite file let each other go first.

SQLite's own waiting is a sleep that grows to 100 ms, so a process that writes without a pause is always faster than one
that sleeps: with four of them one waited 4.4 s of the 5 that it has. Here a process that is next keeps all others from
being next until its turn comes, so whoever just wrote cannot overtake it. These locks keep nobody from writing: that is
SQLite's own, after them. The kernel takes them back from a process that dies.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Turns"]

_NEXT, _TURN = 0, 1
"""Octets of the file that stand for the two locks."""
_LOOK_SECONDS: Final = 0.0005
_LONGEST_SECONDS: Final = 2.5
"""Then a process goes on without: one that was stopped in its turn must not stop the others for good."""


class Turns:
    """The turns at one database file; used by one thread."""

    def __init__(self, path: Path) -> None:
        """`path` is the database's; the locks are on a file beside it, which stays empty."""
        self._path = path.with_name(f"{path.name}-turns")
        self._file: int | None = None

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for this process's turn. Where the file cannot be had there is none, and nothing to wait for."""
        with suppress(OSError):
            if self._file is None:
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        until = time.monotonic() + _LONGEST_SECONDS
        if self._take(_NEXT, until):
            self._take(_TURN, until)
            self._give(_NEXT)
        try:
            yield
        finally:
            self._give(_TURN)

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _take(self, which: int, until: float) -> bool:
        if self._file is None:
            return False
        while True:
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, which)
            except OSError:
                if time.monotonic() > until:
                    return False
                time.sleep(_LOOK_SECONDS)
            else:
                return True

    def _give(self, which: int) -> None:
        if self._file is not None:
            with suppress(OSError):
                fcntl.lockf(self._file, fcntl.LOCK_UN, 1, which)
