"""Makes the checkpoints of the audit log, and keeps the copies outside the home (AUD-3)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from regalia.jobs.loop import Scope
from regalia.model import Actor, ActorKind

if TYPE_CHECKING:
    from datetime import datetime

    from regalia.ra.checkpoints import CheckpointDesk, Copier

__all__ = ["CopyCheckpoints", "MakeCheckpoints"]

_LOOK = timedelta(seconds=5)
_ACTOR = Actor(ActorKind.SYSTEM, "checkpoint")

_log = structlog.get_logger("regalia.jobs")


class MakeCheckpoints:
    """Makes a checkpoint when ten minutes or a thousand records are over; one for the whole cluster."""

    name = "make-checkpoints"
    every = _LOOK
    scope = Scope.CLUSTER

    def __init__(self, desk: CheckpointDesk) -> None:
        self._desk = desk

    def run(self, now: datetime) -> None:
        """Make one, if it is due."""
        if not self._desk.due(now):
            return
        signed = self._desk.make(_ACTOR)
        # The program's own log usually leaves the machine: that alone is a copy of the hash.
        _log.info("checkpoint", number=signed.number, sha256=signed.hash.hex(), signature=signed.signature.hex())


class CopyCheckpoints:
    """Writes them to this node's directory outside the home."""

    name = "copy-checkpoints"
    every = _LOOK
    scope = Scope.NODE

    def __init__(self, copier: Copier) -> None:
        self._copier = copier

    def run(self, now: datetime) -> None:
        """Write what is new."""
        del now
        self._copier.run()
