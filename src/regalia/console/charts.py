"""Charts as shapes that a template draws: x in per cent, so that bars stretch, y in pixels, so that text does not.

Pure functions from numbers to places (design: charts). The same numbers stand below a chart as a table, each with the
address of its list; a list with bars has them in its rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

__all__ = [
    "MOST_SERIES",
    "Bar",
    "BarRow",
    "Call",
    "Chart",
    "Column",
    "Life",
    "Line",
    "Stack",
    "bar_list",
    "columns",
    "life_on",
    "series_of",
    "share_on",
]

MOST_SERIES: Final = 4
"""Besides what was refused."""
_TOP: Final = 10.0
_ROOM: Final = 208.0
"""Pixels from the highest line to the lowest."""
_BELOW: Final = 20.0
"""Pixels for the names of the days."""
_LEFT: Final = 4.6
"""Per cent for the numbers of the lines."""
_WIDE: Final = 0.68
"""Part of its room that a bar has."""
_GAP: Final = 1.0
"""Pixels between the parts of a stack, and off the line."""
_LEAST: Final = 0.8
_LEAST_REFUSED: Final = 2.0
"""Pixels of what is not none: a single refusal is to be seen."""
_LINES: Final = 6
"""Parts between lines, at most."""
_STEPS: Final = (1, 2, 5)
_WEEK: Final = 7
_LEAST_CALLED: Final = 5
_CALLED: Final = 3
"""Times the middle of all others, from which on what was refused is called out."""
_THIN: Final = 0.6
"""Per cent that a bar of a list has at least, where it is not none."""


# --- columns --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stack:
    """The numbers of a day."""

    label: str
    parts: tuple[int, ...]
    """By series, from the line upwards."""
    refused: int

    @property
    def issued(self) -> int:
        """All parts together."""
        return sum(self.parts)


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle; all bars of a column have its place."""

    fill: str
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Column:
    """A day's bars."""

    stack: Stack
    x: float
    width: float
    middle: float
    bars: tuple[Bar, ...]
    label: str
    """Its day, where that is written below; else empty."""
    minor: bool
    """Whether the label goes first where there is little room."""


@dataclass(frozen=True, slots=True)
class Line:
    """A horizontal line and the number beside it."""

    y: float
    number: int


@dataclass(frozen=True, slots=True)
class Call:
    """The one exceptional number, written beside its bar."""

    x: float
    y: float
    anchor: str
    number: int


@dataclass(frozen=True, slots=True)
class Chart:
    """Columns above and below a line of zero, with one scale on both sides."""

    height: float
    left: float
    zero: float
    lines: tuple[Line, ...]
    columns: tuple[Column, ...]
    call: Call | None

    @property
    def foot(self) -> float:
        """Where the names of the days stand."""
        return self.height - 5.0


def series_of(totals: Mapping[str, int]) -> tuple[str, ...]:
    """Choose the series that a chart shows, in the order of their names, so that each keeps its colour from day to day.

    Where there are more than it has room for, the largest have their own and the last one, empty, stands for the rest.
    """
    if len(totals) <= MOST_SERIES:
        return tuple(sorted(totals))
    largest = sorted(totals, key=lambda name: (-totals[name], name))[: MOST_SERIES - 1]
    return (*sorted(largest), "")


def columns(stacks: Sequence[Stack]) -> Chart:
    """Draw a column for each day, the last of which is today: what was issued upwards, what was refused downwards."""
    highest = max((each.issued for each in stacks), default=0)
    deepest = max((each.refused for each in stacks), default=0)
    above, below, step = _scale(highest, deepest)
    pixels = _ROOM / ((above + below) * step)
    zero = _TOP + above * step * pixels
    lines = tuple(
        Line(round(zero - number * step * pixels, 1), abs(number) * step) for number in range(-below, above + 1)
    )
    drawn = tuple(_column(stacks, number, zero, pixels) for number in range(len(stacks)))
    return Chart(_TOP + _ROOM + _BELOW, _LEFT, round(zero, 1), lines, drawn, _call(drawn, zero))


