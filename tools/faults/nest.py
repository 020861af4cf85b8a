"""The keeper of a server: begins its lives one after the other, and ends them by their process id."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from types import TracebackType

    from tools.faults.server import Plan

__all__ = ["Nest", "NestError"]

_ROOT: Final = Path(__file__).resolve().parents[2]
_READY_SECONDS = 60.0
_END_SECONDS = 60.0


class NestError(Exception):
    """A server did not begin, or did not end."""


class Nest:
    """One process that forks the lives of one server."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tools.faults.server"],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=_environment(),
        )
        self._told: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, name="nest", daemon=True)
        self._reader.start()
        self._kept: list[dict[str, Any]] = []
        self.pid: int | None = None
        """Of the life that is on, if one is."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self._told.put(json.loads(line))

    def begin(self, plan: Plan) -> int:
        """Begin a life; its process id. It may not answer yet."""
        if self._process.stdin is None:
            raise NestError("no pipe")
        self._process.stdin.write(plan.line())
        self._process.stdin.flush()
        self.pid = int(self._next(("begun",), _READY_SECONDS)["begun"])
        return self.pid

    def await_ready(self) -> bool:
        """Wait until the life answers; False where it ended first."""
        told = self._next(("ready", "ended"), _READY_SECONDS)
        if "ended" in told:
            self._ended(told)
            return False
        return True

    def await_end(self, seconds: float = _END_SECONDS) -> int:
        """Wait for the end of the life; its exit status, negative for a signal. Raises `NestError` where none comes."""
        return self._ended(self._next(("ended",), seconds))

    def _ended(self, told: dict[str, Any]) -> int:
        self.pid = None
        return int(told["ended"])

    def kill(self) -> int:
        """SIGKILL, and wait."""
        if self.pid is None:
            raise NestError("no life is on")
        os.kill(self.pid, signal.SIGKILL)
        return self.await_end()

    def stop(self) -> int:
        """SIGTERM, and wait."""
        if self.pid is None:
            raise NestError("no life is on")
        os.kill(self.pid, signal.SIGTERM)
        return self.await_end()

    def close(self) -> None:
        """End whatever is on."""
        if self.pid is not None:
            os.kill(self.pid, signal.SIGKILL)
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(_END_SECONDS)
        finally:
            self._process.kill()
            self._process.wait()
            self._reader.join()
            if self._process.stdout is not None:
                self._process.stdout.close()

    def _next(self, names: tuple[str, ...], seconds: float) -> dict[str, Any]:
        """Wait for one of these words; others are kept for those who wait for them."""
        until = time.monotonic() + seconds
        while True:
            for told in self._kept:
                if any(name in told for name in names):
                    self._kept.remove(told)
                    return told
            try:
                self._kept.append(self._told.get(timeout=max(0.0, until - time.monotonic())))
            except queue.Empty:
                raise NestError(f"no word of {', '.join(names)} from process {self.pid} in {seconds:g} s") from None


def _environment() -> dict[str, str]:
    """Return what the server gets to see: no settings of the one who runs this."""
    return {name: value for name, value in os.environ.items() if not name.startswith("REGALIA_")}
