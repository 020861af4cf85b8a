"""CPU time, memory and their statistics: of this process, and of other processes with all that they started."""

from __future__ import annotations

import gc
import os
import platform
import random
import sqlite3
import statistics
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

__all__ = [
    "Stopwatch",
    "Tree",
    "VoidRunError",
    "cpu_of",
    "interleaved",
    "machine",
    "median",
    "memory_of",
    "per_pass_ratios",
    "reset_peak",
]

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_LIBRARIES: Final = ("cryptography", "psycopg", "sqlalchemy", "starlette", "uvicorn")


class VoidRunError(Exception):
    """The run says nothing: an answer was wrong, or what was to be measured is not there."""


def median(values: Sequence[float]) -> float:
    """Return the median. Raises `VoidRunError` where nothing was measured."""
    if not values:
        raise VoidRunError("nothing was measured")
    return statistics.median(values)


def per_pass_ratios(costs: Sequence[Sequence[float]], bases: Sequence[Sequence[float]]) -> list[float]:
    """Divide the median cost of each pass by the median of its base in the same pass: what slows one slows both."""
    return [median(cost) / median(base) for cost, base in zip(costs, bases, strict=True)]


def interleaved(names: Sequence[str], passes: int, rounds: int) -> Iterator[tuple[str, int, int]]:
    """Name the variant that is next, with its pass and its round.

    In each round every variant has its turn once, in an order of dice that fall the same in every run: what always
    came after the same one would find its caches, warm or cold, as that one left them.
    """
    dice = random.Random(8894)  # noqa: S311 - an order, not a secret
    for turn in range(passes):
        for number in range(rounds):
            for name in dice.sample(names, len(names)):
                yield name, turn, number


class Stopwatch:
    """Splits CPU seconds among named stages. A stage that is marked twice gets both parts."""

    def __init__(self, clock: Callable[[], float] = time.process_time) -> None:
        """`clock` counts seconds; by default those of all threads of this process, SQLite's writer included."""
        self._clock = clock
        self.stages: dict[str, float] = {}
        self._last = clock()

    def mark(self, stage: str) -> None:
        """What was spent since the last mark belongs to this stage."""
        now = self._clock()
        self.stages[stage] = self.stages.get(stage, 0.0) + now - self._last
        # Read again: keeping the books is nobody's cost.
        self._last = self._clock()

    @property
    def total(self) -> float:
        """All stages together."""
        return sum(self.stages.values())


def cpu_of(work: Callable[[], object], clock: Callable[[], float] = time.process_time) -> float:
    """Return the CPU seconds that a call takes."""
    began = clock()
    work()
    return clock() - began


# --- other processes --------------------------------------------------------------------------------------------------


def _stat(pid: int) -> list[str]:
    """Return the fields of `/proc/<pid>/stat` after the name, which may hold anything; the first is the state."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()


class Tree:
    """A process and its descendants. `refresh` after some of them may have started or ended."""

    def __init__(self, root: int) -> None:
        self._root = root
        self.pids: tuple[int, ...] = ()
        self.refresh()

    def refresh(self) -> None:
        """Look again who belongs to it. Raises `VoidRunError` where the process has ended."""
        parents: dict[int, int] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    parents[int(entry.name)] = int(_stat(int(entry.name))[1])
                except OSError:
                    continue  # it ended while we looked
        if self._root not in parents:
            raise VoidRunError(f"process {self._root} has ended")
        found = [self._root]
        for pid in found:
            found += [child for child, parent in parents.items() if parent == pid]
        self.pids = tuple(found)

    def cpu(self) -> float:
        """Return the CPU seconds of all of them so far, and of those that ended and were waited for.

        A process's CPU clock counts in nanoseconds what `/proc/<pid>/task/*/schedstat` does, and threads that ended.
        """
        reaped = sum(int(field) for field in _stat(self._root)[13:15]) / _TICKS
        return reaped + sum(_process_cpu(pid) for pid in self.pids)

    def memory(self) -> list[Memory]:
        """Return the memory of each process."""
        return [memory_of(pid) for pid in self.pids]


def _process_cpu(pid: int) -> float:
    try:
        return time.clock_gettime((~pid << 3) | 2)  # clock_getcpuclockid(3)
    except OSError:
        # A child that ended: the kernel has added it to what its parent waited for.
        return 0.0


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory of one process in MB of a million octets."""

    now: float
    peak: float


def memory_of(pid: int | None = None) -> Memory:
    """Read the memory of a process; of this one where none is named."""
    status = Path(f"/proc/{pid or os.getpid()}/status").read_text(encoding="utf-8", errors="replace")
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return Memory(*(int(fields[name].split()[0]) * 1024 / 1e6 for name in ("VmRSS", "VmHWM")))


def reset_peak() -> None:
    """Let this process's peak begin anew at what it has now."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


# --- where it ran -----------------------------------------------------------------------------------------------------


def machine() -> Mapping[str, object]:
    """Describe the machine as far as a figure depends on it; nothing that names it."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": _processor(),
        "load": round(os.getloadavg()[0], 2),
        "kernel": platform.release().split("-")[0],
        "python": platform.python_version(),
        "files on": _filesystem(tempfile.gettempdir()),
        "sqlite": sqlite3.sqlite_version,
        **{library: version(library) for library in _LIBRARIES},
    }


def _filesystem(directory: str) -> str:
    """Name the kind of file system that the databases lie on: a commit is only as durable as it."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()]
    above = [(fields[1], fields[2]) for fields in mounts if Path(directory).resolve().is_relative_to(fields[1])]
    return max(above, key=lambda mount: len(mount[0]))[1]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
