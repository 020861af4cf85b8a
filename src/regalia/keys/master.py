"""The master key: 32 octets under which all software keys lie encrypted, and what is derived from it.

It stands in a file as 64 hexadecimal digits and a newline. Where it comes from is settled in one order (R10):
`REGALIA_MASTER_KEY_FILE`, the systemd credential `regalia-master`, `master.key` in the home.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from regalia import reasons
from regalia.errors import AdminError
from regalia.keys.private_files import GROUP_AND_OTHERS, OTHERS, create_private, read_private

if TYPE_CHECKING:
    from collections.abc import Mapping

    from regalia.ports import Entropy

__all__ = [
    "CREDENTIALS_VARIABLE",
    "CREDENTIAL_NAME",
    "FILE_VARIABLE",
    "HOME_FILE",
    "ChallengeMac",
    "MasterKey",
    "MasterKeyOrigin",
    "create_master_key",
    "load_master_key",
]

FILE_VARIABLE = "REGALIA_MASTER_KEY_FILE"
CREDENTIALS_VARIABLE = "CREDENTIALS_DIRECTORY"
CREDENTIAL_NAME = "regalia-master"
HOME_FILE = "master.key"

_OCTETS = 32
_TEXT_OCTETS = 2 * _OCTETS + 1
_WRAPPING = b"regalia key wrapping v1"
_CHALLENGES = b"regalia challenge mac v1"
_SEALING = b"regalia sealing v1"


class MasterKeyOrigin(StrEnum):
    """Which of the three places held the master key."""

    FILE = FILE_VARIABLE
    CREDENTIAL = "systemd credential"
    HOME = "home"


class ChallengeMac:
    """The keyed hash under which challenges are stored and looked up (CHA-1): HMAC-SHA256, 32 octets."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def __call__(self, secret: str) -> bytes:
        """Hash a challenge. Any text has a hash: what a peer sends is looked up, never refused, here."""
        return hmac.digest(self._key, secret.encode("utf-8", "surrogatepass"), "sha256")


@dataclass(frozen=True, slots=True)
class MasterKey:
    """The master key, and where it was found."""

    octets: bytes = field(repr=False)
    path: Path
    origin: MasterKeyOrigin
    beside_database: bool
    """It lies in the home, so whoever copies the home has keys and lock together (R10)."""

    def wrapping_key(self) -> bytes:
        """Derive the AES-256 key that wraps private keys."""
        return self._derive(_WRAPPING)

    def sealing_key(self) -> bytes:
        """Derive the AES-256 key under which secrets are kept that must be read again."""
        return self._derive(_SEALING)

    def challenge_mac(self) -> ChallengeMac:
        """Derive the keyed hash of challenges."""
        return ChallengeMac(self._derive(_CHALLENGES))

    def _derive(self, label: bytes) -> bytes:
        # HKDF (RFC 5869) without a salt: the input is uniformly random already, the label separates the uses.
        return HKDF(algorithm=hashes.SHA256(), length=_OCTETS, salt=None, info=label).derive(self.octets)


def load_master_key(home: Path, environment: Mapping[str, str]) -> MasterKey:
    """Read the master key from the first of its three places that is named or there.

    Raises AdminError ADM-010 where it is missing or no key, ADM-011 where others may read it (SEC-3).
    """
    if name := environment.get(FILE_VARIABLE):
        return _read(Path(name), MasterKeyOrigin.FILE, home)
    if directory := environment.get(CREDENTIALS_VARIABLE):
        credential = Path(directory) / CREDENTIAL_NAME
        # systemd sets the directory for any credential of the unit: ours may not be among them.
        if credential.exists():
            return _read(credential, MasterKeyOrigin.CREDENTIAL, home)
    return _read(home / HOME_FILE, MasterKeyOrigin.HOME, home)


def create_master_key(home: Path, entropy: Entropy) -> MasterKey:
    """Make a new master key in the home. Raises AdminError ADM-001 where there is one, ADM-020 where it cannot."""
    path = home / HOME_FILE
    octets = entropy.octets(_OCTETS)
    try:
        create_private(path, octets.hex().encode("ascii") + b"\n")
    except FileExistsError:
        raise AdminError(reasons.HOME_USED, f"{path} exists") from None
    except OSError as error:
        raise AdminError(reasons.FILE_REFUSED, f"{path}: {error.strerror}") from error
    return MasterKey(octets, path, MasterKeyOrigin.HOME, beside_database=True)


def _read(path: Path, origin: MasterKeyOrigin, home: Path) -> MasterKey:
    # systemd hands credentials to a service's user by an ACL, whose mask shows as group bits; the directory
    # around them is closed to everybody else.
    forbidden = OTHERS if origin is MasterKeyOrigin.CREDENTIAL else GROUP_AND_OTHERS
    try:
        text = read_private(path, _TEXT_OCTETS + 1, forbidden)
    except OSError as error:
        raise AdminError(reasons.MASTER_KEY_REFUSED, f"{path}: {error.strerror}") from error
    beside = path.resolve().is_relative_to(home.resolve())
    return MasterKey(_octets(text, path), path, origin, beside)


def _octets(text: bytes, path: Path) -> bytes:
    digits = text.removesuffix(b"\n")
    try:
        octets = bytes.fromhex(digits.decode("ascii"))
    except ValueError:
        octets = b""
    # The length rules out the blanks between digits that fromhex allows.
    if len(octets) != _OCTETS or len(digits) != 2 * _OCTETS:
        raise AdminError(reasons.MASTER_KEY_REFUSED, f"{path} does not hold 64 hexadecimal digits and a newline")
    return octets
