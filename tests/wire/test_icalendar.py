"""Calendars: what a reader makes of their lines is what was written, and no text leaves its property."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regalia.wire.icalendar import CalendarEntry, calendar_octets, escaped, folded

_NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
_TEXTS = st.text(max_size=300)


def unfolded(octets: bytes) -> list[str]:
    """Read content lines as RFC 5545 §3.1 says."""
    return octets.decode().replace("\r\n ", "").removesuffix("\r\n").split("\r\n")


def unescaped(value: str) -> str:
    """Read a TEXT as RFC 5545 §3.3.11 says."""
    return re.sub(r"\\(.)", lambda found: "\n" if found[1] in "nN" else found[1], value)


def an_entry(summary: str = "it ends", description: str = "", url: str = "") -> CalendarEntry:
    """Return an entry."""
    return CalendarEntry(
        "one@pki.example.test", _NOW, _NOW + timedelta(days=3), summary, description, url, reminder_days=30
    )


def test_a_calendar_is_what_the_standard_asks_for() -> None:
    """A calendar has version, product and entries, each with UID, DTSTAMP, DTSTART and a reminder, in UTC."""
    lines = unfolded(calendar_octets("what ends", "-//Regalia//EN", [an_entry(url="https://pki.example.test/x")]))
    assert lines[:3] == ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Regalia//EN"]
    begin = lines.index("BEGIN:VEVENT")
    assert lines[begin : lines.index("END:VEVENT")] == [
        "BEGIN:VEVENT",
        "UID:one@pki.example.test",
        "DTSTAMP:20260301T093000Z",
        "DTSTART:20260304T093000Z",
        "SUMMARY:it ends",
        "URL:https://pki.example.test/x",
        "TRANSP:TRANSPARENT",
        "BEGIN:VALARM",
        "ACTION:DISPLAY",
        "TRIGGER:-P30D",
        "DESCRIPTION:it ends",
        "END:VALARM",
    ]
    assert lines[-1] == "END:VCALENDAR"


@given(_TEXTS)
def test_a_line_is_folded_at_75_octets(text: str) -> None:
    """No line is longer than 75 octets, none cuts a character, and unfolded it is what it was."""
    line = "SUMMARY:" + escaped(text)
    octets = folded(line)
    parts = octets.removesuffix(b"\r\n").split(b"\r\n")
    assert max(map(len, parts)) <= 75
    assert all(part.decode() is not None and part.startswith(b" ") for part in parts[1:])
    assert unfolded(octets) == [line]


@given(_TEXTS, _TEXTS, _TEXTS)
def test_a_text_stays_within_its_property(summary: str, description: str, url: str) -> None:
    """Whatever a name holds, the calendar has as many lines as with a harmless one, and the text is read as it was."""
    plain = unfolded(calendar_octets("name", "product", [an_entry("a", "b", "c:d")]))
    lines = unfolded(calendar_octets("name", "product", [an_entry(summary, "b" + description, "c:d" + url)]))
    assert [line.partition(":")[0] for line in lines] == [line.partition(":")[0] for line in plain]
    (read,) = [unescaped(line.removeprefix("SUMMARY:")) for line in lines if line.startswith("SUMMARY:")]
    breaks = re.sub("\r\n|[\r\v\f\x1c-\x1e\x85\u2028\u2029]", "\n", summary)
    assert read == re.sub("[\x00-\x09\x0b-\x1f\x7f-\x9f]", "", breaks)


@pytest.mark.parametrize(
    "hostile", ["x\r\nEND:VEVENT\r\nBEGIN:VEVENT", "x\nATTACH:file", "x\u2028UID:other", "x\x85Y:"]
)
def test_a_hostile_name_is_text(hostile: str) -> None:
    """A name that tries to end its line is read as a text with a break in it."""
    octets = calendar_octets("name", "product", [an_entry(hostile)])
    assert octets.count(b"BEGIN:VEVENT") == octets.count(b"\r\nBEGIN:VEVENT\r\n") + hostile.count("BEGIN:VEVENT") * 2
    assert b"\r\nATTACH" not in octets
    assert octets.count(b"\r\nUID:") == 1
