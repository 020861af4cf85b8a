"""Nodes as an administrator runs them: homes of their own, `regalia serve` in each, one database."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interop.programs import ProgramError, run, wait_for
from interop.server import Server, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Node", "cluster"]

READY_SECONDS = 60
STOP_SECONDS = 90


@dataclass
class Node:
    """One home, and its server while it runs."""

    home: Path
    port: int
    settings: Mapping[str, str]
    workers: int = 2
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def device(self) -> str:
        """Base URL of the device listener."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def administered(self) -> Server:
        """The node for an administrator who has its home: its commands, run with no more than is in there."""
        return Server(self.home, self.device, self.pid)

    @property
    def pid(self) -> int:
        """Process id of its newest server: of its supervisor, where it has several workers."""
        return self.processes[-1].pid if self.processes else 0

    def workers_running(self) -> list[int]:
        """Return the process ids of the workers."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text(encoding="ascii")
        signers = {line["process"] for line in self.log("signer-started")}
        return [int(pid) for pid in children.split() if int(pid) not in signers]

    def signer(self) -> int:
        """Return the process id of the signer that was started last."""
        process: int = self.log("signer-started")[-1]["process"]
        return process

    def start(self) -> dict[str, str]:
        """Start the server and wait until it answers; return its addresses."""
        ready = self.home.with_suffix(f".{len(self.processes)}.json")
        options = ("--listen", f"127.0.0.1:{self.port}", "--admin-listen", "127.0.0.1:0", "--json")
        with ready.open("wb") as stdout, self._log.open("ab") as stderr:
            process = subprocess.Popen(
                regalia("serve", *options, "--workers", str(self.workers)),
                env=environment(self.home, self.settings),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
            )
        self.processes.append(process)

        def addresses() -> dict[str, str] | None:
            if process.poll() is not None:
                raise ProgramError(f"serve ended with {process.returncode}:\n{self._log.read_text(errors='replace')}")
            first, complete, _ = ready.read_text(encoding="utf-8").partition("\n")
            return json.loads(first) if complete else None

        return wait_for("regalia serve", addresses, seconds=READY_SECONDS)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End the server by a signal; return its exit code."""
        self.processes[-1].send_signal(number)
        return self.processes[-1].wait(STOP_SECONDS)

    def log(self, event: str = "") -> list[dict[str, Any]]:
        """Return what the server said on stderr: every event, or those of one name."""
        lines = [json.loads(line) for line in self._log.read_text(encoding="utf-8").splitlines()]
        return [line for line in lines if not event or line["event"] == event]

    @property
    def _log(self) -> Path:
        return self.home.with_suffix(".log")


def regalia(*arguments: str) -> list[str]:
    """Make the command line."""
    return [sys.executable, "-P", "-m", "regalia", *arguments]


def environment(home: Path, settings: Mapping[str, str] | None = None) -> dict[str, str]:
    """Give the program its home and these settings, and nothing of the person who runs the tests."""
    python = {name: value for name, value in os.environ.items() if name.startswith("PYTHON")}
    path = os.environ.get("PATH", os.defpath)
    return {
        **python,
        "PATH": path,
        "HOME": str(home.parent),
        "LANG": "C.UTF-8",
        "REGALIA_HOME": str(home),
        **(settings or {}),
    }


@contextmanager
def cluster(
    directory: Path, database: str | None, settings: Mapping[str, str] | None = None, *, workers: int = 2
) -> Iterator[list[Node]]:
    """Make the homes: two on a PostgreSQL database, one with SQLite where none is named. Nothing runs yet.

    `settings` are `section__key`. Whatever runs at the end is killed.
    """
    told = {f"REGALIA_{name.upper()}": value for name, value in (settings or {}).items()}
    first = Node(directory / "one", free_port(), told, workers)
    nodes = [first]
    where = ["--database", database] if database is not None else []
    run(*regalia("init", "--url", first.device, *where), environment=environment(first.home))
    if database is not None:
        told = told | {"REGALIA_MASTER_KEY_FILE": str(first.home / "master.key")}
        second = Node(directory / "two", free_port(), told, workers)
        run(*regalia("init", *where), environment=environment(second.home, told))
        nodes.append(second)
    try:
        yield nodes
    finally:
        for node in nodes:
            for process in node.processes:
                process.kill()
                process.wait()
