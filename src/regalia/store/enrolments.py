"""Conversations: rows ⇄ values."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import bindparam, case, delete, exists, func, literal_column, select, text, update

from regalia.errors import InvariantError
from regalia.model import ConversationKey, Enrolment, EnrolmentState, Known
from regalia.store.certificates import BY_KEY, read_certificate_row
from regalia.store.challenges import read_challenge_row
from regalia.store.conversations import ADD_ENROLMENT, BINDING, enrolment_columns, open_conversation, opening
from regalia.store.session import LostError, Noun, Row, Statement, Transaction, inserting
from regalia.store.tables import certificate, challenge, enrolment, sealed_challenge
from regalia.store.values import (
    from_millis,
    id_or_none,
    millis,
    open_key,
    plain,
    read_lineage,
    read_names,
    read_stages,
    storable,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement

    from regalia.model import EventDraft
    from regalia.ports import Begun, EnrolmentFilter
    from regalia.store.session import Columns

__all__ = ["SqlEnrolments", "read_enrolment_row"]

_BY_ID = Statement(select(enrolment).where(enrolment.c.id == bindparam("id")))
# Few, if any, and not sorted here: SQLite sets up a sorter even for none.
_BOUND = Statement(select(enrolment).where(*BINDING))
_IS_OPEN = enrolment.c.open_key == bindparam("open_key")
_OPEN = Statement(select(enrolment).where(_IS_OPEN))


def _is_there(name: str, *conditions: ColumnElement[bool]) -> ColumnElement[int]:
    return case((exists().where(*conditions), literal_column("1")), else_=literal_column("0")).label(name)


# Most requests are new: there is their challenge and nothing else.
_MET = Statement(
    select(
        challenge,
        _is_there("conversation", _IS_OPEN),
        _is_there("holder", *BINDING),
        _is_there("same_key", certificate.c.key_sha256 == bindparam("key_sha256")),
    ).select_from(
        select(literal_column("1")).subquery("always").outerjoin(challenge, challenge.c.mac == bindparam("mac"))
    )
)
_DETAILS = {"conversation": _OPEN, "holder": _BOUND, "same_key": BY_KEY}
"""What is read of what is there."""

_OF_TRANSACTION = Statement(
    select(enrolment)
    .where(
        enrolment.c.transaction_id == bindparam("transaction_id"),
        enrolment.c.endpoint == bindparam("endpoint"),
        enrolment.c.signer_serial.is_(None),
        enrolment.c.key_sha256 == bindparam("key_sha256"),
        enrolment.c.open_key.is_not(None),
    )
    .order_by(enrolment.c.id.desc())
    .limit(1)
)
_DISMISS = Statement(
    update(enrolment)
    .where(enrolment.c.id == bindparam("which"), enrolment.c.state == literal_column("'pending'"))
    .values(
        state="refused",
        open_key=bindparam("no_key"),
        reason_id=bindparam("new_reason_id"),
        detail=bindparam("new_detail"),
        updated_at=bindparam("at"),
    )
)
_PENDING_COUNT = Statement(
    select(func.count().label("pending"))
    .select_from(enrolment)
    .where(enrolment.c.state == literal_column("'pending'"), enrolment.c.group == bindparam("group"))
)
_PENDING_SINCE = Statement(
    select(enrolment)
    .where(enrolment.c.state == literal_column("'pending'"), enrolment.c.created_at < bindparam("before"))
    .order_by(enrolment.c.created_at, enrolment.c.id)
    .limit(bindparam("most"))
)
_FORGET = Statement(
    delete(enrolment).where(enrolment.c.state == text("'refused'"), enrolment.c.updated_at < bindparam("before"))
)
_SEAL = inserting(sealed_challenge)
_SEALED = Statement(select(sealed_challenge.c.sealed).where(sealed_challenge.c.enrolment_id == bindparam("id")))
_FORGET_SEALED = Statement(
    delete(sealed_challenge).where(
        sealed_challenge.c.enrolment_id.in_(
            select(enrolment.c.id).where(
                enrolment.c.state != literal_column("'pending'"), enrolment.c.updated_at < bindparam("before")
            )
        )
    )
)


class SqlEnrolments(Noun):
    """See `ports.Enrolments`."""

    def enrolment(self, enrolment_id: UUID) -> Enrolment | None:
        """Find by id."""
        return _maybe(self._database.row(_BY_ID, {"id": enrolment_id.bytes}))

    def enrolments(self, wanted: EnrolmentFilter) -> tuple[Enrolment, ...]:
        """Return those that match, newest first."""
        statement = select(enrolment).where(*_conditions(wanted)).order_by(enrolment.c.id.desc()).limit(wanted.limit)
        return tuple(read_enrolment_row(row) for row in self._database.rows(Statement(statement), {}))

    def known(self, key: ConversationKey, since: datetime) -> Known:
        """Return what a request with this conversation key meets."""
        # Of a LIVE signer neither transaction nor challenge: nothing equals NULL.
        is_new = key.signer_serial is None
        values: Columns = {
            "key_sha256": key.key_sha256,
            "open_key": open_key(key),
            "endpoint": key.endpoint,
            "transaction_id": key.transaction_id if is_new else None,
            "since": millis(since),
            "mac": key.challenge_mac if is_new else None,
        }
        # By one statement, so of one moment: a challenge that the same request used on another node must not be seen
        # used without its conversation, or a retransmission would be called a replay.
        met = self._database.row(_MET, values)
        if met is None:
            raise InvariantError("a question without conditions found no row")
        there = [name for name in _DETAILS if met[name]]
        found = (
            dict(zip(there, self._database.look_up([(_DETAILS[name], values) for name in there]), strict=True))
            if there
            else {}
        )
        return Known(
            conversation=_newest(found.get("conversation", ())),
            holder=_newest(found.get("holder", ())),
            challenge=None if met["id"] is None else read_challenge_row(met),
            same_key=tuple(read_certificate_row(row) for row in found.get("same_key", ())),
        )

    def conversation_of(self, endpoint: str, transaction_id: bytes, key_sha256: bytes) -> Enrolment | None:
        """Return the newest open NEW-signer conversation of this transaction and key (MSG-3)."""
        if not storable(endpoint):
            return None
        values: Columns = {"endpoint": endpoint, "transaction_id": transaction_id, "key_sha256": key_sha256}
        return _maybe(self._database.row(_OF_TRANSACTION, values))

    def hold(
        self,
        enrolment: Enrolment,
        events: Sequence[EventDraft],
        *,
        closes: UUID | None = None,
        sealed_challenge: bytes | None = None,
    ) -> Begun:
        """Keep an enrolment that waits for a decision; it opens its conversation as TX1 would."""
        calls = opening(enrolment, enrolment.created_at)
        if sealed_challenge is not None:
            calls.append((_SEAL, {"enrolment_id": enrolment.id.bytes, "sealed": sealed_challenge}))
        return open_conversation(self._database, enrolment, calls, events, closes=closes)

    def sealed_challenge(self, enrolment_id: UUID) -> bytes | None:
        """Return what was kept with a held enrolment."""
        row = self._database.row(_SEALED, {"id": enrolment_id.bytes})
        return None if row is None else bytes(row["sealed"])

    def forget_sealed_challenges(self, before: datetime) -> int:
        """Delete those whose enrolments ended before then."""
        return self._database.write(lambda transaction: transaction.run(_FORGET_SEALED, {"before": millis(before)}))

    def dismiss(
        self, enrolment_id: UUID, at: datetime, reason_id: str, detail: str, events: Sequence[EventDraft]
    ) -> bool:
        """PENDING → REFUSED, which closes the conversation; False where it is not pending."""
        values: Columns = {
            "which": enrolment_id.bytes,
            "no_key": None,
            "new_reason_id": reason_id,
            "new_detail": plain(detail),
            "at": millis(at),
        }

        def unit(transaction: Transaction) -> None:
            if not transaction.run(_DISMISS, values):
                raise LostError
            transaction.record(events)

        return self._won(unit)

    def pending_count(self, group: str) -> int:
        """Count a group's enrolments that wait for a decision (RES-5)."""
        row = self._database.row(_PENDING_COUNT, {"group": group})
        return 0 if row is None else int(row["pending"])

    def pending_since(self, before: datetime, limit: int) -> tuple[Enrolment, ...]:
        """Return pending enrolments that were created earlier, oldest first."""
        rows = self._database.rows(_PENDING_SINCE, {"before": millis(before), "most": limit})
        return tuple(read_enrolment_row(row) for row in rows)

    def record_refusal(self, enrolment: Enrolment, events: Sequence[EventDraft]) -> None:
        """Keep a refused enrolment; it opens no conversation."""
        columns = enrolment_columns(enrolment) | {"open_key": None}

        def unit(transaction: Transaction) -> None:
            transaction.run(ADD_ENROLMENT, columns)
            transaction.record(events)

        self._database.write(unit)

    def forget_refusals(self, before: datetime) -> int:
        """Delete enrolments that were refused earlier."""
        return self._database.write(lambda transaction: transaction.run(_FORGET, {"before": millis(before)}))


