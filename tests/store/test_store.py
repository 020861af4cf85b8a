"""URLs, and what is remembered of the catalogue."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from regalia import reasons
from regalia.errors import AdminError
from regalia.store import open_store
from regalia.store.session import Remembered
from regalia.store.urls import sqlite_path

if TYPE_CHECKING:
    from fakes import FakeClock
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
