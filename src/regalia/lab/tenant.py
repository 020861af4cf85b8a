"""The state of one tenant behind a lock: tables of values, what changed in them, and what Intune keeps of its own.

The loop of the servers and whoever changes things (a test, the control API) are different threads.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

from regalia.lab.unverified import Unverified

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from regalia.lab.directory import Application, EntraDevice, Group, ManagedDevice, ScepProfile, User

__all__ = [
    "Change",
    "Clock",
    "MintedChallenge",
    "MovableClock",
    "Notification",
    "RevocationRequest",
    "Table",
    "Tenant",
    "Tenants",
    "Validation",
]


class Clock(Protocol):
    """Says what time it is, with its zone."""

    def __call__(self) -> datetime:
        """Return now."""


class MovableClock:
    """The machine's clock, moved by as much as somebody asks."""

    def __init__(self) -> None:
        self._moved = timedelta()

    def __call__(self) -> datetime:
        """Return now, moved."""
        return datetime.now(UTC) + self._moved

    def move(self, by: timedelta) -> None:
        """Go on from a time `by` later; earlier where it is negative."""
        self._moved += by

    def set_right(self) -> None:
        """Show the machine's time again."""
        self._moved = timedelta()


class Keyed(Protocol):
    """What a table can hold: a frozen dataclass with an id."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def id(self) -> str:
        """The row's key."""


T = TypeVar("T", bound=Keyed)


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of a table's log."""

    id: str
    fields: frozenset[str]
    """Names of the dataclass's fields whose value is different."""
    removed: str | None = None
    """`changed`: deleted and restorable; `deleted`: for good."""


class Table(Generic[T]):
    """Values by id, and the log of their changes, whose positions delta tokens hold."""

    def __init__(self, lock: threading.RLock) -> None:
        self._lock = lock
        self._rows: dict[str, T] = {}
        self._log: list[Change] = []

    def get(self, row: str) -> T | None:
        """Return the value; None where there is none."""
        return self._rows.get(row.lower())

    def __getitem__(self, row: str) -> T:
        return self._rows[row.lower()]

    def __len__(self) -> int:
        return len(self._rows)

    def all(self) -> list[T]:
        """Return all values, in the order that they came."""
        with self._lock:
            return list(self._rows.values())

    def put(self, value: T) -> None:
        """Keep a value, and log which of its fields are new."""
        with self._lock:
            before = self._rows.get(value.id.lower())
            names = {field.name for field in fields(value)}
            changed = {name for name in names if before is None or getattr(before, name) != getattr(value, name)}
            self._rows[value.id.lower()] = value
            if changed:
                self._log.append(Change(value.id, frozenset(changed)))

    def put_all(self, values: Iterable[T]) -> None:
        """Keep several."""
        for value in values:
            self.put(value)

    def remove(self, row: str, reason: str = "changed") -> None:
        """Forget a value, and log that; a `KeyError` where there is none."""
        with self._lock:
            value = self._rows.pop(row.lower())
            self._log.append(Change(value.id, frozenset(), reason))

    def position(self) -> int:
        """Return how long the log is."""
        return len(self._log)

    def since(self, position: int) -> dict[str, Change]:
        """Return what happened from a position on, one change for each id."""
        found: dict[str, Change] = {}
        with self._lock:
            for change in self._log[position:]:
                earlier = found.get(change.id)
                names = change.fields if earlier is None or change.removed else change.fields | earlier.fields
                found[change.id] = Change(change.id, names, change.removed)
        return found


@dataclass(frozen=True, slots=True)
class MintedChallenge:
    """What Intune remembers of a challenge that it gave to a device."""

    request_id: str
    managed_device_id: str
    user_id: str | None
    profile_id: str


@dataclass(frozen=True, slots=True)
class Validation:
    """One call of validateRequest."""

    transaction_id: str
    request: bytes
    """DER of the PKCS #10 request; empty where it was none."""
    code: str
    detail: str
    """Why, for whoever rehearses; the real service keeps it to itself."""
    challenge: MintedChallenge | None
    at: datetime
    caller: str


@dataclass(frozen=True, slots=True)
class Notification:
    """One success or failure that was told."""

    succeeded: bool
    transaction_id: str
    body: dict[str, Any]
    code: str
    problems: tuple[str, ...]
    challenge: MintedChallenge | None
    at: datetime


