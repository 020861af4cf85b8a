"""One process that starts the workers of a `serve` and its signer, and starts another where one died.

It opens no database and no key and has no thread, so that a worker can be forked from it at any time: a fork of a
process with threads inherits locks that nobody will release. Forking rather than starting the program anew also means
that all workers run one version of the code, share the memory that it takes, and that the sockets, opened before, are
theirs at once: a connection that waits on a socket is accepted by any worker, and none is lost when one dies.

The signer starts first and ends last: what the workers finish at their end may need a signature.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import selectors
import signal
import socket
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import structlog

from regalia import reasons
from regalia.errors import AdminError, InvariantError, RegaliaError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["Seat", "Supervisor"]

PATIENCE_SECONDS: Final = 60.0
"""How long workers may take to end: what was begun is finished, which a slow database can make 30 seconds."""
STEADY_SECONDS: Final = 10.0
"""A worker that lived so long did not die of its start: its successor is started at once."""
FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 2.0
SIGNERS_PAUSE: Final = 0.25
"""The same for a signer: while there is none, nothing is issued."""
SIGNER: Final = -1
"""The number of the signer's seat."""

_END: Final = frozenset({signal.SIGTERM, signal.SIGINT})
_HEARD: Final = _END | {signal.SIGHUP, signal.SIGCHLD}

_log = structlog.get_logger("regalia.app")


@dataclass(frozen=True, slots=True)
class Seat:
    """What a worker gets from the supervisor."""

    number: int
    """From 0, or `SIGNER`; a successor has the number of the one that it replaces."""
    until: int
    """A descriptor that comes to its end when the supervisor is gone: then the worker has to end."""
    tell: int
    """Where it writes what became of its start."""

    def ready(self) -> None:
        """Tell that it answers."""
        self._write({"ready": True})

    def failed(self, error: RegaliaError) -> None:
        """Tell why it ends."""
        admin = isinstance(error, AdminError)
        self._write({"admin": admin, "reason": error.reason.id, "detail": error.detail[:2_000]})

    def _write(self, message: dict[str, object]) -> None:
        # Nobody may be there any more to read it.
        with contextlib.suppress(OSError):
            os.write(self.tell, json.dumps(message).encode() + b"\n")


@dataclass(slots=True)
class _Worker:
    """What the supervisor knows of one place."""

    number: int
    name: str
    """How the log calls it."""
    pid: int | None = None
    hears: int | None = None
    heard: bytes = b""
    ready: bool = False
    error: RegaliaError | None = None
    started: float = 0.0
    deaths: int = 0
    told: bool = False
    """Whether it was told to end."""
    due: float | None = 0.0
    """When to start it, by the monotonic clock; None while it runs."""


