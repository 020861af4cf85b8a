"""The part of the store's fake that keeps alerts, their targets and their outbox. See `memory_store`."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from regalia.model import DeliveryState, Outcome
from regalia.ports import SealedSecret

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from uuid import UUID

    from regalia.model import Alert, AlertTarget, Delivery, Event, EventDraft
    from regalia.ports import AlertFilter

__all__ = ["MemoryAlerts"]


class MemoryAlerts:
    """Alerts, targets, deliveries."""

    _lock: threading.RLock
    log: list[Event]

    def __init__(self) -> None:
        super().__init__()
        self._alerts: dict[UUID, Alert] = {}
        self._targets: dict[UUID, AlertTarget] = {}
        self._deliveries: dict[UUID, Delivery] = {}

    if TYPE_CHECKING:

        def record(self, events: Sequence[EventDraft]) -> None:
            """Append events: the whole store does."""

    def alerts(self, wanted: AlertFilter) -> tuple[Alert, ...]:
        """Return alerts, newest first."""
        found = [
            alert
            for _, alert in sorted(self._alerts.items(), reverse=True)
            if wanted.open in {None, alert.closed_at is None}
            and (wanted.groups is None or alert.finding.group in wanted.groups)
        ]
        return tuple(found[: wanted.limit])

    def alert(self, alert_id: UUID) -> Alert | None:
        """Return one."""
        return self._alerts.get(alert_id)

    def open_alert(self, alert: Alert, deliveries: Sequence[Delivery], events: Sequence[EventDraft]) -> bool:
        """Keep a new one; False where one of its condition and object is open."""
        with self._lock:
            new = (alert.finding.condition, alert.finding.object)
            if any(
                (each.finding.condition, each.finding.object) == new
                for each in self._alerts.values()
                if each.closed_at is None
            ):
                return False
            self._alerts[alert.id] = alert
            self._tell(deliveries, events)
            return True

    def change_alert(
        self, before: Alert, after: Alert, deliveries: Sequence[Delivery], events: Sequence[EventDraft]
    ) -> bool:
        """Replace an open one; False where it is not `before` any more."""
        with self._lock:
            if self._alerts.get(before.id) != before or before.closed_at is not None:
                return False
            self._alerts[before.id] = after
            self._tell(deliveries, events)
            return True

    def refused_since(self, at: datetime, limit: int) -> tuple[Event, ...]:
        """Return what was refused from this time on, newest first."""
        refused = (event for event in reversed(self.log) if event.draft.outcome is Outcome.REFUSED)
        return tuple(event for event in refused if event.draft.at >= at)[:limit]

    def forget_alerts(self, before: datetime) -> int:
        """Forget what ended before this time."""
        with self._lock:
            alerts = [each for each in self._alerts.values() if each.closed_at is not None and each.closed_at < before]
            ended = [
                each
                for each in self._deliveries.values()
                if each.created_at < before and each.state is not DeliveryState.WAITING
            ]
            for alert in alerts:
                del self._alerts[alert.id]
            for delivery in ended:
                del self._deliveries[delivery.id]
            return len(alerts) + len(ended)

    def add_target(self, target: AlertTarget, events: Sequence[EventDraft]) -> bool:
        """Keep one; False where the name is taken."""
        with self._lock:
            if self.target(target.name) is not None:
                return False
            self._targets[target.id] = target
            self.record(events)
            return True

    def target(self, name: str) -> AlertTarget | None:
        """Return one by its name."""
        return next((each for each in self._targets.values() if each.name == name), None)

    def targets(self) -> tuple[AlertTarget, ...]:
        """Return all by name."""
        return tuple(sorted(self._targets.values(), key=lambda each: each.name))

    def remove_target(self, target_id: UUID, at: datetime, events: Sequence[EventDraft]) -> bool:
        """Forget one; what waited for it is dead."""
        del at
        with self._lock:
            if self._targets.pop(target_id, None) is None:
                return False
            for each in self._deliveries.values():
                if each.target == target_id and each.state is DeliveryState.WAITING:
                    dead = replace(each, state=DeliveryState.DEAD, last_error="the target was removed")
                    self._deliveries[each.id] = dead
            self.record(events)
            return True

    def deliveries(
        self, *, state: DeliveryState | None = None, target: str | None = None, limit: int = 1_000
    ) -> tuple[Delivery, ...]:
        """Return deliveries, newest first."""
        found = [
            each
            for _, each in sorted(self._deliveries.items(), reverse=True)
            if state in {None, each.state} and target in {None, each.target_name}
        ]
        return tuple(found[:limit])

    def delivery(self, delivery_id: UUID) -> Delivery | None:
        """Return one."""
        return self._deliveries.get(delivery_id)

    def due_deliveries(self, now: datetime, limit: int) -> tuple[Delivery, ...]:
        """Return those that are due, oldest first, so many of each target."""
        waiting = (each for each in self._deliveries.values() if each.state is DeliveryState.WAITING)
        due = sorted((each for each in waiting if each.next_at <= now), key=lambda each: (each.next_at, each.id))
        place: Counter[bytes] = Counter()
        found = []
        for each in due:
            place[each.target.bytes] += 1
            if place[each.target.bytes] <= limit:
                found.append(each)
        return tuple(found)

    def add_delivery(self, delivery: Delivery, events: Sequence[EventDraft]) -> None:
        """Keep one."""
        with self._lock:
            self._tell((delivery,), events)

    def claim_delivery(self, delivery: Delivery, at: datetime, until: datetime) -> Delivery | None:
        """Begin an attempt; None where somebody was faster."""
        with self._lock:
            there = self._deliveries.get(delivery.id)
            if there != delivery or there.state is not DeliveryState.WAITING or there.next_at > at:
                return None
            claimed = replace(there, attempts=there.attempts + 1, next_at=until, last_at=at)
            self._deliveries[delivery.id] = claimed
            return claimed

    def conclude_delivery(self, claimed: Delivery, after: Delivery, events: Sequence[EventDraft]) -> bool:
        """Note how an attempt ended; False where another one was begun."""
        with self._lock:
            if self._deliveries.get(claimed.id) != claimed:
                return False
            self._deliveries[claimed.id] = after
            self.record(events)
            return True

    def replay_delivery(self, before: Delivery, at: datetime, events: Sequence[EventDraft]) -> bool:
        """Let one that ended wait again."""
        if before.state is DeliveryState.WAITING:
            return False
        after = replace(before, state=DeliveryState.WAITING, attempts=0, next_at=at)
        return self.conclude_delivery(before, after, events)

    def sealed_targets(self) -> Iterator[SealedSecret]:
        """Return the secrets of web hooks."""
        for target in self.targets():
            if target.sealed:
                yield SealedSecret(target.scope, target.id.bytes, target.sealed)

    def reseal_target(self, former: SealedSecret, fresh: bytes) -> bool:
        """Put a new seal into the place of the old one."""
        for target in self.targets():
            if target.id.bytes == former.which and target.sealed == former.sealed:
                self._targets[target.id] = replace(target, sealed=fresh)
                return True
        return False

    def _tell(self, deliveries: Sequence[Delivery], events: Sequence[EventDraft]) -> None:
        for each in deliveries:
            self._deliveries[each.id] = each
        self.record(events)
