"""What only PostgreSQL does: a server that goes away, deadlocks, statements that are merged."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from sqlalchemy import bindparam, text, update

from postgres import running_postgres
from regalia import reasons
from regalia.errors import InvariantError, UnavailableError
from regalia.model import Change
from regalia.ports import EventFilter
from regalia.ra.audit import verify
from regalia.store import open_change_feed, open_store
from regalia.store.events import StreamAppender
from regalia.store.link import Pool, Step
from regalia.store.migrations import upgrade
from regalia.store.postgresql import PostgresqlDatabase
from regalia.store.session import MissedError, Statement
from regalia.store.tables import group
from regalia.store.urls import engine_url
from store.samples import a_challenge, a_group, an_event

if TYPE_CHECKING:
    from fakes import FakeClock
    from regalia.store.session import Call, Transaction, Values

RENAME = Statement(update(group).where(group.c.name == bindparam("which")).values(authority=bindparam("new")))


def test_a_server_that_goes_and_comes(clock: FakeClock) -> None:
    """Without its server the store is unavailable and the feed is down; both are back when it is (RES-7, R8)."""
    with running_postgres("fsync=off") as server:
        url = server.create("regalia")
        upgrade(url)
        store, feed = open_store(url, node="node", clock=clock), open_change_feed(url)
        store.add_group(a_group(), (an_event(),))
        assert feed.wait(3) == (Change("catalogue", "group:staff"),)
        server.stop("immediate")
        for call in (store.check, store.groups, lambda: store.add_challenge(a_challenge(), ())):
            with pytest.raises(UnavailableError) as caught:
                call()
            assert caught.value.reason is reasons.STORE_UNAVAILABLE
        assert feed.wait(0.1) is None
        server.start()
        assert store.groups() == (a_group(),)
        store.add_challenge(a_challenge(), (an_event(),))
        assert feed.wait(1) is None
        store.add_group(a_group("other"), ())
        assert feed.wait(3) == (Change("catalogue", "group:other"),)
        feed.close()
        store.close()


def test_connections_that_were_cut(postgres_url: str, clock: FakeClock) -> None:
    """A server that restarted meanwhile is not noticed by the next caller, neither for reads nor for writes."""
    store = open_store(postgres_url, node="node", clock=clock)
    store.add_group(a_group(), ())
    for call in (store.groups, lambda: store.add_challenge(a_challenge(), (an_event(),))):
        with psycopg.connect(postgres_url, autocommit=True) as killer:
            killer.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'regalia'")
        time.sleep(0.1)
        call()
    assert store.challenge_by_id(a_challenge().id) == a_challenge()
    store.close()


def test_a_deadlock_is_tried_again(postgres_url: str, clock: FakeClock) -> None:
    """Of two transactions that lock each other out the victim runs again, and both are committed."""
    store = open_store(postgres_url, node="node", clock=clock)
    store.add_group(a_group("a"), ())
    store.add_group(a_group("b"), ())
    database = PostgresqlDatabase(postgres_url, StreamAppender("node", clock), connections=4)
    both = threading.Barrier(2)
    runs: list[str] = []

    def change(first: str, second: str) -> None:
        def unit(transaction: Transaction) -> None:
            runs.append(first)
            transaction.run(RENAME, {"which": first, "new": f"by {first}"})
            if len(runs) <= 2:
                both.wait()
            transaction.run(RENAME, {"which": second, "new": f"by {first}"})

        database.write(unit)

    threads = [threading.Thread(target=change, args=names) for names in (("a", "b"), ("b", "a"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(runs) == 3
    assert {row.authority for row in store.groups()} == {f"by {runs[2]}"}
    database.close()
    store.close()


def test_merged_statements_count_alone(postgres_url: str, clock: FakeClock) -> None:
    """Statements sent as one are each held to their rows, whatever their parameters are called, or have no effect."""
    store = open_store(postgres_url, node="node", clock=clock)
    store.add_group(a_group("a"), ())
    database = PostgresqlDatabase(postgres_url, StreamAppender("node", clock), connections=1)
    calls = [(RENAME, {"which": name, "new": "x"}) for name in ("nobody", "a", "none")]
    for wanted, which in (((0, 1, 1), 2), ((0, 2, 0), 1), ((1, None, 0), 0)):
        with pytest.raises(MissedError) as caught:
            database.write(lambda transaction, wanted=wanted: transaction.conclude(calls, wanted))  # type: ignore[misc]
        assert caught.value.which == which
    assert store.groups()[0].authority != "x"
    database.write(lambda transaction: transaction.conclude(calls, (0, 1, None)))
    store.invalidate()
    assert store.groups()[0].authority == "x"
    database.close()
    store.close()


def test_a_pool_that_is_used_up(postgres_url: str, clock: FakeClock) -> None:
    """A write waits for a free connection rather than opening more than it may."""
    database = PostgresqlDatabase(postgres_url, StreamAppender("node", clock), connections=1)
    taken, go_on = threading.Event(), threading.Event()

    def unit(_: Transaction) -> None:
        taken.set()
        go_on.wait(10)

    holder = threading.Thread(target=database.write, args=(unit,))
    holder.start()
    taken.wait(10)
    threading.Timer(0.2, go_on.set).start()
    assert database.write(lambda _: go_on.is_set())
    holder.join()
    database.close()


def test_waiting_for_a_connection_ends(postgres_url: str) -> None:
    """Who waits too long is told so, whoever waits is handed what comes back, and no more are made than may be."""
    made: list[psycopg.Connection[Any]] = []

    def connect() -> psycopg.Connection[Any]:
        if len(made) == 1:
            made.append(made[0])
            raise psycopg.OperationalError("by design")
        made.append(psycopg.connect(postgres_url, autocommit=True))
        return made[-1]

    pool = Pool(connect, 2, patience=0.1)
    first = pool.take()
    with pytest.raises(psycopg.OperationalError):
        pool.take()
    second = pool.take()
    with pytest.raises(UnavailableError):
        pool.take()
    threading.Timer(0.02, pool.give_back, (first,)).start()
    assert pool.take() is first
    second.execute(Step(b"BEGIN"))
    pool.give_back(second)
    third = pool.take()
    assert third is not second
    assert len(made) == 4
    pool.close()
    for link in (first, third):
        pool.give_back(link)
    assert all(connection.closed for connection in made)
    with pytest.raises(UnavailableError):
        pool.take()


@pytest.mark.parametrize("url", ["postgres://h/d", "postgresql://h/d", "postgresql+psycopg://h/d"])
def test_the_driver_is_named(url: str) -> None:
    """An URL that names the database names our driver to SQLAlchemy."""
    assert engine_url(url) == "postgresql+psycopg://h/d"


def test_a_database_without_a_schema(postgres_empty_url: str, clock: FakeClock) -> None:
    """A database that was never upgraded is unavailable, for reads and for writes."""
    store = open_store(postgres_empty_url, node="node", clock=clock)
    with pytest.raises(UnavailableError):
        store.groups()
    with pytest.raises(UnavailableError):
        store.add_group(a_group(), ())
    store.close()


def test_a_hidden_error_is_found(postgres_url: str, clock: FakeClock) -> None:
    """A unit that goes on after an error is no success: the server had rolled it back."""
    database = PostgresqlDatabase(postgres_url, StreamAppender("node", clock), connections=1)

    def unit(transaction: Transaction) -> None:
        with suppress(psycopg.Error):
            transaction.run(Statement(text("SELECT 1 / 0")), {})

    with pytest.raises(InvariantError):
        database.write(unit)
    database.close()


def test_values_come_back_as_they_were(postgres_url: str, clock: FakeClock) -> None:
    """Octets, texts beyond ASCII, numbers of 64 bits either way and nothing at all cross the wire unchanged."""
    database = PostgresqlDatabase(postgres_url, StreamAppender("node", clock), connections=1)
    statement = Statement(
        text(
            "SELECT CAST(:a AS bytea) AS a, CAST(:b AS text) AS b, CAST(:c AS bigint) AS c, CAST(:d AS smallint) AS d,"
            " CAST(:e AS bytea) AS e, CAST(:f AS text) AS f"
        )
    )
    values: Values = {"a": bytes(range(256)), "b": "Gerät \u2028 7", "c": -(2**63), "d": 32_767, "e": None, "f": ""}
    assert database.row(statement, values) == values
    with pytest.raises(InvariantError):
        database.row(statement, {**values, "f": "cut\x00here"})
    with pytest.raises(InvariantError, match="float"):
        database.row(Statement(text("SELECT 1.5 AS float")), {})
    database.close()


def test_what_was_sent_after_an_error_is_not_done(postgres_url: str, clock: FakeClock) -> None:
    """Of statements sent together those behind one that fails have no effect, and the connection serves on."""
    store = open_store(postgres_url, node="node", clock=clock)
    store.add_group(a_group("a"), ())
    database = PostgresqlDatabase(postgres_url, StreamAppender("node", clock), connections=1)
    broken = Statement(text("UPDATE authority_counter SET revocations = 1 / :zero"))
    calls: list[Call] = [
        (RENAME, {"which": "a", "new": "x"}),
        (Statement(text("SELECT 1 / CAST(:zero AS int)")), {"zero": 0}),
        (broken, {"zero": 0}),
    ]
    with pytest.raises(InvariantError):
        database.write(lambda transaction: transaction.conclude([*calls, calls[0]], [None] * 4))
    assert database.write(lambda transaction: transaction.run(RENAME, {"which": "a", "new": "y"})) == 1
    assert store.groups()[0].authority == "y"
    database.close()
    store.close()


def test_a_text_that_is_no_text(postgres_url: str, clock: FakeClock) -> None:
    """What cannot be sent fails alone: neither the transaction nor the connection is used up by it."""
    database = PostgresqlDatabase(postgres_url, StreamAppender("node", clock), connections=1)
    calls: list[Call] = [(RENAME, {"which": "a", "new": "x"}), (RENAME, {"which": "a", "new": "\ud800"})]
    with pytest.raises(UnicodeEncodeError):
        database.write(lambda transaction: transaction.conclude(calls, (None, None)))
    with pytest.raises(UnicodeEncodeError):
        database.row(RENAME, calls[1][1])
    assert database.write(lambda transaction: transaction.run(*calls[0])) == 0
    database.close()


def test_who_waits_for_a_turn_locks_nobody_out(postgres_url: str, clock: FakeClock) -> None:
    """A unit that waits in the server for another one of its process does not keep that one from its end."""
    store = open_store(postgres_url, node="node", clock=clock)
    store.add_group(a_group("a"), (an_event(1),))
    database = store._database  # noqa: SLF001 - a test of what lies behind the store
    has_row = threading.Event()

    def first(transaction: Transaction) -> None:
        transaction.run(RENAME, {"which": "a", "new": "first"})
        has_row.set()
        time.sleep(0.2)
        transaction.record((an_event(2),))

    def second(transaction: Transaction) -> None:
        transaction.record((an_event(3),))
        transaction.conclude([(RENAME, {"which": "a", "new": "second"})], (1,))

    holder = threading.Thread(target=database.write, args=(first,))
    began = time.monotonic()
    holder.start()
    has_row.wait(10)
    database.write(second)
    holder.join()
    # A deadlock between the two would end after the ten seconds of lock_timeout.
    assert time.monotonic() - began < 8
    store.invalidate()
    assert store.groups()[0].authority == "second"
    assert [event.draft.object for event in store.events(EventFilter())] == [f"challenge:{n}" for n in (1, 2, 3)]
    assert verify(store).findings == ()
    store.close()


def test_a_closed_store(postgres_url: str, clock: FakeClock) -> None:
    """A closed store is unavailable; closing it again is fine."""
    store = open_store(postgres_url, node="node", clock=clock)
    store.add_group(a_group(), (an_event(),))
    store.close()
    store.close()
    for call in (store.groups, store.check, lambda: store.add_challenge(a_challenge(), ())):
        with pytest.raises(UnavailableError):
            call()
