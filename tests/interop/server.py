"""A running `regalia serve` with a home of its own, driven as an administrator would: by its commands."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from interop.openssl import ra_fingerprint
from interop.programs import ProgramError, run, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from regalia.cli.soft_token import SoftToken

__all__ = ["WORKERS", "Server", "free_port", "running_server", "serving"]

LOG = "serve.log"
WORKERS = 2
"""Whatever the machine has: what is remembered in one worker must not be wrong in another."""
READY_SECONDS = 60
STOP_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Server:
    """The administrator's side of a test."""

    home: Path
    device: str
    """Base URL of the device listener."""
    pid: int
    token: SoftToken | None = None
    """Where its CA keys lie, if not in software."""

    @property
    def scep(self) -> str:
        """URL of the SCEP endpoint that `init` made."""
        return f"{self.device}/scep/default"

    def challenge(self, *, cn: str, dns: str | None = None, endpoint: str = "default") -> str:
        """Hand out a one-time challenge that is bound to these names."""
        names = ["--cn", cn, *(["--dns", dns] if dns else [])]
        return self._run("challenge", "create", "--endpoint", endpoint, *names, "--quiet").decode().strip()

    def certificate(self, serial: int) -> bytes:
        """Return a certificate as the store has it, DER."""
        file = self.home.parent / f"export-{serial:x}"
        self._run("cert", "export", f"{serial:x}", "--format", "der", "--out", str(file))
        return file.read_bytes()

    def revoke(self, serial: int) -> None:
        """Revoke a certificate."""
        self._run("cert", "revoke", f"{serial:x}", "--reason", "superseded", "--yes")

    def issued(self) -> list[str]:
        """Return the serials of the devices' certificates."""
        listed = json.loads(self._run("cert", "list", "--json"))
        return [row["serial"] for row in listed]

    def profile(self, name: str, document: str) -> None:
        """Keep a profile."""
        file = self.home.parent / f"{name}.toml"
        file.write_text(document, encoding="utf-8")
        self._run("profile", "create", name, "--group", "default", "--file", str(file))

    def open(self, endpoint: str, *switches: str, profile: str = "eap-tls") -> None:
        """Open another endpoint, like the one that `init` made."""
        self._run("endpoint", "create", endpoint, "--group", "default", "--profile", profile, *switches)

    def open_page(self, endpoint: str, user: str, password: str, *options: str) -> None:
        """Set up the NDES page of an endpoint, or change it."""
        file = self.home.parent / f"password-{endpoint}"
        file.write_text(password, encoding="ascii")
        login = ("--user", user, "--password-file", str(file))
        self._run("endpoint", "ndes-page", endpoint, *login, *options)

    def open_with_secret(self, endpoint: str, authoriser: str, *switches: str, profile: str = "eap-tls") -> str:
        """Open an endpoint of the kind `static` or `approval`; its static challenge."""
        which = ("--group", "default", "--profile", profile, "--authoriser", authoriser)
        return self._run("endpoint", "create", endpoint, *which, *switches, "--quiet").decode().strip()

    def rotate(self, endpoint: str) -> str:
        """Give an endpoint a new static challenge; the former one stays good for a while."""
        return self._run("endpoint", "rotate-secret", endpoint, "--quiet").decode().strip()

    def pending(self, endpoint: str) -> list[dict[str, Any]]:
        """Return what waits for approval at an endpoint, newest first."""
        waiting = ("--state", "pending", "--endpoint", endpoint)
        listed: list[dict[str, Any]] = json.loads(self._run("enrolment", "list", *waiting, "--json"))
        return listed

    def approve(self, enrolment: str) -> dict[str, Any]:
        """Approve a pending enrolment."""
        approved: dict[str, Any] = json.loads(self._run("enrolment", "approve", enrolment, "--yes", "--json"))
        return approved

    def deny(self, enrolment: str) -> None:
        """Deny a pending enrolment."""
        self._run("enrolment", "deny", enrolment, "--note", "not one of ours", "--yes")

    def enrolment(self, enrolment: str) -> dict[str, Any]:
        """Return an enrolment with its explanation."""
        shown: dict[str, Any] = json.loads(self._run("enrolment", "show", enrolment, "--json"))
        return shown

    def close(self, endpoint: str) -> None:
        """Close an endpoint for good."""
        self._run("endpoint", "disable", endpoint, "--yes")

    def activate(self, authority: str) -> None:
        """Have an authority take over, and wait until every worker goes by it: each looks four times a second (R9)."""
        former = ra_fingerprint(self.scep)
        self._run("ca", "activate", authority, "--yes")
        wait_for("the workers", lambda: former not in self._answering() or None, seconds=30)

    def _answering(self) -> set[str]:
        # By a new connection each: that one of two workers answers none of them happens once in 2048.
        return {ra_fingerprint(self.scep) for _ in range(12)}

    def verify_events(self) -> dict[str, Any]:
        """Recompute the event log; fails where it was altered."""
        verified: dict[str, Any] = json.loads(self._run("event", "verify", "--json"))
        return verified

    def doctor(self) -> list[dict[str, Any]]:
        """Return what `doctor` found; fails where it found a problem."""
        checks: list[dict[str, Any]] = json.loads(self._run("doctor", "--json"))["checks"]
        return checks

    def log(self) -> list[dict[str, Any]]:
        """Return what the running server has said on stderr."""
        return [json.loads(line) for line in (self.home.parent / LOG).read_text(encoding="utf-8").splitlines()]

    def events(self) -> list[dict[str, Any]]:
        """Return the event log, oldest first."""
        return [json.loads(line) for line in self._run("event", "tail", "--json").splitlines()]

    def regalia(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, whatever it is."""
        environment = _environment(self.home, self.token)
        return subprocess.run(_regalia(*arguments), env=environment, capture_output=True, text=True, check=False)

    def _run(self, *arguments: str) -> bytes:
        return run(*_regalia(*arguments), environment=_environment(self.home, self.token))


@contextmanager
def running_server(
    directory: Path,
    database: str | None = None,
    settings: Mapping[str, str] | None = None,
    token: SoftToken | None = None,
) -> Iterator[Server]:
    """Initialise a home, serve it on free ports until the block ends, then stop it by its process id.

    `database` is the URL of an empty one; SQLite in the home where none is named. `settings` are those of the running
    server that are not the default, as variables of its environment. The CA keys are made on `token` if there is one.
    """
    home = directory / "home"
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    # The certificates carry this URL, so the port is chosen before the server opens it.
    where = ["--database", database] if database is not None else []
    told = token.variables() if token is not None else {}
    run(*_regalia("init", "--url", url, *where), environment=_environment(home) | told)
    with serving(home, port, settings, token) as server:
        yield server


@contextmanager
def serving(
    home: Path, port: int, settings: Mapping[str, str] | None = None, token: SoftToken | None = None
) -> Iterator[Server]:
    """Serve a home that is there, with its device listener at this port, until the block ends."""
    url = f"http://127.0.0.1:{port}"
    listen = ("--listen", f"127.0.0.1:{port}", "--admin-listen", "127.0.0.1:0")
    command = _regalia("serve", *listen, "--workers", str(WORKERS), "--json")
    ready, log = home.parent / "serve.json", home.parent / LOG
    with (
        ready.open("wb") as stdout,
        log.open("wb") as stderr,
        subprocess.Popen(
            command,
            env={**_environment(home, token), **(settings or {})},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
        ) as process,
    ):
        try:
            addresses = wait_for("regalia serve", lambda: _addresses(process, ready, log), seconds=READY_SECONDS)
            assert addresses["device"] == url
            yield Server(home, url, process.pid, token)
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            finally:
                process.kill()


def free_port() -> int:
    """Return a port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _addresses(process: subprocess.Popen[bytes], ready: Path, log: Path) -> dict[str, str] | None:
    if process.poll() is not None:
        raise ProgramError(f"regalia serve ended with {process.returncode}:\n{log.read_text(errors='replace')}")
    first, complete, _ = ready.read_text(encoding="utf-8").partition("\n")
    if not complete:
        return None
    addresses: dict[str, str] = json.loads(first)
    return addresses


def _regalia(*arguments: str) -> list[str]:
    return [sys.executable, "-P", "-m", "regalia", *arguments]


def _environment(home: Path, token: SoftToken | None = None) -> dict[str, str]:
    # Nothing of the person who runs the tests reaches the product: no REGALIA_ setting, no proxy.
    path = os.environ.get("PATH", os.defpath)
    python = {name: value for name, value in os.environ.items() if name.startswith("PYTHON")}
    assert shutil.which("openssl", path=path), "openssl is missing"
    own = {"PATH": path, "HOME": str(home.parent), "LANG": "C.UTF-8", "REGALIA_HOME": str(home)}
    return python | own | (token.environment() if token is not None else {})
