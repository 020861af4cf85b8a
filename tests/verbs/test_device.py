"""Verbs about devices and users: who sees which, what is told of one, and where it is moved."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from fleet_scene import NOW, device, user
from memory_store import MemoryStore
from regalia.errors import AdminError
from regalia.model import Action, Actor, ActorKind, Grant, Hold, Names, Reach, Role
from regalia.model.connector import Connector, ReportedDevice, ReportedUser, SweepPage
from regalia.model.fleet import Cause, DeviceState, FoundCause, PendingAction, Platform, UserState
from regalia.ra.follow_run import follow_device
from regalia.ra.roles import EVERYTHING
from regalia.ra.sweeping import Sweeper
from regalia.verbs import Caller, LocalDoor
from regalia.verbs import certificate as certificates
from regalia.verbs import certificate_end as ends
from regalia.verbs import device as verbs
from regalia.verbs import user as users
from vouching_parts import VouchedWorld, device_of, stored_device, stored_user
from world import ADMIN, World

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from regalia.model import EventDraft
    from regalia.model.fleet import Device

FOLLOWING = Actor(ActorKind.SYSTEM, "following")


@pytest.fixture
def world() -> World:
    """Return a system with a device in each of two groups, and one in none."""
    made = World()
    made.open_group("other")
    lost = DeviceState(lost=True, compliant=False)
    for number, group, state in ((1, "default", None), (2, "other", lost), (3, None, None)):
        assert made.store.put_devices([(None, device(state, number, group=group, serial=f"SN{number}"))], ())
    assert made.store.put_users([(None, user())], ())
    return made


@pytest.fixture
def door(world: World) -> LocalDoor:
    """Return the door of somebody who may do everything."""
    return LocalDoor(world, Caller(ADMIN, EVERYTHING, fresh=True))


def bounded(world: World, role: Role = Role.OPERATOR, *groups: str) -> LocalDoor:
    """Return the door of somebody whose role counts in some groups."""
    return LocalDoor(world, Caller(ADMIN, (Grant(role, Reach(frozenset(groups or ("default",)))),), fresh=True))


def listed(door: LocalDoor, **asked: Any) -> list[str]:  # noqa: ANN401 - fields of the question
    """List devices by name."""
    return sorted(each.name for each in door.ask(verbs.LIST, verbs.ListDevices(**asked)).items)


def reason(act: Callable[[], object]) -> tuple[str, str]:
    """Do what is refused; return the reason's id and the detail."""
    with pytest.raises(AdminError) as refused:
        act()
    return refused.value.reason.id, refused.value.detail


def test_devices_are_seen_by_group(world: World, door: LocalDoor) -> None:
    """AUTHZ-4: who counts in a group sees its devices; one of no group is seen by who counts everywhere."""
    assert listed(door) == ["laptop-1", "laptop-2", "laptop-3"]
    assert listed(bounded(world, Role.HELPDESK_READ_ONLY)) == ["laptop-1"]
    assert listed(bounded(world, Role.HELPDESK, "default", "other")) == ["laptop-1", "laptop-2"]
    assert reason(lambda: listed(bounded(world), group="other")) == ("ADM-004", "group other")


def test_a_foreign_device_is_as_one_that_is_not_there(world: World) -> None:
    """AUTHZ-4: of another group, of none, and missing are told in the same words, by a whole id and by a short one."""
    desk = bounded(world)
    for number in (2, 3, 99):
        wanted = str(UUID(int=number))
        for verb, asked in (
            (verbs.SHOW, verbs.DeviceId(id=wanted)),
            (verbs.MOVE, verbs.MoveDevice(id=wanted, group="default")),
        ):
            assert reason(lambda verb=verb, asked=asked: desk.ask(verb, asked)) == ("ADM-004", f"device {wanted}")  # type: ignore[misc]  # bound now
    assert desk.ask(verbs.SHOW, verbs.DeviceId(id=str(UUID(int=1)))).name == "laptop-1"
    assert desk.ask(verbs.SHOW, verbs.DeviceId(id="00000000-0000")).name == "laptop-1"


def test_a_list_is_narrowed(door: LocalDoor, world: World) -> None:
    """By connector, group, platform, presence, and the beginning of a serial number; page by page."""
    assert listed(door, q="SN2") == ["laptop-2"]
    assert listed(door, group="other") == ["laptop-2"]
    assert listed(door, connector="nobody") == []
    assert listed(door, platform=Platform.MACOS) == []
    gone = world.store.device(UUID(int=1))
    assert gone is not None
    assert world.store.put_devices([(gone, replace(gone, state=DeviceState(present=False)))], ())
    assert listed(door, present=False) == ["laptop-1"]
    first = door.ask(verbs.LIST, verbs.ListDevices(limit=2))
    rest = door.ask(verbs.LIST, verbs.ListDevices(limit=2, after=first.next))
    assert (len(first.items), len(rest.items)) == (2, 1)


