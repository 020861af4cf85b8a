"""SQLite: one writer at a time in a process, which commits what is waiting together, and a pool of readers (R9)."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from sqlalchemy import bindparam, insert

from regalia import reasons
from regalia.errors import InvariantError, UnavailableError
from regalia.store import tables
from regalia.store.session import ConflictError, MissedError, Row, Statement, Transaction, Values, append_events
from regalia.store.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from regalia.model import Change, EventDraft
    from regalia.store.session import Call, EventAppender

__all__ = ["Log", "SqliteDatabase", "connect"]

T = TypeVar("T")

_BATCH = 64
"""Most units of work in one commit: it bounds how long the first of them waits."""

_BUSY_MILLISECONDS = 5_000

_PAGES_OF_LOG = 4096
_LOG_OCTETS = 32 + _PAGES_OF_LOG * (24 + 4096)
"""Header and frames, of the default page size, at which a checkpoint lets the log begin anew."""
_LOOK_AT_LOG = 32
"""Commits between two looks at the length of the log."""

_ROOM_OCTETS = 1 << 20
"""Five enrolments' worth of changed pages (two commits of 25 pages each), beside which CRLs have to be written."""

_PRAGMAS = (
    f"PRAGMA busy_timeout={_BUSY_MILLISECONDS}",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    # A destroyed key must not be found in the file's free pages.
    "PRAGMA secure_delete=ON",
    # 16 MiB: the hot pages of the indexes of a million certificates.
    "PRAGMA cache_size=-16384",
    # 16 MiB of log: each transaction changes the same pages at the tables' ends, and those are copied once.
    f"PRAGMA wal_autocheckpoint={_PAGES_OF_LOG}",
)

_NOTICE = Statement(insert(tables.change).values(topic=bindparam("topic"), key=bindparam("key")))
_KEPT_NOTICES = 10_000
_FORGET_NOTICES = Statement(
    tables.change.delete().where(tables.change.c.sequence <= bindparam("last") - _KEPT_NOTICES),
)


def connect(path: Path) -> sqlite3.Connection:
    """Open the database file with our settings; it is made, readable by nobody else, where it is missing (SEC-3)."""
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    # Transactions are begun by name here; `check_same_thread` is off because close() closes readers of other threads.
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
    connection.row_factory = sqlite3.Row
    try:
        for pragma in _PRAGMAS:
            connection.execute(pragma)
        _turn_to_wal(connection)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _turn_to_wal(connection: sqlite3.Connection) -> None:
    """Use the write-ahead log; SQLite's own busy timeout does not cover the moment when a new file is turned to it."""
    until = time.monotonic() + _BUSY_MILLISECONDS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return


def _unavailable(error: BaseException) -> UnavailableError:
    """Say that the database does not answer, and what the driver says."""
    return UnavailableError(reasons.STORE_UNAVAILABLE, f"SQLite: {error}")


def _translated(error: sqlite3.Error) -> Exception:
    """Our error for the driver's."""
    if isinstance(error, sqlite3.IntegrityError):
        if error.sqlite_errorcode in (sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY):
            # "UNIQUE constraint failed: table.column, …", or "… index 'name'" for an index on an expression.
            return ConflictError(str(error).rpartition(": ")[2].partition(".")[0])
        return InvariantError(f"the database refused it: {error}")
    if isinstance(error, sqlite3.ProgrammingError | sqlite3.DataError | sqlite3.NotSupportedError):
        return InvariantError(f"SQLite: {error}")
    return _unavailable(error)


