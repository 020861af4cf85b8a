"""Statements, transactions and the database behind them, alike for SQLite and PostgreSQL.

A statement is SQLAlchemy Core, compiled once for each database and then handed to the driver as text: Core's own
execution costs as much as the rest of an enrolment's bookkeeping (three times the driver's, measured).
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar, cast

from sqlalchemy import bindparam, insert
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.sql.compiler import SQLCompiler

from regalia.errors import InvariantError
from regalia.model import Change

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Dialect, Table
    from sqlalchemy.sql import ClauseElement

    from regalia.model import EventDraft

__all__ = [
    "Call",
    "Columns",
    "Compiled",
    "ConflictError",
    "Database",
    "EventAppender",
    "LostError",
    "MissedError",
    "Noun",
    "Remembered",
    "Row",
    "Statement",
    "Transaction",
    "Values",
    "append_events",
    "inserting",
]

T = TypeVar("T")
Values: TypeAlias = "Mapping[str, bytes | str | int | None]"
"""Parameters of a statement by name."""

Columns: TypeAlias = "dict[str, bytes | str | int | None]"
"""The same, under construction."""

_SQLITE = SQLiteDialect_pysqlite(paramstyle="named")


@cache
def _postgresql() -> Dialect:
    from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg  # noqa: PLC0415 - commands on SQLite do not wait for it

    # Numbered parameters go to the server as they are; psycopg would parse `%(name)s` of long statements each time.
    return PGDialect_psycopg(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]  # the library's end


@dataclass(frozen=True, slots=True)
class Compiled:
    """A statement as one database's driver takes it."""

    text: str
    octets: bytes
    """The same in UTF-8."""
    order: tuple[str, ...]
    """Names of the parameters, by number; empty where the driver takes them by name."""
    literals: Mapping[str, Any]
    """Values of the constants that Core made parameters of."""


class Row(Protocol):
    """One row, by column name."""

    def __getitem__(self, column: str, /) -> Any:  # noqa: ANN401 - a column's type is known by its reader
        """Return the value of a column."""


class ConflictError(InvariantError):
    """A unique constraint of `table` refused a row: a port's return value where that may happen, else a bug."""

    def __init__(self, table: str) -> None:
        super().__init__(table)
        self.table = table


class LostError(Exception):
    """Raised inside a unit of work to roll it back when it finds that another one was first."""


class MissedError(LostError):
    """Of the statements that conclude a unit of work one did not change or find as many rows as it was to."""

    def __init__(self, which: int) -> None:
        """`which` of them, by number."""
        super().__init__(which)
        self.which = which


class Statement:
    """A Core statement that is compiled once per database."""

    def __init__(self, element: ClauseElement) -> None:
        self._element = element

    @cached_property
    def sqlite(self) -> Compiled:
        """For `sqlite3`, with named parameters."""
        return self._compile(_SQLITE)

    @cached_property
    def postgresql(self) -> Compiled:
        """For psycopg's raw cursors, with numbered parameters."""
        return self._compile(_postgresql())

    def _compile(self, dialect: Dialect) -> Compiled:
        compiled = self._element.compile(dialect=dialect)
        literals = {name: value for name, value in compiled.params.items() if value is not None}
        order = compiled.positiontup if isinstance(compiled, SQLCompiler) else None
        text = str(compiled)
        return Compiled(text, text.encode(), tuple(order or ()), literals)


def inserting(table: Table, *, leaving_out: Sequence[str] = ()) -> Statement:
    """Make the INSERT of one row whose parameters are named as the columns."""
    names = [column.name for column in table.columns if column.name not in leaving_out]
    # inline(): without it Core asks PostgreSQL for the generated keys, which nobody reads.
    return Statement(insert(table).values({name: bindparam(name) for name in names}).inline())


Call: TypeAlias = "tuple[Statement, Values]"
"""A statement with its parameters."""