def test_a_state_is_told_in_words(door: LocalDoor) -> None:
    """What is wrong is named; where nobody said anything it is good, as far as anybody said."""
    words = {each.name: each.state for each in door.ask(verbs.LIST, verbs.ListDevices()).items}
    assert words == {"laptop-1": "good", "laptop-2": "lost, not compliant", "laptop-3": "good"}


def test_what_nobody_said_is_null(world: World, door: LocalDoor) -> None:
    """CON-5: a fact that nobody told is neither true nor false, but null; so are memberships."""
    told = replace(
        device(DeviceState(pending=PendingAction.WIPE), 4), evidence={"source": "graph", "isEncrypted": True}
    )
    assert world.store.put_devices([(None, told)], ())
    shown = door.ask(verbs.SHOW, verbs.DeviceId(id=str(told.id)))
    assert (shown.facts.compliant, shown.facts.lost, shown.memberships) == (None, None, None)
    assert (shown.facts.pending, shown.state) == (PendingAction.WIPE, "wipe under way")
    assert shown.evidence == {"source": "graph", "isEncrypted": True}
    assert shown.user_name == "ada@example.org"


def test_a_move_is_on_record(world: World, door: LocalDoor) -> None:
    """A device belongs to another group from then on; the plan says what closes, and the log who did it."""
    asked = verbs.MoveDevice(id=str(UUID(int=1)), group="other")
    plan = door.plan(verbs.MOVE, asked).would
    assert "neither enrol nor renew at endpoints of group default" in plan[1]
    assert door.ask(verbs.MOVE, asked).group == "other"
    event = world.last_event().draft
    assert (event.action, event.group, event.details["former_group"]) == (Action.DEVICE_MOVED, "other", "default")
    assert reason(lambda: door.ask(verbs.MOVE, asked))[0] == "ADM-018"


def test_who_moves_sees_both_groups(world: World) -> None:
    """AUTHZ-4, ADM-070: an operator moves between their groups, into no other one, and a helpdesk moves none."""
    into = verbs.MoveDevice(id=str(UUID(int=1)), group="other")
    assert reason(lambda: bounded(world).ask(verbs.MOVE, into)) == ("ADM-004", "group other")
    helpdesk = bounded(world, Role.HELPDESK, "default", "other")
    assert reason(lambda: helpdesk.ask(verbs.MOVE, into))[0] == "ADM-070"
    assert bounded(world, Role.OPERATOR, "default", "other").ask(verbs.MOVE, into).group == "other"


def test_users_are_seen_by_who_counts_everywhere(world: World, door: LocalDoor) -> None:
    """A user belongs to no group: found by principal name, shown with what was said, and hidden from bounded roles."""
    assert [each.name for each in door.ask(users.LIST, users.ListUsers(q="ada@")).items] == ["Ada"]
    shown = door.ask(users.SHOW, users.UserId(id=str(UUID(int=1 << 64))))
    assert (shown.upn, shown.facts.enabled, shown.certificates) == ("ada@example.org", None, ())
    assert reason(lambda: bounded(world).ask(users.LIST, users.ListUsers()))[0] == "ADM-070"
    missing = users.UserId(id=str(UUID(int=5)))
    assert reason(lambda: door.ask(users.SHOW, missing))[0] == "ADM-004"


def test_each_cause_is_told_with_what_follows() -> None:
    """The certificate of a lost device is shown on hold, with the cause, since when and why, and what it will do."""
    world = VouchedWorld()
    record = replace(stored_device(DeviceState(enabled=True)), first_seen_at=NOW - timedelta(days=400))
    world.know(record, stored_user(UserState(enabled=True)))
    client = device_of(world)
    client.enrol(Names(), "a challenge")
    row = world.certificate_of(client)
    now = world.clock.now()
    cause = FoundCause(Cause.LOST, now - timedelta(hours=1), "isLost is true")
    held = Hold(row.id, "following", "following", now)
    assert world.store.follow(row.id, causes=(cause,), ended=(), status=held, release=False, at=now, events=())
    door = LocalDoor(world, Caller(ADMIN, EVERYTHING, fresh=True))
    found = door.ask(verbs.LIST, verbs.ListDevices()).items[0]
    (certificate,) = door.ask(verbs.SHOW, verbs.DeviceId(id=str(found.id))).certificates
    assert certificate.status == "on hold"
    assert [(each.cause, each.ended_at) for each in certificate.causes] == [(Cause.LOST, None)]
    assert certificate.explained[0].endswith("until its causes end")
    assert certificate.explained[1].endswith("isLost is true: holds it")
    assert world.store.follow(row.id, causes=(), ended=(Cause.LOST,), status=None, release=True, at=now, events=())
    (after,) = door.ask(verbs.SHOW, verbs.DeviceId(id=str(found.id))).certificates
    assert (after.status, after.explained, after.causes[0].ended_at) == ("valid", ("good",), now)


