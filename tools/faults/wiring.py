"""Test wiring around the product's ports: calls that end the process, and a clock that jumps.

The product has no hooks. Whoever wires a server for a test puts these between its services and the real ports.
"""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from regalia.app.build import App, Ground
    from regalia.ra.scep import ScepService
    from tools.faults.journal import Journal

__all__ = ["ANSWER", "Call", "CrashPoint", "Crashing", "Moments", "OffsetClock", "watched_app", "watched_ground"]

ENROLMENT, RECOVERY, CRL = "enrolment", "recovery", "crl"
"""What a process can be at when it ends: the operations whose calls are counted."""


@dataclass(frozen=True, slots=True, order=True)
class Call:
    """A kind of call: of an operation, through a port."""

    operation: str
    port: str
    """`store`, `signer` or `answer`."""
    method: str


@dataclass(frozen=True, slots=True, order=True)
class CrashPoint:
    """Where a process ends itself."""

    call: Call
    when: str
    """`before` or `after` the real call."""
    nth: int = 1
    """At which call of this kind in the life of the process."""

    def __str__(self) -> str:
        return f"{self.call.operation}: {self.when} {self.call.port}.{self.call.method}"

    def record(self) -> dict[str, Any]:
        """Say it in JSON."""
        return asdict(self)

    @classmethod
    def of(cls, record: dict[str, Any]) -> CrashPoint:
        """Read what `record` said."""
        return cls(Call(**record["call"]), record["when"], record["nth"])


ANSWER = Call(ENROLMENT, "answer", "send")
"""The answer is there and not yet sent: there is only a before."""


class Moments:
    """Hears of each call before and after it is made, in the operations that are watched; ends the process at one."""

    def __init__(self, point: CrashPoint | None, journal: Journal | None = None) -> None:
        """`journal` is told of the end just before it comes."""
        self._point = point
        self._journal = journal
        self._count = 0
        self._lock = threading.Lock()
        self._thread = threading.local()
        self.seen: list[Call] = []
        """Every call of a watched operation, in order, where no point is set."""

    @contextmanager
    def during(self, operation: str) -> Iterator[None]:
        """Count what this thread calls until the block ends as calls of the operation."""
        before = getattr(self._thread, "operation", None)
        # Recovery that a request does in another worker's place is the request's.
        self._thread.operation = before or operation
        try:
            yield
        finally:
            self._thread.operation = before

    def reached(self, port: str, method: str, when: str) -> None:
        """Be told; does not return at the point."""
        operation = getattr(self._thread, "operation", None)
        if operation is None:
            return
        call = Call(operation, port, method)
        if self._point is None:
            if when == "before":
                self.seen.append(call)
        elif (call, when) == (self._point.call, self._point.when):
            self._strike(self._point)

    def _strike(self, point: CrashPoint) -> None:
        with self._lock:
            self._count += 1
            if self._count != point.nth:
                return
            if self._journal is not None:
                self._journal.write(pid=os.getpid(), point=point.record())
            os.kill(os.getpid(), signal.SIGKILL)


class Crashing:
    """Any port: passes every call on, and tells `Moments` before and after it."""

    def __init__(self, port: str, real: object, moments: Moments) -> None:
        self._port = port
        self._real = real
        self._moments = moments

    def __getattr__(self, name: str) -> object:
        found = getattr(self._real, name)
        if not callable(found):
            return cast("object", found)

        def call(*arguments: object, **named: object) -> object:
            self._moments.reached(self._port, name, "before")
            result: object = found(*arguments, **named)
            self._moments.reached(self._port, name, "after")
            return result

        return call


class _During:
    """A service one of whose methods is an operation."""

    def __init__(self, real: object, method: str, operation: str, moments: Moments) -> None:
        self._real = real
        self._method = method
        self._operation = operation
        self._moments = moments

    def __getattr__(self, name: str) -> object:
        found = getattr(self._real, name)
        if name != self._method:
            return cast("object", found)

        def call(*arguments: object, **named: object) -> object:
            with self._moments.during(self._operation):
                result: object = found(*arguments, **named)
                if self._operation == ENROLMENT:
                    self._moments.reached(ANSWER.port, ANSWER.method, "before")
                return result

        return call


def watched_ground(ground: Ground, moments: Moments) -> Ground:
    """Put `Crashing` around the store and the signer."""
    store, signer = Crashing("store", ground.store, moments), Crashing("signer", ground.signer, moments)
    return replace(ground, store=cast("Any", store), signer=cast("Any", signer))


def watched_app(app: App, moments: Moments) -> App:
    """Name what the services are at, for `Moments`."""
    scep = _During(app.scep, "pki_operation", ENROLMENT, moments)
    recovery = _During(app.recovery, "run", RECOVERY, moments)
    crls = _During(app.crls, "publish", CRL, moments)
    return replace(app, scep=cast("ScepService", scep), recovery=cast("Any", recovery), crls=cast("Any", crls))


class OffsetClock:
    """The machine's clock, off by as many seconds as a file says: it jumps when the file changes."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def now(self) -> datetime:
        """Return the time, cut to milliseconds as the product's own clock does."""
        now = datetime.now(UTC) + timedelta(seconds=float(self._path.read_text("ascii")))
        return now.replace(microsecond=now.microsecond // 1000 * 1000)
