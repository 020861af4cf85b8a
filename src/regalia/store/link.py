"""Connections to PostgreSQL as libpq has them: each statement prepared once, several sent in one round trip.

psycopg connects and names the errors. Its cursors are not used on the way of an enrolment: they cost four times what
the same call of libpq does (15 against 60 µs CPU, measured), and an enrolment makes twenty of them.
"""

from __future__ import annotations

import select
import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import psycopg
from psycopg import pq
from psycopg.errors import error_from_result

from regalia import reasons
from regalia.errors import InvariantError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Link", "Pool", "Step", "read_rows"]

Value: TypeAlias = "bytes | str | int | None"

_TEXT, _BINARY = 0, 1
_SUCCEEDED = (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK)


@dataclass(frozen=True, slots=True)
class Step:
    """One statement with its parameters, by number."""

    text: bytes
    values: Sequence[Value] = ()


def _parameters(values: Sequence[Value]) -> tuple[list[bytes], list[int]]:
    """Parameters and their formats; the server knows the types of the columns that they meet."""
    encoded: list[bytes | None] = []
    formats: list[int] = []
    for value in values:
        # As text a number fits every size of integer, and a text that holds a NUL would be cut there without a word.
        if isinstance(value, int):
            encoded.append(b"%d" % value)
            formats.append(_TEXT)
        else:
            encoded.append(value.encode() if isinstance(value, str) else value)
            formats.append(_BINARY)
    # The library takes None for NULL and does not say so in its types.
    return cast("list[bytes]", encoded), formats


def _integer(octets: bytes) -> int:
    return int.from_bytes(octets, "big", signed=True)


# By the numbers of PostgreSQL's catalogue: bytea, int8, int2, int4, text, name, varchar, void.
_READERS: dict[int, Callable[[bytes], Any]] = {
    17: bytes,
    20: _integer,
    21: _integer,
    23: _integer,
    25: bytes.decode,
    19: bytes.decode,
    1043: bytes.decode,
    2278: bytes,
}


def read_rows(result: pq.abc.PGresult) -> list[dict[str, Any]]:
    """Make the values of a result's rows, by column name. Raises `InvariantError` for a type that we do not store."""
    if not result.ntuples:
        return []
    columns = range(result.nfields)
    names = [(result.fname(column) or b"").decode() for column in columns]
    readers = [_READERS.get(result.ftype(column)) for column in columns]
    rows = []
    for number in range(result.ntuples):
        row: dict[str, Any] = {}
        for column, name, reader in zip(columns, names, readers, strict=True):
            octets = result.get_value(number, column)
            if reader is None:
                raise InvariantError(f"column {name} is of type {result.ftype(column)}")
            row[name] = None if octets is None else reader(octets)
        rows.append(row)
    return rows


