"""Master keys: 32 octets under which software keys lie encrypted, and what is derived from them.

There are two. The master key opens what faces use: RA, OCSP and TLS keys and sealed secrets. The signer's key opens CA
keys; where none is named, the master key is that, too. Each stands in a file as 64 hexadecimal digits and a newline.
Where it comes from is settled in one order (R10): the variable, the systemd credential, the file in the home.

While one is rotated two more files may stand beside it: `.next`, which is about to become it, and `.former`, under
which some rows still are. `KeyRing` reads all three, and again when they change: no server need be started anew.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from regalia import reasons
from regalia.errors import AdminError
from regalia.keys.private_files import GROUP_AND_OTHERS, OTHERS, create_private, read_private

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from uuid import UUID

    from regalia.ports import Entropy

__all__ = [
    "CREDENTIALS_VARIABLE",
    "CREDENTIAL_NAME",
    "FILE_VARIABLE",
    "HOME_FILE",
    "MASTER",
    "SIGNER",
    "ChallengeMac",
    "KeyPlaces",
    "KeyRing",
    "MasterKey",
    "MasterKeyOrigin",
    "Ring",
    "SpareRing",
    "create_master_key",
    "former_file",
    "key_text",
    "load_master_key",
    "load_signer_key",
    "master_ring",
    "next_file",
    "read_key_file",
    "signer_ring",
]

FILE_VARIABLE = "REGALIA_MASTER_KEY_FILE"
CREDENTIALS_VARIABLE = "CREDENTIALS_DIRECTORY"
CREDENTIAL_NAME = "regalia-master"
HOME_FILE = "master.key"

_OCTETS = 32
_TEXT_OCTETS = 256
"""More than both lines of a file have."""
_CHALLENGE_LINE = b"challenges "
_WRAPPING = b"regalia key wrapping v1"
_CHALLENGES = b"regalia challenge mac v1"
_SEALING = b"regalia sealing v1"
_BACKUPS = b"regalia backup mac v1"


@dataclass(frozen=True, slots=True)
class KeyPlaces:
    """Where one of the two keys may be."""

    variable: str
    credential: str
    home_file: str


MASTER: Final = KeyPlaces(FILE_VARIABLE, CREDENTIAL_NAME, HOME_FILE)
SIGNER: Final = KeyPlaces("REGALIA_SIGNER_KEY_FILE", "regalia-signer", "signer.key")


class MasterKeyOrigin(StrEnum):
    """Which of the three places held the key."""

    FILE = "file"
    CREDENTIAL = "systemd credential"
    HOME = "home"


class ChallengeMac:
    """The keyed hash under which challenges are stored and looked up (CHA-1): HMAC-SHA256, 32 octets."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def __call__(self, secret: str) -> bytes:
        """Hash a challenge. Any text has a hash: what a peer sends is looked up, never refused, here."""
        return hmac.digest(self._key, secret.encode("utf-8", "surrogatepass"), "sha256")


class Ring(Protocol):
    """The keys that rows may be under: a `MasterKey` by itself, or a `KeyRing`."""

    def current(self) -> MasterKey:
        """The key for whatever is wrapped now. Raises `AdminError` ADM-010, ADM-011."""

    def keys(self, *, anew: bool = False) -> tuple[MasterKey, ...]:
        """All that may open a row, the current one first; `anew` reads the files whether or not they changed."""


@dataclass(frozen=True, slots=True)
class MasterKey:
    """A master key, and where it was found."""

    octets: bytes = field(repr=False)
    path: Path
    origin: MasterKeyOrigin
    beside_database: bool
    """It lies in the home, so whoever copies the home has keys and lock together (R10)."""
    challenge_octets: bytes | None = field(default=None, repr=False)
    """The key of the challenges' hash, handed on from the master key before it: they were stored under that."""

    def current(self) -> MasterKey:
        """Return itself: one key that does not change."""
        return self

    def keys(self, *, anew: bool = False) -> tuple[MasterKey, ...]:  # noqa: ARG002 - the protocol's
        """Return itself alone."""
        return (self,)

    def wrapping_key(self) -> bytes:
        """Derive the AES-256 key that wraps private keys."""
        return self._derive(_WRAPPING)

    def sealing_key(self) -> bytes:
        """Derive the AES-256 key under which secrets are kept that must be read again."""
        return self._derive(_SEALING)

    def challenge_mac(self) -> ChallengeMac:
        """Return the keyed hash of challenges; it survives a rotation."""
        return ChallengeMac(self.challenge_key())

    def challenge_key(self) -> bytes:
        """Return the key of that hash, 32 octets."""
        return self.challenge_octets or self._derive(_CHALLENGES)

    def hook_key(self, connector_id: UUID, set_at: datetime | None) -> bytes:
        """Return the key that messages to a connector are signed with, 32 octets; it survives a rotation.

        It becomes another one when the connector's secret is set anew. No challenge has a NUL, so none has this hash.
        """
        of_hooks = hmac.digest(self.challenge_key(), b"\x00connector hooks", "sha256")
        generation = 0 if set_at is None else int(set_at.timestamp() * 1000)
        return hmac.digest(of_hooks, connector_id.bytes + generation.to_bytes(8), "sha256")

    def backup_mac(self, digest: bytes) -> bytes:
        """Vouch for a backup by its SHA-256: 32 octets that only an installation with this key can make."""
        return hmac.digest(self._derive(_BACKUPS), digest, "sha256")

    def _derive(self, label: bytes) -> bytes:
        # HKDF (RFC 5869) without a salt: the input is uniformly random already, the label separates the uses.
        return HKDF(algorithm=hashes.SHA256(), length=_OCTETS, salt=None, info=label).derive(self.octets)


