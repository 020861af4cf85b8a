"""What is kept of connectors, of the devices and users that they report, and of what follows from their state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

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
    "Bearer",
    "Connectors",
    "DeviceFilter",
    "Devices",
    "Following",
    "KeptCause",
    "Notice",
    "Notices",
    "Sweep",
    "Sweeps",
    "Users",
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
    """The beginning of a name, a serial, an id or an alias."""
    limit: int = 100
    after: Place | None = None


class Devices(Protocol):
    """Device records. They are never deleted while a certificate names them."""

    def device(self, device_id: UUID) -> Device | None: ...
    def device_of(self, connector: str, external_id: str) -> Device | None: ...

    def devices_by(self, connector: str, kind: str, value: str) -> tuple[Device, ...]:
        """Find by an alias, or by `serial`; more than one where the system gave it twice, which settles nothing."""

    def device_page(self, wanted: DeviceFilter) -> Listed[Device]: ...

    def put_devices(self, devices: Sequence[tuple[Device | None, Device]], events: Sequence[EventDraft]) -> bool:
        """Add those without a former record, change the others; False, and nothing done, where one has changed."""


class Users(Protocol):
    """User records."""

    def user(self, user_id: UUID) -> User | None: ...
    def user_of(self, connector: str, external_id: str) -> User | None: ...
    def users_by(self, connector: str, kind: str, value: str) -> tuple[User, ...]:
        """Find by `upn`, `email`, `sid` or `sam`."""

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
    ended_at: datetime | None = None
    complete: bool = False
    """Whether its last page was read without a fault: only then does it say who is absent (REV-7)."""
    next_delta: str | None = None
    why: str = ""
    """Why it ended early."""


class Sweeps(Protocol):
    """Readings of inventories."""

    def open_sweep(self, connector: str) -> Sweep | None: ...
    def last_sweep(self, connector: str, *, complete: bool = True) -> Sweep | None: ...

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


class Following(Protocol):
    """What followed for certificates, cause by cause."""

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

        False, and nothing done, where the certificate's status is not what the step was made for.
        """

    def bearers(self, now: datetime, after: UUID | None, limit: int) -> tuple[Bearer, ...]:
        """Whom unexpired certificates are bound to that are not revoked for good, by id behind this one."""

    def live_certificates(self, bearer: Bearer, now: datetime) -> tuple[Certificate, ...]:
        """Return these certificates of one bearer, oldest first."""

    def live_count(self, now: datetime) -> Mapping[str, int]:
        """How many of them each group has: what the brake measures by (REV-7)."""


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

    def notice_of(self, enrolment_id: UUID) -> Notice | None: ...
    def due_notices(self, now: datetime, limit: int) -> tuple[Notice, ...]:
        """Those that wait and are due, oldest first."""

    def claim_notice(self, notice: Notice, at: datetime, until: datetime) -> Notice | None:
        """Begin an attempt; None where somebody was faster."""

    def conclude_notice(
        self, claimed: Notice, after: Notice, revocation: Revocation | None, events: Sequence[EventDraft]
    ) -> bool:
        """Note how it ended; where the system refused, revoke in the same transaction (R8)."""
