"""The record of CRLs (REV-2)."""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, delete, exists, literal_column, select, text, union_all, update

from regalia import reasons
from regalia.errors import InvariantError, UnavailableError
from regalia.model import Change, CrlRecord, RevokedEntry, crl_name
from regalia.ports import ReservedCrl
from regalia.store.session import LostError, Noun, Row, Statement, Transaction, inserting
from regalia.store.tables import OPEN, authority_counter, crl, crl_chunk, hold, revocation
from regalia.store.values import from_millis, millis, storable
from regalia.wire.crl import REMOVE_FROM_CRL, encode_entry

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
_reserved = ("id", "authority", "number", "snapshot", "reserved_at", "shard", "base")
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
        partial=bindparam("new_partial"),
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
_listed = (
    revocation.c.authority == bindparam("authority"),
    revocation.c.shard == bindparam("shard"),
    revocation.c.serial > bindparam("after"),
    revocation.c.position <= bindparam("snapshot"),
    revocation.c.not_after > bindparam("expiring_after"),
)
_ENTRIES = Statement(
    select(revocation.c.serial, revocation.c.entry)
    .where(*_listed, revocation.c.entry.is_not(None))
    .order_by(revocation.c.serial)
    .limit(_PAGE)
)
# From before entries were kept.
_UNWRITTEN = Statement(
    select(revocation.c.serial, revocation.c.at, revocation.c.reason)
    .where(*_listed, revocation.c.entry.is_(None))
    .order_by(revocation.c.serial)
    .limit(_PAGE)
)
_HELD = Statement(
    select(hold.c.position.label("place"), hold.c.entry)
    .where(
        hold.c.authority == bindparam("authority"),
        hold.c.shard.between(bindparam("first"), bindparam("last")),
        hold.c.position > bindparam("after"),
        hold.c.position <= bindparam("snapshot"),
        hold.c.ended_position > bindparam("snapshot"),
        hold.c.not_after > bindparam("expiring_after"),
    )
    .order_by(hold.c.position)
    .limit(_PAGE)
)
_REVOKED_SINCE = Statement(
    select(
        revocation.c.position.label("place"),
        revocation.c.entry,
        revocation.c.serial,
        revocation.c.at,
        revocation.c.reason,
    )
    .where(
        revocation.c.authority == bindparam("authority"),
        revocation.c.shard.between(bindparam("first"), bindparam("last")),
        revocation.c.position > bindparam("after"),
        revocation.c.position <= bindparam("snapshot"),
        revocation.c.not_after > bindparam("expiring_after"),
    )
    .order_by(revocation.c.position)
    .limit(_PAGE)
)
_again = hold.alias("again")
_RELEASED_SINCE = Statement(
    select(hold.c.ended_position.label("place"), hold.c.serial, hold.c.ended_at.label("at"))
    .where(
        hold.c.authority == bindparam("authority"),
        hold.c.shard.between(bindparam("first"), bindparam("last")),
        hold.c.ended_position > bindparam("after"),
        hold.c.ended_position <= bindparam("snapshot"),
        hold.c.not_after > bindparam("expiring_after"),
        hold.c.released == literal_column("1"),
        ~exists().where(
            revocation.c.certificate_id == hold.c.certificate_id, revocation.c.position <= bindparam("snapshot")
        ),
        ~exists().where(
            _again.c.certificate_id == hold.c.certificate_id,
            _again.c.position > hold.c.position,
            _again.c.position <= bindparam("snapshot"),
        ),
    )
    .order_by(hold.c.ended_position)
    .limit(_PAGE)
)
_CHANGED = Statement(
    union_all(
        *(
            select(table.c.shard).where(
                table.c.authority == bindparam("authority"),
                place > bindparam("snapshot"),
                place < literal_column(str(OPEN)),
                table.c.shard.between(bindparam("first"), bindparam("last")),
            )
            for table, place in (
                (revocation, revocation.c.position),
                (hold, hold.c.position),
                (hold, hold.c.ended_position),
            )
        )
    ).limit(1)
)
_DELTA_BASE = Statement(
    select(crl)
    .where(
        crl.c.authority == bindparam("name"),
        crl.c.number > bindparam("least"),
        crl.c.published_at.is_not(None),
        crl.c.next_update > bindparam("now"),
        crl.c.partial == bindparam("partial"),
    )
    .order_by(crl.c.number)
    .limit(1)
)
_LONGEST_LIFE = 400 * 86_400_000
"""Milliseconds; a number is at least the time in nanoseconds when it was taken."""


