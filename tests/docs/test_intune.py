"""The page on troubleshooting Intune names every code that the connector knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from regalia.connectors.intune_codes import REFUSALS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tasks" / "intune-troubleshooting.md"


@pytest.mark.parametrize("code", REFUSALS)
def test_each_code_is_explained_as_the_program_does(code: str) -> None:
    """What the page says of a code is what `enrolment show` says of it."""
    refusal = REFUSALS[code]
    reason = refusal.reason.id
    row = f"| `{code}` | [{reason}](../errors/{reason}.md) | {refusal.meaning} | {refusal.hint} |"
    assert row in PAGE.read_text(encoding="utf-8").splitlines()


def test_no_other_code_is_explained() -> None:
    """A code that the program no longer knows leaves the page."""
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if "](../errors/CON-" in line]
    assert sum(line.startswith("| `") for line in rows) == len(REFUSALS)
