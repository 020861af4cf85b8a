"""micromdm's `scepclient`: the live client that must be refused (seen with 2.1.0: always single DES and SHA-1; R1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from interop.openssl import ra_fingerprint
from interop.programs import run_anyhow

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ScepClient"]


@dataclass(frozen=True, slots=True)
class ScepClient:
    """One device with its files in `directory`."""

    directory: Path
    url: str

    def enrol(self, *, cn: str, challenge: str) -> tuple[int, str]:
        """Try to enrol; exit code and all that was printed."""
        result = run_anyhow(
            *("scepclient", "-private-key", self.directory / "device.key", "-certificate", self.certificate),
            *(f"-server-url={self.url}", f"-challenge={challenge}", "-cn", cn, "-debug"),
            # Without it scepclient panics on a P-256 CA in GetCACert.
            *("-ca-fingerprint", ra_fingerprint(self.url)),
            directory=self.directory,
        )
        return result.returncode, (result.stdout + result.stderr).decode(errors="replace")

    @property
    def certificate(self) -> Path:
        """Where it would store the certificate."""
        return self.directory / "device.pem"
