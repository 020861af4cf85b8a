"""Notices between processes (R9)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from regalia.model import Change, Revocation, RevocationReason
from regalia.store import open_change_feed, open_store
from store.samples import NOW, a_challenge, a_group, a_profile, an_endpoint, an_event, an_id, an_intent
from store.test_contract_catalogue import furnish
from store.test_contract_crls import publish

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fakes import FakeClock
    from regalia.store import SqlStore
    from regalia.store.changes import SqliteChangeFeed
    from regalia.store.notices import PostgresqlChangeFeed

    Feed = PostgresqlChangeFeed | SqliteChangeFeed


@pytest.fixture
def feed(url: str) -> Iterator[Feed]:
    """Listen as another process would."""
    feed = open_change_feed(url)
    yield feed
    feed.close()


def heard(feed: Feed, seconds: float) -> list[Change]:
    """Return what comes within a time, ending at the first that says something."""
    until = time.monotonic() + seconds
    while (rest := until - time.monotonic()) > 0:
        changes = feed.wait(rest)
        assert changes is not None
        if changes:
            return list(changes)
    return []


def test_a_revocation_is_heard(sql: SqlStore, feed: Feed) -> None:
    """A revocation of another process is told within three seconds, with authority and serial."""
    sql.begin(an_intent(), ())
    sql.finish(an_intent().id, b"der", NOW, ())
    revocation = Revocation(an_intent().id, RevocationReason.KEY_COMPROMISE, "administrator", "os:root", NOW)
    began = time.monotonic()
    sql.revoke(revocation, ())
    assert heard(feed, 3) == [Change("revocation", f"staff-ca/{an_intent().serial:x}")]
    print(f"heard after {time.monotonic() - began:.3f} s")  # noqa: T201 - the time is noted, not judged (R13)


WRITES: dict[str, tuple[Callable[[SqlStore], object], list[Change]]] = {
    "abandoned": (
        lambda store: (store.begin(an_intent(2), ()), store.abandon(an_intent(2).id, NOW, ())),
        [Change("revocation", f"staff-ca/{an_intent(2).serial:x}")],
    ),
    "group": (lambda store: store.add_group(a_group(), ()), [Change("catalogue", "group:staff")]),
    "profile": (lambda store: store.add_profile(a_profile(), ()), [Change("catalogue", "profile:wifi")]),
    "endpoint": (lambda store: store.add_endpoint(an_endpoint(), ()), [Change("catalogue", "endpoint:default")]),
    "crl": (
        lambda store: publish(store, store.reserve_crl(an_id("crl", 1), "staff-ca", NOW)),
        [Change("crl", "staff-ca")],
    ),
}


@pytest.mark.parametrize("name", WRITES)
def test_what_is_told(sql: SqlStore, feed: Feed, name: str) -> None:
    """Each write that others remember something of is told with its topic."""
    write, told = WRITES[name]
    write(sql)
    assert heard(feed, 3) == told


def test_what_is_not_told(sql: SqlStore, feed: Feed) -> None:
    """Writes that nobody remembers, and those that were refused, are not told."""
    sql.add_group(a_group(), ())
    assert len(heard(feed, 3)) == 1
    assert not sql.add_group(a_group(), ())
    sql.add_challenge(a_challenge(), (an_event(),))
    sql.begin(an_intent(), (an_event(),))
    assert heard(feed, 0.6) == []


def test_many_changes_are_all_told_in_order(sql: SqlStore, feed: Feed) -> None:
    """Nothing is lost however many changes come before the next look."""
    for number in range(20):
        sql.add_group(a_group(f"g{number}"), ())
    told: list[Change] = []
    while len(told) < 20 and (more := heard(feed, 3)):
        told += more
    assert told == [Change("catalogue", f"group:g{number}") for number in range(20)]


def test_what_was_before_is_not_told(sql: SqlStore, url: str) -> None:
    """A feed tells what happens after it was opened."""
    sql.add_group(a_group(), ())
    feed = open_change_feed(url)
    assert heard(feed, 0.5) == []
    feed.close()


def test_a_feed_that_was_down_says_so_twice(sql: SqlStore, feed: Feed) -> None:
    """The call that brings the channel back answers None: what was cached meanwhile is to be dropped; then it tells."""
    feed.close()
    sql.add_group(a_group("lost"), ())
    assert feed.wait(0.1) is None
    sql.add_group(a_group("told"), ())
    assert heard(feed, 3) == [Change("catalogue", "group:told")]


def test_another_process_sees_the_new_door(sql: SqlStore, url: str, clock: FakeClock, feed: Feed) -> None:
    """A door is remembered until a notice of the catalogue invalidates it."""
    furnish(sql)
    other = open_store(url, node="other", clock=clock)
    assert other.door("default") is not None
    while heard(feed, 0.6):
        pass
    sql.disable_endpoint("default", ())
    remembered = other.door("default")
    assert remembered is not None
    assert remembered.endpoint.enabled
    assert [change.topic for change in heard(feed, 3)] == ["catalogue"]
    other.invalidate()
    door = other.door("default")
    other.close()
    assert door is not None
    assert not door.endpoint.enabled