class _SqliteTransaction:
    """See `Transaction`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.events: list[EventDraft] = []

    def _execute(self, statement: Statement, values: Values) -> sqlite3.Cursor:
        compiled = statement.sqlite
        return self._connection.execute(compiled.text, {**compiled.literals, **values} if compiled.literals else values)

    def run(self, statement: Statement, values: Values) -> int:
        return self._execute(statement, values).rowcount

    def row(self, statement: Statement, values: Values) -> Row | None:
        return cast("Row | None", self._execute(statement, values).fetchone())

    def rows(self, statement: Statement, values: Values) -> list[Row]:
        return self._execute(statement, values).fetchall()

    def conclude(self, calls: Sequence[Call], wanted: Sequence[int | None]) -> None:
        for which, ((statement, values), rows) in enumerate(zip(calls, wanted, strict=True)):
            cursor = self._execute(statement, values)
            found = cursor.rowcount if cursor.description is None else len(cursor.fetchall())
            if rows is not None and found != rows:
                raise MissedError(which)

    def one_at_a_time(self, key: bytes) -> None:
        """There is but one writing transaction at a time anyway."""

    def record(self, events: Sequence[EventDraft]) -> None:
        self.events.extend(events)

    def notify(self, change: Change) -> None:
        last = self._execute(_NOTICE, {"topic": change.topic, "key": change.key}).lastrowid
        self.run(_FORGET_NOTICES, {"last": last})


class _Waiting(Generic[T]):
    """A unit of work on its way into a commit."""

    __slots__ = ("called", "error", "leads", "result", "unit")

    def __init__(self, unit: Callable[[Transaction], T]) -> None:
        self.unit = unit
        self.result: T | None = None
        self.error: BaseException | None = None
        # Whether its caller is the one who commits.
        self.leads = False
        # A bare lock is the cheapest signal between two threads: held until the unit is settled, or its caller leads.
        self.called = threading.Lock()
        self.called.acquire()


class _TransactionGoneError(Exception):
    """SQLite rolled the whole transaction back by itself (disk full, input/output error)."""


class Log:
    """Keeps the write-ahead log at the length that it reaches anyway before it is written over from its beginning.

    A commit that lengthens the file costs three times the CPU (150 against 50 µs): the file system commits its own
    journal with it. SQLite reads a log up to the first frame that does not belong, and zeros belong to nothing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(f"{path.name}-wal")
        self._until_look = _LOOK_AT_LOG

    def look(self) -> None:
        """Lengthen the log where it is short; called inside a writing transaction, so nobody else writes to it.

        Not for the first commits of a process: a command makes few, and leaves no log.
        """
        self._until_look -= 1
        if self._until_look > 0:
            return
        self._until_look = _LOOK_AT_LOG
        # A full disk has no room for what is to come: no reason to fail now.
        with suppress(OSError), self._path.open("r+b") as file:
            length = file.seek(0, os.SEEK_END)
            if length < _LOG_OCTETS:
                file.write(bytes(_LOG_OCTETS - length))
                file.flush()
                os.fsync(file.fileno())


@dataclass(frozen=True, slots=True)
class _Bounds:
    """What stands around a unit of work inside the transaction, and what undoes it."""

    begin: str
    undo: str
    end: str


_AMONG_OTHERS = _Bounds("SAVEPOINT unit", "ROLLBACK TO unit", "RELEASE unit")
_ALONE = _Bounds("", "ROLLBACK", "")


class _Writer:
    """Units that wait together are committed together, each in a savepoint of its own, by one of those who wait.

    Whoever finds nobody at it commits, in its own thread: to hand a unit to another thread and to be woken by it costs
    more than the unit's statements do. Who comes meanwhile waits, and the first of them commits for all of them.
    """

    def __init__(self, path: Path, appender: EventAppender) -> None:
        self._path = path
        self._appender = appender
        self._gate = threading.Lock()
        self._queue: deque[_Waiting[Any]] = deque()
        self._led = False
        self._closed = False
        self._connection: sqlite3.Connection | None = None
        self._turns = Turns(path)
        self._log = Log(path)

    def write(self, unit: Callable[[Transaction], T]) -> T:
        """Return after the commit, with what the unit returned; raises what it raised."""
        waiting = _Waiting(unit)
        with self._gate:
            if self._closed:
                raise UnavailableError(reasons.STORE_UNAVAILABLE, "the store is closed")
            self._join(waiting)
        self._settle(waiting)
        if waiting.error is not None:
            raise waiting.error
        return cast("T", waiting.result)

    def close(self) -> None:
        """Let what is queued be committed, then close the connection."""
        last: _Waiting[None] = _Waiting(lambda _: None)
        with self._gate:
            if self._closed:
                return
            self._closed = True
            led = self._led
            if led:
                self._join(last)
        if led:
            self._settle(last)
        self._drop_connection()
        self._turns.close()

    def _join(self, waiting: _Waiting[Any]) -> None:
        """Queue a unit, under the gate."""
        self._queue.append(waiting)
        if not self._led:
            self._led = waiting.leads = True

    def _settle(self, waiting: _Waiting[Any]) -> None:
        """See that a queued unit is committed: by whoever leads, or here."""
        if not waiting.leads:
            waiting.called.acquire()
        if waiting.leads:
            self._lead()

    def _lead(self) -> None:
        """Commit what waits, and let the first of those that came meanwhile lead."""
        with self._gate:
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), _BATCH))]
        try:
            self._commit(batch)
        finally:
            with self._gate:
                following = self._queue[0] if self._queue else None
                self._led = following is not None
            if following is not None:
                following.leads = True
                following.called.release()
            for waiting in batch:
                waiting.called.release()

    def _commit(self, batch: list[_Waiting[Any]]) -> None:
        try:
            if self._connection is None:
                self._connection = connect(self._path)
            with self._turns.turn():
                self._connection.execute("BEGIN IMMEDIATE")
                self._log.look()
                for waiting in batch:
                    self._run(self._connection, waiting, _ALONE if len(batch) == 1 else _AMONG_OTHERS)
                if self._connection.in_transaction:
                    self._connection.execute("COMMIT")
        except (sqlite3.Error, OSError, _TransactionGoneError) as error:
            self._fail(batch, error)
        except BaseException as error:
            # An interrupt of the one who leads: the others must not take for committed what may not be.
            self._fail(batch, error)
            raise

    def _run(self, connection: sqlite3.Connection, waiting: _Waiting[Any], bounds: _Bounds) -> None:
        transaction = _SqliteTransaction(connection)
        if bounds.begin:
            connection.execute(bounds.begin)
        try:
            waiting.result = waiting.unit(transaction)
            append_events(transaction, self._appender, transaction.events)
        except BaseException as error:
            # Whatever it is, it is raised again in the caller's thread, and the other units go on.
            waiting.error = _translated(error) if isinstance(error, sqlite3.Error) else error
            if not connection.in_transaction:
                raise _TransactionGoneError(str(error)) from error
            connection.execute(bounds.undo)
        if bounds.end:
            connection.execute(bounds.end)

    def _fail(self, batch: list[_Waiting[Any]], error: BaseException) -> None:
        for waiting in batch:
            if waiting.error is None:
                waiting.error = _unavailable(error)
        self._drop_connection()

    def _drop_connection(self) -> None:
        # Closing rolls back what is open, and a new connection is the cure for every state a failed one can be in.
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None


