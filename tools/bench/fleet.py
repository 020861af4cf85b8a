"""A fleet that a connector knows: planning for all of it, a wipe until all know, and a connector that hangs."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from regalia.app import build
from regalia.config import load_config
from regalia.ra.follow_run import planned
from tools.bench.fleet_filling import fill_fleet
from tools.bench.fleet_hanging import percentiles_beside_a_connector
from tools.bench.fleet_wipes import seconds_to_revoked
from tools.bench.homes import make_home
from tools.bench.measure import VoidRunError, median, memory_of, reset_peak
from tools.bench.report import Bound, Budget, Figure, Report
from tools.postgres import running_cluster

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tools.bench.homes import Home

__all__ = ["FULL", "LEAST", "QUICK", "Sizes", "measure"]

_WALL_BUDGET: Final = Budget(Bound.AT_MOST, 60.0)
_MEMORY_BUDGET: Final = Budget(Bound.AT_MOST, 300.0)
_WIPE_BUDGET: Final = Budget(Bound.AT_MOST, 5.0)
_HANGING_BUDGET: Final = Budget(Bound.AT_MOST, 2.0)
_NAMED: Final = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}

_METHOD: Final = """\
Plan: a database is filled with devices and users of one connector, two devices of a user, and with certificates that
are bound to the devices; one device in five hundred is wiped. A process of its own opens it, plans what follows for
everybody, counts it and judges it by the brake, as every whole run does; it has to find the wiped ones and no others.
Wall time; memory over what the process has before, at its peak; the median of the passes.
Wipe: `serve` as two nodes with a worker each on PostgreSQL, as one with two workers on SQLite, with a fleet of its own.
A signed web hook tells one of them of a wipe, and eight connections to each node ask OCSP, whose answer they had as
good just before, until all have it as revoked: wall time of all of it, from before the message.
Hang: twelve enrolments a second, at times fixed beforehand, at one node with two workers, while four devices knock at
the endpoint of another group all the time. Its connector takes the connection and says nothing, or the connection is
refused; the server is started anew for each. The ratio of the two 99th percentiles, and the median of the passes."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured."""

    devices: int
    certificates: int
    passes: int
    told: int
    """Devices where wipes are told."""
    wipes: int
    enrolments: int
    """Of each half of a pass, beside a connector."""

    @property
    def wiped(self) -> int:
        """Devices of the plan that are wiped."""
        return max(1, self.devices // 500)


FULL: Final = Sizes(devices=100_000, certificates=150_000, passes=3, told=10_000, wipes=150, enrolments=240)
QUICK: Final = Sizes(devices=10_000, certificates=15_000, passes=3, told=2_000, wipes=50, enrolments=120)
LEAST: Final = Sizes(devices=20, certificates=30, passes=1, told=20, wipes=3, enrolments=4)


def measure(sizes: Sizes) -> Report:
    """Measure both databases. Raises `VoidRunError` where something else follows than should."""
    figures: list[Figure] = []
    verified = 0
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="regalia-bench-")))
        postgres = stack.enter_context(running_cluster())
        for database, named in _NAMED.items():
            url = postgres.create("plan") if database == "postgresql" else None
            home = make_home(directory / f"plan-{database}", url)
            fill_fleet(home, url, devices=sizes.devices, certificates=sizes.certificates, wiped=sizes.wiped)
            passes = [_plan(home, sizes.wiped) for _ in range(sizes.passes)]
            figures += _plan_figures(passes, sizes, named)
            verified += sizes.wiped * sizes.passes
            told = postgres.create("wipes") if database == "postgresql" else None
            took = seconds_to_revoked(directory / f"wipes-{database}", told, devices=sizes.told, wipes=sizes.wipes)
            figures += _wipe_figures(took, sizes, named)
            verified += len(took)
            beside = postgres.create("hanging") if database == "postgresql" else None
            pairs = percentiles_beside_a_connector(
                directory / f"hanging-{database}", beside, passes=sizes.passes, enrolments=sizes.enrolments
            )
            figures += _hanging_figures(pairs, named)
            verified += 2 * sizes.passes * sizes.enrolments
    settings = {
        "devices": sizes.devices,
        "certificates": sizes.certificates,
        "passes": sizes.passes,
        "wipes": sizes.wipes,
        "enrolments": sizes.enrolments,
    }
    return Report("fleet", figures, verified, _METHOD, settings)


def _plan(home: Home, wiped: int) -> Mapping[str, float]:
    command = [sys.executable, "-m", "tools.bench.fleet", str(home.path)]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    if result.returncode != 0:
        raise VoidRunError(f"planning failed:\n{result.stderr}")
    taken: Mapping[str, float] = json.loads(result.stdout)
    if taken["steps"] != wiped:
        raise VoidRunError(f"{taken['steps']:.0f} certificates would end, and {wiped} devices are wiped")
    return taken


def _plan_figures(passes: list[Mapping[str, float]], sizes: Sizes, named: str) -> Iterator[Figure]:
    what = f"plan for {sizes.devices:,} devices and {sizes.certificates:,} certificates"
    walls, memory = tuple(each["wall"] for each in passes), tuple(each["memory"] for each in passes)
    yield Figure(f"{what}, {named}", median(walls), "s", _WALL_BUDGET, walls)
    yield Figure(f"{what}, over idle, {named}", median(memory), "MB", _MEMORY_BUDGET, memory)


def _wipe_figures(took: list[float], sizes: Sizes, named: str) -> Iterator[Figure]:
    what = f"wipe told → revoked everywhere, {sizes.told:,} devices"
    ordered = sorted(took)
    worst = ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
    yield Figure(f"{what}, 99 of 100, {named}", worst, "s", _WIPE_BUDGET)
    yield Figure(f"{what}, median, {named}", median(ordered), "s")


def _hanging_figures(pairs: list[tuple[float, float]], named: str) -> Iterator[Figure]:
    what = "99 of 100 enrolments beside another group's connector"
    ratios = tuple(hanging / without for without, hanging in pairs)
    yield Figure(
        f"{what}: one that hangs ÷ one that refuses, {named}", median(ratios), "times", _HANGING_BUDGET, ratios
    )
    hangs = tuple(hanging * 1e3 for _, hanging in pairs)
    yield Figure(f"{what} that hangs, {named}", median(hangs), "ms", None, hangs)


def _plan_here(home: Path) -> dict[str, float]:
    """Open a home and plan; seconds, MB over idle, and steps that end trust."""
    app = build(load_config({}, home=home))
    try:
        app.store.groups()
        reset_peak()
        idle, began = memory_of().now, time.perf_counter()
        run = planned(app.store, app.clock.now())
        wall = time.perf_counter() - began
        return {"wall": wall, "memory": memory_of().peak - idle, "steps": run.tally.ends.get("default", 0)}
    finally:
        app.close()


if __name__ == "__main__":
    print(json.dumps(_plan_here(Path(sys.argv[1]))))
