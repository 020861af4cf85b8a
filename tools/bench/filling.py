"""A home with as many certificates as a large fleet leaves behind: copies of one enrolment that the product made.

A real enrolment's rows are read back from the database, and written again and again with other ids, serials, keys,
names, transactions and challenges in every column, text and DER that holds them. The events form a stream of their own
whose chain verifies. Indexes, row sizes and spread are those of a million enrolments; only the signatures are one.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from regalia.wire.event import record_hash
from tools.bench.measure import VoidRunError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from regalia.app import App
    from regalia.model import Certificate, Enrolment

__all__ = ["Filled", "fill", "walk_indexes"]

_STREAM: Final = "filled"
_BLOCK: Final = 5_000
_MODULUS_OCTETS: Final = 256
_TABLES: Final = ("challenge", "enrolment", "certificate", "certificate_tbs", "certificate_der")

Value: TypeAlias = bytes | str | int | None
Row: TypeAlias = "Mapping[str, Any]"


@dataclass(frozen=True, slots=True)
class Filled:
    """What can be looked up in a home that was filled."""

    serials: Sequence[int]
    subjects: Sequence[str]
    devices: Sequence[str]
    conversations: Sequence[tuple[bytes, bytes]]
    """transactionID and key hash."""


# --- templates --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Marks:
    """What tells one enrolment from another, wherever it stands."""

    enrolment: UUID
    certificate: UUID
    challenge: UUID
    serial: bytes
    """As in DER: positive, without leading zeros."""
    transaction: bytes
    key_sha256: bytes
    challenge_mac: bytes
    open_key: bytes
    name: bytes
    """Of fixed length, so that DER keeps its lengths."""
    device: bytes
    modulus: bytes

    def octets(self) -> list[bytes]:
        """Their binary forms, in one order; the serial also padded to 20 octets, as it is stored."""
        return [
            self.enrolment.bytes,
            self.certificate.bytes,
            self.challenge.bytes,
            self.serial,
            self.transaction,
            self.key_sha256,
            self.challenge_mac,
            self.open_key,
            self.name,
            self.device,
            self.modulus,
        ]

    def texts(self) -> list[str]:
        """Their text forms, in one order."""
        ids = (self.enrolment, self.certificate, self.challenge)
        hexed = (self.key_sha256, self.challenge_mac)
        plain = (self.transaction, self.name, self.device)
        return [
            *(str(each) for each in ids),
            *(each.hex for each in ids),
            *(each.hex() for each in hexed),
            self.serial.hex().lstrip("0"),  # as people read it
            *(each.decode() for each in plain),
        ]


class _Template:
    """A value cut at the marks that it holds, so that copies are made by joining."""

    def __init__(self, value: Value, marks: _Marks) -> None:
        self._whole = value
        self._parts: list[Any] = []
        if isinstance(value, bytes | str):
            self._parts = [value]
            for number, mark in enumerate(_forms(marks, value)):
                self._parts = [part for piece in self._parts for part in _cut(piece, mark, number)]

    def filled(self, octets: Sequence[bytes], texts: Sequence[str]) -> Value:
        """Return the value with other marks."""
        if isinstance(self._whole, bytes):
            return b"".join(octets[part] if isinstance(part, int) else part for part in self._parts)
        if isinstance(self._whole, str):
            return "".join(texts[part] if isinstance(part, int) else part for part in self._parts)
        return self._whole


def _forms(marks: _Marks, value: bytes | str) -> Sequence[Any]:
    return marks.octets() if isinstance(value, bytes) else marks.texts()


def _cut(piece: Any, mark: bytes | str, number: int) -> Iterator[Any]:  # noqa: ANN401 - octets, text, or a mark's number
    """Cut octets or text at a mark, in whose place its number stands."""
    if isinstance(piece, int):
        yield piece
        return
    for position, part in enumerate(piece.split(mark)):
        if position:
            yield number
        yield part


def _marks_of(enrolment: Enrolment, certificate: Certificate, challenge: UUID, open_key: bytes) -> _Marks:
    intent, device = certificate.intent, certificate.intent.device
    if enrolment.key.challenge_mac is None or device is None or intent.names.cn is None:
        raise VoidRunError("the enrolment to be copied has no challenge, device or name")
    key = intent.tbs[intent.tbs.index(b"\x02\x82\x01\x01\x00") + 5 :][:_MODULUS_OCTETS]
    return _Marks(
        enrolment=enrolment.id,
        certificate=certificate.id,
        challenge=challenge,
        serial=intent.serial.to_bytes((intent.serial.bit_length() + 7) // 8, "big"),
        transaction=enrolment.key.transaction_id,
        key_sha256=enrolment.key.key_sha256,
        challenge_mac=enrolment.key.challenge_mac,
        open_key=open_key,
        name=intent.names.cn.encode(),
        device=device.encode(),
        modulus=key,
    )


def _copy_of(marks: _Marks, number: int) -> _Marks:
    """Make the marks of another enrolment: ids in the order of time, everything else by dice."""
    dice = os.urandom(512)

    def another(like: UUID, at: int) -> UUID:
        millis = int.from_bytes(like.bytes[:6], "big") - 1_000_000_000 + number
        return UUID(bytes=millis.to_bytes(6, "big") + like.bytes[6:7] + dice[at : at + 9])

    return _Marks(
        enrolment=another(marks.enrolment, 0),
        certificate=another(marks.certificate, 9),
        challenge=another(marks.challenge, 18),
        serial=marks.serial[:1] + dice[27 : 27 + len(marks.serial) - 1],
        transaction=dice[50 : 50 + len(marks.transaction)].hex()[: len(marks.transaction)].encode(),
        key_sha256=dice[82:114],
        challenge_mac=dice[114:146],
        open_key=dice[146 : 146 + len(marks.open_key)],
        name=_numbered(marks.name, number),
        device=_numbered(marks.device, number),
        modulus=dice[178:].ljust(_MODULUS_OCTETS, b"\x55")[:_MODULUS_OCTETS],
    )


def _numbered(name: bytes, number: int) -> bytes:
    digits = b"%07d" % number
    return digits.join(name.split(b"0000000"))


# --- databases --------------------------------------------------------------------------------------------------------


class _Target(Protocol):
    """A database to write to."""

    def rows(self, table: str) -> list[Row]: ...
    def write(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Value]]) -> None: ...
    def done(self) -> None: ...


class _Sqlite:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("PRAGMA cache_size=-400000")

    def rows(self, table: str) -> list[Row]:
        return [dict(row) for row in self._connection.execute(f'SELECT * FROM "{table}"')]  # noqa: S608 - our own names

    def write(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Value]]) -> None:
        named = ", ".join(f'"{column}"' for column in columns)
        holes = ", ".join("?" * len(columns))
        self._connection.executemany(f'INSERT INTO "{table}" ({named}) VALUES ({holes})', rows)  # noqa: S608 - our own names

    def done(self) -> None:
        self._connection.commit()
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


class _Postgres:
    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def rows(self, table: str) -> list[Row]:
        query = sql.SQL("SELECT * FROM {}").format(sql.Identifier(table))
        with self._connection.cursor(row_factory=dict_row) as cursor:
            return list(cursor.execute(query).fetchall())

    def write(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Value]]) -> None:
        named = sql.SQL(", ").join(map(sql.Identifier, columns))
        query = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table), named)
        with self._connection.cursor() as cursor, cursor.copy(query) as copy:
            for row in rows:
                copy.write_row(row)

    def done(self) -> None:
        self._connection.commit()
        # What the server would do by itself, at a time of its own choosing: in the middle of what is measured.
        self._connection.autocommit = True
        self._connection.execute("VACUUM ANALYZE")
        self._connection.execute("CHECKPOINT")


@contextmanager
def _target(home: Path, url: str | None) -> Iterator[_Target]:
    if url is None:
        with closing(sqlite3.connect(home / "regalia.db")) as connection:
            yield _Sqlite(connection)
    else:
        with psycopg.connect(url) as connection:
            yield _Postgres(connection)


# --- filling ----------------------------------------------------------------------------------------------------------


def fill(app: App, home: Path, url: str | None, enrolment: Enrolment, count: int) -> Filled:
    """Write `count` copies of an enrolment that has a certificate, a one-time challenge and a device.

    `url` is that of PostgreSQL, None for the home's own SQLite. The name and the device hold `0000000`, where each
    copy has its number.
    """
    certificate = app.store.certificate(enrolment.certificate_id) if enrolment.certificate_id else None
    challenge = app.store.challenge(enrolment.key.challenge_mac) if enrolment.key.challenge_mac else None
    if certificate is None or challenge is None:
        raise VoidRunError("the enrolment to be copied has no certificate or no challenge")
    ids = {"challenge": challenge.id.bytes, "enrolment": enrolment.id.bytes}
    kept: list[_Marks] = []
    with _target(home, url) as target:
        rows = {table: _row(target, table, ids.get(table, certificate.id.bytes)) for table in _TABLES}
        marks = _marks_of(enrolment, certificate, challenge.id, rows["enrolment"]["open_key"])
        copier = _Copier(target, marks, rows)
        for first in range(0, count, _BLOCK):
            copies = [_copy_of(marks, number) for number in range(first, min(count, first + _BLOCK))]
            copier.write(copies)
            kept += copies[:: max(1, len(copies) // 10)]
        copier.close()
        target.done()
    return Filled(
        serials=[int.from_bytes(copy.serial, "big") for copy in kept],
        subjects=[certificate.intent.subject.replace(marks.name.decode(), copy.name.decode()) for copy in kept],
        devices=[copy.device.decode() for copy in kept],
        conversations=[(copy.transaction, copy.key_sha256) for copy in kept],
    )


def walk_indexes(home: Path) -> None:
    """Read each index that enrolments go by to its end, in an SQLite home.

    What issued so many certificates has these pages in memory; from a disk each costs about 40 µs of CPU.
    """
    with closing(sqlite3.connect(home / "regalia.db")) as connection:
        for table in _TABLES:
            for _, index, _, origin, _ in connection.execute(f'PRAGMA index_list("{table}")').fetchall():
                if origin != "pk":
                    (text,) = connection.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (index,)).fetchone()
                    _, where, condition = (text or "").partition(" WHERE ")
                    # Not count(*), for which SQLite takes the shortest index, whatever is named.
                    query = f'SELECT sum(1) FROM "{table}" INDEXED BY "{index}"{where}{condition}'  # noqa: S608 - our own names
                    connection.execute(query).fetchone()


def _row(target: _Target, table: str, key: bytes) -> Row:
    column = "id" if table in {"challenge", "enrolment", "certificate"} else "certificate_id"
    (row,) = [row for row in target.rows(table) if row[column] == key]
    return row


class _Copier:
    """Writes copies of rows, and the events of each in a chain of their own."""

    def __init__(self, target: _Target, marks: _Marks, rows: Mapping[str, Row]) -> None:
        self._target = target
        self._tables = {table: _templates(row, marks) for table, row in rows.items()}
        about = {str(each) for each in (marks.enrolment, marks.certificate, marks.challenge)}
        events = [row for row in target.rows("event") if any(each in str(row["record"]) for each in about)]
        self._events = [_Chained(row, marks) for row in events]
        self._sequence, self._previous = 0, bytes(32)

    def write(self, copies: Sequence[_Marks]) -> None:
        """Write one block."""
        values = [(copy.octets(), copy.texts()) for copy in copies]
        for table, columns in self._tables.items():
            rows = [[each.filled(octets, texts) for each in columns.values()] for octets, texts in values]
            self._target.write(table, list(columns), rows)
        events = []
        for octets, texts in values:
            for event in self._events:
                self._sequence += 1
                row = event.placed(octets, texts, self._sequence, self._previous)
                self._previous = row["hash"]
                events.append(row)
        self._target.write("event", list(events[0]), [list(row.values()) for row in events])

    def close(self) -> None:
        """Write the head of the chain."""
        columns = ("name", "sequence", "hash", "holder", "lease_until")
        self._target.write("event_stream", columns, [(_STREAM, self._sequence, self._previous, bytes(16), 0)])


def _templates(row: Row, marks: _Marks) -> dict[str, _Template]:
    return {column: _Template(value, marks) for column, value in row.items()}


class _Chained:
    """An event to be copied: its record names stream, sequence and the hash before it."""

    def __init__(self, row: Row, marks: _Marks) -> None:
        self._columns = _templates({name: value for name, value in row.items() if name != "position"}, marks)
        self._stream, self._sequence, self._previous = row["stream"], row["sequence"], row["previous"]

    def placed(self, octets: Sequence[bytes], texts: Sequence[str], sequence: int, previous: bytes) -> dict[str, Any]:
        """Return the row of a copy in its place."""
        row = {name: each.filled(octets, texts) for name, each in self._columns.items()}
        record = str(row["record"])
        for old, new in (
            (f'"previous":"{self._previous.hex()}"', f'"previous":"{previous.hex()}"'),
            (f'"sequence":{self._sequence},', f'"sequence":{sequence},'),
            (f'"stream":"{self._stream}"', f'"stream":"{_STREAM}"'),
        ):
            record = record.replace(old, new)
        # Without what lies beside the record: its pseudonyms are those of the template. So it is after their time.
        place = {"stream": _STREAM, "sequence": sequence, "previous": previous, "record": record, "personal": None}
        return row | place | {"hash": record_hash(record.encode())}
