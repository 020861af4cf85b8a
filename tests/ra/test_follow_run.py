"""A run of what follows: what a dry run prints is what a run does, and the brake holds what is too much (REV-7)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from fleet_scene import device, user
from regalia.ca.revoke import is_final
from regalia.model import (
    Action,
    Actor,
    ActorKind,
    CertificateIntent,
    CertificateKind,
    Hold,
    Names,
    RevocationReason,
)
from regalia.model.connector import Connector
from regalia.model.fleet import Cause, DeviceState, PendingAction, StepKind, UserState
from regalia.ports.fleet import AGREED, BROUGHT, FOLLOWING, Bearer, Stopped, Sweep
from regalia.ra.follow_run import Done, carry_out, follow_bearers, follow_device, planned
from regalia.ra.following import describe
from world import World

if TYPE_CHECKING:
    from memory_store import MemoryStore
    from regalia.model import Certificate

WIPED = DeviceState(pending=PendingAction.WIPE)
LOST = DeviceState(lost=True)


class Fleet(World):
    """A group with devices of one connector, each with a certificate."""

    def __init__(self, many: int = 1, group: str = "default", store: MemoryStore | None = None) -> None:
        super().__init__(store=store)
        now = self.clock.now()
        self.store.add_connector(Connector(UUID(int=9), "intune", "intune", {}, now), None, ())
        self.store.put_users([(None, user(state_since=now, first_seen_at=now, seen_at=now))], ())
        for number in range(1, many + 1):
            self.add(number, group)

    def add(self, number: int, group: str = "default", owner: UUID | None = None) -> None:
        """Add a device with a certificate."""
        now = self.clock.now()
        record = device(None, number, group=group, seen_at=now, state_since=now, first_seen_at=now)
        if self.store.device(record.id) is None:
            assert self.store.put_devices([(None, record)], ())
        authority = self.store.authority(f"{group}-ca-1")
        assert authority is not None
        serial = (number << 8) + (owner is not None)
        intent = CertificateIntent(
            id=UUID(int=serial << 40),
            kind=CertificateKind.LEAF,
            authority=authority.name,
            key_id=authority.key_id,
            serial=serial,
            tbs=b"",
            group=group,
            profile=group,
            profile_version=1,
            subject=f"CN=laptop-{number}",
            names=Names(f"laptop-{number}"),
            device=None,
            unverified=False,
            key_sha256=serial.to_bytes(32),
            not_before=now,
            not_after=now + timedelta(days=365),
            enrolment_id=None,
            generation=0,
            lease_until=now,
            created_at=now,
            device_id=record.id,
            user_id=owner,
        )
        self.store.begin(intent, ())
        assert self.store.finish(intent.id, b"der", now, ())

    def become(self, state: DeviceState, *numbers: int) -> None:
        """Have the connector say something else of devices."""
        for number in numbers:
            before = self.store.device(UUID(int=number))
            assert before is not None
            after = replace(before, state=state, state_since=self.clock.now())
            assert self.store.put_devices([(before, after)], ())

    def row(self, number: int = 1) -> Certificate:
        """Return a device's certificate."""
        found = self.store.certificate(UUID(int=(number << 8) << 40))
        assert found is not None
        return found

    def run(self, **given: object) -> Done:
        """Carry out what is due now."""
        return carry_out(self.store, self.entropy, self.clock.now(), **given)  # type: ignore[arg-type]

    def revoked(self) -> int:
        """Count what is revoked or on hold."""
        return sum(row.revocation is not None for row in self.store.certificates_after(None, 10_000))


def test_a_dry_run_is_what_a_run_does() -> None:
    """What is planned is told step by step and changes nothing; the run does just this, and the next one nothing."""
    fleet = Fleet(3)
    fleet.become(WIPED, 1)
    fleet.become(LOST, 2)
    before = len(fleet.store.log)
    told = [describe(step) for step in planned(fleet.store, fleet.clock.now()).steps()]
    assert [line.partition(" ")[0] for line in told] == ["revoke", "hold"]
    assert (fleet.revoked(), len(fleet.store.log)) == (0, before)
    assert fleet.run().kinds == {StepKind.REVOKE: 1, StepKind.HOLD: 1}
    assert list(planned(fleet.store, fleet.clock.now()).steps()) == []
    assert fleet.run() == Done()


def test_each_deed_has_its_record() -> None:
    """A revocation says that it followed, why, and who acts; the causes stand beside the certificate."""
    fleet = Fleet()
    fleet.become(WIPED, 1)
    fleet.run()
    end = fleet.row().revocation
    assert end is not None
    assert (end.reason, end.cause, end.actor) == (RevocationReason.CESSATION_OF_OPERATION, FOLLOWING, "following")
    assert "wiped" in end.note
    assert [each.cause for each in fleet.store.causes_of([fleet.row().id])] == [Cause.WIPED]
    actions = [event.draft.action for event in fleet.store.log[-2:]]
    assert actions == [Action.CERTIFICATE_REVOKED, Action.FOLLOW_CARRIED_OUT]
    revoked = fleet.store.log[-2].draft
    assert (revoked.details["reason"], revoked.details["cause"]) == ("cessation_of_operation", FOLLOWING)


