"""The phases of `./regalia faults`: each has a deployment of its own, load on it, and faults until its time is over."""

from __future__ import annotations

import json
import random
import subprocess
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tools.faults.checker import Outcomes, Violation
from tools.faults.disk import in_namespace, mounted
from tools.faults.matrix import around_the_signature, calls_of_an_issuance, lives
from tools.faults.ordeals import (
    BASE_OFFSET,
    clock_ordeals,
    disk_ordeal,
    kill_ordeal,
    postgres_ordeals,
    token_ordeals,
    worker_ordeal,
)
from tools.faults.proxy import Proxy
from tools.faults.run import Ended, Run, RunError
from tools.faults.site import make_site
from tools.postgres import running_cluster

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tools.bench.devices import Device
    from tools.faults.ordeals import Ordeal
    from tools.faults.site import Site
    from tools.faults.wiring import CrashPoint
    from tools.postgres import Cluster

__all__ = [
    "DATABASES",
    "Phase",
    "absent_phase",
    "clock_phase",
    "crash_phase",
    "disk_phase",
    "kill_phase",
    "postgres_phase",
    "token_phase",
]

DATABASES: Final = ("sqlite", "postgresql")
_LEASE: Final = "2"
"""Seconds: the shortest that the settings allow, so that what was interrupted need not wait a minute for its end."""
_STRIKE_SECONDS: Final = 15.0
"""Longest wait for a life to come to its crash point."""
_LIVES_A_POINT: Final = 4
"""What only happens after a crash needs an intent that the life before left open: where that life ended before it began
one, no wait is long enough. The kill that ends such a life leaves one, as often as not."""
_ABSENT: Final = 0.4
_DISK_MEBIBYTES: Final = 32
_DISK_MARGIN_SECONDS: Final = 240.0


@dataclass(frozen=True, slots=True)
class Phase:
    """How long, with which dice and which devices."""

    seconds: float
    seed: int
    devices: tuple[Device, ...]
    hsm: bool = False
    """Whether the CA keys are on a token."""


@contextmanager
def _site(database: str, threads: int = 4, *, hsm: bool = False) -> Iterator[tuple[Site, Cluster | None, Proxy | None]]:
    """Make a deployment in a new directory; PostgreSQL is reached through a proxy."""
    settings = {"issuance.lease_seconds": _LEASE, "server.threads": str(threads)}
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="regalia-faults-")))
        if database == "sqlite":
            yield make_site(directory, settings=settings, hsm=hsm), None, None
            return
        cluster = stack.enter_context(running_cluster())
        proxy = stack.enter_context(Proxy(cluster.port))
        look_url = cluster.create("regalia")
        url = cluster.url("regalia", proxy.port)
        yield make_site(directory, database=url, look_url=look_url, settings=settings, hsm=hsm), cluster, proxy


def crash_phase(database: str, phase: Phase, times: int) -> Ended:
    """SIGKILL before and after every call of store and signer in an issuance, and before the answer, so many times."""
    # A thread for each client and more: those that wait for a lease leave some for those that come to the point.
    with _site(database, threads=12, hsm=phase.hsm) as (site, _, _):
        calls = calls_of_an_issuance(site, phase.devices[1])
        if phase.hsm:
            calls = around_the_signature(calls)
        with Run(site, phase.devices, phase.seed) as run:
            run.kill()
            for point in lives(calls, times, phase.seed):
                if not any(_ends_at(run, point) for _ in range(_LIVES_A_POINT)):
                    run.complain("CRASH", f"no life of {_LIVES_A_POINT} came to its end {point}")
            run.begin_again()
            return run.finish()


def _ends_at(run: Run, point: CrashPoint) -> bool:
    """Begin a life that is to end itself at a point; False where it did not get there and was killed."""
    run.begin(point)
    return run.until_struck(point, _STRIKE_SECONDS)


def kill_phase(database: str, phase: Phase, *, workers: int = 1, at_least: int = 0) -> Ended:
    """SIGKILL at random moments: the whole server, or with several workers one of them or their supervisor."""
    ordeal = kill_ordeal if workers == 1 else worker_ordeal
    with (
        _site(database, hsm=phase.hsm) as (site, _, _),
        Run(site, phase.devices, phase.seed, workers=workers) as run,
    ):
        _suffer(run, {"kill": ordeal}, phase, at_least=at_least)
        return run.finish()


