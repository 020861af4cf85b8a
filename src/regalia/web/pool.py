"""Bounded thread pools: where the event loop hands over everything that may take time (RES-3).

A pool takes so many calls and no more; one call beyond that is refused at once instead of being kept waiting.
Enrolments, status answers and files have a pool each, so that a flood of the first cannot stop the others.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from regalia import reasons
from regalia.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Pool", "Pools"]

T = TypeVar("T")


class Pool:
    """Threads with a queue that has an end."""

    def __init__(self, name: str, *, threads: int, queue: int) -> None:
        """`threads` calls run at a time, `queue` more may wait."""
        self.name = name
        self._capacity = threads + queue
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=f"regalia-{name}")
        self._lock = threading.Lock()
        self._depth = 0
        self._tell: Callable[[float], None] = lambda _depth: None

    def watch(self, tell: Callable[[float], None]) -> None:
        """Have somebody told of the depth, now and whenever it changes."""
        with self._lock:
            self._tell = tell
            tell(self._depth)

    @property
    def depth(self) -> int:
        """How many calls are running or waiting."""
        return self._depth

    async def run(self, call: Callable[[], T]) -> T:
        """Run one call in a thread and return what it returns.

        Raises `UnavailableError` CA-012 at once where the pool is full, and whatever the call raises.
        """
        return await asyncio.wrap_future(self.submit(call))

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """Hand over one call. Raises `UnavailableError` CA-012 where the pool is full or closed."""
        with self._lock:
            if self._depth >= self._capacity:
                raise UnavailableError(reasons.BUSY, f"{self._depth} calls in the {self.name} pool")
            self._depth += 1
            self._tell(self._depth)
        try:
            future = self._executor.submit(call)
        except RuntimeError as closed:
            self._leave()
            raise UnavailableError(reasons.BUSY, f"the {self.name} pool is closed") from closed
        # The place is given back when the call ends, not when its caller stops waiting: a device that hangs up must
        # not make room for another call while its own still runs.
        future.add_done_callback(lambda _: self._leave())
        return future

    def close(self) -> None:
        """Take no more calls, drop those that wait, and return when those that run have ended."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _leave(self) -> None:
        with self._lock:
            self._depth -= 1
            self._tell(self._depth)


@dataclass(frozen=True, slots=True)
class Pools:
    """Where the listeners' work is done (RES-3)."""

    enrolment: Pool
    """SCEP."""
    status: Pool
    """OCSP, CA certificates, health, metrics: a flood of enrolments must not stop these."""
    files: Pool
    """CRLs: neither must a database that does not answer, for which the others wait (RES-7)."""

    def close(self) -> None:
        """Let what runs end, and take no more."""
        self.enrolment.close()
        self.status.close()
        self.files.close()
