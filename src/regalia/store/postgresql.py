"""PostgreSQL through psycopg: a pool of connections, and a unit of work as one statement wherever it can be (R9)."""

from __future__ import annotations

import hashlib
import random
import re
import threading
import time
from contextlib import nullcontext, suppress
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

import psycopg
from psycopg import errors as refused
from psycopg import pq

from regalia import reasons
from regalia.errors import InvariantError, UnavailableError
from regalia.store.link import Link, Pool, Step, read_rows
from regalia.store.session import (
    Compiled,
    ConflictError,
    MissedError,
    Row,
    Statement,
    Transaction,
    Values,
    append_events,
)
from regalia.store.urls import driver_url

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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
    # Whatever is asked goes by an index: a compiler, or a whole table read for 20 000 of its rows, takes longer.
    " -c jit=off -c random_page_cost=1.1"
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


def _parameters(compiled: Compiled, values: Values) -> list[bytes | str | int | None]:
    if not compiled.literals:
        return [values[name] for name in compiled.order]
    given = {**compiled.literals, **values}
    return [given[name] for name in compiled.order]


def _step(statement: Statement, values: Values) -> Step:
    compiled = statement.postgresql
    return Step(compiled.octets, _parameters(compiled, values))


def _count(result: pq.abc.PGresult) -> int:
    """Tell how many rows a statement changed or found."""
    return result.ntuples if result.status == pq.ExecStatus.TUPLES_OK else result.command_tuples or 0


def _numbered_on(text: str, before: int) -> str:
    return _PARAMETER.sub(lambda found: f"${int(found[1]) + before}", text)


@cache
def _whole(parts: tuple[tuple[Statement, int | None], ...]) -> bytes:
    """Write one statement that has the effect of all, or fails and has none.

    Each is a part of it, with its parameters numbered on; each may say how many rows it must change or find.
    """
    texts: list[str] = []
    conditions = ["true"]
    before = 0
    for number, (statement, rows) in enumerate(parts):
        compiled = statement.postgresql
        text = _numbered_on(compiled.text, before)
        returning = "" if text.startswith("SELECT") else " RETURNING 1"
        texts.append(f"part{number} AS ({text}{returning})")
        if rows is not None:
            conditions.append(f"(SELECT count(*) FROM part{number}) = {rows}")  # noqa: S608 - two numbers of ours
        before += len(compiled.order)
    # What the server's log shows of a failure is the text that is no number.
    judged = f"CAST(CASE WHEN {' AND '.join(conditions)} THEN '1' ELSE 'another transaction was first' END AS integer)"
    return f"WITH {', '.join(texts)} SELECT {judged}".encode()


_OVERTAKEN = refused.InvalidTextRepresentation
"""How the server says that a condition of `_whole` does not hold."""


class _PostgresqlTransaction:
    """See `Transaction`. What needs no answer yet waits for the next statement that does."""

    def __init__(self, link: Link, begin: bytes) -> None:
        self._link = link
        self._begin = [Step(begin)]
        self._waiting: list[Step] = []
        self._last: Sequence[Call] = ()
        self._wanted: Sequence[int | None] = ()
        self.events: list[EventDraft] = []

    @property
    def begun(self) -> bool:
        """Whether anything was sent."""
        return not self._begin

    def _send(self, steps: Sequence[Step]) -> list[pq.abc.PGresult]:
        waiting = [*self._begin, *self._waiting]
        self._begin, self._waiting = [], []
        return self._link.together([*waiting, *steps])[len(waiting) :]

    def run(self, statement: Statement, values: Values) -> int:
        return _count(self._send([_step(statement, values)])[0])

    def row(self, statement: Statement, values: Values) -> Row | None:
        rows = self.rows(statement, values)
        return rows[0] if rows else None

    def rows(self, statement: Statement, values: Values) -> list[Row]:
        return cast("list[Row]", read_rows(self._send([_step(statement, values)])[0]))

    def conclude(self, calls: Sequence[Call], wanted: Sequence[int | None]) -> None:
        self._last, self._wanted = calls, wanted

    def one_at_a_time(self, key: bytes) -> None:
        lock = int.from_bytes(hashlib.sha256(key).digest()[:8], "big", signed=True)
        self._waiting.append(Step(b"SELECT pg_advisory_xact_lock($1)", (lock,)))

    def record(self, events: Sequence[EventDraft]) -> None:
        self.events.extend(events)

    def notify(self, change: Change) -> None:
        self._waiting.append(Step(b"SELECT pg_notify($1, $2)", (CHANNEL, f"{change.topic} {change.key}")))

    def commit_at_once(self, appender: EventAppender) -> bool:
        """Commit what waits by one statement that is a transaction of its own; False, and nothing done, if it cannot.

        It cannot where something was sent already, where the head of our stream is not known, and where anything turns
        out otherwise than it is to be: then `complete` finds out what.
        """
        expected = appender.expected(self.events) if self.events else None
        if self.begun or (self.events and expected is None):
            return False
        calls, wanted = [*self._last], [*self._wanted]
        if expected is not None:
            calls += [expected[0], *expected[1]]
            wanted += [1, *(None for _ in expected[1])]
        steps = self._waiting
        if calls:
            text = _whole(tuple((statement, rows) for (statement, _), rows in zip(calls, wanted, strict=True)))
            values = [value for call in calls for value in _step(*call).values]
            steps = [*steps, Step(text, values)]
        if not steps:
            return True
        self._link.awake()
        try:
            self._link.together(steps)
        except _OVERTAKEN:
            return False
        except psycopg.Error as error:
            if self._link.lost:
                # Whether it was committed stays open, so this is not tried again.
                raise _translated(error) from error
            raise
        return True

    def complete(self, appender: EventAppender) -> None:
        """Send what was to be last, then append the events behind whatever the head of the stream is."""
        if self._last or self._waiting:
            results = self._send([_step(*call) for call in self._last])
            for which, (result, rows) in enumerate(zip(results, self._wanted, strict=True)):
                if rows is not None and _count(result) != rows:
                    raise MissedError(which)
        append_events(self, appender, self.events)


