"""A transcript: a plain text file that says line by line who did what when, each line bound to all before it.

A line is `NUMBER TIME WHO | WHAT | HASH`; its hash is SHA-256 over the hash of the line before and all that stands
before its own. Whoever holds a copy of the last line's hash, on paper at best, holds the whole file to it.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from regalia import reasons
from regalia.errors import AdminError

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["BEGINNING", "Line", "read_transcript", "text_of_line", "written_line"]

BEGINNING: Final = hashlib.sha256(b"regalia transcript 1").hexdigest()
"""What the first line is bound to."""
_LINE: Final = re.compile(r"(\d+) (\S+Z) (\S+) \| (.*) \| ([0-9a-f]{64})")
_UNSEEN: Final = re.compile(r"[|\x00-\x1f\x7f-\x9f\u2028\u2029]+")


@dataclass(frozen=True, slots=True)
class Line:
    """One line."""

    number: int
    time: str
    who: str
    what: str
    hash: str


def written_line(previous: Line | None, *, at: datetime, who: str, what: str) -> Line:
    """Write the line after `previous`; what would break a line is left out of its texts."""
    number = 1 if previous is None else previous.number + 1
    time = f"{at:%Y-%m-%dT%H:%M:%SZ}"
    who, what = _UNSEEN.sub(" ", who).replace(" ", "_"), _UNSEEN.sub(" ", what).strip()
    return Line(number, time, who, what, _hash(previous, f"{number} {time} {who} | {what}"))


def text_of_line(line: Line) -> str:
    """Write a line as it stands in the file, without its end."""
    return f"{line.number} {line.time} {line.who} | {line.what} | {line.hash}"


def _hash(previous: Line | None, text: str) -> str:
    before = previous.hash if previous is not None else BEGINNING
    return hashlib.sha256(f"{before} {text}".encode()).hexdigest()


def read_transcript(text: str) -> tuple[Line, ...]:
    """Read a transcript and verify each line. Raises `AdminError` ADM-036 with the first one that does not hold."""
    lines: list[Line] = []
    for number, written in enumerate(text.splitlines(), start=1):
        found = _LINE.fullmatch(written)
        if found is None:
            raise AdminError(reasons.TRANSCRIPT_BROKEN, f"line {number} is no line of a transcript")
        line = Line(int(found[1]), found[2], found[3], found[4], found[5])
        previous = lines[-1] if lines else None
        if line.number != number or line.hash != _hash(previous, written.rpartition(" | ")[0]):
            raise AdminError(reasons.TRANSCRIPT_BROKEN, f"line {number} is not bound to what stands before it")
        lines.append(line)
    return tuple(lines)
