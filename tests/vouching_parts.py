"""A world whose endpoint `mdm` has a connector, which says what a test wants it to say."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from fakes import MemorySealer
from fleet_scene import device as device_record
from fleet_scene import user as user_record
from regalia import reasons
from regalia.model import Authoriser, Names, San, SanKind, fleet
from regalia.model.connector import (
    Allowed,
    Checked,
    NotAsked,
    Refused,
    ReportedDevice,
    ReportedUser,
    SweepPage,
    Told,
)
from regalia.model.fleet import DeviceState, Platform, UserState
from regalia.ra.approval import ApprovalDesk
from regalia.ra.enrol import Enroller
from regalia.ra.gates import Gates
from regalia.ra.notices import Teller
from regalia.ra.vouching import Voucher
from world import ADMIN, Device, World, rsa_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from regalia.model import Certificate
    from regalia.model.connector import Asked, IssuedNotice, RefusedNotice, Verdict
    from regalia.ports.connectors import Link

__all__ = [
    "AWAY",
    "DEVICE",
    "NO",
    "PROFILE",
    "FakeInventory",
    "FakeLink",
    "FakeLinks",
    "Seconds",
    "VouchedWorld",
    "device_of",
    "listed",
    "reported_device",
    "reported_user",
    "stored_device",
    "stored_user",
]

DEVICE = "device-1"
SINCE = datetime(2026, 2, 28, 9, 0, tzinfo=UTC)
"""A day before a world begins."""
AWAY = NotAsked(reasons.CONNECTOR_AWAY, "nobody answers there")
NO = Refused(reasons.CONNECTOR_CHALLENGE_FOREIGN, "ChallengeDecryptionError", "of another tenant; their id 17")
PROFILE = """
[validity]
duration = "365d"
[usage]
extended-key-usage = ["clientAuth"]
[subject]
cn = "{device.id}"
[microsoft]
sid = "{device.sid?}"
sid-forms = ["uri"]
[[san]]
kind = "upn"
value = "{user.upn?}"
"""
"""Names of the device's record, its SID, and the user's principal name where the record of one has it."""


def reported_device(external_id: str = DEVICE, **changes: object) -> ReportedDevice:
    """What the inventory says of a device."""
    made = ReportedDevice(external_id, "laptop", Platform.WINDOWS, DeviceState(managed=True, enabled=True))
    return replace(made, **changes)  # type: ignore[arg-type]


def reported_user(external_id: str = "user-1", **changes: object) -> ReportedUser:
    """What the directory says of a user."""
    made = ReportedUser(external_id, "Ada", UserState(enabled=True), upn="ada@example.org")
    return replace(made, **changes)  # type: ignore[arg-type]


@dataclass
class FakeLink:
    """A connector that vouches for whom it is told to, and takes notices."""

    name: str = "mdm"
    says: Verdict | Callable[[Asked], Verdict] = field(
        default_factory=lambda: lambda asked: Allowed(DEVICE, names=asked.names, note="validated, their id 16")
    )
    confirms: bool = True
    answers: Told | Refused | NotAsked = field(default_factory=lambda: Told("noted, their id 18"))
    asked: list[Asked] = field(default_factory=list)
    told: list[IssuedNotice | RefusedNotice] = field(default_factory=list)
    within: list[float] = field(default_factory=list)
    on_told: Callable[[FakeLink], None] = lambda _: None

    def check(self) -> tuple[Checked, ...]:
        """Nothing is needed."""
        return ()

    def authorise(self, asked: Asked, *, within: float) -> Verdict:
        """See `ports.Authorizer`."""
        self.asked.append(asked)
        self.within.append(within)
        return self.says(asked) if callable(self.says) else self.says

    def issued(self, notice: IssuedNotice, *, within: float) -> Told | Refused | NotAsked:
        """See `ports.Notifier`."""
        self.told.append(notice)
        self.within.append(within)
        self.on_told(self)
        return self.answers

    def refused(self, notice: RefusedNotice, *, within: float) -> Told | Refused | NotAsked:
        """See `ports.Notifier`."""
        self.told.append(notice)
        self.within.append(within)
        return self.answers


@dataclass
class FakeInventory(FakeLink):
    """One with an inventory."""

    devices: dict[str, ReportedDevice | NotAsked] = field(default_factory=dict)
    users: dict[str, ReportedUser | NotAsked] = field(default_factory=dict)
    looked_up: list[str] = field(default_factory=list)

    def sweep(self, cursor: str | None) -> SweepPage | NotAsked:
        """Nobody sweeps here."""
        del cursor
        return SweepPage()

    def changes(self, delta: str) -> SweepPage | NotAsked | None:
        """Nothing changes."""
        del delta
        return SweepPage(full=False)

    def device(self, external_id: str, *, within: float) -> ReportedDevice | NotAsked | None:
        """See `ports.Inventory`."""
        self.looked_up.append(external_id)
        self.within.append(within)
        return self.devices.get(external_id)

    def user(self, external_id: str, *, within: float) -> ReportedUser | NotAsked | None:
        """See `ports.Inventory`."""
        self.looked_up.append(external_id)
        self.within.append(within)
        return self.users.get(external_id)


class FakeLinks:
    """The way to the connectors of a test."""

    def __init__(self, *links: Link) -> None:
        self.links: dict[str, Link | NotAsked] = {link.name: link for link in links}

    def link(self, name: str) -> Link | NotAsked:
        """See `ports.Links`."""
        return self.links.get(name) or NotAsked(reasons.CONNECTOR_AWAY, f"no connector {name}")


class Seconds:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.at = 1000.0
        self._lock = threading.Lock()

    def __call__(self) -> float:
        """Read it."""
        return self.at

    def pass_by(self, seconds: float) -> None:
        """Let some pass."""
        with self._lock:
            self.at += seconds


class VouchedWorld(World):
    """Group `default` with a profile `managed` and an endpoint `mdm`, for which the connector `mdm` vouches."""

    def __init__(
        self,
        *links: Link,
        document: str = PROFILE,
        gates: Gates | None = None,
        most_pending: int = 1_000,
        **given: object,
    ) -> None:
        super().__init__(**given)  # type: ignore[arg-type]
        self.seconds = Seconds()
        self.ways = FakeLinks(*(links or (FakeLink(),)))
        self.gates = gates or Gates(seconds=self.seconds)
        self.sealer = MemorySealer()
        self.voucher = Voucher(
            links=self.ways,
            gates=self.gates,
            store=self.store,
            clock=self.clock,
            entropy=self.entropy,
            seconds=self.seconds,
        )
        self.teller = Teller(
            store=self.store,
            links=self.ways,
            gates=self.gates,
            sealer=self.sealer,
            clock=self.clock,
            entropy=self.entropy,
            seconds=self.seconds,
        )
        self.enroller = Enroller(
            store=self.store,
            issuer=self.issuer,
            recovery=self.recovery,
            refusals=self.refusals,
            clock=self.clock,
            entropy=self.entropy,
            urls=self.urls,
            serial_prefix=1,
            pause=self._pause,
            sealer=self.sealer,
            certificates_per_device=100,
            voucher=self.voucher,
            teller=self.teller,
            pending_per_group=most_pending,
        )
        self.approvals = ApprovalDesk(
            store=self.store,
            issuer=self.issuer,
            clock=self.clock,
            entropy=self.entropy,
            urls=self.urls,
            serial_prefix=1,
            pending_life=timedelta(days=30),
            records=self.store,
            teller=self.teller,
        )
        self.scep = self.service(self.keys)
        self.registry.create_profile("managed", "default", document, actor=ADMIN)
        self.open_door("mdm")

    def open_door(self, name: str, group: str = "default", connector: str = "mdm", profile: str = "managed") -> None:
        """Open an endpoint at which a connector vouches."""
        self.registry.create_endpoint(f"{name}-plain", group=group, profile=profile, actor=ADMIN)
        plain = self.store.endpoint(f"{name}-plain")
        assert plain is not None
        self.store.add_endpoint(replace(plain, name=name, authoriser=Authoriser.CONNECTOR, connector=connector), ())

    def new_group(self, name: str) -> None:
        """Add a group with the same profile under its own name, and an endpoint of the same connector."""
        self.registry.create_group(name, actor=ADMIN)
        self.registry.create_profile(name, name, PROFILE, actor=ADMIN)
        self.open_door(f"mdm-{name}", group=name, profile=name)

    def know(self, *records: fleet.Device | fleet.User) -> None:
        """Keep records as they are."""
        for record in records:
            if isinstance(record, fleet.Device):
                assert self.store.put_devices([(self.store.device(record.id), record)], ())
            else:
                assert self.store.put_users([(self.store.user(record.id), record)], ())

    def certificate_of(self, device: Device) -> Certificate:
        """Find the stored row of what a device got."""
        assert device.certificate is not None
        found = [row for row in self.store.certificates_after(None, 1000) if row.der == device.certificate]
        return found[0]


def stored_device(state: DeviceState | None = None, **changes: object) -> fleet.Device:
    """Return the record of the device that the connector vouches for, in no group yet."""
    made = replace(device_record(state), connector="mdm", group=None, state_since=SINCE, seen_at=SINCE)
    return replace(made, first_seen_at=SINCE - timedelta(days=30), **changes)  # type: ignore[arg-type]


def stored_user(state: UserState | None = None, **changes: object) -> fleet.User:
    """Return the record of its user."""
    made = replace(user_record(state), connector="mdm", state_since=SINCE, first_seen_at=SINCE, seen_at=SINCE)
    return replace(made, **changes)  # type: ignore[arg-type]


def device_of(world: World, key: int = 0, transaction: str = "t-1", endpoint: str = "mdm") -> Device:
    """Return a client at the connector's endpoint."""
    return Device(world, rsa_key(key), endpoint=endpoint).fresh(transaction)


def listed(cn: str | None = None, *uris: str, upn: str | None = None) -> Names:
    """Make names of a CSR."""
    sans = {San(SanKind.URI, uri) for uri in uris} | ({San(SanKind.UPN, upn)} if upn else set())
    return Names(cn, frozenset(sans))
