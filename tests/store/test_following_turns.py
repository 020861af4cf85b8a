"""Whoever ends trust by itself takes turns: what comes at once, by whatever path, meets one brake (REV-7)."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest

from ra.test_follow_run import WIPED, Fleet
from ra.test_hooks import Scene, key_of
from regalia.model.connector import RevocationResult, RevocationWish
from regalia.ra.feed import answer_feed
from regalia.ra.follow_changes import Follower
from regalia.ra.follow_run import carry_out, follow_bearers
from regalia.ra.hooks import HookDesk
from regalia.ra.sweeping import Sweeper
from regalia.ra.turn import BUSY, TURN, Turn, in_turn
from regalia.store import SqlStore, open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from fakes import FakeClock
    from regalia.model.connector import NotAsked
    from regalia.ports import Store

LIVE = 60
ALLOWED = 20
"""Of so few, this many may end by themselves."""
TOGETHER = 10
MEETING_SECONDS = 10.0
A_MOMENT = 0.1


@pytest.fixture
def other(url: str, clock: FakeClock) -> Iterator[SqlStore]:
    """Open the same database as another node does."""
    opened = open_store(url, node="other", clock=clock)
    yield opened
    opened.close()


class Meeting:
    """A store of which everybody's first look at what ended lately waits until all have looked."""

    def __init__(self, store: SqlStore, meeting: threading.Barrier) -> None:
        self._store = store
        self._meeting = meeting
        self._here = threading.local()

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def ended_since(self, since: datetime) -> object:
        """Read it, and go on once all have."""
        read = self._store.ended_since(since)
        if not getattr(self._here, "met", False):
            self._here.met = True
            self._meeting.wait(MEETING_SECONDS)
        return read


class Feed:
    """A feed that wants some certificates revoked."""

    def __init__(self, *serials: int) -> None:
        self._serials = serials

    def wishes(self, most: int) -> tuple[RevocationWish, ...] | NotAsked:
        """Say which."""
        return tuple(RevocationWish(f"{each:x}", (each,), None, None) for each in self._serials[:most])

    def report(self, results: Sequence[RevocationResult]) -> NotAsked | None:
        """Take the answer."""
        assert results
        return None


def test_all_paths_at_once_meet_one_brake(sql: SqlStore, other: SqlStore) -> None:
    """REV-7: messages at two nodes, a feed, the job and a command, all planned at once, end no more than is allowed."""
    fleet = Fleet(LIVE, store=sql)  # type: ignore[arg-type] # keeps the same ports
    fleet.become(WIPED, *range(46, 51))
    meeting = threading.Barrier(TOGETHER)
    here, there = Meeting(sql, meeting), Meeting(other, meeting)
    now = fleet.clock.now()
    scene = Scene(fleet)
    ways: list[Callable[[], object]] = [
        lambda: answer_feed(there, "intune", Feed(*(each << 8 for each in range(36, 41))), now),  # type: ignore[arg-type]
        lambda: Follower(here, fleet.entropy).run(now),  # type: ignore[arg-type]
        lambda: carry_out(there, fleet.entropy, now),  # type: ignore[arg-type]
    ]
    for number in range(TOGETHER - len(ways)):
        said = [{"id": f"device-{5 * number + each}", "pending": "wipe"} for each in range(1, 6)]
        message = scene.message({"devices": said}, source=f"192.0.2.{number}")
        ways.append(partial(_desk(fleet, there if number % 2 else here).receive, message))
    with ThreadPoolExecutor(TOGETHER) as threads:
        for done in [threads.submit(way) for way in ways]:
            done.result()
    assert 0 < fleet.revoked() <= ALLOWED


def _desk(fleet: Fleet, store: Meeting) -> HookDesk:
    """Make what takes messages in at a node."""
    sweeper = Sweeper(store, fleet.clock, fleet.entropy)  # type: ignore[arg-type]
    kinds = fleet.connectors.kinds
    return HookDesk(store=store, kinds=kinds, sweeper=sweeper, key_of=key_of, clock=fleet.clock)  # type: ignore[arg-type]


def test_one_has_the_turn(store: Store, clock: FakeClock) -> None:
    """Nobody else has a turn while somebody has it; who gives it back lets the next one in."""
    now = clock.now()
    with in_turn(store, now) as mine:
        assert mine is not None
        with in_turn(store, now, A_MOMENT) as theirs:
            assert theirs is None
        assert mine.lasts()
    with in_turn(store, now, A_MOMENT) as theirs:
        assert theirs is not None


def test_a_turn_ends_with_who_died(store: Store, clock: FakeClock) -> None:
    """RES-7: a turn of a process that was killed holds nobody up for longer than its lease."""
    now = clock.now()
    assert Turn(store, now).taken()
    with in_turn(store, now + timedelta(seconds=10), A_MOMENT) as mine:
        assert mine is None
    with in_turn(store, now + timedelta(seconds=16), A_MOMENT) as mine:
        assert mine is not None


def test_who_lost_the_turn_stops(store: Store, clock: FakeClock) -> None:
    """Who was too slow to have the turn longer is told so, and does not take it from the next one."""
    now = clock.now()
    slow = Turn(store, now, _extended=-60.0)
    assert store.lease(TURN, "another", now, now + timedelta(seconds=15))
    assert not slow.lasts()
    slow.give_back()
    with in_turn(store, now, A_MOMENT) as mine:
        assert mine is None


def test_without_a_turn_nothing_is_done(sql: SqlStore) -> None:
    """A run whose turn does not come ends nothing and says so; one that ends nothing needs none."""
    fleet = Fleet(3, store=sql)  # type: ignore[arg-type] # keeps the same ports
    now = fleet.clock.now()
    assert sql.lease(TURN, "another", now, now + timedelta(seconds=15))
    assert not fleet.run().busy
    fleet.become(WIPED, 2)
    done = follow_bearers(sql, sql.bearers(now, None, 10), now)
    assert (done.busy, done.why, done.kinds, fleet.revoked()) == (True, (BUSY,), {}, 0)
    sql.give_back(TURN, "another")
    assert fleet.run().kinds
    assert fleet.revoked() == 1
