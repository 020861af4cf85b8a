"""Alerts: what is wrong, who is told of it, and what became of the telling."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from regalia import reasons
from regalia.errors import AdminError
from regalia.model import (
    AlertCondition,
    AlertTarget,
    DeliveryState,
    Occasion,
    Right,
    Severity,
    TargetKind,
)
from regalia.net.mail_server import is_mail_address
from regalia.net.url import read_url
from regalia.ports import AlertFilter
from regalia.ra.registry import check_name
from regalia.verbs.fields import Id, Name
from regalia.verbs.lookup import by_prefix
from regalia.verbs.paging import ListAsked, page_of_few
from regalia.verbs.verb import Asked, Desk, Page, Record, Time, Verb

if TYPE_CHECKING:
    from regalia.model import Alert, Delivery

__all__ = [
    "ACKNOWLEDGE",
    "CREATE_TARGET",
    "DELIVERIES",
    "LIST",
    "REMOVE_TARGET",
    "REPLAY",
    "SHOW",
    "SHOW_TARGET",
    "TARGETS",
    "TEST_TARGET",
    "VERBS",
    "AcknowledgeAlert",
    "AlertRecord",
    "AlertState",
    "CreateTarget",
    "DeliveryRecord",
    "ListAlerts",
    "ListDeliveries",
    "ListTargets",
    "RemoveTarget",
    "ReplayDelivery",
    "ShowAlert",
    "ShowTarget",
    "TargetCreated",
    "TargetRecord",
    "TestTarget",
]

_MOST = 10_000
"""Alerts and deliveries that a list looks through: those of 90 days are kept."""


class AlertState(StrEnum):
    """Whether it lasts."""

    OPEN = "open"
    CLOSED = "closed"


class ListAlerts(ListAsked):
    """Which ones."""

    state: Annotated[AlertState | None, Field(description="Only those that last, or those that are over.")] = None


class ShowAlert(Asked):
    """Which one."""

    id: Id


class AcknowledgeAlert(ShowAlert):
    """Which one somebody looks after."""


class AlertRecord(Record):
    """Something that is or was wrong."""

    id: str
    state: AlertState
    severity: Severity
    condition: AlertCondition
    object: str
    group: str | None
    summary: str
    remedy: str
    opened_at: Time
    told_at: Time
    acknowledged_at: Time | None
    acknowledged_by: str | None
    closed_at: Time | None
    note: str | None


TargetName = Annotated[Name, Field(description="Name of the target.", examples=["on-call"])]


class ListTargets(ListAsked):
    """All there are."""


class ShowTarget(Asked):
    """Which one."""

    name: TargetName


class CreateTarget(Asked):
    """Whom to tell: an e-mail address or a URL."""

    name: TargetName
    email: Annotated[str | None, Field(max_length=254, description="E-mail address.", examples=["pki@example.org"])] = (
        None
    )
    url: Annotated[
        str | None, Field(max_length=1_000, description="https URL of a web hook.", examples=["https://x.example/pki"])
    ] = None


class RemoveTarget(ShowTarget):
    """Which one."""


class TestTarget(ShowTarget):
    """Which one."""


class TargetRecord(Record):
    """Somebody who is told."""

    name: str
    kind: TargetKind
    address: str
    waiting: int
    """Messages that are still to be delivered."""
    dead: int
    """Messages that were given up."""
    created_at: Time
    created_by: str


class TargetCreated(TargetRecord):
    """A target just made."""

    secret: str | None
    """What a web hook's messages are signed with: shown now and never again."""


class ListDeliveries(ListAsked):
    """Which ones."""

    state: DeliveryState | None = None
    target: Annotated[Name | None, Field(description="Of this target only.")] = None


class ReplayDelivery(Asked):
    """Which one."""

    id: Id


class DeliveryRecord(Record):
    """One message to one target."""

    id: str
    target: str
    alert: str | None
    occasion: Occasion
    summary: str
    state: DeliveryState
    attempts: int
    created_at: Time
    last_at: Time | None
    next_at: Time | None
    error: str | None


# --- alerts ---------------------------------------------------------------------------------------------------------


def list_alerts(desk: Desk, asked: ListAlerts) -> Page[AlertRecord]:
    """Those that the caller sees, newest first."""
    wanted = None if asked.state is None else asked.state is AlertState.OPEN
    found = desk.services.store.alerts(AlertFilter(open=wanted, groups=desk.reach.groups, limit=_MOST))
    return page_of_few(
        asked,
        LIST.name,
        found,
        place=lambda alert: (str(alert.id),),
        words=lambda alert: (alert.finding.condition, alert.finding.object, alert.finding.group, alert.finding.summary),
        record=_alert_record,
        descending=True,
    )


