"""All rows of a database as lines of JSON, and a database from such lines: SQLite and PostgreSQL, either way.

The first line describes (schema revision, tables with their columns), `{"table": name}` begins a table, each array is
a row, the last line counts them. Octets are base64. What only the running processes of one database need (change
notices, leases of jobs) is left out, and so is what searches look into and what was counted: jobs make it anew. The
rows are those of one state of the database.
"""

from __future__ import annotations

import json
import sqlite3
from base64 import b64decode, b64encode
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from sqlalchemy import LargeBinary, select

from regalia import reasons
from regalia.errors import AdminError, UnavailableError
from regalia.store.session import Statement
from regalia.store.sqlite import connect
from regalia.store.tables import metadata
from regalia.store.urls import driver_url, sqlite_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import psycopg
    from sqlalchemy import Table

__all__ = ["Dumped", "dump", "dumped_tables", "lift_crl_numbers", "load", "read_head"]

_LEFT_OUT: Final = frozenset(
    {
        "change",
        "job",
        "admin_session",
        "kept_answer",
        "certificate_text",
        "enrolment_text",
        "challenge_text",
        "search_progress",
        "figure",
        "figure_count",
    }
)
_BATCH: Final = 2_000
_PER_COMMIT: Final = 20_000
_ORDERED: Final = {"event": ("position",), "crl": ("authority", "number")}
"""Tables whose triggers or readers care about the order in which rows come."""
_LEASES: Final = {"event_stream": "lease_until"}
"""What a process of the old database held; nobody holds it in the new one."""

Value = bytes | str | int | None


@dataclass(frozen=True, slots=True)
class Dumped:
    """What the first line tells."""

    schema: str
    tables: Mapping[str, Sequence[str]]
    """Columns of each table, in the order of the rows' values; tables in the order of their foreign keys."""
    binary: Mapping[str, Sequence[str]]
    about: Mapping[str, Any]
    """What whoever made the dump added."""


def dumped_tables() -> tuple[Table, ...]:
    """Return the tables that a dump holds, those first that others refer to."""
    return tuple(table for table in metadata.sorted_tables if table.name not in _LEFT_OUT)


# --- out ------------------------------------------------------------------------------------------------------------


def dump(url: str, schema: str, about: Mapping[str, Any]) -> Iterator[bytes]:
    """Write all rows of one state of the database. Raises `UnavailableError` where it does not answer."""
    tables = dumped_tables()
    head = {
        "schema": schema,
        "tables": {table.name: [column.name for column in table.columns] for table in tables},
        "binary": {table.name: _binary(table) for table in tables},
        "about": about,
    }
    yield _line(head)
    counts: dict[str, int] = {}
    with _reading(url) as source:
        for table in tables:
            yield _line({"table": table.name})
            lines = 0
            for row in source.rows(table):
                yield _line([b64encode(value).decode() if isinstance(value, bytes) else value for value in row])
                lines += 1
            counts[table.name] = lines
    yield _line({"rows": counts})


def _binary(table: Table) -> list[str]:
    return [column.name for column in table.columns if isinstance(column.type, LargeBinary)]