class KeyRing:
    """A key's file and those beside it, read when they are first needed and again when the file changes."""

    def __init__(self, find: Callable[[], MasterKey], others: Ring | None = None) -> None:
        """`find` reads the file; `others` are further keys that may open a row, tried last."""
        self._find = find
        self._others = others
        self._keys: tuple[MasterKey, ...] = ()
        self._seen: object = None

    @property
    def path(self) -> Path:
        """Where the key is."""
        return self.current().path

    @property
    def beside_database(self) -> bool:
        """Whether it lies in the home."""
        return self.current().beside_database

    def challenge_mac(self) -> ChallengeMac:
        """Return the keyed hash of challenges."""
        return self.current().challenge_mac()

    def hook_key(self, connector_id: UUID, set_at: datetime | None) -> bytes:
        """Return the key that messages to a connector are signed with."""
        return self.current().hook_key(connector_id, set_at)

    def current(self) -> MasterKey:
        """Return the key for whatever is wrapped now; the file is looked at each time.

        Raises `AdminError` ADM-010 where it is missing or no key, ADM-011 where others may read it (SEC-3).
        """
        if not self._keys or _looked(self._keys[0].path) != self._seen:
            self._read()
        return self._keys[0]

    def keys(self, *, anew: bool = False) -> tuple[MasterKey, ...]:
        """Return all that may open a row."""
        if anew:
            self._read()
        else:
            self.current()
        return self._keys + (self._others.keys(anew=anew) if self._others is not None else ())

    def _read(self) -> None:
        key = self._find()
        seen = _looked(key.path)
        while (again := self._find()) != key:
            # It was exchanged in between: what was looked at must be what was read.
            key, seen = again, _looked(again.path)
        beside = (_beside(path, key) for path in (next_file(key.path), former_file(key.path)))
        self._keys, self._seen = (key, *(each for each in beside if each is not None)), seen


def _beside(path: Path, key: MasterKey) -> MasterKey | None:
    if not path.exists():
        return None
    try:
        return read_key_file(path, key.origin, beside_database=key.beside_database)
    except AdminError:
        if path.exists():
            raise
        return None  # a rotation that ended between the two looks


class SpareRing:
    """A ring whose keys are tried where they can be read, and not missed where they cannot."""

    def __init__(self, ring: Ring) -> None:
        self._ring = ring

    def current(self) -> MasterKey:
        """Return the key. Raises what the ring raises."""
        return self._ring.current()

    def keys(self, *, anew: bool = False) -> tuple[MasterKey, ...]:
        """Return its keys, or none."""
        try:
            return self._ring.keys(anew=anew)
        except AdminError:
            return ()


def master_ring(home: Path, environment: Mapping[str, str]) -> KeyRing:
    """Return the master key and what stands beside it, not read yet."""
    return KeyRing(lambda: load_master_key(home, environment))


def signer_ring(home: Path, environment: Mapping[str, str]) -> KeyRing:
    """Return the key that CA keys are under, not read yet: the signer's own, or the master key where it has none.

    Rows that are still under the master key open where this process may read that.
    """
    spare = SpareRing(master_ring(home, environment))
    return KeyRing(lambda: load_signer_key(home, environment) or load_master_key(home, environment), spare)


def next_file(path: Path) -> Path:
    """Name the file of the key that is about to take this one's place."""
    return path.with_name(path.name + ".next")