def show_alert(desk: Desk, asked: ShowAlert) -> AlertRecord:
    """One alert."""
    return _alert_record(_found_alert(desk, asked.id))


def acknowledge(desk: Desk, asked: AcknowledgeAlert) -> AlertRecord:
    """Note that somebody looks after it."""
    return _alert_record(desk.services.alerts.acknowledge(_found_alert(desk, asked.id), desk.actor))


def _found_alert(desk: Desk, wanted: str) -> Alert:
    """Look an alert up: one of a group that the caller sees, or of none where they see everything (AUTHZ-4)."""
    store = desk.services.store

    def seen(alert_id: Any) -> Alert | None:  # noqa: ANN401 - a UUID, whose import only types would need
        alert = store.alert(alert_id)
        return alert if alert is not None and alert.finding.group in desk.reach else None

    return by_prefix(wanted, "alert", seen, lambda: store.alerts(AlertFilter(groups=desk.reach.groups, limit=_MOST)))


def _alert_record(alert: Alert) -> AlertRecord:
    finding = alert.finding
    return AlertRecord(
        id=str(alert.id),
        state=AlertState.OPEN if alert.closed_at is None else AlertState.CLOSED,
        severity=finding.severity,
        condition=finding.condition,
        object=finding.object,
        group=finding.group,
        summary=finding.summary,
        remedy=finding.remedy,
        opened_at=alert.opened_at,
        told_at=alert.told_at,
        acknowledged_at=alert.acknowledged_at,
        acknowledged_by=alert.acknowledged_by or None,
        closed_at=alert.closed_at,
        note=alert.note or None,
    )


# --- targets --------------------------------------------------------------------------------------------------------


def list_targets(desk: Desk, asked: ListTargets) -> Page[TargetRecord]:
    """All, by name."""
    return page_of_few(
        asked,
        TARGETS.name,
        desk.services.store.targets(),
        place=lambda target: (target.name,),
        words=lambda target: (target.name, target.address),
        record=lambda target: TargetRecord(**_target_fields(desk, target)),
    )


def show_target(desk: Desk, asked: ShowTarget) -> TargetRecord:
    """One target."""
    return TargetRecord(**_target_fields(desk, _found_target(desk, asked.name)))


def create_target(desk: Desk, asked: CreateTarget) -> TargetCreated:
    """Make a target.

    Raises `AdminError`: ADM-005 for the name, ALERT-001 or ALERT-005 for the address, ADM-003 where the name is taken.
    """
    check_name(asked.name)
    if (asked.email is None) == (asked.url is None):
        raise AdminError(reasons.TARGET_REFUSED, "give an e-mail address or a URL, and not both")
    if asked.email is not None and not is_mail_address(asked.email):
        raise AdminError(reasons.TARGET_REFUSED, f"{asked.email!a} is not one plain e-mail address")
    if asked.url is not None:
        # Which addresses its host has is judged each time that it is called.
        read_url(asked.url)
    kind = TargetKind.WEB_HOOK if asked.email is None else TargetKind.MAIL
    made = desk.services.alerts.create_target(asked.name, kind, asked.email or asked.url or "", desk.actor)
    return TargetCreated(**_target_fields(desk, made.target), secret=made.secret)


def plan_removal(desk: Desk, asked: RemoveTarget) -> tuple[str, ...]:
    """Say what would go."""
    fields = _target_fields(desk, _found_target(desk, asked.name))
    return (
        f"remove the alert target {asked.name} ({fields['address']}): nobody there is told of anything any more",
        f"give up what waits for it: {fields['waiting']}",
    )


def remove_target(desk: Desk, asked: RemoveTarget) -> TargetRecord:
    """Remove a target, and show what it was."""
    target = _found_target(desk, asked.name)
    was = TargetRecord(**_target_fields(desk, target))
    desk.services.alerts.remove_target(target, desk.actor)
    return was


def test_target(desk: Desk, asked: TestTarget) -> DeliveryRecord:
    """Send a test now; whether it arrived is in the record."""
    return _delivery_record(desk.services.alerts.test(_found_target(desk, asked.name), desk.actor))


def _found_target(desk: Desk, name: str) -> AlertTarget:
    target = desk.services.store.target(name)
    if target is None:
        raise AdminError(reasons.NOT_FOUND, f"alert target {name}")
    return target


def _target_fields(desk: Desk, target: AlertTarget) -> dict[str, Any]:
    store = desk.services.store
    counts = {
        state: sum(each.target == target.id for each in store.deliveries(state=state, target=target.name, limit=_MOST))
        for state in (DeliveryState.WAITING, DeliveryState.DEAD)
    }
    return {
        "name": target.name,
        "kind": target.kind,
        "address": target.address,
        "waiting": counts[DeliveryState.WAITING],
        "dead": counts[DeliveryState.DEAD],
        "created_at": target.created_at,
        "created_by": target.created_by,
    }