class Link:
    """One connection. Not for two threads at a time. Every call raises `psycopg.Error`."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._libpq = connection.pgconn
        self._names: dict[bytes, bytes] = {}
        self._socket = select.poll()
        self._socket.register(self._libpq.socket, select.POLLIN)

    @property
    def usable(self) -> bool:
        """Whether it is open, outside any transaction and waits for nothing."""
        idle = self._libpq.transaction_status == pq.TransactionStatus.IDLE
        return idle and self._libpq.pipeline_status == pq.PipelineStatus.OFF

    @property
    def lost(self) -> bool:
        """Whether the connection is gone."""
        return self._libpq.status != pq.ConnStatus.OK

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def awake(self) -> None:
        """Raise `psycopg.Error` where the server closed the connection while nothing was asked of it.

        What is sent after this and not answered may have been executed.
        """
        self._socket.modify(self._libpq.socket, select.POLLIN)
        while self._socket.poll(0):
            self._libpq.consume_input()

    def execute(self, step: Step) -> pq.abc.PGresult:
        """Execute one statement."""
        return _checked(self._libpq.exec_prepared(self._name(step.text), *_parameters(step.values), _BINARY))

    def together(self, steps: Sequence[Step]) -> list[pq.abc.PGresult]:
        """Execute statements one after the other, in one round trip; what follows one that fails is not executed."""
        if len(steps) == 1:
            return [self.execute(steps[0])]
        # All that may fail here does so before the connection is turned to another mode.
        calls = [(self._name(step.text), *_parameters(step.values)) for step in steps]
        self._libpq.enter_pipeline_mode()
        for name, values, formats in calls:
            self._libpq.send_query_prepared(name, values, formats, _BINARY)
        self._libpq.pipeline_sync()
        results = self._results()
        self._libpq.exit_pipeline_mode()
        return [_checked(result) for result in results]

    def roll_back(self) -> None:
        """End the transaction that is open, if there is one."""
        _checked(self._libpq.exec_(b"ROLLBACK"))

    def _name(self, text: bytes) -> bytes:
        """Return the name of a statement, which is prepared when it is used first."""
        name = self._names.get(text)
        if name is None:
            name = b"s%d" % len(self._names)
            _checked(self._libpq.prepare(name, text))
            self._names[text] = name
        return name

    def _results(self) -> list[pq.abc.PGresult]:
        while self._libpq.flush():
            self._wait(select.POLLIN | select.POLLOUT)
        results: list[pq.abc.PGresult] = []
        while True:
            while self._libpq.is_busy():
                self._wait(select.POLLIN)
            result = self._libpq.get_result()
            if result is None:
                # The end of one statement, or of everything.
                if self.lost:
                    raise psycopg.OperationalError(self._libpq.get_error_message())
                continue
            if result.status == pq.ExecStatus.PIPELINE_SYNC:
                return results
            results.append(result)

    def _wait(self, events: int) -> None:
        # Without an end of its own: the server's timeouts and the socket's (see `postgresql`) end every wait.
        self._socket.modify(self._libpq.socket, events)
        self._socket.poll()
        self._libpq.consume_input()


def _checked(result: pq.abc.PGresult) -> pq.abc.PGresult:
    if result.status in _SUCCEEDED:
        return result
    raise error_from_result(result)


class _Waiter:
    """Who waits for a connection, and what it is handed."""

    def __init__(self) -> None:
        self.called = threading.Event()
        self.link: Link | None = None


class Pool:
    """So many connections at most, made when they are needed; the one that was used last is taken first."""

    def __init__(self, connect: Callable[[], psycopg.Connection[Any]], size: int, *, patience: float = 10) -> None:
        """`patience`: seconds that one waits for a connection."""
        self._connect = connect
        self._patience = patience
        self._lock = threading.Lock()
        self._to_make = size
        self._idle: list[Link] = []
        self._waiters: deque[_Waiter] = deque()
        self._closed = False

    def take(self) -> Link:
        """Lend a connection. Raises `psycopg.Error`, or `UnavailableError` where none becomes free in time."""
        with self._lock:
            if self._closed:
                raise UnavailableError(reasons.STORE_UNAVAILABLE, "the store is closed")
            if self._idle:
                return self._idle.pop()
            waiter = None if self._to_make else _Waiter()
            if waiter is None:
                self._to_make -= 1
            else:
                self._waiters.append(waiter)
        link = self._wait(waiter) if waiter is not None else None
        return link or self._make()

    def _make(self) -> Link:
        try:
            return Link(self._connect())
        except BaseException:
            self._hand_on(None)
            raise

    def _wait(self, waiter: _Waiter) -> Link | None:
        """Wait to be handed a connection, or the right to make one: None."""
        if not waiter.called.wait(self._patience):
            with self._lock:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)
                    raise UnavailableError(reasons.STORE_UNAVAILABLE, "PostgreSQL: every connection is in use")
        return waiter.link

    def give_back(self, link: Link) -> None:
        """Take a connection back, or close it where it is gone or stands in a transaction."""
        if link.usable and not self._closed:
            self._hand_on(link)
            return
        link.close()
        # The server may have gone: the other connections would fail one after the other.
        self._close_idle()
        self._hand_on(None)

    def _hand_on(self, link: Link | None) -> None:
        """Give a connection, or the right to make one, to who waits longest, or keep it."""
        with self._lock:
            if self._waiters:
                waiter = self._waiters.popleft()
                waiter.link = link
                waiter.called.set()
            elif link is None:
                self._to_make += 1
            else:
                self._idle.append(link)

    def close(self) -> None:
        """Close what is not in use; what is in use is closed when it comes back."""
        with self._lock:
            self._closed = True
        self._close_idle()

    def _close_idle(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
            self._to_make += len(idle)
        for link in idle:
            link.close()
