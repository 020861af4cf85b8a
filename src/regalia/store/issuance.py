"""The two-phase record of each certificate (security.md §6), and what a signer may read of it (R8)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import bindparam, exists, literal_column, select, update

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
from regalia.store.tables import certificate, certificate_der, crl, enrolment, revocation
from regalia.store.values import millis, plain, stages_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from regalia.model import Certificate, CertificateIntent, Enrolment, EventDraft, StageNote
    from regalia.store.session import Columns

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
_SET_DER = Statement(
    update(certificate_der)
    .where(certificate_der.c.certificate_id == bindparam("which"))
    .values(der=bindparam("octets"))
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
    .order_by(certificate.c.id)
    .limit(bindparam("most"))
)
_CERTIFICATE_INTENT = Statement(
    select(certificate.c.key_id, certificate_der.c.tbs)
    .join(certificate_der, certificate_der.c.certificate_id == certificate.c.id)
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

        def unit(transaction: Transaction) -> None:
            if enrolment is not None and enrolment.key.signer_serial is None and resumes is None:
                _hold_transaction(transaction, enrolment, intent.created_at)
            if closes is not None:
                transaction.run(_CLOSE, {"which": closes.bytes, "no_key": None})
            # In the order of the calls: a conversation that is taken is told before its challenge, which then is too.
            for count, (statement, _) in zip(transaction.together(calls), calls, strict=True):
                if not count:
                    raise _TakenError(_TAKEN[statement])
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
            (_SET_DER, {"which": which, "octets": der}),
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


_TAKEN = {_MOVE_TO_NEW_CERTIFICATE: Begun.CONVERSATION_TAKEN, CONSUME: Begun.CHALLENGE_TAKEN}
"""What it means where a statement of TX1 finds no row."""


def _begin_calls(
    intent: CertificateIntent, enrolment: Enrolment | None, consume: UUID | None, resumes: UUID | None
) -> list[Call]:
    """Put together what TX1 writes."""
    calls: list[Call] = []
    if enrolment is not None:
        calls.append(_enrolment_call(enrolment, intent, resumes))
    if consume is not None:
        calls.append(_consume_call(consume, intent, enrolment))
    calls.append((ADD_CERTIFICATE, certificate_columns(intent)))
    calls.append((ADD_TBS, {"certificate_id": intent.id.bytes, "tbs": intent.tbs, "der": None}))
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


def _hold_transaction(transaction: Transaction, enrolment: Enrolment, now: datetime) -> None:
    """Check R3's rule on transactionIDs where nobody can pass it at the same moment."""
    key = enrolment.key
    transaction.one_at_a_time(b"transaction\0" + key.endpoint.encode() + b"\0" + key.transaction_id)
    values: Columns = {
        "endpoint": key.endpoint,
        "transaction_id": key.transaction_id,
        "key_sha256": key.key_sha256,
        "since": millis(now - _TRANSACTION_BINDS),
    }
    if transaction.row(HOLDERS, values) is not None:
        raise _TakenError(Begun.TRANSACTION_TAKEN)