class Transaction(Protocol):
    """An open transaction; lives inside one unit of work and one thread."""

    def run(self, statement: Statement, values: Values) -> int:
        """Execute and return how many rows were changed. Raises `ConflictError`."""

    def row(self, statement: Statement, values: Values) -> Row | None:
        """Return the first row, if any."""

    def rows(self, statement: Statement, values: Values) -> list[Row]:
        """Return all rows."""

    def conclude(self, calls: Sequence[Call], wanted: Sequence[int | None]) -> None:
        """Have statements executed last, and the events with them: once in a unit of work.

        None of them depends on what another one does. `wanted` says how many rows each must change or find, None where
        that may be any number; where one does not, the unit ends with `MissedError`.
        """

    def one_at_a_time(self, key: bytes) -> None:
        """Wait until no other transaction that named this key is open."""

    def record(self, events: Sequence[EventDraft]) -> None:
        """Have events appended at the end of this transaction."""

    def notify(self, change: Change) -> None:
        """Tell other processes of a change once this transaction is committed."""


class EventAppender(Protocol):
    """Gives events their place in this process's stream. Each call ends a transaction."""

    def expected(self, events: Sequence[EventDraft]) -> tuple[Call, list[Call]] | None:
        """Say where they go if the head of the stream is where this process left it; None where it has none yet.

        The first call moves the head from there and changes no row where it is elsewhere; the others, the same
        statement each time, append what belongs there.
        """

    def append(self, transaction: Transaction, events: Sequence[EventDraft]) -> None:
        """Lock the head of the stream, wherever it is, and append."""


def append_events(transaction: Transaction, appender: EventAppender, events: Sequence[EventDraft]) -> None:
    """Append events, if there are any, where the head of the stream was left or, failing that, where it is."""
    if not events:
        return
    expected = appender.expected(events)
    if expected is None or not transaction.run(*expected[0]):
        appender.append(transaction, events)
        return
    for call in expected[1]:
        transaction.run(*call)


class Database(Protocol):
    """A database: SQLite or PostgreSQL. Every method raises `UnavailableError` where it does not answer."""

    def write(self, unit: Callable[[Transaction], T]) -> T:
        """Run a unit of work as one durable transaction; returns after the commit.

        Whatever the unit raises rolls it back and is raised here. It may be run again where the database asks for it,
        so it has no effect but on the database.
        """

    def read(self, unit: Callable[[Transaction], T]) -> T:
        """Run several reads against one state of the database."""

    def row(self, statement: Statement, values: Values) -> Row | None:
        """Run one query for its first row."""

    def rows(self, statement: Statement, values: Values) -> list[Row]:
        """Run one query for all its rows."""

    def look_up(self, calls: Sequence[Call]) -> list[list[Row]]:
        """Run several queries in one round trip for all their rows."""

    def describe(self) -> str:
        """Ask the database for its kind and version."""

    def require_room(self) -> None:
        """Raise where a small unit of work would still find room on the disk and a larger one might not."""

    def erase(self) -> None:
        """See to it that what was deleted does not linger in files that we control."""

    def close(self) -> None:
        """Give back every connection; idempotent."""


class Remembered:
    """What is read often and changes seldom, until somebody says that the catalogue changed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._round = 0
        self._values: dict[str, Any] = {}

    def get(self, key: str, load: Callable[[], T]) -> T:
        """Return what is remembered, or what `load` finds; None is never remembered.

        What was loaded while somebody called `forget` is used once and not kept: it may be from before the change.
        """
        found = self._values.get(key)
        if found is not None:
            return cast("T", found)
        began = self._round
        loaded = load()
        with self._lock:
            if began == self._round and loaded is not None:
                self._values[key] = loaded
        return loaded

    def forget(self) -> None:
        """Drop everything."""
        with self._lock:
            self._round += 1
            self._values = {}


class Noun:
    """What each noun's adapter stands on."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._remembered = Remembered()

    def _won(self, unit: Callable[[Transaction], None]) -> bool:
        """Write; False where the unit found that another one was first, or a unique constraint did."""
        try:
            self._database.write(unit)
        except (LostError, ConflictError):
            return False
        return True

    def _change_catalogue(self, events: Sequence[EventDraft], what: str, unit: Callable[[Transaction], None]) -> bool:
        """Write to the catalogue, tell other processes, and forget at once what this one remembers of it."""

        def whole(transaction: Transaction) -> None:
            unit(transaction)
            transaction.record(events)
            transaction.notify(Change("catalogue", what))

        won = self._won(whole)
        self._remembered.forget()
        return won

    def _add_to_catalogue(self, events: Sequence[EventDraft], what: str, insertion: Statement, columns: Values) -> bool:
        """Insert one row into the catalogue; False where its name is taken."""

        def unit(transaction: Transaction) -> None:
            transaction.run(insertion, columns)

        return self._change_catalogue(events, what, unit)
