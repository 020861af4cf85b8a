"""The table of attacks in the documentation and the tests of this folder say the same."""

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
