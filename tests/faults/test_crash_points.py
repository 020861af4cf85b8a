"""SIGKILL before and after every call of store and signer in an issuance, and before the answer: I1 to I10 hold."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from tools.faults.phases import Phase, crash_phase
from tools.faults.report import LEAST_RATIO, as_text
from tools.faults.run import devices_for_run

if TYPE_CHECKING:
    from collections.abc import Callable

SHORT, LONG = 5, 50
"""How often at each point."""


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_crash_points(
    database: str, request: pytest.FixtureRequest, record_property: Callable[[str, object], None]
) -> None:
    """Under 8 clients every crash ends well: ISS-1 to ISS-7, I1 to I10, and at least 99 in 100 intents finish (R8)."""
    times = LONG if request.config.getoption("--long") else SHORT
    ended = crash_phase(database, Phase(0, 8894, devices_for_run()), times)
    sys.stdout.write(as_text(f"crash points, {database}", ended) + "\n")
    for name in ("interrupted", "finished", "abandoned", "lost"):
        record_property(name, getattr(ended.outcomes, name))
    assert ended.violations == ()
    assert min(ended.struck.values()) >= times
    assert ended.outcomes.interrupted > len(ended.struck)
    assert ended.outcomes.ratio >= LEAST_RATIO
    assert ended.outcomes.lost == 0
