"""The database as seen from outside the product: a connection of our own for each look, and plain SQL that only reads.

Nothing here uses the product's store: a mistake of the store's must not hide itself from the checker.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "CertificateRow",
    "ChallengeRow",
    "CrlRow",
    "EnrolmentRow",
    "EventRow",
    "Ledger",
    "Look",
    "LookError",
    "RevocationRow",
    "Signed",
    "committed_intent",
    "look_at",
    "open_intents",
    "read_ledger",
    "table_digests",
    "tables_of",
]

Row = dict[str, Any]


class LookError(Exception):
    """The database cannot be looked at now."""


class Look(Protocol):
    """Something that reads committed rows."""

    def rows(self, query: str, values: Sequence[object] = ()) -> list[Row]:
        """Run one query whose parameters are `?`. Raises `LookError`."""


class _SqliteLook:
    def __init__(self, path: Path) -> None:
        self._path = path

    def rows(self, query: str, values: Sequence[object] = ()) -> list[Row]:
        try:
            with closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, timeout=10)) as connection:
                connection.row_factory = sqlite3.Row
                return [dict(row) for row in connection.execute(query, values)]
        except sqlite3.Error as error:
            raise LookError(str(error)) from error


class _PostgresqlLook:
    def __init__(self, url: str) -> None:
        self._url = url

    def rows(self, query: str, values: Sequence[object] = ()) -> list[Row]:
        try:
            with psycopg.connect(
                self._url, autocommit=True, row_factory=dict_row, application_name="look", connect_timeout=5
            ) as connection:
                return connection.execute(query.replace("?", "%s").encode(), values).fetchall()
        except psycopg.Error as error:
            raise LookError(str(error)) from error


def look_at(url: str) -> Look:
    """Look at a database by its URL, `sqlite:///PATH` or `postgresql://…`."""
    if url.startswith("sqlite:///"):
        return _SqliteLook(Path("/") / url.removeprefix("sqlite:///"))
    return _PostgresqlLook(url)


# --- the signer's look ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Signed:
    """What a row says that is to be signed."""

    kind: str
    """`certificate` or `crl`."""
    authority: str
    number: int
    """The serial, or the CRL's number."""
    key_id: bytes
    tbs_sha256: bytes


def committed_intent(look: Look, row_id: UUID) -> Signed | None:
    """Find the committed row of an intent, whatever became of it since; None where there is none."""
    for row in look.rows(
        "SELECT c.authority, c.serial, c.key_id, t.tbs FROM certificate c"
        " JOIN certificate_tbs t ON t.certificate_id = c.id WHERE c.id = ?",
        (row_id.bytes,),
    ):
        digest = hashlib.sha256(row["tbs"]).digest()
        return Signed("certificate", row["authority"], _number(row["serial"]), bytes(row["key_id"]), digest)
    for row in look.rows(
        "SELECT authority, number, key_id, tbs_sha256 FROM crl WHERE id = ? AND tbs_sha256 IS NOT NULL", (row_id.bytes,)
    ):
        return Signed("crl", row["authority"], row["number"], bytes(row["key_id"]), bytes(row["tbs_sha256"]))
    return None


def open_intents(look: Look) -> frozenset[UUID]:
    """Return the ids of the device certificates that are intents now."""
    rows = look.rows("SELECT id FROM certificate WHERE state = 'intent' AND kind = 'leaf'")
    return frozenset(UUID(bytes=bytes(row["id"])) for row in rows)


# --- everything at the end --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CertificateRow:
    """A certificate, from intent to end. Times are milliseconds since 1970."""

    id: UUID
    kind: str
    authority: str
    serial: int
    state: str
    key_sha256: bytes
    enrolment_id: UUID | None
    lease_until: int
    created_at: int
    issued_at: int | None
    tbs_sha256: bytes | None
    der: bytes | None


@dataclass(frozen=True, slots=True)
class RevocationRow:
    """What ended a certificate."""

    certificate_id: UUID
    authority: str
    serial: int
    cause: str
    at: int


@dataclass(frozen=True, slots=True)
class EnrolmentRow:
    """A conversation."""

    id: UUID
    transaction_id: bytes
    key_sha256: bytes
    signer_serial: int | None
    challenge_mac: bytes | None
    state: str
    generation: int | None
    certificate_id: UUID | None
    created_at: int


@dataclass(frozen=True, slots=True)
class ChallengeRow:
    """A challenge, and who used it."""

    id: UUID
    mac: bytes
    consumed_by: UUID | None


@dataclass(frozen=True, slots=True)
class CrlRow:
    """A CRL, from its number on."""

    id: UUID
    authority: str
    number: int
    sha256: bytes | None
    published_at: int | None


