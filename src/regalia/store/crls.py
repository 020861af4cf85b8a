"""The record of CRLs (REV-2)."""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, delete, literal_column, select, text, update

from regalia import reasons
from regalia.errors import InvariantError, UnavailableError
from regalia.model import Change, CrlRecord, RevokedEntry
from regalia.ports import ReservedCrl
from regalia.store.session import LostError, Noun, Row, Statement, Transaction, inserting
from regalia.store.tables import authority_counter, crl, crl_chunk, revocation
from regalia.store.values import from_millis, millis, storable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime
    from uuid import UUID

    from regalia.model import CrlIntent, EventDraft
    from regalia.store.session import Columns

__all__ = ["SqlCrls"]

_PAGE = 1_000
_NANOSECONDS = 1_000_000
_CHUNK_OCTETS = 256 * 1024
_IN_MEMORY = 4 * 1024 * 1024

# The row is locked until the commit, so numbers are taken one after the other and the snapshot belongs to its number.
_NEXT_NUMBER = Statement(
    text(
        "INSERT INTO authority_counter (authority, revocations, crl_number) VALUES (:authority, 0, :clock)"
        " ON CONFLICT (authority) DO UPDATE SET crl_number ="
        " CASE WHEN authority_counter.crl_number < excluded.crl_number THEN excluded.crl_number"
        " ELSE authority_counter.crl_number + 1 END"
        " RETURNING crl_number, revocations"
    )
)
_reserved = ("id", "authority", "number", "snapshot", "reserved_at")
_RESERVE = inserting(crl, leaving_out=tuple(column.name for column in crl.c if column.name not in _reserved))
_BEGIN = Statement(
    update(crl)
    .where(
        crl.c.id == bindparam("which"),
        crl.c.authority == bindparam("of"),
        crl.c.number == bindparam("numbered"),
        crl.c.tbs_sha256.is_(None),
    )
    .values(
        key_id=bindparam("new_key_id"),
        this_update=bindparam("new_this_update"),
        next_update=bindparam("new_next_update"),
        entries=bindparam("new_entries"),
        tbs_sha256=bindparam("new_tbs_sha256"),
        tbs_path=bindparam("new_tbs_path"),
        created_at=bindparam("new_created_at"),
    )
)
_FINISH = Statement(
    update(crl)
    .where(
        crl.c.id == bindparam("which"),
        crl.c.number == bindparam("numbered"),
        crl.c.tbs_sha256.is_not(None),
        crl.c.published_at.is_(None),
    )
    .values(
        this_update=bindparam("new_this_update"),
        next_update=bindparam("new_next_update"),
        entries=bindparam("new_entries"),
        snapshot=bindparam("new_snapshot"),
        sha256=bindparam("new_sha256"),
        published_at=bindparam("new_published_at"),
    )
)
# The lock of REV-2: numbers are taken and CRLs published one after the other.
_LOCK = Statement(
    select(authority_counter.c.crl_number)
    .where(authority_counter.c.authority == bindparam("authority"))
    .with_for_update()
)
_OVERTAKEN = Statement(
    select(crl.c.id)
    .where(
        crl.c.authority == bindparam("authority"),
        crl.c.number > bindparam("number"),
        crl.c.published_at.is_not(None),
    )
    .limit(1)
)
_ADD_CHUNK = inserting(crl_chunk)
_older = (
    select(crl.c.id)
    .join(crl_chunk, crl_chunk.c.crl_id == crl.c.id)
    .where(crl_chunk.c.position == literal_column("0"), crl.c.authority == bindparam("authority"))
    .where(crl.c.id != bindparam("which"))
)
_FORGET_OLDER_CHUNKS = Statement(delete(crl_chunk).where(crl_chunk.c.crl_id.in_(_older)))
_CHUNK = Statement(
    select(crl_chunk.c.octets)
    .join(crl, crl.c.id == crl_chunk.c.crl_id)
    .where(
        crl.c.authority == bindparam("authority"),
        crl.c.number == bindparam("number"),
        crl.c.published_at.is_not(None),
        crl_chunk.c.position == bindparam("position"),
    )
)
_LAST = Statement(
    select(crl)
    .where(crl.c.authority == bindparam("authority"), crl.c.published_at.is_not(None))
    .order_by(crl.c.number.desc())
    .limit(1)
)
_COUNT = Statement(
    select(authority_counter.c.revocations).where(authority_counter.c.authority == bindparam("authority"))
)
_ENTRIES = Statement(
    select(revocation.c.serial, revocation.c.at, revocation.c.reason)
    .where(
        revocation.c.authority == bindparam("authority"),
        revocation.c.serial > bindparam("after"),
        revocation.c.position <= bindparam("snapshot"),
        revocation.c.not_after > bindparam("expiring_after"),
    )
    .order_by(revocation.c.serial)
    .limit(_PAGE)
)