# --- deliveries -----------------------------------------------------------------------------------------------------


def list_deliveries(desk: Desk, asked: ListDeliveries) -> Page[DeliveryRecord]:
    """What was told, is to be told and was given up, newest first."""
    return page_of_few(
        asked,
        DELIVERIES.name,
        desk.services.store.deliveries(state=asked.state, target=asked.target, limit=_MOST),
        place=lambda delivery: (str(delivery.id),),
        words=lambda delivery: (delivery.target_name, delivery.last_error, _summary(delivery)),
        record=_delivery_record,
        descending=True,
    )


def replay(desk: Desk, asked: ReplayDelivery) -> DeliveryRecord:
    """Have a message that ended sent again, with the same id."""
    store = desk.services.store
    found = by_prefix(asked.id, "delivery", store.delivery, lambda: store.deliveries(limit=_MOST))
    return _delivery_record(desk.services.alerts.replay(found, desk.actor))


def _summary(delivery: Delivery) -> str:
    return str(json.loads(delivery.body)["alert"]["summary"])


def _delivery_record(delivery: Delivery) -> DeliveryRecord:
    waits = delivery.state is DeliveryState.WAITING
    return DeliveryRecord(
        id=str(delivery.id),
        target=delivery.target_name,
        alert=None if delivery.alert is None else str(delivery.alert),
        occasion=delivery.occasion,
        summary=_summary(delivery),
        state=delivery.state,
        attempts=delivery.attempts,
        created_at=delivery.created_at,
        last_at=delivery.last_at,
        next_at=delivery.next_at if waits else None,
        error=delivery.last_error or None,
    )


LIST = Verb(
    "alert.list", "GET", "/alerts", Right.READ, ListAlerts, Page[AlertRecord], list_alerts, "List alerts, newest first."
)
SHOW = Verb("alert.show", "GET", "/alerts/{id}", Right.READ, ShowAlert, AlertRecord, show_alert, "Show an alert.")
ACKNOWLEDGE = Verb(
    "alert.acknowledge",
    "POST",
    "/alerts/{id}/acknowledge",
    Right.DECIDE,
    AcknowledgeAlert,
    AlertRecord,
    acknowledge,
    "Say that somebody looks after an alert: it is not repeated any more.",
)
TARGETS = Verb(
    "alert.target-list",
    "GET",
    "/alert-targets",
    Right.RULE,
    ListTargets,
    Page[TargetRecord],
    list_targets,
    "List who is told of alerts.",
    everywhere=True,
)
SHOW_TARGET = Verb(
    "alert.target-show",
    "GET",
    "/alert-targets/{name}",
    Right.RULE,
    ShowTarget,
    TargetRecord,
    show_target,
    "Show a target of alerts.",
    everywhere=True,
)
CREATE_TARGET = Verb(
    "alert.target-create",
    "POST",
    "/alert-targets",
    Right.RULE,
    CreateTarget,
    TargetCreated,
    create_target,
    "Have an e-mail address or a web hook told of alerts. A web hook's secret is shown once.",
    everywhere=True,
    secret=True,
)
REMOVE_TARGET = Verb(
    "alert.target-remove",
    "DELETE",
    "/alert-targets/{name}",
    Right.RULE,
    RemoveTarget,
    TargetRecord,
    remove_target,
    "Remove a target of alerts, with its secret.",
    plan=plan_removal,
    everywhere=True,
)
TEST_TARGET = Verb(
    "alert.target-test",
    "POST",
    "/alert-targets/{name}/test",
    Right.RULE,
    TestTarget,
    DeliveryRecord,
    test_target,
    "Send a test to a target now, and say what became of it.",
    everywhere=True,
)
DELIVERIES = Verb(
    "alert.delivery-list",
    "GET",
    "/alert-deliveries",
    Right.RULE,
    ListDeliveries,
    Page[DeliveryRecord],
    list_deliveries,
    "List messages to targets and what became of them, newest first.",
    everywhere=True,
)
REPLAY = Verb(
    "alert.delivery-replay",
    "POST",
    "/alert-deliveries/{id}/replay",
    Right.RULE,
    ReplayDelivery,
    DeliveryRecord,
    replay,
    "Have a message that ended sent again.",
    everywhere=True,
)

VERBS = (
    LIST,
    SHOW,
    ACKNOWLEDGE,
    TARGETS,
    SHOW_TARGET,
    CREATE_TARGET,
    REMOVE_TARGET,
    TEST_TARGET,
    DELIVERIES,
    REPLAY,
)
