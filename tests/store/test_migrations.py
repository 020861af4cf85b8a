"""The schema's history."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, create_engine

from regalia.errors import UnavailableError
from regalia.model import EnrolmentState
from regalia.ports.fleet import Bearer
from regalia.store import challenges, migrations, open_store, tables
from regalia.store.certificates import certificate_columns
from regalia.store.conversations import enrolment_columns
from regalia.store.migrations import NEEDED, SchemaStatus, check, remove, tables_in, upgrade
from regalia.store.urls import engine_url
from store.databases import run
from store.fleet_samples import a_user
from store.samples import (
    NOW,
    a_challenge,
    a_pending_enrolment,
    a_static_challenge,
    an_enrolment,
    an_id,
    an_intent,
    octets,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fakes import FakeClock


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
    """What the steps make is what `tables` describes: columns, types, keys and indexes, but for indexes of words."""

    def is_described(_: object, name: str | None, *__: object) -> bool:
        return "_words" not in (name or "")

    engine = create_engine(engine_url(url))
    with engine.connect() as connection:
        opts = {"compare_type": True, "include_object": is_described}
        context = MigrationContext.configure(connection, opts=opts)
        assert compare_metadata(context, tables.metadata) == []
    engine.dispose()


def test_checking_creates_nothing(tmp_path: Path) -> None:
    """Looking at a database that does not exist leaves no file."""
    assert check(f"sqlite:///{tmp_path}/regalia.db") == SchemaStatus(None, NEEDED)
    assert list(tmp_path.iterdir()) == []


def step_to(url: str, revision: str) -> None:
    """Bring an empty database to an older revision."""
    engine = create_engine(engine_url(url))
    config = Config()
    config.set_main_option("script_location", str(migrations.HERE))
    config.set_main_option("path_separator", "os")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()


def fill(url: str, **rows: Mapping[str, object]) -> None:
    """Insert a row into each table, without the columns that the schema of this database does not have."""
    engine = create_engine(engine_url(url))
    found = MetaData()
    found.reflect(engine)
    with engine.begin() as connection:
        for name, row in rows.items():
            table = found.tables[name]
            connection.execute(table.insert().values({key: row[key] for key in row if key in table.c}))
    engine.dispose()


def rows_of_before(number: int) -> dict[str, Mapping[str, object]]:
    """Return a row for each table that the second step changes."""
    refused = replace(
        an_enrolment(number), state=EnrolmentState.REFUSED, certificate_id=None, created_at=NOW - timedelta(days=1)
    )
    intent = an_intent(number)
    return {
        "challenge": challenges.challenge_columns(a_challenge(number)),
        "enrolment": enrolment_columns(refused) | {"open_key": None},
        "certificate": certificate_columns(intent),
        "certificate_tbs": {"certificate_id": intent.id.bytes, "tbs": intent.tbs},
        "crl": {
            "id": an_id("crl", number).bytes,
            "authority": "staff-ca",
            "number": number,
            "snapshot": 0,
            "reserved_at": 0,
            "this_update": 0,
            "next_update": 1000,
            "entries": 0,
            "tbs_sha256": octets("tbs"),
            "sha256": octets("crl"),
            "published_at": 0,
        },
    }


def test_rows_of_the_first_revision_live_on(empty: str, clock: FakeClock) -> None:
    """A database of the first revision with rows in it is brought up; they are what they were, and new ones fit."""
    step_to(empty, "0001")
    fill(empty, **rows_of_before(1))
    assert upgrade(empty) == SchemaStatus("0001", NEEDED)
    store = open_store(empty, node="node", clock=clock)
    assert store.challenges() == (a_challenge(1),)
    row = store.certificate(an_intent(1).id)
    assert row is not None
    assert row.intent == an_intent(1)
    assert store.begun_since(NOW, device="device-1") == 1
    assert store.pending_count("staff") == 0
    last = store.last_crl("staff-ca")
    assert last is not None
    assert list(store.crl_octets(last)) == []
    assert store.forget_refusals(NOW + timedelta(milliseconds=1)) == 1
    store.rotate_challenge(a_static_challenge(2), NOW, ())
    assert store.hold(a_pending_enrolment(3), ()) == "begun"
    store.close()


def test_devices_of_before_have_their_owners(empty: str, clock: FakeClock) -> None:
    """A device that was kept before runs read changes is named by what is said of its user afterwards."""
    step_to(empty, "0016")
    device = {
        "id": an_id("device", 1).bytes,
        "connector": "intune",
        "external_id": "mdm-1",
        "name": "laptop",
        "folded": b"laptop",
        "platform": "windows",
        "present": 1,
        "facts": '{"user":"u-1"}',
        "evidence": "{}",
        "state_since": 0,
        "first_seen_at": 0,
        "seen_at": 0,
        "missed_sweeps": 0,
        "version": 0,
    }
    fill(empty, device=device)
    assert upgrade(empty) == SchemaStatus("0016", NEEDED)
    store = open_store(empty, node="node", clock=clock)
    assert store.changed_bearers(NOW, 10) == ()
    assert store.put_users([(None, a_user(1))], ())
    assert store.changed_bearers(NOW, 10) == (Bearer(an_id("device", 1), None),)
    store.close()


def test_code_of_the_first_revision_works_on(empty: str, clock: FakeClock) -> None:
    """What a node writes that has not been upgraded yet fits into the new schema, and new code reads it."""
    upgrade(empty)
    before = rows_of_before(1)
    challenge = {name: value for name, value in before["challenge"].items() if name != "reusable"}
    fill(empty, **before | {"challenge": challenge})
    store = open_store(empty, node="node", clock=clock)
    assert store.challenges() == (a_challenge(1),)
    enrolment = an_enrolment(2)
    assert store.begin(an_intent(2, enrolment), (), enrolment=enrolment, consume=a_challenge(1).id) == "begun"
    store.close()


def test_the_needed_revision_is_the_newest() -> None:
    """The revision that the server asks for is the last step there is."""
    assert ScriptDirectory(str(migrations.HERE)).get_current_head() == NEEDED


def test_without_a_database() -> None:
    """A server that does not answer is unavailable."""
    with pytest.raises(UnavailableError):
        check("postgresql://regalia@127.0.0.1:1/regalia")
