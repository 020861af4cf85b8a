"""Faults with the CA keys on a token in SoftHSM: what cannot be signed again is closed, nothing is lost (ISS-2)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tools.faults.phases import Phase, crash_phase, token_phase
from tools.faults.report import as_text
from tools.faults.run import BOUND, devices_for_run

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.live_client("softhsm")

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(600)
def test_crash_points_on_a_token(record_property: Callable[[str, object], None]) -> None:
    """SIGKILL around a token's signature: I1 to I10 hold, and each interrupted intent ends abandoned, not lost."""
    ended = crash_phase("sqlite", Phase(0, 8894, devices_for_run(), hsm=True), 1)
    sys.stdout.write(as_text("crash points, sqlite, HSM", ended) + "\n")
    for name in ("interrupted", "finished", "abandoned", "lost"):
        record_property(name, getattr(ended.outcomes, name))
    assert ended.violations == ()
    assert {"enrolment: after store.begin", "enrolment: after signer.sign_intent"} <= ended.struck.keys()
    assert ended.outcomes.abandoned > 0
    assert ended.outcomes.lost == 0


@pytest.mark.timeout(600)
def test_a_token_that_comes_and_goes(record_property: Callable[[str, object], None]) -> None:
    """The token taken away under load and brought back, once over a kill: 503 meanwhile, status goes on, none lost."""
    ended = token_phase("sqlite", Phase(1, 8894, devices_for_run(), hsm=True))
    sys.stdout.write(as_text("token, sqlite, HSM", ended) + "\n")
    slowest = max(max(seconds) for seconds in ended.back.values())
    record_property("slowest", slowest)
    assert [violation for violation in ended.violations if violation.invariant != "BACK"] == []
    assert ended.back.keys() == {"token away", "kill and token away"}
    assert slowest < 3 * BOUND
    assert ended.outcomes.lost == 0


@pytest.mark.long
@pytest.mark.serial
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_faults_on_a_token(database: str) -> None:
    """`./regalia faults --hsm`, five minutes on each database: every invariant holds."""
    command = [sys.executable, "-m", "tools.faults", "--hsm", "--minutes", "5", "--database", database, "--json"]
    ran = subprocess.run([*command, "--seed", "8894"], cwd=ROOT, capture_output=True, text=True, check=False)
    sys.stdout.write(ran.stderr)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert json.loads(ran.stdout)["violations"] == []
