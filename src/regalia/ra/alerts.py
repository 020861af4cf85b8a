"""Telling what is wrong: an alert opens once, is repeated daily while it lasts, and closes with a note.

What is told goes through an outbox: the alert and a message for each target are one transaction, and each message is
tried until it is taken or given up, always with the same id and octets. So each arrives at least once.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Final, Protocol

from regalia import reasons
from regalia.errors import AdminError, UnavailableError
from regalia.model import (
    Action,
    Actor,
    ActorKind,
    Alert,
    AlertCondition,
    AlertTarget,
    Delivery,
    DeliveryState,
    EventDraft,
    Finding,
    Occasion,
    Outcome,
    Severity,
    TargetKind,
    new_id,
)
from regalia.ports import AlertFilter, Alerts, AlertTargets, Deliveries
from regalia.ra.alert_message import body_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime
    from uuid import UUID

    from regalia.model import JsonValue
    from regalia.ports import AlertSender, Clock, Entropy, Sealer

__all__ = ["KEPT", "AlertDesk", "AlertStore", "NewTarget", "is_of_node"]

KEPT: Final = timedelta(days=90)
"""How long closed alerts and ended deliveries are kept."""
_REPEAT: Final = timedelta(days=1)
_GONE: Final = timedelta(hours=25)
"""A node that did not repeat its own alert for so long looks no more."""
_LEASE: Final = timedelta(minutes=2)
"""Longer than any attempt takes."""
_FIRST_WAIT: Final = timedelta(seconds=30)
_LONGEST_WAIT: Final = timedelta(hours=6)
_ALL: Final = 1_000_000
_DUE: Final = 100
"""Messages of one target in one run."""
_TARGETS_AT_A_TIME: Final = 4
_OVER: Final = "It is over: the check finds nothing any more."
_NOBODY_LOOKS: Final = "Its node has not said anything for a day."
_SYSTEM: Final = Actor(ActorKind.SYSTEM, "alerts")
_SECRET_OCTETS: Final = 32


class AlertStore(Alerts, AlertTargets, Deliveries, Protocol):
    """Where alerts, targets and messages lie."""


@dataclass(frozen=True, slots=True)
class NewTarget:
    """A target just made."""

    target: AlertTarget
    secret: str | None
    """What a web hook is signed with; shown once."""


def is_of_node(alert: Alert) -> bool:
    """Whether a node alone sees what the alert is about."""
    return alert.finding.object.startswith("node:")


class AlertDesk:
    """Opens, repeats and closes alerts, delivers them, and does what administrators ask of both."""

    def __init__(
        self,
        store: AlertStore,
        sender: AlertSender,
        sealer: Sealer,
        clock: Clock,
        entropy: Entropy,
        *,
        where: str,
        attempts: int = 12,
    ) -> None:
        """`where` tells receivers which installation it is; `attempts` is how often a message is tried."""
        self._store = store
        self._sender = sender
        self._sealer = sealer
        self._clock = clock
        self._entropy = entropy
        self._where = where
        self._attempts = attempts

    # --- what is wrong ------------------------------------------------------------------------------------------------

    def look(self, found: Iterable[Finding], now: datetime, ours: Callable[[Alert], bool]) -> None:
        """Take note of everything that is wrong now; `ours` says which open alerts that is everything about."""
        wrong = {(each.condition, each.object): each for each in found}
        there = {
            (each.finding.condition, each.finding.object): each
            for each in self._store.alerts(AlertFilter(open=True, limit=_ALL))
            if ours(each)
        }
        for key, finding in wrong.items():
            if key not in there:
                self._open(finding, now)
                continue
            alert, after = there[key], replace(there[key], finding=finding, told_at=now)
            if _to_repeat(alert, finding, now):
                self._change(alert, after, Occasion.REPEATED, now)
            elif now - alert.told_at >= _REPEAT:
                # Somebody looks after it: that it lasts is noted, and told to nobody.
                self._store.change_alert(alert, after, (), ())
        for key, alert in there.items():
            if key not in wrong:
                self._close(alert, _OVER, now)

    def close_forsaken(self, now: datetime) -> None:
        """Close alerts of nodes that look no more, and forget what ended long ago."""
        for alert in self._store.alerts(AlertFilter(open=True, limit=_ALL)):
            if is_of_node(alert) and now - alert.told_at > _GONE:
                self._close(alert, _NOBODY_LOOKS, now)
        self._store.forget_alerts(now - KEPT)

    def _open(self, finding: Finding, now: datetime) -> None:
        alert = Alert(self._new_id(now), finding, now, now)
        event = _event(now, _SYSTEM, Action.ALERT_OPENED, alert)
        self._store.open_alert(alert, self._messages(alert, Occasion.OPENED, now), (event,))

    def _close(self, alert: Alert, note: str, now: datetime) -> None:
        event = _event(now, _SYSTEM, Action.ALERT_CLOSED, alert)
        self._change(alert, replace(alert, closed_at=now, note=note), Occasion.CLOSED, now, event)

    def _change(self, before: Alert, after: Alert, occasion: Occasion, now: datetime, *events: EventDraft) -> None:
        # Where another process changed it meanwhile, it has told of that; the next look sees what is left to do.
        self._store.change_alert(before, after, self._messages(after, occasion, now), events)

    def _messages(self, alert: Alert, occasion: Occasion, now: datetime) -> list[Delivery]:
        finding = alert.finding
        dead = finding.object if finding.condition is AlertCondition.DELIVERY_DEAD else None
        # That a target cannot be reached is not told to that target: each such message would be the next one's reason.
        told = [target for target in self._store.targets() if f"target:{target.name}" != dead]
        return [self._message(target, occasion, now, finding, alert) for target in told]

    def _message(
        self, target: AlertTarget, occasion: Occasion, now: datetime, finding: Finding, alert: Alert | None
    ) -> Delivery:
        delivery_id = self._new_id(now)
        body = body_of(delivery_id, occasion, now, self._where, finding, alert)
        return Delivery(
            delivery_id, target.id, target.name, None if alert is None else alert.id, occasion, body, now, now
        )

    # --- telling ------------------------------------------------------------------------------------------------------

    def deliver(self, now: datetime) -> None:
        """Try what is due, each target by itself: one that does not answer holds up nobody but itself."""
        due = sorted(self._store.due_deliveries(now, _DUE), key=lambda each: (each.target, each.id))
        queues = [list(queue) for _, queue in groupby(due, key=lambda each: each.target)]
        if not queues:
            return
        targets = {target.id: target for target in self._store.targets()}
        with ThreadPoolExecutor(min(len(queues), _TARGETS_AT_A_TIME), thread_name_prefix="regalia-alert") as threads:
            for done in [threads.submit(self._deliver_queue, queue, targets) for queue in queues]:
                done.result()

    def _deliver_queue(self, queue: Sequence[Delivery], targets: dict[UUID, AlertTarget]) -> None:
        for delivery in queue:
            now = self._clock.now()
            claimed = self._store.claim_delivery(delivery, now, now + _LEASE)
            if claimed is not None and not self._attempt(claimed, targets.get(claimed.target)):
                # Whoever did not take this one is not asked to take the next one now.
                return

    def _attempt(self, claimed: Delivery, target: AlertTarget | None) -> bool:
        """Send a message that was claimed, and note what became of it."""
        error = self._sent(claimed, target)
        now = self._clock.now()
        if error is None:
            self._store.conclude_delivery(claimed, replace(claimed, state=DeliveryState.DELIVERED, last_error=""), ())
            return True
        if claimed.attempts >= self._attempts or target is None:
            after = replace(claimed, state=DeliveryState.DEAD, last_error=error)
            self._store.conclude_delivery(claimed, after, (_dead_event(now, after),))
        else:
            after = replace(claimed, next_at=now + _wait(claimed.attempts), last_error=error)
            self._store.conclude_delivery(claimed, after, ())
        return False

    def _sent(self, claimed: Delivery, target: AlertTarget | None) -> str | None:
        """Send it; say why it was not taken."""
        if target is None:
            return "the target was removed"
        if claimed.attempts > self._attempts:
            return "none of its attempts came to an end"
        try:
            self._sender.send(target, claimed, self._clock.now())
        except (AdminError, UnavailableError) as refused:
            return str(refused)
        return None

    # --- what administrators ask --------------------------------------------------------------------------------------

    def acknowledge(self, alert: Alert, actor: Actor) -> Alert:
        """Note that somebody looks after it: it is not repeated any more. Raises `AdminError` ALERT-007."""
        now = self._clock.now()
        after = replace(alert, acknowledged_at=now, acknowledged_by=f"{actor.kind} {actor.id}")
        if alert.closed_at is not None:
            raise AdminError(reasons.ALERT_STATE, f"alert {alert.id} is closed")
        if not self._store.change_alert(alert, after, (), (_event(now, actor, Action.ALERT_ACKNOWLEDGED, alert),)):
            raise AdminError(reasons.ALERT_STATE, f"alert {alert.id} has just changed: look at it again")
        return after

    def create_target(self, name: str, kind: TargetKind, address: str, actor: Actor) -> NewTarget:
        """Make a target; its address was judged before. Raises `AdminError` ADM-003 where the name is taken."""
        now = self._clock.now()
        target = AlertTarget(self._new_id(now), name, kind, address, b"", now, f"{actor.kind} {actor.id}")
        secret = None
        if kind is TargetKind.WEB_HOOK:
            secret = self._entropy.octets(_SECRET_OCTETS).hex()
            target = replace(target, sealed=self._sealer.seal(target.scope, secret.encode()))
        if not self._store.add_target(target, (_target_event(now, actor, Action.ALERT_TARGET_CREATED, target),)):
            raise AdminError(reasons.NAME_TAKEN, f"alert target {name}")
        return NewTarget(target, secret)

    def remove_target(self, target: AlertTarget, actor: Actor) -> None:
        """Forget a target. Raises `AdminError` ADM-004 where somebody else just did."""
        now = self._clock.now()
        event = _target_event(now, actor, Action.ALERT_TARGET_REMOVED, target)
        if not self._store.remove_target(target.id, now, (event,)):
            raise AdminError(reasons.NOT_FOUND, f"alert target {target.name}")

    def test(self, target: AlertTarget, actor: Actor) -> Delivery:
        """Send a test now, once, and return what became of it."""
        now = self._clock.now()
        finding = Finding(
            AlertCondition.TEST,
            f"target:{target.name}",
            Severity.WARNING,
            "This is a test: nothing is wrong.",
            "Nothing has to be done.",
        )
        # In nobody's queue: it belongs to this attempt from the beginning.
        waiting = replace(self._message(target, Occasion.TEST, now, finding, None), next_at=now + _LEASE)
        claimed = replace(waiting, attempts=1, last_at=now)
        self._store.add_delivery(claimed, ())
        error = self._sent(claimed, target)
        state = DeliveryState.DELIVERED if error is None else DeliveryState.DEAD
        after = replace(claimed, state=state, last_error=error or "")
        tested = _target_event(self._clock.now(), actor, Action.ALERT_TARGET_TESTED, target)
        tested = replace(
            tested,
            outcome=Outcome.OK if error is None else Outcome.FAILED,
            details={**tested.details, "delivery": str(after.id), "error": error or None},
        )
        self._store.conclude_delivery(claimed, after, (tested,))
        return after

    def replay(self, delivery: Delivery, actor: Actor) -> Delivery:
        """Let a message that ended be sent again, with the same id. Raises `AdminError` ALERT-008."""
        now = self._clock.now()
        if all(target.id != delivery.target for target in self._store.targets()):
            raise AdminError(reasons.DELIVERY_STATE, f"target {delivery.target_name} was removed")
        event = EventDraft(
            now,
            actor,
            Action.DELIVERY_REPLAYED,
            f"delivery:{delivery.id}",
            Outcome.OK,
            details={"target": delivery.target_name, "occasion": delivery.occasion.value},
        )
        if not self._store.replay_delivery(delivery, now, (event,)):
            raise AdminError(reasons.DELIVERY_STATE, f"delivery {delivery.id} waits already")
        return self._store.delivery(delivery.id) or delivery

    def _new_id(self, now: datetime) -> UUID:
        return new_id(now, self._entropy.octets(10))


def _to_repeat(alert: Alert, finding: Finding, now: datetime) -> bool:
    """Whether to tell again: it got worse, or nobody looks after it and a day is over."""
    worse = finding.severity is Severity.CRITICAL and alert.finding.severity is Severity.WARNING
    return worse or (alert.acknowledged_at is None and now - alert.told_at >= _REPEAT)


def _wait(attempts: int) -> timedelta:
    doubled: int = 1 << min(attempts - 1, 20)
    return min(_FIRST_WAIT * doubled, _LONGEST_WAIT)


def _event(at: datetime, actor: Actor, action: Action, alert: Alert) -> EventDraft:
    finding = alert.finding
    details: dict[str, JsonValue] = {
        "condition": finding.condition.value,
        "severity": finding.severity.value,
        "object": finding.object,
        "summary": finding.summary,
    }
    return EventDraft(at, actor, action, f"alert:{alert.id}", Outcome.OK, group=finding.group, details=details)


def _target_event(at: datetime, actor: Actor, action: Action, target: AlertTarget) -> EventDraft:
    details: dict[str, JsonValue] = {"kind": target.kind.value, "address": target.address}
    return EventDraft(at, actor, action, f"alert-target:{target.name}", Outcome.OK, details=details)


def _dead_event(at: datetime, delivery: Delivery) -> EventDraft:
    details: dict[str, JsonValue] = {
        "target": delivery.target_name,
        "occasion": delivery.occasion.value,
        "attempts": delivery.attempts,
        "error": delivery.last_error,
    }
    return EventDraft(at, _SYSTEM, Action.DELIVERY_DEAD, f"delivery:{delivery.id}", Outcome.FAILED, details=details)