def former_file(path: Path) -> Path:
    """Name the file of the key that had this one's place."""
    return path.with_name(path.name + ".former")


def _looked(path: Path) -> object:
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_ino, facts.st_mtime_ns, facts.st_size


def load_master_key(home: Path, environment: Mapping[str, str]) -> MasterKey:
    """Read the master key from the first of its three places that is named or there.

    Raises AdminError ADM-010 where it is missing or no key, ADM-011 where others may read it (SEC-3).
    """
    named = _named(MASTER, environment)
    path, origin = named or (home / HOME_FILE, MasterKeyOrigin.HOME)
    return _read(path, origin, home)


def load_signer_key(home: Path, environment: Mapping[str, str]) -> MasterKey | None:
    """Read the signer's key from the first of its three places; None where it has none: then the master key is it.

    Raises what `load_master_key` raises, where one is named or there.
    """
    named = _named(SIGNER, environment)
    if named is None and not (home / SIGNER.home_file).exists():
        return None
    path, origin = named or (home / SIGNER.home_file, MasterKeyOrigin.HOME)
    return _read(path, origin, home)


def _named(places: KeyPlaces, environment: Mapping[str, str]) -> tuple[Path, MasterKeyOrigin] | None:
    if name := environment.get(places.variable):
        return Path(name), MasterKeyOrigin.FILE
    if directory := environment.get(CREDENTIALS_VARIABLE):
        credential = Path(directory) / places.credential
        # systemd sets the directory for any credential of the unit: ours may not be among them.
        if credential.exists():
            return credential, MasterKeyOrigin.CREDENTIAL
    return None


def create_master_key(home: Path, entropy: Entropy) -> MasterKey:
    """Make a new master key in the home. Raises AdminError ADM-001 where there is one, ADM-020 where it cannot."""
    path = home / HOME_FILE
    octets = entropy.octets(_OCTETS)
    try:
        create_private(path, key_text(octets))
    except FileExistsError:
        raise AdminError(reasons.HOME_USED, f"{path} exists") from None
    except OSError as error:
        raise AdminError(reasons.FILE_REFUSED, f"{path}: {error.strerror}") from error
    return MasterKey(octets, path, MasterKeyOrigin.HOME, beside_database=True)


def key_text(octets: bytes, challenges: bytes | None = None) -> bytes:
    """Write a key's file; `challenges` is the key of the challenges' hash that is handed on."""
    text = octets.hex().encode("ascii") + b"\n"
    return text if challenges is None else text + _CHALLENGE_LINE + challenges.hex().encode("ascii") + b"\n"


def read_key_file(path: Path, origin: MasterKeyOrigin, *, beside_database: bool) -> MasterKey:
    """Read a key's file. Raises `AdminError` ADM-010 where it is missing or no key, ADM-011 (SEC-3)."""
    # systemd hands credentials to a service's user by an ACL, whose mask shows as group bits; the directory
    # around them is closed to everybody else.
    forbidden = OTHERS if origin is MasterKeyOrigin.CREDENTIAL else GROUP_AND_OTHERS
    try:
        text = read_private(path, _TEXT_OCTETS + 1, forbidden)
    except OSError as error:
        raise AdminError(reasons.MASTER_KEY_REFUSED, f"{path}: {error.strerror}") from error
    octets, challenges = _parsed(text, path)
    return MasterKey(octets, path, origin, beside_database, challenges)


def _read(path: Path, origin: MasterKeyOrigin, home: Path) -> MasterKey:
    beside = path.resolve().is_relative_to(home.resolve())
    return read_key_file(path, origin, beside_database=beside)


def _parsed(text: bytes, path: Path) -> tuple[bytes, bytes | None]:
    first, separator, second = text.removesuffix(b"\n").partition(b"\n")
    octets = _octets(first)
    if octets is None:
        raise AdminError(reasons.MASTER_KEY_REFUSED, f"{path} does not hold 64 hexadecimal digits and a newline")
    if not separator:
        return octets, None
    challenges = _octets(second.removeprefix(_CHALLENGE_LINE)) if second.startswith(_CHALLENGE_LINE) else None
    if challenges is None:
        raise AdminError(reasons.MASTER_KEY_REFUSED, f"{path} holds more than a key, and not what a rotation writes")
    return octets, challenges


def _octets(digits: bytes) -> bytes | None:
    try:
        octets = bytes.fromhex(digits.decode("ascii"))
    except ValueError:
        return None
    # The length rules out the blanks between digits that fromhex allows.
    return octets if len(octets) == _OCTETS and len(digits) == 2 * _OCTETS else None
