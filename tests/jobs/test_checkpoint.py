"""The jobs of the audit log: checkpoints when they are due, copies, and the end of personal data."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from fakes import FakeClock, MemoryKeys, MemoryStore, SeededEntropy
from regalia.errors import AdminError
from regalia.jobs.checkpoint import CopyCheckpoints, MakeCheckpoints
from regalia.jobs.housekeeping import ForgetPersonal
from regalia.jobs.loop import Scope
from regalia.model import Action, Actor, ActorKind, CheckpointKey, EventDraft, Outcome, SignedCheckpoint
from regalia.ports import Forgotten, PseudonymKey
from regalia.ra.checkpoints import INTERVAL, CheckpointDesk, Copier
from regalia.ra.personal import KEY_LIFE, PersonalDesk
from regalia.wire.checkpoint import read_checkpoint, signed_by

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


class Log(MemoryStore):
    """A log with checkpoints, in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[SignedCheckpoint] = []
        self.keys: list[CheckpointKey] = []

    def add_checkpoint(
        self,
        signed: SignedCheckpoint,
        at: datetime,
        key_number: int,
        successor: CheckpointKey | None = None,
        events: Sequence[EventDraft] = (),
    ) -> bool:
        """Keep it, where its number is free."""
        del at, key_number
        if signed.number != len(self.made) + 1:
            return False
        self.made.append(signed)
        self.keys += [successor] if successor is not None else []
        self.record(events)
        return True

    def last_checkpoint(self) -> SignedCheckpoint | None:
        """Return the newest."""
        return self.made[-1] if self.made else None

    def checkpoints(self, after: int = 0) -> Iterator[SignedCheckpoint]:
        """Return those behind a number."""
        yield from self.made[after:]

    def add_checkpoint_key(self, key: CheckpointKey) -> bool:
        """Keep it, where its number is free."""
        if key.number != len(self.keys) + 1:
            return False
        self.keys.append(key)
        return True

    def checkpoint_keys(self) -> tuple[CheckpointKey, ...]:
        """Return all."""
        return tuple(self.keys)


class Copy:
    """A copy in memory."""

    place = "memory"

    def __init__(self) -> None:
        self.kept: dict[str, SignedCheckpoint] = {}
        self.keys: set[bytes] = set()

    def keep(self, signed: SignedCheckpoint) -> None:
        """Keep one."""
        self.kept[self.name(signed)] = signed

    def keep_key(self, public_key: bytes) -> None:
        """Keep a key."""
        self.keys.add(public_key)

    def names(self) -> frozenset[str]:
        """Return what is kept."""
        return frozenset(self.kept)

    def name(self, signed: SignedCheckpoint) -> str:
        """Name it."""
        return f"{signed.number}-{signed.hash.hex()}"


class People:
    """Personal data that only counts."""

    def __init__(self) -> None:
        self.forgotten: list[datetime] = []
        self.known: list[PseudonymKey] = []
        self.log: list[EventDraft] = []

    def count_personal(self, before: datetime) -> Forgotten:
        """Say that there is some."""
        del before
        return Forgotten(events=1)

    def forget_personal(self, before: datetime, told: Callable[[Forgotten], Sequence[EventDraft]]) -> Forgotten:
        """Note up to when."""
        self.forgotten.append(before)
        self.log += told(Forgotten(events=1))
        return Forgotten(events=1)

    def pseudonym_keys(self) -> tuple[PseudonymKey, ...]:
        """Return all."""
        return tuple(self.known)

    def add_pseudonym_key(
        self, number: int, created_at: datetime, until: datetime, sealed: bytes, events: Sequence[EventDraft]
    ) -> bool:
        """Keep one."""
        assert sealed
        self.known.append(PseudonymKey(number, created_at, until, None))
        self.log += events
        return True

    def destroy_pseudonym_key(self, number: int, at: datetime, events: Sequence[EventDraft]) -> bool:
        """Note its end."""
        key = self.known[number - 1]
        self.known[number - 1] = PseudonymKey(key.number, key.created_at, key.until, at)
        self.log += events
        return True


class Sealed:
    """A sealer that only marks."""

    def seal(self, scope: str, secret: bytes) -> bytes:
        """Mark it."""
        return scope.encode() + secret

    def unseal(self, scope: str, sealed: bytes) -> bytes:
        """Take the mark off."""
        return sealed.removeprefix(scope.encode())


def an_event(clock: FakeClock) -> EventDraft:
    """Return an event."""
    return EventDraft(clock.now(), Actor(ActorKind.SYSTEM, "x"), Action.SERVER_STARTED, "server", Outcome.OK)


def test_aud3_a_checkpoint_is_made_when_it_is_due() -> None:
    """AUD-3: the job makes none where nothing was recorded, the first at once, the next after ten minutes."""
    log, clock = Log(), FakeClock()
    job = MakeCheckpoints(CheckpointDesk(log, MemoryKeys(log), clock))
    assert (job.scope, job.every) == (Scope.CLUSTER, timedelta(seconds=5))
    job.run(clock.now())
    assert log.made == []
    log.record([an_event(clock)])
    job.run(clock.now())
    job.run(clock.now())
    assert len(log.made) == 1
    log.record([an_event(clock)])
    clock.advance(INTERVAL)
    job.run(clock.now())
    one, two = (read_checkpoint(made.record) for made in log.made)
    assert two.previous == log.made[0].hash
    assert (two.records - one.records, two.by) == (1, "system checkpoint")
    assert all(signed_by(made, log.keys[0].public_key) for made in log.made)


def test_copies_are_kept_up_to_date_and_compared() -> None:
    """AUD-3: the job copies what is new, and fails each time as long as the copy holds what the log does not."""
    log, clock, copy = Log(), FakeClock(), Copy()
    desk = CheckpointDesk(log, MemoryKeys(log), clock)
    job = CopyCheckpoints(Copier(log, copy))
    assert job.scope is Scope.NODE
    log.record([an_event(clock)])
    for _ in range(3):
        desk.make(Actor(ActorKind.SYSTEM, "x"))
        job.run(clock.now())
    assert [made.number for made in copy.kept.values()] == [1, 2, 3]
    assert copy.keys == {log.keys[0].public_key}
    log.made = log.made[:1]
    clock.advance(INTERVAL)
    desk.make(Actor(ActorKind.SYSTEM, "x"))
    again = CopyCheckpoints(Copier(log, copy))
    for _ in range(2):
        with pytest.raises(AdminError, match="ADM-055"):
            again.run(clock.now())
    assert len(copy.kept) == 4


def test_priv1_personal_data_is_forgotten_in_time() -> None:
    """PRIV-1: the job makes keys in time, forgets after so many days, and destroys keys after so many more."""
    people, clock = People(), FakeClock(datetime(2026, 1, 1, tzinfo=UTC))
    desk = PersonalDesk(people, Sealed(), clock, SeededEntropy())
    job = ForgetPersonal(desk, after=timedelta(days=400), keys_after=timedelta(days=500))
    begin = clock.now()
    for _ in range(8):
        job.run(clock.now())
        clock.advance(KEY_LIFE)
    assert people.forgotten[0] == begin - timedelta(days=400)
    assert [key.number for key in people.known] == list(range(1, 9))
    assert [key.destroyed_at is not None for key in people.known] == [True, *[False] * 7]
    actions = [event.action for event in people.log]
    assert actions.count(Action.KEY_GENERATED) == 8
    assert actions.count(Action.KEY_DESTROYED) == 1
    assert Action.PERSONAL_FORGOTTEN in actions
    assert desk.count(clock.now()).any
