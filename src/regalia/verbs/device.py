"""Devices: what connectors say of them, and what follows for their certificates."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

from pydantic import Field

from regalia import reasons
from regalia.errors import AdminError
from regalia.model import Action, EventDraft, Outcome, Right
from regalia.model.fleet import PendingAction, Platform
from regalia.ports.fleet import DeviceFilter
from regalia.ra.follow_run import follow_device
from regalia.verbs.bearer_facts import BearerCertificate, HistoryRecord, certificates_of, history_of, state_words
from regalia.verbs.fields import Id, Name, is_empty
from regalia.verbs.finding import found_device, found_group
from regalia.verbs.paging import ListAsked, page_of, place_after
from regalia.verbs.verb import Asked, Desk, Page, Record, Time, Verb

if TYPE_CHECKING:
    from regalia.model.fleet import Device

__all__ = [
    "LIST",
    "MOVE",
    "SHOW",
    "VERBS",
    "DeviceId",
    "DeviceRecord",
    "DeviceShown",
    "ListDevices",
    "MoveDevice",
]


class ListDevices(ListAsked):
    """Which ones."""

    connector: Annotated[Name | None, Field(description="Only those that this connector knows.")] = None
    group: Annotated[Name | None, Field(description="Only of this group.")] = None
    platform: Annotated[Platform | None, Field(description="Only with this system.")] = None
    present: Annotated[bool | None, Field(description="Only those that are in the inventory, or only absent ones.")] = (
        None
    )


class DeviceId(Asked):
    """Which one."""

    id: Id


class MoveDevice(DeviceId):
    """Which one, and where to."""

    group: Annotated[Name, Field(description="The group that it belongs to from now on.")]


class DeviceRecord(Record):
    """A device in a list."""

    id: UUID
    name: str
    platform: Platform
    connector: str
    external_id: str
    """The connector's own id of it."""
    group: str | None
    user: str | None
    """The connector's own id of whom it belongs to."""
    serial_number: str | None
    state: str
    """In words what is wrong with it; `good` where nothing is, as far as the connector said."""
    state_since: Time
    seen_at: Time


class DeviceStateRecord(Record):
    """What rules look at; null is what the connector did not say."""

    present: bool
    managed: bool | None
    enabled: bool | None
    compliant: bool | None
    pending: PendingAction
    lost: bool | None
    risk: str | None


class DeviceShown(DeviceRecord):
    """A device with all that is kept of it."""

    facts: DeviceStateRecord
    first_seen_at: Time
    missed_sweeps: int
    user_name: str | None
    aliases: tuple[str, ...]
    sid: str | None
    dns: tuple[str, ...]
    memberships: Annotated[
        tuple[str, ...] | None, Field(description="Groups of the connector's system; null: it was not asked.")
    ]
    evidence: Annotated[dict[str, Any], Field(description="What the connector last said, as it said it.")]
    history: Annotated[tuple[HistoryRecord, ...], Field(exclude_if=is_empty)] = ()
    """Its last changes, newest first."""
    certificates: Annotated[tuple[BearerCertificate, ...], Field(exclude_if=is_empty)] = ()


def list_devices(desk: Desk, asked: ListDevices) -> Page[DeviceRecord]:
    """Those of the caller's groups; of no group only for who sees all."""
    if asked.group is not None:
        found_group(desk, asked.group)
    wanted = DeviceFilter(
        connector=asked.connector,
        group=asked.group,
        groups=desk.reach.groups,
        platform=asked.platform,
        present=asked.present,
        search=asked.q or "",
        limit=asked.limit,
        after=place_after(asked, LIST.name),
    )
    found = desk.services.store.device_page(wanted)
    return page_of(asked, LIST.name, found, lambda each: DeviceRecord(**_fields(each)))


