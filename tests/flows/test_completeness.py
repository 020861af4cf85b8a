"""No refusal is left without a test that provokes it through the face that gives it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from test_refusals import SCENARIOS

from regalia import reasons
from regalia.errors import Reason, Stage

TESTS = Path(__file__).resolve().parents[1]

FACES: dict[Stage, tuple[str, ...]] = {
    Stage.HTTP: ("web",),
    Stage.SERVICE: ("web", "ca", "flows"),
    Stage.ADMIN: ("cli", "verbs", "web"),
    Stage.CLIENT: ("client",),
    Stage.LIMIT: ("ra",),
}
"""Where the reasons are driven that no PKIOperation provokes; all others stand in `test_refusals.SCENARIOS`."""
DECISIONS = {reason.id: ("ra",) for reason in (reasons.APPROVAL_DENIED, reasons.APPROVAL_EXPIRED)}
"""Where those are driven that an administrator gives to what waits: the device only learns that nothing waits."""
CONNECTORS = ("connectors", "ra", "app", "verbs")
"""Where a connector's own reasons are driven: against its system, where its word is taken, and where it is kept."""

_NAMES = {id(value): name for name, value in vars(reasons).items() if isinstance(value, Reason)}


@pytest.mark.parametrize("reason", reasons.ALL, ids=lambda reason: reason.id)
def test_each_reason_is_provoked_by_a_test(reason: Reason) -> None:
    """A message's refusal is driven by a message, a command's by a transcript or its verb, our client's by a server."""
    folders = DECISIONS.get(reason.id) or FACES.get(reason.stage)
    if reason.id.startswith("CON-"):
        folders = (*CONNECTORS, *(folders or ()))
    if folders is None:
        assert reason.id in SCENARIOS
        return
    named = re.compile(rf"\b({re.escape(reason.id)}|reasons\.{_NAMES[id(reason)]})\b")
    files = [
        file
        for folder in folders
        for file in (TESTS / folder).rglob("*")
        if file.suffix in (".py", ".txt") and file != Path(__file__).resolve()
    ]
    assert any(named.search(file.read_text("utf-8")) for file in files), f"{reason} is provoked nowhere in {folders}"
