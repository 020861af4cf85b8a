"""The page of the settings says what the code knows: each setting, its default, its range and its variable."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from regalia.config.settings import SECTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "settings.md"
ROW = re.compile(r"^\| `([a-z]+\.[a-z0-9_]+)` \| (.*?) \| (.*?) \| .* \| `(\w+)` \|$", re.MULTILINE)
COMPUTED = {
    "server.url": "http://<fqdn>:8080",
    "server.workers": "one for each processor",
    "database.url": "sqlite:///regalia.db",
}
"""Defaults that depend on machine and home."""


def _settings() -> Iterator[tuple[str, FieldInfo]]:
    for section, model in SECTIONS.items():
        for key, info in model.model_fields.items():
            yield f"{section}.{key}", info


def _rows() -> list[tuple[str, str, str, str]]:
    return ROW.findall(PAGE.read_text(encoding="utf-8"))


def test_each_setting_has_its_row_in_order() -> None:
    """No setting is missing from the page, and none stands there that is gone."""
    assert [row[0] for row in _rows()] == [path for path, _ in _settings()]


def test_defaults_are_those_of_the_code() -> None:
    """The page says what holds where nothing is said."""
    expected = {
        path: COMPUTED.get(path, "none" if info.default in {None, ()} else str(info.default))
        for path, info in _settings()
    }
    assert {path: default.strip("`") for path, default, _, _ in _rows()} == expected


def test_ranges_are_those_of_the_code() -> None:
    """The page says how small and how large a number may be."""
    expected = {}
    for path, info in _settings():
        bounds = {type(bound).__name__: bound for bound in info.metadata}
        if {"Ge", "Le"} <= bounds.keys():
            expected[path] = f"{bounds['Ge'].ge} to {bounds['Le'].le}"
    assert expected
    assert {path: allowed for path, _, allowed, _ in _rows() if path in expected} == expected


def test_variables_are_named_after_the_setting() -> None:
    """REGALIA_SECTION__KEY is how each is set from the environment."""
    for path, _, _, variable in _rows():
        assert variable == "REGALIA_" + path.replace(".", "__").upper()
