"""What holds for every test: the two parts, no sockets in the unit part, and the counts that `./regalia test` sums.

A test is `real` when it needs more than this process: programs, sockets, a database server. That goes by folder, and a
single test elsewhere can say so itself. `live_client(name)` names the foreign program that a test runs against. A test
that is parametrized by database has `sqlite` or `postgresql` as one part of its id.

What may take long by its own word, a `timeout` mark, is begun first, so that no process is left with it at the end.
"""

from __future__ import annotations

import gc
import json
import signal
import socket
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).resolve().parent
REAL_FOLDERS = frozenset({"app", "cli", "docs", "faults", "interop", "lab", "repository", "store"})
DATABASES = frozenset({"sqlite", "postgresql"})
UNIT, REAL, SERIAL = "not real", "real and not serial", "real and serial"
"""What the parts of a whole run select."""

# A deadline measures the machine that two runs share; how long a test may take is pytest-timeout's business.
settings.register_profile("quick", deadline=None)
settings.register_profile("long", deadline=None, max_examples=5_000)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add our two options."""
    parser.addoption("--counts", type=Path, help="write what ran, per database and live client, to this JSON file")
    parser.addoption("--long", action="store_true", help="also the tests marked long; more examples of each property")


def pytest_configure(config: pytest.Config) -> None:
    """Choose the number of examples, and count where the whole run is seen: not in a worker of xdist."""
    settings.load_profile("long" if config.getoption("--long") else "quick")
    # A shell that starts a run in the background has it ignore Ctrl-C, and so would the programs that tests interrupt.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    path = config.getoption("--counts")
    if path is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Counts(path), "regalia-counts")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave files unread that have nothing for this part of a whole run: to read all takes more than ten seconds."""
    selected = config.option.markexpr
    if selected not in {UNIT, REAL, SERIAL} or not collection_path.name.startswith("test_"):
        return None
    by_folder = _is_real_by_folder(collection_path)
    if selected == UNIT:
        return by_folder or None
    if selected == SERIAL and not _says(collection_path, "serial"):
        return True
    return None if by_folder or _says(collection_path, "real") else True


def _is_real_by_folder(path: Path) -> bool:
    parts = path.relative_to(HERE).parts if path.is_relative_to(HERE) else ()
    return len(parts) > 1 and parts[0] in REAL_FOLDERS


@cache
def _says(path: Path, mark: str) -> bool:
    """Whether a file of tests writes a mark down, which is what decides who reads it."""
    return f"mark.{mark}" in path.read_text(encoding="utf-8")


@pytest.hookimpl(wrapper=True, tryfirst=True)  # before -m selects by what is marked here, and after the shuffling
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Iterator[None]:
    """Mark by folder, leave out the long ones, tell the counts what they need of each test, begin with what is slow."""
    for item in items:
        for mark in ("real", "serial"):
            if item.get_closest_marker(mark) and not _says(item.path, mark):
                raise pytest.UsageError(f"{item.path} has to say mark.{mark} itself, or a whole run leaves it out")
        if _is_real_by_folder(item.path):
            item.add_marker("real")
        item.user_properties += _properties(item)
    if not config.getoption("--long"):
        long = [item for item in items if item.get_closest_marker("long")]
        items[:] = [item for item in items if item not in long]
        config.hook.pytest_deselected(items=long)
    yield
    slow = {item.path for item in items if item.get_closest_marker("timeout")}
    items.sort(key=lambda item: item.path not in slow)


def _properties(item: pytest.Item) -> list[tuple[str, object]]:
    clients = {name for marker in item.iter_markers("live_client") for name in marker.args}
    found: list[tuple[str, object]] = [("live_client", name) for name in sorted(clients)]
    callspec = getattr(item, "callspec", None)
    if callspec is not None:
        parts = callspec.id.split("-")
        for database in DATABASES.intersection(parts):
            test = "-".join("*" if part == database else part for part in parts)
            found.append(("database", [database, f"{item.nodeid.split('[')[0]}[{test}]"]))
    return found


class _Counts:
    """Adds up the reports, wherever they come from, and writes one JSON object at the end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._passed: set[str] = set()
        self._failed: set[str] = set()
        self._skipped: list[str] = []
        self._databases: dict[str, list[str]] = {name: [] for name in sorted(DATABASES)}
        self._live_clients: Counter[str] = Counter()
        self._measured: dict[str, list[str]] = {}

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Count what could not even be collected as a failure."""
        if report.failed:
            self._failed.add(report.nodeid)
        elif report.skipped:
            self._skipped.append(f"{report.nodeid}: {_why(report)}")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a test once: as failed if any of its phases failed."""
        if report.failed:
            self._failed.add(report.nodeid)
        elif report.skipped:  # an expected failure too: it did not hold
            self._skipped.append(f"{report.nodeid}: {_why(report)}")
        elif report.when == "call":
            self._passed.add(report.nodeid)
            for key, value in report.user_properties:
                if key == "live_client":
                    self._live_clients[str(value)] += 1
                elif key == "database":
                    database, test = _pair(value)
                    self._databases[database].append(test)
                else:
                    self._measured.setdefault(report.nodeid.rpartition("/")[2], []).append(f"{key} {value}")

    def pytest_sessionfinish(self) -> None:
        """Write the file."""
        counts = {
            "passed": len(self._passed - self._failed),
            "failed": len(self._failed),
            "skipped": self._skipped,
            "databases": self._databases,
            "live_clients": self._live_clients,
            "measured": {test: ", ".join(values) for test, values in self._measured.items()},
        }
        self._path.write_text(json.dumps(counts), encoding="utf-8")


def _why(report: pytest.CollectReport | pytest.TestReport) -> str:
    return str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else "expected to fail"


def _pair(value: object) -> tuple[str, str]:
    # xdist hands a tuple over as a list.
    assert isinstance(value, list)
    database, test = value
    return database, test


class _Sockets:
    """Refuses network sockets while a unit test runs. An audit hook sees every use, by whatever library."""

    def __init__(self) -> None:
        self.refused = False
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.refused or not event.startswith("socket."):
            return
        if event == "socket.getaddrinfo" or (
            event in {"socket.connect", "socket.bind", "socket.sendto"} and arguments[0].family != socket.AF_UNIX
        ):
            raise SocketInUnitTestError(event)


class SocketInUnitTestError(Exception):
    """A unit test used the network. Mark it `real` if it must, or use a fake of our own port."""


_SOCKETS = _Sockets()


@pytest.fixture(autouse=True)
def no_sockets_in_unit_tests(request: pytest.FixtureRequest) -> Iterator[None]:
    """Refuse network sockets to tests that are not `real`."""
    _SOCKETS.refused = request.node.get_closest_marker("real") is None
    yield
    _SOCKETS.refused = False


def pytest_collection_finish() -> None:
    """Keep the collector off what stays to the end: a walk over it takes a second, and falls upon one of the tests."""
    gc.collect()
    gc.freeze()


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name octets by what they are: keys made in a test module differ in each worker, and ids must not."""
    return "octets" if isinstance(val, bytes) and len(val) > 8 else None
