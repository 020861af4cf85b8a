"""Bounded thread pools."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from regalia import reasons
from regalia.errors import UnavailableError
from regalia.web.pool import Pool

if TYPE_CHECKING:
    from collections.abc import Iterator

WAIT = 10


@pytest.fixture
def pool() -> Iterator[Pool]:
    """A pool with one thread and room for one more call."""
    made = Pool("test", threads=1, queue=1)
    yield made
    made.close()


def test_a_call_runs_in_a_thread_and_returns(pool: Pool) -> None:
    """What a call returns comes back to the loop, from another thread."""

    async def story() -> tuple[int, int]:
        return await pool.run(threading.get_ident), threading.get_ident()

    there, here = asyncio.run(story())
    assert there != here


def test_what_a_call_raises_comes_back(pool: Pool) -> None:
    """An exception of the call is raised where it is awaited."""

    async def story() -> None:
        await pool.run(lambda: 1 // 0)

    with pytest.raises(ZeroDivisionError):
        asyncio.run(story())
    assert pool.depth == 0


def test_a_full_pool_refuses_at_once(pool: Pool) -> None:
    """RES-3: with its thread and its queue taken, a pool raises BUSY instead of keeping a third call waiting."""
    go = threading.Event()
    held = [pool.submit(lambda: go.wait(WAIT)) for _ in range(2)]
    with pytest.raises(UnavailableError) as refused:
        pool.submit(lambda: None)
    assert refused.value.reason is reasons.BUSY
    assert pool.depth == 2
    go.set()
    assert all(future.result(WAIT) for future in held)
    assert pool.submit(lambda: 7).result(WAIT) == 7


def test_a_caller_who_leaves_frees_no_place(pool: Pool) -> None:
    """RES-3: a call that still runs keeps its place, even when nobody waits for it any more."""
    go, begun = threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        go.wait(WAIT)

    async def story() -> int:
        waiting = asyncio.ensure_future(pool.run(slow))
        while not begun.is_set():  # noqa: ASYNC110 - a thread sets no event of the loop
            await asyncio.sleep(0.001)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        depth = pool.depth
        go.set()
        return depth

    assert asyncio.run(story()) == 1


def test_two_pools_do_not_wait_for_each_other(pool: Pool) -> None:
    """RES-3: while one pool is full, another one answers."""
    go = threading.Event()
    held = [pool.submit(lambda: go.wait(WAIT)) for _ in range(2)]
    other = Pool("other", threads=1, queue=0)
    assert other.submit(lambda: "answer").result(WAIT) == "answer"
    go.set()
    assert all(future.result(WAIT) for future in held)
    other.close()


def test_a_closed_pool_is_busy() -> None:
    """After close, a call is refused as when the pool is full: the client comes back to another process."""
    closed = Pool("closed", threads=1, queue=1)
    closed.close()
    with pytest.raises(UnavailableError):
        closed.submit(lambda: None)
    assert closed.depth == 0
