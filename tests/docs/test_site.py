"""The documentation as a site."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tools.docs import build

if TYPE_CHECKING:
    from pathlib import Path

_LOADED = re.compile(
    r"<(?:script|img|iframe|source)\b[^>]*\bsrc=\"(?:https?:)?//|<link\b[^>]*\brel=\"?stylesheet[^>]*//"
)


def test_the_site_is_built_and_loads_nothing_from_outside(tmp_path: Path) -> None:
    """Every link within the documentation holds, and no page asks another host for a script, a style or a picture."""
    assert build(tmp_path) == 0
    pages = list(tmp_path.rglob("*.html"))
    assert pages
    assert [page.name for page in pages if _LOADED.search(page.read_text(encoding="utf-8"))] == []
