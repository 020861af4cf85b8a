"""`./regalia test [--unit] [--long] [pytest arguments]`: everything that must hold before a change lands.

Without arguments: the missing Debian packages (as root installed, else listed: exit 3), lint, the unit part, then the
part on real programs and databases, and totals per database and per live client, which decide too. With pytest
arguments only what they select runs, without lint and without the totals.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.lint import lint
from tools.packages import install, missing

__all__ = ["Totals", "verdict"]

DATABASES = ("sqlite", "postgresql")
LIVE_CLIENTS = ("certmonger", "strongswan", "scepclient", "openssl", "nginx", "haproxy", "caddy", "softhsm")
WORKERS = "2"
_SEED = 2_426_944_448
NO_TESTS = 5
"""pytest's exit code when nothing was selected."""


@dataclass
class Totals:
    """What the parts of a run add up to; read from the files that tests/conftest.py writes."""

    passed: int = 0
    failed: int = 0
    skipped: list[str] = field(default_factory=list)
    """`test: reason` of each."""
    databases: dict[str, set[str]] = field(default_factory=lambda: {name: set() for name in DATABASES})
    """Tests passed per database, under names in which the database is left out."""
    live_clients: Counter[str] = field(default_factory=Counter)
    measured: dict[str, str] = field(default_factory=dict)
    """What a test measured, which decides nothing (R13), by test."""

    def add(self, counts: dict[str, Any]) -> None:
        """Add one part's counts."""
        self.passed += counts["passed"]
        self.failed += counts["failed"]
        self.skipped += counts["skipped"]
        for name, tests in counts["databases"].items():
            self.databases.setdefault(name, set()).update(tests)
        self.live_clients.update(counts["live_clients"])
        self.measured.update(counts["measured"])

    def lines(self) -> list[str]:
        """Say it for people."""
        databases = ", ".join(f"{name} {len(tests)}" for name, tests in self.databases.items())
        clients = ", ".join(f"{name} {self.live_clients[name]}" for name in LIVE_CLIENTS)
        measured = [f"measured: {test}: {values}" for test, values in sorted(self.measured.items())]
        return [
            f"databases: {databases}",
            f"live clients: {clients}",
            *measured,
            *(f"skipped: {test}" for test in self.skipped),
        ]


def verdict(totals: Totals, *, ci: bool) -> list[str]:
    """Return what is wrong although no test failed."""
    sqlite, postgresql = (totals.databases[name] for name in DATABASES)
    wrong = [f"ran on one database only: {test}" for test in sorted(sqlite ^ postgresql)]
    if not sqlite:
        wrong.append("no test ran on a database")
    wrong += [f"no test ran with the live client {name}" for name in LIVE_CLIENTS if totals.live_clients[name] == 0]
    if ci and totals.skipped:
        wrong.append("tests were skipped")
    return wrong


def _main(arguments: list[str]) -> int:
    unit_only = "--unit" in arguments
    long = [argument for argument in arguments if argument == "--long"]
    selection = [argument for argument in arguments if argument not in {"--unit", "--long"}]
    if not unit_only and not _packages_are_there(must=not selection):
        return 3
    totals = Totals()
    if selection:
        markers = ["-m", "not real"] if unit_only else []
        return _pytest(totals, *markers, *long, *selection)
    problems = [f"lint: {name}" for name in lint()]
    problems += _unit_part(totals, long)
    if not unit_only:
        problems += _real_part(totals, long)
        problems += verdict(totals, ci=bool(os.environ.get("CI")))
    return _close(totals, problems, full=not unit_only)


def _packages_are_there(*, must: bool) -> bool:
    packages = missing()
    if not packages:
        return True
    if os.geteuid() == 0:
        print(f"test: installing {' '.join(packages)}", flush=True)
        return install(packages) or not must
    print("test: some tests run programs that are missing here. As root:")
    print(f"apt-get update && apt-get install --yes --no-install-recommends {' '.join(packages)}", flush=True)
    return not must


def _unit_part(totals: Totals, long: list[str]) -> list[str]:
    started = time.monotonic()
    status = _pytest(totals, *_order(long=bool(long)), "-n", WORKERS, "-m", "not real")
    print(f"unit part: {time.monotonic() - started:.1f} s, {totals.passed} passed", flush=True)
    return [f"unit part: pytest ended with {status}"] if status else []


def _real_part(totals: Totals, long: list[str]) -> list[str]:
    """Run what needs real programs: two files at a time, except where a test must have the machine for itself.

    tests/conftest.py distributes the files and says which come first; xdist would end with those of fewest tests, which
    are the longest.
    """
    started = time.monotonic()
    by_file = ("-n", WORKERS, "--dist", "loadfile", "--no-loadscope-reorder")
    order = _order(long=bool(long))
    parallel = _pytest(totals, *order, *by_file, "-m", "real and not serial", *long)
    alone = time.monotonic()
    serial = _pytest(totals, *order, "-m", "real and serial", *long)
    ended = time.monotonic()
    print(f"real part: {ended - started:.1f} s, of it one by one {ended - alone:.1f} s", flush=True)
    endings = {"real part": parallel, "real part, one by one": 0 if serial == NO_TESTS else serial}
    return [f"{name}: pytest ended with {status}" for name, status in endings.items() if status]


def _pytest(totals: Totals, *arguments: str) -> int:
    with tempfile.TemporaryDirectory(prefix="regalia-test-") as directory:
        counts = Path(directory) / "counts.json"
        command = [sys.executable, "-m", "pytest", "--counts", str(counts), *arguments]
        status = subprocess.run(command, check=False, env=_environment()).returncode
        if counts.exists():
            totals.add(json.loads(counts.read_text(encoding="utf-8")))
    return status


def _environment() -> dict[str, str]:
    """Let Python keep what it compiles. Images for containers often forbid it, and then each process begins anew."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def _order(*, long: bool) -> list[str]:
    """Shuffle: alike in every run, so that a change fails for what it changed; with `--long` by the commit.

    A test's place goes by its name and the seed, and not by which others there are.
    """
    command = ["git", "rev-parse", "HEAD"]
    head = subprocess.run(command, check=False, capture_output=True, text=True).stdout if long else ""
    return [f"--randomly-seed={int(head[:8], 16) if head else _SEED}"]


def _close(totals: Totals, problems: list[str], *, full: bool) -> int:
    for line in totals.lines() if full else []:
        print(line)
    for problem in problems:
        print(f"FAILED {problem}")
    # What no test counted is a failure all the same, and must not read as a clean run.
    failed = max(totals.failed, 1) if problems else totals.failed
    print(f"total: {totals.passed} passed, {failed} failed, {len(totals.skipped)} skipped", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
