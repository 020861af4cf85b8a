"""What is kept of connectors, of the devices and users that they report, and of what follows from their state."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol

from regalia.errors import InvariantError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from regalia.model import Certificate, EventDraft, Hold, Revocation
    from regalia.model.connector import Connector
    from regalia.model.fleet import Cause, Device, FoundCause, Platform, User
    from regalia.ports.lists import Listed, Place

__all__ = [
    "AGREED",
    "BROUGHT",
    "FOLLOWED",
    "FOLLOWING",
    "Bearer",
    "Brakes",
    "Connectors",
    "DeviceFilter",
    "Devices",
    "FleetStore",
    "Following",
    "KeptCause",
    "Notice",
    "Notices",
    "Stopped",
    "Sweep",
    "Sweeps",
    "UserFilter",
    "Users",
    "differs",
]


class Connectors(Protocol):
    """Configured external systems. Secrets are sealed before they come here."""

    def add_connector(self, connector: Connector, sealed: bytes | None, events: Sequence[EventDraft]) -> bool:
        """False where the name is taken."""

    def connector(self, name: str) -> Connector | None: ...
    def connectors(self) -> tuple[Connector, ...]:
        """By name."""

    def connector_secret(self, connector_id: UUID) -> bytes | None:
        """Return its sealed secret."""

    def change_connector(
        self, before: Connector, after: Connector, sealed: bytes | None, events: Sequence[EventDraft]
    ) -> bool:
        """Replace it, and its secret where one is given; False where it is not `before` any more."""


@dataclass(frozen=True, slots=True)
class DeviceFilter:
    """Which devices to list."""

    connector: str | None = None
    group: str | None = None
    groups: frozenset[str] | None = None
    """Those of these groups alone; None for all, also those of no group (AUTHZ-4)."""
    platform: Platform | None = None
    present: bool | None = None
    search: str = ""
    """The beginning of a name, a serial, an id, ours or theirs, or an alias."""
    limit: int = 100
    after: Place | None = None


class Devices(Protocol):
    """Device records. They are never deleted while a certificate names them."""

    def device(self, device_id: UUID) -> Device | None: ...
    def devices(self, device_ids: Sequence[UUID]) -> Mapping[UUID, Device]:
        """Find several at once; those that there are."""

    def device_of(self, connector: str, external_id: str) -> Device | None: ...

    def devices_by(self, connector: str, kind: str, value: str) -> tuple[Device, ...]:
        """Find by an alias, or by `serial`; more than one where the system gave it twice, which settles nothing."""

    def device_page(self, wanted: DeviceFilter) -> Listed[Device]: ...

    def put_devices(self, devices: Sequence[tuple[Device | None, Device]], events: Sequence[EventDraft]) -> bool:
        """Add those without a former record, change the others; False, and nothing done, where one has changed."""


@dataclass(frozen=True, slots=True)
class UserFilter:
    """Which users to list."""

    connector: str | None = None
    present: bool | None = None
    search: str = ""
    """The beginning of a name, a principal name, an address or an id, ours or theirs."""
    limit: int = 100
    after: Place | None = None


class Users(Protocol):
    """User records."""

    def user(self, user_id: UUID) -> User | None: ...
    def users(self, user_ids: Sequence[UUID]) -> Mapping[UUID, User]:
        """Find several at once; those that there are."""

    def user_of(self, connector: str, external_id: str) -> User | None: ...
    def users_of(self, connector: str, external_ids: Sequence[str]) -> Mapping[str, User]:
        """Find several at once by their system's ids; those that there are."""

    def users_by(self, connector: str, kind: str, value: str) -> tuple[User, ...]:
        """Find by `upn`, `email`, `sid` or `sam`."""

    def user_page(self, wanted: UserFilter) -> Listed[User]: ...

    def put_users(self, users: Sequence[tuple[User | None, User]], events: Sequence[EventDraft]) -> bool:
        """As `put_devices`."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """One reading of an inventory, begun and perhaps not yet ended."""

    id: UUID
    connector: str
    full: bool
    began_at: datetime
    cursor: str | None
    """Where to go on after a restart."""
    seen: int
    """Devices and users that were shown."""
    ended_at: datetime | None = None
    complete: bool = False
    """Whether its last page was read without a fault: only then does it say who is absent (REV-7)."""
    next_delta: str | None = None
    why: str = ""
    """Why it ended early."""
    seen_users: int = 0
    """Users among `seen`: one that shows devices alone says nothing of users."""


BROUGHT: Final = "brought"
"""`Sweep.cursor` of an inventory that people brought: it was never asked for, so it is as old as they leave it."""


def differs(before: Device | User, after: Device | User) -> bool:
    """Whether following looks at anything that changed: not at when it was told, in which words, or what was missed."""
    told = replace(before, seen_at=after.seen_at, evidence=after.evidence, missed_sweeps=after.missed_sweeps)
    return told != after


class Sweeps(Protocol):
    """Readings of inventories."""

    def open_sweep(self, connector: str) -> Sweep | None: ...
    def last_sweep(self, connector: str, *, complete: bool = True, full: bool = False) -> Sweep | None:
        """Find the one that ended last; of the complete ones, and of the full ones alone, where that is asked."""

    def put_sweep(self, before: Sweep | None, after: Sweep, events: Sequence[EventDraft]) -> bool:
        """Begin, go on or end; False where it is not `before` any more."""

    def unseen_devices(self, connector: str, since: datetime, after: UUID | None, limit: int) -> tuple[Device, ...]:
        """Devices that are present and that nothing was said of since then: whom a complete sweep did not find."""

    def unseen_users(self, connector: str, since: datetime, after: UUID | None, limit: int) -> tuple[User, ...]:
        """The same of users."""


@dataclass(frozen=True, slots=True)
class Bearer:
    """Whom live certificates are bound to: a device, or a user where no device is known. A run walks over these."""

    device_id: UUID | None
    user_id: UUID | None

    @property
    def id(self) -> UUID:
        """Of the one that it is."""
        found = self.device_id or self.user_id
        if found is None:
            raise InvariantError("a bearer is a device or a user")
        return found


@dataclass(frozen=True, slots=True)
class KeptCause:
    """One cause beside one certificate, while it holds and after."""

    certificate_id: UUID
    cause: Cause | None
    """None: an administrator holds it, beside whatever else does; we never release that."""
    since: datetime
    why: str
    kept_at: datetime
    ended_at: datetime | None = None


FOLLOWING: Final = "following"
"""`Hold.cause` and `Revocation.cause` of what followed by itself."""
AGREED: Final = "following-agreed"
"""Of what followed after two administrators had let it go: the brake counts it no more."""
FOLLOWED: Final = (FOLLOWING, AGREED)
"""A hold with another cause is an administrator's."""


