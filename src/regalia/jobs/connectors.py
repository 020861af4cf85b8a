"""What connectors are asked without anybody waiting: inventories, feeds, notices; and what follows from it.

Each connector is asked in a thread of its own, so that one that hangs keeps no other one waiting. What one of them does
not answer is noted with it and is no failure of the job; a fault of ours is.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from regalia.jobs.loop import Scope
from regalia.model.connector import NotAsked
from regalia.ports.connectors import Inventory, RevocationFeed
from regalia.ra.feed import answer_feed
from regalia.ra.follow_changes import Follower
from regalia.ra.outliving import supersede_outlived

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from regalia.ports import Clock, Entropy
    from regalia.ports.connectors import Link, Links
    from regalia.ports.fleet import Connectors
    from regalia.ra.follow_run import FollowStore
    from regalia.ra.sweeping import Sweeper

__all__ = ["AnswerFeeds", "FollowFleet", "SweepConnectors", "TellConnectors"]

_TOGETHER: Final = 8
"""Connectors that are asked at a time."""
_PAGES: Final = 20
"""Pages after which the clock is looked at."""

_OUTLIVED: Final = timedelta(hours=1)
"""How often is looked for certificates that have outlived their successors."""

_log = structlog.get_logger("regalia.jobs")


class _Teller(Protocol):
    def tell_due(self, now: datetime) -> int: ...


def _each(store: Connectors, links: Links, ask: Callable[[str, Link], None]) -> None:
    """Ask every connector that is not disabled, side by side. Raises what the first of them raised, at the end."""
    names = [each.name for each in store.connectors() if each.disabled_at is None]
    if not names:
        return

    def turn(name: str) -> None:
        link = links.link(name)
        if isinstance(link, NotAsked):
            _log.warning("connector-not-asked", connector=name, why=str(link.reason), detail=link.detail)
        else:
            ask(name, link)

    with ThreadPoolExecutor(min(len(names), _TOGETHER), thread_name_prefix="connector") as threads:
        for done in [threads.submit(turn, name) for name in names]:
            done.result()


class SweepConnectors:
    """Reads inventories: whole where that is due, else what changed."""

    name = "sweep-connectors"
    scope = Scope.CLUSTER

    def __init__(self, store: Connectors, links: Links, sweeper: Sweeper, clock: Clock, *, every: timedelta) -> None:
        self.every = every
        self._store = store
        self._links = links
        self._sweeper = sweeper
        self._clock = clock

    def run(self, now: datetime) -> None:
        """Read each one on, until its sweep ends, it does not answer, or the next run is near."""
        until = now + self.every * 0.8
        _each(self._store, self._links, lambda name, link: self._read(name, link, until))

    def _read(self, name: str, link: Link, until: datetime) -> None:
        while isinstance(link, Inventory):
            sweep = self._sweeper.read(name, link, pages=_PAGES)
            if sweep is None or sweep.ended_at is not None:
                return
            if sweep.why:
                _log.warning("sweep-interrupted", connector=name, why=sweep.why)
                return
            if self._clock.now() >= until:
                return


class AnswerFeeds:
    """Asks connectors which certificates their systems want revoked."""

    name = "answer-feeds"
    scope = Scope.CLUSTER

    def __init__(self, store: FollowStore, links: Links, *, every: timedelta) -> None:
        self.every = every
        self._store = store
        self._links = links

    def run(self, now: datetime) -> None:
        """Read each feed once; what is more than one page comes again."""

        def answer(name: str, link: Link) -> None:
            if not isinstance(link, RevocationFeed):
                return
            answered = answer_feed(self._store, name, link, now)
            if answered.failed is not None:
                _log.warning("feed-not-read", connector=name, why=str(answered.failed.reason))

        _each(self._store, self._links, answer)


class FollowFleet:
    """Lets follow what is due: a plan, counted whole, and then done or stopped (REV-7)."""

    name = "follow-fleet"
    scope = Scope.CLUSTER

    def __init__(self, store: FollowStore, entropy: Entropy, *, every: timedelta) -> None:
        self.every = every
        self._store = store
        self._follower = Follower(store, entropy)
        self._superseded_at: datetime | None = None

    def run(self, now: datetime) -> None:
        """Carry out what is planned. A run that the brake stops is told by its event and its alert."""
        done = self._follower.run(now)
        for why in done.why:
            _log.warning("follow-stopped", why=why)
        if not done.why and (self._superseded_at is None or now - self._superseded_at >= _OUTLIVED):
            supersede_outlived(self._store, now)
            self._superseded_at = now


class TellConnectors:
    """Tells connectors of certificates and refusals where the worker could not."""

    name = "tell-connectors"
    every = timedelta(seconds=15)
    scope = Scope.CLUSTER

    def __init__(self, teller: _Teller) -> None:
        self._teller = teller

    def run(self, now: datetime) -> None:
        """Tell what is due."""
        self._teller.tell_due(now)
