"""Verbs about enrolments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from regalia.errors import AdminError
from regalia.model import Authoriser, EnrolmentState, Grant, Names, Reach, Role
from regalia.model.fleet import DeviceState
from regalia.ra.roles import EVERYTHING
from regalia.verbs import Caller, LocalDoor
from regalia.verbs import enrolment as verbs
from vouching_parts import VouchedWorld, device_of, stored_device, stored_user
from world import ADMIN, Device, World, names, rsa_key

if TYPE_CHECKING:
    from regalia.verbs import Asked, Verb


@pytest.fixture
def world() -> World:
    """Return a system with a second group, and a queue in the first."""
    made = World()
    made.open_group("other")
    made.open_endpoint("tablets", Authoriser.APPROVAL)
    return made


@pytest.fixture
def door(world: World) -> LocalDoor:
    """Return the door of somebody who may do everything."""
    return LocalDoor(world, Caller(ADMIN, EVERYTHING))


def held(world: World, key: int = 0, transaction: str = "transaction-1") -> Device:
    """Have a device ask, and wait."""
    device = Device(world, rsa_key(key), endpoint="tablets").fresh(transaction)
    device.enrol(names("tablet-1"), world.secrets["tablets"])
    return device


def test_an_approved_device_collects_what_was_approved(world: World, door: LocalDoor) -> None:
    """An approval issues exactly the allowed names, and says so before."""
    device = held(world)
    asked = verbs.DecideEnrolment(id=str(world.pending().id))
    assert door.plan(verbs.APPROVE, asked).would[0].startswith("certify cn:tablet-1 for the RSA-2048 key with SHA-256 ")
    approved = door.ask(verbs.APPROVE, asked)
    assert (approved.state, approved.allowed) == (EnrolmentState.ISSUED, ("cn:tablet-1",))
    assert device.poll().certificates
    shown = door.ask(verbs.SHOW, verbs.ShowEnrolment(id=str(approved.id)))
    assert (shown.certificate, shown.facts) == (approved.certificate, None)


def test_a_denied_device_gets_nothing(world: World, door: LocalDoor) -> None:
    """A denial keeps who said no and why, and cannot be taken back."""
    device = held(world)
    asked = verbs.DenyEnrolment(id=str(world.pending().id), note="not one of ours")
    assert door.ask(verbs.DENY, asked).detail == "by admin os:tester: not one of ours"
    assert not device.poll().certificates
    decisions: tuple[tuple[Verb[Any, Any], Asked], ...] = (
        (verbs.APPROVE, verbs.DecideEnrolment(id=asked.id)),
        (verbs.DENY, asked),
    )
    for verb, decision in decisions:
        for face in (door.plan, door.ask):
            with pytest.raises(AdminError) as refused:
                face(verb, decision)
            assert refused.value.reason.id == "ADM-023"


def test_nobody_decides_by_a_transaction(world: World, door: LocalDoor) -> None:
    """Devices choose their transactions, so that one finds an enrolment to look at, and none to decide."""
    held(world, transaction="mine")
    assert door.ask(verbs.SHOW, verbs.ShowEnrolment(id="mine", waiting=True)).id == world.pending().id
    with pytest.raises(AdminError) as refused:
        door.ask(verbs.APPROVE, verbs.DecideEnrolment(id="mine"))
    assert refused.value.reason.id == "ADM-004"


def test_two_that_wait_with_one_transaction_are_not_guessed_at(world: World, door: LocalDoor) -> None:
    """Whoever looks for what waits by a transaction that two devices chose is asked for the id."""
    world.open_endpoint("phones", Authoriser.APPROVAL)
    held(world, transaction="mine")
    Device(world, rsa_key(1), endpoint="phones").fresh("mine").enrol(names("phone-1"), world.secrets["phones"])
    with pytest.raises(AdminError, match="mine is the transaction of 2 pending enrolments"):
        door.ask(verbs.SHOW, verbs.ShowEnrolment(id="mine", waiting=True))


def test_one_of_another_group_is_as_one_that_is_not_there(world: World) -> None:
    """Whoever sees another group only finds nothing by id, beginning or transaction, and decides nothing (AUTHZ-4)."""
    held(world)
    operator = LocalDoor(world, Caller(ADMIN, (Grant(Role.OPERATOR, Reach(frozenset({"other"}))),)))
    foreign = str(world.pending().id)
    for text in (foreign, foreign[:-1], "transaction-1", "0" * 36):
        asked = verbs.ShowEnrolment(id=text)
        with pytest.raises(AdminError, match=f"^ADM-004.*enrolment {text}$"):
            operator.ask(verbs.SHOW, asked)
        with pytest.raises(AdminError, match=f"^ADM-004.*enrolment {text}$"):
            operator.ask(verbs.APPROVE, verbs.DecideEnrolment(id=text))
    assert operator.ask(verbs.LIST, verbs.ListEnrolments()).items == ()
    with pytest.raises(AdminError, match=r"^ADM-004.*endpoint tablets$"):
        operator.ask(verbs.LIST, verbs.ListEnrolments(endpoint="tablets"))


def test_lists_by_state_and_endpoint(world: World, door: LocalDoor) -> None:
    """A list has what is in a state, or at an endpoint, newest first."""
    held(world)
    Device(world, rsa_key(1)).enrol(names("laptop-1"), world.mint("laptop-1"))
    waiting = door.ask(verbs.LIST, verbs.ListEnrolments(state=EnrolmentState.PENDING)).items
    assert [each.endpoint for each in waiting] == ["tablets"]
    assert [each.state for each in door.ask(verbs.LIST, verbs.ListEnrolments(endpoint="default")).items] == ["issued"]


def test_explains_a_refusal(world: World, door: LocalDoor) -> None:
    """What was refused is shown with what it asked for beside what was allowed."""
    Device(world).enrol(names("laptop-1", "vpn.example.com"), world.mint("laptop-1"))
    (found,) = door.ask(verbs.LIST, verbs.ListEnrolments()).items
    shown = door.ask(verbs.SHOW, verbs.ShowEnrolment(id=str(found.id)))
    assert (shown.reason, shown.explanation.difference) == ("RA-020", ("dns:vpn.example.com",))
    assert shown.stages[-1].ok is False
    assert shown.facts is not None


def test_whether_its_connector_was_told_is_shown() -> None:
    """R8: an enrolment that a connector vouched for says whether its system took note, and no other one does."""
    world = VouchedWorld()
    world.know(stored_device(DeviceState(enabled=True)), stored_user())
    client = device_of(world)
    assert client.enrol(Names(), "a challenge").certificates
    desk = LocalDoor(world, Caller(ADMIN, EVERYTHING))
    (found,) = desk.ask(verbs.LIST, verbs.ListEnrolments()).items
    shown = desk.ask(verbs.SHOW, verbs.ShowEnrolment(id=str(found.id)))
    assert shown.delivery is not None
    assert shown.delivery.startswith("Connector mdm was told of the certificate")
    plain = World()
    assert Device(plain).enrol(names("laptop-1"), plain.mint("laptop-1")).certificates
    desk = LocalDoor(plain, Caller(ADMIN, EVERYTHING))
    (other,) = desk.ask(verbs.LIST, verbs.ListEnrolments()).items
    assert "delivery" not in desk.ask(verbs.SHOW, verbs.ShowEnrolment(id=str(other.id))).model_dump()