class SqlCrls(Noun):
    """See `ports.Crls`."""

    def reserve_crl(self, crl_id: UUID, authority: str, at: datetime) -> ReservedCrl:
        """Allocate a number above every earlier one and fix the snapshot."""
        now = millis(at)

        def unit(transaction: Transaction) -> ReservedCrl:
            row = transaction.row(_NEXT_NUMBER, {"authority": authority, "clock": now * _NANOSECONDS})
            if row is None:
                raise InvariantError(f"authority {authority} does not count")
            number, snapshot = row["crl_number"], row["revocations"]
            columns: Columns = {
                "id": crl_id.bytes,
                "authority": authority,
                "number": number,
                "snapshot": snapshot,
                "reserved_at": now,
            }
            transaction.run(_RESERVE, columns)
            return ReservedCrl(crl_id, number, snapshot)

        return self._database.write(unit)

    def revoked_entries(self, authority: str, snapshot: int, expiring_after: datetime) -> Iterator[RevokedEntry]:
        """Walk over the snapshot by serial, a page at a time.

        Revocations are never changed or removed, so pages that are read one after the other are still one snapshot,
        and no transaction stays open while the caller signs.
        """
        values: Columns = {
            "authority": authority,
            "snapshot": snapshot,
            "expiring_after": millis(expiring_after),
            "after": b"",
        }
        while rows := self._database.rows(_ENTRIES, values):
            for row in rows:
                yield RevokedEntry(row["serial"], row["at"], row["reason"])
            values["after"] = rows[-1]["serial"]

    def begin_crl(self, intent: CrlIntent) -> None:
        """Commit what is about to be signed. Raises `InvariantError` where its number was not reserved for it."""
        values: Columns = {
            "which": intent.id.bytes,
            "of": intent.authority,
            "numbered": intent.number,
            "new_key_id": intent.key_id.bytes,
            "new_this_update": millis(intent.this_update),
            "new_next_update": millis(intent.next_update),
            "new_entries": intent.entries,
            "new_tbs_sha256": intent.tbs_sha256,
            "new_tbs_path": intent.tbs_path,
            "new_created_at": millis(intent.created_at),
        }

        def unit(transaction: Transaction) -> None:
            if not transaction.run(_BEGIN, values):
                raise InvariantError(
                    f"CRL number {intent.number} of {intent.authority} is not reserved for {intent.id}"
                )

        self._database.write(unit)

    def finish_crl(
        self, crl_id: UUID, record: CrlRecord, octets: Iterable[bytes], events: Sequence[EventDraft]
    ) -> bool:
        """Publish it, unless a higher number is published. Raises `InvariantError` where it was not begun."""
        values = _published_columns(crl_id, record)

        with _spooled(octets) as spool:

            def unit(transaction: Transaction) -> None:
                transaction.row(_LOCK, {"authority": record.authority})
                if transaction.row(_OVERTAKEN, {"authority": record.authority, "number": record.number}) is not None:
                    raise LostError
                if not transaction.run(_FINISH, values):
                    raise InvariantError(f"CRL {crl_id} is not about to be published")
                transaction.run(_FORGET_OLDER_CHUNKS, {"authority": record.authority, "which": crl_id.bytes})
                spool.seek(0)
                for position, piece in enumerate(iter(lambda: spool.read(_CHUNK_OCTETS), b"")):
                    transaction.run(_ADD_CHUNK, {"crl_id": crl_id.bytes, "position": position, "octets": piece})
                transaction.record(events)
                transaction.notify(Change("crl", record.authority))

            try:
                self._database.write(unit)
            except LostError:
                return False
            return True

    def crl_octets(self, record: CrlRecord) -> Iterator[bytes]:
        """Read the published CRL piece by piece; it ends early where a newer one came."""
        for position in itertools.count():
            values: Columns = {"authority": record.authority, "number": record.number, "position": position}
            row = self._database.row(_CHUNK, values)
            if row is None:
                return
            yield row["octets"]

    def last_crl(self, authority: str) -> CrlRecord | None:
        """Return the published CRL with the highest number."""
        row = self._database.row(_LAST, {"authority": authority}) if storable(authority) else None
        return None if row is None else _read(row)

    def revocation_count(self, authority: str) -> int:
        """Return how many of the authority's certificates were ever revoked."""
        row = self._database.row(_COUNT, {"authority": authority}) if storable(authority) else None
        return 0 if row is None else int(row["revocations"])


@contextmanager
def _spooled(octets: Iterable[bytes]) -> Iterator[SpooledTemporaryFile[bytes]]:
    """Keep what comes but once, for a unit of work that may run again."""
    try:
        with SpooledTemporaryFile(max_size=_IN_MEMORY) as spool:
            for chunk in octets:
                spool.write(chunk)
            yield spool
    except OSError as error:
        raise UnavailableError(reasons.STORE_UNAVAILABLE, f"temporary file of a CRL: {error}") from error


def _published_columns(crl_id: UUID, record: CrlRecord) -> Columns:
    return {
        "which": crl_id.bytes,
        "numbered": record.number,
        "new_this_update": millis(record.this_update),
        "new_next_update": millis(record.next_update),
        "new_entries": record.entries,
        "new_snapshot": record.snapshot,
        "new_sha256": record.sha256,
        "new_published_at": millis(record.published_at),
    }


def _read(row: Row) -> CrlRecord:
    return CrlRecord(
        authority=row["authority"],
        number=row["number"],
        this_update=from_millis(row["this_update"]),
        next_update=from_millis(row["next_update"]),
        entries=row["entries"],
        snapshot=row["snapshot"],
        sha256=row["sha256"],
        published_at=from_millis(row["published_at"]),
    )
