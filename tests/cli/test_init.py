"""`regalia init` where something is in its way, or ends it half-way, on both databases."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import psycopg
import pytest

from cli.transcript import regalia
from postgres import postgres_empty_url, postgres_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["postgres_empty_url", "postgres_server"]

PATIENCE = 60


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of an empty database outside any home."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_empty_url"))
    return f"sqlite:///{tmp_path}/elsewhere.db"


def init(home: Path, database: str) -> tuple[int, str]:
    """Run `regalia init`."""
    ran = regalia(["init", "--home", str(home), "--url", "http://pki.example.org:8080", "--database", database])
    return ran.status, ran.output


def run(database: str, statement: str) -> list[tuple[object, ...]]:
    """Execute one statement on a connection of its own."""
    with connected(database) as execute:
        return execute(statement)


@contextmanager
def connected(database: str) -> Iterator[Callable[[str], list[tuple[object, ...]]]]:
    """Connect, outside of any transaction, and end with whatever is open rolled back."""
    if database.startswith("sqlite"):
        with closing(sqlite3.connect(database.removeprefix("sqlite:///"), isolation_level=None)) as sqlite:
            yield lambda statement: sqlite.execute(statement).fetchall()
        return
    with closing(psycopg.connect(database, autocommit=True)) as postgresql:

        def execute(statement: str) -> list[tuple[object, ...]]:
            cursor = postgresql.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

        yield execute


def tables(database: str) -> set[object]:
    """Return the names of what is there: tables, and on PostgreSQL functions."""
    if database.startswith("sqlite"):
        return {row[0] for row in run(database, "SELECT name FROM sqlite_schema")}
    relations = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    functions = "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
    return {row[0] for statement in (relations, functions) for row in run(database, statement)}


@contextmanager
def half_made(home: Path, database: str) -> Iterator[subprocess.Popen[str]]:
    """Start `init` as a process of its own, and lock the database as soon as it has tables: there it waits."""
    home.parent.mkdir(exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("REGALIA_")}
    command = [sys.executable, "-m", "regalia", "init", "--home", str(home), "--database", database]
    with subprocess.Popen(command, env=kept, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + PATIENCE
        while "event_stream" not in tables(database):
            assert time.monotonic() < until
            time.sleep(0.002)
        with connected(database) as execute:
            if database.startswith("sqlite"):
                execute("PRAGMA busy_timeout=10000")
                execute("BEGIN IMMEDIATE")
            else:
                execute("BEGIN")
                execute("LOCK TABLE event_stream")
            assert process.poll() is None
            yield process


def test_a_database_in_use_is_not_touched(tmp_path: Path, database: str) -> None:
    """A second home on a database that holds a Regalia is refused (ADM-001), and the first one is as it was (R11)."""
    assert init(tmp_path / "first", database)[0] == 0
    before = run(database, "SELECT record FROM event ORDER BY position")
    status, output = init(tmp_path / "second", database)
    assert status == 1
    assert "Error ADM-001" in output
    assert f"{database} holds a Regalia already" in output
    assert not (tmp_path / "second").exists()
    assert run(database, "SELECT record FROM event ORDER BY position") == before


def test_a_database_of_another_version_is_not_upgraded(tmp_path: Path, database: str) -> None:
    """`init` does not bring another installation's schema to its own version on the way to refusing it (ADM-001)."""
    assert init(tmp_path / "first", database)[0] == 0
    run(database, "UPDATE alembic_version SET version_num = '0000'")
    status, output = init(tmp_path / "second", database)
    assert (status, "schema 0000" in output) == (1, True)
    assert run(database, "SELECT version_num FROM alembic_version") == [("0000",)]


def test_a_database_of_another_program_is_refused(tmp_path: Path, database: str) -> None:
    """A database with tables that are not ours is no place for ours; the tables are named (ADM-022)."""
    run(database, "CREATE TABLE invoice (number INTEGER)")
    status, output = init(tmp_path / "home", database)
    assert status == 1
    assert "Error ADM-022" in output
    assert "tables that are not ours: invoice\n" in output
    assert not (tmp_path / "home").exists()
    assert tables(database) == {"invoice"}


def test_without_the_right_to_make_tables(tmp_path: Path, postgres_empty_url: str) -> None:
    """PostgreSQL 15 lets only a database's owner make tables: the remedy says so (ADM-022)."""
    run(postgres_empty_url, "CREATE ROLE guest LOGIN")
    status, output = init(tmp_path / "home", postgres_empty_url.replace("regalia@", "guest@"))
    run(postgres_empty_url, "DROP ROLE guest")
    assert status == 1
    assert "Error ADM-022" in output
    assert "permission denied for schema public\n" in output
    assert "OWNER" in output
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("name", ["127.0.0.1:1/regalia", "{server}/nowhere"], ids=["closed port", "no such database"])
def test_a_database_that_does_not_answer(tmp_path: Path, postgres_empty_url: str, name: str) -> None:
    """What PostgreSQL's driver says is told in one line, and nothing is left (CA-011)."""
    server = postgres_empty_url.partition("@")[2].partition("/")[0]
    status, output = init(tmp_path / "home", f"postgresql://regalia@{name.format(server=server)}")
    assert status == 1
    assert output.startswith("! Error CA-011")
    assert len(output.splitlines()) == 4
    assert not (tmp_path / "home").exists()


def test_an_interrupted_init_leaves_nothing(tmp_path: Path, database: str) -> None:
    """Ctrl-C in the middle takes away home and tables, and the next init finds everything free (R11)."""
    home = tmp_path / "home"
    with half_made(home, database) as process:
        process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE) == 130
    assert not home.exists()
    if database.startswith("postgresql"):
        assert tables(database) == set()
    else:
        assert list(tmp_path.glob("elsewhere.db*")) == []
    assert init(home, database)[0] == 0


def test_a_killed_init_is_told_from_a_home(tmp_path: Path, database: str) -> None:
    """After SIGKILL no command takes what is left for a home, and init names what is to be removed (ADM-021)."""
    home = tmp_path / "home"
    with half_made(home, database) as process:
        process.kill()
        process.wait(PATIENCE)
    assert "Error ADM-002" in regalia(["ca", "list", "--home", str(home)]).output
    before = sorted(path.name for path in home.iterdir())
    status, output = init(home, database)
    assert (status, "Error ADM-021" in output, f"{home} is not complete" in output) == (1, True, True)
    assert sorted(path.name for path in home.iterdir()) == before
    status, output = init(tmp_path / "another", database)
    assert (status, "Error ADM-021" in output, f"{database} holds the beginnings" in output) == (1, True, True)
    assert not (tmp_path / "another").exists()


def test_two_inits_of_one_home_make_one(tmp_path: Path) -> None:
    """The slower of two takes nothing away from the faster, and says that the home is in use (ADM-001, ADM-021)."""
    for number in range(3):
        home = tmp_path / f"home-{number}"
        command = [sys.executable, "-m", "regalia", "init", "--home", str(home), "--url", "http://pki.example.test"]
        both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
        told = [process.communicate(timeout=60)[1] for process in both]
        assert sorted(process.returncode for process in both) == [0, 1], told
        assert any(b"ADM-001" in text or b"ADM-021" in text for text in told)
        assert regalia(["event", "verify", "--home", str(home)]).status == 0
        assert regalia(["ca", "show", "default-ca-1", "--home", str(home)]).status == 0