class Following(Protocol):
    """What followed for certificates, cause by cause.

    One hold is open at a time. An administrator who holds what is held by following keeps it held beside that
    (`KeptCause` without a cause) until he releases his share; one who was first shows up in `causes_of` the same way.
    """

    def causes_of(self, certificate_ids: Sequence[UUID]) -> tuple[KeptCause, ...]:
        """Return all of them, also those that ended, oldest first."""

    def follow(
        self,
        certificate_id: UUID,
        *,
        causes: Sequence[FoundCause],
        ended: Sequence[Cause],
        status: Revocation | Hold | None,
        release: bool,
        at: datetime,
        events: Sequence[EventDraft],
    ) -> bool:
        """Keep causes, end others, and revoke, hold or release, in one transaction (REV-1).

        A revocation or a hold has one of the causes `FOLLOWED`. False, and nothing done, where the certificate's status
        is not what the step was made for: revoked or held already, or, where it is to be released, not held by this
        alone.
        """

    def bearers(self, now: datetime, after: UUID | None, limit: int) -> tuple[Bearer, ...]:
        """Whom unexpired certificates are bound to that are not revoked for good, by id behind this one."""

    def changed_bearers(self, since: datetime, most: int) -> tuple[Bearer, ...]:
        """Name those, each once, of whom something was said since then that following looks at, in no order.

        A device or a user that is new or has changed, with the devices of that user; whose certificate is newer than
        that; beside whose certificate a cause was kept. Moments are those that the records and their events name. As
        many as `most`: there are more.
        """

    def live_certificates(self, bearers: Sequence[Bearer], now: datetime) -> Mapping[Bearer, Sequence[Certificate]]:
        """Return these certificates of some bearers, each one's oldest first; of whoever has none there is nothing."""

    def live_count(self, now: datetime) -> Mapping[str, int]:
        """How many of them each group has: what the brake measures by (REV-7)."""

    def ended_since(self, since: datetime) -> Mapping[str, int]:
        """How many certificates of each group were revoked or held since then with the cause `FOLLOWING`.

        Small runs add up.
        """


