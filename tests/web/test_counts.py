"""Counts that several processes share."""

from __future__ import annotations

import os
import signal
import threading
from functools import partial
from typing import TYPE_CHECKING

import pytest

from fakes import FakeClock
from regalia import reasons
from regalia.errors import InvariantError
from regalia.web.counts import SharedCounts
from regalia.web.metrics import Metrics
from regalia.web.pool import Pool

if TYPE_CHECKING:
    from collections.abc import Callable


def in_a_child(work: Callable[[], None], *, ending: int | None = None) -> None:
    """Run a call in a forked process, which ends itself by a signal where one is named."""
    child = os.fork()
    if not child:
        try:
            work()
            if ending is not None:
                os.kill(os.getpid(), ending)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    if ending is not None:
        assert os.WTERMSIG(status) == ending


def test_what_each_process_counts_is_added_up() -> None:
    """Each process writes to its own row, and whoever asks sees the sum."""
    counts = SharedCounts(3)
    counts.row(0).cell("here").add()

    def count(number: int) -> None:
        for key in ("here", "there"):
            counts.row(number).cell(key).add(number)

    for number in (1, 2):
        in_a_child(partial(count, number))
    assert counts.totals() == {"here": 4.0, "there": 3.0}


def test_threads_of_a_process_lose_no_count() -> None:
    """Threads that count the same thing at once are all counted."""
    counts = SharedCounts(1)

    def count() -> None:
        for _ in range(5_000):
            counts.row(0).cell("x").add()

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts.totals() == {"x": 20_000.0}


@pytest.mark.parametrize("key", ["", "x" * 121])
def test_a_key_has_a_size(key: str) -> None:
    """What could not be read back is not counted."""
    with pytest.raises(InvariantError, match="no name"):
        SharedCounts(1).row(0).cell(key)


def test_a_row_has_an_end() -> None:
    """More keys than there can be are a bug, and told as one."""
    row = SharedCounts(1).row(0)
    for number in range(1_024):
        row.cell(f"key {number}").set(1.0)
    with pytest.raises(InvariantError, match="no room"):
        row.cell("one more")


def test_a_killed_worker_takes_no_count_with_it() -> None:
    """The successor of a killed worker goes on counting where that one ended; what only was so at the time is zero."""
    metrics = Metrics(FakeClock(), workers=2)

    def work() -> None:
        metrics.begin(1)
        metrics.issued()
        metrics.refused(reasons.CHALLENGE_USED)
        pool = Pool("enrolment", threads=1, queue=0)
        metrics.watch_pools((pool,))
        pool.submit(lambda: threading.Event().wait(60))

    in_a_child(work, ending=signal.SIGKILL)

    def value(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(name, labels)

    assert value("regalia_pool_depth", pool="enrolment") == 1.0

    def successor() -> None:
        metrics.begin(1)
        metrics.issued()

    in_a_child(successor)
    assert value("regalia_enrolments_issued_total") == 2.0
    assert value("regalia_refusals_total", reason=reasons.CHALLENGE_USED.id) == 1.0
    assert value("regalia_pool_depth", pool="enrolment") == 0.0
    assert value("regalia_worker_starts_total") == 2.0
