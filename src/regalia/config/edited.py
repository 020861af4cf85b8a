"""A configuration file with a few settings changed: everything else, comments included, stays as it was written."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING

from regalia import reasons
from regalia.errors import AdminError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["with_settings"]

_SECTION = re.compile(r"\s*\[([A-Za-z0-9_-]+)\]\s*(#.*)?")


def with_settings(text: str, changes: Mapping[tuple[str, str], str | None]) -> str:
    """Set texts by (section, key), or take a setting away (None). Raises `AdminError` ADM-006 where it is not TOML.

    The values were checked as settings before: they need no escaping in TOML.
    """
    lines = _without(text.splitlines(), changes)
    for (section, key), value in changes.items():
        if value is not None:
            _put(lines, section, f'{key} = "{value}"')
    changed = "\n".join(lines) + "\n"
    try:
        tomllib.loads(changed)
    except tomllib.TOMLDecodeError as error:
        raise AdminError(reasons.CONFIG_REFUSED, f"the configuration is not TOML: {error}") from error
    return changed


def _without(lines: list[str], changes: Mapping[tuple[str, str], str | None]) -> list[str]:
    kept, section = [], ""
    for line in lines:
        head = _SECTION.fullmatch(line)
        section = head[1] if head is not None else section
        key = line.partition("=")[0].strip()
        if (section, key) not in changes:
            kept.append(line)
    return kept


def _put(lines: list[str], section: str, line: str) -> None:
    for number, each in enumerate(lines):
        head = _SECTION.fullmatch(each)
        if head is not None and head[1] == section:
            lines.insert(number + 1, line)
            return
    lines += ["", f"[{section}]", line]