@dataclass(frozen=True, slots=True)
class RevocationRequest:
    """One entry of the queue."""

    context: str
    serial: str
    issuer: str | None
    ca_configuration: str | None
    state: str = "queued"
    """queued, downloaded, revoked, failed."""
    error_code: int = 0
    error_message: str | None = None
    managed_device_id: str | None = None
    changed: datetime | None = None


class Tenant:
    """Everything that one organisation has in the cloud."""

    def __init__(
        self,
        tenant_id: str,
        domains: tuple[str, ...] = (),
        clock: Clock | None = None,
        unverified: Unverified | None = None,
    ) -> None:
        self.id = tenant_id
        self.domains = domains
        self.clock: Clock = clock or MovableClock()
        self.unverified = unverified or Unverified()
        self.lock = threading.RLock()
        self.devices: Table[EntraDevice] = Table(self.lock)
        self.managed: Table[ManagedDevice] = Table(self.lock)
        self.users: Table[User] = Table(self.lock)
        self.groups: Table[Group] = Table(self.lock)
        self.profiles: Table[ScepProfile] = Table(self.lock)
        self.applications: Table[Application] = Table(self.lock)
        self.has_intune_licence = True
        self.shard = "fef.lab01"
        """Where the partner API of this tenant lives; another name is a move."""
        self.duplicate_services = False
        """Discovery names each service a second time, at a place where nothing is."""
        self.hidden_services: frozenset[str] = frozenset()
        """Names of services that discovery leaves out."""
        self.challenge_life = timedelta(hours=1)
        self.withdraws_profiles = False
        """A profile loses its groups as soon as it was handed to a device, which then asks too late."""
        self.challenges: dict[str, MintedChallenge] = {}
        self.validations: deque[Validation] = deque(maxlen=100_000)
        self.notifications: deque[Notification] = deque(maxlen=100_000)
        self.revocations: dict[str, RevocationRequest] = {}
        self.downloaded_at: datetime | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """What a path can call it."""
        return (self.id, *self.domains)

    def groups_of(self, member: str) -> list[Group]:
        """Return the groups that a directory object is in, directly or through others."""
        groups = self.groups.all()
        found: dict[str, Group] = {}
        wanted = {member}
        while wanted:
            reached = {group.id: group for group in groups if group.members & wanted and group.id not in found}
            found |= reached
            wanted = set(reached)
        return list(found.values())

    def entra_device_of(self, managed: ManagedDevice) -> EntraDevice | None:
        """Return the directory's record of a managed device."""
        return self._first(self.devices, lambda device: device.device_id == managed.entra_device_id)

    def managed_device_of(self, device: EntraDevice) -> ManagedDevice | None:
        """Return Intune's record of a device of the directory."""
        return self._first(self.managed, lambda managed: managed.entra_device_id == device.device_id)

    def is_targeted(self, profile: ScepProfile, managed: ManagedDevice) -> bool:
        """Say whether a profile is assigned to a device, or to its user."""
        device = self.entra_device_of(managed)
        members = [device.id] if device else []
        members += [managed.user_id] if managed.user_id else []
        return any(group.id in profile.groups for member in members for group in self.groups_of(member))

    def validated(self, transaction_id: str) -> Validation | None:
        """Return the latest validation of a transaction that said yes."""
        with self.lock:
            found = [one for one in self.validations if one.transaction_id == transaction_id and one.code == "Success"]
        return found[-1] if found else None

    @staticmethod
    def _first(table: Table[T], matches: Callable[[T], bool]) -> T | None:
        return next((row for row in table.all() if matches(row)), None)


class Tenants:
    """The tenants of one cloud by id and domain; more can come while it is up."""

    def __init__(self, tenants: Iterable[Tenant]) -> None:
        self._named: dict[str, Tenant] = {}
        for tenant in tenants:
            self.add(tenant)

    def add(self, tenant: Tenant) -> None:
        """Let a tenant be found."""
        self._named |= {name.lower(): tenant for name in tenant.names}

    def get(self, name: str) -> Tenant | None:
        """Return who is called so."""
        return self._named.get(name.lower())

    def first(self) -> Tenant:
        """Return the first, which most rehearsals have alone."""
        return next(iter(self._named.values()))
