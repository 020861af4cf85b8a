"""Alerts, their targets and their outbox: rows ⇄ values."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import bindparam, delete, false, func, literal_column, or_, select, update

from regalia.model import (
    Alert,
    AlertCondition,
    AlertTarget,
    Delivery,
    DeliveryState,
    Finding,
    Occasion,
    Severity,
    TargetKind,
)
from regalia.store.events import read_event_row
from regalia.store.session import LostError, Noun, Statement, inserting
from regalia.store.tables import alert, alert_delivery, alert_target, event
from regalia.store.values import from_millis, id_or_none, millis, optional_millis, plain, storable, time_or_none

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from regalia.model import Event, EventDraft
    from regalia.ports import AlertFilter
    from regalia.store.session import Columns, Row, Transaction

__all__ = ["SqlAlerts"]

_REMOVED = "the target was removed"

_ADD = inserting(alert)
_ONE = Statement(select(alert).where(alert.c.id == bindparam("which")))
# `told_at` changes whenever an open alert does, but for an acknowledgement, which is compared beside it.
_CHANGE = Statement(
    update(alert)
    .where(
        alert.c.id == bindparam("which"),
        alert.c.closed_at.is_(None),
        alert.c.told_at == bindparam("was_told"),
        alert.c.acknowledged_by == bindparam("was_acknowledged"),
    )
    .values({name: bindparam(f"new_{name}") for name in alert.c.keys() if name != "id"})  # noqa: SIM118 - columns are no mapping
)
_FORGET_ALERTS = Statement(delete(alert).where(alert.c.closed_at < bindparam("before")))
_FORGET_DELIVERIES = Statement(
    delete(alert_delivery).where(
        alert_delivery.c.created_at < bindparam("before"), alert_delivery.c.state != DeliveryState.WAITING.value
    )
)

_REFUSED = Statement(
    select(event)
    # Spelled out, not a parameter: the partial index holds what was refused.
    .where(event.c.outcome == literal_column("'refused'"), event.c.at >= bindparam("since"))
    .order_by(event.c.at.desc())
    .limit(bindparam("most"))
)

_ADD_TARGET = inserting(alert_target)
_TARGET = Statement(select(alert_target).where(alert_target.c.name == bindparam("name")))
_TARGETS = Statement(select(alert_target).order_by(alert_target.c.name))
_REMOVE_TARGET = Statement(delete(alert_target).where(alert_target.c.id == bindparam("which")))
_END_WAITING = Statement(
    update(alert_delivery)
    .where(alert_delivery.c.target == bindparam("which"), alert_delivery.c.state == DeliveryState.WAITING.value)
    .values(state=DeliveryState.DEAD.value, last_error=bindparam("why"))
)

_ADD_DELIVERY = inserting(alert_delivery)
_DELIVERY = Statement(select(alert_delivery).where(alert_delivery.c.id == bindparam("which")))
_DELIVERIES = Statement(
    select(alert_delivery)
    .where(
        or_(bindparam("any_state") == 1, alert_delivery.c.state == bindparam("state")),
        or_(bindparam("any_target") == 1, alert_delivery.c.target_name == bindparam("name")),
    )
    .order_by(alert_delivery.c.id.desc())
    .limit(bindparam("most"))
)
_oldest_first = (alert_delivery.c.next_at, alert_delivery.c.id)
_due = (
    select(
        alert_delivery,
        func.row_number().over(partition_by=alert_delivery.c.target, order_by=_oldest_first).label("turn"),
    )
    # Spelled out, not a parameter: the partial index holds what waits.
    .where(alert_delivery.c.state == literal_column("'waiting'"), alert_delivery.c.next_at <= bindparam("now"))
    .subquery()
)
_DUE = Statement(select(_due).where(_due.c.turn <= bindparam("most")).order_by(_due.c.next_at, _due.c.id))
_STILL = (
    alert_delivery.c.id == bindparam("which"),
    alert_delivery.c.state == bindparam("was_state"),
    alert_delivery.c.attempts == bindparam("was_attempts"),
    alert_delivery.c.next_at == bindparam("was_next"),
)
_CLAIM = Statement(
    update(alert_delivery)
    .where(*_STILL, alert_delivery.c.next_at <= bindparam("at"))
    .values(attempts=alert_delivery.c.attempts + 1, next_at=bindparam("until"), last_at=bindparam("at"))
)
_CONCLUDE = Statement(
    update(alert_delivery)
    .where(*_STILL)
    .values(
        state=bindparam("new_state"),
        attempts=bindparam("new_attempts"),
        next_at=bindparam("new_next"),
        last_at=bindparam("new_last"),
        last_error=bindparam("new_error"),
    )
)


class SqlAlerts(Noun):
    """See `ports.Alerts`, `ports.AlertTargets` and `ports.Deliveries`."""

    # --- alerts -------------------------------------------------------------------------------------------------------

    def alerts(self, wanted: AlertFilter) -> tuple[Alert, ...]:
        """Return alerts, newest first."""
        query = select(alert).order_by(alert.c.id.desc()).limit(wanted.limit)
        if wanted.open is not None:
            query = query.where(alert.c.closed_at.is_(None) if wanted.open else alert.c.closed_at.is_not(None))
        if wanted.groups is not None:
            # Not by IN, whose values a statement that is compiled here does not hold.
            query = query.where(or_(false(), *(alert.c.group == name for name in sorted(wanted.groups))))
        return tuple(map(_read_alert, self._database.rows(Statement(query), {})))

    def alert(self, alert_id: UUID) -> Alert | None:
        """Return one."""
        row = self._database.row(_ONE, {"which": alert_id.bytes})
        return None if row is None else _read_alert(row)

    def open_alert(self, alert: Alert, deliveries: Sequence[Delivery], events: Sequence[EventDraft]) -> bool:
        """Keep a new one; False where one of its condition and object is open."""

        def unit(transaction: Transaction) -> None:
            transaction.run(_ADD, {"id": alert.id.bytes, **_alert_columns(alert)})
            _tell(transaction, deliveries, events)

        return self._won(unit)

    def change_alert(
        self, before: Alert, after: Alert, deliveries: Sequence[Delivery], events: Sequence[EventDraft]
    ) -> bool:
        """Replace an open one; False where it is not `before` any more."""
        values: Columns = {f"new_{name}": value for name, value in _alert_columns(after).items()}
        values["which"] = before.id.bytes
        values["was_told"] = millis(before.told_at)
        values["was_acknowledged"] = before.acknowledged_by

        def unit(transaction: Transaction) -> None:
            if not transaction.run(_CHANGE, values):
                raise LostError
            _tell(transaction, deliveries, events)

        return self._won(unit)

    def refused_since(self, at: datetime, limit: int) -> tuple[Event, ...]:
        """Return what was refused from this time on, newest first."""
        return tuple(map(read_event_row, self._database.rows(_REFUSED, {"since": millis(at), "most": limit})))

    def forget_alerts(self, before: datetime) -> int:
        """Forget what ended before this time."""
        values: Columns = {"before": millis(before)}
        return self._database.write(
            lambda transaction: transaction.run(_FORGET_ALERTS, values) + transaction.run(_FORGET_DELIVERIES, values)
        )

    # --- targets ------------------------------------------------------------------------------------------------------

    def add_target(self, target: AlertTarget, events: Sequence[EventDraft]) -> bool:
        """Keep one; False where the name is taken."""
        columns: Columns = {
            "id": target.id.bytes,
            "name": target.name,
            "kind": target.kind.value,
            "address": target.address,
            "sealed": target.sealed,
            "created_at": millis(target.created_at),
            "created_by": target.created_by,
        }

        def unit(transaction: Transaction) -> None:
            transaction.run(_ADD_TARGET, columns)
            transaction.record(events)

        return self._won(unit)

    def target(self, name: str) -> AlertTarget | None:
        """Return one by its name."""
        row = self._database.row(_TARGET, {"name": name}) if storable(name) else None
        return None if row is None else _read_target(row)

    def targets(self) -> tuple[AlertTarget, ...]:
        """Return all by name."""
        return tuple(map(_read_target, self._database.rows(_TARGETS, {})))

    def remove_target(self, target_id: UUID, at: datetime, events: Sequence[EventDraft]) -> bool:
        """Forget one; what waited for it is dead."""
        del at

        def unit(transaction: Transaction) -> None:
            if not transaction.run(_REMOVE_TARGET, {"which": target_id.bytes}):
                raise LostError
            transaction.run(_END_WAITING, {"which": target_id.bytes, "why": _REMOVED})
            transaction.record(events)

        won = self._won(unit)
        if won:
            self._database.erase()
        return won

    # --- deliveries ---------------------------------------------------------------------------------------------------

    def deliveries(
        self, *, state: DeliveryState | None = None, target: str | None = None, limit: int = 1_000
    ) -> tuple[Delivery, ...]:
        """Return deliveries, newest first."""
        values: Columns = {
            "any_state": int(state is None),
            "state": "" if state is None else state.value,
            "any_target": int(target is None),
            "name": plain(target or ""),
            "most": limit,
        }
        return tuple(map(_read_delivery, self._database.rows(_DELIVERIES, values)))

    def delivery(self, delivery_id: UUID) -> Delivery | None:
        """Return one."""
        row = self._database.row(_DELIVERY, {"which": delivery_id.bytes})
        return None if row is None else _read_delivery(row)

    def due_deliveries(self, now: datetime, limit: int) -> tuple[Delivery, ...]:
        """Return those that are due, oldest first, so many of each target."""
        return tuple(map(_read_delivery, self._database.rows(_DUE, {"now": millis(now), "most": limit})))

    def add_delivery(self, delivery: Delivery, events: Sequence[EventDraft]) -> None:
        """Keep one."""
        self._database.write(lambda transaction: _tell(transaction, (delivery,), events))

    def claim_delivery(self, delivery: Delivery, at: datetime, until: datetime) -> Delivery | None:
        """Begin an attempt; None where somebody was faster."""
        values = _was(delivery) | {"at": millis(at), "until": millis(until)}

        def unit(transaction: Transaction) -> Delivery | None:
            if not transaction.run(_CLAIM, values):
                return None
            row = transaction.row(_DELIVERY, {"which": delivery.id.bytes})
            return None if row is None else _read_delivery(row)

        return self._database.write(unit) if delivery.state is DeliveryState.WAITING else None

    def conclude_delivery(self, claimed: Delivery, after: Delivery, events: Sequence[EventDraft]) -> bool:
        """Note how an attempt ended; False where another one was begun."""
        return self._become(claimed, after, events)

    def replay_delivery(self, before: Delivery, at: datetime, events: Sequence[EventDraft]) -> bool:
        """Let one that ended wait again."""
        after = Delivery(
            before.id,
            before.target,
            before.target_name,
            before.alert,
            before.occasion,
            before.body,
            before.created_at,
            at,
            last_at=before.last_at,
            last_error=before.last_error,
        )
        return before.state is not DeliveryState.WAITING and self._become(before, after, events)

    def _become(self, before: Delivery, after: Delivery, events: Sequence[EventDraft]) -> bool:
        values = _was(before) | {
            "new_state": after.state.value,
            "new_attempts": after.attempts,
            "new_next": millis(after.next_at),
            "new_last": optional_millis(after.last_at),
            "new_error": plain(after.last_error),
        }

        def unit(transaction: Transaction) -> None:
            if not transaction.run(_CONCLUDE, values):
                raise LostError
            transaction.record(events)

        return self._won(unit)


def _tell(transaction: Transaction, deliveries: Sequence[Delivery], events: Sequence[EventDraft]) -> None:
    for each in deliveries:
        transaction.run(_ADD_DELIVERY, _delivery_columns(each))
    transaction.record(events)


def _was(delivery: Delivery) -> Columns:
    return {
        "which": delivery.id.bytes,
        "was_state": delivery.state.value,
        "was_attempts": delivery.attempts,
        "was_next": millis(delivery.next_at),
    }


def _alert_columns(value: Alert) -> Columns:
    finding = value.finding
    return {
        "condition": finding.condition.value,
        "object": plain(finding.object),
        "severity": finding.severity.value,
        "summary": plain(finding.summary),
        "remedy": plain(finding.remedy),
        "group": finding.group,
        "opened_at": millis(value.opened_at),
        "told_at": millis(value.told_at),
        "closed_at": optional_millis(value.closed_at),
        "note": plain(value.note),
        "acknowledged_at": optional_millis(value.acknowledged_at),
        "acknowledged_by": value.acknowledged_by,
    }


def _delivery_columns(value: Delivery) -> Columns:
    return {
        "id": value.id.bytes,
        "target": value.target.bytes,
        "target_name": value.target_name,
        "alert": None if value.alert is None else value.alert.bytes,
        "occasion": value.occasion.value,
        "body": value.body,
        "created_at": millis(value.created_at),
        "next_at": millis(value.next_at),
        "state": value.state.value,
        "attempts": value.attempts,
        "last_at": optional_millis(value.last_at),
        "last_error": plain(value.last_error),
    }


def _read_alert(row: Row) -> Alert:
    return Alert(
        UUID(bytes=row["id"]),
        Finding(
            AlertCondition(row["condition"]),
            row["object"],
            Severity(row["severity"]),
            row["summary"],
            row["remedy"],
            row["group"],
        ),
        from_millis(row["opened_at"]),
        from_millis(row["told_at"]),
        time_or_none(row["closed_at"]),
        row["note"],
        time_or_none(row["acknowledged_at"]),
        row["acknowledged_by"],
    )


def _read_target(row: Row) -> AlertTarget:
    return AlertTarget(
        UUID(bytes=row["id"]),
        row["name"],
        TargetKind(row["kind"]),
        row["address"],
        row["sealed"],
        from_millis(row["created_at"]),
        row["created_by"],
    )


def _read_delivery(row: Row) -> Delivery:
    return Delivery(
        UUID(bytes=row["id"]),
        UUID(bytes=row["target"]),
        row["target_name"],
        id_or_none(row["alert"]),
        Occasion(row["occasion"]),
        row["body"],
        from_millis(row["created_at"]),
        from_millis(row["next_at"]),
        DeliveryState(row["state"]),
        row["attempts"],
        time_or_none(row["last_at"]),
        row["last_error"],
    )
