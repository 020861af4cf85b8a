"""URLs, and what is remembered of the catalogue."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from regalia import reasons
from regalia.errors import AdminError, UnavailableError
from regalia.store import open_store
from regalia.store.session import Remembered
from regalia.store.urls import sqlite_path
from store.samples import MINUTE, NOW

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fakes import FakeClock
    from postgres import PostgresServer
    from regalia.store import SqlStore


def test_sqlite_urls() -> None:
    """Three slashes lead to a relative path, four to an absolute one; PostgreSQL has no path."""
    assert sqlite_path("sqlite:///regalia.db") == Path("regalia.db")
    assert sqlite_path("sqlite:////var/lib/regalia/regalia.db") == Path("/var/lib/regalia/regalia.db")
    assert sqlite_path("postgresql://regalia@localhost/regalia") is None


@pytest.mark.parametrize("url", ["", "regalia.db", "sqlite://", "sqlite:///:memory:", "mysql://secret:word@h/d"])
def test_urls_that_are_none_of_ours(url: str, clock: FakeClock) -> None:
    """Any other URL is a mistake in the configuration, and its words are not repeated: it may hold a password."""
    with pytest.raises(AdminError) as caught:
        open_store(url, node="node", clock=clock)
    assert caught.value.reason is reasons.CONFIG_REFUSED
    assert "word" not in str(caught.value)


def test_the_store_says_what_it_is(sql: SqlStore, url: str) -> None:
    """The store tells the kind and version of its database."""
    assert sql.check().lower().startswith(url.partition(":")[0])


@contextmanager
def refusing_writes(url: str, server: PostgresServer) -> Iterator[None]:
    """Let nothing be written: on SQLite because another one does not end its writing, on PostgreSQL by its switch."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
            other.execute("ROLLBACK")
        return
    server.execute("ALTER SYSTEM SET default_transaction_read_only = on")
    server.execute("SELECT pg_reload_conf()")
    try:
        yield
    finally:
        server.execute("ALTER SYSTEM RESET default_transaction_read_only")
        server.execute("SELECT pg_reload_conf()")


def test_a_database_that_takes_no_writes_is_not_there(sql: SqlStore, url: str, postgres_server: PostgresServer) -> None:
    """RES-7: while what was to be written fails, the store does not answer; when writing is possible it does again."""

    def refused() -> bool:
        try:
            sql.lease("crl", "a", NOW, NOW + MINUTE)
        except UnavailableError:
            return True
        return False

    assert not refused()
    with refusing_writes(url, postgres_server):
        wait_until(refused)
        with pytest.raises(UnavailableError):
            sql.check()
        assert [status.name for status in sql.job_status()] == []

    def answers() -> bool:
        try:
            sql.check()
        except UnavailableError:
            return False
        return True

    wait_until(answers)
    assert not refused()


def wait_until(holds: Callable[[], bool]) -> None:
    """PostgreSQL reads its settings anew a moment after it was told to."""
    until = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_command_on_sqlite_does_not_load_the_other_driver(sqlite_url: str) -> None:
    """PostgreSQL's driver takes a tenth of a command's time, and is loaded only where the URL names PostgreSQL."""
    script = (
        "import sys; from regalia.app import SystemClock; from regalia.store import open_change_feed, open_store; "
        f"store = open_store({sqlite_url!r}, node='node', clock=SystemClock()); store.groups(); store.close(); "
        f"open_change_feed({sqlite_url!r}).close(); print('psycopg' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert ran.stdout == "False\n"


def test_what_is_remembered_is_loaded_once() -> None:
    """A value is loaded once until it is forgotten; nothing found is asked for again."""
    remembered = Remembered()
    found = iter((None, "first", "second"))
    assert remembered.get("door", lambda: next(found)) is None
    assert remembered.get("door", lambda: next(found)) == "first"
    assert remembered.get("door", lambda: next(found)) == "first"
    remembered.forget()
    assert remembered.get("door", lambda: next(found)) == "second"


def test_what_was_loaded_before_a_change_is_not_kept() -> None:
    """A value that was on its way while the catalogue changed is not remembered."""
    remembered = Remembered()

    def slow() -> str:
        remembered.forget()
        return "old"

    assert remembered.get("door", slow) == "old"
    assert remembered.get("door", lambda: "new") == "new"
