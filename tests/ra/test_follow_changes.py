"""Runs one after the other read what has changed, and miss nothing that a whole run would find (REV-7, CON-5)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from fleet_scene import DAY
from memory_store import MemoryStore
from ra.test_follow_run import LOST, WIPED, Fleet
from regalia.errors import UnavailableError
from regalia.model import RevocationReason
from regalia.model.connector import Connector
from regalia.model.fleet import Cause, DeviceState, FoundCause, StepKind, UserState
from regalia.ports.fleet import Sweep
from regalia.ra.follow_changes import Follower

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from regalia.model import Certificate
    from regalia.ports.fleet import Bearer
    from regalia.ra.follow_run import Done

HALF_A_MINUTE = timedelta(seconds=30)
NEVER_AGAIN = timedelta(minutes=10)
"""After so long what was written before the first run is read by whole runs alone."""


class Noting(MemoryStore):
    """A store that notes whose certificates were asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.looked_at: set[UUID] = set()

    def live_certificates(self, bearers: Sequence[Bearer], now: datetime) -> Mapping[Bearer, Sequence[Certificate]]:
        """See the port."""
        self.looked_at |= {each.id for each in bearers}
        return super().live_certificates(bearers, now)


class Watched(Fleet):
    """A fleet that was left alone for long enough, with a process that follows; notes whom its runs look at."""

    def __init__(self, many: int = 3) -> None:
        self.noting = Noting()
        super().__init__(many, store=self.noting)
        self.follower = Follower(self.store, self.entropy)
        self.clock.advance(NEVER_AGAIN)
        assert self.next().kinds == {}
        self.clock.advance(NEVER_AGAIN)
        assert self.next().kinds == {}
        assert self.seen() == set()

    def next(self, follower: Follower | None = None) -> Done:
        """Make the next run."""
        self.noting.looked_at.clear()
        self.clock.advance(HALF_A_MINUTE)
        return (follower or self.follower).run(self.clock.now())

    def seen(self) -> set[int]:
        """Return the numbers of the devices that the last run looked at."""
        return {each.int for each in self.noting.looked_at}

    def change_user(self, state: UserState) -> None:
        """Have the connector say something of the user of all devices."""
        before = self.store.user_of("intune", "user-1")
        assert before is not None
        assert self.store.put_users([(before, replace(before, state=state, state_since=self.clock.now()))], ())


def test_a_change_is_all_that_is_read() -> None:
    """A run looks at the device that has changed and at no other; what follows is what a whole run would do."""
    fleet = Watched()
    fleet.become(WIPED, 2)
    assert fleet.next().kinds == {StepKind.REVOKE: 1}
    assert fleet.seen() == {2}
    end = fleet.row(2).revocation
    assert end is not None
    assert end.reason is RevocationReason.CESSATION_OF_OPERATION


def test_what_was_seen_again_is_no_change() -> None:
    """A sweep that shows a device as it was, or misses it once, gives nothing to look at; its absence does."""
    fleet = Watched()
    before = fleet.store.device(UUID(int=1))
    assert before is not None
    now = fleet.clock.now()
    again = replace(before, seen_at=now, evidence={"source": "x"}, missed_sweeps=1)
    assert fleet.store.put_devices([(before, again)], ())
    fleet.next()
    assert fleet.seen() == set()
    fleet.become(DeviceState(present=False), 1)
    assert fleet.next().kinds == {StepKind.REVOKE: 1}


def test_a_restart_misses_no_change() -> None:
    """What changed while no process ran is found by the first run of the next one, which is whole."""
    fleet = Watched()
    fleet.become(WIPED, 1)
    fleet.clock.advance(NEVER_AGAIN)
    assert fleet.next(Follower(fleet.store, fleet.entropy)).kinds == {StepKind.REVOKE: 1}
    assert fleet.seen() == {1, 2, 3}


