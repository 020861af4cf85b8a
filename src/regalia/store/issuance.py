"""The two-phase record of each certificate (security.md §6), and what a signer may read of it (R8)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import LargeBinary, bindparam, insert, literal_column, select, update

from regalia.model import CertificateKind, Revocation, RevocationReason, SigningIntent
from regalia.store.certificates import (
    ADD_CERTIFICATE,
    ADD_TBS,
    certificate_columns,
    certificate_rows,
    read_certificate_row,
)
from regalia.store.challenges import CONSUME
from regalia.store.connector_notices import KEEP_NOTICE, notice_columns
from regalia.store.conversations import REVOKED_ALREADY, approval, containment, open_conversation, opening, resumption
from regalia.store.ends import record_revocation
from regalia.store.hierarchy import REQUEST_INTENT
from regalia.store.session import Call, LostError, Noun, Statement, Transaction
from regalia.store.tables import certificate, certificate_der, certificate_tbs, crl, enrolment
from regalia.store.values import millis, plain, stages_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from regalia.model import Certificate, CertificateIntent, Enrolment, EventDraft, StageNote
    from regalia.ports import Begun
    from regalia.ports.fleet import Notice

__all__ = ["SqlIssuance"]

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
_EXPIRED = Statement(
    certificate_rows()
    .where(certificate.c.state == literal_column("'intent'"), certificate.c.lease_until < bindparam("now"))
    # All leases are of one length, so this is the order of creation too; by id alone SQLite walks over the table.
    .order_by(certificate.c.lease_until, certificate.c.id)
    .limit(bindparam("most"))
)
# Begun more than a lease from now: by a clock that was set back since (see `ca.recover.overdue`).
_FROM_THE_FUTURE = Statement(
    certificate_rows()
    .where(
        certificate.c.state == literal_column("'intent'"),
        certificate.c.lease_until > bindparam("now"),
        certificate.c.created_at - (certificate.c.lease_until - certificate.c.created_at) > bindparam("now"),
    )
    .order_by(certificate.c.lease_until, certificate.c.id)
    .limit(bindparam("most"))
)
_CERTIFICATE_INTENT = Statement(
    select(certificate.c.key_id, certificate.c.kind, certificate_tbs.c.tbs)
    .join(certificate_tbs, certificate_tbs.c.certificate_id == certificate.c.id)
    .where(certificate.c.id == bindparam("which"), certificate.c.state == literal_column("'intent'"))
)
_CRL_INTENT = Statement(
    select(crl.c.key_id, crl.c.tbs_path, crl.c.tbs_sha256).where(
        crl.c.id == bindparam("which"), crl.c.tbs_sha256.is_not(None), crl.c.published_at.is_(None)
    )
)


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
        approves: bool = False,
        notice: Notice | None = None,
    ) -> Begun:
        """TX1: all of it, or a word about who was first."""
        calls = containment(intent)
        if enrolment is not None:
            enrolment = replace(enrolment, certificate_id=intent.id)
            if resumes is not None:
                calls += resumption(enrolment, resumes)
            elif approves:
                calls += approval(enrolment)
            else:
                calls += opening(enrolment, intent.created_at)
        if consume is not None:
            calls.append(_consume_call(consume, intent, enrolment))
        calls.append((ADD_CERTIFICATE, certificate_columns(intent)))
        calls.append((ADD_TBS, {"certificate_id": intent.id.bytes, "tbs": intent.tbs}))
        if notice is not None:
            calls.append((KEEP_NOTICE, notice_columns(notice)))
        return open_conversation(self._database, enrolment, calls, events, closes=closes)

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
            transaction.record(events)
            # TX2 belongs to whoever turns the intent.
            transaction.conclude(calls, (1, None, None))

        return self._won(unit)

    def abandon(self, certificate_id: UUID, at: datetime, events: Sequence[EventDraft]) -> bool:
        """INTENT → ABANDONED, revoked in the same transaction (ISS-2)."""
        which = certificate_id.bytes

        def unit(transaction: Transaction) -> None:
            if not transaction.run(_TO_ABANDONED, {"which": which}):
                raise LostError
            if transaction.row(REVOKED_ALREADY, {"which": which}) is None:
                record_revocation(
                    transaction,
                    Revocation(certificate_id, RevocationReason.UNSPECIFIED, "abandoned", "system", at),
                )
            transaction.record(events)

        return self._won(unit)

    def expired_intents(self, now: datetime, limit: int) -> tuple[Certificate, ...]:
        """Return intents whose lease ended before `now`, oldest first, and those of a clock that was set back."""
        rows = self._database.rows(_EXPIRED, {"now": millis(now), "most": limit})
        if len(rows) < limit:
            rows += self._database.rows(_FROM_THE_FUTURE, {"now": millis(now), "most": limit - len(rows)})
        return tuple(read_certificate_row(row) for row in rows)

    def signing_intent(self, row_id: UUID) -> SigningIntent | None:
        """Return what a signer may sign: a committed intent of a certificate, a CRL or an authority's request."""
        row = self._database.row(_CERTIFICATE_INTENT, {"which": row_id.bytes})
        if row is not None:
            kind = CertificateKind(row["kind"])
            return SigningIntent(row_id, UUID(bytes=row["key_id"]), row["tbs"], None, None, kind)
        row = self._database.row(_CRL_INTENT, {"which": row_id.bytes})
        if row is not None:
            return SigningIntent(row_id, UUID(bytes=row["key_id"]), None, row["tbs_path"], row["tbs_sha256"])
        row = self._database.row(REQUEST_INTENT, {"which": row_id.bytes})
        if row is not None:
            return SigningIntent(row_id, UUID(bytes=row["key_id"]), row["info"], None, None)
        return None


def _consume_call(challenge_id: UUID, intent: CertificateIntent, enrolment: Enrolment | None) -> Call:
    return CONSUME, {
        "which": challenge_id.bytes,
        "at": millis(intent.created_at),
        "by": None if enrolment is None else enrolment.id.bytes,
        "key": intent.key_sha256,
        "source": None if enrolment is None else plain(enrolment.source),
    }
