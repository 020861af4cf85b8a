"""Limits: how often a stranger may be wrong, and how much a device or a group may ask for (CHA-3, ENV-9, RES-5).

Every limit is decided before a private key is used for the message: neither is its content opened nor an answer signed.
What strangers do closes first enrolments only. Holders of a certificate of the group are counted apart, so that nobody
who has none can keep a fleet from renewing.

What is counted by the minute is counted in memory, for one process; what is counted by the day, in the store.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol

from regalia import reasons
from regalia.errors import UnavailableError
from regalia.model import Action, Actor, ActorKind, Authoriser, Denied, EventDraft, Outcome
from regalia.ports import Events
from regalia.ra.counting import Counts
from regalia.ra.renew import RenewalStore, lineage_of, renewals_since
from regalia.ra.sources import source_of

if TYPE_CHECKING:
    from datetime import datetime

    from regalia.errors import Reason
    from regalia.model import Certificate, Door

__all__ = ["ALARM_PER_HOUR", "GUESSES", "Allowances", "LimitStore", "Limited", "Limits", "Sender"]

GUESSES: Final = frozenset(
    {
        reasons.CHALLENGE_MISSING,
        reasons.CHALLENGE_UNKNOWN,
        reasons.CHALLENGE_EXPIRED,
        reasons.CHALLENGE_USED,
        reasons.CHALLENGE_REPLAYED,
        reasons.CHALLENGE_REVOKED,
        reasons.CONNECTOR_CHALLENGE_FOREIGN,
        reasons.CONNECTOR_CHALLENGE_FORGED,
    }
)
"""What counts as a wrong challenge (CHA-3)."""
ALARM_PER_HOUR: Final = 1_000
"""So many messages that could not be opened make an alarm of their own (ENV-9)."""

_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)
_RENEWALS = " renewals"


@dataclass(frozen=True, slots=True)
class Allowances:
    """How much is allowed; the settings of the same names explain each."""

    wrong_challenges_per_source: int = 10
    wrong_challenges_per_group: int = 100
    unreadable_per_source: int = 100
    unreadable_per_group: int = 1_000
    """Ten times that of a source: one address alone must not close a group to first enrolments."""
    requests_per_group: int = 6_000
    certificates_per_device: int = 5
    pending_per_group: int = 1_000
    wrong_passwords_per_source: int = 10
    wrong_passwords_per_page: int = 100
    wrong_tokens_per_source: int = 20
    requests_per_caller: int = 600

    def shared_by(self, workers: int) -> Allowances:
        """Return the part of one worker, rounded up. What the store counts is not divided: all workers see it."""
        counted_in_memory = [each.name for each in fields(self) if each.name not in _COUNTED_IN_STORE]
        return replace(self, **{name: -(-getattr(self, name) // workers) for name in counted_in_memory})


_COUNTED_IN_STORE = frozenset({"certificates_per_device", "pending_per_group"})


@dataclass(frozen=True, slots=True)
class Limited:
    """Too much: to come again later (429)."""

    reason: Reason
    retry_after: int
    """Seconds until it is worth another try."""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sent a message, as far as limits are concerned."""

    door: Door
    source: str
    """The socket peer's address."""
    at: datetime
    signer: Certificate | None = None
    """The live certificate that signed the message; None for a stranger, and before it is known."""


class LimitStore(RenewalStore, Events, Protocol):
    """Where days are counted, and where it is written that a limit was reached."""


