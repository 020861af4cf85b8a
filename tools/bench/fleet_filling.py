"""A fleet as large as one likes: devices and users of one connector, and certificates that are bound to them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import UUID

import psycopg

from regalia.model.connector import Connector
from regalia.model.fleet import Device, DeviceState, PendingAction, Platform, User, UserState
from tools.bench.filling import fill
from tools.bench.growth import template
from tools.bench.homes import opened
from tools.bench.measure import VoidRunError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from tools.bench.filling import Filled
    from tools.bench.homes import Home

__all__ = ["CONNECTOR", "Fleet", "device_id", "fill_fleet"]

CONNECTOR: Final = "mdm"
_BATCH: Final = 500
_DEVICES_OF_A_USER: Final = 2
_FIRST_DEVICE: Final = UUID("01900000-0000-7000-8000-000000000000").int
_FIRST_USER: Final = UUID("01910000-0000-7000-8000-000000000000").int


@dataclass(frozen=True, slots=True)
class Fleet:
    """What there is in a database that was filled."""

    connector: Connector
    filled: Filled


def fill_fleet(
    home: Home, url: str | None, *, devices: int, certificates: int, wiped: int = 0, bound: int | None = None
) -> Fleet:
    """Fill a fresh home. Two devices have one user; the first devices have one certificate more than the last ones.

    `bound`: so many certificates are bound to records of devices, the first ones; None: all.
    `url` is that of PostgreSQL, None for the home's own SQLite. `wiped`: so many devices, the last ones, are wiped.
    """
    kept = devices - wiped
    with opened(home) as app:
        filled = fill(app, home.path, url, template(app), certificates)
        now = app.clock.now()
        connector = Connector(UUID(int=1), CONNECTOR, "webhook", {"url": "https://mdm.invalid/"}, now)
        if not app.store.add_connector(connector, None, ()):
            raise VoidRunError("the home has a connector already")
        for first in range(0, devices, _BATCH):
            numbers = range(first, min(devices, first + _BATCH))
            users = [(None, _user(number, now)) for number in numbers if number % _DEVICES_OF_A_USER == 0]
            made = app.store.put_users(users, ()) and app.store.put_devices(
                [(None, _device(n, now, wiped=n >= kept)) for n in numbers], ()
            )
            if not made:
                raise VoidRunError("the home has devices already")
    _bind(home, url, devices, certificates if bound is None else bound)
    return Fleet(connector, filled)


def device_id(number: int) -> UUID:
    """Return the id of a device's record."""
    return UUID(int=_FIRST_DEVICE + number)


def _device(number: int, now: datetime, *, wiped: bool) -> Device:
    pending = PendingAction.WIPE if wiped else PendingAction.NONE
    return Device(
        id=device_id(number),
        connector=CONNECTOR,
        external_id=f"INV-{number:07}",
        group="default",
        name=f"laptop-{number:07}",
        platform=Platform.WINDOWS,
        state=DeviceState(managed=True, enabled=True, compliant=True, pending=pending, lost=False),
        state_since=now,
        first_seen_at=now,
        seen_at=now,
        serial=f"SN{number:07}",
        aliases=(("entra", f"{number:032x}"),),
        user=f"user-{number // _DEVICES_OF_A_USER:07}",
        evidence={"source": "bench", "managementState": "managed", "complianceState": "compliant"},
    )


def _user(number: int, now: datetime) -> User:
    name = f"user-{number // _DEVICES_OF_A_USER:07}"
    return User(
        id=UUID(int=_FIRST_USER + number),
        connector=CONNECTOR,
        external_id=name,
        name=name,
        upn=f"{name}@example.org",
        state=UserState(enabled=True, licensed=True),
        state_since=now,
        first_seen_at=now,
        seen_at=now,
        evidence={"source": "bench", "accountEnabled": True},
    )


def _bind(home: Home, url: str | None, devices: int, most: int) -> None:
    """Bind each certificate to the device whose number it has; behind the last device the first ones are next."""
    find, change = "SELECT id, device FROM certificate WHERE device LIKE 'INV-%'", "UPDATE certificate SET device_id = "
    if url is None:
        with closing(sqlite3.connect(home.path / "regalia.db")) as database:
            database.executemany(change + "? WHERE id = ?", _bound(database.execute(find).fetchall(), devices, most))
            database.commit()
        return
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(find.encode())
        cursor.executemany(change.encode() + b"%s WHERE id = %s", _bound(cursor.fetchall(), devices, most))
        connection.commit()
        # What the server does by itself within minutes.
        connection.autocommit = True
        connection.execute("VACUUM ANALYZE")


def _bound(rows: Sequence[tuple[bytes, str]], devices: int, most: int) -> list[tuple[bytes, bytes]]:
    numbered = [(int(name.removeprefix("INV-")), which) for which, name in rows]
    return [(device_id(number % devices).bytes, which) for number, which in numbered if number < most]
