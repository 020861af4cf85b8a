"""The PIN of a token: read from a file or a credential, never from a command line, and never tried twice when wrong.

Three wrong PINs lock most tokens for good. So a refused PIN leaves a mark in the home, and no process tries the same
file again until it has changed.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from regalia import reasons
from regalia.errors import UnavailableError
from regalia.keys.private_files import GROUP_AND_OTHERS, read_private, replace_private

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["CREDENTIAL_NAME", "MARK_FILE", "PinFile"]

CREDENTIAL_NAME = "regalia-pkcs11-pin"
"""The systemd credential that holds the PIN where no file is named."""
MARK_FILE = "pin-refused"
"""In the home: which state of the PIN's file the token refused. It says nothing of the PIN."""

_MAX_OCTETS = 1_024


@dataclass(frozen=True, slots=True)
class PinFile:
    """Where the PIN stands, and where a refused one is marked."""

    path: Path
    mark: Path
    forbidden: int = GROUP_AND_OTHERS
    """Permission bits that the file must not grant."""

    def read(self) -> str:
        """Return the PIN.

        Raises `UnavailableError` CA-021 where the file cannot be read or its PIN was refused before, `AdminError`
        ADM-011 where others may read it (SEC-3).
        """
        try:
            if self._marked() == self._state():
                told = f"the PIN in {self.path} was refused before; it is tried again once the file has changed"
                raise UnavailableError(reasons.PIN_REFUSED, told)
            pin = read_private(self.path, _MAX_OCTETS, self.forbidden).decode("utf-8").removesuffix("\n")
        except OSError as error:
            raise UnavailableError(reasons.PIN_REFUSED, f"{self.path}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise UnavailableError(reasons.PIN_REFUSED, f"{self.path} is not UTF-8") from error
        if not pin:
            raise UnavailableError(reasons.PIN_REFUSED, f"{self.path} is empty")
        return pin

    def refused(self) -> None:
        """Mark the file as it is now."""
        # A home that cannot be written keeps other processes from nothing, but this refusal is told all the same.
        with suppress(OSError):
            replace_private(self.mark, self._state())

    def accepted(self) -> None:
        """Take the mark away."""
        with suppress(OSError):
            self.mark.unlink(missing_ok=True)

    def _state(self) -> bytes:
        facts = self.path.stat()
        return f"{facts.st_ino} {facts.st_size} {facts.st_mtime_ns}\n".encode()

    def _marked(self) -> bytes:
        try:
            return self.mark.read_bytes()
        except FileNotFoundError:
            return b""
