"""Lines that are bound to all before them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from regalia import reasons
from regalia.ca.transcript import read_transcript, text_of_line, written_line
from regalia.errors import AdminError

AT = datetime(2026, 3, 1, 9, 0, 0, 5, tzinfo=UTC)


def three_lines() -> list[str]:
    """A transcript."""
    first = written_line(None, at=AT, who="os:ada", what="created root | with\na line break")
    second = written_line(first, at=AT, who="os:ben b", what="signed")
    third = written_line(second, at=AT, who="os:ben", what="published")
    return [text_of_line(line) for line in (first, second, third)]


def test_a_transcript_is_read_back() -> None:
    """What was written is read, in lines that nothing in a text can break."""
    lines = read_transcript("\n".join(three_lines()) + "\n")
    assert [line.number for line in lines] == [1, 2, 3]
    assert lines[0].what == "created root   with a line break"
    assert lines[0].time == "2026-03-01T09:00:00Z"
    assert lines[1].who == "os:ben_b"
    assert read_transcript("") == ()


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda lines: [lines[0].replace("root", "boot"), *lines[1:]], 1),
        (lambda lines: [lines[0], lines[1].replace("09:00:00Z", "09:00:01Z"), lines[2]], 2),
        (lambda lines: [lines[0], lines[2]], 2),
        (lambda lines: [lines[1], lines[2]], 1),
        (lambda lines: [lines[0], lines[2], lines[1]], 2),
        (lambda lines: [*lines, lines[2]], 4),
        (lambda lines: [*lines, "a remark"], 4),
    ],
    ids=["changed", "time", "removed", "beginning", "moved", "repeated", "added"],
)
def test_what_was_altered_is_found(change: object, line: int) -> None:
    """A line that was changed, removed, moved or added is named."""
    with pytest.raises(AdminError) as refused:
        read_transcript("\n".join(change(three_lines())))  # type: ignore[operator]  # a lambda above
    assert refused.value.reason is reasons.TRANSCRIPT_BROKEN
    assert refused.value.detail.startswith(f"line {line} ")
