"""How many connections of a listener are open, in all and from each source, over all its processes (RES-2)."""

from __future__ import annotations

import mmap
from typing import Final

__all__ = ["OpenConnections"]

_PLACES: Final = 65_536
"""Sources that fall on one place are counted together: of 1 000 connections hardly two do."""
_NUMBER: Final = 4


class OpenConnections:
    """Numbers in memory that forked processes share: a row for each, which nobody else writes."""

    def __init__(self, workers: int = 1) -> None:
        """Make it before the processes are forked; each then says `begin` with its number."""
        memory = memoryview(mmap.mmap(-1, workers * (_PLACES + 1) * _NUMBER)).cast("I")
        self._rows = tuple(memory[at * (_PLACES + 1) : (at + 1) * (_PLACES + 1)] for at in range(workers))
        self._own = self._rows[0]

    def begin(self, worker: int) -> None:
        """Count for this worker from here on. The connections of one that died before it are gone."""
        self._own = self._rows[worker]
        self._own[:] = memoryview(bytes(len(self._own) * _NUMBER)).cast("I")

    def opened(self, source: str | None) -> tuple[int, int]:
        """Count one more; return how many there are from this source, and in all.

        None is a trusted proxy, whose connections are many devices': they count in all and for no source.
        """
        self._own[0] += 1
        of_source = 0
        if source is not None:
            place = self._place(source)
            self._own[place] += 1
            of_source = sum(row[place] for row in self._rows)
        return of_source, sum(row[0] for row in self._rows)

    def closed(self, source: str | None) -> None:
        """Count one less."""
        self._own[0] -= 1
        if source is not None:
            self._own[self._place(source)] -= 1

    @staticmethod
    def _place(source: str) -> int:
        # Python's own hash: keyed anew at each start, so that nobody can choose who shares a place, and the same in
        # all processes that were forked from one.
        return 1 + hash(source) % _PLACES
