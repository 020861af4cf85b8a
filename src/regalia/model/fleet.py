"""Devices and users as connectors know them, and what follows for certificates when their state changes.

A record keeps what its connector said, word by word, beside the few facts that rules look at: whoever doubts a
revocation reads the former, and rules look at the latter alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from regalia.model.certificate import RevocationReason

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from regalia.model.event import JsonValue

__all__ = [
    "DEFAULT_RULES",
    "Cause",
    "Consequence",
    "Device",
    "DeviceState",
    "FollowRule",
    "FoundCause",
    "PendingAction",
    "Platform",
    "Step",
    "StepKind",
    "User",
    "UserState",
]


class Platform(StrEnum):
    """What a device runs."""

    WINDOWS = "windows"
    MACOS = "macos"
    IOS = "ios"
    ANDROID = "android"
    CHROMEOS = "chromeos"
    LINUX = "linux"
    OTHER = "other"


class PendingAction(StrEnum):
    """What an MDM is doing to a device; it need not have happened yet."""

    NONE = "none"
    WIPE = "wipe"
    RETIRE = "retire"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class DeviceState:
    """What rules look at. None: the connector did not say, and nothing follows from what nobody said (CON-5)."""

    present: bool = True
    """False only after a confirmed absence: two complete sweeps, or the system's own word that it is gone."""
    managed: bool | None = None
    enabled: bool | None = None
    compliant: bool | None = None
    pending: PendingAction = PendingAction.NONE
    lost: bool | None = None
    risk: str | None = None
    """`low`, `medium`, `high` or what else the system calls it, in lower case."""


@dataclass(frozen=True, slots=True)
class UserState:
    """The same of a user."""

    present: bool = True
    enabled: bool | None = None
    licensed: bool | None = None
    risk: str | None = None


@dataclass(frozen=True, slots=True)
class Device:
    """A device as one connector knows it."""

    id: UUID
    connector: str
    external_id: str
    """The id that the connector's system has for it, which it never gives to another device."""
    group: str | None
    """The group that it belongs to; None where no rule of the connector places it."""
    name: str
    """What its user called it: for display, and spoofable (POL-6)."""
    platform: Platform
    state: DeviceState
    state_since: datetime
    """Since when the facts of `state` are so."""
    first_seen_at: datetime
    seen_at: datetime
    """When the connector last said anything of it."""
    serial: str | None = None
    """Of its hardware; spoofable (POL-6)."""
    aliases: tuple[tuple[str, str], ...] = ()
    """Its ids elsewhere: (`entra`, device id), (`entra-object`, object id), (`udid`, …), (`imei`, …); sorted."""
    user: str | None = None
    """Id in the same system of the one user that it belongs to."""
    sid: str | None = None
    """Of its computer account, from the directory itself."""
    dns: tuple[str, ...] = ()
    memberships: frozenset[str] = frozenset()
    """Ids of the groups of the connector's system that it is in."""
    memberships_known: bool = False
    """Whether the system was asked for them. If not, those that are missing are not left (CON-5)."""
    evidence: Mapping[str, JsonValue] = field(default_factory=dict)
    """What the connector last said, as it said it, with `source` and, where there is one, `request_id`."""
    missed_sweeps: int = 0
    """Complete sweeps in a row that did not find it."""


@dataclass(frozen=True, slots=True)
class User:
    """A user as one connector knows it."""

    id: UUID
    connector: str
    external_id: str
    name: str
    upn: str | None
    state: UserState
    state_since: datetime
    first_seen_at: datetime
    seen_at: datetime
    email: tuple[str, ...] = ()
    sid: str | None = None
    sam_account: str | None = None
    memberships: frozenset[str] = frozenset()
    memberships_known: bool = False
    evidence: Mapping[str, JsonValue] = field(default_factory=dict)
    missed_sweeps: int = 0


