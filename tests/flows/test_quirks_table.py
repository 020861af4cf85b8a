"""The table of clients' habits in the documentation and the tests say the same."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from regalia import reasons

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PAGE = ROOT / "docs" / "conformance" / "scep.md"

_ROW = re.compile(r"\| (?P<client>[^|]+) \| (?P<habit>[^|]+) \| (?P<answer>[^|]+) \| `(?P<test>test_\w+)` \|")
_FILE = re.compile(r"`tests/flows/(test_quirks\w*)\.py`")
_ELSEWHERE = re.compile(
    r"(?:\| [^|]+ ){3}\| (?P<tests>`test_\w+`(?:, `test_\w+`)*) in (?P<files>`tests/[\w/.]+`(?:, `tests/[\w/.]+`)*) \|"
)
_REASON = re.compile(r"\b(?:SCEP|RA|CA|LIM)-\d{3}\b")

LINES = PAGE.read_text("utf-8").splitlines()
CLIENTS = (
    *(
        "Apple",
        "Windows",
        "Intune",
        "ChromeOS",
        "Google Workspace",
        "PAN-OS",
        "Android",
        "Cisco",
        "Juniper",
        "MikroTik",
    ),
    *("Printers", "sscep", "strongSwan", "certmonger", "micromdm", "jscep", "OpenXPKI"),
)
"""Clients whose habits are known."""


def described() -> dict[tuple[str, str], re.Match[str]]:
    """Rows of the page by file and test."""
    found: dict[tuple[str, str], re.Match[str]] = {}
    file = ""
    for line in LINES:
        heading, row = _FILE.fullmatch(line), _ROW.fullmatch(line)
        file = heading[1] if heading else file
        if row:
            assert (file, row["test"]) not in found, row["test"]
            found[file, row["test"]] = row
    return found


def functions(file: Path) -> dict[str, ast.FunctionDef]:
    """The tests of a file."""
    nodes = ast.parse(file.read_text("utf-8")).body
    return {node.name: node for node in nodes if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def written() -> dict[tuple[str, str], ast.FunctionDef]:
    """The tests of habits by file and name."""
    files = [file for file in sorted(HERE.glob("test_quirks*.py")) if file != Path(__file__)]
    return {(file.stem, name): node for file in files for name, node in functions(file).items()}


DESCRIBED, WRITTEN = described(), written()
ELSEWHERE = [row for row in map(_ELSEWHERE.fullmatch, LINES) if row]


def test_each_habit_is_in_the_table_and_the_table_has_no_other() -> None:
    """A new habit gets its row, and a row does not outlive its test."""
    assert DESCRIBED.keys() == WRITTEN.keys()


def test_the_last_table_is_read() -> None:
    """Every row that says in which file its tests are is understood."""
    assert len(ELSEWHERE) == sum("` in `tests/" in line for line in LINES) > 0


def test_no_client_is_forgotten() -> None:
    """Every client whose habits are known has a row."""
    assert {row["client"] for row in DESCRIBED.values()} == set(CLIENTS)


@pytest.mark.parametrize("test", sorted(DESCRIBED), ids=lambda test: test[1])
def test_a_row_names_the_client_and_the_reasons_of_its_test(test: tuple[str, str]) -> None:
    """The docstring names the row's client; the reasons that the test expects are those of the row's answer."""
    row, node = DESCRIBED[test], WRITTEN[test]
    told = ast.get_docstring(node) or ""
    assert row["client"].lower() in told.lower()
    expected = {
        getattr(reasons, child.attr).id
        for child in ast.walk(node)
        if isinstance(child, ast.Attribute) and isinstance(child.value, ast.Name) and child.value.id == "reasons"
    }
    assert expected == set(_REASON.findall(row["answer"]))


@pytest.mark.parametrize("row", ELSEWHERE, ids=lambda row: row["tests"].partition("`")[2].partition("`")[0])
def test_the_tests_with_the_clients_themselves_are_there(row: re.Match[str]) -> None:
    """A row of the last table names tests that its files have."""
    there = {name for file in re.findall(r"tests/[\w/.]+", row["files"]) for name in functions(ROOT / file)}
    assert set(re.findall(r"test_\w+", row["tests"])) <= there
