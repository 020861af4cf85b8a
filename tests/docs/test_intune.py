"""The pages on Intune say what the program does: every code that the connector knows, and the twelve mistakes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cli.test_twelve_mistakes import BY_DOCTOR, BY_ENROLMENT, IDS
from regalia.connectors.intune_codes import REFUSALS

TASKS = Path(__file__).resolve().parents[2] / "docs" / "tasks"
PAGE = TASKS / "intune-troubleshooting.md"


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


@pytest.mark.parametrize("name", [*BY_DOCTOR, *BY_ENROLMENT])
def test_each_mistake_has_its_row(name: str) -> None:
    """What the page says that is seen of a mistake is what the test of that mistake finds."""
    rows = [row for row in (TASKS / "twelve-mistakes.md").read_text("utf-8").splitlines() if row.startswith("| ")]
    (row,) = (each for each in rows if each.startswith(f"| {name} |"))
    known = (BY_DOCTOR | BY_ENROLMENT)[name]
    words = re.findall(r"AADSTS[0-9]+|CON-[0-9]{3}|HTTP [0-9]{3}|0x[0-9a-f]+", " ".join(known.says))
    words += re.findall(r"\b[A-Z][a-z]+(?:[A-Z][a-z]+)+\b", " ".join(known.says))
    assert [word for word in (*words, IDS.get(name, "")) if word not in row] == []


def test_there_are_twelve() -> None:
    """None of the mistakes is without a test, and none stands in both tables."""
    assert len(BY_DOCTOR | BY_ENROLMENT) == len(BY_DOCTOR) + len(BY_ENROLMENT) == 12
