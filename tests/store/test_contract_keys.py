"""Contract of the vault."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from regalia.ca.key_events import key_destroyed
from regalia.model import Action, Actor, ActorKind, KeyKind
from regalia.ports import ELSEWHERE, SOFTWARE, EventFilter, KeyRecord, WrappedKey
from store.samples import NOW, a_pending_enrolment, an_id, octets

if TYPE_CHECKING:
    from regalia.ports import Store

ADMIN = Actor(ActorKind.ADMIN, "os:root")


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


def test_every_key_has_a_record_that_outlives_it(store: Store) -> None:
    """A key's record says where it lies, follows it when it is moved out, and tells who destroyed it and when."""
    key = WrappedKey(an_id("key", 3), KeyKind.P384, "ca:root", octets("public", 120), octets("blob", 300), NOW)
    store.put_key(key)
    record = KeyRecord(key.id, key.kind, key.scope, SOFTWARE, hashlib.sha256(key.public_key).digest(), NOW)
    assert store.key_record(key.id) == record
    assert store.destroy_key(key.id)
    assert store.key_record(key.id) == replace(record, location=ELSEWHERE)
    ended = key_destroyed(key.id, at=NOW + timedelta(days=1), actor=ADMIN, why="no longer needed")
    assert store.end_key(key.id, (ended,))
    assert not store.end_key(key.id, (ended,))
    gone = replace(record, location=ELSEWHERE, destroyed_at=NOW + timedelta(days=1), destroyed_by="admin os:root")
    assert store.key_records() == (gone,)
    assert [event.draft for event in store.events(EventFilter(action=Action.KEY_DESTROYED))] == [ended]


def test_a_destroyed_key_leaves_the_vault(store: Store) -> None:
    """The end of a wrapped key takes its octets with it."""
    key = WrappedKey(an_id("key", 4), KeyKind.P256, "ocsp:a", octets("public", 91), octets("blob", 200), NOW)
    store.put_key(key)
    assert store.end_key(key.id, (key_destroyed(key.id, at=NOW, actor=ADMIN, why="renewed"),))
    assert store.get_key(key.id) is None
    assert not store.end_key(an_id("key", 5), (key_destroyed(an_id("key", 5), at=NOW, actor=ADMIN, why=""),))


def test_a_key_on_a_token_is_on_record_alone(store: Store) -> None:
    """Of a key that lies on a token the database has the record, oldest first among all."""
    uri = "pkcs11:token=regalia;object=ca%3Aroot;id=%01;type=private"
    first = KeyRecord(an_id("key", 6), KeyKind.P256, "ca:group:staff", uri, octets("hash", 32), NOW)
    second = replace(first, id=an_id("key", 7), kind=KeyKind.RSA_3072)
    store.add_token_key(second, ())
    store.add_token_key(first, ())
    assert store.key_records() == (first, second)
    assert store.get_key(first.id) is None
    assert (first.repeats, second.repeats) == (False, True)


def test_keys_are_wrapped_anew_in_their_places(store: Store) -> None:
    """A rotation finds every wrapped key, and puts a new blob only where the one that it read still is."""
    keys = [
        WrappedKey(an_id("key", number), KeyKind.P256, "staff", octets("p", 91), octets(f"b{number}", 180), NOW)
        for number in (1, 2, 3)
    ]
    for key in keys:
        store.put_key(key)
    assert sorted(store.wrapped_keys(), key=lambda key: key.id) == sorted(keys, key=lambda key: key.id)
    fresh = replace(keys[0], blob=octets("fresh", 180))
    assert store.replace_wrapped(keys[0], fresh)
    assert not store.replace_wrapped(keys[0], fresh)
    store.destroy_key(keys[1].id)
    assert not store.replace_wrapped(keys[1], fresh)
    assert (store.get_key(keys[0].id), store.get_key(keys[1].id)) == (fresh, None)


def test_secrets_are_sealed_anew_in_their_places(store: Store) -> None:
    """A rotation finds the sealed challenges of held requests, and puts a new seal where the one it read still is."""
    held = a_pending_enrolment()
    store.hold(held, (), sealed_challenge=b"sealed")
    (secret,) = store.sealed_secrets()
    assert (secret.scope, secret.sealed) == (f"enrolment:{held.id}", b"sealed")
    assert store.replace_sealed(secret, b"anew")
    assert not store.replace_sealed(secret, b"once more")
    assert store.sealed_challenge(held.id) == b"anew"