class Cause(StrEnum):
    """Why the trust behind a certificate ended or is in doubt. Each is kept separately beside the certificate."""

    WIPED = "wiped"
    RETIRED = "retired"
    DELETED = "deleted"
    """Its MDM is deleting it."""
    ABSENT = "absent"
    """No longer in the inventory, confirmed."""
    UNMANAGED = "unmanaged"
    LOST = "lost"
    DISABLED = "disabled"
    NON_COMPLIANT = "non-compliant"
    RISK = "risk"
    USER_DISABLED = "user-disabled"
    USER_ABSENT = "user-absent"
    USER_RISK = "user-risk"
    UNLICENSED = "unlicensed"
    """The user lost the licence that a group's rule asks for."""
    GROUP_LEFT = "group-left"
    """Device or user left the groups of the connector's system that a group's rule asks for."""
    MOVED = "moved"
    """The device belongs to another group of ours now."""
    REQUESTED = "requested"
    """The connector's system asked for it: a revocation feed, a web hook."""


class Consequence(StrEnum):
    """What follows from a cause."""

    REVOKE = "revoke"
    HOLD = "hold"
    """Until the cause ends."""
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class FollowRule:
    """What follows from one cause in a group, and when."""

    consequence: Consequence
    reason: RevocationReason = RevocationReason.CESSATION_OF_OPERATION
    """Of a revocation; a hold has its own."""
    after: timedelta = timedelta(0)
    """How long the cause must have lasted."""
    revoke_after: timedelta | None = None
    """After how long a hold becomes a revocation; None: never."""


_HOLD: Final = FollowRule(Consequence.HOLD)
_REVOKE: Final = FollowRule(Consequence.REVOKE)

DEFAULT_RULES: Final[Mapping[Cause, FollowRule]] = MappingProxyType(
    {
        Cause.WIPED: _REVOKE,
        Cause.RETIRED: _REVOKE,
        Cause.DELETED: _REVOKE,
        Cause.ABSENT: _REVOKE,
        Cause.UNMANAGED: _REVOKE,
        Cause.LOST: _HOLD,
        Cause.DISABLED: FollowRule(Consequence.HOLD, revoke_after=timedelta(days=30)),
        Cause.NON_COMPLIANT: _HOLD,
        Cause.RISK: _HOLD,
        Cause.USER_DISABLED: _HOLD,
        Cause.USER_ABSENT: FollowRule(Consequence.REVOKE, RevocationReason.AFFILIATION_CHANGED),
        Cause.USER_RISK: _HOLD,
        Cause.UNLICENSED: FollowRule(Consequence.NOTHING),
        Cause.GROUP_LEFT: FollowRule(Consequence.REVOKE, RevocationReason.AFFILIATION_CHANGED),
        Cause.MOVED: FollowRule(Consequence.REVOKE, RevocationReason.AFFILIATION_CHANGED, after=timedelta(days=7)),
        Cause.REQUESTED: _REVOKE,
    }
)
"""Where a group has no rule of its own."""


@dataclass(frozen=True, slots=True)
class FoundCause:
    """A cause that holds now, and the evidence for it."""

    cause: Cause
    since: datetime
    why: str
    """In words, with the fact as its source spells it: `complianceState is noncompliant`."""


class StepKind(StrEnum):
    """What is to be done to one certificate."""

    REVOKE = "revoke"
    HOLD = "hold"
    RELEASE = "release"
    NOTE = "note"
    """Keep a cause, or its end, where the certificate's status stays what it is."""


@dataclass(frozen=True, slots=True)
class Step:
    """One certificate's share of a plan. Causes are those that hold now, the ones to keep beside it."""

    kind: StepKind
    certificate_id: UUID
    serial: int
    group: str
    device: str
    """Id of the device's record."""
    causes: tuple[FoundCause, ...]
    ended: tuple[Cause, ...] = ()
    """Causes that were kept and hold no longer."""
    reason: RevocationReason | None = None
    """Of a revocation."""

    @property
    def ends_trust(self) -> bool:
        """Whether the brake counts it (REV-7)."""
        return self.kind in (StepKind.REVOKE, StepKind.HOLD)
