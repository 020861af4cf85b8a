"""What `./regalia test` makes of its counts, and that they are right with several workers."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tools.test import LIVE_CLIENTS, Totals, verdict

ROOT = Path(__file__).resolve().parents[2]

STORE = """
import pytest
@pytest.mark.parametrize("name", ["a", "b"])
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_both(database, name, record_property): record_property("seconds", 0.5)
@pytest.mark.parametrize("database", ["sqlite"])
def test_one(database): pass
"""
INTEROP = """
import pytest
pytestmark = [pytest.mark.live_client("certmonger"), pytest.mark.live_client("openssl")]
def test_enrols(): pass
def test_fails(): assert False
def test_skips(): pytest.skip("not here")
@pytest.mark.long
def test_long(): pass
"""
WIRE = """
import socket
def test_local():
    left, right = socket.socketpair()
    left.close(), right.close()
def test_network():
    with socket.socket() as client:
        client.connect(("127.0.0.1", 9))
"""


def _counts(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    good = {
        "passed": 6,
        "failed": 0,
        "skipped": [],
        "databases": {"sqlite": ["t[*]"], "postgresql": ["t[*]"]},
        "live_clients": dict.fromkeys(LIVE_CLIENTS, 1),
        "measured": {},
    }
    return {**good, **changes}


def _wrong(*, ci: bool = True, **changes: Any) -> list[str]:  # noqa: ANN401 - JSON
    totals = Totals()
    totals.add(_counts(**changes))
    return verdict(totals, ci=ci)


def test_a_full_run_is_accepted() -> None:
    """A run on both databases with every live client has nothing wrong with it."""
    assert _wrong() == []


def test_databases_that_differ_are_named() -> None:
    """A storage test that ran on one database only fails the run (R13)."""
    databases = {"sqlite": ["t[*]", "u[*]"], "postgresql": ["t[*]"]}
    assert _wrong(databases=databases) == ["ran on one database only: u[*]"]
    assert _wrong(databases={}) == ["no test ran on a database"]


@pytest.mark.parametrize("client", LIVE_CLIENTS)
def test_a_live_client_that_did_not_run_fails_the_run(client: str) -> None:
    """Each live client must have run (R13)."""
    clients = {name: 1 for name in LIVE_CLIENTS if name != client}
    assert _wrong(live_clients=clients) == [f"no test ran with the live client {client}"]


def test_a_skipped_test_fails_in_ci() -> None:
    """CI installs what it needs, so a skipped test is a failure there."""
    assert _wrong(skipped=["t: why"]) == ["tests were skipped"]
    assert _wrong(skipped=["t: why"], ci=False) == []


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small tree of tests under our own conftest."""
    for name, text in {"store": STORE, "interop": INTEROP, "wire": WIRE}.items():
        (tmp_path / "tests" / name).mkdir(parents=True)
        (tmp_path / "tests" / name / f"test_{name}.py").write_text(text)
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path / "tests")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def _run(tree: Path, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "pytest", "--counts", "counts.json", *arguments]
    subprocess.run(command, cwd=tree, check=False, capture_output=True)
    counts: dict[str, Any] = json.loads((tree / "counts.json").read_text())
    return counts


@pytest.mark.parametrize("workers", ["0", "2"])
def test_what_ran_is_counted(tree: Path, workers: str) -> None:
    """Passed tests count for their database and their clients, with workers as without; others do not."""
    counts = _run(tree, "-n", workers, "-m", "real")
    assert (counts["passed"], counts["failed"]) == (6, 1)
    store = "tests/store/test_store.py"
    both = {f"{store}::test_both[*-a]", f"{store}::test_both[*-b]"}
    assert set(counts["databases"]["postgresql"]) == both
    assert set(counts["databases"]["sqlite"]) == both | {f"{store}::test_one[*]"}
    assert counts["live_clients"] == {"certmonger": 1, "openssl": 1}
    assert counts["skipped"] == ["tests/interop/test_interop.py::test_skips: Skipped: not here"]
    assert counts["measured"]["test_store.py::test_both[sqlite-a]"] == "seconds 0.5"


def test_long_tests_run_when_asked_for(tree: Path) -> None:
    """A test marked long runs with --long only, and is otherwise not counted as skipped."""
    assert _run(tree, "-m", "real", "--long")["live_clients"]["openssl"] == 2


def test_unit_tests_have_no_network(tree: Path) -> None:
    """In the unit part a network socket raises, and a pair of local sockets works."""
    counts = _run(tree, "-m", "not real")
    assert (counts["passed"], counts["failed"]) == (1, 1)
