"""Files that hold secrets: read only where nobody else can, written so that a crash leaves all or nothing (SEC-3)."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from regalia import reasons
from regalia.errors import AdminError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "GROUP_AND_OTHERS",
    "OTHERS",
    "create_private",
    "read_private",
    "replace_private",
    "sync_directory",
]

GROUP_AND_OTHERS = stat.S_IRWXG | stat.S_IRWXO
OTHERS = stat.S_IRWXO
_PRIVATE = stat.S_IRUSR | stat.S_IWUSR


def read_private(path: Path, limit: int, forbidden: int = GROUP_AND_OTHERS) -> bytes:
    """Read at most `limit` octets of a file that grants none of the `forbidden` permission bits.

    Raises AdminError ADM-011 where it does, OSError where it cannot be read. The permissions are those of the file
    that was opened, not of whatever has its name a moment later.
    """
    with path.open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        if mode & forbidden:
            raise AdminError(reasons.PERMISSIONS_REFUSED, f"{path} has mode {mode:04o}")
        return file.read(limit)


def create_private(path: Path, content: bytes) -> None:
    """Write a new file of mode 0600 durably. Raises FileExistsError where there is one, OSError where it fails."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _PRIVATE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        sync_directory(path.parent)
    except OSError:
        path.unlink(missing_ok=True)  # half a key must not stand where a whole one is looked for
        raise


def replace_private(path: Path, content: bytes, mode: int = _PRIVATE) -> None:
    """Put a file into the place of an older one, atomically and durably. Raises OSError where it fails."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)  # left by a crash
    create_private(fresh, content)
    fresh.chmod(mode)
    fresh.replace(path)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
