"""Looks what is wrong, and delivers what is to be told."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from regalia.jobs.loop import Scope
from regalia.ra.alerts import is_of_node
from regalia.ra.findings import found_in_cluster, found_on_node

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from regalia.ports.connectors import Links
    from regalia.ra.alerts import AlertDesk
    from regalia.ra.checkpoints import CheckpointDesk
    from regalia.ra.findings import Bounds, FindingStore, NodeState

__all__ = ["DeliverAlerts", "WatchAlerts", "WatchNode"]

_LOOK: Final = timedelta(minutes=1)
_DELIVER: Final = timedelta(seconds=10)


class WatchAlerts:
    """Looks at what all nodes share; once for all of them."""

    name = "watch-alerts"
    every = _LOOK
    scope = Scope.CLUSTER

    def __init__(
        self, desk: AlertDesk, store: FindingStore, checkpoints: CheckpointDesk, links: Links, bounds: Bounds
    ) -> None:
        self._desk = desk
        self._store = store
        self._checkpoints = checkpoints
        self._links = links
        self._bounds = bounds

    def run(self, now: datetime) -> None:
        """Open, repeat and close. Where a check fails nothing is closed: the job fails."""
        found = tuple(found_in_cluster(self._store, self._checkpoints, self._links, now, self._bounds))
        self._desk.look(found, now, lambda alert: not is_of_node(alert))
        self._desk.close_forsaken(now)


class WatchNode:
    """Looks at what this node alone sees: its listeners' certificates and its disk."""

    name = "watch-node"
    every = _LOOK
    scope = Scope.NODE

    def __init__(self, desk: AlertDesk, state: Callable[[], NodeState], bounds: Bounds) -> None:
        self._desk = desk
        self._state = state
        self._bounds = bounds

    def run(self, now: datetime) -> None:
        """Open, repeat and close what is about this node."""
        state = self._state()
        found = tuple(found_on_node(state, now, self._bounds))
        self._desk.look(found, now, lambda alert: alert.finding.object.startswith(f"node:{state.node}/"))


class DeliverAlerts:
    """Tries what waits in the outbox."""

    name = "deliver-alerts"
    every = _DELIVER
    scope = Scope.CLUSTER

    def __init__(self, desk: AlertDesk) -> None:
        self._desk = desk

    def run(self, now: datetime) -> None:
        """Send what is due."""
        self._desk.deliver(now)
