"""Turns at one SQLite file, taken by real processes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from regalia.store.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WRITER = """
import json, sys, time
from pathlib import Path
from regalia.store.turns import Turns

turns, until, longest, count = Turns(Path(sys.argv[1])), time.monotonic() + float(sys.argv[2]), 0.0, 0
print("begun", flush=True)
while time.monotonic() < until:
    asked = time.monotonic()
    with turns.turn():
        longest, count = max(longest, time.monotonic() - asked), count + 1
        time.sleep(0.002)
print(json.dumps([count, longest]))
"""


@contextmanager
def writers(path: Path, count: int, seconds: float) -> Iterator[list[subprocess.Popen[str]]]:
    """Run processes that write without a pause; they have begun."""
    command = [sys.executable, "-c", WRITER, str(path), str(seconds)]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(count)]
    try:
        for each in started:
            assert each.stdout is not None
            assert each.stdout.readline() == "begun\n"
        yield started
    finally:
        for each in started:
            each.kill()
            each.communicate()


def test_processes_that_write_without_a_pause_take_turns(tmp_path: Path) -> None:
    """R9: of three processes that always want to write none waits long, and each gets its share."""
    with writers(tmp_path / "x.db", 3, 3) as started:
        told = [json.loads(each.communicate(timeout=30)[0]) for each in started]
    counts = sorted(count for count, _ in told)
    assert counts[0] * 3 > counts[-1]
    assert max(longest for _, longest in told) < 1.0


def test_a_process_that_was_stopped_in_its_turn_stops_nobody(tmp_path: Path) -> None:
    """A process that holds a turn and does not go on delays others by seconds; one that is dead not at all."""
    mine = Turns(tmp_path / "x.db")
    with writers(tmp_path / "x.db", 1, 60) as (held,):
        held.send_signal(signal.SIGSTOP)
        begun = time.monotonic()
        with mine.turn():
            assert time.monotonic() - begun < 10
        held.kill()
        held.wait()
        begun = time.monotonic()
        for _ in range(10):
            with mine.turn():
                pass
        assert time.monotonic() - begun < 1
    mine.close()


def test_without_the_file_nothing_waits(tmp_path: Path) -> None:
    """Where the file cannot be made, SQLite's own locks have to do."""
    turns = Turns(tmp_path / "nowhere" / "x.db")
    with turns.turn():
        pass
    turns.close()
    assert list(tmp_path.iterdir()) == []
