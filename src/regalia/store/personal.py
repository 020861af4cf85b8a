"""Forgetting personal data whose time is over: in events, enrolments and challenges (PRIV-1).

Each table is gone through in the order of its rows, a page in each transaction; `retention` remembers up to where
nothing is left, so that the next run begins there. No index is kept for it: enrolments would pay for that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, select, text

from regalia.model import Names, new_id
from regalia.ports import Forgotten
from regalia.store.pseudonyms import SqlPseudonymKeys
from regalia.store.search import purge_words
from regalia.store.session import Statement
from regalia.store.tables import retention
from regalia.store.values import millis, names_text, stages_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from regalia.model import EventDraft
    from regalia.store.session import Columns, Transaction

__all__ = ["SqlPersonalData"]

_PAGE: Final = 2_000

_DONE = Statement(select(retention.c.done).where(retention.c.name == bindparam("name")))
_NOTE = Statement(
    text(
        "INSERT INTO retention (name, done, at) VALUES (:name, :done, :at)"
        " ON CONFLICT (name) DO UPDATE SET done = excluded.done, at = excluded.at"
    )
)

# A chain of renewals needs the names of its first request for as long as any certificate of it is valid (R5).
_CHAIN_ENDED = """
    AND NOT EXISTS (SELECT 1 FROM certificate c WHERE c.id = enrolment.certificate_id AND c.not_after >= :before)
    AND NOT EXISTS (SELECT 1 FROM enrolment later JOIN certificate c ON c.id = later.certificate_id
        WHERE later.chain = enrolment.chain AND later.generation > 0 AND c.not_after >= :before)
"""


@dataclass(frozen=True, slots=True)
class _Kind:
    """One table's personal data: where to look, and how to remove it."""

    name: str
    of: str
    """What `Forgotten` counts it as."""
    table: str
    place: str
    """The column in whose order the table is gone through."""
    holds: str
    """Whether a row holds any."""
    old: str
    """Whether the row's time is over."""
    removal: str
    """What is set."""

    def page(self) -> str:
        return (
            f"SELECT {self.place} AS place FROM {self.table} WHERE {self.place} > :after"  # noqa: S608 - names of ours
            f" AND {self.place} < :bound ORDER BY {self.place} LIMIT {_PAGE}"
        )

    def bound(self, before: datetime | None) -> bytes | int:
        """Return what every place lies below: of rows made before then, where their ids tell, else of all."""
        if self.table == "event":
            return 2**63 - 1
        return b"\xff" * 16 if before is None else new_id(before, bytes(10)).bytes

    def forgotten(self, count: int) -> Forgotten:
        """Count so many rows as what they are."""
        return Forgotten(**{self.of: count})

    def where(self) -> str:
        return f" WHERE {self.place} > :after AND {self.place} <= :last AND {self.holds} AND {self.old}"

    def remove(self) -> str:
        return f"UPDATE {self.table} SET {self.removal}{self.where()}"  # noqa: S608 - the same

    def count(self) -> str:
        return f"SELECT count(*) AS found FROM {self.table}{self.where()}"  # noqa: S608 - the same

    def left(self) -> str:
        """Ask for a row of the page that still holds some, whatever its age."""
        return (
            f"SELECT {self.place} AS place FROM {self.table} WHERE {self.place} > :after"  # noqa: S608 - the same
            f" AND {self.place} <= :last AND {self.holds} LIMIT 1"
        )


_KINDS: Final = (
    _Kind("event", "events", "event", "position", "personal IS NOT NULL", "at < :before", "personal = NULL"),
    _Kind("enrolment-source", "sources", "enrolment", "id", "source <> ''", "updated_at < :before", "source = ''"),
    _Kind(
        "enrolment",
        "enrolments",
        "enrolment",
        "id",
        "length(csr) > 0",
        f"updated_at < :before AND state <> 'pending'{_CHAIN_ENDED}",
        "csr = :nothing, asked = :no_names, allowed = :no_names, detail = '', stages = :no_stages, lineage = NULL",
    ),
    _Kind(
        "challenge",
        "challenges",
        "challenge",
        "id",
        "(binding <> :no_names OR device IS NOT NULL OR created_by <> '' OR consumed_source <> '')",
        "expires_at < :before AND (consumed_at IS NULL OR consumed_at < :before)",
        "binding = :no_names, device = NULL, created_by = '',"
        " consumed_source = CASE WHEN consumed_source IS NULL THEN NULL ELSE '' END",
    ),
)
"""An enrolment's sender goes when its time is over, the rest when its chain of renewals has ended as well."""


