"""Opening a conversation: what TX1 of an issuance and the holding of a request for approval have in common (R3, ISS-4).

Each rule is decided inside the transaction that writes, by row counts, a unique index and one lock, so that of two
nodes that want the same thing one is told that the other was first.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, exists, literal_column, or_, select, update

from regalia.ports import Begun
from regalia.store.challenges import CONSUME
from regalia.store.session import ConflictError, LostError, Statement, Transaction, inserting
from regalia.store.tables import certificate, enrolment, revocation
from regalia.store.values import lineage_text, millis, names_text, open_key, plain, serial_octets, stages_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import BindParameter

    from regalia.model import ConversationKey, Enrolment, EventDraft
    from regalia.store.session import Call, Columns, Database

__all__ = [
    "ADD_ENROLMENT",
    "BINDING",
    "HOLDERS",
    "REVOKED_ALREADY",
    "approval",
    "enrolment_columns",
    "open_conversation",
    "opening",
    "resumption",
]

_TRANSACTION_BINDS = timedelta(hours=24)
"""How long a transactionID belongs to its key after the enrolment began (R3)."""

ADD_ENROLMENT = inserting(enrolment)

BINDING = (
    enrolment.c.transaction_id == bindparam("transaction_id"),
    enrolment.c.endpoint == bindparam("endpoint"),
    enrolment.c.signer_serial.is_(None),
    enrolment.c.state != "refused",
    or_(enrolment.c.state != "issued", enrolment.c.created_at >= bindparam("since")),
)
"""R3's rule on transactionIDs: whose NEW-signer conversation a transactionID belongs to."""

HOLDERS = Statement(select(enrolment.c.id).where(*BINDING, enrolment.c.key_sha256 != bindparam("key_sha256")).limit(1))
"""Whether another key holds the transactionID."""

REVOKED_ALREADY = Statement(select(revocation.c.at).where(revocation.c.certificate_id == bindparam("which")))

_NEW_VALUES: dict[str, BindParameter[object]] = {
    column.name: bindparam(f"new_{column.name}") for column in enrolment.c if column.name != "id"
}
_MOVE_TO_NEW_CERTIFICATE = Statement(
    update(enrolment)
    .where(
        enrolment.c.id == bindparam("which"),
        enrolment.c.certificate_id == bindparam("abandoned"),
        exists().where(certificate.c.id == bindparam("abandoned"), certificate.c.state == "abandoned"),
    )
    .values(_NEW_VALUES)
)
_APPROVE = Statement(
    update(enrolment)
    .where(enrolment.c.id == bindparam("which"), enrolment.c.state == literal_column("'pending'"))
    .values(_NEW_VALUES)
)
_CLOSE = Statement(update(enrolment).where(enrolment.c.id == bindparam("which")).values(open_key=bindparam("no_key")))

_OUTCOMES = {
    _MOVE_TO_NEW_CERTIFICATE: (1, Begun.CONVERSATION_TAKEN),
    _APPROVE: (1, Begun.CONVERSATION_TAKEN),
    HOLDERS: (0, Begun.TRANSACTION_TAKEN),
    CONSUME: (1, Begun.CHALLENGE_TAKEN),
}
"""How many rows a statement finds where all is well, and what it means where it does not."""


class _TakenError(LostError):
    """Another transaction had it first."""

    def __init__(self, how: Begun) -> None:
        super().__init__(how)
        self.how = how


def open_conversation(
    database: Database,
    enrolment: Enrolment | None,
    calls: Sequence[Call],
    events: Sequence[EventDraft],
    *,
    closes: UUID | None = None,
) -> Begun:
    """Write all of it in one transaction, or nothing and a word about who was first."""
    if closes is not None:
        calls = [(_CLOSE, {"which": closes.bytes, "no_key": None}), *calls]
    holds = _transaction_name(enrolment) if any(statement is HOLDERS for statement, _ in calls) else None

    def unit(transaction: Transaction) -> None:
        if holds:
            transaction.one_at_a_time(holds)
        if enrolment is not None:
            _check_predecessor(transaction, enrolment)
        transaction.record(events)
        transaction.conclude(calls, judge)

    def judge(counts: Sequence[int]) -> None:
        for count, (statement, _) in zip(counts, calls, strict=True):
            wanted, taken = _OUTCOMES.get(statement, (count, Begun.BEGUN))
            if count != wanted:
                raise _TakenError(taken)

    return _begun(database, unit)


def _begun(database: Database, unit: Callable[[Transaction], None]) -> Begun:
    try:
        database.write(unit)
    except _TakenError as taken:
        return taken.how
    except ConflictError as conflict:
        if conflict.table != "enrolment":
            raise
        return Begun.CONVERSATION_TAKEN
    return Begun.BEGUN


def opening(value: Enrolment, at: datetime) -> list[Call]:
    """Make the calls that begin a conversation: its row and, for a NEW signer, R3's rule on transactionIDs."""
    calls: list[Call] = [(ADD_ENROLMENT, enrolment_columns(value))]
    if value.key.signer_serial is None:
        calls.append((HOLDERS, _holders_values(value.key, at)))
    return calls


def resumption(value: Enrolment, abandoned: UUID) -> list[Call]:
    """Make the call that moves a conversation from an abandoned certificate to a new one."""
    return [(_MOVE_TO_NEW_CERTIFICATE, _new_values(value) | {"abandoned": abandoned.bytes})]


def approval(value: Enrolment) -> list[Call]:
    """Make the call that takes an enrolment out of the queue."""
    return [(_APPROVE, _new_values(value))]


def _new_values(value: Enrolment) -> Columns:
    columns = enrolment_columns(value)
    return {f"new_{name}": column for name, column in columns.items() if name != "id"} | {"which": value.id.bytes}


def _check_predecessor(transaction: Transaction, enrolment: Enrolment) -> None:
    """See that nobody revoked the signer of a renewal since it was judged."""
    predecessor = enrolment.lineage.predecessor if enrolment.lineage is not None else None
    if predecessor is not None and transaction.row(REVOKED_ALREADY, {"which": predecessor.bytes}) is not None:
        raise _TakenError(Begun.SIGNER_REVOKED)


def _transaction_name(enrolment: Enrolment | None) -> bytes | None:
    """Name what two nodes must not check at once: R3's rule binds NEW signers of one endpoint and transactionID."""
    if enrolment is None:
        return None
    return b"transaction\0" + enrolment.key.endpoint.encode() + b"\0" + enrolment.key.transaction_id


def _holders_values(key: ConversationKey, now: datetime) -> Columns:
    return {
        "endpoint": key.endpoint,
        "transaction_id": key.transaction_id,
        "key_sha256": key.key_sha256,
        "since": millis(now - _TRANSACTION_BINDS),
    }


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
