"""PostgreSQL through psycopg: a pool of connections, one transaction per unit of work, few round trips (R9)."""

from __future__ import annotations

import hashlib
import random
import re
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar, cast

import psycopg
from psycopg import errors as refused
from psycopg.rows import dict_row
from sqlalchemy import create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from regalia import reasons
from regalia.errors import InvariantError, UnavailableError
from regalia.store.session import ConflictError, Row, Statement, Transaction, Values
from regalia.store.urls import driver_url, engine_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from regalia.model import Change, EventDraft
    from regalia.store.session import Call, EventAppender

__all__ = ["CHANNEL", "PostgresqlDatabase", "connect_alone"]

T = TypeVar("T")

CHANNEL = "regalia_change"
"""NOTIFY channel; channels belong to one database."""

_ATTEMPTS = 6
"""A deadlock or a serialisation failure is tried again so often; five in a row do not happen by chance."""

_SETTINGS = (
    "-c synchronous_commit=on -c statement_timeout=30s -c lock_timeout=10s"
    " -c idle_in_transaction_session_timeout=60s -c timezone=UTC"
)
_CONNECT: dict[str, Any] = {
    "options": _SETTINGS,
    "connect_timeout": 5,
    # A database host that vanished is noticed within seconds, not after the kernel's two hours.
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "application_name": "regalia",
}

_AGAIN = (refused.SerializationFailure, refused.DeadlockDetected)
_PARAMETER = re.compile(r"\$(\d+)")


def connect_alone(url: str) -> psycopg.Connection[Any]:
    """Connect once, outside the pool, with our settings."""
    return psycopg.connect(driver_url(url), autocommit=True, **_CONNECT)


def _unavailable(error: Exception) -> UnavailableError:
    """Say that the database does not answer, and what the driver says."""
    return UnavailableError(reasons.STORE_UNAVAILABLE, f"PostgreSQL: {error}")


def _translated(error: psycopg.Error) -> Exception:
    """Our error for the driver's."""
    if isinstance(error, refused.UniqueViolation):
        return ConflictError(error.diag.table_name or "")
    if isinstance(error, refused.UndefinedTable):
        return _unavailable(error)
    if isinstance(error, psycopg.IntegrityError | psycopg.ProgrammingError | psycopg.DataError):
        return InvariantError(f"the database refused it: {error}")
    return _unavailable(error)


class _Merged:
    """Several statements as the parts of one: each a CTE, and the main query tells how many rows each one had."""

    def __init__(self, statements: Sequence[Statement]) -> None:
        parts, counts = [], []
        self.parameters: list[tuple[int, str]] = []
        for number, statement in enumerate(statements):
            compiled = statement.postgresql
            text = _PARAMETER.sub(self._renumbered, compiled.text)
            self.parameters += [(number, name) for name in compiled.order]
            returning = "" if text.startswith("SELECT") else " RETURNING 1"
            parts.append(f"part_{number} AS ({text}{returning})")
            counts.append(f"(SELECT count(*) FROM part_{number}) AS count_{number}")  # noqa: S608 - numbers only
        self.text = f"WITH {', '.join(parts)} SELECT {', '.join(counts)}".encode()

    def _renumbered(self, parameter: re.Match[str]) -> str:
        return f"${int(parameter[1]) + len(self.parameters)}"


_MERGED: dict[tuple[Statement, ...], _Merged] = {}


