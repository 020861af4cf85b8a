"""Contract of the vault."""

from __future__ import annotations

from typing import TYPE_CHECKING

from regalia.model import KeyKind
from regalia.ports import WrappedKey
from store.samples import NOW, an_id, octets

if TYPE_CHECKING:
    from regalia.ports import Store


def test_a_key_is_kept_until_it_is_destroyed(store: Store) -> None:
    """A wrapped key comes back as it was put in, and is gone once destroyed."""
    key = WrappedKey(an_id("key", 1), KeyKind.P384, "root", octets("public", 120), octets("blob", 300), NOW)
    other = WrappedKey(an_id("key", 2), KeyKind.RSA_2048, "staff", octets("p", 294), octets("b", 1700), NOW)
    store.put_key(key)
    store.put_key(other)
    assert store.get_key(key.id) == key
    assert store.destroy_key(key.id)
    assert store.get_key(key.id) is None
    assert not store.destroy_key(key.id)
    assert store.get_key(other.id) == other


def test_the_store_answers(store: Store) -> None:
    """A database that answers tells its kind and version."""
    assert store.check()
