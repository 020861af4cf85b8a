"""The vault: private keys under the master key."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import bindparam, delete, select

from regalia.model import KeyKind
from regalia.ports import WrappedKey
from regalia.store.session import Noun, Statement, inserting
from regalia.store.tables import wrapped_key
from regalia.store.values import from_millis, millis

if TYPE_CHECKING:
    from collections.abc import Sequence

    from regalia.model import EventDraft
    from regalia.store.session import Columns, Transaction

__all__ = ["SqlKeyVault"]

_PUT = inserting(wrapped_key)
_GET = Statement(select(wrapped_key).where(wrapped_key.c.id == bindparam("id")))
_DESTROY = Statement(delete(wrapped_key).where(wrapped_key.c.id == bindparam("id")))


class SqlKeyVault(Noun):
    """See `ports.KeyVault`."""

    def put_key(self, key: WrappedKey, events: Sequence[EventDraft] = ()) -> None:
        """Keep a new wrapped key."""
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
            transaction.record(events)

        self._database.write(unit)

    def get_key(self, key_id: UUID) -> WrappedKey | None:
        """Return the wrapped key, if it lies here."""
        row = self._database.row(_GET, {"id": key_id.bytes})
        if row is None:
            return None
        return WrappedKey(
            id=UUID(bytes=row["id"]),
            kind=KeyKind(row["kind"]),
            scope=row["scope"],
            public_key=row["public_key"],
            blob=row["blob"],
            created_at=from_millis(row["created_at"]),
        )

    def destroy_key(self, key_id: UUID, events: Sequence[EventDraft] = ()) -> bool:
        """Forget a wrapped key, in the database's files too where they are ours; False where there was none."""

        def unit(transaction: Transaction) -> bool:
            destroyed = bool(transaction.run(_DESTROY, {"id": key_id.bytes}))
            if destroyed:
                transaction.record(events)
            return destroyed

        destroyed = self._database.write(unit)
        self._database.erase()
        return destroyed
