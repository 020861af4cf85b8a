"""The page about personal data names every column that there is."""

from __future__ import annotations

import re
from pathlib import Path

from regalia.store.tables import metadata

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "personal-data.md"


def _columns() -> set[str]:
    return {f"{table.name}.{column.name}" for table in metadata.tables.values() for column in table.columns}


def _parts() -> tuple[str, str]:
    personal, _, rest = PAGE.read_text("utf-8").partition("## Columns without")
    return personal, rest


def _with() -> list[str]:
    rows = [line.split("|")[1] for line in _parts()[0].splitlines() if line.startswith("| `")]
    return re.findall(r"`([a-z_]+\.[a-z_0-9]+)`", " ".join(rows))


def _without() -> list[str]:
    rows = re.findall(r"^\| `([a-z_]+)` \| (.+) \|$", _parts()[1], re.MULTILINE)
    return [f"{table}.{column}" for table, columns in rows for column in re.findall(r"`([a-z_0-9]+)`", columns)]


def test_priv1_each_column_is_told_of_once() -> None:
    """PRIV-1: whoever adds a column says whether it holds personal data, what for and for how long."""
    told = [*_with(), *_without()]
    assert sorted(_columns() - set(told)) == []
    assert sorted(set(told) - _columns()) == []
    assert len(told) == len(set(told))


def test_priv1_each_of_them_has_purpose_and_retention() -> None:
    """PRIV-1: no row about personal data leaves open what it is, what for, or how long it is kept."""
    rows = [line.strip("|").split("|") for line in _parts()[0].splitlines() if line.startswith("| `")]
    assert rows
    assert all(len(row) == 4 and all(cell.strip() for cell in row) for row in rows)
