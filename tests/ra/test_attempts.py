"""How often somebody may be wrong at the door."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from fakes import FakeClock, MemoryStore
from regalia import reasons
from regalia.errors import Stage
from regalia.ra.attempts import FREE, Attempts, account_subject, source_subject

if TYPE_CHECKING:
    from datetime import datetime

    from regalia.ports import Tries


def test_five_tries_are_free_and_each_further_one_waits_longer() -> None:
    """WEB-6: AUTH-007 tells how many seconds; waiting is not made longer by knocking, and never than an hour."""
    assert reasons.SIGN_IN_LATER.stage is Stage.LIMIT
    clock, attempts = FakeClock(), Attempts(MemoryStore())
    waits = []
    for _ in range(FREE + 9):
        seconds = attempts.enter(("account:1",), clock.now())
        waits.append(seconds)
        if seconds:
            clock.advance(timedelta(seconds=1))
            assert attempts.enter(("account:1",), clock.now()) == seconds - 1
            clock.advance(timedelta(seconds=seconds - 1))
            assert attempts.enter(("account:1",), clock.now()) == 0
    assert waits == [0] * FREE + [30, 60, 120, 240, 480, 960, 1_920, 3_600, 3_600]


def test_a_day_forgets() -> None:
    """WEB-6: tries of yesterday count for nothing, and what was right begins anew."""
    clock, store = FakeClock(), MemoryStore()
    attempts = Attempts(store)
    for _ in range(FREE):
        attempts.enter(("account:1",), clock.now())
    clock.advance(timedelta(days=1))
    assert [attempts.enter(("account:1",), clock.now()) for _ in range(FREE + 1)] == [0] * FREE + [30]
    attempts.right(("account:1",))
    assert attempts.enter(("account:1",), clock.now()) == 0


def test_one_subject_that_waits_holds_the_try() -> None:
    """WEB-6: account and address are counted each for itself, and the longer wait counts."""
    clock, attempts = FakeClock(), Attempts(MemoryStore())
    for number in range(FREE):
        assert attempts.enter((f"account:{number}", "source:1"), clock.now()) == 0
    assert attempts.enter(("account:9", "source:1"), clock.now()) == 30
    assert attempts.enter(("account:9", "source:2"), clock.now()) == 0


def test_a_clock_set_back_makes_no_endless_delay() -> None:
    """WEB-6: tries of a time that is not yet lock nobody out until it is; another node's, a little ahead, count."""
    clock, attempts = FakeClock(), Attempts(MemoryStore())
    for _ in range(FREE):
        attempts.enter(("account:1",), clock.now())
    clock.advance(timedelta(minutes=-1))
    assert attempts.enter(("account:1",), clock.now()) == 90
    clock.advance(timedelta(days=-30))
    assert [attempts.enter(("account:1",), clock.now()) for _ in range(FREE + 1)] == [0] * FREE + [30]


class Racing(MemoryStore):
    """A store in which somebody else is always faster for a while."""

    races = 3

    def count_try(self, subject: str, before: Tries, at: datetime) -> bool:
        """Have the other one counted first."""
        if self.races:
            self.races -= 1
            super().count_try(subject, before, at)
        return super().count_try(subject, before, at)


def test_tries_that_race_are_all_counted() -> None:
    """WEB-6: of many tries at once none is looked at for free: whoever loses the race counts again."""
    clock, store = FakeClock(), Racing()
    assert Attempts(store).enter(("account:1",), clock.now()) == 0
    assert store.tries("account:1").count == 4


def test_subjects_name_nobody() -> None:
    """PRIV-1: what is counted is neither a name nor an address; an IPv6 /64 is one."""
    assert account_subject("alice") == account_subject("alice") != account_subject("bob")
    assert "alice" not in account_subject("alice")
    assert len({account_subject(f"name-{number}") for number in range(200)}) > 150
    assert source_subject("2001:db8::1") == source_subject("2001:db8::2") != source_subject("2001:db8:0:1::1")
