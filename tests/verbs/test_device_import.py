"""The verb that brings an inventory: looked at first, taken whole, and absence by the second one only."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from connectors.microsoft_parts import Cloud
from regalia.errors import AdminError
from regalia.model import Action
from regalia.ra.roles import EVERYTHING
from regalia.verbs import Caller, LocalDoor
from regalia.verbs import connector as connectors
from regalia.verbs import device as devices
from regalia.verbs import device_import as verbs
from regalia.verbs import user as users
from verbs.test_connector import created
from world import ADMIN, World

if TYPE_CHECKING:
    from collections.abc import Callable

DEVICES = "id,name,platform,serial,group,user\nd1,laptop-1,windows,SN1,default,u1\nd2,phone-1,ios,SN2,,u1\n"
ONE = "id,name\nd1,laptop-1\n"
USERS = '[{"id": "u1", "name": "Ada", "upn": "ada@example.org"}]'


@pytest.fixture
def world() -> World:
    """Return a system."""
    return World()


@pytest.fixture
def door(world: World) -> LocalDoor:
    """Return the door of somebody who may do everything, and made a connector that is brought its inventory."""
    made = LocalDoor(world, Caller(ADMIN, EVERYTHING, fresh=True))
    asked = connectors.CreateConnector(kind="inventory", name="stock", secret="a secret of many devices")
    made.ask(connectors.CREATE, asked)
    return made


def bringing(text: str | None = DEVICES, people: str | None = None, *, partial: bool = False) -> verbs.ImportDevices:
    """Bring files."""
    return verbs.ImportDevices(connector="stock", devices=text, users=people, partial=partial)


def states(door: LocalDoor) -> dict[str, str]:
    """List devices: how they are, by name."""
    return {each.name: each.state for each in door.ask(devices.LIST, devices.ListDevices()).items}


def reason(act: Callable[[], object]) -> tuple[str, str]:
    """Do what is refused; return the reason's id and the detail."""
    with pytest.raises(AdminError) as refused:
        act()
    return refused.value.reason.id, refused.value.detail


def test_it_is_looked_at_first(world: World, door: LocalDoor) -> None:
    """The plan counts what is new and takes nothing; then the records are there, and who brought them is on record."""
    would = door.plan(verbs.IMPORT, bringing(people=USERS)).would
    assert would == ("take 2 devices, 2 of them new, and 1 users, 1 of them new, as what connector stock knows",)
    assert states(door) == {}
    done = door.ask(verbs.IMPORT, bringing(people=USERS))
    assert (done.devices, done.new_devices, done.missing_devices, done.users) == (2, 2, 0, 1)
    found = {each.name: each for each in door.ask(devices.LIST, devices.ListDevices()).items}
    assert (found["laptop-1"].group, found["laptop-1"].serial_number, found["phone-1"].group) == (
        "default",
        "SN1",
        None,
    )
    assert [each.upn for each in door.ask(users.LIST, users.ListUsers()).items] == ["ada@example.org"]
    told = [event.draft for event in world.store.log if event.draft.action is Action.INVENTORY_IMPORTED]
    assert [(each.actor, each.details["devices"]) for each in told] == [(ADMIN, 2)]


def test_absence_takes_two(world: World, door: LocalDoor) -> None:
    """REV-7: who is missing once is missing; who is missing in two complete imports in a row is absent."""
    door.ask(verbs.IMPORT, bringing())
    world.clock.advance(timedelta(hours=1))
    assert "count 1 devices" in door.plan(verbs.IMPORT, bringing(ONE)).would[1]
    assert door.ask(verbs.IMPORT, bringing(ONE)).missing_devices == 1
    assert states(door)["phone-1"] == "good"
    world.clock.advance(timedelta(hours=1))
    door.ask(verbs.IMPORT, bringing(ONE))
    assert states(door) == {"laptop-1": "good", "phone-1": "absent"}
    door.ask(verbs.IMPORT, bringing())
    assert states(door)["phone-1"] == "good"


def test_a_part_makes_nobody_missing(world: World, door: LocalDoor) -> None:
    """A partial import says what is in it, and nothing of anybody else, however often."""
    door.ask(verbs.IMPORT, bringing())
    for _ in range(3):
        world.clock.advance(timedelta(hours=1))
        assert door.ask(verbs.IMPORT, bringing(ONE, partial=True)).missing_devices == 0
    assert states(door)["phone-1"] == "good"


def test_what_was_forgotten_is_no_absence(door: LocalDoor) -> None:
    """ADM-018: a complete import without the users who are known is taken for a mistake, and nothing is done."""
    door.ask(verbs.IMPORT, bringing(people=USERS))
    told, detail = reason(lambda: door.ask(verbs.IMPORT, bringing()))
    assert (told, "all 1 known users would be missing" in detail) == ("ADM-018", True)
    assert reason(lambda: door.ask(verbs.IMPORT, bringing(None, None)))[0] == "ADM-018"
    assert reason(lambda: door.plan(verbs.IMPORT, bringing("id,name\n", USERS)))[0] == "ADM-018"


def test_a_wrong_line_takes_nothing(door: LocalDoor) -> None:
    """CON-077: each fault is told with its line, and a group that is not there is one; nothing of the file is taken."""
    told, detail = reason(lambda: door.ask(verbs.IMPORT, bringing("id,platform\nd1,windows\nd2,fridge\n")))
    assert (told, "line 3" in detail) == ("CON-077", True)
    told, detail = reason(lambda: door.ask(verbs.IMPORT, bringing("id,group\nd1,nowhere\n")))
    assert (told, "nowhere" in detail) == ("CON-077", True)
    assert states(door) == {}


def test_nobody_brings_what_a_system_says(world: World, door: LocalDoor) -> None:
    """CON-064: a connector that reads its inventory by itself is brought none."""
    world.outgoing = Cloud()
    created(door)
    asked = verbs.ImportDevices(connector="intune", devices=DEVICES)
    assert reason(lambda: door.ask(verbs.IMPORT, asked))[0] == "CON-064"
    assert reason(lambda: door.plan(verbs.IMPORT, asked))[0] == "CON-064"
