"""The faults of `./regalia faults`: each begins, lasts, and ends under load; then the service must be back."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tools.faults.proxy import Mood
from tools.faults.run import BOUND

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from regalia.cli.soft_token import SoftToken
    from tools.faults.disk import SmallDisk
    from tools.faults.proxy import Proxy
    from tools.faults.run import Run
    from tools.postgres import Cluster

__all__ = [
    "BASE_OFFSET",
    "Ordeal",
    "clock_ordeals",
    "disk_ordeal",
    "kill_ordeal",
    "postgres_ordeals",
    "token_ordeals",
    "worker_ordeal",
]

BASE_OFFSET: Final = 7_200.0
"""Seconds that the clock is ahead: it can be set back by an hour and is still not before the birth of the home."""
_HOUR: Final = 3_600.0
_GRACE: Final = 3.0
"""Seconds that the server may take until its readiness tells of a fault."""

_SUPERVISOR: Final = 0.3
"""How often it is the supervisor that is killed and not a worker."""
_SHOWS_SECONDS: Final = 60.0
"""Longest wait for a full disk to show."""
_PROMPT: Final = 3.0
"""Seconds that an answer which needs no database may take on a busy machine."""

Ordeal = Callable[["Run", "random.Random"], None]


def kill_ordeal(run: Run, dice: random.Random) -> None:
    """SIGKILL at some moment of the load, then the next life."""
    time.sleep(dice.uniform(0.05, 0.6))
    run.kill()
    since = time.monotonic()
    run.begin_again()
    _back(run, "kill", since)


def worker_ordeal(run: Run, dice: random.Random) -> None:
    """SIGKILL a worker, which its supervisor replaces; now and then the supervisor itself."""
    time.sleep(dice.uniform(0.05, 0.6))
    if dice.random() < _SUPERVISOR:
        run.kill()
        since = time.monotonic()
        run.begin_again()
        _back(run, "kill of the supervisor", since)
    else:
        run.kill_worker(dice)
        _back(run, "kill of a worker", time.monotonic())


def _back(run: Run, what: str, since: float) -> None:
    took = run.await_success(what, since)
    if took > BOUND:
        run.complain("BACK", f"after {what} the first certificate came after {took:.1f} s")


@dataclass(frozen=True, slots=True)
class _Expected:
    """What must be served while a fault lasts."""

    ready: bool
    ocsp: bool


@contextmanager
def _lasting(run: Run, what: str, expected: _Expected | None) -> Iterator[None]:
    """Measure what is served in the block, and how long the service takes to be back after it."""
    began = time.monotonic()
    yield
    ended = time.monotonic()
    _back(run, what, ended)
    if expected is not None:
        _judge(run, what, expected, began + _GRACE, ended)


def _judge(run: Run, what: str, expected: _Expected, begin: float, end: float) -> None:
    """RES-7: what must go on went on."""
    for name in ("crl", "ca", *(["ocsp"] if expected.ocsp else [])):
        run.watch.settled(name, end)
        seen = run.watch.between(name, begin, end)
        failed = [each for each in seen if each.status != 200 or each.seconds > _PROMPT]
        if not seen or failed:
            told = sorted({(each.status, round(each.seconds)) for each in failed})
            short = f"{len(failed)} of {len(seen)} requests for {name} failed or hung (status, seconds)"
            run.complain("RES-7", f"during {what}, {short}: {told}")
    ready = [each for each in run.watch.between("ready", begin, end) if each.at + each.seconds < end]
    if not expected.ready and any(each.status == 200 for each in ready):
        run.complain("RES-7", f"during {what} the server said that it was ready")


# --- PostgreSQL -------------------------------------------------------------------------------------------------------


def postgres_ordeals(cluster: Cluster, proxy: Proxy) -> dict[str, Ordeal]:
    """PostgreSQL stopped, crashed, restarted, read-only; the way to it cut, stalled, swallowing."""

    def gone(what: str, mode: str, seconds: float) -> Ordeal:
        def ordeal(run: Run, _: random.Random) -> None:
            with _lasting(run, what, _Expected(ready=False, ocsp=False) if seconds else None):
                cluster.stop(mode)
                time.sleep(seconds)
                cluster.start()

        return ordeal

    def way(what: str, mood: Mood, seconds: float) -> Ordeal:
        def ordeal(run: Run, _: random.Random) -> None:
            with _lasting(run, what, _Expected(ready=False, ocsp=False)):
                proxy.set(mood)
                time.sleep(seconds)
                proxy.set(Mood.FORWARD)

        return ordeal

    def read_only(run: Run, _: random.Random) -> None:
        with _lasting(run, "PostgreSQL read-only", _Expected(ready=False, ocsp=True)):
            cluster.refuse_writes()
            time.sleep(5)
            cluster.allow_writes()

    return {
        "PostgreSQL stopped": gone("PostgreSQL stopped", "fast", 5),
        "PostgreSQL crashed": gone("PostgreSQL crashed", "immediate", 0),
        "PostgreSQL restarted": gone("PostgreSQL restarted", "fast", 0),
        "PostgreSQL read-only": read_only,
        "connections cut": way("connections cut", Mood.CUT, 5),
        "connections stalled": way("connections stalled", Mood.STALL, 8),
        "connections swallowed": way("connections swallowed", Mood.SWALLOW, 8),
    }


# --- the token --------------------------------------------------------------------------------------------------------


def token_ordeals(token: SoftToken) -> dict[str, Ordeal]:
    """The token with the CA keys taken away under load: for some seconds, and over the end of a process."""

    def away(what: str, seconds: float, *, kill: bool = False) -> Ordeal:
        def ordeal(run: Run, dice: random.Random) -> None:
            time.sleep(dice.uniform(0.2, 0.6))
            before, aside = run.fleet.counts["HTTP 503"], token.directory / "taken"
            with _lasting(run, what, None if kill else _Expected(ready=True, ocsp=True)):
                token.tokens.rename(aside)
                if kill:
                    run.kill()
                    run.begin_again()
                time.sleep(seconds)
                aside.rename(token.tokens)
            if run.fleet.counts["HTTP 503"] == before:
                run.complain("TOKEN", f"during {what} nobody was told to come back")

        return ordeal

    return {
        "token away": away("token away", 5),
        "kill while the token is away": away("kill and token away", 3, kill=True),
    }


# --- disk -------------------------------------------------------------------------------------------------------------


def disk_ordeal(disk: SmallDisk) -> Ordeal:
    """The file system of the home full, until it shows and for some seconds more.

    SQLite's log has space of its own that it uses again, so it takes some enrolments until one more needs the disk's.
    """

    def ordeal(run: Run, _: random.Random) -> None:
        disk.fill()
        before, until = run.fleet.counts["HTTP 503"], time.monotonic() + _SHOWS_SECONDS
        while run.fleet.counts["HTTP 503"] == before and time.monotonic() < until:
            time.sleep(0.05)
        if run.fleet.counts["HTTP 503"] == before:
            run.complain("DISK", f"a full disk kept nobody from a certificate in {_SHOWS_SECONDS:g} s")
        with _lasting(run, "disk full", _Expected(ready=False, ocsp=True)):
            time.sleep(6)
            disk.free()

    return ordeal


# --- clock ------------------------------------------------------------------------------------------------------------


def clock_ordeals() -> dict[str, Ordeal]:
    """Jumps of an hour, small steps, and kills just before the clock goes back."""

    def jump(what: str, *offsets: float, kill: bool = False) -> Ordeal:
        def ordeal(run: Run, dice: random.Random) -> None:
            for offset in offsets:
                if kill:
                    run.kill()
                run.site.offset(BASE_OFFSET + offset)
                since = time.monotonic()
                if kill:
                    run.begin_again()
                _back(run, what, since)
                time.sleep(dice.uniform(1, 2))

        return ordeal

    return {
        "clock forward and back": jump("clock forward and back", _HOUR, 0),
        "clock back and forward": jump("clock back and forward", -_HOUR, 0),
        "clock in small steps": jump("clock in small steps", -2, 1, -1, 3, 0),
        "kills while the clock jumps": jump("kills while the clock jumps", _HOUR, 0, -_HOUR, 0, kill=True),
    }