def test_two_nodes_take_turns() -> None:
    """Each node reads what has changed since its own last run, however many the other one made meanwhile."""
    fleet = Watched()
    other = Follower(fleet.store, fleet.entropy)
    fleet.next(other)
    fleet.clock.advance(NEVER_AGAIN)
    fleet.become(WIPED, 1)
    assert fleet.next(other).kinds == {StepKind.REVOKE: 1}
    assert fleet.next().kinds == {}
    assert fleet.seen() == {1}
    fleet.clock.advance(NEVER_AGAIN)
    fleet.become(WIPED, 2)
    assert fleet.next().kinds == {StepKind.REVOKE: 1}
    assert fleet.next(other).kinds == {}


def test_another_rule_concerns_everybody() -> None:
    """After a change of a group's rules the next run is whole: what was noted only has a consequence now."""
    fleet = Watched()
    assert fleet.store.set_follow("default", '{"rules": {"lost": {"consequence": "nothing"}}}', ())
    fleet.become(LOST, 1)
    fleet.next()
    assert fleet.row(1).revocation is None
    assert fleet.store.set_follow("default", "", ())
    assert fleet.next().kinds == {StepKind.HOLD: 1}
    assert fleet.seen() == {1, 2, 3}


def test_a_device_that_moved_is_looked_at_until_it_is_over() -> None:
    """A device of another group loses its old certificate after a week, or once the new group has issued."""
    fleet = Watched()
    fleet.open_group("other")
    before = fleet.store.device(UUID(int=1))
    assert before is not None
    moved = replace(before, group="other", seen_at=fleet.clock.now())
    assert fleet.store.put_devices([(before, moved)], ())
    assert fleet.next().kinds == {StepKind.NOTE: 1}
    fleet.clock.advance(NEVER_AGAIN)
    assert fleet.next().kinds == {}
    assert fleet.seen() == {1}
    fleet.add(257, "other")
    second = fleet.store.device(UUID(int=257))
    assert second is not None
    fleet.clock.advance(8 * DAY)
    assert fleet.next().kinds == {StepKind.REVOKE: 1}


def test_a_hold_ends_when_its_cause_does() -> None:
    """A device that was found again is good again with the next run."""
    fleet = Watched()
    fleet.become(LOST, 1)
    assert fleet.next().kinds == {StepKind.HOLD: 1}
    fleet.clock.advance(NEVER_AGAIN)
    fleet.become(DeviceState(lost=False), 1)
    assert fleet.next().kinds == {StepKind.RELEASE: 1}
    fleet.clock.advance(NEVER_AGAIN)
    fleet.next()
    fleet.next()
    assert fleet.seen() == set()


def test_what_becomes_due_by_time_is_not_forgotten() -> None:
    """A hold becomes a revocation when its time is over, with nothing said meanwhile and without a whole run."""
    fleet = Watched()
    rule = '{"rules": {"lost": {"consequence": "hold", "revoke-after": "20m"}}}'
    assert fleet.store.set_follow("default", rule, ())
    fleet.next()
    fleet.become(LOST, 1)
    assert fleet.next().kinds == {StepKind.HOLD: 1}
    fleet.clock.advance(timedelta(minutes=15))
    assert fleet.next().kinds == {}
    fleet.clock.advance(timedelta(minutes=5))
    assert fleet.next().kinds == {StepKind.REVOKE: 1}
    assert fleet.seen() == {1}


def test_a_grace_is_waited_for() -> None:
    """A device that does not comply is looked at until its time to do so is over, though no cause is kept of it."""
    fleet = Watched()
    assert fleet.store.set_follow("default", '{"compliance-grace": "20m"}', ())
    fleet.next()
    before = fleet.store.device(UUID(int=1))
    assert before is not None
    now = fleet.clock.now()
    fresh = replace(before, state=DeviceState(compliant=False), state_since=now, first_seen_at=now)
    assert fleet.store.put_devices([(before, fresh)], ())
    assert fleet.next().kinds == {}
    fleet.clock.advance(timedelta(minutes=20))
    assert fleet.next().kinds == {StepKind.HOLD: 1}
    assert fleet.seen() == {1}


def test_a_user_concerns_their_devices() -> None:
    """What is said of a user has the devices of that user looked at."""
    fleet = Watched()
    assert fleet.store.set_follow("default", '{"users-count-for": "their-devices"}', ())
    fleet.next()
    fleet.change_user(UserState(enabled=False))
    assert fleet.next().kinds == {StepKind.HOLD: 3}
    assert fleet.seen() == {1, 2, 3}


