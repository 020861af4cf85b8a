"""A device that moves to another group: its old door closes at once, and its certificate there ends in its time."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from regalia import reasons
from regalia.model import RevocationReason
from regalia.model.connector import Connector
from regalia.model.fleet import Cause
from regalia.ra.follow_run import carry_out
from regalia.ra.outliving import supersede_outlived
from regalia.ra.roles import EVERYTHING
from regalia.verbs import Caller, LocalDoor
from regalia.verbs import device as verbs
from regalia.wire.scep import MessageType, PkiStatus
from vouching_parts import DEVICE, PROFILE, VouchedWorld, device_of, stored_device
from world import ADMIN, Device, names

if TYPE_CHECKING:
    from collections.abc import Callable

    from regalia.wire.scep_client import Reply

DAY = timedelta(days=1)


@pytest.fixture
def world() -> VouchedWorld:
    """Return a system with two groups behind one connector."""
    made = VouchedWorld()
    made.store.add_connector(Connector(UUID(int=9), "mdm", "inventory", {}, made.clock.now()), None, ())
    made.new_group("other")
    made.know(stored_device())
    return made


def enrolled(world: VouchedWorld, key: int = 0, endpoint: str = "mdm") -> Device:
    """Enrol the device with a key of its own."""
    client = device_of(world, key, f"t-{key}", endpoint)
    assert client.enrol(names(DEVICE), "blob").status is PkiStatus.SUCCESS
    return client


def end(world: VouchedWorld, client: Device) -> RevocationReason | None:
    """Say how a client's certificate stands."""
    found = world.certificate_of(client).revocation
    return None if found is None else found.reason


def move(world: VouchedWorld, group: str) -> None:
    """Have the device belong to another group."""
    door = LocalDoor(world, Caller(ADMIN, EVERYTHING, fresh=True))
    door.ask(verbs.MOVE, verbs.MoveDevice(id=str(stored_device().id), group=group))


def run(world: VouchedWorld) -> None:
    """Carry out what is due."""
    carry_out(world.store, world.entropy, world.clock.now())


def test_the_old_door_closes_at_once(world: VouchedWorld) -> None:
    """AUTHZ-4: from the moment of the move it neither enrols nor renews at its former group, and does at the new."""
    client = enrolled(world)
    move(world, "other")
    replies: tuple[Callable[[], Reply], ...] = (
        lambda: client.fresh("t-again").enrol(names(DEVICE), None, MessageType.RENEWAL_REQ),
        lambda: device_of(world, 1, "t-first").enrol(names(DEVICE), "blob"),
    )
    for reply in replies:
        assert reply().status is PkiStatus.FAILURE
        assert world.last_event().draft.reason_id == reasons.DEVICE_ELSEWHERE.id
    assert end(world, client) is None
    assert world.certificate_of(enrolled(world, 2, "mdm-other")).intent.group == "other"


def test_the_old_certificate_ends_with_the_new_one(world: VouchedWorld) -> None:
    """REV-1: what the new group has issued takes its place: it is revoked as affiliationChanged by the next run."""
    client = enrolled(world)
    move(world, "other")
    run(world)
    assert end(world, client) is None
    successor = enrolled(world, 2, "mdm-other")
    run(world)
    assert (end(world, client), end(world, successor)) == (RevocationReason.AFFILIATION_CHANGED, None)
    kept = world.store.causes_of([world.certificate_of(client).id])
    assert [each.cause for each in kept] == [Cause.MOVED]


def test_the_old_certificate_ends_after_its_grace(world: VouchedWorld) -> None:
    """Without a new one it is revoked seven days after the move, whenever its connector last spoke of it."""
    client = enrolled(world)
    move(world, "other")
    world.clock.advance(7 * DAY - timedelta(seconds=1))
    run(world)
    assert end(world, client) is None
    world.clock.advance(timedelta(seconds=2))
    run(world)
    assert end(world, client) is RevocationReason.AFFILIATION_CHANGED


def test_a_device_that_moves_back_keeps_its_certificate(world: VouchedWorld) -> None:
    """What was closed opens again, and nothing follows from a time that it was elsewhere."""
    client = enrolled(world)
    move(world, "other")
    move(world, "default")
    world.clock.advance(8 * DAY)
    run(world)
    assert end(world, client) is None


@pytest.mark.parametrize(("limits", "lives"), [("", [2, 3, 4]), ("[limits]\nlive = 1\n", [4])])
def test_a_profile_says_how_many_live(world: VouchedWorld, limits: str, lives: list[int]) -> None:
    """Three of a device live side by side unless its profile says another number; the oldest is superseded at once."""
    if limits:
        world.registry.create_profile("few", "default", PROFILE + limits, actor=ADMIN)
        world.open_door("mdm-few", profile="few")
    clients: list[Device] = []
    for key in range(5):
        world.clock.advance(timedelta(hours=1))
        clients.append(enrolled(world, key, "mdm-few" if limits else "mdm"))
    supersede_outlived(world.store, world.clock.now())
    ends = [end(world, client) for client in clients]
    assert [number for number, each in enumerate(ends) if each is None] == lives
    assert {each for each in ends if each is not None} == {RevocationReason.SUPERSEDED}


def test_an_overlap_is_what_the_profile_says(world: VouchedWorld) -> None:
    """Both stay good for the stated time beside each other; then the older one is superseded."""
    document = PROFILE + '[limits]\noverlap = "2d"\n'
    world.registry.create_profile("brief", "default", document, actor=ADMIN)
    world.open_door("mdm-brief", profile="brief")
    first, second = enrolled(world, 0, "mdm-brief"), enrolled(world, 1, "mdm-brief")
    world.clock.advance(2 * DAY - timedelta(seconds=1))
    assert supersede_outlived(world.store, world.clock.now()) == 0
    world.clock.advance(timedelta(seconds=1))
    assert supersede_outlived(world.store, world.clock.now()) == 1
    assert {end(world, first), end(world, second)} == {None, RevocationReason.SUPERSEDED}
