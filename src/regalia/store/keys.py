"""The vault: private keys under the master key; and the inventory of all keys, wherever they lie."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import bindparam, delete, select, update

from regalia.model import KeyKind
from regalia.ports import ELSEWHERE, SOFTWARE, KeyRecord, WrappedKey
from regalia.store.session import Noun, Statement, inserting
from regalia.store.tables import key_record, wrapped_key
from regalia.store.values import from_millis, millis, time_or_none

if TYPE_CHECKING:
    from collections.abc import Sequence

    from regalia.model import EventDraft
    from regalia.store.session import Columns, Row, Transaction

__all__ = ["SqlKeyVault"]

_PUT = inserting(wrapped_key)
_GET = Statement(select(wrapped_key).where(wrapped_key.c.id == bindparam("id")))
_FORGET = Statement(delete(wrapped_key).where(wrapped_key.c.id == bindparam("id")))

_ADD_RECORD = inserting(key_record)
_RECORD = Statement(select(key_record).where(key_record.c.id == bindparam("id")))
_RECORDS = Statement(select(key_record).order_by(key_record.c.id))
# A key that the version before this table made while both were running.
_UNRECORDED = Statement(select(wrapped_key).where(wrapped_key.c.id.not_in(select(key_record.c.id))))
_LOCATE = Statement(update(key_record).where(key_record.c.id == bindparam("key")).values(location=bindparam("where")))
_END = Statement(
    update(key_record)
    .where(key_record.c.id == bindparam("key"), key_record.c.destroyed_at.is_(None))
    .values(destroyed_at=bindparam("at"), destroyed_by=bindparam("by"))
)


class SqlKeyVault(Noun):
    """See `ports.KeyVault` and `ports.KeyRecords`."""

    def put_key(self, key: WrappedKey, events: Sequence[EventDraft] = ()) -> None:
        """Keep a new wrapped key, and its record; one that was moved out before lies here again."""
        columns: Columns = {
            "id": key.id.bytes,
            "kind": key.kind.value,
            "scope": key.scope,
            "public_key": key.public_key,
            "blob": key.blob,
            "created_at": millis(key.created_at),
        }

        def unit(transaction: Transaction) -> None:
            transaction.run(_PUT, columns)
            if not transaction.run(_LOCATE, {"key": key.id.bytes, "where": SOFTWARE}):
                transaction.run(_ADD_RECORD, _columns(_record_of(key)))
            transaction.record(events)

        self._database.write(unit)

    def get_key(self, key_id: UUID) -> WrappedKey | None:
        """Return the wrapped key, if it lies here."""
        row = self._database.row(_GET, {"id": key_id.bytes})
        return None if row is None else _wrapped_key(row)

    def destroy_key(self, key_id: UUID, events: Sequence[EventDraft] = ()) -> bool:
        """Forget a wrapped key, in the database's files too where they are ours; False where there was none.

        It lies elsewhere then, as its record says.
        """

        def unit(transaction: Transaction) -> bool:
            destroyed = bool(transaction.run(_FORGET, {"id": key_id.bytes}))
            if destroyed:
                transaction.run(_LOCATE, {"key": key_id.bytes, "where": ELSEWHERE})
                transaction.record(events)
            return destroyed

        destroyed = self._database.write(unit)
        self._database.erase()
        return destroyed

    def add_token_key(self, record: KeyRecord, events: Sequence[EventDraft]) -> None:
        """Record a key that lies on a token."""

        def unit(transaction: Transaction) -> None:
            transaction.run(_ADD_RECORD, _columns(record))
            transaction.record(events)

        self._database.write(unit)

    def key_record(self, key_id: UUID) -> KeyRecord | None:
        """Return one record."""
        row = self._database.row(_RECORD, {"id": key_id.bytes})
        if row is not None:
            return _key_record(row)
        key = self.get_key(key_id)
        return None if key is None else _record_of(key)

    def key_records(self) -> tuple[KeyRecord, ...]:
        """Return all, oldest first."""
        recorded, unrecorded = self._database.look_up([(_RECORDS, {}), (_UNRECORDED, {})])
        found = [*map(_key_record, recorded), *(_record_of(_wrapped_key(row)) for row in unrecorded)]
        return tuple(sorted(found, key=lambda record: record.id))

    def end_key(self, key_id: UUID, events: Sequence[EventDraft]) -> bool:
        """Forget a wrapped key, in the database's files too where they are ours, and record its end."""
        at, actor = events[0].at, events[0].actor
        end: Columns = {"key": key_id.bytes, "at": millis(at), "by": f"{actor.kind} {actor.id}"}

        def unit(transaction: Transaction) -> bool:
            unrecorded = transaction.row(_GET, {"id": key_id.bytes})
            if unrecorded is not None and transaction.row(_RECORD, {"id": key_id.bytes}) is None:
                transaction.run(_ADD_RECORD, _columns(_record_of(_wrapped_key(unrecorded))))
            ended = bool(transaction.run(_END, end))
            if ended:
                transaction.run(_FORGET, {"id": key_id.bytes})
                transaction.record(events)
            return ended

        ended = self._database.write(unit)
        self._database.erase()
        return ended


def _record_of(key: WrappedKey) -> KeyRecord:
    digest = hashlib.sha256(key.public_key).digest()
    return KeyRecord(key.id, key.kind, key.scope, SOFTWARE, digest, key.created_at)


def _columns(record: KeyRecord) -> Columns:
    return {
        "id": record.id.bytes,
        "kind": record.kind.value,
        "scope": record.scope,
        "location": record.location,
        "key_sha256": record.key_sha256,
        "created_at": millis(record.created_at),
        "destroyed_at": None,
        "destroyed_by": None,
    }


def _wrapped_key(row: Row) -> WrappedKey:
    return WrappedKey(
        id=UUID(bytes=row["id"]),
        kind=KeyKind(row["kind"]),
        scope=row["scope"],
        public_key=row["public_key"],
        blob=row["blob"],
        created_at=from_millis(row["created_at"]),
    )


def _key_record(row: Row) -> KeyRecord:
    return KeyRecord(
        id=UUID(bytes=row["id"]),
        kind=KeyKind(row["kind"]),
        scope=row["scope"],
        location=row["location"],
        key_sha256=row["key_sha256"],
        created_at=from_millis(row["created_at"]),
        destroyed_at=time_or_none(row["destroyed_at"]),
        destroyed_by=row["destroyed_by"],
    )
