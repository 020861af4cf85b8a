"""Starting: how long a person waits, and how much memory a server has idle and under load."""

from __future__ import annotations

import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tools.bench.devices import judge, make_devices
from tools.bench.homes import environment, make_home, opened, program, requests, served
from tools.bench.load import CONNECTIONS, free_port, post_all, wait_until_answering
from tools.bench.measure import Tree, VoidRunError, median
from tools.bench.report import Bound, Budget, Figure, Report, Row, Table

if TYPE_CHECKING:
    from tools.bench.homes import Home
    from tools.bench.measure import Memory

__all__ = ["FULL", "LEAST", "QUICK", "Sizes", "measure"]

_WALL_BUDGETS: Final = {"regalia --help": 0.5, "regalia init": 3.0, "regalia serve to first answer": 3.0}
_IDLE: Final = Budget(Bound.AT_MOST, 120.0)
_LOADED: Final = Budget(Bound.AT_MOST, 250.0)
_PATH: Final = "/scep/default?operation=PKIOperation"
_METHOD: Final = """\
Wall time from starting the program to its end, or to the first GetCACaps that is answered; files are in the page cache
after a first run that does not count.
Idle: resident memory of the largest process of the server three seconds after it answers. Under load: its peak after
enrolments over 4 kept connections. MB are a million octets."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured."""

    passes: int
    enrolments: int
    warm_up: int = 1
    """Rounds that do not count."""
    settle: float = 3.0
    """Seconds until a server counts as idle."""


FULL: Final = Sizes(passes=7, enrolments=400)
QUICK: Final = Sizes(passes=3, enrolments=60)
LEAST: Final = Sizes(passes=1, enrolments=2, warm_up=0, settle=0)


def measure(sizes: Sizes) -> Report:
    """Measure times and memory. Raises `VoidRunError` where a program fails or an answer is wrong."""
    with tempfile.TemporaryDirectory(prefix="regalia-bench-") as directory:
        home = make_home(Path(directory) / "home")
        walls = _walls(Path(directory), home, sizes)
        idle, loaded, verified = _memory(home, sizes)
    figures = [
        Figure(name, median(spent), "s", Budget(Bound.AT_MOST, _WALL_BUDGETS[name]), tuple(spent))
        for name, spent in walls.items()
    ]
    figures.append(Figure("memory of an idle server", max(each.now for each in idle), "MB", _IDLE))
    figures.append(Figure("memory under load, per process", max(each.peak for each in loaded), "MB", _LOADED))
    rows = tuple(
        Row(f"process {number}", (before.now, after.now, after.peak))
        for number, (before, after) in enumerate(zip(idle, loaded, strict=False), 1)
    )
    table = Table("Resident memory in MB, per process of the server", ("", "idle", "after load", "peak"), rows)
    settings = {"passes": sizes.passes, "enrolments": sizes.enrolments}
    return Report("start", figures, verified, _METHOD, settings, (table,))


def _walls(directory: Path, home: Home, sizes: Sizes) -> dict[str, list[float]]:
    """Take turns. What warms the page cache does not count."""
    walls: dict[str, list[float]] = {name: [] for name in _WALL_BUDGETS}
    for number in range(sizes.warm_up + sizes.passes):
        fresh = directory / f"fresh-{number}"
        url = f"http://127.0.0.1:{free_port()}"
        spent = {
            "regalia --help": _run(directory / "none", "--help"),
            "regalia init": _run(fresh, "init", "--url", url),
            "regalia serve to first answer": _first_answer(home),
        }
        for name, seconds in spent.items():
            walls[name].append(seconds)
    return {name: spent[sizes.warm_up :] for name, spent in walls.items()}


def _run(path: Path, *arguments: str) -> float:
    began = time.monotonic()
    result = subprocess.run(
        program(*arguments), check=False, env=environment(path), stdin=subprocess.DEVNULL, capture_output=True
    )
    if result.returncode != 0:
        raise VoidRunError(f"regalia {arguments[0]}: {result.stderr.decode(errors='replace')}")
    return time.monotonic() - began


def _first_answer(home: Home) -> float:
    listen = ("--listen", f"127.0.0.1:{home.port}", "--admin-listen", "127.0.0.1:0")
    began = time.monotonic()
    with subprocess.Popen(
        program("serve", *listen),
        env=environment(home.path),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            return wait_until_answering(home.port, "/scep/default?operation=GetCACaps") - began
        finally:
            process.terminate()


def _memory(home: Home, sizes: Sizes) -> tuple[list[Memory], list[Memory], int]:
    """Return the memory of each process idle and after the load, and how many answers were verified."""
    with opened(home) as app:
        sent = requests(app, "default", make_devices(sizes.enrolments))
    with served(home) as pid:
        wait_until_answering(home.port, "/scep/default?operation=GetCACaps")
        time.sleep(sizes.settle)
        tree = Tree(pid)
        idle = tree.memory()
        replies = post_all(home.port, _PATH, [each.message for each in sent], connections=CONNECTIONS)
        tree.refresh()
        loaded = tree.memory()
    return idle, loaded, judge(zip(sent, replies, strict=True))
