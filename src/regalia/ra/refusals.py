"""Recording refusals: each one is one event; a flood from one source folds into one event a minute (R13)."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from regalia.errors import UnavailableError
from regalia.model import Action, Actor, ActorKind, Denied, EventDraft, Outcome
from regalia.ports import Enrolments, Events
from regalia.ra.sources import source_of
from regalia.wire.event import time_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from regalia.errors import Reason
    from regalia.model import Enrolment, JsonValue

__all__ = ["RefusalStore", "Refusals", "Refused"]

WINDOW = timedelta(minutes=1)
_SOURCES_WATCHED = 10_000
"""Beyond so many sources in one minute the rest share one count, so that memory stays bounded."""
_MANY = "many"


class RefusalStore(Enrolments, Events, Protocol):
    """Where refusals are written."""


@dataclass(frozen=True, slots=True)
class Refused:
    """One refusal as the record knows it."""

    at: datetime
    source: str
    endpoint: str
    denied: Denied
    group: str | None = None
    transaction_id: str | None = None
    message: str = ""
    """What the message was, in a few words."""
    enrolment: Enrolment | None = None
    """From step 8 on: the refused enrolment to keep for 30 days."""
    action: Action = Action.ENROLMENT_REFUSED
    actor: Actor | None = None
    """Who asked, where it was no device."""
    object: str = ""
    """What was asked for, where it was no endpoint."""


@dataclass(slots=True)
class _Window:
    since: datetime
    written: int = 0
    folded: Counter[str] = field(default_factory=Counter)


class Refusals:
    """Writes refusals for one process."""

    def __init__(
        self, store: RefusalStore, *, per_minute: int = 60, observe: Callable[[Reason], None] | None = None
    ) -> None:
        """`observe` hears of every refusal, folded or not; for who counts."""
        self._store = store
        self._per_minute = per_minute
        self._observe = observe
        self._windows: dict[str, _Window] = {}
        self._unwritten: dict[str, _Window] = {}
        self._lock = threading.Lock()

    def record(self, refused: Refused) -> None:
        """Write one refusal, or count it where its source has used up its minute.

        What cannot be written uses nothing up: the stranger is told to come again, and is judged afresh then.
        Raises `UnavailableError`.
        """
        if self._observe is not None:
            self._observe(refused.denied.reason)
        before, window = self._entered(refused)
        try:
            self._write_folded(before, refused.at)
            if window is not None:
                self._write(refused)
        except UnavailableError:
            if window is not None:
                with self._lock:
                    window.written -= 1
            raise

    def _write(self, refused: Refused) -> None:
        event = _event(refused)
        if refused.enrolment is not None:
            self._store.record_refusal(refused.enrolment, (event,))
        else:
            self._store.record((event,))

    def flush(self, now: datetime) -> None:
        """Write the folded events of minutes that are over, and forget the quiet sources; a job calls it.

        What cannot be written is kept for the next time. Raises `UnavailableError`.
        """
        with self._lock:
            over = [(source, window) for source, window in self._windows.items() if not _within(now, window)]
            for source, _ in over:
                del self._windows[source]
            over += self._unwritten.items()
            self._unwritten = {}
        self._write_folded([(source, window) for source, window in over if window.folded], now)

    def _write_folded(self, folded: Sequence[tuple[str, _Window]], now: datetime) -> None:
        if not folded:
            return
        try:
            self._store.record([_folded_event(source, window, now) for source, window in folded])
        except UnavailableError:
            with self._lock:
                for source, window in folded:
                    self._keep(source, window)
            raise

    def _keep(self, source: str, window: _Window) -> None:
        """Keep the count of a minute that is over until it can be written; minutes of one source become one count."""
        if source not in self._unwritten and len(self._unwritten) >= _SOURCES_WATCHED:
            source = _MANY
        kept = self._unwritten.setdefault(source, _Window(window.since))
        kept.since = min(kept.since, window.since)
        kept.folded.update(window.folded)

    def _entered(self, refused: Refused) -> tuple[list[tuple[str, _Window]], _Window | None]:
        """Enter the source's minute; return the one before if something was folded in it, and this one if it has room.

        In one piece: between two the job could end the minute.
        """
        before: list[tuple[str, _Window]] = []
        with self._lock:
            source = self._watched(source_of(refused.source))
            window = self._windows.get(source)
            if window is None or not _within(refused.at, window):
                if window is not None and window.folded:
                    before.append((source, window))
                window = self._windows[source] = _Window(refused.at)
            if window.written < self._per_minute:
                window.written += 1
                return before, window
            window.folded[refused.denied.reason.id] += 1
            return before, None

    def _watched(self, source: str) -> str:
        return source if source in self._windows or len(self._windows) < _SOURCES_WATCHED else _MANY


def _within(at: datetime, window: _Window) -> bool:
    # A clock that was set back ends a minute as well: it must not last until the clock has caught up.
    return abs(at - window.since) < WINDOW


def _event(refused: Refused) -> EventDraft:
    denied = refused.denied
    details: dict[str, JsonValue] = {"title": denied.reason.title, "message": refused.message}
    if denied.detail:
        details["detail"] = denied.detail
    if denied.asked:
        details["asked"] = list(denied.asked.listed())
    if denied.allowed:
        details["allowed"] = list(denied.allowed.listed())
    if refused.enrolment is not None:
        details["enrolment"] = str(refused.enrolment.id)
    return EventDraft(
        at=refused.at,
        actor=refused.actor or Actor(ActorKind.DEVICE, refused.source, refused.source),
        action=refused.action,
        object=refused.object or f"endpoint:{refused.endpoint}",
        outcome=Outcome.REFUSED,
        group=refused.group,
        reason_id=denied.reason.id,
        transaction_id=refused.transaction_id,
        security=denied.security,
        details={**details, **denied.facts},
    )


def _folded_event(source: str, window: _Window, now: datetime) -> EventDraft:
    return EventDraft(
        at=now,
        actor=Actor(ActorKind.DEVICE, source, source),
        action=Action.REFUSALS_FOLDED,
        object=f"source:{source}",
        outcome=Outcome.REFUSED,
        security=True,
        details={
            "count": window.folded.total(),
            "reasons": dict(sorted(window.folded.items())),
            "since": time_text(window.since),
        },
    )
