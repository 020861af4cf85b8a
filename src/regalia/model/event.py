"""Actors, actions and the records of the audit log."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

__all__ = [
    "Action",
    "Actor",
    "ActorKind",
    "Change",
    "Event",
    "EventDraft",
    "JsonValue",
    "Outcome",
]

_JsonScalar = str | int | bool | None
JsonValue = _JsonScalar | list["JsonValue"] | dict[str, "JsonValue"]
"""What an event may hold: no floats, so that its canonical form is unique (AUD-2)."""


class ActorKind(StrEnum):
    """Who acts."""

    ADMIN = "admin"
    DEVICE = "device"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: `admin os:root`, `device 192.0.2.7`, `system recovery`."""

    kind: ActorKind
    id: str
    source: str = ""
    """Socket peer's address, or empty."""


class Action(StrEnum):
    """What can happen: `noun.verb`. Each has a row in docs/reference/events.md; a test asks for it."""

    HOME_INITIALISED = "home.initialised"
    NODE_JOINED = "node.joined"
    HOME_RESTORED = "home.restored"
    BACKUP_CREATED = "backup.created"
    SERVER_STARTED = "server.started"
    SERVER_STOPPED = "server.stopped"
    DATABASE_UPGRADED = "database.upgraded"
    KEY_GENERATED = "key.generated"
    KEY_MOVED = "key.moved"
    KEY_COMPROMISED = "key.compromised"
    KEY_DESTROYED = "key.destroyed"
    KEY_IMPORTED = "key.imported"
    MASTER_KEY_ROTATED = "master-key.rotated"
    SIGNER_KEY_SEPARATED = "signer-key.separated"
    KEYS_REWRAPPED = "keys.rewrapped"
    AUTHORITY_CREATED = "authority.created"
    AUTHORITY_ACTIVATED = "authority.activated"
    AUTHORITY_RETIRED = "authority.retired"
    AUTHORITY_REVOKED = "authority.revoked"
    AUTHORITY_REQUESTED = "authority.requested"
    AUTHORITY_REQUEST_SIGNED = "authority.request-signed"
    AUTHORITY_ACCEPTED = "authority.accepted"
    AUTHORITY_IMPORTED = "authority.imported"
    AUTHORITY_CROSSED = "authority.crossed"
    CEREMONY_HELD = "ceremony.held"
    CREDENTIAL_RENEWED = "credential.renewed"
    GROUP_CREATED = "group.created"
    GROUP_SUSPENDED = "group.suspended"
    GROUP_RESUMED = "group.resumed"
    PROFILE_CREATED = "profile.created"
    ENDPOINT_CREATED = "endpoint.created"
    ENDPOINT_DISABLED = "endpoint.disabled"
    ENDPOINT_SECRET_ROTATED = "endpoint.secret-rotated"  # noqa: S105 - what happened, no secret
    CHALLENGE_CREATED = "challenge.created"
    CHALLENGE_REVOKED = "challenge.revoked"
    NDES_PAGE_SET = "ndes.page-set"
    NDES_PAGE_REMOVED = "ndes.page-removed"
    NDES_REFUSED = "ndes.refused"
    ENROLMENT_PENDING = "enrolment.pending"
    ENROLMENT_APPROVED = "enrolment.approved"
    ENROLMENT_DENIED = "enrolment.denied"
    ENROLMENT_REFUSED = "enrolment.refused"
    REFUSALS_FOLDED = "enrolment.refusals-folded"
    CERTIFICATE_INTENT = "certificate.intent"
    CERTIFICATE_ISSUED = "certificate.issued"
    CERTIFICATE_ABANDONED = "certificate.abandoned"
    CERTIFICATE_REVOKED = "certificate.revoked"
    CERTIFICATE_HELD = "certificate.held"
    CERTIFICATE_RELEASED = "certificate.released"
    CERTIFICATE_RETRIEVED = "certificate.retrieved"
    CERTIFICATES_AUDITED = "certificate.audited"
    CERTIFICATE_DOUBTED = "certificate.doubted"
    BLOCKLIST_IMPORTED = "blocklist.imported"
    BLOCKLIST_REMOVED = "blocklist.removed"
    CRL_PUBLISHED = "crl.published"
    CRL_PLANNED = "crl.planned"
    CRL_IMPORTED = "crl.imported"
    CRL_RETRIEVED = "crl.retrieved"
    LOG_EXPORTED = "log.exported"
    PERSONAL_FORGOTTEN = "personal-data.forgotten"
    LEGACY_USED = "legacy.used"
    LIMIT_REACHED = "limit.reached"
    ALERT_OPENED = "alert.opened"
    ALERT_CLOSED = "alert.closed"
    ALERT_ACKNOWLEDGED = "alert.acknowledged"
    ALERT_TARGET_CREATED = "alert-target.created"
    ALERT_TARGET_REMOVED = "alert-target.removed"
    ALERT_TARGET_TESTED = "alert-target.tested"
    DELIVERY_DEAD = "delivery.dead"
    DELIVERY_REPLAYED = "delivery.replayed"
    JOB_WANTED = "job.wanted"
    ADMINISTRATOR_CREATED = "administrator.created"
    ADMINISTRATOR_GRANTED = "administrator.granted"
    ADMINISTRATOR_UNGRANTED = "administrator.ungranted"
    ADMINISTRATOR_DISABLED = "administrator.disabled"
    ADMINISTRATOR_ENABLED = "administrator.enabled"
    IDENTITY_LINKED = "administrator.linked"
    IDENTITY_UNLINKED = "administrator.unlinked"
    ACCESS_REVIEWED = "access.reviewed"
    TOKEN_CREATED = "token.created"  # noqa: S105 - what happened, no secret
    TOKEN_REVOKED = "token.revoked"  # noqa: S105 - the same
    TOKEN_REFUSED = "token.refused"  # noqa: S105 - the same
    RIGHT_REFUSED = "access.refused"
    PROPOSAL_MADE = "proposal.made"
    PROPOSAL_APPROVED = "proposal.approved"
    PROPOSAL_DONE = "proposal.done"
    PROPOSAL_REFUSED = "proposal.refused"
    PROPOSAL_WITHDRAWN = "proposal.withdrawn"
    PROPOSAL_EXPIRED = "proposal.expired"
    CONNECTOR_CREATED = "connector.created"
    CONNECTOR_CHANGED = "connector.changed"
    CONNECTOR_DISABLED = "connector.disabled"
    CONNECTOR_ENABLED = "connector.enabled"
    CONNECTOR_TOLD = "connector.told"
    CONNECTOR_REFUSED = "connector.refused"
    HOOK_RECEIVED = "hook.received"
    HOOK_REFUSED = "hook.refused"
    DEVICE_ADDED = "device.added"
    DEVICE_CHANGED = "device.changed"
    DEVICE_MOVED = "device.moved"
    DEVICE_ABSENT = "device.absent"
    USER_CHANGED = "user.changed"
    SWEEP_ENDED = "sweep.ended"
    INVENTORY_IMPORTED = "inventory.imported"
    FOLLOW_STOPPED = "follow.stopped"
    FOLLOW_LET_GO = "follow.let-go"
    FOLLOW_CARRIED_OUT = "follow.carried-out"
    ENDPOINT_CHANGED = "endpoint.changed"
    GROUP_FOLLOW_SET = "group.follow-rules-set"
    SIGNED_IN = "session.started"
    SIGN_IN_REFUSED = "session.refused"
    SIGNED_IN_AGAIN = "session.proved"
    SIGNED_OUT = "session.ended"
    SETUP_LINK_CREATED = "setup-link.created"
    SETUP_LINK_USED = "setup-link.used"
    PASSKEY_ADDED = "passkey.added"
    PASSKEY_REMOVED = "passkey.removed"
    PASSWORD_SET = "password.set"  # noqa: S105 - what happened, no secret


class Outcome(StrEnum):
    """How a decision ended."""

    OK = "ok"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class EventDraft:
    """One record of the audit log before it has its place in a stream (AUD-4)."""

    at: datetime
    actor: Actor
    action: Action
    object: str
    """`noun:name`."""
    outcome: Outcome
    group: str | None = None
    reason_id: str | None = None
    transaction_id: str | None = None
    serial: str | None = None
    security: bool = False
    """A security event: somebody should look."""
    details: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Event:
    """One record in its place: `hash` = SHA-256 of the canonical record, which holds `previous`."""

    stream: str
    sequence: int
    previous: bytes
    hash: bytes
    draft: EventDraft


@dataclass(frozen=True, slots=True)
class Change:
    """A notice that something changed, for caches (R9). `topic` is `revocation`, `catalogue` or `crl`."""

    topic: str
    key: str