@dataclass(frozen=True, slots=True)
class Stopped:
    """A run that the brake stopped, as it was shown (REV-7)."""

    id: UUID
    digest: str
    """Of the whole plan (`ra.brake.Tally.digest`): what two administrators let go of."""
    at: datetime
    ends: Mapping[str, int]
    """By group how many certificates it would revoke or hold."""
    live: Mapping[str, int]
    """By group how many there were."""
    why: str
    """The stops in words, a line each."""
    shown: frozenset[bytes]
    """Fingerprints of its steps that end trust, 32 octets each."""
    let_go_at: datetime | None = None
    let_go_by: tuple[str, ...] = ()
    """The two administrators."""
    closed_at: datetime | None = None
    """When it was carried out, or another plan took its place."""


class Brakes(Protocol):
    """What the brake holds."""

    def stopped(self, digest: str) -> Stopped | None:
        """Find one that is not closed."""

    def open_stops(self) -> tuple[Stopped, ...]:
        """Return those that are not closed, newest first."""

    def put_stopped(self, before: Stopped | None, after: Stopped, events: Sequence[EventDraft]) -> bool:
        """Keep, let go or close one, and close all other open ones where it is new; False where it has changed."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that a connector is to be told; the request is sealed, because its challenge is in it (CHA-4)."""

    id: UUID
    connector: str
    enrolment_id: UUID
    certificate_id: UUID | None
    """None for a refusal."""
    sealed: bytes
    due_at: datetime
    attempts: int = 0
    told_at: datetime | None = None
    refused: str = ""
    """The system's code, where it refused."""


class Notices(Protocol):
    """The outbox to connectors; rows come with the transaction of what they tell of (R8, TX2)."""

    def queue_notice(self, notice: Notice, events: Sequence[EventDraft]) -> None:
        """Keep one that comes with no certificate: of a refusal."""

    def notice_of(self, enrolment_id: UUID) -> Notice | None: ...
    def due_notices(self, now: datetime, limit: int) -> tuple[Notice, ...]:
        """Those that wait and are due, oldest first."""

    def claim_notice(self, notice: Notice, at: datetime, until: datetime) -> Notice | None:
        """Begin an attempt: one more, and due again only at `until`. None where it is not `notice` any more.

        It need not be due: a device that repeats its request is served before the pause is over.
        """

    def conclude_notice(
        self, claimed: Notice, after: Notice, revocation: Revocation | None, events: Sequence[EventDraft]
    ) -> bool:
        """Note how it ended; where the system refused, revoke in the same transaction (R8).

        False, and nothing done, where it is not `claimed` any more, or where it is revoked for good already.
        """


class FleetStore(Connectors, Devices, Users, Sweeps, Following, Brakes, Notices, Protocol):
    """All of it."""