def test_a_certificate_explains_itself() -> None:
    """`cert show` has the records, each cause and what it does, as the device has; a release tells what goes on."""
    world = VouchedWorld()
    world.store.add_connector(Connector(UUID(int=9), "mdm", "intune", {}, world.clock.now()), None, ())
    world.know(stored_device(DeviceState(enabled=True)), stored_user(UserState(enabled=True)))
    client = device_of(world)
    client.enrol(Names(), "a challenge")
    row = world.certificate_of(client)
    door = LocalDoor(world, Caller(ADMIN, EVERYTHING, fresh=True))
    asked = certificates.ShowCertificate(serial=f"{row.serial:x}")
    shown = door.ask(certificates.SHOW, asked)
    record = world.store.device_of("mdm", "device-1")
    assert record is not None
    assert (shown.device_record, shown.causes, shown.explained) == (record.id, (), ())
    assert world.store.put_devices([(record, replace(record, state=replace(record.state, lost=True)))], ())
    assert follow_device(world.store, record.id, world.clock.now()).kinds
    door.ask(ends.HOLD, ends.HoldCertificate(serial=asked.serial))
    shown = door.ask(certificates.SHOW, asked)
    assert shown.causes == door.ask(verbs.SHOW, verbs.DeviceId(id=str(record.id))).certificates[0].causes
    assert {each.cause for each in shown.causes} == {Cause.LOST, None}
    assert shown.explained[0].endswith("by an administrator, until a person releases it")
    after = door.ask(ends.RELEASE, ends.ReleaseCertificate(serial=asked.serial))
    assert after.status == "on hold"
    assert after.explained[0].endswith("until its causes end")
    assert "lost since" in after.explained[1]
    again = ends.ReleaseCertificate(serial=asked.serial)
    assert reason(lambda: door.ask(ends.RELEASE, again))[0] == "CON-069"


def test_a_record_tells_how_it_came_to_be_so(world: World, door: LocalDoor) -> None:
    """AUTHZ-4: what was said before is told with its time, newest first, to who counts in the group of then."""
    sweeper = Sweeper(world.store, world.clock, world.entropy)
    for state in (DeviceState(), DeviceState(lost=True), DeviceState(lost=False)):
        world.clock.advance(timedelta(minutes=1))
        report = ReportedDevice("new-1", "laptop-9", Platform.MACOS, state, group="default")
        (record,) = sweeper.take("intune", SweepPage((report,)))
    told = door.ask(verbs.SHOW, verbs.DeviceId(id=str(record.id))).history
    assert [each.action for each in told] == [Action.DEVICE_CHANGED, Action.DEVICE_CHANGED, Action.DEVICE_ADDED]
    assert told[0].details == {"state": "present true, pending none, lost false", "former": told[1].details["state"]}
    assert (told[0].by, told[0].at) == ("connector:intune", world.clock.now())
    door.ask(verbs.MOVE, verbs.MoveDevice(id=str(record.id), group="other"))
    known = bounded(world, Role.OPERATOR, "other").ask(verbs.SHOW, verbs.DeviceId(id=str(record.id))).history
    assert [each.action for each in known] == [Action.DEVICE_MOVED]
    person = ReportedUser("new-u", "Ben", UserState(enabled=False))
    (ben,) = sweeper.take("intune", SweepPage(users=(person,)))
    (change,) = door.ask(users.SHOW, users.UserId(id=str(ben.id))).history
    assert change.details["state"] == "present true, enabled false"


class HastyStore(MemoryStore):
    """One where a connector says something of a device just before it is changed."""

    hasty = False

    def put_devices(self, devices: Sequence[tuple[Device | None, Device]], events: Sequence[EventDraft]) -> bool:
        """Let the sweep be faster, once."""
        if self.hasty:
            self.hasty = False
            for before, _ in devices:
                assert before is not None
                assert super().put_devices([(before, replace(before, name="renamed"))], ())
        return super().put_devices(devices, events)


def test_a_device_that_changes_meanwhile_is_not_moved() -> None:
    """CON-067: what a connector said at the same moment is not written over; the move can be repeated."""
    store = HastyStore()
    world = World(store=store)
    world.open_group("other")
    assert store.put_devices([(None, device(None, 1, group="default"))], ())
    store.hasty = True
    desk = LocalDoor(world, Caller(ADMIN, EVERYTHING, fresh=True))
    asked = verbs.MoveDevice(id=str(UUID(int=1)), group="other")
    assert reason(lambda: desk.ask(verbs.MOVE, asked))[0] == "CON-067"
    assert desk.ask(verbs.MOVE, asked).name == "renamed"
