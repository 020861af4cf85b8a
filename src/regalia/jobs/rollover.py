"""Lets authorities take over and end when their time has come, and destroys what nobody needs any more (ENV-8)."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import structlog

from regalia.ca.rollover import ROLLOVER
from regalia.errors import InvariantError, RegaliaError
from regalia.jobs.loop import Scope

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from regalia.ca.rollover import Rollover

__all__ = ["RollOver"]

_log = structlog.get_logger("regalia.jobs")


class RollOver:
    """Activates next authorities, ends superseded credentials, retires authorities."""

    name = "roll-over"
    every = timedelta(minutes=5)
    scope = Scope.CLUSTER

    def __init__(self, rollover: Rollover) -> None:
        self._rollover = rollover

    def run(self, now: datetime) -> None:
        """Do what is due. What one of these cannot do keeps no other waiting; all failures are raised."""
        failures: list[Exception] = []
        for name in self._rollover.due(now):
            self._tried(partial(self._activate, name), failures)
        destroyed = 0
        for superseded in self._rollover.superseded(now):
            destroyed += bool(self._tried(partial(self._rollover.end, superseded, now), failures))
        if destroyed:
            _log.info("superseded-keys-destroyed", count=destroyed)
        self._tried(lambda: self._retire(now), failures)
        if failures:
            raise ExceptionGroup("not rolled over", failures)

    def _tried(self, step: Callable[[], bool | None], failures: list[Exception]) -> bool | None:
        try:
            return step()
        except (RegaliaError, InvariantError) as failure:
            failures.append(failure)
            return None

    def _activate(self, name: str) -> None:
        self._rollover.activate(name, actor=ROLLOVER, why="the overlap is over")
        _log.info("authority-activated", authority=name)

    def _retire(self, now: datetime) -> None:
        for name in self._rollover.retire(now):
            _log.info("authority-retired", authority=name)
