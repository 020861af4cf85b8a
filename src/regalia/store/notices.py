"""Notices of what other processes changed (R9), on PostgreSQL: NOTIFY. See `changes` for what both feeds promise."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import Any

import psycopg

from regalia.model import Change
from regalia.store.changes import RETRY, pause
from regalia.store.postgresql import CHANNEL, connect_alone

__all__ = ["PostgresqlChangeFeed"]

_PROBE = 5.0
"""Seconds after which a silent PostgreSQL is asked whether it is still there."""


class PostgresqlChangeFeed:
    """See `ports.ChangeFeed`. One connection of its own, which listens."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._connection: psycopg.Connection[Any] | None = None
        self._heard = 0.0
        with suppress(psycopg.Error):
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
            except psycopg.Error:
                self._close()
                pause(until, RETRY)
                return None

    def _listen(self) -> None:
        connection = connect_alone(self._url)
        try:
            connection.execute(f"LISTEN {CHANNEL}".encode())
        except psycopg.Error:
            connection.close()
            raise
        self._connection = connection
        self._heard = time.monotonic()

    def _wait(self, connection: psycopg.Connection[Any], until: float) -> tuple[Change, ...]:
        if time.monotonic() - self._heard > _PROBE:
            # A connection that the network lost is silent too.
            connection.execute(b"SELECT 1")
            self._heard = time.monotonic()
        rest = max(0.0, until - time.monotonic())
        heard = [notice.payload for notice in connection.notifies(timeout=rest, stop_after=1)]
        changes = []
        for payload in heard:
            topic, _, key = payload.partition(" ")
            changes.append(Change(topic, key))
        return tuple(changes)

    def close(self) -> None:
        """Close the connection; a call of `wait` ends first."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
