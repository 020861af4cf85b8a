"""`./regalia faults`, three minutes of it: kills, PostgreSQL away, a full disk, clocks that jump; I1 to I10 hold."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tools.faults.run import BOUND

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
SHORT, LONG = 1.5, 5.0
"""Minutes for each database."""
KILLS_A_MINUTE = 30


@pytest.mark.serial
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_faults(database: str, request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> None:
    """Whatever breaks, no invariant does, no device is refused, and the service is back by itself."""
    long = request.config.getoption("--long")
    minutes = LONG if long else SHORT
    command = [sys.executable, "-m", "tools.faults", "--minutes", str(minutes), "--database", database, "--json"]
    ran = subprocess.run([*command, "--seed", "8894"], cwd=ROOT, capture_output=True, text=True, check=False)
    sys.stdout.write(ran.stderr)
    assert ran.returncode in {0, 3}, ran.stderr
    report = json.loads(ran.stdout)
    slowest = max(max(seconds) for phase in report["phases"].values() for seconds in phase["back"].values())
    record_property("kills", report["kills"])
    record_property("slowest", slowest)
    # A bound of time decides only in the long run; here the tool gives up at three times the bound.
    broken = [found for found in report["violations"] if long or " BACK " not in found]
    assert broken == []
    assert slowest < 3 * BOUND
    assert report["kills"] >= KILLS_A_MINUTE * minutes
    assert report["interrupted"]["ratio"] >= 0.99
