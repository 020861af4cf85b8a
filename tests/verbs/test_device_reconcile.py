"""Verbs about what follows now: who is told of which steps, and who has them done."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from ra.test_follow_run import LOST, WIPED, Fleet
from regalia.errors import AdminError
from regalia.model import Grant, Reach, Role
from regalia.model.fleet import Cause
from regalia.ra.roles import EVERYTHING
from regalia.verbs import Caller, LocalDoor
from regalia.verbs import device as devices
from regalia.verbs import device_reconcile as verbs
from world import ADMIN

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def fleet() -> Fleet:
    """Return two groups: a wiped and a lost device in the first, a wiped one in the other."""
    made = Fleet(3)
    made.open_group("other")
    made.add(4, "other")
    made.become(WIPED, 1, 4)
    made.become(LOST, 2)
    return made


def door(fleet: Fleet, role: Role = Role.ADMIN, *groups: str) -> LocalDoor:
    """Return the door of somebody with a role, in groups or everywhere."""
    everywhere = EVERYTHING if role is Role.ADMIN else (Grant(role),)
    grants = (Grant(role, Reach(frozenset(groups))),) if groups else everywhere
    return LocalDoor(fleet, Caller(ADMIN, grants, fresh=True))


def reason(act: Callable[[], object]) -> str:
    """Do what is refused, and return the reason's id."""
    with pytest.raises(AdminError) as refused:
        act()
    return refused.value.reason.id


def test_what_is_told_is_what_is_done(fleet: Fleet) -> None:
    """The plan counts all, tells as many steps as are asked for, and changes nothing; then the same is done."""
    told = door(fleet).ask(verbs.PLANNED, verbs.AskReconciliation(steps=2))
    assert (told.revoke, told.hold, told.release, told.stops, len(told.steps)) == (2, 1, 0, (), 2)
    assert told.steps[0].text.startswith("revoke 100 (group default")
    assert fleet.revoked() == 0
    done = door(fleet).ask(verbs.RECONCILE, verbs.Reconcile())
    assert (done.revoke, done.hold, done.passed, done.stops) == (2, 1, 0, ())
    assert door(fleet).ask(verbs.PLANNED, verbs.AskReconciliation()).steps == ()


def test_one_device_is_reconciled_alone(fleet: Fleet) -> None:
    """With a device only its certificates are planned and done."""
    wanted = str(UUID(int=2))
    assert door(fleet).ask(verbs.PLANNED, verbs.AskReconciliation(device=wanted)).hold == 1
    done = door(fleet).ask(verbs.RECONCILE, verbs.Reconcile(device=wanted))
    assert (done.revoke, done.hold, fleet.revoked()) == (0, 1, 1)


def test_a_group_is_reconciled_by_its_own(fleet: Fleet) -> None:
    """AUTHZ-4: an operator of one group is told of its steps, has them done, and leaves the others."""
    operator = door(fleet, Role.OPERATOR, "other")
    (step,) = operator.ask(verbs.PLANNED, verbs.AskReconciliation()).steps
    assert step.group == "other"
    assert reason(lambda: operator.ask(verbs.PLANNED, verbs.AskReconciliation(device=str(UUID(int=1))))) == "ADM-004"
    assert reason(lambda: operator.ask(verbs.RECONCILE, verbs.Reconcile(device=str(UUID(int=1))))) == "ADM-004"
    assert operator.ask(verbs.RECONCILE, verbs.Reconcile()).revoke == 1
    assert (fleet.revoked(), fleet.row(1).revocation) == (1, None)


def test_a_helpdesk_looks_and_does_nothing(fleet: Fleet) -> None:
    """ADM-070: what would be done is told to a helpdesk, which has nothing done."""
    helpdesk = door(fleet, Role.HELPDESK, "default")
    assert helpdesk.ask(verbs.PLANNED, verbs.AskReconciliation()).revoke == 1
    assert reason(lambda: helpdesk.ask(verbs.RECONCILE, verbs.Reconcile())) == "ADM-070"


def test_the_brake_holds_for_an_administrator(fleet: Fleet) -> None:
    """REV-7: what is too much for a job is too much for one administrator: it is told, kept, and not done."""
    for number in range(5, 40):
        fleet.add(number)
    fleet.become(WIPED, *range(5, 40))
    told = door(fleet).ask(verbs.PLANNED, verbs.AskReconciliation())
    assert told.stops
    done = door(fleet).ask(verbs.RECONCILE, verbs.Reconcile())
    assert (done.revoke, done.digest, fleet.revoked()) == (0, told.digest, 0)
    bounded = door(fleet, Role.OPERATOR, "default").ask(verbs.RECONCILE, verbs.Reconcile())
    assert (bounded.revoke, bounded.digest, bool(bounded.stops)) == (0, None, True)
    assert [each.digest for each in fleet.store.open_stops()] == [told.digest]


def test_a_move_begins_the_time_of_grace(fleet: Fleet) -> None:
    """Moving a device keeps the cause beside its certificate at once; it is revoked a week later, and not before."""
    asked = devices.MoveDevice(id=str(UUID(int=3)), group="other")
    door(fleet).ask(devices.MOVE, asked)
    assert [each.cause for each in fleet.store.causes_of([fleet.row(3).id])] == [Cause.MOVED]
    assert fleet.row(3).revocation is None
    shown = door(fleet).ask(devices.SHOW, devices.DeviceId(id=str(UUID(int=3))))
    assert "revokes it from" in shown.certificates[0].explained[1]