def test_a_new_certificate_and_a_wish_are_changes() -> None:
    """CON-5: a certificate that was just issued is looked at, and so is one whose end its system has asked for."""
    fleet = Watched()
    fleet.add(9)
    fleet.next()
    assert fleet.seen() == {9}
    fleet.clock.advance(NEVER_AGAIN)
    fleet.next()
    wish = FoundCause(Cause.REQUESTED, fleet.clock.now(), "its system asks for it")
    row = fleet.row(2)
    assert fleet.store.follow(
        row.id, causes=(wish,), ended=(), status=None, release=False, at=fleet.clock.now(), events=()
    )
    assert fleet.next().kinds == {StepKind.REVOKE: 1}
    assert fleet.seen() == {2}


def test_an_outage_and_its_end_concern_everybody() -> None:
    """CON-5: when a connector answers again everything is read, also what changed while nobody counted its word."""
    fleet = Watched()
    now = fleet.clock.now()
    broken = Sweep(UUID(int=1), "intune", full=True, began_at=now, cursor=None, seen=0, why="CON-040")
    assert fleet.store.put_sweep(None, broken, ())
    fleet.become(WIPED, 1)
    assert fleet.next().kinds == {}
    fleet.clock.advance(NEVER_AGAIN)
    assert fleet.next().kinds == {}
    ended = replace(broken, why="", complete=True, seen=3, ended_at=fleet.clock.now())
    assert fleet.store.put_sweep(broken, ended, ())
    assert fleet.next().kinds == {StepKind.REVOKE: 1}


def test_many_small_runs_are_one_large_one() -> None:
    """REV-7: what runs of changes end adds up, against the whole fleet; the one that is too much is shown whole."""
    fleet = Watched(100)
    for first in range(1, 21, 5):
        fleet.become(WIPED, *range(first, first + 5))
        assert fleet.next().kinds == {StepKind.REVOKE: 5}
    fleet.become(WIPED, 21)
    done = fleet.next()
    assert done.stopped is not None
    assert (dict(done.stopped.ends), dict(done.stopped.live)) == ({"default": 1}, {"default": 80})
    assert fleet.revoked() == 20
    fleet.become(WIPED, 22)
    done = fleet.next()
    assert fleet.seen() >= set(range(21, 101))
    assert done.stopped is not None
    assert dict(done.stopped.ends) == {"default": 2}
    fleet.clock.advance(timedelta(hours=1))
    assert fleet.next().kinds == {StepKind.REVOKE: 2}
    assert fleet.store.open_stops() == ()


def test_a_share_is_one_of_the_fleet() -> None:
    """REV-7: a run that reads thirty changes of a thousand devices may end them all: that is three of a hundred."""
    fleet = Watched(1000)
    fleet.become(WIPED, *range(1, 31))
    assert fleet.next().kinds == {StepKind.REVOKE: 30}
    assert fleet.seen() == set(range(1, 31))


def test_once_an_hour_everything_is_read() -> None:
    """What nobody could know of, because a clock was wrong, is found within the hour."""
    fleet = Watched()
    before = fleet.store.device(UUID(int=1))
    assert before is not None
    past = fleet.clock.now() - DAY
    assert fleet.store.put_devices([(before, replace(before, state=WIPED, state_since=past, seen_at=past))], ())
    assert fleet.next().kinds == {}
    fleet.clock.advance(timedelta(hours=1))
    assert fleet.next().kinds == {StepKind.REVOKE: 1}


def test_after_a_run_that_failed_everything_is_read() -> None:
    """A run that could not be made leaves nothing out: the next one is whole."""
    fleet = Watched()
    assert fleet.store.set_follow("default", "{", ())
    with pytest.raises(UnavailableError):
        fleet.next()
    fleet.become(WIPED, 1)
    assert fleet.store.set_follow("default", "", ())
    assert fleet.store.add_connector(Connector(UUID(int=8), "other", "intune", {}, fleet.clock.now()), None, ())
    assert fleet.next().kinds == {StepKind.REVOKE: 1}
    assert fleet.seen() == {1, 2, 3}