def _conditions(wanted: EnrolmentFilter) -> Iterator[ColumnElement[bool]]:
    if wanted.state is not None:
        yield enrolment.c.state == wanted.state.value
    if wanted.endpoint is not None:
        yield enrolment.c.endpoint == wanted.endpoint


def _newest(rows: Sequence[Row]) -> Enrolment | None:
    return read_enrolment_row(max(rows, key=lambda row: row["id"])) if rows else None


def _maybe(row: Row | None) -> Enrolment | None:
    return None if row is None else read_enrolment_row(row)


def read_enrolment_row(row: Row) -> Enrolment:
    """Make the value of a row."""
    serial = row["signer_serial"]
    return Enrolment(
        id=UUID(bytes=row["id"]),
        key=ConversationKey(
            endpoint=row["endpoint"],
            transaction_id=row["transaction_id"],
            key_sha256=row["key_sha256"],
            signer_serial=None if serial is None else int.from_bytes(serial, "big"),
            challenge_mac=row["challenge_mac"],
        ),
        group=row["group"],
        profile=row["profile"],
        profile_version=row["profile_version"],
        state=EnrolmentState(row["state"]),
        asked=read_names(row["asked"]),
        allowed=read_names(row["allowed"]),
        csr=row["csr"],
        source=row["source"],
        created_at=from_millis(row["created_at"]),
        updated_at=from_millis(row["updated_at"]),
        lineage=read_lineage(row["lineage"]),
        certificate_id=id_or_none(row["certificate_id"]),
        reason_id=row["reason_id"],
        detail=row["detail"],
        stages=read_stages(row["stages"]),
    )
