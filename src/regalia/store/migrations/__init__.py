"""The schema's history: one file per step below `versions`, run from here and nowhere else.

In: a database URL. Out: the database at the revision that this code needs. A step runs with the code before it and
the code after it; `tables` always describes the newest, which a test compares with what the steps make.
May import: store, alembic, sqlalchemy.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import create_engine, event, inspect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from regalia import reasons
from regalia.errors import UnavailableError
from regalia.store.sqlite import connect
from regalia.store.urls import engine_url, sqlite_path

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine

__all__ = ["HERE", "NEEDED", "SchemaStatus", "check", "upgrade"]

NEEDED = "0001"
"""The newest revision; written here so that the server can check it without loading Alembic."""

HERE = Path(__file__).resolve().parent
_ONE_AT_A_TIME = 0x7265_6761_6C69_61
"""Key of PostgreSQL's advisory lock: two nodes that are upgraded at once take turns."""


@dataclass(frozen=True, slots=True)
class SchemaStatus:
    """Which schema is there and which one this code needs."""

    current: str | None
    """None for a database without a schema, or none at all."""
    needed: str

    @property
    def ready(self) -> bool:
        """Whether this code can work with it."""
        return self.current == self.needed


def check(url: str) -> SchemaStatus:
    """Look at the schema; creates nothing. Raises `UnavailableError` where the database does not answer."""
    path = sqlite_path(url)
    if path is not None and not path.exists():
        return SchemaStatus(None, NEEDED)
    with _engine(url) as engine, engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return SchemaStatus(None, NEEDED)
        found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
        return SchemaStatus(found, NEEDED)


def upgrade(url: str) -> SchemaStatus:
    """Bring the schema to the newest revision, in one transaction; returns what was there before.

    Raises `UnavailableError` where the database does not answer or refuses.
    """
    # Alembic takes as long to import as the rest of the command takes to run.
    from alembic import command  # noqa: PLC0415 - see above
    from alembic.config import Config  # noqa: PLC0415 - see above

    before = check(url)
    config = Config()
    config.set_main_option("script_location", str(HERE).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    with _engine(url) as engine, engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ONE_AT_A_TIME})")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return before


@contextmanager
def _engine(url: str) -> Iterator[Engine]:
    path = sqlite_path(url)
    if path is None:
        engine = create_engine(engine_url(url), poolclass=NullPool, connect_args={"connect_timeout": 5})
    else:
        engine = create_engine("sqlite://", poolclass=NullPool, creator=lambda: _plain_rows(connect(path)))
        event.listen(engine, "begin", _begin_immediate)
    try:
        yield engine
    except (DBAPIError, OSError) as error:
        raise UnavailableError(reasons.STORE_UNAVAILABLE, f"{error}") from error
    finally:
        engine.dispose()


def _plain_rows(connection: sqlite3.Connection) -> sqlite3.Connection:
    connection.row_factory = None
    return connection


def _begin_immediate(connection: Connection) -> None:
    # The driver begins no transaction by itself (see `sqlite.connect`), and DDL is to be in one.
    connection.exec_driver_sql("BEGIN IMMEDIATE")
