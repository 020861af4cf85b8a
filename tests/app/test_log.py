"""The server's log where it has no place to go."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.real

_PROGRAM = """
import structlog
from regalia.app.log import set_up_log
from regalia.config.settings import LogSettings
set_up_log(LogSettings())
log = structlog.get_logger("test")
log.error("first", text="\\udc80")
log.error("second")
print("went on")
"""


def run_with(stderr: int) -> subprocess.CompletedProcess[bytes]:
    """Run the program with this standard error."""
    command = [sys.executable, "-c", _PROGRAM]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=stderr, timeout=60, check=False)


def test_a_full_disk_under_the_log_stops_nothing() -> None:
    """RES-7: whoever logs to the disk that is full still gets its answers: the lines are dropped."""
    with Path("/dev/full").open("wb") as full:
        ended = run_with(full.fileno())
    assert (ended.returncode, ended.stdout) == (0, b"went on\n")


def test_a_reader_that_is_gone_stops_nothing() -> None:
    """RES-7: a closed pipe behind standard error is as good as a full disk."""
    reader, writer = os.pipe()
    os.close(reader)
    ended = run_with(writer)
    os.close(writer)
    assert (ended.returncode, ended.stdout) == (0, b"went on\n")


def test_each_event_is_one_line_of_json(tmp_path: Path) -> None:
    """What has a place to go is written whole, whatever characters it holds."""
    with (tmp_path / "log").open("wb") as log:
        ended = run_with(log.fileno())
    assert ended.stdout == b"went on\n"
    lines = [json.loads(line) for line in (tmp_path / "log").read_bytes().splitlines()]
    assert [line["event"] for line in lines] == ["first", "second"]
