"""The transcript of a root's home as a file."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from regalia.errors import AdminError
from regalia.store.transcript_file import append_lines, transcript_of

if TYPE_CHECKING:
    from pathlib import Path

AT = datetime(2026, 3, 1, 9, tzinfo=UTC)


def test_a_line_without_its_end_is_ended(tmp_path: Path) -> None:
    """Where a crash left the last line whole but for its end, the next one does not become part of it."""
    path = tmp_path / "transcript.txt"
    append_lines(path, ["first"], at=AT, who="os:ada")
    path.write_text(path.read_text(encoding="utf-8").rstrip("\n"), encoding="utf-8")
    append_lines(path, ["second"], at=AT, who="os:ada")
    assert [line.what for line in transcript_of(path)] == ["first", "second"]


def test_half_a_line_is_told(tmp_path: Path) -> None:
    """Where a line is not whole nothing is appended: whoever looks decides."""
    path = tmp_path / "transcript.txt"
    append_lines(path, ["first", "second"], at=AT, who="os:ada")
    before = path.read_bytes()[:-20]
    path.write_bytes(before)
    with pytest.raises(AdminError, match="line 2 is no line of a transcript"):
        append_lines(path, ["third"], at=AT, who="os:ada")
    assert path.read_bytes() == before
