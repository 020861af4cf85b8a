"""Counts what the first page shows, so that no page has to."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from regalia.jobs.loop import Scope
from regalia.ra.figures import DAYS, count_days, count_ended, count_so_far, count_standing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from regalia.model.figures import Counted
    from regalia.ports import Clock
    from regalia.ra.figures import FigureStore

__all__ = ["CountFigures"]

_KEPT: Final = timedelta(days=DAYS + 5)
_SHARE: Final = 50
"""What takes long is counted less often: each count has at most one in so many parts of the time."""


class CountFigures:
    """Counts every minute what takes little, and the rest when it is worth it; one process of a cluster does it."""

    name = "count-figures"
    every = timedelta(minutes=1)
    scope = Scope.CLUSTER

    def __init__(self, store: FigureStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._due: dict[str, datetime] = {}

    def run(self, now: datetime) -> None:
        """Count what is due."""
        for _ in self.steps(now):
            continue

    def steps(self, now: datetime) -> Iterator[str]:
        """Do the same step by step. What a step has counted is kept before the next one begins; any may be the last."""
        counts: dict[str, Callable[[], Sequence[Counted]]] = {
            "so-far": lambda: count_so_far(self._store, now),
            "ended": lambda: count_ended(self._store, now),
            "standing": lambda: count_standing(self._store, now),
        }
        yield from self._days(now)
        for name, count in counts.items():
            if self._is_due(name, now):
                began = self._clock.now()
                self._store.keep_figures(count())
                self._done(name, now, began)
                yield name

    def _days(self, now: datetime) -> Iterator[str]:
        if not self._is_due("days", now):
            return
        began, days = self._clock.now(), count_days(self._store, now)
        # Today comes first, and the days before once: they do not make today wait.
        for number, counted in enumerate(days):
            self._store.keep_figures((counted,))
            if not number:
                self._done("days", now, began)
            yield f"day {counted.day}"
            if number == 1:
                self._store.forget_figures((now - _KEPT).date())

    def _is_due(self, name: str, now: datetime) -> bool:
        return now >= self._due.get(name, now)

    def _done(self, name: str, now: datetime, began: datetime) -> None:
        self._due[name] = now + (self._clock.now() - began) * _SHARE
