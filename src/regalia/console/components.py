"""`/components`: every part that pages are made of, in its states; whoever makes a page looks here first."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Final

from regalia.console.charts import Stack, bar_list, columns
from regalia.console.comparison import comparison
from regalia.console.frame import console_files, environment
from regalia.console.look import View
from regalia.verbs.enrolment_compared import ComparedField, Part, Verdict
from regalia.words import marked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from regalia.console.desk import Routes, Shown
    from regalia.console.look import Look

__all__ = ["ROUTES"]

_HERE: Final = "/components"
_TOKEN: Final = re.compile(rb"--([a-z0-9-]+): light-dark\(#")
_SYMBOL: Final = re.compile(r'id="i-([a-z]+)"')
_DAYS: Final = 14
_ISSUED: Final = ((4, 9), (6, 12), (5, 11), (7, 14), (6, 9), (1, 2), (0, 1))
"""Of a week, from two ways."""

_STATES: Final = (
    ("ok", marked("Good"), marked("good and usable")),
    ("warn", marked("Soon"), marked("needs attention soon")),
    ("held", marked("On hold"), marked("stopped, and can come back")),
    ("bad", marked("Refused"), marked("failed: somebody must act")),
    ("ended", marked("Revoked"), marked("ended for good")),
    ("waiting", marked("Pending"), marked("waits for somebody or something")),
    ("over", marked("Expired"), marked("over: nothing is to be done")),
    ("unknown", marked("Unknown"), marked("not reached, or not known")),
)
"""The kinds of status, a word that has it, and what it means."""


@dataclass(frozen=True, slots=True)
class _Stage:
    name: str
    note: str
    kind: str


@dataclass(frozen=True, slots=True)
class _Counted:
    """A number with its list, or a series with what it amounts to."""

    href: str
    number: str = ""
    name: str = ""
    fill: str = ""
    issued: str = ""


@cache
def _colours() -> tuple[str, ...]:
    """List the colours that have a name, as the style sheet defines them."""
    sheet = console_files()["/static/console.css"].body
    return tuple(dict.fromkeys(name.decode() for name in _TOKEN.findall(sheet)))


@cache
def _icons() -> tuple[str, ...]:
    """List the shapes that a page can show, as the sprite has them."""
    sprite = environment("en").get_template("parts.html").module.sprite()  # type: ignore[attr-defined]
    return tuple(name for name in _SYMBOL.findall(str(sprite)) if name != "crown")


def _fields() -> Iterator[ComparedField]:
    """One that differs, one that is added, and one on which both sides agree."""
    for part, kind, given, asked, verdict in (
        (Part.SUBJECT, "cn", ("laptop-1",), ("admin",), Verdict.DIFFERS),
        (Part.ALTERNATIVE_NAME, "dns", ("laptop-1.example.com",), (), Verdict.ADDED),
        (Part.KEY, "", ("RSA ≥ 2048", "P-256"), ("P-256",), Verdict.ALLOWED),
    ):
        yield ComparedField(part=part, kind=kind, given=given, asked=asked, verdict=verdict)


def _show(look: Look) -> Shown:
    words = look.words
    days = [(look.now - timedelta(days=back)).date() for back in reversed(range(_DAYS))]
    return View(
        "components.html",
        title=words("Components"),
        lead=words("What every page is made of. What is not here does not exist yet: add it here first."),
        here="/docs",
        crumbs=((words("Documentation"), "/docs"), (words("Components"), "")),
        values={
            "colours": _colours(),
            "icons": _icons(),
            "states": [(kind, words(word), words(meaning)) for kind, word, meaning in _STATES],
            "steps": list(_stages(look)),
            "compared": comparison(words, _fields()),
            "chart": columns(list(_stacks(look, days))),
            "series": [
                _Counted("/certificates", name="SCEP", fill="fill-1", issued="34"),
                _Counted("/certificates", name="NDES", fill="fill-2", issued="78"),
            ],
            "refused": _Counted("/enrolments?state=refused", "9"),
            "bars": bar_list([(word, 12 // number, "/certificates") for number, word in _numbered(look)], bad=(1,)),
            "rows": [(day, [_Counted("/certificates", str(number)) for number in (4, 9, 0)]) for day in days[-2:]],
        },
    )


def _stages(look: Look) -> Iterator[_Stage]:
    words = look.words
    yield _Stage(words("Received"), "2 ms", "done")
    yield _Stage(words("Read"), "1 ms", "told")
    yield _Stage(words("Decided"), "RA-015", "failed")
    yield _Stage(words("Signed"), "", "open")


def _stacks(look: Look, days: list[date]) -> Iterator[Stack]:
    for place, day in enumerate(days):
        label = look.words("today") if day == days[-1] else look.words.short_day(day)
        yield Stack(label, _ISSUED[place % len(_ISSUED)], 8 if place == _DAYS - 3 else place % 2)


def _numbered(look: Look) -> Iterator[tuple[int, str]]:
    for number, (_, word, _) in enumerate(_STATES[:3], 1):
        yield number, look.words(word)


ROUTES: Final[Routes] = {_HERE: {"GET": _show}}
