"""Files that hold secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from regalia.keys.private_files import create_private, read_private, replace_private

if TYPE_CHECKING:
    from pathlib import Path


def test_new_file_is_private_whatever_the_umask(tmp_path: Path) -> None:
    """A new file is readable by its owner alone and holds everything."""
    create_private(tmp_path / "secret", b"content")
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600
    assert read_private(tmp_path / "secret", 100) == b"content"


def test_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    """Creating is exclusive."""
    create_private(tmp_path / "secret", b"first")
    with pytest.raises(FileExistsError):
        create_private(tmp_path / "secret", b"second")
    assert (tmp_path / "secret").read_bytes() == b"first"


def test_reading_is_bounded(tmp_path: Path) -> None:
    """No more octets are read than asked for."""
    create_private(tmp_path / "secret", b"0123456789")
    assert read_private(tmp_path / "secret", 4) == b"0123"


def test_replacing_leaves_one_file(tmp_path: Path) -> None:
    """A replaced file has the new content and mode, also after a crash left a half-written one."""
    create_private(tmp_path / "secret", b"old")
    (tmp_path / "secret.new").write_bytes(b"half")
    replace_private(tmp_path / "secret", b"new", mode=0o644)
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]
    assert (tmp_path / "secret").read_bytes() == b"new"
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o644