class SqlPersonalData(SqlPseudonymKeys):
    """See `ports.PersonalData`."""

    def count_personal(self, before: datetime) -> Forgotten:
        """Count the rows that would be changed, in all."""

        def unit(transaction: Transaction) -> Forgotten:
            total = Forgotten()
            for kind, statements in _STATEMENTS:
                values = _values(kind, before, _after(transaction, kind)) | {"last": kind.bound(None)}
                row = transaction.row(statements.count, values)
                total += kind.forgotten(0 if row is None else row["found"])
            return total

        return self._database.read(unit)

    def forget_personal(self, before: datetime, told: Callable[[Forgotten], Sequence[EventDraft]]) -> Forgotten:
        """Remove all that is older, a page in each transaction, each with the events that `told` writes of it.

        It is overwritten in the database's files, too, where they are ours.
        """
        total = Forgotten()
        for kind, statements in _STATEMENTS:
            turn: _Turn | None = _Turn(None, clean=True)
            while turn is not None:
                turn, removed = self._page(kind, statements, before, turn, told)
                total += removed
        if total.any:
            purge_words(self._database)
            self._database.erase()
        return total

    def _page(
        self,
        kind: _Kind,
        statements: _Statements,
        before: datetime,
        turn: _Turn,
        told: Callable[[Forgotten], Sequence[EventDraft]],
    ) -> tuple[_Turn | None, Forgotten]:
        """Go through one page; None where it was the last one that can hold anything old."""

        def unit(transaction: Transaction) -> tuple[_Turn | None, Forgotten]:
            values = _values(kind, before, _after(transaction, kind) if turn.after is None else turn.after)
            page = transaction.rows(statements.page, values)
            if not page:
                return None, Forgotten()
            last = page[-1]["place"]
            values["last"] = last
            removed = kind.forgotten(transaction.run(statements.remove, values))
            clean = transaction.row(statements.left, values) is None
            if turn.clean and clean:
                done = last if isinstance(last, bytes) else last.to_bytes(8, "big")
                transaction.run(_NOTE, {"name": kind.name, "done": done, "at": millis(before)})
            if removed.any:
                transaction.record(told(removed))
            # Records lie in the order of their writing: behind a page of young ones there are no old ones.
            over = len(page) < _PAGE or (kind.table == "event" and not clean and not removed.any)
            return None if over else _Turn(last, clean=turn.clean and clean), removed

        return self._database.write(unit)


@dataclass(frozen=True, slots=True)
class _Turn:
    """Where the next page begins, and whether nothing is left before it."""

    after: bytes | int | None
    clean: bool


@dataclass(frozen=True, slots=True)
class _Statements:
    page: Statement
    remove: Statement
    left: Statement
    count: Statement


_STATEMENTS: Final = tuple(
    (kind, _Statements(*(Statement(text(sql)) for sql in (kind.page(), kind.remove(), kind.left(), kind.count()))))
    for kind in _KINDS
)


def _after(transaction: Transaction, kind: _Kind) -> bytes | int:
    row = transaction.row(_DONE, {"name": kind.name})
    if kind.table == "event":
        return 0 if row is None else int.from_bytes(row["done"], "big")
    return b"" if row is None else bytes(row["done"])


def _values(kind: _Kind, before: datetime, after: bytes | int) -> Columns:
    return {
        "after": after,
        "bound": kind.bound(before),
        "before": millis(before),
        "nothing": b"",
        "no_names": names_text(Names()),
        "no_stages": stages_text(()),
    }
