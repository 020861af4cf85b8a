"""Calendars to subscribe to (RFC 5545): text in, octets out. Whatever a text holds, it stays within its property."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

__all__ = ["CalendarEntry", "calendar_octets", "escaped", "folded"]

_LONGEST: Final = 75
"""Octets of a line without its break (RFC 5545 §3.1)."""
_BREAKS: Final = re.compile("\r\n|[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]")
_ESCAPED: Final = str.maketrans({"\\": "\\\\", ";": "\\;", ",": "\\,", "\n": "\\n"})


@dataclass(frozen=True, slots=True)
class CalendarEntry:
    """A moment that somebody should know of."""

    uid: str
    """The same in every copy of the calendar, and nowhere else (RFC 7986 §5.3)."""
    stamp: datetime
    """When what is said of it became true."""
    at: datetime
    summary: str
    description: str = ""
    url: str = ""
    reminder_days: int = 0
    """So many days before, a calendar may remind of it; 0: it does not."""


def calendar_octets(name: str, product: str, entries: Iterable[CalendarEntry]) -> bytes:
    """Write a calendar. `product` is what made it."""
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        f"PRODID:{escaped(product)}",
        "CALSCALE:GREGORIAN",
        f"NAME:{escaped(name)}",
        # What calendars knew before RFC 7986.
        f"X-WR-CALNAME:{escaped(name)}",
        "REFRESH-INTERVAL;VALUE=DURATION:PT6H",
    ]
    for entry in entries:
        lines += _entry(entry)
    lines.append("END:VCALENDAR")
    return b"".join(folded(line) for line in lines)


def _entry(entry: CalendarEntry) -> Iterator[str]:
    yield "BEGIN:VEVENT"
    yield f"UID:{escaped(entry.uid)}"
    yield f"DTSTAMP:{_time(entry.stamp)}"
    yield f"DTSTART:{_time(entry.at)}"
    yield f"SUMMARY:{escaped(entry.summary)}"
    if entry.description:
        yield f"DESCRIPTION:{escaped(entry.description)}"
    if entry.url:
        yield f"URL:{_uri(entry.url)}"
    yield "TRANSP:TRANSPARENT"
    if entry.reminder_days:
        yield "BEGIN:VALARM"
        yield "ACTION:DISPLAY"
        yield f"TRIGGER:-P{entry.reminder_days}D"
        yield f"DESCRIPTION:{escaped(entry.summary)}"
        yield "END:VALARM"
    yield "END:VEVENT"


def escaped(text: str) -> str:
    """Write a TEXT value (§3.3.11): a break is written as an escape, and what is no text is left out."""
    plain = _BREAKS.sub("\n", text)
    kept = "".join(each for each in plain if each == "\n" or unicodedata.category(each) not in {"Cc", "Cs"})
    return kept.translate(_ESCAPED)


def _uri(text: str) -> str:
    """Write a URI, which is not escaped: what none has is left out."""
    return "".join(each for each in text if each.isascii() and each.isprintable() and each != " ")


def _time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def folded(line: str) -> bytes:
    """Write a content line, in parts of at most 75 octets, none of which cuts a character (§3.1)."""
    parts, part = [], b""
    for each in line:
        octets = each.encode()
        if len(part) + len(octets) > _LONGEST:
            parts.append(part)
            part = b" "
        part += octets
    return b"\r\n".join([*parts, part]) + b"\r\n"
