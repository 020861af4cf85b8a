"""Transactions on disk."""

from __future__ import annotations

import json
import stat
from contextlib import chdir
from pathlib import Path

import pytest

from client.service import URL, ServiceTransport, client_of
from regalia import reasons
from regalia.client.files import remove_state
from regalia.client.transaction import KeptTransaction, load_transaction, save_transaction, transaction_file
from regalia.errors import AdminError
from regalia.model import San, SanKind
from world import World, rsa_key

SANS = frozenset({San(SanKind.DNS, "lap1.example.com"), San(SanKind.EMAIL, "lap1@example.com")})


def kept(cn: str | None = "lap1", sans: frozenset[San] = SANS) -> KeptTransaction:
    """Begin a transaction for key 0."""
    world = World()
    opened = client_of(ServiceTransport(world), world).begin(rsa_key(0), cn=cn, sans=sans)
    return KeptTransaction(opened, URL, "5f" * 32, Path("/keys/lap1.key"))


@pytest.mark.parametrize(("cn", "sans"), [("lap1", SANS), (None, SANS), ("Größe", frozenset[San]())])
def test_transactions_come_back(tmp_path: Path, cn: str | None, sans: frozenset[San]) -> None:
    """A transaction that was saved is the one that is loaded; nobody else may read or overwrite it."""
    path = transaction_file(tmp_path / "lap1.pem")
    saved = kept(cn, sans)
    save_transaction(path, saved)
    assert load_transaction(path) == saved
    assert (saved.is_for(rsa_key(0)), saved.is_for(rsa_key(1))) == (True, False)
    assert path.name == "lap1.pem.transaction"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(AdminError, match="not overwritten"):
        save_transaction(path, kept())
    assert load_transaction(path) == saved
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_the_key_is_found_from_anywhere(tmp_path: Path) -> None:
    """A key that was named from here is found from elsewhere, too."""
    path = tmp_path / "t"
    with chdir(tmp_path):
        save_transaction(path, KeptTransaction(kept().opened, URL, "5f" * 32, Path("lap1.key")))
    assert load_transaction(path).key == tmp_path / "lap1.key"


ALTERED = {
    "no JSON": b"{",
    "not UTF-8": b"\xff\xfe{",
    "no object": b"[]",
    "nothing in it": b"{}",
}


@pytest.mark.parametrize("case", ALTERED)
def test_what_is_no_transaction_is_not_taken_for_one(tmp_path: Path, case: str) -> None:
    """A file with something else in it is refused (CLI-009)."""
    path = tmp_path / "t"
    path.write_bytes(ALTERED[case])
    with pytest.raises(AdminError, match="does not keep a transaction") as refused:
        load_transaction(path)
    assert refused.value.reason is reasons.CLIENT_FILE


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("format", 2),
        ("signer", "not base64"),
        ("signer", "AAAA"),
        ("sans", [["dns"]]),
        ("sans", {"dns": "a"}),
        ("sans", [["planet", "Mars"]]),
        ("transaction", 7),
        ("cn", 7),
        ("url", None),
    ],
)
def test_each_field_is_checked(tmp_path: Path, field: str, value: object) -> None:
    """A file that a newer version or a person changed is refused as a whole (CLI-009)."""
    path = tmp_path / "t"
    save_transaction(path, kept())
    document = json.loads(path.read_bytes())
    path.write_text(json.dumps({**document, field: value}), encoding="utf-8")
    with pytest.raises(AdminError, match="does not keep a transaction"):
        load_transaction(path)


def test_what_is_done_is_removed(tmp_path: Path) -> None:
    """Removing what is gone already is no error; a directory in the way is (CLI-009)."""
    path = tmp_path / "t"
    save_transaction(path, kept())
    remove_state(path)
    remove_state(path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(AdminError):
        remove_state(tmp_path)
