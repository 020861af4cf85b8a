"""Hears what other processes changed, and drops what this one remembers of it (R9)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

import structlog

from regalia.jobs.loop import Scope

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from regalia.ports import ChangeFeed

__all__ = ["StatusMemory", "WatchChanges"]

_WAIT_SECONDS = 1.0

_log = structlog.get_logger("regalia.jobs")


class StatusMemory(Protocol):
    """What remembers OCSP answers."""

    def drop(self, authority: str, serial: int) -> None:
        """Forget the answers about one serial."""

    def forget(self) -> None:
        """Forget everything: who answers, or for whom, has changed."""

    def bypass(self, on: bool) -> None:  # noqa: FBT001 - a switch has one argument
        """Forget everything and remember nothing (True), or begin to remember (False)."""


class WatchChanges:
    """Waits for notices. While they do not come, nothing is remembered: R8 prefers a slow answer to an old one."""

    name = "watch-changes"
    every = timedelta(milliseconds=20)
    scope = Scope.PROCESS

    def __init__(
        self,
        feed: ChangeFeed,
        memory: StatusMemory,
        forget_catalogue: Callable[[], None],
        crl_published: Callable[[], None],
        credential_changed: Callable[[], None] = lambda: None,
    ) -> None:
        """`forget_catalogue` drops what the store remembers of endpoints and what stands behind them.

        `crl_published` has this node look after its copies. `credential_changed` lets go of the keys that this process
        has opened: one of them may be destroyed (ENV-8).
        """
        self._feed = feed
        self._memory = memory
        self._forget_catalogue = forget_catalogue
        self._crl_published = crl_published
        self._credential_changed = credential_changed
        self._up = False
        memory.bypass(on=True)

    def run(self, now: datetime) -> None:
        """Wait for a second or until something changed; the loop calls again at once."""
        del now
        try:
            changes = self._feed.wait(_WAIT_SECONDS)
        except BaseException:
            self._went_down()
            raise
        if changes is None:
            self._went_down()
            return
        for change in changes:
            self._hear(change.topic, change.key)
        if not self._up:
            self._up = True
            self._memory.bypass(on=False)
            _log.info("change-feed-up")

    def _hear(self, topic: str, key: str) -> None:
        if topic == "catalogue":
            self._forget_catalogue()
            if key.startswith(("authority:", "credential:")):
                self._memory.forget()
            if key.startswith("credential:"):
                self._credential_changed()
        elif topic == "revocation":
            authority, _, serial = key.partition("/")
            self._memory.drop(authority, int(serial, 16))
        elif topic == "crl":
            self._crl_published()

    def _went_down(self) -> None:
        # What changed meanwhile is not told later, so the catalogue is read anew until the notices are back.
        self._forget_catalogue()
        if self._up:
            self._up = False
            self._memory.bypass(on=True)
            _log.warning("change-feed-down")
