"""CRL files in a directory."""

from __future__ import annotations

import hashlib
import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from regalia.errors import InvariantError, UnavailableError
from regalia.store import DirectoryCrlFiles
from store.samples import NOW

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def files(tmp_path: Path) -> DirectoryCrlFiles:
    """Return files in a new directory."""
    return DirectoryCrlFiles(tmp_path / "crl")


def test_a_file_is_written_in_chunks_and_read_back(files: DirectoryCrlFiles) -> None:
    """A spool file comes back as it was written, with its length and hash."""
    written = files.write(bytes([number]) * 50_000 for number in range(5))
    content = b"".join(files.read(written.path))
    assert content == b"".join(bytes([number]) * 50_000 for number in range(5))
    assert (written.length, written.sha256) == (250_000, hashlib.sha256(content).digest())
    assert Path(written.path).stat().st_mode & 0o777 == 0o600
    assert Path(written.path).parent.stat().st_mode & 0o777 == 0o700


def test_a_failed_write_leaves_nothing(files: DirectoryCrlFiles, tmp_path: Path) -> None:
    """Where the chunks fail half-way the file is removed."""

    def chunks() -> Iterator[bytes]:
        yield b"half"
        raise InvariantError("by design")

    with pytest.raises(InvariantError):
        files.write(chunks())
    assert list((tmp_path / "crl" / "spool").iterdir()) == []


def test_the_digest_is_that_of_the_file(files: DirectoryCrlFiles) -> None:
    """What a node serves is known by its SHA-256: of each new file anew, and none where there is none."""
    assert files.digest("staff-ca") is None
    assert files.digest("../staff-ca") is None
    for octets in (b"first", b"other"):
        published = files.publish("staff-ca", files.write([octets]).path)
        for _ in range(2):
            assert files.digest("staff-ca") == hashlib.sha256(octets).digest()
        assert b"".join(files.read(published.path)) == octets
    Path(published.path).unlink()
    assert files.digest("staff-ca") is None


def test_publishing_replaces(files: DirectoryCrlFiles) -> None:
    """The published CRL is the one published last; a reader of the one before reads it to its end (REV-2)."""
    assert files.published("staff-ca") is None
    first = files.publish("staff-ca", files.write([b"first"]).path)
    assert files.published("staff-ca") == first
    with Path(first.path).open("rb") as reader:
        second = files.publish("staff-ca", files.write([b"second one"]).path)
        assert reader.read() == b"first"
    assert files.published("staff-ca") == second
    assert (second.path, second.length, Path(second.path).read_bytes()) == (first.path, 10, b"second one")
    assert abs(second.modified - datetime.now(UTC)) < timedelta(minutes=5)
    assert files.published("root") is None
    assert Path(second.path).stat().st_mode & 0o777 == 0o644


def test_publishers_go_one_at_a_time(tmp_path: Path) -> None:
    """Two publishers of one directory, in two threads or processes, are never both inside."""
    order: list[str] = []

    def publish() -> None:
        with DirectoryCrlFiles(tmp_path / "crl").one_at_a_time():
            order.append("second")

    second = threading.Thread(target=publish)
    with DirectoryCrlFiles(tmp_path / "crl").one_at_a_time():
        second.start()
        second.join(timeout=0.2)
        order.append("first")
    second.join()
    assert order == ["first", "second"]


def test_a_spool_file_is_discarded(files: DirectoryCrlFiles) -> None:
    """A discarded file is gone; discarding it again is fine; a published one is no spool file any more."""
    path = files.write([b"x"]).path
    files.discard(path)
    files.discard(path)
    with pytest.raises(UnavailableError):
        list(files.read(path))
    with pytest.raises(UnavailableError):
        files.publish("staff-ca", path)


@pytest.mark.parametrize("path", ["elsewhere", "spool/../published/x.crl", "spool/deeper/x"])
def test_only_the_spool_is_touched(files: DirectoryCrlFiles, tmp_path: Path, path: str) -> None:
    """A path that does not lie in the spool is neither read nor removed nor published."""
    outside = str(tmp_path / "crl" / path)
    for call in (
        lambda: list(files.read(outside)),
        lambda: files.discard(outside),
        lambda: files.publish("a", outside),
    ):
        with pytest.raises(InvariantError):
            call()


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a\x00", "\ud800", "x" * 500, ".."])
def test_a_name_is_no_path(files: DirectoryCrlFiles, name: str) -> None:
    """A name from an URL finds nothing outside the published files, and nothing can be published under it (IN-2)."""
    assert files.published(name) is None
    with pytest.raises(InvariantError):
        files.publish(name, files.write([b"x"]).path)


def test_what_a_crash_left_is_swept(files: DirectoryCrlFiles) -> None:
    """Spool files from before a time are removed, younger ones stay."""
    old, young = files.write([b"old"]).path, files.write([b"young"]).path
    os.utime(old, (NOW.timestamp() - 60, NOW.timestamp() - 60))
    os.utime(young, (NOW.timestamp(), NOW.timestamp()))
    assert files.sweep(NOW - timedelta(seconds=1)) == 1
    assert not Path(old).exists()
    assert Path(young).exists()


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    """Where there is no directory the files are unavailable."""
    (tmp_path / "crl").write_text("a file")
    with pytest.raises(UnavailableError):
        DirectoryCrlFiles(tmp_path / "crl")
