"""The PIN of a token: read from a file or a credential, never from a command line, and never tried twice when wrong.

Three wrong PINs lock most tokens for good. So a refused PIN leaves a mark in the home, and no process tries the same
PIN on the same token again, however often a service is started.
"""

from __future__ import annotations

import hashlib
import hmac
import os
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
"""In the home: a salted, slow hash of token and PIN, where the token refused that."""

_MAX_OCTETS = 1_024
_SALT_OCTETS = 16


@dataclass(frozen=True, slots=True)
class PinFile:
    """Where the PIN stands, and where a refused one is marked."""

    path: Path
    mark: Path
    token: str = ""
    """Library and label: with another token the same PIN may be right."""
    forbidden: int = GROUP_AND_OTHERS
    """Permission bits that the file must not grant."""

    def read(self) -> str:
        """Return the PIN.

        Raises `UnavailableError` CA-021 where the file cannot be read or its PIN was refused before, `AdminError`
        ADM-011 where others may read it (SEC-3).
        """
        try:
            pin = read_private(self.path, _MAX_OCTETS, self.forbidden).decode("utf-8").removesuffix("\n")
            marked = self._is_marked(pin)
        except OSError as error:
            raise UnavailableError(reasons.PIN_REFUSED, f"{error.filename}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise UnavailableError(reasons.PIN_REFUSED, f"{self.path} is not UTF-8") from error
        if not pin:
            raise UnavailableError(reasons.PIN_REFUSED, f"{self.path} is empty")
        if marked:
            told = f"the PIN in {self.path} was refused before and is not tried again; if it is right now, "
            raise UnavailableError(reasons.PIN_REFUSED, f"{told}remove {self.mark}")
        return pin

    def refused(self, pin: str) -> None:
        """Mark a PIN that the token refused."""
        salt = os.urandom(_SALT_OCTETS)
        # A home that cannot be written keeps other processes from nothing, but this refusal is told all the same.
        with suppress(OSError):
            replace_private(self.mark, salt + self._hash(pin, salt))

    def accepted(self) -> None:
        """Take the mark away."""
        with suppress(OSError):
            self.mark.unlink(missing_ok=True)

    def _is_marked(self, pin: str) -> bool:
        try:
            mark = self.mark.read_bytes()
        except FileNotFoundError:
            return False
        return hmac.compare_digest(mark[_SALT_OCTETS:], self._hash(pin, mark[:_SALT_OCTETS]))

    def _hash(self, pin: str, salt: bytes) -> bytes:
        # Slow, because a refused PIN is often nearly the right one, and PINs are short.
        return hashlib.scrypt(f"{self.token}\0{pin}".encode(), salt=salt, n=2**14, r=8, p=1)
