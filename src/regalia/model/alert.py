"""Alerts: what is wrong, who is told of it, and what became of the telling."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

__all__ = [
    "Alert",
    "AlertCondition",
    "AlertTarget",
    "Delivery",
    "DeliveryState",
    "Finding",
    "Occasion",
    "Severity",
    "TargetKind",
]


class AlertCondition(StrEnum):
    """What can be wrong. Each has a row in docs/tasks/alerts.md."""

    AUTHORITY_ENDS = "authority-ends"
    CREDENTIAL_ENDS = "credential-ends"
    """The certificate of an RA or OCSP signer."""
    TLS_ENDS = "tls-ends"
    """The certificate of a listener."""
    CRL_LATE = "crl-late"
    JOB_FAILING = "job-failing"
    REFUSALS = "refusals"
    CHALLENGE_REPLAYED = "challenge-replayed"
    AUDIT_FINDING = "audit-finding"
    CHECKPOINT_LATE = "checkpoint-late"
    DISK_LOW = "disk-low"
    DELIVERY_DEAD = "delivery-dead"
    CONNECTOR_AWAY = "connector-away"
    FOLLOW_STOPPED = "follow-stopped"
    TEST = "test"
    """Nothing is wrong: a test of a target."""


class Severity(StrEnum):
    """How bad it is."""

    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong now. AlertCondition and object tell one from another."""

    condition: AlertCondition
    object: str
    """`noun:name`; of what one node sees `node:NAME/…`."""
    severity: Severity
    summary: str
    """One line."""
    remedy: str
    group: str | None = None
    """Whose administrators see it; None for those of the whole."""


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that is or was wrong. Of one condition and object at most one is open."""

    id: UUID
    finding: Finding
    """As it was last told."""
    opened_at: datetime
    told_at: datetime
    closed_at: datetime | None = None
    note: str = ""
    """Why it was closed."""
    acknowledged_at: datetime | None = None
    acknowledged_by: str = ""


class TargetKind(StrEnum):
    """How a target is told."""

    MAIL = "mail"
    WEB_HOOK = "web-hook"


@dataclass(frozen=True, slots=True)
class AlertTarget:
    """Somebody who is told of alerts."""

    id: UUID
    name: str
    kind: TargetKind
    address: str
    """E-mail address or URL."""
    sealed: bytes
    """The secret that web hooks are signed with, sealed; empty for mail."""
    created_at: datetime
    created_by: str

    @property
    def scope(self) -> str:
        """What its secret is sealed for."""
        return f"alert-target:{self.id}"


class Occasion(StrEnum):
    """Why somebody is told."""

    OPENED = "opened"
    REPEATED = "repeated"
    CLOSED = "closed"
    TEST = "test"


class DeliveryState(StrEnum):
    """What became of one message to one target."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    DEAD = "dead"
    """Given up; `alert delivery replay` has it tried again."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message to one target: it is tried until it is delivered or dead, always with this id and these octets."""

    id: UUID
    target: UUID
    target_name: str
    alert: UUID | None
    """None for a test."""
    occasion: Occasion
    body: str
    """JSON, as `ra.alert_message` writes it."""
    created_at: datetime
    next_at: datetime
    """When it is due; while somebody is at it, when others may take it over."""
    state: DeliveryState = DeliveryState.WAITING
    attempts: int = 0
    """Begun so far."""
    last_at: datetime | None = None
    last_error: str = ""
