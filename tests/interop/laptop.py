"""A device with our own client, `regalia scep`, run as its owner runs it."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from client.service import fingerprint_of
from interop.openssl import fetch
from interop.programs import run_anyhow

if TYPE_CHECKING:
    from pathlib import Path

    from interop.server import Server

__all__ = ["Laptop", "Ran", "root_fingerprint"]


@dataclass(frozen=True)
class Ran:
    """A command that ended."""

    code: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Laptop:
    """A device with a directory and our client."""

    directory: Path
    server: Server

    def scep(self, *arguments: str, stdin: str = "", url: str | None = None, **environment: str) -> Ran:
        """Run `regalia scep VERB`; nothing of this machine's environment is in its way."""
        verb, *rest = arguments
        ended = run_anyhow(
            *(sys.executable, "-P", "-m", "regalia", "scep", verb, "--url", url or self.server.scep, *rest),
            environment={"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self.directory), **environment},
            directory=self.directory,
            stdin=stdin.encode(),
        )
        return Ran(ended.returncode, ended.stdout.decode(), ended.stderr.decode())

    def enrol(self, *arguments: str, cn: str = "lap", stdin: str = "", **environment: str) -> Ran:
        """Enrol with device.key into device.pem."""
        files = ("--key", "device.key", "--cert", "device.pem")
        return self.scep("enrol", "--cn", cn, *files, *arguments, stdin=stdin, **environment)

    def enrolled(self, cn: str) -> Laptop:
        """Enrol with a fresh challenge, which must succeed."""
        ended = self.enrol("--challenge-file", "-", cn=cn, stdin=self.server.challenge(cn=cn))
        assert ended.code == 0, ended.stderr
        return self

    @property
    def certificate(self) -> Path:
        """Where its certificate is."""
        return self.directory / "device.pem"

    def files(self) -> list[str]:
        """What lies in its directory."""
        return sorted(path.name for path in self.directory.iterdir())


def root_fingerprint(server: Server) -> str:
    """The root's SHA-256, as the file that the server offers has it."""
    root = x509.load_pem_x509_certificate(fetch(f"{server.device}/ca/root.pem"))
    return fingerprint_of(root.public_bytes(serialization.Encoding.DER))
