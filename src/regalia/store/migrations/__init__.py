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

from sqlalchemy import MetaData, create_engine, event, inspect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from regalia import reasons
from regalia.errors import AdminError, UnavailableError
from regalia.store.sqlite import connect
from regalia.store.tables import metadata
from regalia.store.urls import engine_url, sqlite_path

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine

__all__ = ["HERE", "NEEDED", "SchemaStatus", "check", "remove", "tables_in", "upgrade"]

NEEDED = "0021"
"""The newest revision; written here so that the server can check it without loading Alembic."""

HERE = Path(__file__).resolve().parent
_ONE_AT_A_TIME = 0x7265_6761_6C69_61
"""Key of PostgreSQL's advisory lock: two nodes that are upgraded at once take turns."""
_VERSION_TABLE = "alembic_version"
_PATIENCE = "10s"
"""Who cleans up after a failure does not wait for ever for whoever looks into the tables."""
_NO_PRIVILEGE = "42501"
"""SQLSTATE insufficient_privilege."""


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
        return _status(connection)


def _status(connection: Connection) -> SchemaStatus:
    if not inspect(connection).has_table(_VERSION_TABLE):
        return SchemaStatus(None, NEEDED)
    found = connection.exec_driver_sql(f"SELECT version_num FROM {_VERSION_TABLE}").scalar()  # noqa: S608 - a constant
    return SchemaStatus(found, NEEDED)


def tables_in(url: str) -> tuple[str, ...]:
    """Name the tables that are there, ours or not; creates nothing. Raises `UnavailableError` as `check` does."""
    path = sqlite_path(url)
    if path is not None and not path.exists():
        return ()
    with _engine(url) as engine, engine.connect() as connection:
        return tuple(sorted(inspect(connection).get_table_names()))


def upgrade(url: str, revision: str = "head") -> SchemaStatus:
    """Bring the schema to a revision, in one transaction; returns what was there before.

    Of two that find an empty database at the same time, only one is told that it was empty.

    Raises `UnavailableError` where the database does not answer, `AdminError` ADM-022 where its user may not.
    """
    # Alembic takes as long to import as the rest of the command takes to run.
    from alembic import command  # noqa: PLC0415 - see above
    from alembic.config import Config  # noqa: PLC0415 - see above

    config = Config()
    config.set_main_option("script_location", str(HERE).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    with _engine(url) as engine, engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ONE_AT_A_TIME})")
        before = _status(connection)
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    return before


def remove(url: str) -> None:
    """Take away what `upgrade` made of an empty database, with all that it holds: for an `init` that failed.

    Raises `UnavailableError` where the database does not answer.
    """
    path = sqlite_path(url)
    if path is not None:
        for end in ("", "-wal", "-shm"):
            path.with_name(path.name + end).unlink(missing_ok=True)
        return
    with _engine(url) as engine, engine.begin() as connection:
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_PATIENCE}'")
        ours = MetaData()
        ours.reflect(connection, only=lambda name, _: name in metadata.tables or name == _VERSION_TABLE)
        ours.drop_all(connection)
        for (function,) in connection.exec_driver_sql(_OUR_FUNCTIONS).all():
            connection.exec_driver_sql(f"DROP FUNCTION {function}")
        if connection.exec_driver_sql(_OUR_EXTENSION).all():
            connection.exec_driver_sql("DROP EXTENSION pg_trgm")


_OUR_FUNCTIONS = (
    "SELECT oid::regprocedure FROM pg_proc"
    " WHERE pronamespace = current_schema()::regnamespace AND starts_with(proname, 'regalia_')"
)
_OUR_EXTENSION = "SELECT 1 FROM pg_extension WHERE extname = 'pg_trgm' AND extowner = current_user::regrole"
"""Where somebody else made it, it was there before."""


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
    except DBAPIError as error:
        # The driver's first line: what follows repeats the statement.
        detail = str(error.orig).strip().partition("\n")[0]
        if getattr(error.orig, "sqlstate", None) == _NO_PRIVILEGE:
            raise AdminError(reasons.DATABASE_UNFIT, detail) from error
        raise UnavailableError(reasons.STORE_UNAVAILABLE, detail) from error
    except OSError as error:
        raise UnavailableError(reasons.STORE_UNAVAILABLE, f"{error}") from error
    finally:
        engine.dispose()


def _plain_rows(connection: sqlite3.Connection) -> sqlite3.Connection:
    connection.row_factory = None
    return connection


def _begin_immediate(connection: Connection) -> None:
    # The driver begins no transaction by itself (see `sqlite.connect`), and DDL is to be in one.
    connection.exec_driver_sql("BEGIN IMMEDIATE")
