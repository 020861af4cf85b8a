"""Limits of the API: how often an address may bring credentials that are not valid, and how much one caller may ask.

Counted by the minute, in memory, for one process.
"""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING

from regalia import reasons
from regalia.errors import UnavailableError
from regalia.model import Action, Actor, ActorKind, EventDraft, Outcome
from regalia.ra.counting import Counts
from regalia.ra.limits import Limited
from regalia.ra.sources import source_of

if TYPE_CHECKING:
    from datetime import datetime

    from regalia.ports import Events
    from regalia.ra.limits import Allowances

__all__ = ["ApiLimits"]


class ApiLimits:
    """Counts for one process; every method may be called from any thread.

    Each raises `UnavailableError` where it is to be written that a limit was reached, and the store does not take it.
    """

    def __init__(self, store: Events, allowances: Allowances) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._wrong = Counts(reasons.API_SOURCE_GUESSING, "source", allowances.wrong_tokens_per_source)
        self._asked = Counts(reasons.API_CALLER_BUSY, "caller", allowances.requests_per_caller)

    def arrival(self, source: str, at: datetime) -> Limited | None:
        """Judge an address that brings credentials, before they are looked up."""
        return self._reached(self._wrong, f"source:{source_of(source)}", source, at)

    def refused(self, source: str, at: datetime) -> None:
        """Count credentials that were not valid."""
        with self._lock:
            self._wrong.add(f"source:{source_of(source)}", at)

    def request(self, caller: str, source: str, at: datetime) -> Limited | None:
        """Judge a known caller's request; count it where it may be."""
        subject = f"caller:{caller}"
        limited = self._reached(self._asked, subject, source, at)
        if limited is None:
            with self._lock:
                self._asked.add(subject, at)
        return limited

    def _reached(self, counts: Counts, subject: str, source: str, at: datetime) -> Limited | None:
        with self._lock:
            window = counts.used_up(subject, at)
            if window is None:
                return None
            left = window.since + counts.span - at
            first, window.told = not window.told, True
        detail = f"{counts.limit} in {int(counts.span.total_seconds())} seconds"
        if first:
            try:
                self._store.record((_alarm(counts, subject, source, at, detail),))
            except UnavailableError:
                window.told = False
                raise
        return Limited(counts.reason, max(math.ceil(left.total_seconds()), 1), detail)


def _alarm(counts: Counts, subject: str, source: str, at: datetime, detail: str) -> EventDraft:
    """Say, once in each window, that a limit was reached."""
    return EventDraft(
        at=at,
        actor=Actor(ActorKind.SYSTEM, "limits", source),
        action=Action.LIMIT_REACHED,
        object=subject,
        outcome=Outcome.REFUSED,
        reason_id=counts.reason.id,
        security=True,
        details={"title": counts.reason.title, "detail": detail},
    )
