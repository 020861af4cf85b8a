"""A small file system of its own, to be filled up: a tmpfs that root mounts, or whoever is root of a namespace."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["SmallDisk", "in_namespace", "mounted"]

_FILLER: Final = ".filler"
_CHUNK: Final = 65_536


@dataclass(frozen=True, slots=True)
class SmallDisk:
    """A file system of a few MiB."""

    path: Path

    def fill(self) -> None:
        """Take all the space that is left, octet for octet."""
        descriptor = os.open(self.path / _FILLER, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            size = _CHUNK
            while size:
                try:
                    os.write(descriptor, bytes(size))
                except OSError as full:
                    if full.errno != errno.ENOSPC:
                        raise
                    size //= 2
        finally:
            os.close(descriptor)

    def free(self) -> None:
        """Give the space back."""
        (self.path / _FILLER).unlink(missing_ok=True)


@contextmanager
def mounted(path: Path, mebibytes: int) -> Iterator[SmallDisk]:
    """Mount a tmpfs on a new directory until the block ends."""
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", path], check=True)  # noqa: S607 - the system's own
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)  # noqa: S607 - the same


def in_namespace(*arguments: str) -> list[str]:
    """Return the command that runs this interpreter where it may mount: here as root, else in a namespace."""
    command = [sys.executable, *arguments]
    return command if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount", *command]
