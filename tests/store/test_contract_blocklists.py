"""Contract of the lists of blocked keys, and what a look-up costs once a list is warm."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING

from regalia.ports import BLOCKED_OCTETS, Blocklist, EventFilter, KeyHash
from regalia.store import SqlStore, open_store
from store.samples import NOW, an_event, an_id, octets

if TYPE_CHECKING:
    from fakes import FakeClock
    from regalia.ports import Store

_IN_A_PIECE = 300


def a_blocklist(number: int = 1, keys: int = 3, name: str = "leaked") -> Blocklist:
    """Return what is to be known of a list."""
    return Blocklist(an_id("blocklist", number), name, KeyHash.SPKI, keys, octets("file"), NOW, "admin os:root")


def digest(number: int) -> bytes:
    """Return the hash of a key that is on a list."""
    return hashlib.sha256(b"key %d" % number).digest()


def pieces(count: int, first: int = 0) -> list[bytes]:
    """Return the pieces of a list of so many keys."""
    hashes = sorted(digest(number)[:BLOCKED_OCTETS] for number in range(first, first + count))
    return [b"".join(hashes[at : at + _IN_A_PIECE]) for at in range(0, count, _IN_A_PIECE)]


def test_what_was_put_is_listed(store: Store) -> None:
    """KEY-2: of a list of several pieces each key is found, the first, the last and all between, and no other one."""
    blocklist = a_blocklist(keys=1_000)
    store.put_blocklist(blocklist, pieces(1_000), (an_event(),))
    assert store.blocklists() == (blocklist,)
    assert all(store.is_listed(blocklist, digest(number)) for number in range(1_000))
    assert not any(store.is_listed(blocklist, digest(number)) for number in range(1_000, 2_000))
    assert not store.is_listed(blocklist, bytes(32))
    assert not store.is_listed(blocklist, b"\xff" * 32)
    assert len(store.events(EventFilter())) == 1


def test_a_list_replaces_the_one_of_its_name(store: Store) -> None:
    """An import takes the place of the former list at once, in this process too; a list of another name stays."""
    other, former, new = a_blocklist(3, name="debian"), a_blocklist(1), a_blocklist(2)
    store.put_blocklist(other, pieces(3, 500), ())
    store.put_blocklist(former, pieces(3), ())
    assert store.is_listed(former, digest(1))
    store.put_blocklist(new, pieces(3, 100), ())
    assert store.blocklists() == (other, new)
    assert store.is_listed(new, digest(101))
    assert not store.is_listed(new, digest(1))
    assert store.is_listed(other, digest(501))


def test_a_list_is_removed(store: Store) -> None:
    """A removed list blocks nothing; to remove it again finds nothing and records nothing."""
    store.put_blocklist(a_blocklist(), pieces(3), ())
    assert store.remove_blocklist("leaked", (an_event(),))
    assert store.blocklists() == ()
    assert not store.remove_blocklist("leaked", (an_event(),))
    assert len(store.events(EventFilter())) == 1


def test_a_listeners_key_is_an_own_key(store: Store) -> None:
    """KEY-2: a key that was told is among our own, however often it is told."""
    key = octets("listener")
    assert key not in store.own_keys()
    store.add_own_key(key, "admin listener", NOW)
    store.add_own_key(key, "admin listener", NOW)
    assert key in store.own_keys()


def test_another_process_sees_a_list_after_its_notice(url: str, sql: SqlStore, clock: FakeClock) -> None:
    """KEY-2: a list that one node imports counts on another one as soon as that one hears of the change."""
    other = open_store(url, node="other", clock=clock)
    try:
        assert other.blocklists() == ()
        sql.put_blocklist(a_blocklist(), pieces(3), ())
        other.invalidate()
        (seen,) = other.blocklists()
        assert other.is_listed(seen, digest(2))
    finally:
        other.close()


def test_a_look_up_in_a_warm_list_takes_microseconds(sql: SqlStore) -> None:
    """KEY-2: among 20 000 keys a look-up takes no more than 20 µs at the median, on either database."""
    blocklist = a_blocklist(keys=20_000)
    sql.put_blocklist(blocklist, pieces(20_000), ())
    wanted = [digest(number) for number in range(0, 40_000, 10)]
    assert sum(sql.is_listed(blocklist, each) for each in wanted) == 2_000
    taken = []
    for each in wanted:
        began = time.thread_time_ns()
        sql.is_listed(sql.blocklists()[0], each)
        taken.append(time.thread_time_ns() - began)
    median = sorted(taken)[len(taken) // 2]
    assert median <= 60_000
