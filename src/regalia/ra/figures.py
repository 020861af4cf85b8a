"""Figures of the first page: which days there are, what is counted of each, and what is usual.

Days are those of UTC. The one that runs is counted again and again; one that is over once, and only when nothing that
was begun on it can end otherwise any more.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from statistics import median
from typing import TYPE_CHECKING, Final, Protocol

from regalia.model.figures import Counted, Figure, Subject
from regalia.model.fleet import Cause
from regalia.ports import Catalogue
from regalia.ports.figures import Counting, Figures
from regalia.ra.follow_rules import FollowRules
from regalia.ra.order import ADMIN_PROTOCOL
from regalia.ra.standings import rules_of_groups

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import date

    from regalia.model import Endpoint, Profile

__all__ = [
    "DAYS",
    "MONTH",
    "ORDERED",
    "WEEKS",
    "FigureStore",
    "begin_of",
    "count_days",
    "count_ended",
    "count_so_far",
    "count_standing",
    "endpoints_of_source",
    "is_automatic",
    "rounded_up",
    "source_of_endpoint",
    "usual",
    "weeks_back",
]

DAYS: Final = 30
"""Days that are shown, the one that runs among them."""
MONTH: Final = timedelta(days=30)
WEEKS: Final = 4
"""Weeks that what is usual is taken from."""
_DAY: Final = timedelta(days=1)
_SETTLED: Final = timedelta(minutes=10)
"""How long after its end a day is counted once more: what was begun is signed, or abandoned, by then."""
_MILLISECONDS: Final = ((10_000, 100), (600_000, 1_000))
"""Below so many, times are kept to so many exactly; above, to a minute."""
_MINUTE: Final = 60_000

ORDERED: Final = "by-hand"
"""The source of what administrators order."""
_GONE: Final = "other"
"""The source of what came by an endpoint that is not there."""
_CAUSES: Final = frozenset(Cause) | {"following", "superseded"}


class FigureStore(Counting, Figures, Catalogue, Protocol):
    """What figures are counted of, and where they are kept."""


def begin_of(day: date) -> datetime:
    """Return the beginning of a day."""
    return datetime.combine(day, time(), UTC)


def weeks_back(today: date) -> tuple[date, ...]:
    """Return the same day of each of the weeks before, the last one first."""
    return tuple(today - timedelta(weeks=number) for number in range(1, WEEKS + 1))


# --- counting -------------------------------------------------------------------------------------------------------


def count_days(store: FigureStore, now: datetime) -> Iterator[Counted]:
    """Count how enrolments ended today, and on each day before that was not counted after its end; the last one first.

    Days are given one by one, so that each can be kept before the next one is counted.
    """
    kept, today = store.figures_kept(), now.astimezone(UTC).date()
    for number in range(DAYS):
        day = today - number * _DAY
        begin, at = begin_of(day), kept.get((Subject.OUTCOMES, day))
        if number and at is not None and at >= begin + _DAY + _SETTLED:
            continue
        yield Counted(Subject.OUTCOMES, now, store.count_outcomes(begin, begin + _DAY), day)


def count_so_far(store: FigureStore, now: datetime) -> tuple[Counted, ...]:
    """Count what was issued until this time of day a week ago, and before; not before the first certificate's day."""
    today, first = now.astimezone(UTC).date(), store.first_issued()
    found = []
    for day in weeks_back(today):
        if first is not None and day >= first.astimezone(UTC).date():
            begin = begin_of(day)
            counted = store.count_outcomes(begin, begin + (now - begin_of(today)))
            found.append(Counted(Subject.SO_FAR, now, _issued(counted), day))
    return tuple(found)


def _issued(counted: Iterable[Figure]) -> tuple[Figure, ...]:
    groups: dict[str, int] = {}
    for each in counted:
        if not each.what:
            groups[each.group] = groups.get(each.group, 0) + each.number
    return tuple(Figure(number, group) for group, number in groups.items())


def count_standing(store: FigureStore, now: datetime) -> tuple[Counted, ...]:
    """Count what is live, on how many devices, and what ended without a successor."""
    return (
        Counted(Subject.STANDING, now, store.count_standing(now)),
        Counted(Subject.DEVICES, now, store.count_devices(now)),
        Counted(Subject.LAPSED, now, store.count_lapsed(now - MONTH, now)),
    )


def count_ended(store: FigureStore, now: datetime) -> tuple[Counted, ...]:
    """Count what was revoked and held, and how long what followed by itself took today."""
    waits = _prompt(store, store.count_waits(begin_of(now.astimezone(UTC).date())))
    return (
        Counted(Subject.ENDED_DAY, now, store.count_ended(now - _DAY)),
        Counted(Subject.ENDED_MONTH, now, store.count_ended(now - MONTH)),
        Counted(Subject.WAITED, now, waits),
    )


def _prompt(store: FigureStore, waits: Iterable[Figure]) -> tuple[Figure, ...]:
    """Leave out what had to wait by its group's rules, and take times together that differ by little."""
    rules, found = rules_of_groups(store), dict[tuple[str, str, str], int]()
    for each in waits:
        if not rules.get(each.group, FollowRules()).rule(Cause(each.part)).after:
            which = each.group, each.part, str(rounded_up(int(each.what)))
            found[which] = found.get(which, 0) + each.number
    return tuple(Figure(number, *which) for which, number in found.items())


def rounded_up(milliseconds: int) -> int:
    """Round a time up: below 10 s to 100 ms, below 10 min to 1 s, else to 1 min."""
    step = next((step for below, step in _MILLISECONDS if milliseconds <= below), _MINUTE)
    return -(-milliseconds // step) * step


# --- reading --------------------------------------------------------------------------------------------------------


def source_of_endpoint(name: str, endpoints: Mapping[str, Endpoint]) -> str:
    """Say by which way what came by an endpoint came: `connector:NAME`, the kind of its authoriser, or `by-hand`."""
    if name.startswith(f"{ADMIN_PROTOCOL}/"):
        return ORDERED
    endpoint = endpoints.get(name)
    if endpoint is None:
        return _GONE
    return f"connector:{endpoint.connector}" if endpoint.connector is not None else endpoint.authoriser.value


def endpoints_of_source(source: str, endpoints: Iterable[Endpoint], profiles: Iterable[Profile]) -> frozenset[str]:
    """Name the endpoints, and the doors of administrators, that `source_of_endpoint` calls so."""
    if source == ORDERED:
        return frozenset(f"{ADMIN_PROTOCOL}/{each.group}/{each.name}" for each in profiles)
    known = {each.name: each for each in endpoints}
    return frozenset(name for name in known if source_of_endpoint(name, known) == source)


def is_automatic(cause: str) -> bool:
    """Whether a certificate was ended by what its device, its user or its successor did, and not by somebody's word."""
    return cause in _CAUSES


def usual(numbers: Sequence[int]) -> int | None:
    """Return what is usual: the median, a half rounded up; None where there is nothing to go by."""
    return int(median(numbers) + 0.5) if numbers else None
