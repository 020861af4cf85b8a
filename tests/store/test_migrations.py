"""The schema's history."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from regalia.errors import UnavailableError
from regalia.store import migrations, tables
from regalia.store.migrations import NEEDED, SchemaStatus, check, remove, tables_in, upgrade
from regalia.store.urls import engine_url
from store.databases import run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of a database without a schema."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_empty_url"))
    return f"sqlite:///{tmp_path}/regalia.db"


def test_up_from_empty(empty: str) -> None:
    """An empty database is brought to the revision that the code needs; again changes nothing."""
    assert check(empty) == SchemaStatus(None, NEEDED)
    assert not check(empty).ready
    assert upgrade(empty) == SchemaStatus(None, NEEDED)
    assert check(empty) == SchemaStatus(NEEDED, NEEDED)
    assert check(empty).ready
    assert upgrade(empty) == SchemaStatus(NEEDED, NEEDED)


def test_a_failed_step_leaves_nothing(empty: str) -> None:
    """A step that fails half-way is rolled back as a whole, and works once the cause is gone."""
    run(empty, "CREATE TABLE wrapped_key (id TEXT)")
    with pytest.raises(UnavailableError):
        upgrade(empty)
    assert check(empty) == SchemaStatus(None, NEEDED)
    run(empty, "DROP TABLE wrapped_key")
    upgrade(empty)
    assert check(empty).ready


def test_two_at_once(empty: str) -> None:
    """Two nodes that upgrade at the same time take turns; only one of them is told that nothing was there."""
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(upgrade, [empty, empty]))
    assert sorted(status.current or "" for status in found) == ["", NEEDED]
    assert check(empty).ready


def test_what_was_made_is_taken_away(empty: str) -> None:
    """Removing leaves nothing of ours, functions included, and what is not ours stays where it shares the database."""
    if empty.startswith("postgresql"):
        run(empty, "CREATE TABLE invoice (number INTEGER)")
    upgrade(empty)
    assert {"event", "alembic_version"} <= set(tables_in(empty))
    remove(empty)
    assert tables_in(empty) == (("invoice",) if empty.startswith("postgresql") else ())
    assert check(empty) == SchemaStatus(None, NEEDED)
    upgrade(empty)
    assert check(empty).ready


def test_another_revision_is_not_ready(empty: str) -> None:
    """A schema of another version is told from ours."""
    upgrade(empty)
    run(empty, "UPDATE alembic_version SET version_num = '9999'")
    assert check(empty) == SchemaStatus("9999", NEEDED)
    assert not check(empty).ready


def test_the_steps_make_the_tables(url: str) -> None:
    """What the steps make is what `tables` describes: columns, types, keys and indexes."""
    engine = create_engine(engine_url(url))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, tables.metadata) == []
    engine.dispose()


def test_checking_creates_nothing(tmp_path: Path) -> None:
    """Looking at a database that does not exist leaves no file."""
    assert check(f"sqlite:///{tmp_path}/regalia.db") == SchemaStatus(None, NEEDED)
    assert list(tmp_path.iterdir()) == []


def test_the_needed_revision_is_the_newest() -> None:
    """The revision that the server asks for is the last step there is."""
    assert ScriptDirectory(str(migrations.HERE)).get_current_head() == NEEDED


def test_without_a_database() -> None:
    """A server that does not answer is unavailable."""
    with pytest.raises(UnavailableError):
        check("postgresql://regalia@127.0.0.1:1/regalia")
