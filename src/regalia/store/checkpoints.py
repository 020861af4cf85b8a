"""Checkpoints of the audit log, and the public halves of the keys that signed them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import bindparam, select

from regalia.model import CheckpointKey, SignedCheckpoint
from regalia.store.session import Noun, Statement, inserting
from regalia.store.tables import checkpoint, checkpoint_key
from regalia.store.values import from_millis, millis

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from regalia.model import EventDraft
    from regalia.store.session import Columns, Row, Transaction

__all__ = ["SqlCheckpoints"]

_PAGE = 500

_ADD = inserting(checkpoint)
_ADD_KEY = inserting(checkpoint_key)
_LAST = Statement(select(checkpoint).order_by(checkpoint.c.number.desc()).limit(1))
_PAGE_OF = Statement(
    select(checkpoint).where(checkpoint.c.number > bindparam("after")).order_by(checkpoint.c.number).limit(_PAGE)
)
_KEYS = Statement(select(checkpoint_key).order_by(checkpoint_key.c.number))


class SqlCheckpoints(Noun):
    """See `ports.Checkpoints`."""

    def add_checkpoint(
        self,
        signed: SignedCheckpoint,
        at: datetime,
        key_number: int,
        successor: CheckpointKey | None = None,
        events: Sequence[EventDraft] = (),
    ) -> bool:
        """Keep a checkpoint, and the key that signs from the next one on; False where the number is taken."""
        columns: Columns = {
            "number": signed.number,
            "at": millis(at),
            "key_number": key_number,
            "record": signed.record.decode(),
            "hash": signed.hash,
            "signature": signed.signature,
        }

        def unit(transaction: Transaction) -> None:
            transaction.run(_ADD, columns)
            if successor is not None:
                transaction.run(_ADD_KEY, _key_columns(successor))
            transaction.record(events)

        return self._won(unit)

    def last_checkpoint(self) -> SignedCheckpoint | None:
        """Return the one with the highest number."""
        row = self._database.row(_LAST, {})
        return None if row is None else _read(row)

    def checkpoints(self, after: int = 0) -> Iterator[SignedCheckpoint]:
        """Walk over all with higher numbers, in order, a page at a time."""
        while rows := self._database.rows(_PAGE_OF, {"after": after}):
            yield from map(_read, rows)
            after = rows[-1]["number"]

    def add_checkpoint_key(self, key: CheckpointKey) -> bool:
        """Keep the first key; False where its number is taken."""

        def unit(transaction: Transaction) -> None:
            transaction.run(_ADD_KEY, _key_columns(key))

        return self._won(unit)

    def checkpoint_keys(self) -> tuple[CheckpointKey, ...]:
        """Return all, the first one first."""
        return tuple(
            CheckpointKey(row["number"], UUID(bytes=row["key_id"]), row["public_key"], from_millis(row["created_at"]))
            for row in self._database.rows(_KEYS, {})
        )


def _key_columns(key: CheckpointKey) -> Columns:
    return {
        "number": key.number,
        "key_id": key.key_id.bytes,
        "public_key": key.public_key,
        "created_at": millis(key.created_at),
    }


def _read(row: Row) -> SignedCheckpoint:
    return SignedCheckpoint(row["number"], row["record"].encode(), row["hash"], row["signature"])
