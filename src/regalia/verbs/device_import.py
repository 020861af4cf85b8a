"""Bringing an inventory: devices and users from files, for connectors that have no system to be asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from pydantic import Field

from regalia import reasons
from regalia.errors import AdminError
from regalia.model import Right
from regalia.ports.connectors import Ability
from regalia.ra.bringing import bring_inventory, look_at_inventory
from regalia.verbs.fields import Name
from regalia.verbs.finding import found_connector
from regalia.verbs.verb import Asked, Desk, Record, Verb

if TYPE_CHECKING:
    from regalia.model.connector import Connector, SweepPage
    from regalia.ra.bringing import Brought

__all__ = ["IMPORT", "LARGEST", "VERBS", "ImportDevices", "Imported", "imported", "importing_into"]

LARGEST: Final = 900_000
"""Characters: a request has a bound. What is larger is imported on the server itself."""

_Content = Annotated[str, Field(min_length=1, max_length=LARGEST)]


class ImportDevices(Asked):
    """Into which connector, and what."""

    connector: Annotated[Name, Field(description="Whose inventory it is.")]
    devices: Annotated[_Content | None, Field(description="Devices, CSV or JSON.")] = None
    users: Annotated[_Content | None, Field(description="Users, CSV or JSON.")] = None
    partial: Annotated[
        bool, Field(description="Whether it is only a part: then nobody is missing who is not in it.")
    ] = False


class Imported(Record):
    """What an import showed."""

    connector: str
    partial: bool
    devices: int
    users: int
    new_devices: int
    new_users: int
    missing_devices: Annotated[
        int,
        Field(description="Known ones that it does not show; the second time in a row they are absent."),
    ]
    missing_users: int


def import_devices(desk: Desk, asked: ImportDevices) -> Imported:
    """Take it. Raises `AdminError`: CON-064 where the connector has a system of its own, CON-077 with each fault."""
    connector, page = importing_into(desk, asked.connector), _page(desk, asked)
    services = desk.services
    brought = bring_inventory(
        services.store, services.clock, services.entropy, connector, page, partial=asked.partial, actor=desk.actor
    )
    return imported(connector, brought, partial=asked.partial)


def plan_import(desk: Desk, asked: ImportDevices) -> tuple[str, ...]:
    """Say what it shows beside what is there."""
    connector, page = importing_into(desk, asked.connector), _page(desk, asked)
    seen = look_at_inventory(desk.services.store, connector, page, partial=asked.partial)
    taken = (
        f"{seen.devices} devices, {seen.new_devices} of them new, and {seen.users} users, {seen.new_users} of them new"
    )
    steps = [f"take {taken}, as what connector {connector.name} knows"]
    if seen.missing_devices or seen.missing_users:
        steps.append(
            f"count {seen.missing_devices} devices and {seen.missing_users} users as missing: the second complete "
            "import in a row without them makes them absent"
        )
    return tuple(steps)


def importing_into(desk: Desk, name: str) -> Connector:
    """Find a connector that is brought its inventory."""
    connector = found_connector(desk, name)
    if Ability.KNOWS_DEVICES in desk.services.connectors.abilities(connector):
        told = f"{name} is of kind {connector.kind}, which reads its inventory by itself"
        raise AdminError(reasons.CONNECTOR_UNFIT, told)
    return connector


def _page(desk: Desk, asked: ImportDevices) -> SweepPage:
    if asked.devices is None and asked.users is None:
        raise AdminError(reasons.USAGE, "give devices, users, or both")
    devices = asked.devices.encode() if asked.devices is not None else None
    users = asked.users.encode() if asked.users is not None else None
    return desk.services.connectors.kinds.read_inventory(devices, users)


def imported(connector: Connector, brought: Brought, *, partial: bool) -> Imported:
    """Say what was brought."""
    return Imported(
        connector=connector.name,
        partial=partial,
        devices=brought.devices,
        users=brought.users,
        new_devices=brought.new_devices,
        new_users=brought.new_users,
        missing_devices=brought.missing_devices,
        missing_users=brought.missing_users,
    )


IMPORT = Verb(
    "device.import",
    "POST",
    "/connectors/{connector}/import",
    Right.RULE,
    ImportDevices,
    Imported,
    import_devices,
    "Bring devices and users of a connector that has no system to be asked, from CSV or JSON.",
    plan=plan_import,
    everywhere=True,
)

VERBS = (IMPORT,)
