"""Keys on a medium, and vaults in a row."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from fakes import FakeClock, MemoryStore, SeededEntropy
from regalia import reasons
from regalia.ca.scopes import ocsp_scope
from regalia.errors import AdminError, InvariantError
from regalia.keys.master import create_master_key
from regalia.keys.medium import FallbackVault, MediumVault, write_key_file
from regalia.keys.software import SoftwareKeys
from regalia.model import KeyKind

if TYPE_CHECKING:
    from pathlib import Path

    from regalia.ports import WrappedKey


def _row(home: Path, vault: MemoryStore) -> WrappedKey:
    master = create_master_key(home, SeededEntropy())
    made = SoftwareKeys(vault, FakeClock(), SeededEntropy(), master).generate(KeyKind.P256, ocsp_scope("staff"))
    row = vault.get_key(made.id)
    assert row is not None
    return row


def test_file_holds_exactly_the_row(tmp_path: Path) -> None:
    """A key's file reads back to the same row, and holds it as text that says what it is."""
    row = _row(tmp_path, MemoryStore())
    path = write_key_file(row, tmp_path)
    assert MediumVault(tmp_path).get_key(row.id) == row
    document = json.loads(path.read_text(encoding="utf-8"))
    assert (document["id"], document["kind"], document["scope"]) == (str(row.id), "p-256", "ocsp:staff")


def test_missing_file_is_no_key(tmp_path: Path) -> None:
    """A medium without the key's file does not hold the key."""
    assert MediumVault(tmp_path).get_key(UUID(int=1)) is None
    assert MediumVault(tmp_path / "not mounted").get_key(UUID(int=1)) is None


@pytest.mark.parametrize(
    "change",
    [
        {"format": "another"},
        {"id": "x"},
        {"kind": "dsa"},
        {"scope": 1},
        {"public_key": "%"},
        {"wrapped": None},
        {"created_at": "yesterday"},
        {"id": str(UUID(int=2))},
    ],
)
def test_file_that_is_no_key_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    """A damaged, foreign or renamed key file is named in the error."""
    row = _row(tmp_path, MemoryStore())
    path = write_key_file(row, tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | change), encoding="utf-8")
    with pytest.raises(AdminError) as refused:
        MediumVault(tmp_path).get_key(row.id)
    assert refused.value.reason is reasons.FILE_REFUSED
    assert str(path) in refused.value.detail


@pytest.mark.parametrize("text", ["", "[]", "[" * 30_000, "{}", "x" * 70_000])
def test_file_of_another_kind_is_refused(tmp_path: Path, text: str) -> None:
    """Something else under the key's name is refused, however large or deep."""
    (tmp_path / f"{UUID(int=1)}.key").write_text(text, encoding="utf-8")
    with pytest.raises(AdminError) as refused:
        MediumVault(tmp_path).get_key(UUID(int=1))
    assert refused.value.reason is reasons.FILE_REFUSED


def test_unreadable_file_is_said(tmp_path: Path) -> None:
    """A name that cannot be opened as a file is an error, not a missing key."""
    (tmp_path / f"{UUID(int=1)}.key").mkdir()
    with pytest.raises(AdminError) as refused:
        MediumVault(tmp_path).get_key(UUID(int=1))
    assert refused.value.reason is reasons.FILE_REFUSED


def test_medium_is_only_read(tmp_path: Path) -> None:
    """Nothing is put on a medium or destroyed there through a vault."""
    row = _row(tmp_path, MemoryStore())
    medium = MediumVault(tmp_path)
    with pytest.raises(InvariantError):
        medium.put_key(row)
    with pytest.raises(InvariantError):
        medium.destroy_key(row.id)


def test_second_vault_is_asked_for_what_the_first_lacks(tmp_path: Path) -> None:
    """Keys are found in the database first and then on the medium; writing goes to the database alone."""
    first, second = MemoryStore(), MemoryStore()
    row = _row(tmp_path, second)
    both = FallbackVault(first, second)
    assert both.get_key(row.id) == row
    assert not both.destroy_key(row.id)
    assert second.get_key(row.id) == row
    both.put_key(row)
    assert first.get_key(row.id) == row
    assert both.destroy_key(row.id)
    assert both.get_key(UUID(int=1)) is None