class SqliteDatabase:
    """See `Database`."""

    def __init__(self, path: Path, appender: EventAppender) -> None:
        self._path = path
        self._writer = _Writer(path, appender)
        self._readers: deque[sqlite3.Connection] = deque()
        self._closed = False

    def write(self, unit: Callable[[Transaction], T]) -> T:
        """Run the unit in the next commit."""
        return self._writer.write(unit)

    def _reading(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Lend a connection that only reads. A pool rather than one per thread: threads come and go."""
        if self._closed:
            raise UnavailableError(reasons.STORE_UNAVAILABLE, "the store is closed")
        connection = None
        try:
            connection = self._readers.pop() if self._readers else self._open_reader()
            found = work(connection)
        except BaseException as error:
            if connection is not None:
                connection.close()
            if isinstance(error, sqlite3.Error):
                raise _translated(error) from error
            if isinstance(error, OSError):
                raise _unavailable(error) from error
            raise
        self._readers.append(connection)
        return found

    def _open_reader(self) -> sqlite3.Connection:
        connection = connect(self._path)
        connection.execute("PRAGMA query_only=ON")
        return connection

    def read(self, unit: Callable[[Transaction], T]) -> T:
        """Read in one deferred transaction: WAL gives it one state of the database."""

        def work(connection: sqlite3.Connection) -> T:
            connection.execute("BEGIN")
            try:
                return unit(_SqliteTransaction(connection))
            finally:
                connection.execute("COMMIT")

        return self._reading(work)

    def row(self, statement: Statement, values: Values) -> Row | None:
        """Run one query for its first row."""
        return self._reading(lambda connection: _SqliteTransaction(connection).row(statement, values))

    def rows(self, statement: Statement, values: Values) -> list[Row]:
        """Run one query for all its rows."""
        return self._reading(lambda connection: _SqliteTransaction(connection).rows(statement, values))

    def look_up(self, calls: Sequence[Call]) -> list[list[Row]]:
        """Run several queries in one transaction: beginning one costs more than a query does."""
        return self.read(lambda transaction: [transaction.rows(*call) for call in calls])

    def describe(self) -> str:
        """Read a page of the file: a missing or unreadable one shows."""
        self._reading(lambda connection: connection.execute("SELECT count(*) FROM sqlite_schema").fetchone())
        return f"SQLite {sqlite3.sqlite_version}"

    def require_room(self) -> None:
        """Raise where the disk has less room than the next enrolments take.

        The log is lengthened ahead and written over, so on a full disk what is small often succeeds for a while.
        """
        try:
            disk = os.statvfs(self._path.parent)
        except OSError as error:
            raise _unavailable(error) from error
        free = disk.f_bavail * disk.f_frsize
        if free < _ROOM_OCTETS:
            raise UnavailableError(reasons.STORE_UNAVAILABLE, f"SQLite: its disk has {free} octets left")

    def erase(self) -> None:
        """Move the log into the file and cut it to nothing: deleted rows were overwritten with zeros there.

        Where a reader is in the way the next checkpoint does it.
        """

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("PRAGMA query_only=OFF")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            connection.execute("PRAGMA query_only=ON")

        self._reading(work)

    def close(self) -> None:
        """Let the writer finish and close the readers."""
        self._closed = True
        self._writer.close()
        while self._readers:
            self._readers.pop().close()
