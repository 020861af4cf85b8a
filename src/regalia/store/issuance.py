"""The two-phase record of each certificate (security.md §6), and what a signer may read of it (R8)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import LargeBinary, bindparam, exists, insert, literal_column, select, update

from regalia.model import Revocation, RevocationReason, SigningIntent
from regalia.ports import Begun
from regalia.store.certificates import (
    ADD_CERTIFICATE,
    ADD_TBS,
    certificate_columns,
    certificate_rows,
    read_certificate_row,
    record_revocation,
)
from regalia.store.challenges import CONSUME
from regalia.store.enrolments import ADD_ENROLMENT, HOLDERS, enrolment_columns
from regalia.store.session import Call, ConflictError, LostError, Noun, Statement, Transaction
from regalia.store.tables import certificate, certificate_der, certificate_tbs, crl, enrolment, revocation
from regalia.store.values import millis, plain, stages_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from regalia.model import Certificate, CertificateIntent, ConversationKey, Enrolment, EventDraft, StageNote

__all__ = ["SqlIssuance"]

_TRANSACTION_BINDS = timedelta(hours=24)
"""How long a transactionID belongs to its key after the enrolment began (R3)."""

_CLOSE = Statement(update(enrolment).where(enrolment.c.id == bindparam("which")).values(open_key=bindparam("no_key")))
_MOVE_TO_NEW_CERTIFICATE = Statement(
    update(enrolment)
    .where(
        enrolment.c.id == bindparam("which"),
        enrolment.c.certificate_id == bindparam("abandoned"),
        exists().where(certificate.c.id == bindparam("abandoned"), certificate.c.state == "abandoned"),
    )
    .values({column.name: bindparam(f"new_{column.name}") for column in enrolment.c if column.name != "id"})
)
_TO_ISSUED = Statement(
    update(certificate)
    .where(certificate.c.id == bindparam("which"), certificate.c.state == literal_column("'intent'"))
    .values(state="issued", issued_at=bindparam("at"))
)
_TO_ABANDONED = Statement(
    update(certificate)
    .where(certificate.c.id == bindparam("which"), certificate.c.state == literal_column("'intent'"))
    .values(state="abandoned")
)
# From the row, so that a certificate that does not exist is no error but nothing.
_ADD_DER = Statement(
    insert(certificate_der)
    .from_select(
        ["certificate_id", "der"],
        select(certificate.c.id, bindparam("octets", type_=LargeBinary)).where(certificate.c.id == bindparam("which")),
    )
    .inline()
)
_ENROLMENT_ISSUED = Statement(
    update(enrolment)
    .where(
        enrolment.c.id
        == select(certificate.c.enrolment_id).where(certificate.c.id == bindparam("which")).scalar_subquery()
    )
    .values(state="issued", updated_at=bindparam("at"), stages=enrolment.c.stages.concat(bindparam("more_stages")))
)
_REVOKED_ALREADY = Statement(select(revocation.c.at).where(revocation.c.certificate_id == bindparam("which")))
_EXPIRED = Statement(
    certificate_rows()
    .where(certificate.c.state == literal_column("'intent'"), certificate.c.lease_until < bindparam("now"))
    # All leases are of one length, so this is the order of creation too; by id alone SQLite walks over the table.
    .order_by(certificate.c.lease_until, certificate.c.id)
    .limit(bindparam("most"))
)
_CERTIFICATE_INTENT = Statement(
    select(certificate.c.key_id, certificate_tbs.c.tbs)
    .join(certificate_tbs, certificate_tbs.c.certificate_id == certificate.c.id)
    .where(certificate.c.id == bindparam("which"), certificate.c.state == literal_column("'intent'"))
)
_CRL_INTENT = Statement(
    select(crl.c.key_id, crl.c.tbs_path, crl.c.tbs_sha256).where(
        crl.c.id == bindparam("which"), crl.c.tbs_sha256.is_not(None), crl.c.published_at.is_(None)
    )
)


class _TakenError(LostError):
    """Another transaction had it first."""

    def __init__(self, how: Begun) -> None:
        super().__init__(how)
        self.how = how


class SqlIssuance(Noun):
    """See `ports.Issuance` and `ports.Intents`."""

    def begin(
        self,
        intent: CertificateIntent,
        events: Sequence[EventDraft],
        *,
        enrolment: Enrolment | None = None,
        consume: UUID | None = None,
        closes: UUID | None = None,
        resumes: UUID | None = None,
    ) -> Begun:
        """TX1: all of it, or a word about who was first."""
        calls = _begin_calls(intent, enrolment, consume, resumes)
        holds = _transaction_name(enrolment) if resumes is None else None

        def unit(transaction: Transaction) -> None:
            if holds:
                transaction.one_at_a_time(holds)
            if enrolment is not None:
                _check_predecessor(transaction, enrolment)
            if closes is not None:
                transaction.run(_CLOSE, {"which": closes.bytes, "no_key": None})
            for count, (statement, _) in zip(transaction.together(calls), calls, strict=True):
                wanted, taken = _OUTCOMES.get(statement, (count, Begun.BEGUN))
                if count != wanted:
                    raise _TakenError(taken)
            transaction.record(events)

        try:
            self._database.write(unit)
        except _TakenError as taken:
            return taken.how
        except ConflictError as conflict:
            if conflict.table != "enrolment":
                raise
            return Begun.CONVERSATION_TAKEN
        return Begun.BEGUN

    def finish(
        self,
        certificate_id: UUID,
        der: bytes,
        at: datetime,
        events: Sequence[EventDraft],
        stages: Sequence[StageNote] = (),
    ) -> bool:
        """TX2: INTENT → ISSUED, and its enrolment with it."""
        which, now = certificate_id.bytes, millis(at)
        calls: list[Call] = [
            (_TO_ISSUED, {"which": which, "at": now}),
            (_ADD_DER, {"which": which, "octets": der}),
            (_ENROLMENT_ISSUED, {"which": which, "at": now, "more_stages": stages_text(stages)}),
        ]

        def unit(transaction: Transaction) -> None:
            if not transaction.together(calls)[0]:
                raise LostError
            transaction.record(events)

        return self._won(unit)

    def abandon(self, certificate_id: UUID, at: datetime, events: Sequence[EventDraft]) -> bool:
        """INTENT → ABANDONED, revoked in the same transaction (ISS-2)."""
        which = certificate_id.bytes

        def unit(transaction: Transaction) -> None:
            if not transaction.run(_TO_ABANDONED, {"which": which}):
                raise LostError
            if transaction.row(_REVOKED_ALREADY, {"which": which}) is None:
                record_revocation(
                    transaction,
                    Revocation(certificate_id, RevocationReason.UNSPECIFIED, "abandoned", "system", at),
                )
            transaction.record(events)

        return self._won(unit)

    def expired_intents(self, now: datetime, limit: int) -> tuple[Certificate, ...]:
        """Return intents whose lease ended before `now`, oldest first."""
        rows = self._database.rows(_EXPIRED, {"now": millis(now), "most": limit})
        return tuple(read_certificate_row(row) for row in rows)

    def signing_intent(self, row_id: UUID) -> SigningIntent | None:
        """Return what a signer may sign: a committed intent of a certificate or a CRL."""
        row = self._database.row(_CERTIFICATE_INTENT, {"which": row_id.bytes})
        if row is not None:
            return SigningIntent(row_id, UUID(bytes=row["key_id"]), row["tbs"], None, None)
        row = self._database.row(_CRL_INTENT, {"which": row_id.bytes})
        if row is not None:
            return SigningIntent(row_id, UUID(bytes=row["key_id"]), None, row["tbs_path"], row["tbs_sha256"])
        return None


_OUTCOMES = {
    _MOVE_TO_NEW_CERTIFICATE: (1, Begun.CONVERSATION_TAKEN),
    HOLDERS: (0, Begun.TRANSACTION_TAKEN),
    CONSUME: (1, Begun.CHALLENGE_TAKEN),
}
"""How many rows a statement of TX1 finds where all is well, and what it means where it does not."""


def _begin_calls(
    intent: CertificateIntent, enrolment: Enrolment | None, consume: UUID | None, resumes: UUID | None
) -> list[Call]:
    """Put together what TX1 writes."""
    calls: list[Call] = []
    if enrolment is not None:
        calls.append(_enrolment_call(enrolment, intent, resumes))
        if resumes is None and enrolment.key.signer_serial is None:
            calls.append(_holders_call(enrolment.key, intent.created_at))
    if consume is not None:
        calls.append(_consume_call(consume, intent, enrolment))
    calls.append((ADD_CERTIFICATE, certificate_columns(intent)))
    calls.append((ADD_TBS, {"certificate_id": intent.id.bytes, "tbs": intent.tbs}))
    return calls


def _enrolment_call(value: Enrolment, intent: CertificateIntent, resumes: UUID | None) -> Call:
    columns = enrolment_columns(value) | {"certificate_id": intent.id.bytes}
    if resumes is None:
        return ADD_ENROLMENT, columns
    moved = {f"new_{name}": column for name, column in columns.items() if name != "id"}
    return _MOVE_TO_NEW_CERTIFICATE, moved | {"which": value.id.bytes, "abandoned": resumes.bytes}


def _consume_call(challenge_id: UUID, intent: CertificateIntent, enrolment: Enrolment | None) -> Call:
    return CONSUME, {
        "which": challenge_id.bytes,
        "at": millis(intent.created_at),
        "by": None if enrolment is None else enrolment.id.bytes,
        "key": intent.key_sha256,
        "source": None if enrolment is None else plain(enrolment.source),
    }


def _check_predecessor(transaction: Transaction, enrolment: Enrolment) -> None:
    """See that nobody revoked the signer of a renewal since it was judged."""
    predecessor = enrolment.lineage.predecessor if enrolment.lineage is not None else None
    if predecessor is not None and transaction.row(_REVOKED_ALREADY, {"which": predecessor.bytes}) is not None:
        raise _TakenError(Begun.SIGNER_REVOKED)


def _transaction_name(enrolment: Enrolment | None) -> bytes | None:
    """Name what two nodes must not check at once: R3's rule binds NEW signers of one endpoint and transactionID."""
    if enrolment is None or enrolment.key.signer_serial is not None:
        return None
    return b"transaction\0" + enrolment.key.endpoint.encode() + b"\0" + enrolment.key.transaction_id


def _holders_call(key: ConversationKey, now: datetime) -> Call:
    return HOLDERS, {
        "endpoint": key.endpoint,
        "transaction_id": key.transaction_id,
        "key_sha256": key.key_sha256,
        "since": millis(now - _TRANSACTION_BINDS),
    }