class _PostgresqlTransaction:
    """See `Transaction`. BEGIN goes with the first statement where it can."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._cursor = psycopg.RawCursor(connection, row_factory=dict_row)
        self._cursor.format = psycopg.pq.Format.BINARY
        self._open = True
        self.events: list[EventDraft] = []

    def begin_with_first(self) -> None:
        """Open the transaction together with the first statement."""
        self._open = False

    def _execute(self, statement: Statement, values: Values) -> psycopg.RawCursor[dict[str, Any]]:
        self._begin()
        compiled = statement.postgresql
        given = {**compiled.literals, **values}
        return self._cursor.execute(compiled.text.encode(), [given[name] for name in compiled.order])

    def _begin(self) -> None:
        if not self._open:
            self._cursor.execute(b"BEGIN")
            self._open = True

    def run(self, statement: Statement, values: Values) -> int:
        return self._execute(statement, values).rowcount

    def row(self, statement: Statement, values: Values) -> Row | None:
        return cast("Row | None", self._execute(statement, values).fetchone())

    def rows(self, statement: Statement, values: Values) -> list[Row]:
        return cast("list[Row]", self._execute(statement, values).fetchall())

    def together(self, calls: Sequence[Call]) -> list[int]:
        self._begin()
        statements = tuple(statement for statement, _ in calls)
        merged = _MERGED.get(statements)
        if merged is None:
            merged = _MERGED[statements] = _Merged(statements)
        given = [{**statement.postgresql.literals, **values} for statement, values in calls]
        found = self._cursor.execute(merged.text, [given[number][name] for number, name in merged.parameters])
        row = found.fetchone()
        return list(row.values()) if row is not None else []

    def one_at_a_time(self, key: bytes) -> None:
        # Two statements in one text: only what has no parameters may be sent so.
        begin = b"" if self._open else b"BEGIN; "
        lock = int.from_bytes(hashlib.sha256(key).digest()[:8], "big", signed=True)
        self._cursor.execute(begin + b"SELECT pg_advisory_xact_lock(%d)" % lock, binary=False)
        self._open = True

    def record(self, events: Sequence[EventDraft]) -> None:
        self.events.extend(events)

    def notify(self, change: Change) -> None:
        self._begin()
        self._cursor.execute(b"SELECT pg_notify($1, $2)", (CHANNEL, f"{change.topic} {change.key}"))


class PostgresqlDatabase:
    """See `Database`."""

    def __init__(self, url: str, appender: EventAppender, *, connections: int) -> None:
        self._appender = appender
        # Units of work leave their connection outside any transaction, so that there is nothing to reset.
        self._engine = create_engine(
            engine_url(url),
            isolation_level="AUTOCOMMIT",
            pool_size=connections,
            max_overflow=0,
            pool_timeout=10,
            pool_use_lifo=True,
            pool_reset_on_return=None,
            connect_args=_CONNECT,
        )

    @contextmanager
    def _connection(self) -> Iterator[psycopg.Connection[Any]]:
        """Lend a connection of the pool, and translate what goes wrong with it."""
        try:
            lent = self._engine.raw_connection()
        except (psycopg.Error, DBAPIError, PoolTimeoutError) as error:
            raise _unavailable(error) from error
        connection = cast("psycopg.Connection[Any]", lent.driver_connection)
        try:
            yield connection
        except psycopg.Error as error:
            if isinstance(error, _AGAIN) or (isinstance(error, psycopg.OperationalError) and connection.closed):
                raise _TryAgainError(str(error)) from error
            raise _translated(error) from error
        finally:
            if connection.closed or connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                lent.invalidate()
                # The server may have gone: the other connections of the pool would fail one after the other.
                self._engine.dispose()
            lent.close()

    def _with_connection(self, work: Callable[[psycopg.Connection[Any]], T]) -> T:
        """Run, and again where the server chose this one to end a deadlock or the connection turns out to be gone."""
        for attempt in range(1, _ATTEMPTS):
            try:
                with self._connection() as connection:
                    return work(connection)
            except _TryAgainError:
                time.sleep(random.uniform(0, 0.01) * 2**attempt)  # noqa: S311 - only spreads the tries in time
        try:
            with self._connection() as connection:
                return work(connection)
        except _TryAgainError as error:
            raise _unavailable(error) from error

    def write(self, unit: Callable[[Transaction], T]) -> T:
        """Run the unit in one transaction; see `_with_connection` for when it runs again."""
        return self._with_connection(lambda connection: self._write(connection, unit))

    def _write(self, connection: psycopg.Connection[Any], unit: Callable[[Transaction], T]) -> T:
        transaction = _PostgresqlTransaction(connection)
        try:
            transaction.begin_with_first()
            result = unit(transaction)
            if transaction.events:
                transaction.together(self._appender.append(transaction, transaction.events))
        except BaseException:
            _roll_back(connection)
            raise
        try:
            if connection.execute(b"COMMIT").statusmessage != "COMMIT":
                raise InvariantError("a unit of work hid an error: the server rolled it back")
        except psycopg.Error as error:
            # A connection lost here leaves open whether it was committed, so this is not tried again.
            raise _translated(error) from error
        return result

    def read(self, unit: Callable[[Transaction], T]) -> T:
        """Read in one transaction whose first query fixes what it sees."""

        def work(connection: psycopg.Connection[Any]) -> T:
            connection.execute(b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            try:
                return unit(_PostgresqlTransaction(connection))
            finally:
                _roll_back(connection)

        return self._with_connection(work)

    def row(self, statement: Statement, values: Values) -> Row | None:
        """Run one query for its first row."""
        return self._with_connection(lambda connection: _PostgresqlTransaction(connection).row(statement, values))

    def rows(self, statement: Statement, values: Values) -> list[Row]:
        """Run one query for all its rows."""
        return self._with_connection(lambda connection: _PostgresqlTransaction(connection).rows(statement, values))

    def describe(self) -> str:
        """Ask the server for its version."""
        found = self._with_connection(lambda connection: connection.execute(b"SHOW server_version").fetchone())
        return f"PostgreSQL {found[0] if found else ''}"

    def erase(self) -> None:
        """Nothing: PostgreSQL's files are the administrator's."""

    def close(self) -> None:
        """Close the pool."""
        self._engine.dispose()


def _roll_back(connection: psycopg.Connection[Any]) -> None:
    with suppress(psycopg.Error):
        connection.execute(b"ROLLBACK")


class _TryAgainError(Exception):
    """The transaction was rolled back through no fault of its own."""
