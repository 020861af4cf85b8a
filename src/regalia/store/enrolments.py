"""Conversations: rows ⇄ values."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import bindparam, delete, or_, select, text, update

from regalia.model import ConversationKey, Enrolment, EnrolmentState
from regalia.store.session import Noun, Row, Statement, Transaction, inserting
from regalia.store.tables import enrolment
from regalia.store.values import (
    from_millis,
    id_or_none,
    lineage_text,
    millis,
    names_text,
    open_key,
    plain,
    read_lineage,
    read_names,
    read_stages,
    serial_octets,
    stages_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement

    from regalia.model import EventDraft
    from regalia.ports import EnrolmentFilter
    from regalia.store.session import Columns

__all__ = ["ADD_ENROLMENT", "HOLDERS", "SqlEnrolments", "enrolment_columns"]

ADD_ENROLMENT = inserting(enrolment)

_BY_ID = Statement(select(enrolment).where(enrolment.c.id == bindparam("id")))
_OPEN = Statement(select(enrolment).where(enrolment.c.open_key == bindparam("open_key")))

# R3's rule on transactionIDs: whose NEW-signer conversation a transactionID belongs to.
_binding = (
    enrolment.c.transaction_id == bindparam("transaction_id"),
    enrolment.c.endpoint == bindparam("endpoint"),
    enrolment.c.signer_serial.is_(None),
    enrolment.c.state != "refused",
    or_(enrolment.c.state != "issued", enrolment.c.created_at >= bindparam("since")),
)
_HOLDER = Statement(select(enrolment).where(*_binding).order_by(enrolment.c.id.desc()).limit(1))
HOLDERS = Statement(select(enrolment.c.id).where(*_binding, enrolment.c.key_sha256 != bindparam("key_sha256")).limit(1))
"""Whether another key holds the transactionID."""

_SET_STAGES = Statement(
    update(enrolment).where(enrolment.c.id == bindparam("which")).values(stages=bindparam("new_stages"))
)
_FORGET = Statement(
    delete(enrolment).where(enrolment.c.state == text("'refused'"), enrolment.c.created_at < bindparam("before"))
)


class SqlEnrolments(Noun):
    """See `ports.Enrolments`."""

    def enrolment(self, enrolment_id: UUID) -> Enrolment | None:
        """Find by id."""
        return _maybe(self._database.row(_BY_ID, {"id": enrolment_id.bytes}))

    def enrolments(self, wanted: EnrolmentFilter) -> tuple[Enrolment, ...]:
        """Return those that match, newest first."""
        statement = select(enrolment).where(*_conditions(wanted)).order_by(enrolment.c.id.desc()).limit(wanted.limit)
        return tuple(_read(row) for row in self._database.rows(Statement(statement), {}))

    def conversation(self, key: ConversationKey) -> Enrolment | None:
        """Return the open conversation of this key."""
        return _maybe(self._database.row(_OPEN, {"open_key": open_key(key)}))

    def transaction_holder(self, endpoint: str, transaction_id: bytes, since: datetime) -> Enrolment | None:
        """Return the newest NEW-signer conversation with this transactionID that binds it (R3)."""
        values: Columns = {"endpoint": endpoint, "transaction_id": transaction_id, "since": millis(since)}
        return _maybe(self._database.row(_HOLDER, values))

    def record_refusal(self, enrolment: Enrolment, events: Sequence[EventDraft]) -> None:
        """Keep a refused enrolment; it opens no conversation."""
        columns = enrolment_columns(enrolment) | {"open_key": None}

        def unit(transaction: Transaction) -> None:
            transaction.run(ADD_ENROLMENT, columns)
            transaction.record(events)

        self._database.write(unit)

    def add_stages(self, enrolment: Enrolment) -> None:
        """Replace the stages by those of this value."""
        values: Columns = {"which": enrolment.id.bytes, "new_stages": stages_text(enrolment.stages)}
        self._database.write(lambda transaction: transaction.run(_SET_STAGES, values))

    def forget_refusals(self, before: datetime) -> int:
        """Delete refused enrolments that were created earlier."""
        return self._database.write(lambda transaction: transaction.run(_FORGET, {"before": millis(before)}))


def _conditions(wanted: EnrolmentFilter) -> Iterator[ColumnElement[bool]]:
    if wanted.state is not None:
        yield enrolment.c.state == wanted.state.value
    if wanted.endpoint is not None:
        yield enrolment.c.endpoint == wanted.endpoint


def _maybe(row: Row | None) -> Enrolment | None:
    return None if row is None else _read(row)


def _read(row: Row) -> Enrolment:
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


def enrolment_columns(value: Enrolment) -> Columns:
    """Make the row of an open conversation."""
    key, link = value.key, value.lineage
    return {
        "id": value.id.bytes,
        "open_key": open_key(key),
        "endpoint": key.endpoint,
        "transaction_id": key.transaction_id,
        "key_sha256": key.key_sha256,
        "signer_serial": None if key.signer_serial is None else serial_octets(key.signer_serial),
        "challenge_mac": key.challenge_mac,
        "group": value.group,
        "profile": value.profile,
        "profile_version": value.profile_version,
        "state": value.state.value,
        "asked": names_text(value.asked),
        "allowed": names_text(value.allowed),
        "csr": value.csr,
        "source": plain(value.source),
        "created_at": millis(value.created_at),
        "updated_at": millis(value.updated_at),
        "chain": None if link is None else link.first.bytes,
        "generation": None if link is None else link.generation,
        "lineage": lineage_text(link),
        "certificate_id": None if value.certificate_id is None else value.certificate_id.bytes,
        "reason_id": value.reason_id,
        "detail": plain(value.detail),
        "stages": stages_text(value.stages),
    }