def show_device(desk: Desk, asked: DeviceId) -> DeviceShown:
    """One device, with what was said of it and what followed."""
    device, store = found_device(desk, asked.id), desk.services.store
    user = None if device.user is None else store.user_of(device.connector, device.user)
    state = device.state
    return DeviceShown(
        **_fields(device),
        facts=DeviceStateRecord(
            present=state.present,
            managed=state.managed,
            enabled=state.enabled,
            compliant=state.compliant,
            pending=state.pending,
            lost=state.lost,
            risk=state.risk,
        ),
        first_seen_at=device.first_seen_at,
        missed_sweeps=device.missed_sweeps,
        user_name=None if user is None else user.upn or user.name,
        aliases=tuple(f"{kind} {value}" for kind, value in device.aliases),
        sid=device.sid,
        dns=device.dns,
        memberships=tuple(sorted(device.memberships)) if device.memberships_known else None,
        evidence=dict(device.evidence),
        history=history_of(desk, f"device:{device.id}"),
        certificates=certificates_of(desk, device_id=device.id),
    )


def move_device(desk: Desk, asked: MoveDevice) -> DeviceRecord:
    """Have it belong to another group. Raises `AdminError`: ADM-004 no such device or group, CON-067 it changed."""
    device, group = _moving(desk, asked)
    after = replace(device, group=group)
    event = EventDraft(
        desk.now(),
        desk.actor,
        Action.DEVICE_MOVED,
        f"device:{device.id}",
        Outcome.OK,
        group,
        details={"connector": device.connector, "former_group": device.group},
    )
    if not desk.services.store.put_devices([(device, after)], (event,)):
        raise AdminError(reasons.DEVICE_CHANGED, str(device.id))
    # From now on the time runs after which its certificates in the former group end.
    follow_device(desk.services.store, device.id, desk.now(), actor=desk.actor)
    return DeviceRecord(**_fields(after))


def plan_move(desk: Desk, asked: MoveDevice) -> tuple[str, ...]:
    """Say what a move brings about."""
    device, group = _moving(desk, asked)
    steps = [
        f"have device {device.name} ({device.id}) belong to group {group} and no longer to {device.group or 'none'}"
    ]
    if device.group is not None:
        steps.append(f"let it neither enrol nor renew at endpoints of group {device.group} any more")
        steps.append(f"let follow what the rules of group {device.group} say of `moved` for its certificates there")
    return tuple(steps)


def _moving(desk: Desk, asked: MoveDevice) -> tuple[Device, str]:
    """Find both; whoever moves one sees where it comes from and where it goes."""
    device, group = found_device(desk, asked.id), found_group(desk, asked.group)
    if device.group == group.name:
        raise AdminError(reasons.USAGE, f"device {device.id} is in group {group.name} already")
    return device, group.name


def _fields(device: Device) -> dict[str, Any]:
    return {
        "id": device.id,
        "name": device.name,
        "platform": device.platform,
        "connector": device.connector,
        "external_id": device.external_id,
        "group": device.group,
        "user": device.user,
        "serial_number": device.serial,
        "state": state_words(device.state),
        "state_since": device.state_since,
        "seen_at": device.seen_at,
    }


LIST = Verb(
    "device.list",
    "GET",
    "/devices",
    Right.READ,
    ListDevices,
    Page[DeviceRecord],
    list_devices,
    "List the devices that connectors know; those of no group only for who sees all groups.",
)
SHOW = Verb(
    "device.show",
    "GET",
    "/devices/{id}",
    Right.READ,
    DeviceId,
    DeviceShown,
    show_device,
    "Show a device: what its connector said, word by word, its certificates, and what followed for each.",
)
MOVE = Verb(
    "device.move",
    "POST",
    "/devices/{id}/move",
    Right.ARRANGE,
    MoveDevice,
    DeviceRecord,
    move_device,
    "Have a device belong to another group, whose endpoints alone it may enrol at from then on.",
    plan=plan_move,
)

VERBS = (LIST, SHOW, MOVE)
