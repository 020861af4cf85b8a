"""Lists a page at a time: where a page looks, what it keeps of that, and how many there are.

A page walks over a source, an index in the order of the list, behind the place where the page before it ended. What the
index cannot say is asked of each row on the way; so that no question costs more than its share, the walk ends after
`FAR` rows, and then the page ends early and says where to go on. No list is counted beyond what such a walk sees.

The statements are text: SQLite goes over the tables in the order in which a CROSS JOIN names them, which nothing else
makes it do, and PostgreSQL takes the same words for an inner join.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import text

from regalia.ports import COUNTED
from regalia.store.session import Statement

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from regalia.store.session import Row, Transaction, Values

__all__ = [
    "FAR",
    "FIRST",
    "NEAR",
    "Found",
    "Question",
    "Source",
    "endpoint_columns",
    "group_columns",
    "in_endpoints",
    "in_groups",
    "walk",
]

FAR = 12_000
"""Rows that a page looks at, at most."""
NEAR = 200
"""Rows beyond those asked for that it looks at first: mostly they are enough."""
FIRST = b"\xff" * 17
"""Behind every id: where a list of the newest begins."""


@dataclass(frozen=True, slots=True)
class Source:
    """Rows in the order of the list: a query with the parameters `after` (and `end`) and `window`."""

    sql: str
    """Gives `id`, and `place` where the list is not in the order of its ids."""
    order: str = "d.id DESC"
    back: str = "d.id"
    """The other way round."""
    shown: str = "d.id AS id"
    """What a place is made of."""
    means: frozenset[str] = frozenset()
    """Conditions that all its rows fulfil: to count them, nobody has to look at the rows themselves."""


class Question(NamedTuple):
    """What is asked of the rows of a source; questions with the same words are one statement."""

    source: Source
    joins: str
    """Tables beside the source, and how they belong to it: `CROSS JOIN certificate c WHERE c.id = d.id`."""
    where: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """Rows of a page: what `Source.shown` names."""

    rows: tuple[Row, ...]
    following: Row | None
    """The row behind which the next page begins. None where this is the last page."""
    total: int | None
    complete: bool = False
    """Whether all that there is was looked at."""
    matching: int = 0
    """How many of those that were looked at are in the list, where they were counted."""


@cache
def _page(question: Question) -> Statement:
    source, where = question.source, "".join(f" AND {each}" for each in question.where)
    return Statement(
        text(
            f"SELECT {source.shown} FROM ({source.sql}) d {question.joins}{where}"  # noqa: S608 - words of ours, no values
            f" ORDER BY {source.order} LIMIT :limit"
        )
    )


@cache
def _tally(question: Question) -> Statement:
    source = question.source
    where = " AND ".join(each for each in question.where if each not in source.means)
    if not where:
        # Thousands of rows that lie anywhere in the table stay unread.
        return Statement(text(f"SELECT count(*) AS looked, count(*) AS matching FROM ({source.sql}) d"))  # noqa: S608 - the same
    return Statement(
        text(
            f"SELECT count(*) AS looked, count(CASE WHEN {where} THEN 1 END) AS matching"  # noqa: S608 - the same
            f" FROM ({source.sql}) d {question.joins}"
        )
    )


@cache
def _end(source: Source) -> Statement:
    return Statement(
        text(f"SELECT {source.shown} FROM ({source.sql}) d ORDER BY {source.back} LIMIT 1")  # noqa: S608 - the same
    )


def walk(
    transaction: Transaction,
    question: Question,
    values: Values,
    limit: int,
    *,
    count: bool,
    windows: Sequence[int] = (),
    counted: int = FAR,
) -> Found:
    """Find a page. `values` are those of source and conditions.

    As many rows are looked at as `windows` say, the fewest first: mostly they are enough. Behind a full page no more
    than `counted` of them are counted: fewer where they lie anywhere in a table, none where finding them is the work.
    """
    windows = windows or (limit + NEAR, FAR)
    rows: Sequence[Row] = ()
    for window in windows:
        rows = transaction.rows(_page(question), {**values, "window": window, "limit": limit + 1})
        if len(rows) > limit:
            break
    full, most = len(rows) > limit, max(windows)
    if full and not (count and counted):
        return Found(tuple(rows[:limit]), rows[limit - 1], None)
    if full:
        most = min(most, counted)
    tally = transaction.row(_tally(question), {**values, "window": most})
    looked, matching = (0, 0) if tally is None else (int(tally["looked"]), int(tally["matching"]))
    complete = looked < most
    total = min(matching, COUNTED + 1) if count and (complete or matching > COUNTED) else None
    if full:
        return Found(tuple(rows[:limit]), rows[limit - 1], total, complete, matching)
    end = None if complete else transaction.row(_end(question.source), {**values, "window": most})
    return Found(tuple(rows), end, total, complete, matching)


def in_groups(column: str, names: Sequence[str]) -> str:
    """Return the condition that a column is among the parameters that `group_columns` makes."""
    return _among(column, "group", names)


def group_columns(names: Sequence[str]) -> Mapping[str, str]:
    """Return the parameters of `in_groups`; a few numbers of them serve for all, so that statements are few."""
    return _names("group", names)


def in_endpoints(column: str, names: Sequence[str]) -> str:
    """Return the condition that a column is among the parameters that `endpoint_columns` makes."""
    return _among(column, "endpoint", names)


def endpoint_columns(names: Sequence[str]) -> Mapping[str, str]:
    """Return the parameters of `in_endpoints`."""
    return _names("endpoint", names)


def _among(column: str, noun: str, names: Sequence[str]) -> str:
    return f"{column} IN ({', '.join(f':{noun}_{number}' for number in range(_room(len(names))))})"


def _names(noun: str, names: Sequence[str]) -> Mapping[str, str]:
    padded = [*names, *([names[-1] if names else ""] * (_room(len(names)) - len(names)))]
    return {f"{noun}_{number}": name for number, name in enumerate(padded)}


def _room(count: int) -> int:
    room = 1
    while room < count:
        room *= 4
    return room
