"""Lists of blocked keys: rows ⇄ values, and what of them is kept in memory.

A list lies in pieces of a few thousand hashes. A process reads the piece that a lookup falls into and keeps it: the
first look-ups cost a query each, later ones a binary search (2 µs), and a command that asks once reads 32 KiB.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Final
from uuid import UUID

from sqlalchemy import bindparam, delete, literal_column, select

from regalia.ports import BLOCKED_OCTETS, Blocklist, KeyHash
from regalia.store.session import LostError, Noun, Row, Statement, Transaction, inserting
from regalia.store.tables import key_blocklist, key_blocklist_piece, own_key
from regalia.store.values import from_millis, millis, plain

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from regalia.model import EventDraft
    from regalia.store.session import Columns, Database

__all__ = ["SqlBlocklists"]

_ALL = Statement(select(key_blocklist).order_by(key_blocklist.c.name))
_BY_NAME = Statement(select(key_blocklist.c.id).where(key_blocklist.c.name == bindparam("name")))
_ADD = inserting(key_blocklist)
_REMOVE = Statement(delete(key_blocklist).where(key_blocklist.c.id == bindparam("which")))
_ADD_PIECE = inserting(key_blocklist_piece)
_REMOVE_PIECES = Statement(delete(key_blocklist_piece).where(key_blocklist_piece.c.blocklist_id == bindparam("which")))
_FIRSTS = Statement(
    select(key_blocklist_piece.c.first)
    .where(key_blocklist_piece.c.blocklist_id == bindparam("which"))
    .order_by(key_blocklist_piece.c.first)
)
_PIECE = Statement(
    select(key_blocklist_piece.c.hashes).where(
        key_blocklist_piece.c.blocklist_id == bindparam("which"), key_blocklist_piece.c.first == bindparam("first")
    )
)
_ADD_OWN_KEY = inserting(own_key)
_IS_OWN = Statement(
    select(literal_column("1").label("known")).select_from(own_key).where(own_key.c.key_sha256 == bindparam("key"))
)

_NUMBERS: Final = "Q"
"""Eight octets each, as `bisect` searches them without a Python object for each."""


class _Loaded:
    """What of one list is in memory."""

    def __init__(self, firsts: array[int]) -> None:
        self.firsts = firsts
        self.pieces: dict[int, array[int]] = {}


class SqlBlocklists(Noun):
    """See `ports.Blocklists`."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._lists: dict[UUID, _Loaded] = {}

    def blocklists(self) -> tuple[Blocklist, ...]:
        """Return all of them, by name; from memory until the catalogue changes."""
        return self._remembered.get("blocklists", self._load_blocklists)

    def _load_blocklists(self) -> tuple[Blocklist, ...]:
        found = tuple(_read(row) for row in self._database.rows(_ALL, {}))
        # A list that was replaced has another id, so what is in memory under the others stays good.
        kept = {each.id for each in found}
        self._lists = {which: loaded for which, loaded in self._lists.items() if which in kept}
        return found

    def is_listed(self, blocklist: Blocklist, digest: bytes) -> bool:
        """Look into the piece that a hash would lie in."""
        loaded = self._lists.get(blocklist.id)
        if loaded is None:
            rows = self._database.rows(_FIRSTS, {"which": blocklist.id.bytes})
            loaded = self._lists.setdefault(blocklist.id, _Loaded(_numbers(b"".join(row["first"] for row in rows))))
        wanted = int.from_bytes(digest[:BLOCKED_OCTETS], "big")
        which = bisect_right(loaded.firsts, wanted) - 1
        if which < 0:
            return False
        piece = loaded.pieces.get(which)
        if piece is None:
            piece = loaded.pieces[which] = self._piece(blocklist.id, loaded.firsts[which])
        found = bisect_left(piece, wanted)
        return found < len(piece) and piece[found] == wanted

    def _piece(self, which: UUID, first: int) -> array[int]:
        row = self._database.row(_PIECE, {"which": which.bytes, "first": first.to_bytes(BLOCKED_OCTETS, "big")})
        # Replaced a moment ago: the change notice is on its way, and until then nothing of this piece is known.
        return _numbers(b"" if row is None else row["hashes"])

    def put_blocklist(self, blocklist: Blocklist, pieces: Sequence[bytes], events: Sequence[EventDraft]) -> None:
        """Keep a list in place of the one of its name."""
        columns: Columns = {
            "id": blocklist.id.bytes,
            "name": blocklist.name,
            "hashed": blocklist.hashed.value,
            "keys": blocklist.keys,
            "source_sha256": blocklist.source_sha256,
            "imported_at": millis(blocklist.imported_at),
            "imported_by": plain(blocklist.imported_by),
        }

        def unit(transaction: Transaction) -> None:
            _remove(transaction, blocklist.name)
            transaction.run(_ADD, columns)
            for piece in pieces:
                first = piece[:BLOCKED_OCTETS]
                transaction.run(_ADD_PIECE, {"blocklist_id": blocklist.id.bytes, "first": first, "hashes": piece})

        self._change_catalogue(events, f"blocklist:{blocklist.name}", unit)

    def remove_blocklist(self, name: str, events: Sequence[EventDraft]) -> bool:
        """Return False where there is none."""

        def unit(transaction: Transaction) -> None:
            if not _remove(transaction, name):
                raise LostError

        return self._change_catalogue(events, f"blocklist:{name}", unit)

    def add_own_key(self, key_sha256: bytes, purpose: str, at: datetime) -> None:
        """Remember a key of ours that stands in no certificate of an authority's."""
        if self._database.row(_IS_OWN, {"key": key_sha256}) is not None:
            return
        columns: Columns = {"key_sha256": key_sha256, "purpose": plain(purpose), "added_at": millis(at)}
        # Another node may add the same one at the same time, where files are shared: then it is there.
        self._add_to_catalogue((), "own-key", _ADD_OWN_KEY, columns)


def _remove(transaction: Transaction, name: str) -> bool:
    row = transaction.row(_BY_NAME, {"name": name})
    if row is None:
        return False
    transaction.run(_REMOVE_PIECES, {"which": row["id"]})
    transaction.run(_REMOVE, {"which": row["id"]})
    return True


def _numbers(octets: bytes) -> array[int]:
    numbers = array(_NUMBERS, octets)
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers


def _read(row: Row) -> Blocklist:
    return Blocklist(
        id=UUID(bytes=row["id"]),
        name=row["name"],
        hashed=KeyHash(row["hashed"]),
        keys=row["keys"],
        source_sha256=row["source_sha256"],
        imported_at=from_millis(row["imported_at"]),
        imported_by=row["imported_by"],
    )
