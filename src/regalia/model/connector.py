"""Connectors: configured external systems, what is asked of them, and what they answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from regalia.model.names import NO_NAMES, Names

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta
    from uuid import UUID

    from regalia.errors import Reason
    from regalia.model.event import JsonValue
    from regalia.model.fleet import DeviceState, Platform, UserState

__all__ = [
    "Allowed",
    "Asked",
    "Checked",
    "Connector",
    "IssuedNotice",
    "NotAsked",
    "Refused",
    "RefusedNotice",
    "ReportedDevice",
    "ReportedUser",
    "RevocationResult",
    "RevocationWish",
    "SweepPage",
    "Told",
    "Verdict",
]


@dataclass(frozen=True, slots=True)
class Connector:
    """One configured external system."""

    id: UUID
    name: str
    kind: str
    """A key of the registry of kinds: `intune`, `webhook`, `inventory` …"""
    settings: Mapping[str, JsonValue]
    """Validated by its kind; no secret is among them."""
    created_at: datetime
    secret_set_at: datetime | None = None
    """When its secret was last stored, sealed; it is never shown again (CON-3)."""
    disabled_at: datetime | None = None


# --- an enrolment -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Asked:
    """What a connector is asked about one request (CON-4): the verdict belongs to exactly this and is used once."""

    endpoint: str
    group: str
    transaction_id: str
    csr: bytes
    """DER PKCS #10 as received, with its challenge."""
    names: Names
    """What the CSR asks for."""
    key_sha256: bytes
    challenge: str | None
    """The challenge in it. Never in a log, an event or an error (CHA-4)."""
    source: str


@dataclass(frozen=True, slots=True)
class Allowed:
    """The system vouches for this request. It is one input: our policy runs after it (CON-4)."""

    device: str | None
    """The system's own id of the device (`Device.external_id`), where the verdict says which it is."""
    user: str | None = None
    names: Names = NO_NAMES
    """Names that the system itself vouches for; the profile's templates use the fleet record beside them."""
    fresh: bool = True
    """Whether the verdict is about this very request (Intune's challenge), so that a new key is a renewal."""
    note: str = ""
    """For the stages: what was verified, and by which call."""
    facts: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refused:
    """The system says no: final for this request (FAILURE badRequest)."""

    reason: Reason
    code: str
    """The system's own code, as it spelled it."""
    detail: str = ""
    hint: str = ""
    """What an administrator does about it."""
    security: bool = False


@dataclass(frozen=True, slots=True)
class NotAsked:
    """No verdict: the system could not be asked, or its answer was none. 503, never FAILURE, never an issue (CON-5)."""

    reason: Reason
    detail: str = ""
    retry_after: timedelta | None = None


Verdict = Allowed | Refused | NotAsked


@dataclass(frozen=True, slots=True)
class IssuedNotice:
    """What a system is told of a certificate before the device gets it (R8)."""

    transaction_id: str
    csr: bytes
    certificate: bytes
    serial: int
    not_after: datetime
    issuer: str
    """RFC 4514 text of the issuing authority."""
    authority: str
    """Our name of it."""


@dataclass(frozen=True, slots=True)
class RefusedNotice:
    """What a system is told of a request that we refused after it had allowed it."""

    transaction_id: str
    csr: bytes
    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Told:
    """The system took note."""

    note: str = ""


# --- what it wants revoked -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RevocationWish:
    """One item of a revocation feed."""

    context: str
    """The system's own handle, given back with the result."""
    serials: tuple[int, ...]
    """What its serial number may mean, the likeliest first: feeds spell them in several ways."""
    issuer: str | None
    authority: str | None
    """Our name of the issuing authority, where the feed echoes what it was told."""
    raw: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RevocationResult:
    """What became of one wish."""

    context: str
    done: bool
    """Revoked, now or before."""
    found: bool = True
    retry: bool = False
    """Whether the cause of the failure is passing."""
    detail: str = ""


# --- its inventory --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReportedDevice:
    """What a system says of a device, before it becomes or changes a `Device`."""

    external_id: str
    name: str
    platform: Platform
    state: DeviceState
    serial: str | None = None
    aliases: tuple[tuple[str, str], ...] = ()
    user: str | None = None
    sid: str | None = None
    dns: tuple[str, ...] = ()
    memberships: frozenset[str] = frozenset()
    memberships_known: bool = False
    """Whether it was asked for them, and they are all."""
    group: str | None = None
    """A group of ours, where the system or the file names one."""
    evidence: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReportedUser:
    """What a system says of a user."""

    external_id: str
    name: str
    state: UserState
    upn: str | None = None
    email: tuple[str, ...] = ()
    sid: str | None = None
    sam_account: str | None = None
    memberships: frozenset[str] = frozenset()
    memberships_known: bool = False
    evidence: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SweepPage:
    """A page of a sweep. A sweep is complete after the page without `cursor`, and only then says who is absent."""

    devices: tuple[ReportedDevice, ...] = ()
    users: tuple[ReportedUser, ...] = ()
    gone: tuple[str, ...] = ()
    """External ids of which the system itself says that they are deleted for good (delta)."""
    cursor: str | None = None
    """Where to go on, also after a restart; opaque. None: this was the last page."""
    next_delta: str | None = None
    """With the last page: where changes from now on begin. None where the system has no delta."""
    full: bool = True
    """Whether the sweep shows all that there is; a delta shows what changed."""


# --- whether it works -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Checked:
    """One thing that a connector needs, tried: a permission, a service, a clock."""

    what: str
    """`Graph Device.Read.All`, `Intune scep_challenge_provider` …"""
    ok: bool
    detail: str = ""
    fix: str = ""
    """What to do in the system's own console, by its labels."""
    optional: bool = False
