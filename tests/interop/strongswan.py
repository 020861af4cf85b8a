"""strongSwan's `pki` as a device (seen with 5.9.8: RSA keys only; the root must be in GetCACert)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from interop.programs import ProgramError, run

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["StrongSwan"]


@dataclass(frozen=True, slots=True)
class StrongSwan:
    """One device with its files in `directory`."""

    directory: Path
    url: str

    def fetch_ca(self) -> None:
        """Get the CA's certificates; they are trusted on first use here, a person would compare the fingerprint."""
        run(
            "pki",
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

    def _scep(self, name: str, *arguments: str | Path) -> Path:
        anchors = ("--cacert-enc", self._ra, "--cacert-sig", self._ra, "--cacert", self._ca)
        # --cacert is given for each CA certificate that was fetched: a chain of two needs both.
        others = [part for path in self._other_cas() for part in ("--cacert", path)]
        command = ("pki", "--scep", "--url", self.url, *arguments, "--interval", "1", *anchors, *others)
        path = self.directory / f"{name}.pem"
        path.write_bytes(run(*command, "--outform", "pem"))
        return path

    def _other_cas(self) -> list[Path]:
        return sorted(self.directory.glob("ca-*.pem"))

    @property
    def _ca(self) -> Path:
        return self.directory / "ca.pem"

    @property
    def _ra(self) -> Path:
        return self.directory / "ra.pem"
