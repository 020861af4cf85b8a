"""The job that counts what the first page shows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING

import pytest

from fakes import FakeClock, MemoryStore
from history import write_history
from regalia.jobs.figures import CountFigures
from regalia.model.figures import Figure, Subject
from regalia.ra.figures import rounded_up, source_of_endpoint, usual
from store.samples import an_endpoint

if TYPE_CHECKING:
    from datetime import date

NOW = datetime(2026, 3, 1, 9, 0, 0, 123_000, tzinfo=UTC)
DAY = timedelta(days=1)
TODAY = NOW.date()


class Slow(MemoryStore):
    """A store in which counting what is live takes its time, and that notes which days were counted."""

    def __init__(self, clock: FakeClock, takes: timedelta = timedelta(0)) -> None:
        super().__init__()
        self._clock = clock
        self._takes = takes
        self.counted: list[date] = []

    def count_standing(self, now: datetime) -> tuple[Figure, ...]:
        """Take some time."""
        self._clock.advance(self._takes)
        return super().count_standing(now)

    def count_outcomes(self, begin: datetime, end: datetime) -> tuple[Figure, ...]:
        """Note the whole days."""
        if end - begin == DAY:
            self.counted.append(begin.date())
        return super().count_outcomes(begin, end)


@pytest.fixture
def clock() -> FakeClock:
    """Return the time of this page."""
    return FakeClock(NOW)


def kept(store: MemoryStore) -> set[tuple[Subject, date | None, frozenset[Figure]]]:
    """Return all that is kept, but for when it was counted."""
    return {
        (each.subject, each.day, frozenset(each.figures))
        for each in store.figures(TODAY - 60 * DAY, None)
        if each.figures
    }


def test_it_counts_thirty_days_and_what_stands(clock: FakeClock) -> None:
    """A first run counts today and the 29 days before, what is live, what ended, and what is usual by now."""
    store = MemoryStore()
    write_history(store, seed=5, now=NOW)
    CountFigures(store, clock).run(NOW)
    days = {day for subject, day in store.figures_kept() if subject is Subject.OUTCOMES}
    assert days == {TODAY - number * DAY for number in range(30)}
    for subject in (Subject.STANDING, Subject.DEVICES, Subject.LAPSED, Subject.ENDED_DAY, Subject.WAITED):
        assert (subject, None) in store.figures_kept()
    weeks = {day for subject, day in store.figures_kept() if subject is Subject.SO_FAR}
    assert weeks == {TODAY - number * 7 * DAY for number in range(1, 5)}


def test_a_day_that_is_over_is_counted_once(clock: FakeClock) -> None:
    """Each round counts the day that runs; a day that is over once, some minutes after its end."""
    store = Slow(clock)
    job = CountFigures(store, clock)
    job.run(NOW)
    store.counted.clear()
    job.run(NOW + timedelta(minutes=1))
    assert store.counted == [TODAY]
    store.counted.clear()
    midnight = datetime(2026, 3, 2, tzinfo=UTC)
    job.run(midnight + timedelta(minutes=9))
    job.run(midnight + timedelta(minutes=10))
    job.run(midnight + timedelta(minutes=11))
    tomorrow = TODAY + DAY
    assert store.counted == [tomorrow, TODAY, tomorrow, TODAY, tomorrow]


def test_what_no_page_shows_is_forgotten(clock: FakeClock) -> None:
    """Days of five weeks ago go when another one is over."""
    store = MemoryStore()
    job = CountFigures(store, clock)
    job.run(NOW)
    job.run(NOW + 10 * DAY)
    days = {day for subject, day in store.figures_kept() if subject is Subject.OUTCOMES and day is not None}
    assert min(days) == TODAY - 25 * DAY
    assert max(days) == TODAY + 10 * DAY


@pytest.mark.parametrize("steps", [1, 2, 17, 30, 31, 32])
def test_a_run_that_ends_in_the_middle(clock: FakeClock, steps: int) -> None:
    """However far a process came before it died, the next run leaves what one that was not interrupted leaves."""
    whole, broken = MemoryStore(), MemoryStore()
    write_history(whole, broken, seed=6, now=NOW)
    CountFigures(whole, clock).run(NOW)
    assert len(list(islice(CountFigures(broken, clock).steps(NOW), steps))) == steps
    assert kept(broken) < kept(whole)
    CountFigures(broken, clock).run(NOW)
    assert kept(broken) == kept(whole)


def test_what_takes_long_is_counted_less_often(clock: FakeClock) -> None:
    """A count of four seconds has at most a fiftieth of the time: the next one is 200 seconds later."""
    store = Slow(clock, timedelta(seconds=4))
    job = CountFigures(store, clock)
    job.run(NOW)
    for seconds, counted_at in ((60, 0), (180, 0), (240, 240), (300, 240)):
        job.run(NOW + timedelta(seconds=seconds))
        assert store.figures_kept()[Subject.STANDING, None] == NOW + timedelta(seconds=counted_at)
        assert store.figures_kept()[Subject.OUTCOMES, TODAY] == NOW + timedelta(seconds=seconds)


def test_times_that_differ_by_little_are_one() -> None:
    """Times are rounded up, the long ones to a minute, so that few figures are kept of many."""
    given = (0, 1, 1_200, 1_201, 9_999, 10_001, 600_000, 600_001)
    assert [rounded_up(each) for each in given] == [0, 100, 1_200, 1_300, 10_000, 11_000, 600_000, 660_000]


def test_what_is_usual() -> None:
    """What is usual is the median, a half rounded up; of nothing there is nothing usual."""
    assert [usual(each) for each in ([], [3], [1, 2], [9, 1, 2], [0, 0, 5, 7])] == [None, 3, 2, 2, 3]


def test_ways_by_which_enrolments_come() -> None:
    """What came by an endpoint came by its connector, else by its kind of authoriser; an order is by hand."""
    endpoints = {"default": an_endpoint()}
    names = ("default", "admin/staff/wifi", "forgotten")
    assert [source_of_endpoint(name, endpoints) for name in names] == ["one-time", "by-hand", "other"]