def test_a_hold_ends_with_its_cause() -> None:
    """A lost device's certificate is held, and good again when it was found; the cause is kept as ended."""
    fleet = Fleet()
    fleet.become(LOST, 1)
    assert fleet.run().kinds == {StepKind.HOLD: 1}
    fleet.become(DeviceState(lost=False), 1)
    assert fleet.run().kinds == {StepKind.RELEASE: 1}
    assert fleet.row().revocation is None
    (kept,) = fleet.store.causes_of([fleet.row().id])
    assert kept.ended_at == fleet.clock.now()
    assert fleet.store.log[-2].draft.action is Action.CERTIFICATE_RELEASED


def test_an_administrators_hold_is_not_ours_to_release() -> None:
    """What an administrator held stays on hold, whatever the device does."""
    fleet = Fleet()
    assert fleet.store.hold_certificate(Hold(fleet.row().id, "administrator", "os:root", fleet.clock.now()), ())
    fleet.become(DeviceState(lost=False, enabled=True), 1)
    assert fleet.run() == Done()
    assert fleet.row().revocation is not None


def test_too_much_does_nothing_at_all() -> None:
    """REV-7: a run that would end more than 20 and more than 5 percent stops, tells how many, and is kept once."""
    fleet = Fleet(60)
    fleet.become(WIPED, *range(1, 31))
    done = fleet.run()
    assert (fleet.revoked(), done.kinds) == (0, {})
    assert done.stopped is not None
    assert done.stopped.ends == {"default": 30}
    assert "30 of 60" in done.why[0]
    event = fleet.last_event().draft
    assert (event.action, event.security) == (Action.FOLLOW_STOPPED, True)
    logged = len(fleet.store.log)
    again = fleet.run()
    assert again.stopped == done.stopped
    assert len(fleet.store.log) == logged


def let_go(fleet: Fleet, stopped: Stopped | None) -> None:
    """Have two administrators let it go."""
    assert stopped is not None
    after = replace(stopped, let_go_at=fleet.clock.now(), let_go_by=("user:alice", "user:bob"))
    assert fleet.store.put_stopped(stopped, after, ())


def test_what_was_let_go_is_what_was_shown() -> None:
    """REV-7: exactly the plan that was shown is carried out; what became due since waits, and is counted anew."""
    fleet = Fleet(60)
    fleet.become(WIPED, *range(1, 31))
    let_go(fleet, fleet.run().stopped)
    fleet.become(WIPED, *range(31, 34))
    fleet.become(DeviceState(), 1)
    assert fleet.run().kinds == {StepKind.REVOKE: 29}
    end = fleet.row(2).revocation
    assert end is not None
    assert end.cause == AGREED
    assert fleet.store.open_stops() == ()
    assert fleet.row(31).revocation is None
    assert fleet.run().kinds == {StepKind.REVOKE: 3}


def test_a_word_counts_for_a_day() -> None:
    """A run that was let go more than 24 hours ago is stopped again, and shown anew."""
    fleet = Fleet(60)
    fleet.become(WIPED, *range(1, 31))
    first = fleet.run().stopped
    let_go(fleet, first)
    fleet.clock.advance(timedelta(hours=25))
    again = fleet.run().stopped
    assert fleet.revoked() == 0
    assert again is not None
    assert again.let_go_at is None
    assert [each.id for each in fleet.store.open_stops()] == [again.id]


def test_many_small_runs_are_a_large_one() -> None:
    """REV-7: what ended by itself in the last hour counts along, so that one device at a time is stopped, too."""
    fleet = Fleet(60)
    done = 0
    for number in range(1, 31):
        fleet.become(WIPED, number)
        done += follow_device(fleet.store, UUID(int=number), fleet.clock.now()).kinds.get(StepKind.REVOKE, 0)
    assert (done, fleet.revoked()) == (20, 20)
    held = follow_device(fleet.store, UUID(int=30), fleet.clock.now())
    assert held.kinds == {}
    assert "shortly before" in held.why[0]
    fleet.clock.advance(timedelta(hours=2))
    assert fleet.run().kinds == {StepKind.REVOKE: 10}