def _scale(highest: int, deepest: int) -> tuple[int, int, int]:
    """Choose how many parts stand above and below the line, and of how many each, so that the lines are few."""
    if not highest and not deepest:
        return 1, 0, 1
    power = 1
    while True:
        for digit in _STEPS:
            step = digit * power
            above, below = -(-highest // step), -(-deepest // step)
            if above + below <= _LINES:
                return above, below, step
        power *= 10


def _column(stacks: Sequence[Stack], number: int, zero: float, pixels: float) -> Column:
    stack, room = stacks[number], (100 - _LEFT) / len(stacks)
    x = _LEFT + number * room + room * (1 - _WIDE) / 2
    bars, line = [], zero - _GAP
    for fill, part in enumerate(stack.parts, 1):
        if part:
            height = max(_LEAST, part * pixels - _GAP)
            bars.append(Bar(f"fill-{fill}", round(line - height, 1), round(height, 1)))
            line -= height + _GAP
    if stack.refused:
        bars.append(
            Bar("fill-hatch", round(zero + _GAP, 1), round(max(_LEAST_REFUSED, stack.refused * pixels - _GAP), 1))
        )
    weeks, rest = divmod(len(stacks) - 1 - number, _WEEK)
    return Column(
        stack=stack,
        x=round(x, 2),
        width=round(room * _WIDE, 2),
        middle=round(x + room * _WIDE / 2, 2),
        bars=tuple(bars),
        label="" if rest else stack.label,
        minor=bool(weeks % 2),
    )


def _call(drawn: Sequence[Column], zero: float) -> Call | None:
    """Call out the most that was refused on a day, where it is far more than on others."""
    most = max(drawn, key=lambda each: each.stack.refused, default=None)
    if most is None or most.stack.refused < _LEAST_CALLED:
        return None
    others = sorted(each.stack.refused for each in drawn if each is not most)
    middle = others[len(others) // 2] if others else 0
    if most.stack.refused < _CALLED * max(1, middle):
        return None
    at_right = most.middle > (100 + _LEFT) / 2
    x = most.x - _THIN if at_right else most.x + most.width + _THIN
    lowest = next(each.height for each in most.bars if each.fill == "fill-hatch")
    return Call(round(x, 2), round(zero + max(12.0, lowest - 2), 1), "end" if at_right else "start", most.stack.refused)


# --- lists with bars ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BarRow:
    """A line of a list with bars: text already, so that it needs no second table."""

    label: str
    number: int
    href: str
    fill: str
    width: float
    """Per cent of the longest bar's."""


def bar_list(rows: Sequence[tuple[str, int, str]], *, bad: Sequence[int] | None = ()) -> tuple[BarRow, ...]:
    """Draw label, number and address of each; `bad` are the numbers of those that somebody should fix, None: all."""
    most = max((number for _, number, _ in rows), default=0)
    return tuple(
        BarRow(
            label,
            number,
            href,
            "fill-bad" if bad is None or place in bad else "fill-1",
            round(max(_THIN, 100 * number / most), 1) if number else 0.0,
        )
        for place, (label, number, href) in enumerate(rows)
    )


# --- lives ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Life:
    """How long something lives, in per cent of an axis that several share."""

    begins: float
    lasts: float
    gone: float
    """What has gone by of it."""


def share_on(axis: tuple[datetime, datetime], at: datetime) -> float:
    """Say where a time stands on an axis, in per cent; before and behind it there is nothing."""
    whole = (axis[1] - axis[0]).total_seconds()
    part = (at - axis[0]).total_seconds()
    return round(min(100.0, max(0.0, 100 * part / whole)), 2) if whole else 0.0


def life_on(axis: tuple[datetime, datetime], begin: datetime, end: datetime, now: datetime) -> Life:
    """Draw a life on an axis."""
    begins, ends = share_on(axis, begin), share_on(axis, end)
    gone = min(max(share_on(axis, now), begins), ends)
    return Life(begins, round(ends - begins, 2), round(gone - begins, 2))
