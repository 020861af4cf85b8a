"""certmonger as a device: its daemon in session mode, headless, with a home of its own (seen with 0.79.17).

The daemon makes the SCEP messages, over GET. It fetches the CA's certificates by itself when the CA is added, and
stores the certificate where the request says; `getcert` only talks to it over a private D-Bus.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from interop.openssl import read_certificate
from interop.programs import ProgramError, run, run_anyhow, trusting, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["Certmonger", "running_certmonger"]

_DAEMON = "/usr/lib/certmonger/certmonger-session"
START_SECONDS = 30
ENROL_SECONDS = 120
_FINAL = {"CA_REJECTED", "CA_UNREACHABLE", "CA_UNCONFIGURED", "NEED_GUIDANCE", "NEED_CA"}
"""States from which nothing more comes within a test."""


@dataclass(frozen=True, slots=True)
class Certmonger:
    """One device."""

    directory: Path
    environment: Mapping[str, str]
    roots: Path | None = None

    def add_ca(self, url: str) -> None:
        """Make a SCEP server known; the daemon asks it for its certificates, which this waits for."""
        trust = ("-R", self.roots) if self.roots is not None else ()
        run("getcert", "add-scep-ca", "-s", "-c", "regalia", "-u", url, *trust, environment=self.environment)
        cas = self.directory / ".config" / "certmonger" / "cas"
        read = ("id=regalia\n", "\nca_capabilities=", "\nca_encryption_cert=")
        wait_for("certmonger to read GetCACert", lambda: _any_has(cas, *read), seconds=ENROL_SECONDS)

    def enrol(self, *, cn: str, dns: str, challenge: str) -> Path:
        """Generate an RSA key and request a certificate; the file that it is stored in."""
        self.request(cn=cn, dns=dns, challenge=challenge)
        return self._wait(before=b"")

    def request(self, *, cn: str, dns: str, challenge: str) -> None:
        """Generate an RSA key and request a certificate, without waiting for what becomes of it."""
        files = ("-k", self.key, "-f", self.certificate, "-I", "device")
        names = ("-N", f"CN={cn}", "-D", dns, "-L", challenge)
        run("getcert", "request", "-s", "-c", "regalia", *files, *names, environment=self.environment)

    def wait_until(self, *statuses: str) -> str:
        """Wait until `getcert list` shows one of these states; all that it then shows."""

        def reached() -> str | None:
            listed = self.listed()
            return listed if self._status(listed) in statuses else None

        return wait_for(f"certmonger's state {' or '.join(statuses)}", reached, seconds=ENROL_SECONDS)

    def ask_again(self, verb: str = "resubmit") -> None:
        """Let it ask once more what became of its request: `resubmit` or `refresh`."""
        run("getcert", verb, "-s", "-i", "device", environment=self.environment)

    def collect(self) -> Path:
        """Wait for the certificate of a request that was pending; the file that it is stored in."""
        return self._wait(before=b"")

    def listed(self) -> str:
        """What `getcert list` shows of the request."""
        return run("getcert", "list", "-s", "-i", "device", environment=self.environment).decode()

    @staticmethod
    def _status(listed: str) -> str | None:
        status = re.search(r"^\s*status: (\S+)$", listed, re.MULTILINE)
        return status[1] if status is not None else None

    def renew(self) -> Path:
        """Renew with the same key."""
        return self._again("resubmit")

    def renew_with_a_new_key(self) -> Path:
        """Renew with a key that is generated for it."""
        return self._again("rekey")

    @property
    def key(self) -> Path:
        """Where the key is stored, PEM."""
        return self.directory / "device.key"

    @property
    def certificate(self) -> Path:
        """Where the certificate is stored, PEM."""
        return self.directory / "device.pem"

    def _again(self, verb: str) -> Path:
        before = self.certificate.read_bytes()
        run("getcert", verb, "-s", "-i", "device", environment=self.environment)
        return self._wait(before=before)

    def _wait(self, *, before: bytes) -> Path:
        def arrived() -> Path | None:
            listed = self.listed()
            status = self._status(listed)
            if status in _FINAL:
                raise ProgramError(f"certmonger gave up:\n{listed}")
            complete = status == "MONITORING" and self.certificate.exists()
            return self.certificate if complete and self.certificate.read_bytes() != before else None

        path = wait_for("certmonger's certificate", arrived, seconds=ENROL_SECONDS)
        # A copy, because the next renewal overwrites the file.
        kept = self.directory / f"device-{read_certificate(path).serial_number:x}.pem"
        kept.write_bytes(path.read_bytes())
        return kept


@contextmanager
def running_certmonger(directory: Path, roots: Path | None = None) -> Iterator[Certmonger]:
    """Run the session daemon on a D-Bus of its own until the block ends.

    `roots` is a PEM file of whom it trusts under TLS. Seen with 0.79.17: GetCACert believes the file that add-scep-ca
    names with -R, which https needs; PKIOperation believes the machine's bundle alone. So it gets the file as both.
    """
    runtime = directory / "run"
    runtime.mkdir(mode=0o700)
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(directory),
        "LANG": "C.UTF-8",
        "XDG_CONFIG_HOME": str(directory / ".config"),
        "XDG_RUNTIME_DIR": str(runtime),
    }
    bus, log = directory / "bus", directory / "certmonger.log"
    script = f'echo "$DBUS_SESSION_BUS_ADDRESS" >"$1" && exec {_DAEMON} -n -d 2'
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [*trusting(roots), "dbus-run-session", "--", "sh", "-c", script, "sh", str(bus)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # the bus, the daemon and its helpers end together
        ) as process,
    ):
        try:
            address = wait_for("the session bus", lambda: _line(bus, process, log), seconds=START_SECONDS)
            environment["DBUS_SESSION_BUS_ADDRESS"] = address
            wait_for("certmonger's daemon", lambda: _answers(environment), seconds=START_SECONDS)
            yield Certmonger(directory, environment, roots)
        finally:
            with suppress(ProcessLookupError):  # it may have ended by itself, with all that it started
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(10)
            finally:
                os.killpg(process.pid, signal.SIGKILL) if process.poll() is None else None


def _line(path: Path, process: subprocess.Popen[bytes], log: Path) -> str | None:
    if process.poll() is not None:
        raise ProgramError(f"dbus-run-session ended with {process.returncode}:\n{log.read_text(errors='replace')}")
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return text.strip() if text.endswith("\n") else None


def _answers(environment: Mapping[str, str]) -> bool | None:
    return run_anyhow("getcert", "list-cas", "-s", environment=environment).returncode == 0 or None


def _any_has(folder: Path, *words: str) -> bool | None:
    return any(all(word in text for word in words) for text in _texts(folder)) or None


def _texts(folder: Path) -> Iterator[str]:
    for path in folder.glob("*"):
        with suppress(FileNotFoundError):  # the daemon writes a new file beside, and renames it
            yield path.read_text(encoding="utf-8")