class SqlCrls(Noun):
    """See `ports.Crls`."""

    def reserve_crl(self, crl_id: UUID, authority: str, at: datetime, *, shard: int = 0) -> ReservedCrl:
        """Allocate a number above every earlier one of the authority and fix the snapshot."""
        now = millis(at)

        def unit(transaction: Transaction) -> ReservedCrl:
            row = transaction.row(_NEXT_NUMBER, {"authority": authority, "clock": now * _NANOSECONDS})
            if row is None:
                raise InvariantError(f"authority {authority} does not count")
            number, snapshot = row["crl_number"], row["revocations"]
            columns: Columns = {
                "id": crl_id.bytes,
                "authority": crl_name(authority, shard),
                "number": number,
                "snapshot": snapshot,
                "reserved_at": now,
                "shard": shard,
                "base": None,
            }
            transaction.run(_RESERVE, columns)
            return ReservedCrl(crl_id, number, snapshot)

        return self._database.write(unit)

    def reserve_delta(self, crl_id: UUID, complete: CrlRecord, base: int, at: datetime) -> ReservedCrl:
        """Take number and snapshot of the complete CRL that it accompanies."""
        columns: Columns = {
            "id": crl_id.bytes,
            "authority": crl_name(complete.authority, complete.shard, delta=True),
            "number": complete.number,
            "snapshot": complete.snapshot,
            "reserved_at": millis(at),
            "shard": complete.shard,
            "base": base,
        }
        self._database.write(lambda transaction: transaction.run(_RESERVE, columns))
        return ReservedCrl(crl_id, complete.number, complete.snapshot)

    def crl_entries(
        self, authority: str, shards: range, snapshot: int, expiring_after: datetime
    ) -> Iterator[Sequence[bytes]]:
        """Walk over the snapshot, a page at a time: what is revoked by list and serial, then what is held.

        A revocation is never changed or removed, and a hold says where it began and ended, so pages that are read one
        after the other are still one snapshot, and no transaction stays open while the caller signs.
        """
        values = _snapshot_values(authority, snapshot, expiring_after)
        for shard in shards:
            for statement in (_ENTRIES, _UNWRITTEN):
                values |= {"shard": shard, "after": b""}
                while rows := self._database.rows(statement, values):
                    yield [_entry(row) for row in rows] if statement is _UNWRITTEN else [row["entry"] for row in rows]
                    values["after"] = rows[-1]["serial"]
        del values["shard"]
        values |= {"first": shards.start, "last": shards.stop - 1}
        for rows in self._pages(_HELD, values, 0):
            yield [row["entry"] for row in rows]

    def crl_changes(
        self, authority: str, shards: range, snapshot: int, expiring_after: datetime, since: int
    ) -> Iterator[Sequence[bytes]]:
        """Walk over what changed after `since`: revoked, held, and released where that was the last word."""
        values = _snapshot_values(authority, snapshot, expiring_after)
        values |= {"first": shards.start, "last": shards.stop - 1}
        for rows in self._pages(_REVOKED_SINCE, values, since):
            yield [row["entry"] or _entry(row) for row in rows]
        for rows in self._pages(_HELD, values, since):
            yield [row["entry"] for row in rows]
        for rows in self._pages(_RELEASED_SINCE, values, since):
            yield [encode_entry(RevokedEntry(row["serial"], row["at"], REMOVE_FROM_CRL)) for row in rows]

    def _pages(self, statement: Statement, values: Columns, after: int) -> Iterator[list[Row]]:
        values = values | {"after": after}
        while rows := self._database.rows(statement, values):
            yield rows
            values["after"] = rows[-1]["place"]

    def crl_changed(self, authority: str, shards: range, snapshot: int) -> bool:
        """Return whether a certificate of these lists was revoked, held or released after a snapshot."""
        values: Columns = {
            "authority": authority,
            "snapshot": snapshot,
            "first": shards.start,
            "last": shards.stop - 1,
        }
        return self._database.row(_CHANGED, values) is not None

    def delta_base(self, complete: CrlRecord, now: datetime) -> CrlRecord:
        """Return the oldest CRL of the same scope that somebody may still use."""
        values: Columns = {
            "name": complete.name,
            "least": (millis(now) - _LONGEST_LIFE) * _NANOSECONDS,
            "now": millis(now),
            "partial": int(complete.partial),
        }
        row = self._database.row(_DELTA_BASE, values)
        return complete if row is None else _read(row)

    def begin_crl(self, intent: CrlIntent) -> None:
        """Commit what is about to be signed. Raises `InvariantError` where its number was not reserved for it."""
        values: Columns = {
            "which": intent.id.bytes,
            "of": intent.name,
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
                if transaction.row(_OVERTAKEN, {"authority": record.name, "number": record.number}) is not None:
                    raise LostError
                if not transaction.run(_FINISH, values):
                    raise InvariantError(f"CRL {crl_id} is not about to be published")
                transaction.run(_FORGET_OLDER_CHUNKS, {"authority": record.name, "which": crl_id.bytes})
                spool.seek(0)
                for position, piece in enumerate(iter(lambda: spool.read(_CHUNK_OCTETS), b"")):
                    transaction.run(_ADD_CHUNK, {"crl_id": crl_id.bytes, "position": position, "octets": piece})
                transaction.record(events)
                transaction.notify(Change("crl", record.name))

            try:
                self._database.write(unit)
            except LostError:
                return False
            return True

    def crl_octets(self, record: CrlRecord) -> Iterator[bytes]:
        """Read the published CRL piece by piece; it ends early where a newer one came."""
        for position in itertools.count():
            values: Columns = {"authority": record.name, "number": record.number, "position": position}
            row = self._database.row(_CHUNK, values)
            if row is None:
                return
            yield row["octets"]

    def last_crl(self, name: str) -> CrlRecord | None:
        """Return the published CRL of this name with the highest number."""
        row = self._database.row(_LAST, {"authority": name}) if storable(name) else None
        return None if row is None else _read(row)

    def revocation_count(self, authority: str) -> int:
        """Return how often a certificate of the authority was revoked, held or released."""
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
        "new_partial": int(record.partial),
    }


def _snapshot_values(authority: str, snapshot: int, expiring_after: datetime) -> Columns:
    return {"authority": authority, "snapshot": snapshot, "expiring_after": millis(expiring_after)}


def _entry(row: Row) -> bytes:
    return encode_entry(RevokedEntry(row["serial"], row["at"], row["reason"]))


def _read(row: Row) -> CrlRecord:
    name, shard, base = row["authority"], row["shard"], row["base"]
    return CrlRecord(
        authority=name.removesuffix(crl_name("", shard, delta=base is not None)),
        number=row["number"],
        this_update=from_millis(row["this_update"]),
        next_update=from_millis(row["next_update"]),
        entries=row["entries"],
        snapshot=row["snapshot"],
        sha256=row["sha256"],
        published_at=from_millis(row["published_at"]),
        shard=shard,
        base=base,
        partial=bool(row["partial"]),
    )
