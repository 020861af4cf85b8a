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
_TAKE_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Step:
    """One statement with its parameters, by number."""

    text: bytes
    values: Sequence[Value] = ()


def _encoded(value: Value) -> tuple[bytes | None, int]:
    """A parameter and its format; the server knows the types of the columns that they meet."""
    if value is None or isinstance(value, bytes):
        return value, _BINARY
    # As text a number fits every size of integer, and a text that holds a NUL would be cut there without a word.
    return (b"%d" % value, _TEXT) if isinstance(value, int) else (value.encode(), _BINARY)


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
        """Whether it is open and outside any transaction."""
        return self._libpq.transaction_status == pq.TransactionStatus.IDLE

    @property
    def lost(self) -> bool:
        """Whether the connection is gone."""
        return self._libpq.status != pq.ConnStatus.OK

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def execute(self, step: Step) -> pq.abc.PGresult:
        """Execute one statement."""
        values, formats = self._parameters(step)
        return _checked(self._libpq.exec_prepared(self._name(step.text), values, formats, _BINARY))

    def together(self, steps: Sequence[Step]) -> list[pq.abc.PGresult]:
        """Execute statements one after the other, in one round trip; what follows one that fails is not executed."""
        if len(steps) == 1:
            return [self.execute(steps[0])]
        names = [self._name(step.text) for step in steps]
        self._libpq.enter_pipeline_mode()
        for name, step in zip(names, steps, strict=True):
            self._libpq.send_query_prepared(name, *self._parameters(step), _BINARY)
        self._libpq.pipeline_sync()
        results = self._results()
        self._libpq.exit_pipeline_mode()
        return [_checked(result) for result in results]

    def roll_back(self) -> None:
        """End the transaction that is open, if there is one."""
        _checked(self._libpq.exec_(b"ROLLBACK"))

    @staticmethod
    def _parameters(step: Step) -> tuple[list[bytes], list[int]]:
        encoded = [_encoded(value) for value in step.values]
        # The library takes None for NULL and does not say so in its types.
        return [cast("bytes", value) for value, _ in encoded], [form for _, form in encoded]

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


class Pool:
    """So many connections at most, made when they are needed; the one that was used last is taken first."""

    def __init__(self, connect: Callable[[], psycopg.Connection[Any]], size: int) -> None:
        self._connect = connect
        self._free = threading.BoundedSemaphore(size)
        self._idle: deque[Link] = deque()
        self._closed = False

    def take(self) -> Link:
        """Lend a connection. Raises `psycopg.Error`, or `UnavailableError` where none becomes free in ten seconds."""
        if self._closed:
            raise UnavailableError(reasons.STORE_UNAVAILABLE, "the store is closed")
        if not self._free.acquire(timeout=_TAKE_SECONDS):
            raise UnavailableError(reasons.STORE_UNAVAILABLE, "PostgreSQL: every connection is in use")
        try:
            return self._idle.pop() if self._idle else Link(self._connect())
        except BaseException:
            self._free.release()
            raise

    def give_back(self, link: Link) -> None:
        """Take a connection back, or close it where it is gone or stands in a transaction."""
        if link.usable and not self._closed:
            self._idle.append(link)
        else:
            link.close()
            # The server may have gone: the other connections would fail one after the other.
            self._close_idle()
        self._free.release()

    def close(self) -> None:
        """Close what is not in use; what is in use is closed when it comes back."""
        self._closed = True
        self._close_idle()

    def _close_idle(self) -> None:
        while True:
            try:
                link = self._idle.pop()
            except IndexError:
                return
            link.close()
