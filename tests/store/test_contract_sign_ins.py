"""Contract of what sign-in remembers: tries and what was good once."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from regalia.ports import NO_TRIES, Tries
from store.samples import NOW, octets

if TYPE_CHECKING:
    from regalia.ports import Store


def test_tries_are_counted_from_what_was_seen(store: Store) -> None:
    """WEB-6: of two who count from the same number one is told that the other was first; each subject has its own."""
    assert store.tries("account:1") == NO_TRIES
    assert store.count_try("account:1", NO_TRIES, NOW)
    assert not store.count_try("account:1", NO_TRIES, NOW)
    assert store.count_try("account:1", Tries(1, NOW), NOW + timedelta(seconds=1))
    assert not store.count_try("account:1", Tries(1, NOW), NOW + timedelta(seconds=2))
    assert store.tries("account:1") == Tries(2, NOW + timedelta(seconds=1))
    assert store.tries("account:2") == NO_TRIES
    assert not store.count_try("account:2", Tries(1, NOW), NOW)


def test_who_was_right_begins_anew(store: Store) -> None:
    """WEB-6: a subject that is forgotten has no tries, and can be counted again."""
    assert store.count_try("account:1", NO_TRIES, NOW)
    store.forget_tries("account:1")
    assert store.tries("account:1") == NO_TRIES
    assert store.count_try("account:1", NO_TRIES, NOW)


def test_what_is_good_once_is_spent_once(store: Store) -> None:
    """CON-2: the second use of the same thing is refused, that of another one is not."""
    assert not store.is_spent(octets("state"))
    assert store.spend(octets("state"), NOW)
    assert store.is_spent(octets("state"))
    assert not store.spend(octets("state"), NOW + timedelta(days=1))
    assert store.spend(octets("another state"), NOW)


def test_what_ended_by_itself_is_forgotten(store: Store) -> None:
    """What is good no more needs no note that it was used, and old tries count for nothing; what is newer stays."""
    later = NOW + timedelta(minutes=1)
    store.spend(octets("old"), NOW)
    store.spend(octets("new"), later)
    store.count_try("old", NO_TRIES, NOW)
    store.count_try("new", NO_TRIES, later)
    store.forget_sign_ins(later, later)
    assert store.spend(octets("old"), later)
    assert not store.spend(octets("new"), later)
    assert (store.tries("old"), store.tries("new")) == (NO_TRIES, Tries(1, later))