@dataclass(frozen=True, slots=True)
class EventRow:
    """A record of the log, as its own text has it."""

    stream: str
    sequence: int
    position: int
    """Among the records of all streams, by the time of writing."""
    action: str
    object: str
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Ledger:
    """All that the checker compares, read at one time."""

    certificates: tuple[CertificateRow, ...]
    revocations: tuple[RevocationRow, ...]
    enrolments: tuple[EnrolmentRow, ...]
    challenges: tuple[ChallengeRow, ...]
    crls: tuple[CrlRow, ...]
    events: tuple[EventRow, ...]


_CERTIFICATES: Final = (
    "SELECT c.id, c.kind, c.authority, c.serial, c.state, c.key_sha256, c.enrolment_id, c.lease_until, c.created_at,"
    " c.issued_at, t.tbs, d.der FROM certificate c LEFT JOIN certificate_tbs t ON t.certificate_id = c.id"
    " LEFT JOIN certificate_der d ON d.certificate_id = c.id"
)


def read_ledger(look: Look) -> Ledger:
    """Read the tables. To be called when nobody writes: each table is read by a query of its own."""
    return Ledger(
        certificates=tuple(map(_certificate, look.rows(_CERTIFICATES))),
        revocations=tuple(
            map(_revocation, look.rows("SELECT certificate_id, authority, serial, cause, at FROM revocation"))
        ),
        enrolments=tuple(map(_enrolment, look.rows("SELECT * FROM enrolment"))),
        challenges=tuple(
            ChallengeRow(_id(row["id"]), bytes(row["mac"]), _maybe_id(row["consumed_by"]))
            for row in look.rows("SELECT id, mac, consumed_by FROM challenge")
        ),
        crls=tuple(
            CrlRow(_id(row["id"]), row["authority"], row["number"], _octets(row["sha256"]), row["published_at"])
            for row in look.rows("SELECT id, authority, number, sha256, published_at FROM crl")
        ),
        events=tuple(map(_event, look.rows("SELECT stream, sequence, position, record FROM event ORDER BY position"))),
    )


def _certificate(row: Row) -> CertificateRow:
    tbs = _octets(row["tbs"])
    return CertificateRow(
        id=_id(row["id"]),
        kind=row["kind"],
        authority=row["authority"],
        serial=_number(row["serial"]),
        state=row["state"],
        key_sha256=bytes(row["key_sha256"]),
        enrolment_id=_maybe_id(row["enrolment_id"]),
        lease_until=row["lease_until"],
        created_at=row["created_at"],
        issued_at=row["issued_at"],
        tbs_sha256=hashlib.sha256(tbs).digest() if tbs is not None else None,
        der=_octets(row["der"]),
    )


def _revocation(row: Row) -> RevocationRow:
    return RevocationRow(_id(row["certificate_id"]), row["authority"], _number(row["serial"]), row["cause"], row["at"])


def _enrolment(row: Row) -> EnrolmentRow:
    signer = row["signer_serial"]
    return EnrolmentRow(
        id=_id(row["id"]),
        transaction_id=bytes(row["transaction_id"]),
        key_sha256=bytes(row["key_sha256"]),
        signer_serial=_number(signer) if signer is not None else None,
        challenge_mac=_octets(row["challenge_mac"]),
        state=row["state"],
        generation=row["generation"],
        certificate_id=_maybe_id(row["certificate_id"]),
        created_at=row["created_at"],
    )


def _event(row: Row) -> EventRow:
    record = json.loads(row["record"])
    return EventRow(
        row["stream"], row["sequence"], row["position"], record["action"], record["object"], record["details"]
    )


def _id(octets: bytes) -> UUID:
    return UUID(bytes=bytes(octets))


def _maybe_id(octets: bytes | None) -> UUID | None:
    return None if octets is None else _id(octets)


def _octets(octets: bytes | None) -> bytes | None:
    return None if octets is None else bytes(octets)


def _number(octets: bytes) -> int:
    return int.from_bytes(octets, "big")


def tables_of(look: Look) -> tuple[str, ...]:
    """Name the tables that there are."""
    query = (
        "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
        if isinstance(look, _SqliteLook)
        else "SELECT tablename AS name FROM pg_tables WHERE schemaname = current_schema() ORDER BY tablename"
    )
    return tuple(row["name"] for row in look.rows(query))


def table_digests(look: Look, tables: Mapping[str, str]) -> dict[str, str]:
    """Hash each table's rows, in the order of their text; `tables` has a condition for each, or nothing."""
    digests = {}
    for table, condition in tables.items():
        rows = look.rows(f'SELECT * FROM "{table}"' + (f" WHERE {condition}" if condition else ""))  # noqa: S608 - names and conditions of our own
        lines = sorted(repr(sorted((name, _plain(value)) for name, value in row.items())) for row in rows)
        digests[table] = f"{len(lines)} rows, {hashlib.sha256(chr(10).join(lines).encode()).hexdigest()}"
    return digests


def _plain(value: object) -> object:
    return bytes(value).hex() if isinstance(value, bytes | memoryview) else value
