"""The least that two durable commits cost: an enrolment's statements, and nothing around them, on a copy of the file.

Beside `pure` it says how much of an enrolment no other code of ours could save, as long as its intent and its
certificate are rows of a database that has synced them before the next step begins.
"""

from __future__ import annotations

import shutil
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from unittest.mock import patch

from regalia.ra.scep import CertRep
from regalia.store import sqlite as store
from tools.bench.homes import door_of, make_home, opened, requests
from tools.bench.measure import Stopwatch, VoidRunError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from tools.bench.devices import Device, Sent
    from tools.bench.homes import Home

__all__ = ["WARM_UP", "Commits", "recorded_commits"]

_BEGIN, _COMMIT = "BEGIN IMMEDIATE", "COMMIT"
_COMMITS: Final = 2
"""Durable commits of one enrolment: the intent, and what was issued (decision 2)."""
WARM_UP: Final = 20
"""Enrolments that are repeated without being counted: after so many the product gives its log the length it keeps."""

_Unit = list[tuple[str, "Mapping[str, Any]"]]


@dataclass(slots=True)
class _Recorder:
    """A connection of the store's that notes which statements it commits."""

    connection: sqlite3.Connection
    tape: list[_Unit]
    unit: _Unit | None = field(default=None)

    def execute(self, text: str, values: Mapping[str, Any] | None = None) -> sqlite3.Cursor:
        """Execute it, and note it inside of a writing transaction."""
        if text == _BEGIN:
            self.unit = []
        elif text == _COMMIT and self.unit is not None:
            self.tape.append(self.unit)
            self.unit = None
        elif self.unit is not None:
            self.unit.append((text, values or {}))
        return self.connection.execute(text, values or {})

    @property
    def in_transaction(self) -> bool:
        """See `sqlite3.Connection`."""
        return self.connection.in_transaction

    def close(self) -> None:
        """See `sqlite3.Connection`."""
        self.connection.close()


class Commits:
    """The commits of one enrolment after the other, on a database that has not seen them yet."""

    def __init__(self, connection: sqlite3.Connection, log: store.Log, tape: Iterator[_Unit]) -> None:
        self._connection = connection
        self._log = log
        self._tape = tape

    def run(self) -> dict[str, float]:
        """Commit the next enrolment's; CPU seconds."""
        units = [next(self._tape) for _ in range(_COMMITS)]
        watch = Stopwatch()
        for unit in units:
            self._connection.execute(_BEGIN)
            self._log.look()
            for text, values in unit:
                self._connection.execute(text, values).fetchall()
            self._connection.execute(_COMMIT)
        watch.mark("commits")
        return watch.stages


@contextmanager
def recorded_commits(directory: Path, endpoint: str, devices: Sequence[Device]) -> Iterator[Commits]:
    """Enrol the devices in a home of their own, and give their commits to be repeated on a copy of its database.

    The first `WARM_UP` of them have been repeated already. Raises `VoidRunError` where one is refused.
    """
    home = make_home(directory / "floor")
    with opened(home) as app:
        waiting = requests(app, endpoint, devices)
    copy = directory / "floor.db"
    shutil.copy(home.path / "regalia.db", copy)
    tape = _enrolled(home, endpoint, waiting)
    with closing(store.connect(copy)) as connection:
        commits = Commits(connection, store.Log(copy), iter(tape))
        for _ in range(WARM_UP):
            commits.run()
        yield commits


def _enrolled(home: Home, endpoint: str, waiting: Sequence[Sent]) -> list[_Unit]:
    """Enrol by the product's own entry, and return what was committed."""
    tape: list[_Unit] = []
    connect = store.connect
    # The writer opens its connection by itself, and no port of the product's is as low as a statement.
    with patch.object(store, "connect", lambda path: _Recorder(connect(path), tape)), opened(home) as app:
        door = door_of(app, endpoint)
        for sent in waiting:
            before = len(tape)
            answer = app.scep.pki_operation(door, sent.message, "127.0.0.1")
            if not isinstance(answer, CertRep) or len(tape) != before + _COMMITS:
                raise VoidRunError(f"{sent.transaction.text}: {answer}, {len(tape) - before} commits")
    return tape
