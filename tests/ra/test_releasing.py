"""An administrator's release, while what follows from a device's state holds the certificate as well (REV-1)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from ra.test_follow_run import LOST, Fleet
from regalia import reasons
from regalia.ca.revoke import hold, revoke
from regalia.errors import AdminError
from regalia.model import Action, RevocationReason
from regalia.model.fleet import Cause, DeviceState
from regalia.ports import EventFilter
from regalia.ports.fleet import FOLLOWING, Sweep
from regalia.ra.releasing import release_share, still_held
from world import ADMIN

GOOD = DeviceState(lost=False)


def released(fleet: Fleet) -> None:
    """Release the device's certificate."""
    release_share(fleet.store, fleet.clock, fleet.row(), actor=ADMIN, note="found")


def is_held(fleet: Fleet) -> bool:
    """Say whether it is on hold."""
    found = fleet.row().revocation
    return found is not None and found.reason is RevocationReason.CERTIFICATE_HOLD


def lasting(fleet: Fleet) -> list[Cause | None]:
    """List the causes that hold it now."""
    return [each.cause for each in fleet.store.causes_of([fleet.row().id]) if each.ended_at is None]


@pytest.fixture
def fleet() -> Fleet:
    """Return a device that is lost."""
    made = Fleet()
    made.become(LOST, 1)
    return made


def test_nobody_releases_what_follows(fleet: Fleet) -> None:
    """CON-069: a hold that only follows is refused with its causes, and not undone by the next run unseen."""
    fleet.run()
    with pytest.raises(AdminError) as refused:
        released(fleet)
    assert refused.value.reason is reasons.CERTIFICATE_FOLLOWS
    assert "lost since" in refused.value.detail
    assert "holds it" in refused.value.detail
    assert is_held(fleet)
    fleet.become(GOOD, 1)
    fleet.run()
    assert not is_held(fleet)


@pytest.mark.parametrize("first", ["administrator", "following"])
def test_a_share_ends_and_the_cause_goes_on(fleet: Fleet, first: str) -> None:
    """REV-1: whoever of both was first, the release ends the administrator's share, and there is no moment of good."""
    if first == "administrator":
        hold(fleet.store, fleet.clock, fleet.row(), actor=ADMIN)
        fleet.run()
    else:
        fleet.run()
        hold(fleet.store, fleet.clock, fleet.row(), actor=ADMIN)
    assert set(lasting(fleet)) == {Cause.LOST, None}
    released(fleet)
    assert is_held(fleet)
    assert lasting(fleet) == [Cause.LOST]
    found = fleet.row().revocation
    assert found is not None
    assert found.cause == FOLLOWING
    (told,) = [each.draft for each in fleet.store.events(EventFilter(action=Action.CERTIFICATE_RELEASED))]
    assert "lost since" in str(told.details["still"])
    assert fleet.run().kinds == {}
    fleet.become(GOOD, 1)
    fleet.run()
    assert not is_held(fleet)


def test_the_log_tells_both(fleet: Fleet) -> None:
    """A release whose place is taken by what follows is one record of each, in one transaction."""
    hold(fleet.store, fleet.clock, fleet.row(), actor=ADMIN)
    fleet.run()
    released(fleet)
    last = [each.draft for each in fleet.store.events(EventFilter(limit=2))]
    assert [each.action for each in last] == [Action.CERTIFICATE_RELEASED, Action.CERTIFICATE_HELD]
    assert [each.actor.id for each in last] == [ADMIN.id, FOLLOWING]
    assert "lost since" in str(last[1].details["note"])


def test_a_cause_from_which_nothing_follows_holds_nothing(fleet: Fleet) -> None:
    """What is only noted, as a device that moved a day ago, does not keep what an administrator releases."""
    fleet.become(GOOD, 1)
    device = fleet.store.device(UUID(int=1))
    assert device is not None
    assert fleet.store.put_devices([(device, replace(device, group="other"))], ())
    hold(fleet.store, fleet.clock, fleet.row(), actor=ADMIN)
    fleet.run()
    assert set(lasting(fleet)) == {Cause.MOVED, None}
    released(fleet)
    assert not is_held(fleet)


def test_what_nobody_says_any_more_can_be_released(fleet: Fleet) -> None:
    """CON-5: while the connector is away nothing follows: an administrator may release, and is told what is kept."""
    fleet.run()
    now = fleet.clock.now()
    broken = Sweep(UUID(int=5), "intune", full=True, began_at=now, cursor=None, seen=0, ended_at=now, why="broken off")
    assert fleet.store.put_sweep(None, broken, ())
    assert still_held(fleet.store, fleet.row(), now) == ()
    released(fleet)
    assert not is_held(fleet)
    assert lasting(fleet) == [Cause.LOST]


def test_a_wipe_that_waits_for_its_run_is_no_release(fleet: Fleet) -> None:
    """A cause that would revoke is told as well, and the administrator's share ends without making it good."""
    hold(fleet.store, fleet.clock, fleet.row(), actor=ADMIN)
    fleet.become(replace(LOST, managed=False), 1)
    (wiped, _) = sorted(still_held(fleet.store, fleet.row(), fleet.clock.now()), reverse=True)
    assert wiped.endswith("revokes it")
    released(fleet)
    assert is_held(fleet)
    fleet.run()
    found = fleet.row().revocation
    assert found is not None
    assert found.reason is RevocationReason.CESSATION_OF_OPERATION


def test_what_is_not_on_hold_is_not_released(fleet: Fleet) -> None:
    """ADM-052: good or revoked, in the words of before."""
    fleet.become(GOOD, 1)
    for end in (False, True):
        if end:
            reason = RevocationReason.SUPERSEDED
            revoke(fleet.store, fleet.clock, fleet.row(), reason=reason, actor=ADMIN)
            fleet.clock.advance(timedelta(seconds=1))
        with pytest.raises(AdminError) as refused:
            released(fleet)
        assert refused.value.reason is reasons.CERTIFICATE_STATE