def _line(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


class _Source(Protocol):
    """An open state of a database."""

    def rows(self, table: Table) -> Iterator[Sequence[Value]]:
        """Walk over a table."""


class _SqliteSource:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def rows(self, table: Table) -> Iterator[Sequence[Value]]:
        yield from self._connection.execute(_all_of(table).sqlite.text)


class _PostgresqlSource:
    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def rows(self, table: Table) -> Iterator[Sequence[Value]]:
        with self._connection.cursor(name="dump", binary=True) as cursor:
            cursor.itersize = _BATCH
            yield from cursor.execute(_all_of(table).postgresql.octets)


def _all_of(table: Table) -> Statement:
    return Statement(select(table).order_by(*(table.c[name] for name in _ORDERED.get(table.name, ()))))


@contextmanager
def _reading(url: str) -> Iterator[_Source]:
    path = sqlite_path(url)
    try:
        if path is not None:
            with closing(connect(path)) as connection:
                connection.row_factory = None
                # WAL: a reader's transaction keeps its state and holds no writer up.
                connection.execute("BEGIN")
                yield _SqliteSource(connection)
            return
        import psycopg  # noqa: PLC0415 - commands on SQLite do not wait for the driver

        with psycopg.connect(driver_url(url), connect_timeout=5) as opened:
            opened.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            opened.read_only = True
            yield _PostgresqlSource(opened)
    except sqlite3.Error as error:
        raise UnavailableError(reasons.STORE_UNAVAILABLE, f"SQLite: {error}") from error


# --- in -------------------------------------------------------------------------------------------------------------


def read_head(line: bytes) -> Dumped:
    """Read the first line. Raises `AdminError` ADM-060 where it is none."""
    head = _parsed(line)
    if not isinstance(head, dict) or {"schema", "tables", "binary", "about"} - head.keys():
        raise AdminError(reasons.BACKUP_REFUSED, "its first line does not say what it holds")
    return Dumped(head["schema"], head["tables"], head["binary"], head["about"])


def load(url: str, head: Dumped, lines: Iterable[bytes]) -> dict[str, int]:
    """Put the rows into the empty tables of a database at the dump's own schema revision; returns how many of each.

    Raises `AdminError` ADM-060 where lines are missing or not rows of these tables.
    """
    with _writing(url) as target:
        counts = _load(target, head, lines)
        target.finish()
    return counts


def _load(target: _Target, head: Dumped, lines: Iterable[bytes]) -> dict[str, int]:
    counts: dict[str, int] = {}
    table, batch = "", []
    for line in lines:
        value = _parsed(line)
        if isinstance(value, list):
            batch.append(_row(head, table, value))
            counts[table] += 1
            if len(batch) == _BATCH:
                target.insert(table, head.tables[table], batch)
                batch = []
            continue
        if batch:
            target.insert(table, head.tables[table], batch)
            batch = []
        if not isinstance(value, dict):
            raise AdminError(reasons.BACKUP_REFUSED, "a line of it is neither a row nor says what follows")
        if value.keys() == {"rows"}:
            if value["rows"] != counts:
                raise AdminError(reasons.BACKUP_REFUSED, "it does not hold as many rows as it counts")
            return counts
        table = value.get("table", "")
        if table not in head.tables or table in counts:
            raise AdminError(reasons.BACKUP_REFUSED, f"it holds rows of a table {table!r} that it does not describe")
        counts[table] = 0
    raise AdminError(reasons.BACKUP_REFUSED, "it ends without counting its rows")


def _row(head: Dumped, table: str, value: Sequence[Any]) -> tuple[Value, ...]:
    columns = head.tables.get(table, ())
    if len(columns) != len(value):
        raise AdminError(reasons.BACKUP_REFUSED, f"a row of {table or 'no table'} has {len(value)} values")
    binary, lease = frozenset(head.binary[table]), _LEASES.get(table)
    return tuple(
        0 if name == lease else b64decode(each) if name in binary and each is not None else each
        for name, each in zip(columns, value, strict=True)
    )


def _parsed(line: bytes) -> Any:  # noqa: ANN401 - JSON
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        raise AdminError(reasons.BACKUP_REFUSED, "a line of it cannot be read") from None


class _Target(Protocol):
    """A database that is being filled."""

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[tuple[Value, ...]]) -> None:
        """Insert rows."""

    def run(self, statement: str, values: Sequence[Value]) -> None:
        """Execute a statement in the driver's own spelling."""

    def finish(self) -> None:
        """Commit, durably; let numbering go on behind the highest number."""


class _SqliteTarget:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._since_commit = 0

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[tuple[Value, ...]]) -> None:
        marks = ", ".join("?" for _ in columns)
        self._connection.executemany(
            f"INSERT INTO {_quoted(table)} ({', '.join(map(_quoted, columns))}) VALUES ({marks})",  # noqa: S608 - names of tables that are there
            rows,
        )
        self._since_commit += len(rows)
        if self._since_commit >= _PER_COMMIT:
            # The log is copied into the file now and then, instead of growing with all of it.
            self._connection.execute("COMMIT")
            self._connection.execute("BEGIN IMMEDIATE")
            self._since_commit = 0

    def run(self, statement: str, values: Sequence[Value]) -> None:
        self._connection.execute(statement, values)

    def finish(self) -> None:
        self._connection.execute("COMMIT")
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


class _PostgresqlTarget:
    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[tuple[Value, ...]]) -> None:
        statement = f"COPY {_quoted(table)} ({', '.join(map(_quoted, columns))}) FROM STDIN"
        with self._connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
            for row in rows:
                copy.write_row(row)

    def run(self, statement: str, values: Sequence[Value]) -> None:
        self._connection.execute(statement.encode(), values)

    def finish(self) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute(
                "SELECT setval(pg_get_serial_sequence('event', 'position'), (SELECT coalesce(max(position), 0) + 1"
                " FROM event), false)"
            )
        self._connection.commit()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@contextmanager
def _writing(url: str) -> Iterator[_Target]:
    path = sqlite_path(url)
    try:
        if path is not None:
            with closing(connect(path)) as connection:
                connection.execute("BEGIN IMMEDIATE")
                yield _SqliteTarget(connection)
            return
        import psycopg  # noqa: PLC0415 - commands on SQLite do not wait for the driver

        with psycopg.connect(driver_url(url), connect_timeout=5) as opened:
            yield _PostgresqlTarget(opened)
    except sqlite3.IntegrityError as error:
        raise AdminError(reasons.BACKUP_REFUSED, f"its rows contradict each other: {error}") from error
    except sqlite3.Error as error:
        raise UnavailableError(reasons.STORE_UNAVAILABLE, f"SQLite: {error}") from error


def lift_crl_numbers(url: str, floors: Mapping[str, int], jump: int) -> None:
    """Let every authority count on from well above the highest CRL number known of it, stored or published (SEC-4)."""
    path = sqlite_path(url)
    mark = "?" if path is not None else "%s"
    larger = "max" if path is not None else "greatest"
    lift = f"UPDATE authority_counter SET crl_number = {larger}(crl_number, {mark}) + {mark} WHERE authority = {mark}"  # noqa: S608 - no names
    others = f"UPDATE authority_counter SET crl_number = crl_number + {mark}"  # noqa: S608 - the same
    with _writing(url) as target:
        target.run(others, (jump,))
        for authority, floor in floors.items():
            target.run(lift, (floor, jump, authority))
        target.finish()
