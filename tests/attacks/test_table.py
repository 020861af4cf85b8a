"""The tables of attacks and of flaws in the documentation, the requirements on input, and the tests say the same."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from regalia import reasons

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "conformance" / "attacks.md"

_ROW = re.compile(r"\| (?P<attack>[^|]+) \| (?P<ids>[^|]+) \| `(?P<test>test_\w+)` \| (?P<answer>[^|]+) \|")
_FILE = re.compile(r"`tests/attacks/(test_\w+)\.py`")
_ID = re.compile(r"\b(?:R\d+|(?:IN|SIG|ENV|MSG|KEY|POL|CHA|REN|REV|ISS|AUTHZ|RES|AUD|CON|WEB)-\d+)\b")
_REASON = re.compile(r"\b(?:SCEP|RA|CA|LIM)-\d{3}\b")


def described() -> dict[tuple[str, str], tuple[str, str]]:
    """Rows of the page: file and test → ids and answer."""
    found: dict[tuple[str, str], tuple[str, str]] = {}
    file = ""
    for line in PAGE.read_text("utf-8").splitlines():
        heading, row = _FILE.fullmatch(line), _ROW.fullmatch(line)
        file = heading[1] if heading else file
        if row:
            assert (file, row["test"]) not in found, row["test"]
            found[file, row["test"]] = row["ids"], row["answer"]
    return found


def written() -> dict[tuple[str, str], ast.FunctionDef]:
    """Tests of this folder but this file's: file and test → the function."""
    return {
        (file.stem, node.name): node
        for file in sorted(HERE.glob("test_*.py"))
        if file != Path(__file__)
        for node in ast.parse(file.read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


DESCRIBED, WRITTEN = described(), written()


def test_each_attack_is_in_the_table_and_the_table_has_no_other() -> None:
    """A new attack gets its row, and a row does not outlive its test."""
    assert DESCRIBED.keys() == WRITTEN.keys()


@pytest.mark.parametrize("test", sorted(DESCRIBED), ids=lambda test: test[1])
def test_a_row_names_the_requirements_and_the_reasons_of_its_test(test: tuple[str, str]) -> None:
    """The ids in the docstring are those of the row; each reason that the test expects is in the row's answer."""
    ids, answer = DESCRIBED[test]
    node = WRITTEN[test]
    assert set(_ID.findall(ids)) == set(_ID.findall(ast.get_docstring(node) or "")) != set()
    expected = {
        getattr(reasons, child.attr).id
        for child in ast.walk(node)
        if isinstance(child, ast.Attribute) and isinstance(child.value, ast.Name) and child.value.id == "reasons"
    }
    assert expected <= set(_REASON.findall(answer))
    assert all(reasons.by_id(each) for each in _REASON.findall(answer))


# --- requirements ---------------------------------------------------------------------------------------------------

REQUIREMENTS = [
    f"{family}-{number}"
    for family, last in (("IN", 8), ("SIG", 6), ("MSG", 4), ("ENV", 9), ("KEY", 2))
    for number in range(1, last + 1)
]


def everywhere() -> dict[str, list[str]]:
    """Every test of the suite by its name: the docstrings that it has, one for each file that has a test of it."""
    found: dict[str, list[str]] = {}
    for file in sorted(HERE.parent.rglob("test_*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                found.setdefault(node.name, []).append(ast.get_docstring(node) or "")
    return found


EVERYWHERE = everywhere()


@pytest.mark.parametrize("requirement", REQUIREMENTS)
def test_each_requirement_on_input_has_a_test_that_names_it(requirement: str) -> None:
    """Its id stands in the docstring of a test, so that whoever breaks it reads which one it was."""
    named = [name for name, told in EVERYWHERE.items() if any(requirement in _ID.findall(each) for each in told)]
    assert named


# --- what was published of others -----------------------------------------------------------------------------------

_FLAW = re.compile(r"\| (?P<flaw>[^|`]+) \| (?P<seen>[^|`]+) \| (?P<tests>`test_\w+`(?:, `test_\w+`)*) \|")
PUBLISHED = (
    *("CVE-2026-30836", "CVE-2025-44005", "CVE-2026-40097", "CVE-2022-34831", "CVE-2020-25276", "CVE-2025-3026"),
    *("CVE-2022-41316", "CVE-2024-2048", "CVE-2025-6037", "CVE-2026-39388", "CVE-2025-62705", "CVE-2024-8365"),
    *("CVE-2025-62513", "CVE-2026-24000", "CVE-2026-46356", "CVE-2026-26061", "CVE-2023-4727", "CVE-2025-58187"),
    *("CVE-2026-32280", "CVE-2026-44310", "CVE-2020-25659", "VU#971035", "2023/1801", "dirkjanm.io 2025-07-30"),
    *("PacketFence issue 7928", "micromdm issue 235", "OmniTrustILM issue 1903", "OmniTrustILM PR 1904"),
    *("ultimate-ca-manager", "SCEPman", "Fleet PR 30589", "EJBCA (comparison of 2026-08-24)"),
)
"""Flaws of others that touch SCEP, by where they were published."""
FLAWS = {row["flaw"]: row for row in map(_FLAW.fullmatch, PAGE.read_text("utf-8").splitlines()) if row}


def test_each_published_flaw_has_its_row() -> None:
    """Nothing that was published of another server and could be ours is missing from the table."""
    seen = " ".join(row["seen"] for row in FLAWS.values())
    assert [flaw for flaw in PUBLISHED if flaw not in seen] == []


@pytest.mark.parametrize("flaw", sorted(FLAWS))
def test_the_tests_of_a_flaw_are_in_the_suite(flaw: str) -> None:
    """A flaw's row names tests that there are."""
    assert [test for test in re.findall(r"test_\w+", FLAWS[flaw]["tests"]) if test not in EVERYWHERE] == []
