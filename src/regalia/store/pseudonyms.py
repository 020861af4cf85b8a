"""The keys of pseudonyms, sealed in the database and open in this process (PRIV-1)."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, null, select, update

from regalia.ports import PseudonymKey
from regalia.store.session import Noun, Statement, inserting
from regalia.store.tables import pseudonym_key
from regalia.store.values import from_millis, millis, time_or_none
from regalia.wire.personal import Pseudonyms

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from regalia.model import EventDraft
    from regalia.ports import Sealer
    from regalia.store.session import Columns, Row, Transaction

__all__ = ["OpenPseudonyms", "SqlPseudonymKeys", "pseudonym_scope"]

_LOOK_AGAIN: Final = 60_000
"""Milliseconds between two looks for a new key where the last one's time is over and nobody made another."""

_NEWEST = Statement(
    select(pseudonym_key).where(pseudonym_key.c.sealed.is_not(None)).order_by(pseudonym_key.c.number.desc()).limit(1)
)
_ONE = Statement(select(pseudonym_key).where(pseudonym_key.c.number == bindparam("number")))
_ALL = Statement(select(pseudonym_key).order_by(pseudonym_key.c.number))
_ADD = inserting(pseudonym_key)
_DESTROY = Statement(
    update(pseudonym_key)
    .where(pseudonym_key.c.number == bindparam("which"), pseudonym_key.c.sealed.is_not(None))
    .values(sealed=null(), destroyed_at=bindparam("at"))
)


def pseudonym_scope(number: int) -> str:
    """Name what a sealed key of pseudonyms is bound to."""
    return f"pseudonym:{number}"


@dataclass(frozen=True, slots=True)
class _Current:
    pseudonyms: Pseudonyms
    until: int


class OpenPseudonyms:
    """The keys that this process has opened. Without a sealer there are none, and records stay in clear."""

    def __init__(self, sealer: Sealer | None) -> None:
        self._sealer = sealer
        self._current: _Current | None = None
        self._asked = 0
        self._opened: dict[int, Pseudonyms | None] = {}
        self._lock = threading.Lock()

    def stale(self, now: int) -> bool:
        """Whether the newest key is to be looked for in the database before the next event."""
        if self._sealer is None:
            return False
        current = self._current
        return (current is None or now >= current.until) and abs(now - self._asked) >= _LOOK_AGAIN

    def current(self) -> Pseudonyms | None:
        """Return what makes pseudonyms now; None where no key was found."""
        return None if self._current is None else self._current.pseudonyms

    def renew(self, transaction: Transaction, now: int) -> None:
        """Take the newest key."""
        row = transaction.row(_NEWEST, {})
        self._asked = now
        opened = None if row is None else self._open(row)
        if row is not None and opened is not None:
            self._current = _Current(opened, row["until"])

    def learn(self, number: int, row: Row | None) -> None:
        """Open a key by its row, or note that there is none any more."""
        if row is None:
            self._opened[number] = None
        else:
            self._open(row)

    def known(self, number: int) -> bool:
        """Whether `opened` can answer."""
        return number in self._opened

    def opened(self, number: int) -> Pseudonyms | None:
        """Return a key that was learnt; None where it was destroyed, or never was."""
        return self._opened.get(number)

    def _open(self, row: Row) -> Pseudonyms | None:
        number = row["number"]
        with self._lock:
            if self._opened.get(number) is None:
                self._opened[number] = None
                if self._sealer is not None and row["sealed"] is not None:
                    key = self._sealer.unseal(pseudonym_scope(number), row["sealed"])
                    self._opened[number] = Pseudonyms(number, key)
            return self._opened[number]


class SqlPseudonymKeys(Noun):
    """The part of `ports.PersonalData` that is about keys."""

    _opened: OpenPseudonyms
    """Set by the whole store."""

    def pseudonym_keys(self) -> tuple[PseudonymKey, ...]:
        """Return all, the first one first."""
        return tuple(
            PseudonymKey(
                row["number"],
                from_millis(row["created_at"]),
                from_millis(row["until"]),
                time_or_none(row["destroyed_at"]),
            )
            for row in self._database.rows(_ALL, {})
        )

    def add_pseudonym_key(
        self, number: int, created_at: datetime, until: datetime, sealed: bytes, events: Sequence[EventDraft]
    ) -> bool:
        """Keep a new key, under the master key; False where its number is taken."""
        columns: Columns = {
            "number": number,
            "sealed": sealed,
            "created_at": millis(created_at),
            "until": millis(until),
            "destroyed_at": None,
        }

        def unit(transaction: Transaction) -> None:
            transaction.run(_ADD, columns)
            transaction.record(events)

        return self._won(unit)

    def destroy_pseudonym_key(self, number: int, at: datetime, events: Sequence[EventDraft]) -> bool:
        """Destroy a key for good, in the database's files too where they are ours."""

        def unit(transaction: Transaction) -> bool:
            destroyed = bool(transaction.run(_DESTROY, {"which": number, "at": millis(at)}))
            if destroyed:
                transaction.record(events)
            return destroyed

        destroyed = self._database.write(unit)
        self._database.erase()
        return destroyed

    def _pseudonyms(self, number: int) -> Pseudonyms | None:
        """Open a key for verifying, once."""
        if not self._opened.known(number):
            self._opened.learn(number, self._database.row(_ONE, {"number": number}))
        return self._opened.opened(number)
