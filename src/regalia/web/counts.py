"""Counts of several processes in one piece of memory that they share.

Made before the processes are forked. Each process writes to a row of its own, so no lock is needed between them; who
asks adds the rows up. A process that is started in the place of a dead one goes on with its row: nothing counted is
lost.
"""

from __future__ import annotations

import mmap
import threading
from typing import TYPE_CHECKING, Final

from regalia.errors import InvariantError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Cell", "Row", "SharedCounts"]

_CELLS: Final = 1_024
"""Of one row. What is counted is closed sets (reasons, jobs, OCSP statuses): some 200 together."""
_KEY: Final = 120
_VALUE: Final = 8


class SharedCounts:
    """One row of numbers for each process. Memory that is not used costs none."""

    def __init__(self, rows: int) -> None:
        memory = memoryview(mmap.mmap(-1, rows * _CELLS * (_VALUE + _KEY)))
        end = rows * _CELLS * _VALUE
        values, keys = memory[:end].cast("d"), memory[end:]
        self._rows = tuple(
            Row(values[at * _CELLS : (at + 1) * _CELLS], keys[at * _CELLS * _KEY : (at + 1) * _CELLS * _KEY])
            for at in range(rows)
        )

    def row(self, number: int) -> Row:
        """Return the row of one process."""
        return self._rows[number]

    def totals(self) -> dict[str, float]:
        """Add up all rows by key."""
        sums: dict[str, float] = {}
        for row in self._rows:
            for key, value in row.read():
                sums[key] = sums.get(key, 0.0) + value
        return sums


class Row:
    """The numbers of one process: written by it alone, from any thread, and read by all."""

    def __init__(self, values: memoryview[float], keys: memoryview[int]) -> None:
        self._values = values
        self._keys = keys
        self._lock = threading.Lock()
        self._cells: dict[str, Cell] = {}

    def cell(self, key: str) -> Cell:
        """Return the number of this key; a new one is 0. Raises `InvariantError` where the row is full."""
        with self._lock:
            found = self._cells.get(key)
            if found is None:
                found = self._cells[key] = Cell(self._values, self._place(key), self._lock)
        return found

    def read(self) -> Iterator[tuple[str, float]]:
        """Walk over what was counted so far."""
        for at in range(_CELLS):
            key = self._key(at)
            if not key:
                return
            yield key, self._values[at]

    def _place(self, key: str) -> int:
        wanted = key.encode()
        if not 0 < len(wanted) <= _KEY:
            raise InvariantError(f"a count has no name of {len(wanted)} octets")
        for at in range(_CELLS):
            found = self._key(at)
            if found == key:
                return at
            if not found:
                # The first octet last: a reader in another process takes the place for free until then.
                start = at * _KEY
                self._keys[start + 1 : start + len(wanted)] = wanted[1:]
                self._keys[start] = wanted[0]
                return at
        raise InvariantError(f"there is no room to count {key}")

    def _key(self, at: int) -> str:
        start = at * _KEY
        if not self._keys[start]:
            return ""
        return bytes(self._keys[start : start + _KEY]).rstrip(b"\x00").decode()


class Cell:
    """One number."""

    __slots__ = ("_at", "_lock", "_values")

    def __init__(self, values: memoryview[float], at: int, lock: threading.Lock) -> None:
        self._values = values
        self._at = at
        self._lock = lock

    def add(self, amount: float = 1.0) -> None:
        """Count."""
        with self._lock:
            self._values[self._at] += amount

    def set(self, value: float) -> None:
        """Say what it is now."""
        self._values[self._at] = value
