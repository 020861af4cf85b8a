"""A directory outside the home that holds a copy of each checkpoint (AUD-3).

Two files for each: the record as it was signed, and its signature in DER beside it, as `openssl dgst` takes them; and
one in PEM for each key. Files are made and never written to again: a name that exists with other contents is refused.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING

from regalia import reasons
from regalia.errors import AdminError, UnavailableError
from regalia.model import SignedCheckpoint
from regalia.wire.checkpoint import key_from_pem, key_pem, read_checkpoint, read_checkpoint_line
from regalia.wire.event import RecordError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["CheckpointDirectory", "read_copy", "read_key_file"]

_NAME = re.compile(r"checkpoint-(\d{12,19})-[0-9a-f]{16}")
_KEYS = "checkpoint-key-*.pem"
_MAX_FILE = 64 * 1024 * 1024
"""A checkpoint takes 100 octets for each stream; a file of noted ones has a line for each."""


class CheckpointDirectory:
    """See `ports.CheckpointArchive`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @property
    def place(self) -> str:
        """Its path."""
        return str(self._directory)

    def name(self, signed: SignedCheckpoint) -> str:
        """Name it by number and hash."""
        return f"checkpoint-{signed.number:012}-{signed.hash.hex()[:16]}"

    def names(self) -> frozenset[str]:
        """Return the names of those that are kept whole. Raises `UnavailableError` where it cannot be read."""
        try:
            files = {entry.name for entry in os.scandir(self._directory)}
        except OSError as error:
            raise _unreachable(self._directory, error) from error
        found = (file.removesuffix(".json") for file in files if file.endswith(".json"))
        return frozenset(name for name in found if _NAME.fullmatch(name) and f"{name}.sig" in files)

    def keep(self, signed: SignedCheckpoint) -> None:
        """Write signature and record, the record last: where it is, all is."""
        name = self.name(signed)
        self._write(f"{name}.sig", signed.signature)
        self._write(f"{name}.json", signed.record)

    def keep_key(self, public_key: bytes) -> None:
        """Write the public half of a key."""
        self._write(f"checkpoint-key-{sha256(public_key).hexdigest()[:16]}.pem", key_pem(public_key))

    def contents(self) -> tuple[tuple[SignedCheckpoint, ...], tuple[bytes, ...]]:
        """Read all of it. Raises what `read_copy` does."""
        return read_copy(self._directory)

    def _write(self, name: str, octets: bytes) -> None:
        path = self._directory / name
        try:
            if _is_there(path, octets):
                return
            _make(path, octets)
        except OSError as error:
            raise _unreachable(path, error) from error


def _octets_of(path: Path) -> bytes:
    """Read a plain file. Raises `OSError` for anything else: whoever writes there must not have us wait at a pipe."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a plain file")
        octets = file.read(_MAX_FILE + 1)
    if len(octets) > _MAX_FILE:
        raise OSError(errno.EFBIG, f"longer than {_MAX_FILE} octets")
    return octets


def _is_there(path: Path, octets: bytes) -> bool:
    """Whether the file is there with these octets; what a crash left half-written is taken away."""
    try:
        present = _octets_of(path)
    except FileNotFoundError:
        return False
    if present == octets:
        return True
    if not octets.startswith(present):
        raise UnavailableError(reasons.STORE_UNAVAILABLE, f"{path} is there already, with other contents")
    path.unlink()
    return False


def _make(path: Path, octets: bytes) -> None:
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o644)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(octets)
            file.flush()
            os.fsync(file.fileno())
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except BaseException:
        with suppress(OSError):
            path.unlink()
        raise


def _unreachable(path: Path, error: OSError) -> UnavailableError:
    return UnavailableError(reasons.STORE_UNAVAILABLE, f"{path}: {error.strerror}")


# --- reading --------------------------------------------------------------------------------------------------------


def read_copy(place: Path) -> tuple[tuple[SignedCheckpoint, ...], tuple[bytes, ...]]:
    """Read a copy: a directory as it is written here, one of its records, or lines of `wire.checkpoint_line`.

    Returns the checkpoints by number, and the public keys beside them; nothing of it has been verified. Raises
    `AdminError` ADM-056 for what is no checkpoint, ADM-020 where it cannot be read.
    """
    try:
        if place.is_dir():
            found = [_read_file(path) for path in sorted(place.glob("checkpoint-*.json"))]
            keys = [read_key_file(path) for path in sorted(place.glob(_KEYS))]
        elif place.with_suffix(".sig").is_file():
            found = [_read_file(place)]
            keys = [read_key_file(path) for path in sorted(place.parent.glob(_KEYS))]
        else:
            lines = list(_lines(place))
            found, keys = [signed for signed, _ in lines], [key for _, key in lines]
    except OSError as error:
        raise AdminError(reasons.FILE_REFUSED, f"{place}: {error.strerror}") from error
    return tuple(sorted(found, key=lambda signed: signed.number)), tuple(dict.fromkeys(keys))


def _read_file(path: Path) -> SignedCheckpoint:
    record = _octets_of(path)
    try:
        number = read_checkpoint(record).number
        signature = _octets_of(path.with_suffix(".sig"))
    except RecordError as error:
        raise AdminError(reasons.CHECKPOINT_REFUSED, f"{path}: {error}") from error
    except FileNotFoundError:
        raise AdminError(reasons.CHECKPOINT_REFUSED, f"{path} has no signature beside it") from None
    return SignedCheckpoint(number, record, sha256(record).digest(), signature)


def _lines(path: Path) -> Iterator[tuple[SignedCheckpoint, bytes]]:
    for number, line in enumerate(_octets_of(path).splitlines(), 1):
        if line.strip():
            try:
                yield read_checkpoint_line(line)
            except RecordError as error:
                raise AdminError(reasons.CHECKPOINT_REFUSED, f"{path}, line {number}: {error}") from error


def read_key_file(path: Path) -> bytes:
    """Read a public key in PEM to DER SubjectPublicKeyInfo. Raises `AdminError` ADM-020 or ADM-056."""
    try:
        return key_from_pem(_octets_of(path))
    except OSError as error:
        raise AdminError(reasons.FILE_REFUSED, f"{path}: {error.strerror}") from error
    except RecordError as error:
        raise AdminError(reasons.CHECKPOINT_REFUSED, f"{path}: {error}") from error
