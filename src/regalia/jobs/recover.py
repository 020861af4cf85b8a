"""Finishes or closes what an interrupted worker left (ISS-2): at the start, and every minute."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from regalia.jobs.loop import Scope

if TYPE_CHECKING:
    from datetime import datetime

    from regalia.ca.recover import Recovery

__all__ = ["Recover"]

_log = structlog.get_logger("regalia.jobs")


class Recover:
    """Settles overdue intents."""

    name = "recover"
    every = timedelta(minutes=1)
    scope = Scope.CLUSTER

    def __init__(self, recovery: Recovery) -> None:
        self._recovery = recovery

    def run(self, now: datetime) -> None:
        """Settle them all, and say how many there were."""
        del now
        finished, abandoned = self._recovery.run()
        if finished or abandoned:
            _log.info("intents-settled", finished=finished, abandoned=abandoned)
