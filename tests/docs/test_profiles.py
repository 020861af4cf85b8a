"""The page of profiles says what the code knows: each key, each variable, each path of a condition, what is unsafe."""

from __future__ import annotations

import re
from pathlib import Path

from regalia.ca.profile_conditions import environment_paths
from regalia.ca.profile_document import document_keys
from regalia.ca.profile_ready_made import READY_MADE
from regalia.ca.profile_safety import RULES
from regalia.ca.profile_variables import VARIABLES

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = DOCS / "reference" / "profiles.md"


def _rows(section: str) -> list[list[str]]:
    """Return the rows of a section's table, without its head."""
    text = PAGE.read_text(encoding="utf-8").split(f"\n## {section}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in text.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_each_key_of_a_document_has_its_row() -> None:
    """No key is missing from the page, and none stands there that is gone."""
    told = [key for row in _rows("Keys") for key in re.findall(r"`([a-z0-9.-]+)`", row[0])]
    assert sorted(told) == sorted(document_keys())


def test_each_variable_has_its_row_with_source_and_mark() -> None:
    """POL-6: the page says who fills a variable, and which ones a device can set."""
    expected = [
        [
            f"`{each.name}`",
            each.type.value,
            each.source.value,
            "**yes**" if each.spoofable else "no",
            "several" if each.several else "one",
            each.meaning,
        ]
        for each in VARIABLES.values()
    ]
    assert _rows("Variables") == expected


def test_each_path_of_a_condition_has_its_row() -> None:
    """The environment of conditions is the declared one."""
    assert _rows("Conditions") == [[f"`{path}`", kind] for path, kind in environment_paths().items()]


def test_the_table_of_what_is_unsafe_is_the_codes() -> None:
    """Holds 4: what is never issued, what is acknowledged and what is told stand on the page as they are judged."""
    assert _rows("What is unsafe") == [[f"`{rule.name}`", rule.severity.value, rule.title, rule.why] for rule in RULES]


def test_each_ready_made_profile_is_told() -> None:
    """The task's page lists all of them."""
    page = (DOCS / "tasks" / "ready-made-profiles.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `([a-z-]+)` \|", page, re.MULTILINE) == list(READY_MADE)
