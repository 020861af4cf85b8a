"""A token in SoftHSM for rehearsals: the demo, the fault runs and the tests make one of their own, in a directory."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from regalia import reasons
from regalia.errors import AdminError

__all__ = ["SoftToken", "make_soft_token", "soft_module"]

_MODULES: Final = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
)


@dataclass(frozen=True, slots=True)
class SoftToken:
    """A token of SoftHSM, with all that is needed to use it."""

    directory: Path
    """Everything of it is below."""
    module: Path
    label: str
    pin_file: Path

    @property
    def tokens(self) -> Path:
        """Where SoftHSM keeps it: whoever moves this directory away has taken the token away."""
        return self.directory / "tokens"

    @property
    def configuration(self) -> Path:
        """SoftHSM's own configuration."""
        return self.directory / "softhsm2.conf"

    def environment(self) -> dict[str, str]:
        """Return the variable by which SoftHSM finds it."""
        return {"SOFTHSM2_CONF": str(self.configuration)}

    def settings(self) -> dict[str, str]:
        """Return the settings that put CA keys on it, by `section.key`."""
        return {
            "keys.store": "pkcs11",
            "keys.pkcs11_module": str(self.module),
            "keys.pkcs11_token": self.label,
            "keys.pkcs11_pin_file": str(self.pin_file),
        }

    def variables(self) -> dict[str, str]:
        """Return both as variables of an environment."""
        named = {f"REGALIA_{name.upper().replace('.', '__')}": value for name, value in self.settings().items()}
        return self.environment() | named


def soft_module() -> Path | None:
    """Find SoftHSM's library; None where it or `softhsm2-util` is not installed."""
    if shutil.which("softhsm2-util") is None:
        return None
    return next((path for path in map(Path, _MODULES) if path.exists()), None)


def make_soft_token(directory: Path, label: str = "regalia") -> SoftToken:
    """Make a token in a directory, with a PIN of its own; further ones of other labels lie beside it.

    Raises `AdminError` ADM-020 where SoftHSM is missing or does not make it.
    """
    module = soft_module()
    if module is None:
        raise AdminError(reasons.FILE_REFUSED, "SoftHSM is not installed: softhsm2-util or libsofthsm2.so is missing")
    token = SoftToken(directory, module, label, directory / f"{label}.pin")
    token.tokens.mkdir(mode=0o700, parents=True, exist_ok=True)
    token.configuration.write_text(
        f"directories.tokendir = {token.tokens}\nobjectstore.backend = file\nlog.level = ERROR\n", "utf-8"
    )
    pin = secrets.token_hex(8)
    token.pin_file.touch(mode=0o600)
    token.pin_file.write_text(f"{pin}\n", "ascii")
    # The PINs are seen in the process list while this runs: of a token that guards nothing but a rehearsal.
    command = ["softhsm2-util", "--init-token", "--free", "--label", label, "--pin", pin, "--so-pin", pin]
    made = subprocess.run(  # noqa: S603 - SoftHSM's own program
        command, env={**os.environ, **token.environment()}, capture_output=True, text=True, check=False
    )
    if made.returncode:
        raise AdminError(reasons.FILE_REFUSED, f"softhsm2-util: {made.stdout}{made.stderr}".strip())
    return token