class Limits:
    """Counts for one process; every method may be called from any thread.

    Each raises `UnavailableError` where the store cannot be reached.
    """

    def __init__(self, store: LimitStore, allowances: Allowances) -> None:
        self._store = store
        self._allowances = allowances
        self._lock = threading.Lock()
        self._guesses = (
            Counts(reasons.SOURCE_GUESSING, "source", allowances.wrong_challenges_per_source),
            Counts(reasons.GROUP_GUESSING, "group", allowances.wrong_challenges_per_group),
        )
        self._unreadable_by_source = Counts(reasons.SOURCE_UNREADABLE, "source", allowances.unreadable_per_source)
        self._unreadable_by_group = Counts(reasons.GROUP_UNREADABLE, "group", allowances.unreadable_per_group)
        self._unreadable_alarm = Counts(reasons.GROUP_UNREADABLE, "group", ALARM_PER_HOUR, _HOUR)
        self._requests = Counts(reasons.GROUP_BUSY, "group", allowances.requests_per_group)
        self._renewals = Counts(reasons.RENEWAL_QUOTA, "certificate", 1, _HOUR)
        self._queues = Counts(reasons.QUEUE_FULL, "group", 1, _HOUR)

    # --- before any private-key operation ---------------------------------------------------------------------------

    def arrival(self, sender: Sender) -> Limited | None:
        """Judge a message before it is read."""
        return self._reached(self._unreadable_by_source, sender)

    def request(self, sender: Sender) -> Limited | None:
        """Judge a message that would be answered under our signature; count it where it may be."""
        limited = self._reached(self._requests, sender)
        if limited is None:
            self._count(self._requests, sender)
        return limited

    def opening(self, sender: Sender) -> Limited | None:
        """Judge a verified message before its content is opened."""
        return self._reached(self._unreadable_by_group, sender)

    def first_enrolment(self, sender: Sender, transaction_id: bytes, key_sha256: bytes) -> Limited | None:
        """Judge a stranger's verified request; `key_sha256` is that of the key that signed it."""
        for counts in self._guesses:
            limited = self._reached(counts, sender)
            if limited is not None:
                return limited
        return self._queue_full(sender, transaction_id, key_sha256)

    def renewal(self, sender: Sender, signer: Certificate) -> Limited | Denied | None:
        """Judge a live signer's verified request by what was begun in its chain of renewals in 24 hours.

        `Denied` where the signer was renewed already: then the request may be one whose answer was lost, which only its
        content shows, and it is denied if it is not.
        """
        begun = renewals_since(self._store, signer, sender.at - _DAY)
        if begun < self._allowances.certificates_per_device:
            return None
        detail = f"{begun} certificates in 24 hours, {self._allowances.certificates_per_device} allowed"
        if self._store.newest_generation(lineage_of(self._store, signer).first) > signer.intent.generation:
            return Denied(reasons.DEVICE_QUOTA, detail)
        return self._quota(self._renewals, sender, detail)

    # --- what came of it --------------------------------------------------------------------------------------------

    def unreadable(self, sender: Sender) -> None:
        """Count a content that could not be opened, or that asked for what is not the sender's (ENV-9)."""
        for counts in (self._unreadable_by_source, self._unreadable_by_group, self._unreadable_alarm):
            self._count(counts, sender)
        # It closes nothing; it is written, once an hour.
        self._reached(self._unreadable_alarm, sender)

    def denied(self, sender: Sender, denied: Denied) -> None:
        """Count a wrong challenge (CHA-3); nothing else that is denied, and nothing that a live signer is denied."""
        if sender.signer is None and denied.reason in GUESSES:
            for counts in self._guesses:
                self._count(counts, sender)

    # --- counted in the store ---------------------------------------------------------------------------------------

    def _queue_full(self, sender: Sender, transaction_id: bytes, key_sha256: bytes) -> Limited | None:
        """The group's queue for approval; whoever stands in it may ask again (RES-5)."""
        endpoint = sender.door.endpoint
        if endpoint.authoriser is not Authoriser.APPROVAL:
            return None
        waiting = self._store.pending_count(sender.door.group.name)
        if waiting < self._allowances.pending_per_group:
            return None
        if self._store.conversation_of(endpoint.name, transaction_id, key_sha256) is not None:
            return None
        return self._quota(self._queues, sender, f"{waiting} wait, {self._allowances.pending_per_group} allowed")

    def _quota(self, counts: Counts, sender: Sender, detail: str) -> Limited | None:
        """Refuse what the store has counted. It does not say when there is room again: within the hour, try again."""
        self._count(counts, sender)
        return self._reached(counts, sender, detail)

    # --- counted in memory ------------------------------------------------------------------------------------------

    def _count(self, counts: Counts, sender: Sender) -> None:
        with self._lock:
            counts.add(_subject(counts, sender), sender.at)

    def _reached(self, counts: Counts, sender: Sender, detail: str = "") -> Limited | None:
        detail = detail or f"{counts.limit} in {int(counts.span.total_seconds())} seconds"
        with self._lock:
            window = counts.used_up(_subject(counts, sender), sender.at)
            if window is None:
                return None
            left = window.since + counts.span - sender.at
            first, window.told = not window.told, True
        if first:
            try:
                self._store.record((_alarm(counts, sender, detail),))
            except UnavailableError:
                window.told = False
                raise
        return Limited(counts.reason, max(math.ceil(left.total_seconds()), 1), detail)


def _subject(counts: Counts, sender: Sender) -> str:
    """Name what is counted, as events name it; holders of a certificate of the group apart from strangers."""
    if counts.per == "source":
        return f"source:{source_of(sender.source)}"
    group = f"group:{sender.door.group.name}"
    if sender.signer is None:
        return group
    return group + _RENEWALS if counts.per == "group" else f"certificate:{sender.signer.serial:x}"


def _alarm(counts: Counts, sender: Sender, detail: str) -> EventDraft:
    """Say, once in each window, that a limit was reached: the alarm that CHA-3 and ENV-9 ask for."""
    return EventDraft(
        at=sender.at,
        actor=Actor(ActorKind.SYSTEM, "limits", sender.source),
        action=Action.LIMIT_REACHED,
        object=_subject(counts, sender).removesuffix(_RENEWALS),
        outcome=Outcome.REFUSED,
        group=sender.door.group.name,
        reason_id=counts.reason.id,
        security=True,
        details={"title": counts.reason.title, "detail": detail},
    )