@pytest.mark.parametrize("out", ["disabled", "gone", "broken off", "stands still", "of yesterday"])
def test_while_a_connector_is_out_nothing_follows(out: str) -> None:
    """CON-5: what a connector said before it was out is no ground for anything."""
    fleet = Fleet()
    fleet.become(WIPED, 1)
    now = fleet.clock.now()
    connector = fleet.store.connector("intune")
    assert connector is not None
    if out == "disabled":
        assert fleet.store.change_connector(connector, replace(connector, disabled_at=now), None, ())
    elif out == "gone":
        before = fleet.store.device(UUID(int=1))
        assert before is not None
        assert fleet.store.put_devices([(before, replace(before, connector="nobody"))], ())
    else:
        ended = None if out == "stands still" else now
        sweep = Sweep(
            UUID(int=5), "intune", full=True, began_at=now, cursor=None, seen=3, ended_at=ended, why="HTTP 500"
        )
        if out == "of yesterday":
            fleet.clock.advance(timedelta(hours=24))
            sweep = replace(sweep, complete=True, why="")
        assert fleet.store.put_sweep(None, sweep, ())
    assert fleet.run() == Done()
    assert fleet.revoked() == 0


@pytest.mark.parametrize("cursor", [BROUGHT, None])
def test_what_people_brought_does_not_grow_old(cursor: str | None) -> None:
    """An inventory that was imported counts until the next one; one that is read by us counts for a day."""
    fleet = Fleet()
    fleet.become(WIPED, 1)
    now = fleet.clock.now()
    sweep = Sweep(UUID(int=5), "intune", full=True, began_at=now, cursor=cursor, seen=3, ended_at=now, complete=True)
    assert fleet.store.put_sweep(None, sweep, ())
    fleet.clock.advance(timedelta(days=30))
    fleet.run()
    assert fleet.revoked() == (1 if cursor == BROUGHT else 0)


def test_what_was_not_counted_is_not_done() -> None:
    """REV-7: what becomes due between the count and the deed waits for a run that counts it, also in a long plan."""
    fleet = Fleet(60)
    fleet.become(WIPED, 1)
    run = planned(fleet.store, fleet.clock.now())
    fleet.become(WIPED, *range(2, 50))
    long = replace(run, steps=planned(fleet.store, fleet.clock.now()).steps)
    assert len(list(long.steps())) == 49
    assert [step.serial for step in long.counted_steps()] == [1 << 8]


def test_one_message_is_one_run() -> None:
    """REV-7: many devices that one message names are counted together, and none is ended where they are too many."""
    fleet = Fleet(60)
    fleet.become(WIPED, *range(1, 31))
    bearers = [Bearer(UUID(int=number), None) for number in range(1, 31)]
    done = follow_bearers(fleet.store, bearers, fleet.clock.now())
    assert (done.kinds, fleet.revoked()) == ({}, 0)
    assert "30 of 60" in done.why[0]
    assert follow_bearers(fleet.store, bearers[:5] * 2, fleet.clock.now()).kinds == {StepKind.REVOKE: 5}


def test_somebody_who_sees_one_group_lets_follow_there() -> None:
    """AUTHZ-4: a run over some groups touches no certificate of another one, and its stop is no stop of the whole."""
    fleet = Fleet(2)
    fleet.open_group("other")
    for number in (3, 4):
        fleet.add(number, "other")
    fleet.become(WIPED, 1, 3)
    actor = Actor(ActorKind.ADMIN, "user:alice")
    assert fleet.run(groups=frozenset({"other"}), actor=actor).kinds == {StepKind.REVOKE: 1}
    assert (fleet.row(1).revocation, fleet.row(3).revocation is not None) == (None, True)
    assert fleet.store.log[-2].draft.actor == actor


def test_a_users_certificate_follows_its_user() -> None:
    """The certificate with a user's names is held with the user's account, and the device's own one is not."""
    fleet = Fleet()
    owner = fleet.store.user_of("intune", "user-1")
    assert owner is not None
    fleet.add(1, owner=owner.id)
    assert fleet.store.put_users([(owner, replace(owner, state=UserState(enabled=False)))], ())
    assert fleet.run().kinds == {StepKind.HOLD: 1}
    assert fleet.row(1).revocation is None


def test_what_has_another_status_by_then_is_left() -> None:
    """REV-1: a certificate that somebody revoked between plan and deed is passed over."""
    fleet = Fleet(2)
    fleet.become(WIPED, 1, 2)
    now = fleet.clock.now()
    run = planned(fleet.store, now)
    steps = list(run.steps())
    assert len(steps) == 2
    assert fleet.run().kinds == {StepKind.REVOKE: 2}
    assert is_final(fleet.row(1))
    first = steps[0]
    assert not fleet.store.follow(
        first.certificate_id,
        causes=first.causes,
        ended=(),
        status=Hold(first.certificate_id, FOLLOWING, FOLLOWING, now),
        release=False,
        at=now,
        events=(),
    )
