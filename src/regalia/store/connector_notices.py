"""What connectors are to be told, and were told (R8): rows ⇄ values."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import bindparam, literal_column, select, text, update

from regalia.ports.fleet import Notice
from regalia.store.ends import record_revocation
from regalia.store.session import LostError, Noun, Statement
from regalia.store.tables import connector_notice
from regalia.store.values import from_millis, id_or_none, millis, octets_or_none, optional_millis, plain, time_or_none

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from regalia.model import EventDraft, Revocation
    from regalia.store.session import Columns, Row, Transaction

__all__ = ["KEEP_NOTICE", "SqlNotices", "notice_columns"]

# Of one enrolment the newest counts: what was to be told of a certificate that was abandoned is told to nobody.
KEEP_NOTICE = Statement(
    text(
        "INSERT INTO connector_notice"
        " (id, connector, enrolment_id, certificate_id, sealed, due_at, attempts, told_at, refused)"
        " VALUES (:id, :connector, :enrolment_id, :certificate_id, :sealed, :due_at, :attempts, :told_at, :refused)"
        " ON CONFLICT (enrolment_id) DO UPDATE SET id = excluded.id, connector = excluded.connector,"
        " certificate_id = excluded.certificate_id, sealed = excluded.sealed, due_at = excluded.due_at,"
        " attempts = excluded.attempts, told_at = excluded.told_at, refused = excluded.refused"
    )
)
_OF_ENROLMENT = Statement(select(connector_notice).where(connector_notice.c.enrolment_id == bindparam("enrolment")))
_DUE = Statement(
    select(connector_notice)
    .where(connector_notice.c.told_at.is_(None), connector_notice.c.due_at <= bindparam("now"))
    .order_by(connector_notice.c.due_at, connector_notice.c.id)
    .limit(bindparam("most"))
)
# Whatever happens to one changes one of these.
_STILL = (
    connector_notice.c.id == bindparam("which"),
    connector_notice.c.told_at.is_(None),
    connector_notice.c.attempts == bindparam("was_attempts"),
    connector_notice.c.due_at == bindparam("was_due"),
)
_CLAIM = Statement(
    update(connector_notice)
    .where(*_STILL)
    .values(attempts=connector_notice.c.attempts + literal_column("1"), due_at=bindparam("until"))
)
_ENDED = (
    update(connector_notice)
    .where(*_STILL)
    .values(
        due_at=bindparam("new_due"),
        attempts=bindparam("new_attempts"),
        told_at=bindparam("new_told"),
        refused=bindparam("new_refused"),
    )
)
# A rotation may have sealed what waits on anew meanwhile.
_GO_ON = Statement(_ENDED)
_CLOSE = Statement(_ENDED.values(sealed=bindparam("new_sealed")))


class SqlNotices(Noun):
    """See `ports.fleet.Notices`."""

    def queue_notice(self, notice: Notice, events: Sequence[EventDraft]) -> None:
        """Keep one that comes with no certificate."""

        def unit(transaction: Transaction) -> None:
            transaction.record(events)
            transaction.conclude([(KEEP_NOTICE, notice_columns(notice))], (1,))

        self._database.write(unit)

    def notice_of(self, enrolment_id: UUID) -> Notice | None:
        """Return the newest of an enrolment."""
        row = self._database.row(_OF_ENROLMENT, {"enrolment": enrolment_id.bytes})
        return None if row is None else _read_notice(row)

    def due_notices(self, now: datetime, limit: int) -> tuple[Notice, ...]:
        """Return those that wait and are due, oldest first."""
        return tuple(map(_read_notice, self._database.rows(_DUE, {"now": millis(now), "most": limit})))

    def claim_notice(self, notice: Notice, at: datetime, until: datetime) -> Notice | None:
        """Begin an attempt, due or not; None where it is not `notice` any more."""
        del at
        if notice.told_at is not None:
            return None
        values = _was(notice) | {"until": millis(until)}

        def unit(transaction: Transaction) -> None:
            transaction.conclude([(_CLAIM, values)], (1,))

        claimed = replace(notice, attempts=notice.attempts + 1, due_at=from_millis(millis(until)))
        return claimed if self._won(unit) else None

    def conclude_notice(
        self, claimed: Notice, after: Notice, revocation: Revocation | None, events: Sequence[EventDraft]
    ) -> bool:
        """Note how an attempt ended and, where the system refused, revoke.

        False, and nothing done, where another one was begun, or where it was revoked meanwhile.
        """
        values = _was(claimed) | {
            "new_due": millis(after.due_at),
            "new_attempts": after.attempts,
            "new_told": optional_millis(after.told_at),
            "new_refused": plain(after.refused),
        }
        statement = _GO_ON
        if after.told_at is not None:
            statement, values["new_sealed"] = _CLOSE, after.sealed

        def unit(transaction: Transaction) -> None:
            if not transaction.run(statement, values):
                raise LostError
            if revocation is not None and not record_revocation(transaction, revocation):
                raise LostError
            transaction.record(events)

        return claimed.told_at is None and self._won(unit)


def _was(notice: Notice) -> Columns:
    return {"which": notice.id.bytes, "was_attempts": notice.attempts, "was_due": millis(notice.due_at)}


def notice_columns(value: Notice) -> Columns:
    """Make the row of a notice."""
    return {
        "id": value.id.bytes,
        "connector": value.connector,
        "enrolment_id": value.enrolment_id.bytes,
        "certificate_id": octets_or_none(value.certificate_id),
        "sealed": value.sealed,
        "due_at": millis(value.due_at),
        "attempts": value.attempts,
        "told_at": optional_millis(value.told_at),
        "refused": plain(value.refused),
    }


def _read_notice(row: Row) -> Notice:
    return Notice(
        id=UUID(bytes=row["id"]),
        connector=row["connector"],
        enrolment_id=UUID(bytes=row["enrolment_id"]),
        certificate_id=id_or_none(row["certificate_id"]),
        sealed=row["sealed"],
        due_at=from_millis(row["due_at"]),
        attempts=row["attempts"],
        told_at=time_or_none(row["told_at"]),
        refused=row["refused"],
    )
