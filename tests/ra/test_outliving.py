"""A device's older certificate ends as superseded once its successor has stood beside it for long enough."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from ra.test_follow_run import Fleet
from regalia.model import Action, Hold, RevocationReason
from regalia.ra.outliving import SUPERSEDED, supersede_outlived

DAY = timedelta(days=1)
SECOND = UUID(int=4711)


def with_successor(fleet: Fleet, *, of_device: bool = True) -> None:
    """Issue another certificate a day later."""
    first = fleet.row().intent
    fleet.clock.advance(DAY)
    now = fleet.clock.now()
    intent = replace(first, id=SECOND, serial=4711, key_sha256=bytes(32), created_at=now)
    fleet.store.begin(intent if of_device else replace(intent, device_id=None, user_id=UUID(int=1 << 64)), ())
    assert fleet.store.finish(SECOND, b"der", now, ())


def test_a_week_beside_its_successor() -> None:
    """Both are good for a week; then the older one is revoked as superseded, and the brake does not count it."""
    fleet = Fleet(2)
    with_successor(fleet)
    assert supersede_outlived(fleet.store, fleet.clock.now()) == 0
    fleet.clock.advance(7 * DAY)
    assert supersede_outlived(fleet.store, fleet.clock.now()) == 1
    end = fleet.row().revocation
    assert end is not None
    assert (end.reason, end.cause) == (RevocationReason.SUPERSEDED, SUPERSEDED)
    event = fleet.last_event().draft
    assert (event.action, event.details["reason"]) == (Action.CERTIFICATE_REVOKED, "superseded")
    assert fleet.store.ended_since(fleet.clock.now() - DAY) == {}
    assert supersede_outlived(fleet.store, fleet.clock.now()) == 0
    assert fleet.revoked() == 1


def test_what_is_on_hold_neither_succeeds_nor_ends() -> None:
    """A successor on hold takes nobody's place, and an older one on hold is left to whoever holds it."""
    for which in ("older", "newer"):
        fleet = Fleet()
        with_successor(fleet)
        fleet.clock.advance(8 * DAY)
        held = fleet.row().id if which == "older" else SECOND
        assert fleet.store.hold_certificate(Hold(held, "administrator", "os:root", fleet.clock.now()), ())
        assert supersede_outlived(fleet.store, fleet.clock.now()) == 0


def test_users_without_a_device_keep_theirs() -> None:
    """Two certificates of a user whose devices are not known may be on two devices: neither ends."""
    fleet = Fleet()
    with_successor(fleet, of_device=False)
    fleet.clock.advance(30 * DAY)
    assert supersede_outlived(fleet.store, fleet.clock.now()) == 0
