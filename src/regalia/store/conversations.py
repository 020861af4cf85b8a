"""Opening a conversation: what TX1 of an issuance and the holding of a request for approval have in common (R3, ISS-4).

Each rule is decided inside the transaction that writes, by row counts, a unique index and one lock, so that of two
nodes that want the same thing one is told that the other was first.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, exists, literal_column, or_, select, union_all, update

from regalia.model import CertificateKind
from regalia.ports import Begun
from regalia.store.challenges import CONSUME
from regalia.store.session import ConflictError, MissedError, Statement, Transaction, inserting
from regalia.store.tables import OPEN, authority, certificate, enrolment, group, hold, revocation
from regalia.store.values import lineage_text, millis, names_text, open_key, plain, serial_octets, stages_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import BindParameter

    from regalia.model import CertificateIntent, ConversationKey, Enrolment, EventDraft
    from regalia.store.session import Call, Columns, Database

__all__ = [
    "ADD_ENROLMENT",
    "BINDING",
    "HOLDERS",
    "REVOKED_ALREADY",
    "approval",
    "containment",
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

REVOKED_ALREADY = Statement(
    union_all(
        select(revocation.c.at).where(revocation.c.certificate_id == bindparam("which")),
        select(hold.c.at).where(
            hold.c.certificate_id == bindparam("which"), hold.c.ended_position == literal_column(str(OPEN))
        ),
    )
)
"""Whether a certificate is revoked, or held."""

_SUSPENDED = Statement(
    select(group.c.suspended_at).where(group.c.name == bindparam("whose"), group.c.suspended_at.is_not(None))
)
_ENDED = Statement(
    select(authority.c.state).where(
        authority.c.name == bindparam("issuer"),
        # One that is retiring may be what another worker still takes for the present one: a rollover refuses nobody.
        or_(authority.c.state == literal_column("'revoked'"), authority.c.state == literal_column("'retired'")),
    )
)

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
    _SUSPENDED: (0, Begun.GROUP_SUSPENDED),
    _ENDED: (0, Begun.AUTHORITY_ENDED),
    REVOKED_ALREADY: (0, Begun.SIGNER_REVOKED),
    _MOVE_TO_NEW_CERTIFICATE: (1, Begun.CONVERSATION_TAKEN),
    _APPROVE: (1, Begun.CONVERSATION_TAKEN),
    HOLDERS: (0, Begun.TRANSACTION_TAKEN),
    CONSUME: (1, Begun.CHALLENGE_TAKEN),
}
"""How many rows a statement finds where all is well, and what it means where it does not."""

_ANY = (None, Begun.BEGUN)


def open_conversation(
    database: Database,
    enrolment: Enrolment | None,
    calls: Sequence[Call],
    events: Sequence[EventDraft],
    *,
    closes: UUID | None = None,
) -> Begun:
    """Write all of it in one transaction, or nothing and a word about who was first."""
    holds = _transaction_name(enrolment) if any(statement is HOLDERS for statement, _ in calls) else None

    calls = [*_predecessor(enrolment), *calls]
    outcomes = [_OUTCOMES.get(statement, _ANY) for statement, _ in calls]

    def unit(transaction: Transaction) -> None:
        if holds:
            transaction.one_at_a_time(holds)
        if closes is not None:
            # Before the others: its conversation key becomes free for them.
            transaction.run(_CLOSE, {"which": closes.bytes, "no_key": None})
        transaction.record(events)
        transaction.conclude(calls, [rows for rows, _ in outcomes])

    try:
        database.write(unit)
    except MissedError as missed:
        return outcomes[missed.which][1]
    except ConflictError as conflict:
        if conflict.table != "enrolment":
            raise
        return Begun.CONVERSATION_TAKEN
    return Begun.BEGUN


def containment(intent: CertificateIntent) -> list[Call]:
    """Make the calls that see that nobody suspended the group, or revoked the authority, since it was judged.

    A worker hears of either within a second: what it decided meanwhile ends here. Only devices' certificates do, since
    a suspended group goes on to answer with credentials that are renewed.
    """
    if intent.kind is not CertificateKind.LEAF:
        return []
    return [(_SUSPENDED, {"whose": intent.group}), (_ENDED, {"issuer": intent.authority})]


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


def _predecessor(enrolment: Enrolment | None) -> list[Call]:
    """Make the call that sees that nobody revoked the signer of a renewal since it was judged."""
    link = None if enrolment is None else enrolment.lineage
    if link is None or link.predecessor is None:
        return []
    return [(REVOKED_ALREADY, {"which": link.predecessor.bytes})]


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
