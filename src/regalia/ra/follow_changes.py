"""Runs of what follows, one after the other: each reads what has changed since the one before, and some read all.

Something follows because of what was said, because of a rule, or because time has passed. What was said since is asked
for; other rules, and a connector that answers again or no more, concern everybody; and whoever a cause is kept for, or
a grace runs for, is looked at in every run until it is over. Once an hour a whole run finds what all this misses: what
was written by a clock that is more than `_OVERLAP` wrong, and words that changed beside a cause. The first run of a
process is whole, since nobody told it what the one before it had seen.

The brake judges a run of changes as any other (REV-7): against all live certificates, with what ended shortly before.
Where it holds one, or holds a run already, everything is read, so that people are shown the whole of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from regalia.ports.fleet import Bearer
from regalia.ra.follow_run import carry_out_planned, counted
from regalia.ra.following import follow
from regalia.ra.standings import reached_connectors, rules_of_groups, standings, standings_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from regalia.model.fleet import Step
    from regalia.ports import Entropy
    from regalia.ra.follow_rules import FollowRules
    from regalia.ra.follow_run import Done, FollowStore
    from regalia.ra.following import Standing

__all__ = ["Follower"]

_WHOLE: Final = timedelta(hours=1)
"""From one whole run to the next."""
_OVERLAP: Final = timedelta(minutes=5)
"""How far before the last run is read again: what was written then may have been committed later, or elsewhere."""
_MOST: Final = 10_000
"""Bearers above which a whole run costs no more."""


@dataclass(frozen=True, slots=True)
class _Ground:
    """What concerns everybody."""

    rules: Mapping[str, FollowRules]
    reached: frozenset[str]
    """Connectors whose word counts."""


@dataclass(frozen=True, slots=True)
class _Looked:
    """What a run leaves for the one after it."""

    at: datetime
    whole_at: datetime
    ground: _Ground
    waiting: frozenset[Bearer]
    """For whom something can become due by time alone."""


class Follower:
    """Makes the runs of one process; one at a time, which a job's lease sees to."""

    def __init__(self, store: FollowStore, entropy: Entropy) -> None:
        self._store = store
        self._entropy = entropy
        self._looked: _Looked | None = None

    def run(self, now: datetime) -> Done:
        """Let follow what is due. Raises what `follow_run.planned` does; the next run is whole then."""
        before, self._looked = self._looked, None
        ground = _Ground(rules_of_groups(self._store), reached_connectors(self._store, now))
        some = None if before is None else self._to_look_at(before, ground, now)
        if before is not None and some is not None:
            waiting: set[Bearer] = set()
            done = self._done(lambda: standings_of(self._store, some, now), ground, now, waiting, whole=False)
            if done.busy:
                return done  # and the next run is whole
            if not done.why:
                self._looked = _Looked(now, before.whole_at, ground, frozenset(waiting))
                return done
        waiting = set()
        done = self._done(lambda: standings(self._store, now), ground, now, waiting, whole=True)
        if not done.busy:
            self._looked = _Looked(now, now, ground, frozenset(waiting))
        return done

    def _to_look_at(self, before: _Looked, ground: _Ground, now: datetime) -> tuple[Bearer, ...] | None:
        """Say for whom anything can follow that did not at the run before; None: for anybody."""
        since_whole = now - before.whole_at
        if ground != before.ground or not timedelta(0) <= since_whole < _WHOLE or self._store.open_stops():
            return None
        changed = self._store.changed_bearers(before.at - _OVERLAP, _MOST)
        some = before.waiting.union(changed)
        return tuple(sorted(some, key=lambda each: each.id)) if len(some) < _MOST else None

    def _done(
        self,
        look: Callable[[], Iterator[Standing]],
        ground: _Ground,
        now: datetime,
        waiting: set[Bearer],
        *,
        whole: bool,
    ) -> Done:
        def steps() -> Iterator[Step]:
            for standing in look():
                found = follow(standing, ground.rules, now)
                if found or _waits(standing):
                    waiting.update(_bearer(standing))
                yield from found

        run = counted(self._store, steps, now)
        return carry_out_planned(self._store, self._entropy, run, whole=whole)


def _waits(standing: Standing) -> bool:
    """Whether time alone can change what follows: a cause is kept, or holds only once its grace is over."""
    graced = standing.device is not None and standing.device.state.compliant is False
    return graced or any(each.kept for each in standing.certificates)


def _bearer(standing: Standing) -> tuple[Bearer, ...]:
    if standing.device is not None:
        return (Bearer(standing.device.id, None),)
    return (Bearer(None, standing.user.id),) if standing.user is not None else ()
