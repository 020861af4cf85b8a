"""A disk that is full, under an SQLite file."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from tools.faults.disk import in_namespace

TESTS = Path(__file__).resolve().parents[1]


def test_a_full_disk_fails_the_probe(tmp_path: Path) -> None:
    """On a full disk the probe fails while small writes still fit into the log, and holds again with room (RES-7)."""
    paths = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    ran = subprocess.run(
        in_namespace("-m", "store.full_disk"),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    room, full, again = json.loads(ran.stdout)
    assert room == again == ["", ""]
    assert full[0] == ""
    assert "its disk has 0 octets left" in full[1]
