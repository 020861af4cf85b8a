"""Events of what connectors report: devices and users that are new, that changed, that are gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from regalia.model import Action, Actor, ActorKind, EventDraft, Outcome
from regalia.model.fleet import Device
from regalia.ra.records import state_text

if TYPE_CHECKING:
    from datetime import datetime

    from regalia.model import JsonValue
    from regalia.model.fleet import User

__all__ = ["connector_actor", "record_event", "record_events"]


def connector_actor(connector: str) -> Actor:
    """Name a connector as who did something."""
    return Actor(ActorKind.SYSTEM, f"connector:{connector}")


def record_event(action: Action, record: Device | User, at: datetime, details: dict[str, JsonValue]) -> EventDraft:
    """Describe what happened to a record."""
    is_device = isinstance(record, Device)
    return EventDraft(
        at=at,
        actor=connector_actor(record.connector),
        action=action,
        object=f"{'device' if is_device else 'user'}:{record.id}",
        outcome=Outcome.OK,
        group=record.group if isinstance(record, Device) else None,
        details={"connector": record.connector, "external_id": record.external_id, **details},
    )


def record_events(before: Device | User | None, after: Device | User, at: datetime) -> tuple[EventDraft, ...]:
    """Describe a report: what is new, and a state that differs; that it was seen again is no event."""
    if before is None:
        action = Action.DEVICE_ADDED if isinstance(after, Device) else Action.USER_CHANGED
        return (record_event(action, after, at, {"state": state_text(after.state)}),)
    events = []
    if before.state != after.state:
        action = Action.DEVICE_CHANGED if isinstance(after, Device) else Action.USER_CHANGED
        states: dict[str, JsonValue] = {"state": state_text(after.state), "former": state_text(before.state)}
        events.append(record_event(action, after, at, states))
    if isinstance(before, Device) and isinstance(after, Device) and before.group != after.group:
        events.append(record_event(Action.DEVICE_MOVED, after, at, {"former_group": before.group}))
    return tuple(events)
