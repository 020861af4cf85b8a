"""strongSwan's `pki` as a device (seen with 5.9.8: RSA keys only; the root must be in GetCACert)."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from interop.programs import ProgramError, run, trusting

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Polling", "StrongSwan"]

POLL_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Polling:
    """A `pki --scep` that runs."""

    process: subprocess.Popen[bytes]
    path: Path

    def ended(self) -> tuple[int, str]:
        """Wait for its end: its exit code, and what it said on stderr."""
        _, said = self.process.communicate(timeout=POLL_SECONDS)
        return self.process.returncode, said.decode(errors="replace")


@dataclass(frozen=True, slots=True)
class StrongSwan:
    """One device with its files in `directory`."""

    directory: Path
    url: str
    algorithms: tuple[str, ...] = ()
    """Options that choose others than the defaults: `--cipher`, `--digest`, `--rsa-padding`."""
    roots: Path | None = None
    """PEM of the only CAs that it trusts under TLS; where it is None, the machine's."""

    def fetch_ca(self) -> None:
        """Get the CA's certificates; they are trusted on first use here, a person would compare the fingerprint."""
        run(
            *self._pki,
            "--scepca",
            "--url",
            self.url,
            "--caout",
            self._ca,
            "--raout",
            self._ra,
            "--outform",
            "pem",
            "--force",
        )
        if not (self._ca.exists() and self._ra.exists()):
            raise ProgramError("pki --scepca wrote no certificates: is the root in GetCACert?")

    def new_key(self, name: str) -> Path:
        """Generate an RSA-2048 key."""
        path = self.directory / f"{name}.key"
        path.write_bytes(run("pki", "--gen", "--type", "rsa", "--size", "2048", "--outform", "pem"))
        return path

    def enrol(self, key: Path, *, cn: str, dns: str, challenge: str) -> Path:
        """Enrol with a challenge; the file that the certificate is stored in."""
        return self._scep("first", "--in", key, "--dn", f"CN={cn}", "--san", dns, "--password", challenge)

    def renew(self, key: Path, *, cn: str, old_key: Path, old: Path) -> Path:
        """Renew, signed with the old certificate; `key` may be the old key. SANs are not asked for again."""
        # The options are --cert and --key, whatever the help says.
        return self._scep("renewed", "--in", key, "--dn", f"CN={cn}", "--cert", old, "--key", old_key)

    @contextmanager
    def enrolling(
        self, key: Path, *, cn: str, dns: str, challenge: str, longest: int = POLL_SECONDS
    ) -> Iterator[Polling]:
        """Enrol with a challenge, polling each second while the server says PENDING, meanwhile to the block."""
        asked = ("--in", key, "--dn", f"CN={cn}", "--san", dns, "--password", challenge, "--maxpolltime", str(longest))
        path = self.directory / "polled.pem"
        with (
            path.open("wb") as output,
            subprocess.Popen(
                self._command(*asked), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.PIPE
            ) as process,
        ):
            try:
                yield Polling(process, path)
            finally:
                process.kill()

    def _scep(self, name: str, *arguments: str | Path) -> Path:
        path = self.directory / f"{name}.pem"
        path.write_bytes(run(*self._command(*arguments)))
        return path

    def _command(self, *arguments: str | Path) -> list[str | Path]:
        anchors = ("--cacert-enc", self._ra, "--cacert-sig", self._ra, "--cacert", self._ca)
        # --cacert is given for each CA certificate that was fetched: a chain of two needs both.
        others = [part for path in self._other_cas() for part in ("--cacert", path)]
        parts = (
            "--url",
            self.url,
            *arguments,
            *self.algorithms,
            "--interval",
            "1",
            *anchors,
            *others,
            "--outform",
            "pem",
        )
        return [*self._pki, "--scep", *parts]

    @property
    def _pki(self) -> tuple[str | Path, ...]:
        return (*trusting(self.roots), "pki")

    def _other_cas(self) -> list[Path]:
        return sorted(self.directory.glob("ca-*.pem"))

    @property
    def _ca(self) -> Path:
        return self.directory / "ca.pem"

    @property
    def _ra(self) -> Path:
        return self.directory / "ra.pem"
