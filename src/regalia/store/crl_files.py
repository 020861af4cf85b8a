"""CRL files: a spool for work and the published ones, both below one directory.

A file takes the place of another one by rename, after its content and before its name reach the disk: whoever reads
finds the old CRL or the new one, never a part (REV-2).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import tempfile
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from regalia import reasons
from regalia.errors import InvariantError, UnavailableError
from regalia.ports import PublishedCrl, StreamedFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["DirectoryCrlFiles"]

_CHUNK = 64 * 1024
_NAME = re.compile(r"[a-z0-9-]{1,64}")


class DirectoryCrlFiles:
    """See `ports.CrlFiles`. Paths are those of the file system."""

    def __init__(self, directory: Path) -> None:
        self._spool = directory / "spool"
        self._published = directory / "published"
        self._digests: dict[str, tuple[tuple[int, int, int], bytes]] = {}
        with _file_errors():
            for folder in (directory, self._spool, self._published):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def write(self, chunks: Iterable[bytes]) -> StreamedFile:
        """Write a new spool file; on disk when this returns. What is left of a failed attempt is removed."""
        digest, length = hashlib.sha256(), 0
        with _file_errors():
            handle, name = tempfile.mkstemp(dir=self._spool, suffix=".der")
            try:
                with os.fdopen(handle, "wb") as file:
                    for chunk in chunks:
                        file.write(chunk)
                        digest.update(chunk)
                        length += len(chunk)
                    file.flush()
                    os.fsync(file.fileno())
                _sync_directory(self._spool)
            except BaseException:
                with suppress(OSError):
                    Path(name).unlink()
                raise
        return StreamedFile(name, length, digest.digest())

    def read(self, path: str) -> Iterator[bytes]:
        """Read a spool file, or one that is served, in chunks."""
        file_path = Path(path)
        if file_path.parent != self._published:
            file_path = self._in_spool(path)
        with _file_errors(), file_path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk

    def discard(self, path: str) -> None:
        """Remove a spool file; gone already is fine."""
        with _file_errors():
            self._in_spool(path).unlink(missing_ok=True)

    def publish(self, authority: str, path: str) -> PublishedCrl:
        """Put a finished spool file in the place of the authority's CRL, atomically and durably."""
        if _NAME.fullmatch(authority) is None:
            raise InvariantError("an authority's name is no path")
        target = self._published / f"{authority}.crl"
        with _file_errors():
            source = self._in_spool(path)
            # A web server of another user may serve this directory; CRLs are public.
            source.chmod(0o644)
            source.replace(target)
            _sync_directory(self._published)
            _sync_directory(self._spool)
        published = self.published(authority)
        if published is None:
            raise UnavailableError(reasons.STORE_UNAVAILABLE, f"{target} vanished")
        return published

    def published(self, authority: str) -> PublishedCrl | None:
        """Return the CRL that is served now."""
        if _NAME.fullmatch(authority) is None:
            return None
        target = self._published / f"{authority}.crl"
        with _file_errors():
            try:
                facts = target.stat()
            except FileNotFoundError:
                return None
        modified = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=facts.st_mtime_ns // 1_000_000)
        return PublishedCrl(str(target), facts.st_size, modified)

    def digest(self, authority: str) -> bytes | None:
        """Return the SHA-256 of the CRL that is served now; the file is read anew only where it is another one."""
        if _NAME.fullmatch(authority) is None:
            return None
        with _file_errors():
            try:
                file = (self._published / f"{authority}.crl").open("rb")
            except FileNotFoundError:
                return None
            with file:
                facts = os.fstat(file.fileno())
                seen = (facts.st_ino, facts.st_mtime_ns, facts.st_size)
                known = self._digests.get(authority)
                if known is None or known[0] != seen:
                    known = self._digests[authority] = (seen, hashlib.file_digest(file, "sha256").digest())
        return known[1]

    @contextmanager
    def one_at_a_time(self) -> Iterator[None]:
        """Keep other threads and processes from this block until it is left; a crash leaves it too."""
        with _file_errors():
            handle = os.open(self._published, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with _file_errors():
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def sweep(self, before: datetime) -> int:
        """Remove spool files that were last written earlier: what a crash left behind. Returns how many."""
        removed = 0
        with _file_errors():
            for file in self._spool.iterdir():
                if file.stat().st_mtime < before.timestamp():
                    file.unlink(missing_ok=True)
                    removed += 1
        return removed

    def _in_spool(self, path: str) -> Path:
        file = Path(path)
        if file.parent != self._spool:
            raise InvariantError(f"{path} is not in the spool")
        return file


@contextmanager
def _file_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UnavailableError(reasons.STORE_UNAVAILABLE, f"CRL files: {error}") from error


def _sync_directory(directory: Path) -> None:
    """Make a rename in this directory durable."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
