"""Alerts, their targets, and the outbox between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from regalia.model import Alert, AlertTarget, Delivery, DeliveryState, Event, EventDraft

__all__ = ["AlertFilter", "AlertSender", "AlertTargets", "Alerts", "Deliveries"]


@dataclass(frozen=True, slots=True)
class AlertFilter:
    """Which alerts to show, newest first."""

    open: bool | None = None
    groups: frozenset[str] | None = None
    """Those of these groups alone; None for all, also those of no group (AUTHZ-4)."""
    limit: int = 1_000


class Alerts(Protocol):
    """What is and was wrong."""

    def alerts(self, wanted: AlertFilter) -> tuple[Alert, ...]:
        """Newest first."""

    def alert(self, alert_id: UUID) -> Alert | None: ...

    def open_alert(self, alert: Alert, deliveries: Sequence[Delivery], events: Sequence[EventDraft]) -> bool:
        """Keep a new one and what is to be told; False where one of its condition and object is open."""

    def change_alert(
        self, before: Alert, after: Alert, deliveries: Sequence[Delivery], events: Sequence[EventDraft]
    ) -> bool:
        """Replace an open one by what it became; False where it is not `before` any more (two raced)."""

    def refused_since(self, at: datetime, limit: int) -> tuple[Event, ...]:
        """Events of what was refused from this time on, newest first."""

    def forget_alerts(self, before: datetime) -> int:
        """Forget alerts closed, and deliveries made and ended, before this time. Returns how many."""


class AlertTargets(Protocol):
    """Who is told."""

    def add_target(self, target: AlertTarget, events: Sequence[EventDraft]) -> bool:
        """False where the name is taken."""

    def target(self, name: str) -> AlertTarget | None: ...
    def targets(self) -> tuple[AlertTarget, ...]:
        """By name."""

    def remove_target(self, target_id: UUID, at: datetime, events: Sequence[EventDraft]) -> bool:
        """Forget it with its secret; what waited for it is dead. False where it is not there."""


class Deliveries(Protocol):
    """The outbox: what is to be told, and what was."""

    def deliveries(
        self, *, state: DeliveryState | None = None, target: str | None = None, limit: int = 1_000
    ) -> tuple[Delivery, ...]:
        """Newest first; of one target by its name."""

    def delivery(self, delivery_id: UUID) -> Delivery | None: ...

    def due_deliveries(self, now: datetime, limit: int) -> tuple[Delivery, ...]:
        """Those that wait and are due, oldest first: `limit` of each target, so that none fills the others' place."""

    def add_delivery(self, delivery: Delivery, events: Sequence[EventDraft]) -> None:
        """Keep one that belongs to no change of an alert."""

    def claim_delivery(self, delivery: Delivery, at: datetime, until: datetime) -> Delivery | None:
        """Begin an attempt: nobody else begins one before `until`. None where somebody was faster (at least once).

        The attempt counts from here on, so that a message that ends every process that sends it is dead one day.
        """

    def conclude_delivery(self, claimed: Delivery, after: Delivery, events: Sequence[EventDraft]) -> bool:
        """Note how the attempt ended; False where another one was begun meanwhile, or it was delivered."""

    def replay_delivery(self, before: Delivery, at: datetime, events: Sequence[EventDraft]) -> bool:
        """Let one that ended wait again, due at once, its attempts counted anew; False where it is not `before`."""


class AlertSender(Protocol):
    """Tells one target once."""

    def send(self, target: AlertTarget, delivery: Delivery, at: datetime) -> None:
        """Send it.

        Raises `AdminError` ALERT-001, ALERT-003 or ALERT-005 for what cannot be sent as it is set up,
        `UnavailableError` ALERT-002, ALERT-004 or ALERT-006 where the other side did not take it.
        """