class PostgresqlDatabase:
    """See `Database`."""

    def __init__(self, url: str, appender: EventAppender, *, connections: int) -> None:
        self._appender = appender
        self._turn = threading.Lock()
        self._pool = Pool(lambda: connect_alone(url), connections)

    def _with_link(self, work: Callable[[Link], T]) -> T:
        """Run, and again where the server chose this one to end a deadlock or the connection turns out to be gone."""
        failed: psycopg.Error | None = None
        for attempt in range(_ATTEMPTS):
            if attempt:
                time.sleep(random.uniform(0, 0.01) * 2**attempt)  # noqa: S311 - only spreads the tries in time
            link = self._take()
            try:
                return work(link)
            except psycopg.Error as error:
                if not (isinstance(error, _AGAIN) or link.lost):
                    raise _translated(error) from error
                failed = error
            finally:
                self._pool.give_back(link)
        raise _unavailable(failed or psycopg.OperationalError()) from failed

    def _take(self) -> Link:
        try:
            return self._pool.take()
        except psycopg.Error as error:
            raise _unavailable(error) from error

    def write(self, unit: Callable[[Transaction], T]) -> T:
        """Run the unit in one transaction; see `_with_link` for when it runs again."""
        return self._with_link(lambda link: self._write(link, unit))

    def _write(self, link: Link, unit: Callable[[Transaction], T]) -> T:
        transaction = _PostgresqlTransaction(link, b"BEGIN")
        try:
            result = unit(transaction)
            # The head of our stream lets one transaction at a time through anyway; who waits here finds it where it
            # was left. Who has sent something may hold what another one waits for in there, and does not wait.
            with self._turn if transaction.events and not transaction.begun else nullcontext():
                if not transaction.commit_at_once(self._appender):
                    transaction.complete(self._appender)
                    _commit(link)
        except BaseException:
            _roll_back(link)
            raise
        return result

    def read(self, unit: Callable[[Transaction], T]) -> T:
        """Read in one transaction whose first query fixes what it sees."""

        def work(link: Link) -> T:
            try:
                return unit(_PostgresqlTransaction(link, b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"))
            finally:
                _roll_back(link)

        return self._with_link(work)

    def row(self, statement: Statement, values: Values) -> Row | None:
        """Run one query for its first row."""
        rows = self.rows(statement, values)
        return rows[0] if rows else None

    def rows(self, statement: Statement, values: Values) -> list[Row]:
        """Run one query for all its rows."""
        step = _step(statement, values)
        return self._with_link(lambda link: cast("list[Row]", read_rows(link.execute(step))))

    def look_up(self, calls: Sequence[Call]) -> list[list[Row]]:
        """Run several queries in one round trip."""
        steps = [_step(*call) for call in calls]

        def work(link: Link) -> list[list[Row]]:
            return [cast("list[Row]", read_rows(result)) for result in link.together(steps)]

        return self._with_link(work)

    def describe(self) -> str:
        """Ask the server for its version."""
        (found,) = self._with_link(lambda link: read_rows(link.execute(Step(b"SHOW server_version"))))
        return f"PostgreSQL {found['server_version']}"

    def require_room(self) -> None:
        """Nothing: a full disk ends PostgreSQL's writing as a whole, the smallest too."""

    def erase(self) -> None:
        """Nothing: PostgreSQL's files are the administrator's."""

    def close(self) -> None:
        """Close the pool."""
        self._pool.close()


def _commit(link: Link) -> None:
    try:
        result = link.execute(Step(b"COMMIT"))
    except psycopg.Error as error:
        # A connection lost here leaves open whether it was committed, so this is not tried again.
        raise _translated(error) from error
    if result.command_status != b"COMMIT":
        raise InvariantError("a unit of work hid an error: the server rolled it back")


def _roll_back(link: Link) -> None:
    with suppress(psycopg.Error):
        link.roll_back()