@dataclass(slots=True)
class Supervisor:
    """Runs so many workers until it is told to stop. To be used once, in the main thread."""

    count: int
    work: Callable[[Seat], None]
    """What a worker does, in a process of its own, until SIGTERM, SIGINT or the end of `Seat.until`."""
    on_ready: Callable[[], None]
    """Called once, when all workers answer."""
    on_stop: Callable[[], None] = lambda: None
    """Called once, when the workers are told to stop: the place to close the sockets that were opened for them."""
    patience: float = PATIENCE_SECONDS
    sign: Callable[[Seat], None] | None = None
    """What the signer does, in a process of its own, until SIGTERM or the end of `Seat.until`; None: there is none."""
    _workers: list[_Worker] = field(default_factory=list)
    _signer: _Worker | None = None
    _all_ready: bool = False
    _give_up: float | None = None
    _failure: Exception | None = None

    def run(self) -> None:
        """Return when SIGTERM or SIGINT came and every worker has ended.

        Raises what a worker raised before all of them answered; `InvariantError` where one did not end and was killed.
        """
        # What is there now is there for good: the collector must not write to memory that all workers share.
        gc.collect()
        gc.freeze()
        self._workers = [_Worker(number, "worker") for number in range(self.count)]
        self._signer = _Worker(SIGNER, "signer") if self.sign is not None else None
        life, held = os.pipe()
        try:
            with _signals() as wakes:
                try:
                    self._supervise(wakes, life, held)
                except BaseException:
                    # Whatever it is, the workers end first: nobody would look after them.
                    self._stop()
                    self._supervise(wakes, life, held)
                    raise
        finally:
            # The workers see the end of this pipe: whatever ended us, they end too.
            for descriptor in (life, held, *(one.hears for one in self._crew())):
                if descriptor is not None:
                    os.close(descriptor)
        if self._failure is not None:
            raise self._failure

    def _supervise(self, wakes: socket.socket, life: int, held: int) -> None:
        while self._give_up is None or any(one.pid for one in self._crew()):
            self._start_due(wakes, life, held)
            self._wait(wakes)
            for number in _read_signals(wakes):
                self._heed(number)
            for one in self._crew():
                self._listen(one)
                self._bury(one)
            self._end_signer()
            if not self._all_ready and self._give_up is None and all(one.ready for one in self._crew()):
                self._all_ready = True
                self.on_ready()
            if self._give_up is not None and time.monotonic() > self._give_up:
                self._kill()

    def _crew(self) -> list[_Worker]:
        """Return everybody, the signer first."""
        return [*([self._signer] if self._signer is not None else []), *self._workers]

    # --- starting ---------------------------------------------------------------------------------------------------

    def _start_due(self, wakes: socket.socket, life: int, held: int) -> None:
        for one in self._crew():
            if self._give_up is None and one.due is not None and one.due <= time.monotonic():
                self._start(one, wakes, life, held)

    def _start(self, worker: _Worker, wakes: socket.socket, life: int, held: int) -> None:
        hears, tell = os.pipe()
        os.set_blocking(hears, False)
        # No signal between the fork and the child's own handlers: it would be told to us, as if we had got it.
        signal.pthread_sigmask(signal.SIG_BLOCK, _HEARD)
        try:
            pid = os.fork()
        except OSError as error:
            os.close(hears)
            os.close(tell)
            worker.deaths += 1
            worker.due = time.monotonic() + _pause(worker)
            _log.error(f"{worker.name}-not-started", worker=worker.number, error=str(error))
            return
        else:
            if not pid:
                os.close(held)
                wakes.close()
                self._be_worker(Seat(worker.number, life, tell))
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _HEARD)
        os.close(tell)
        worker.pid, worker.hears, worker.heard = pid, hears, b""
        worker.ready, worker.error, worker.due, worker.started = False, None, None, time.monotonic()
        _log.info(f"{worker.name}-started", worker=worker.number, process=pid)

    def _keep_to_own_processor(self, number: int) -> None:
        """Where there is just one worker for each processor, have each stay on its own.

        Python runs one thread of a process at a time, so the threads of a worker gain little from a second processor,
        and lose what the first one's caches hold. And the event loop, woken beside a thread that enrols, gets its turn
        sooner than on another one: beside 100 enrolments in flight, 99 of 100 answers of OCSP came in 15 ms, not 91.
        """
        processors = sorted(os.sched_getaffinity(0))
        if len(processors) == self.count:
            with contextlib.suppress(OSError):  # a sandbox may forbid it
                os.sched_setaffinity(0, {processors[number]})

    def _be_worker(self, seat: Seat) -> None:
        """Work and end; never returns to what the supervisor was about to do."""
        code = 1
        try:
            for other in self._crew():
                if other.hears is not None:
                    os.close(other.hears)
            signal.set_wakeup_fd(-1)
            for number in _END | {signal.SIGCHLD}:
                signal.signal(number, signal.SIG_DFL)
            # There is nothing to read anew before it was read for the first time.
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _HEARD)
            if seat.number == SIGNER and self.sign is not None:
                self.sign(seat)
            else:
                self._keep_to_own_processor(seat.number)
                self.work(seat)
            code = 0
        except RegaliaError as error:
            seat.failed(error)
        except BaseException:  # noqa: BLE001 - see below
            # The outermost edge of this process: it must not go on as a second supervisor.
            _log.exception("worker-failed", worker=seat.number)
        finally:
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    # --- watching ---------------------------------------------------------------------------------------------------

    def _wait(self, wakes: socket.socket) -> None:
        """Wait for a signal, for a word of a worker or for the time of a start or of an end."""
        times = [one.due for one in self._crew() if one.due is not None] if self._give_up is None else []
        times += [self._give_up] if self._give_up is not None else []
        with selectors.DefaultSelector() as selector:
            selector.register(wakes, selectors.EVENT_READ)
            for worker in self._crew():
                if worker.hears is not None:
                    selector.register(worker.hears, selectors.EVENT_READ)
            selector.select(max(0.0, min(times) - time.monotonic()) if times else None)

    def _heed(self, number: int) -> None:
        if number == signal.SIGHUP:
            self._signal(signal.SIGHUP)
        elif number in _END:
            self._stop()

    def _stop(self) -> None:
        if self._give_up is None:
            self._give_up = time.monotonic() + self.patience
            self.on_stop()
        self._signal(signal.SIGTERM)

    def _end_signer(self) -> None:
        """Tell the signer to end once no worker needs it any more."""
        signer = self._signer
        if self._give_up is not None and signer is not None and signer.pid is not None and not signer.told:
            signer.told = not any(worker.pid for worker in self._workers)
            if signer.told:
                os.kill(signer.pid, signal.SIGTERM)

    def _signal(self, number: signal.Signals, crew: Sequence[_Worker] | None = None) -> None:
        for worker in self._workers if crew is None else crew:
            if worker.pid is not None:
                # Ours until it was waited for, so the number is nobody else's.
                os.kill(worker.pid, number)

    def _kill(self) -> None:
        self._give_up = time.monotonic() + self.patience
        _log.error("workers-killed", processes=[worker.pid for worker in self._crew() if worker.pid])
        self._failure = self._failure or InvariantError("workers did not end in time and were killed")
        self._signal(signal.SIGKILL, self._crew())

    def _listen(self, worker: _Worker) -> None:
        if worker.hears is None:
            return
        with contextlib.suppress(BlockingIOError):
            while octets := os.read(worker.hears, 4_096):
                worker.heard += octets
            os.close(worker.hears)
            worker.hears = None
        *lines, worker.heard = worker.heard.split(b"\n")
        for line in lines:
            told = json.loads(line)
            if told.get("ready"):
                worker.ready = True
            else:
                kind = AdminError if told["admin"] else UnavailableError
                reason = reasons.by_id(told["reason"])
                worker.error = kind(reason or reasons.STORE_UNAVAILABLE, told["detail"])

    def _bury(self, worker: _Worker) -> None:
        """See whether it is dead, and what follows."""
        if worker.pid is None or not (ended := os.waitpid(worker.pid, os.WNOHANG))[0]:
            return
        code = os.waitstatus_to_exitcode(ended[1])
        self._listen(worker)
        if worker.hears is not None:
            os.close(worker.hears)
            worker.hears = None
        lived = time.monotonic() - worker.started
        pid, worker.pid, worker.ready = worker.pid, None, False
        if self._give_up is not None:
            if code > 0:
                _log.error(f"{worker.name}-ended", worker=worker.number, process=pid, **_how(code, worker.error))
                fault = InvariantError(f"{worker.name} {worker.number} ended with code {code}")
                self._failure = self._failure or worker.error or fault
            return
        _log.warning(f"{worker.name}-ended", worker=worker.number, process=pid, **_how(code, worker.error))
        if not self._all_ready and worker.error is not None:
            # What keeps one from starting keeps all, and who started us is there to be told.
            self._failure = worker.error
            self._stop()
            return
        worker.deaths = 0 if lived >= STEADY_SECONDS else worker.deaths + 1
        worker.due = time.monotonic() + _pause(worker)


def _pause(worker: _Worker) -> float:
    """Say how long to wait after so many deaths in quick succession."""
    longest = SIGNERS_PAUSE if worker.number == SIGNER else LONGEST_PAUSE
    return min(longest, FIRST_PAUSE * 2 ** (worker.deaths - 1)) if worker.deaths else 0.0


def _how(code: int, error: RegaliaError | None) -> dict[str, object]:
    ended: dict[str, object] = {"signal": -code} if code < 0 else {"code": code}
    return ended | ({"error": str(error)} if error is not None else {})


@contextlib.contextmanager
def _signals() -> Iterator[socket.socket]:
    """Have each signal that concerns us told as an octet on a socket."""
    wakes, wake = socket.socketpair()
    wakes.settimeout(0)
    wake.settimeout(0)
    before = {number: signal.signal(number, lambda _number, _frame: None) for number in _HEARD}
    wakeup = signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    try:
        yield wakes
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        wakes.close()
        wake.close()


def _read_signals(wakes: socket.socket) -> bytes:
    with contextlib.suppress(BlockingIOError):
        return wakes.recv(4_096)
    return b""
