"""Notices of what other processes changed (R9): on SQLite a table that is polled; see `notices` for PostgreSQL.

Both answer None while the channel is down, and once more when it is back: whoever drops its caches on None then drops
what it cached while nobody listened, and from there on every change is told.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, func, select

from regalia.model import Change
from regalia.store.session import Statement
from regalia.store.sqlite import connect
from regalia.store.tables import change

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["RETRY", "SqliteChangeFeed", "pause"]

_POLL = 0.25
"""Seconds between two looks at SQLite's data_version."""

RETRY = 1.0
"""Seconds from one attempt to connect to the next."""

_ENDS = Statement(select(func.min(change.c.sequence).label("first"), func.max(change.c.sequence).label("last")))
_NEWER = Statement(select(change).where(change.c.sequence > bindparam("after")).order_by(change.c.sequence))


class SqliteChangeFeed:
    """See `ports.ChangeFeed`. `data_version` is a look into shared memory; the table is read only when it moved."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._version = -1
        self._last = 0
        with suppress(sqlite3.Error, OSError):
            self._listen()

    def wait(self, timeout: float) -> tuple[Change, ...] | None:
        """Return the changes since the last call, after at most `timeout` seconds; None while the channel is down."""
        until = time.monotonic() + timeout
        with self._lock:
            try:
                if self._connection is None:
                    self._listen()
                    return None
                return self._wait(self._connection, until)
            except (sqlite3.Error, OSError):
                self._close()
                pause(until, RETRY)
                return None

    def _listen(self) -> None:
        connection = connect(self._path)
        try:
            self._version = connection.execute("PRAGMA data_version").fetchone()[0]
            self._last = connection.execute(_ENDS.sqlite.text).fetchone()["last"] or 0
        except sqlite3.Error:
            connection.close()
            raise
        self._connection = connection

    def _wait(self, connection: sqlite3.Connection, until: float) -> tuple[Change, ...] | None:
        while True:
            version = connection.execute("PRAGMA data_version").fetchone()[0]
            if version != self._version:
                # Taken before the table is read: what is committed in between is looked for again next time.
                self._version = version
                changes = self._newer(connection)
                if changes is None or changes:
                    return changes
            if not pause(until, _POLL):
                return ()

    def _newer(self, connection: sqlite3.Connection) -> tuple[Change, ...] | None:
        rows = connection.execute(_NEWER.sqlite.text, {"after": self._last}).fetchall()
        if not rows:
            return ()
        # Old notices are thrown away; a reader who slept through that has missed some.
        missed = rows[0]["sequence"] > self._last + 1
        self._last = rows[-1]["sequence"]
        return None if missed else tuple(Change(row["topic"], row["key"]) for row in rows)

    def close(self) -> None:
        """Close the connection; a call of `wait` ends first."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def pause(until: float, longest: float) -> bool:
    """Sleep for `longest` seconds, or less where the time is up; False where it is."""
    rest = until - time.monotonic()
    if rest <= 0:
        return False
    time.sleep(min(rest, longest))
    return True