def absent_phase(database: str, phase: Phase) -> Ended:
    """SIGKILL at random moments while the CA's key cannot be reached now and then: intents are abandoned, too."""
    with (
        _site(database, threads=12) as (site, _, _),
        Run(replace(site, absent=_ABSENT), phase.devices, phase.seed) as run,
    ):
        _suffer(run, {"kill": kill_ordeal}, phase)
        return run.finish()


def token_phase(database: str, phase: Phase) -> Ended:
    """The token is taken away and brought back: enrolments wait, status goes on, nothing is lost."""
    with _site(database, threads=12, hsm=True) as (site, _, _), Run(site, phase.devices, phase.seed) as run:
        if site.token is None:
            raise RunError("there is no token")
        _suffer(run, token_ordeals(site.token), phase)
        return run.finish()


def postgres_phase(phase: Phase) -> Ended:
    """PostgreSQL and the way to it, in every way that we know to break them."""
    with _site("postgresql") as (site, cluster, proxy):
        if cluster is None or proxy is None:
            raise RunError("there is no PostgreSQL")
        with Run(site, phase.devices, phase.seed) as run:
            _suffer(run, postgres_ordeals(cluster, proxy), phase)
            return run.finish()


def clock_phase(database: str, phase: Phase) -> Ended:
    """The clock of all processes jumps."""
    with _site(database) as (site, _, _):
        site.offset(BASE_OFFSET)
        with Run(site, phase.devices, phase.seed) as run:
            _suffer(run, clock_ordeals(), phase)
            return run.finish()


def _suffer(run: Run, ordeals: Mapping[str, Ordeal], phase: Phase, *, at_least: int = 0) -> None:
    """Each ordeal once, in an order of dice, and again until the time is over."""
    dice = random.Random(phase.seed)  # noqa: S311 - an order, not a secret
    until, count = time.monotonic() + phase.seconds, 0
    while count == 0 or count < at_least or time.monotonic() < until:
        for name in dice.sample(sorted(ordeals), len(ordeals)):
            ordeals[name](run, dice)
            count += 1


# --- the disk, in a process that may mount ----------------------------------------------------------------------------


def disk_phase(phase: Phase) -> Ended:
    """A full disk under an SQLite home. Whoever is not root mounts in a namespace, so it is a process of its own."""
    command = in_namespace("-m", "tools.faults.phases", str(phase.seconds), str(phase.seed))
    root = Path(__file__).resolve().parents[2]
    ended = subprocess.run(
        command, cwd=root, stdout=subprocess.PIPE, check=True, timeout=phase.seconds + _DISK_MARGIN_SECONDS
    )
    return read_ended(json.loads(ended.stdout))


def _disk_here(seconds: float, seed: int) -> Ended:
    from tools.faults.run import devices_for_run  # noqa: PLC0415 - makes keys

    phase = Phase(seconds, seed, devices_for_run())
    settings = {"issuance.lease_seconds": _LEASE}
    with tempfile.TemporaryDirectory(prefix="regalia-faults-") as directory:
        outside = Path(directory)
        with mounted(outside / "disk", _DISK_MEBIBYTES) as disk:
            site = make_site(outside, home=disk.path / "home", settings=settings)
            with Run(site, phase.devices, phase.seed) as run:
                _suffer(run, {"disk full": disk_ordeal(disk)}, phase)
                return run.finish()


def read_ended(record: dict[str, Any]) -> Ended:
    """Read what `dataclasses.asdict` made of an `Ended`, through JSON."""
    return Ended(
        **{
            **record,
            "violations": tuple(Violation(**each) for each in record["violations"]),
            "outcomes": Outcomes(**record["outcomes"]),
            "back": {what: tuple(seconds) for what, seconds in record["back"].items()},
        }
    )


if __name__ == "__main__":
    import sys

    sys.stdout.write(json.dumps(asdict(_disk_here(float(sys.argv[1]), int(sys.argv[2])))))
