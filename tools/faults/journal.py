"""Journals that outlive the process that writes them: one JSON object a line, each line written in one piece.

They are kept outside the product and its database: what the checker compares with the database must not come from it.
"""

from __future__ import annotations

import json
import os
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Journal", "read_journal"]


class Journal:
    """Appends lines; several processes may write to one file."""

    def __init__(self, path: Path, *, synced: bool = False) -> None:
        """`synced`: a line is on the disk when `write` returns."""
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._synced = synced
        self._lock = threading.Lock()

    def write(self, **entry: object) -> None:
        """Append one line. Octets are written in hexadecimal."""
        line = json.dumps(entry, default=_hexadecimal, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            written = os.write(self._descriptor, line)
            if written != len(line):
                raise OSError(f"{written} of {len(line)} octets were written")
            if self._synced:
                os.fsync(self._descriptor)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def _hexadecimal(value: object) -> str:
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError(f"a journal holds no {type(value).__name__}")


def read_journal(path: Path) -> Iterator[dict[str, Any]]:
    """Read the lines of a journal; none where it was never begun. A torn line raises ValueError: none may be lost."""
    if not path.exists():
        return
    with path.open("rb") as lines:
        for line in lines:
            entry: dict[str, Any] = json.loads(line)
            yield entry
