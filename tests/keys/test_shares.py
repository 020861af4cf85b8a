"""A root's key under a shared secret."""

from __future__ import annotations

import json
from itertools import combinations
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization

from fakes import FakeClock, MemoryStore, SeededEntropy
from regalia import reasons
from regalia.ca.scopes import ROOT_SCOPE
from regalia.errors import AdminError, UnavailableError
from regalia.keys.master import create_master_key, master_ring
from regalia.keys.medium import MediumVault
from regalia.keys.shares import combine, open_shared, read_shared, split
from regalia.keys.software import SoftwareKeys
from regalia.keys.wrapping import spki
from regalia.model import KeyKind

if TYPE_CHECKING:
    from pathlib import Path

    from regalia.ports import NewKey


def keys(tmp_path: Path) -> tuple[SoftwareKeys, NewKey, MemoryStore]:
    """Keys with a root's among them."""
    home = tmp_path / "home"
    home.mkdir()
    create_master_key(home, SeededEntropy(3))
    store = MemoryStore()
    made = SoftwareKeys(store, FakeClock(), SeededEntropy(4), master_ring(home, {}))
    return made, made.generate(KeyKind.P384, ROOT_SCOPE), store


def test_any_shares_of_the_number_open_the_key(tmp_path: Path) -> None:
    """Whichever three of five come together, the key is there again, and the one in the home is gone."""
    software, key, store = keys(tmp_path)
    parts = split(SeededEntropy(5), 3, 5)
    path = software.move_out_shared(key.id, tmp_path, parts, lambda: None)
    assert store.get_key(key.id) is None
    shared = read_shared(path)
    assert (shared.id, shared.needed, shared.of, shared.public_key) == (key.id, 3, 5, key.public_key)
    for chosen in list(combinations(parts.shares, 3))[::3]:
        assert spki(open_shared(shared, combine(shared, chosen))) == key.public_key
    assert spki(open_shared(shared, combine(shared, [share.upper() for share in parts.shares]))) == key.public_key
    assert path.stat().st_mode & 0o777 == 0o600


def test_too_few_or_wrong_shares_open_nothing(tmp_path: Path) -> None:
    """Fewer shares, the same one twice, a misspelt one and one of another key are each told apart."""
    software, key, _ = keys(tmp_path)
    parts, other = split(SeededEntropy(5), 2, 3), split(SeededEntropy(6), 2, 3)
    shared = read_shared(software.move_out_shared(key.id, tmp_path, parts, lambda: None))
    first, second, _ = parts.shares
    words = second.split()
    for given, told in (
        ([first], "1 different shares are here, 2 of 3 are needed"),
        ([first, first], "1 different shares are here"),
        (
            [first, " ".join([*words[:-1], "academic" if words[-1] != "academic" else "acid"])],
            "share 2 is not as it was",
        ),
        ([first, " ".join(words[:-1])], "share 2 is not as it was"),
        ([first, "no words of the list at all"], "share 2 is not as it was"),
        ([first, other.shares[0]], "share 2 is of another key"),
        ([], "0 different shares"),
    ):
        with pytest.raises(AdminError) as refused:
            combine(shared, given)
        assert refused.value.reason is reasons.SHARES_REFUSED
        assert told in refused.value.detail


def test_nothing_of_the_secret_is_in_the_file(tmp_path: Path) -> None:
    """The key's file holds neither the secret nor the key; what was altered in it does not open."""
    software, key, _ = keys(tmp_path)
    parts = split(SeededEntropy(5), 2, 2)
    path = software.move_out_shared(key.id, tmp_path, parts, lambda: None)
    document = json.loads(path.read_bytes())
    opened = open_shared(read_shared(path), parts.secret)
    plain = opened.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    assert parts.secret not in path.read_bytes()
    assert plain not in path.read_bytes()
    for name, value in (("needed", 1), ("scope", "ca:other"), ("of", 9)):
        path.write_text(json.dumps(document | {name: value}))
        with pytest.raises(AdminError, match="the file does not open"):
            open_shared(read_shared(path), parts.secret)
    for text in ("{}", "nothing", json.dumps(document | {"format": "another"}), json.dumps(document | {"id": 7})):
        path.write_text(text)
        with pytest.raises(AdminError, match="ADM-020"):
            read_shared(path)


def test_who_does_not_confirm_keeps_the_key(tmp_path: Path) -> None:
    """Where the shares were not handed out, the file is removed and the key stays where it is."""
    software, key, store = keys(tmp_path)
    parts = split(SeededEntropy(5), 2, 2)

    def nobody() -> None:
        raise AdminError(reasons.FILE_REFUSED, "a share could not be written")

    with pytest.raises(AdminError, match="a share could not be written"):
        software.move_out_shared(key.id, tmp_path, parts, nobody)
    assert store.get_key(key.id) is not None
    assert not list(tmp_path.glob("*.shared"))
    software.move_out_shared(key.id, tmp_path, parts, lambda: None)
    with pytest.raises(UnavailableError):
        software.move_out_shared(key.id, tmp_path, parts, lambda: None)


def test_the_opened_key_is_a_mediums(tmp_path: Path) -> None:
    """What shares open is written wrapped for this home, as the medium that --root-key names."""
    software, key, _ = keys(tmp_path)
    parts = split(SeededEntropy(5), 2, 2)
    shared = read_shared(software.move_out_shared(key.id, tmp_path, parts, lambda: None))
    path = software.carry(shared, combine(shared, parts.shares), tmp_path)
    row = MediumVault(tmp_path).get_key(key.id)
    assert row is not None
    assert (row.scope, row.public_key, path.name) == (ROOT_SCOPE, key.public_key, f"{key.id}.key")


@pytest.mark.parametrize(("needed", "of"), [(1, 3), (3, 2), (2, 17), (0, 0)])
def test_numbers_that_make_no_sense_are_refused(needed: int, of: int) -> None:
    """One share alone would be a password on paper; more are not needed than there are."""
    with pytest.raises(AdminError, match="ADM-018"):
        split(SeededEntropy(5), needed, of)


def test_numbers_that_no_file_has_are_refused(tmp_path: Path) -> None:
    """A key's file with numbers or times beyond all bounds is no file of a shared key."""
    software, key, _ = keys(tmp_path)
    parts = split(SeededEntropy(5), 2, 2)
    path = software.move_out_shared(key.id, tmp_path, parts, lambda: None)
    whole = json.loads(path.read_bytes())
    for change in ({"needed": float("inf")}, {"of": "many"}, {"identifier": None}, {"sealed": ""}):
        path.write_text(json.dumps(whole | change))
        with pytest.raises(AdminError, match=r"ADM-020|ADM-035"):
            open_shared(read_shared(path), parts.secret)
    path.write_text(json.dumps(whole | {"created_at": "0001-01-01T00:00:00+14:00"}))
    with pytest.raises(AdminError, match="ADM-035"):
        open_shared(read_shared(path), parts.secret)


def test_a_file_that_asks_for_fewer_shares_does_not_open(tmp_path: Path) -> None:
    """A file that was altered to ask for fewer shares does not open with fewer."""
    software, key, _ = keys(tmp_path)
    parts = split(SeededEntropy(5), 3, 3)
    path = software.move_out_shared(key.id, tmp_path, parts, lambda: None)
    document = json.loads(path.read_bytes())
    for needed in (2, 1, 0, -1):
        path.write_text(json.dumps(document | {"needed": needed}))
        with pytest.raises(AdminError, match="ADM-035"):
            combine(read_shared(path), parts.shares[:2])
