"""The gates of connectors: how many may wait for one, and when it is left in peace."""

from __future__ import annotations

import threading

import pytest

from regalia import reasons
from regalia.model.connector import NotAsked
from regalia.ra.gates import Gates
from vouching_parts import AWAY, Seconds


def away() -> str | NotAsked:
    """Answer nothing."""
    return AWAY


def breaks() -> str:
    """Show that it was asked."""
    raise ValueError("x")


def yes() -> str | NotAsked:
    """Answer."""
    return "yes"


def test_who_hangs_holds_few_threads_and_nobody_elses() -> None:
    """R8: a connector gets so many threads and no more, all together fewer than there are, and another one answers."""
    gates = Gates(places=2, together=3)
    go, inside = threading.Event(), threading.Semaphore(0)

    def hangs() -> str:
        inside.release()
        assert go.wait(30)
        return "late"

    threads = [threading.Thread(target=lambda: gates.ask("slow", hangs)) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert inside.acquire(timeout=30)
    assert inside.acquire(timeout=30)
    third = gates.ask("slow", yes)
    assert isinstance(third, NotAsked)
    assert third.reason is reasons.CONNECTOR_CROWDED
    assert gates.ask("quick", yes) == "yes"
    also = threading.Thread(target=lambda: gates.ask("other", hangs))
    also.start()
    assert inside.acquire(timeout=30)
    assert isinstance(gates.ask("quick", yes), NotAsked)
    go.set()
    for thread in (*threads, also):
        thread.join()
    assert gates.ask("slow", yes) == "yes"


def test_who_does_not_answer_is_left_in_peace_and_tried_by_one() -> None:
    """After five in a row nobody is asked for a while; then one request tries, and its answer opens the gate."""
    seconds = Seconds()
    gates = Gates(failures=5, rest=30, seconds=seconds)
    for _ in range(5):
        assert gates.ask("mdm", away) is AWAY
    rested = gates.ask("mdm", breaks)
    assert isinstance(rested, NotAsked)
    assert rested.reason is reasons.CONNECTOR_RESTING
    assert gates.ask("other", yes) == "yes"
    seconds.pass_by(30)
    assert not gates.is_resting("mdm")

    def tried() -> str:
        beside = gates.ask("mdm", yes)
        assert isinstance(beside, NotAsked)
        return "yes"

    assert gates.ask("mdm", tried) == "yes"
    assert gates.ask("mdm", yes) == "yes"


def test_a_try_that_fails_begins_another_pause() -> None:
    """The one request that finds it silent still closes the gate again for the whole pause."""
    seconds = Seconds()
    gates = Gates(failures=1, rest=30, seconds=seconds)
    assert gates.ask("mdm", away) is AWAY
    seconds.pass_by(30)
    assert gates.ask("mdm", away) is AWAY
    seconds.pass_by(29)
    assert gates.is_resting("mdm")
    seconds.pass_by(1)
    assert gates.ask("mdm", yes) == "yes"


def test_an_answer_in_between_begins_the_count_anew() -> None:
    """Only silence in a row counts."""
    gates = Gates(failures=2)
    for _ in range(5):
        assert gates.ask("mdm", away) is AWAY
        assert gates.ask("mdm", yes) == "yes"


def test_a_question_that_breaks_leaves_its_place() -> None:
    """Whatever happens while a connector is asked, its place is free again."""
    gates = Gates(places=1, together=1)
    with pytest.raises(ValueError, match="x"):
        gates.ask("mdm", breaks)
    assert gates.ask("mdm", yes) == "yes"
