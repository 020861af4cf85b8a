"""Challenges, enrolments and the decisions about them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from regalia.model.names import NO_NAMES, Names
from regalia.model.profile import Assurance

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from regalia.errors import Reason, Stage
    from regalia.model.authority import Door
    from regalia.model.certificate import Certificate
    from regalia.model.event import JsonValue

__all__ = [
    "Approved",
    "Authorisation",
    "AuthorisationKind",
    "Challenge",
    "ConversationKey",
    "Decision",
    "Denied",
    "Enrolment",
    "EnrolmentState",
    "IssueOrder",
    "Known",
    "LineageLink",
    "Pending",
    "StageNote",
    "Unavailable",
]


@dataclass(frozen=True, slots=True)
class Challenge:
    """A challenge as stored: the secret itself is known to nobody but its bearers (CHA-1, CHA-2)."""

    id: UUID
    endpoint: str
    mac: bytes
    """Keyed hash of the secret, 32 octets; the look-up key."""
    binding: Names
    """Empty for a bearer challenge (R5.4)."""
    device: str | None
    created_at: datetime
    created_by: str
    expires_at: datetime
    revoked_at: datetime | None = None
    consumed_at: datetime | None = None
    consumed_by: UUID | None = None
    """The enrolment that used it."""
    consumed_key: bytes | None = None
    """SHA-256 of that enrolment's SubjectPublicKeyInfo."""
    consumed_source: str | None = None
    reusable: bool = False
    """A static challenge: never consumed, ended by its expiry or by being revoked (CHA-2)."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is stored that a request meets (R3).

    Of a LIVE signer neither holder nor challenge: its serial tells it apart, its challenge is no evidence (R4).
    """

    conversation: Enrolment | None
    """The open conversation of its key."""
    holder: Enrolment | None
    """The newest NEW-signer conversation that its transactionID belongs to."""
    challenge: Challenge | None
    same_key: tuple[Certificate, ...]
    """Every certificate that was ever begun for its public key, newest first."""


class EnrolmentState(StrEnum):
    """received is never stored: a row begins as pending, intent or refused."""

    PENDING = "pending"
    INTENT = "intent"
    ISSUED = "issued"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class StageNote:
    """What happened at one stage of an enrolment, for the page that explains it."""

    stage: Stage
    ok: bool
    note: str
    at: datetime


@dataclass(frozen=True, slots=True)
class ConversationKey:
    """What makes two requests the same conversation (R3)."""

    endpoint: str
    transaction_id: bytes
    key_sha256: bytes
    """SHA-256 of the CSR's SubjectPublicKeyInfo."""
    signer_serial: int | None
    """None for signer class NEW, the signing certificate's serial for LIVE."""
    challenge_mac: bytes | None


@dataclass(frozen=True, slots=True)
class LineageLink:
    """Where a certificate stands in its chain of renewals (REN-1, R4, R5.3)."""

    first: UUID
    """The enrolment that began the chain."""
    generation: int
    """0 for the first certificate."""
    predecessor: UUID | None
    """The certificate that signed for this one."""
    binding: Names
    """What the chain's first challenge allowed; empty for a bearer."""
    device: str | None
    asked: Names
    """What the chain's first CSR asked for."""
    challenge_mac: bytes | None
    """Of the challenge that the chain was enrolled with."""
    unverified: bool
    """The names were chosen by us or by the bearer, vouched for by nobody (R5.4)."""
    device_id: UUID | None = None
    """Of the device's record, where a connector says which device it is."""
    user_id: UUID | None = None
    """Of the user's record, the same."""


@dataclass(frozen=True, slots=True)
class Enrolment:
    """One durable conversation, with the stages that explain it."""

    id: UUID
    key: ConversationKey
    group: str
    profile: str
    profile_version: int
    state: EnrolmentState
    asked: Names
    allowed: Names
    csr: bytes
    """The CSR as received: evidence, not a key (R3). Without its challenge: `wire.csr.without_challenge`."""
    source: str
    created_at: datetime
    updated_at: datetime
    lineage: LineageLink | None
    """None for a refused one."""
    certificate_id: UUID | None = None
    reason_id: str | None = None
    detail: str = ""
    stages: tuple[StageNote, ...] = ()


class AuthorisationKind(StrEnum):
    """What vouches for an order."""

    CHALLENGE = "challenge"
    STATIC = "static"
    """A static challenge: its bearers are many, so it vouches for no name (R5.5)."""
    APPROVAL = "approval"
    """An administrator approved exactly the names that were asked for (POL-3)."""
    RENEWAL = "renewal"
    ADMINISTRATOR = "administrator"
    """An administrator ordered a certificate that no device asks for (`cert issue`)."""
    CONNECTOR = "connector"
    """A connector vouched for this very request (CON-4)."""


@dataclass(frozen=True, slots=True)
class Authorisation:
    """Proof that somebody entitled said yes (MSG-1).

    Constructed in `ra/evidence.py` and nowhere else: a test reads the source for it. Whoever has no Authorisation has
    no IssueOrder, and without one no device's certificate is issued.
    """

    kind: AuthorisationKind
    by: str
    """The challenge's id, the signing certificate's serial or the administrator."""
    challenge_id: UUID | None = None
    """A one-time challenge to consume in the transaction of the intent."""


@dataclass(frozen=True, slots=True)
class IssueOrder:
    """Exactly one certificate to issue: the argument of `ca.issue`."""

    authorisation: Authorisation
    door: Door
    names: Names
    device: str | None
    unverified: bool
    public_key: bytes
    """DER SubjectPublicKeyInfo."""
    enrolment: Enrolment
    """Written with the intent."""
    assurance: Assurance = Assurance.BEARER
    """How sure the names are: what the certificate's policies say."""
    inputs: tuple[tuple[str, str], ...] = ()
    """The variables that the names were made of, with their values; empty where no template was filled."""


@dataclass(frozen=True, slots=True)
class Approved:
    """Issue this."""

    order: IssueOrder


@dataclass(frozen=True, slots=True)
class Denied:
    """No, and why. `asked` and `allowed` are for the administrator."""

    reason: Reason
    detail: str = ""
    asked: Names = NO_NAMES
    allowed: Names = NO_NAMES
    security: bool = False
    facts: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Neither yes nor no: come back later (503)."""

    reason: Reason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Pending:
    """Held until an administrator decides: PENDING to the device."""

    enrolment: Enrolment
    """In state pending, stored or to be stored."""
    second_key: str = ""
    """Why the key is somebody's to look at, where a device has another one already: a security event."""


Decision = Approved | Pending | Denied | Unavailable
