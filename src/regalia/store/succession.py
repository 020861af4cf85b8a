"""Authorities that follow one another, credentials that end, suspended groups, holders: rows ⇄ values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, exists, literal_column, null, or_, select, update

from regalia.model import Action
from regalia.ports import Holder
from regalia.store.authorities import read_credential
from regalia.store.session import LostError, Noun, Statement, Transaction
from regalia.store.tables import authority, certificate, credential, enrolment, event, group, revocation
from regalia.store.values import from_millis, millis, plain, storable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import ColumnElement

    from regalia.model import Credential, CredentialPurpose, EventDraft
    from regalia.store.session import Columns, Row

__all__ = ["SqlSuccessions"]

_ACTIVATE = Statement(
    update(authority)
    .where(authority.c.name == bindparam("which"), authority.c.state == literal_column("'next'"))
    .values(state="active", state_since=bindparam("at"), activates_at=null())
)
_RETIRE_FORMER = Statement(
    update(authority)
    .where(authority.c.name == bindparam("former"), authority.c.state == literal_column("'active'"))
    .values(state="retiring", state_since=bindparam("at"))
)
_NAME = Statement(
    update(group)
    .where(group.c.name == bindparam("whose"), group.c.authority == bindparam("former"))
    .values(authority=bindparam("which"))
)
_SUSPEND = Statement(
    update(group)
    .where(group.c.name == bindparam("whose"), group.c.suspended_at.is_(None))
    .values(suspended_at=bindparam("at"), suspended_why=bindparam("why"))
)
_RESUME = Statement(
    update(group)
    .where(group.c.name == bindparam("whose"), group.c.suspended_at.is_not(None))
    .values(suspended_at=null(), suspended_why="")
)
_CREDENTIALS = Statement(
    select(credential)
    .where(credential.c.group == bindparam("whose"), credential.c.purpose == bindparam("purpose"))
    .order_by(credential.c.id.desc())
)
_END = Statement(
    update(credential)
    .where(credential.c.id == bindparam("which"), credential.c.ended_at.is_(None))
    .values(ended_at=bindparam("at"))
)
_LIVES = Statement(
    select(certificate.c.id)
    .where(
        certificate.c.authority == bindparam("which"),
        certificate.c.not_after > bindparam("now"),
        or_(certificate.c.kind == literal_column("'leaf'"), certificate.c.kind == literal_column("'tls'")),
        certificate.c.state != literal_column("'abandoned'"),
    )
    .limit(1)
)
_CAME_WITH_ITS_KEY = Statement(
    select(certificate.c.id)
    .join(authority, authority.c.certificate_id == certificate.c.id)
    .join(event, event.c.object == literal_column("'authority:'").concat(authority.c.name))
    .where(
        authority.c.name == bindparam("which"),
        certificate.c.not_after > bindparam("now"),
        event.c.action == literal_column(f"'{Action.AUTHORITY_IMPORTED.value}'"),
    )
    .limit(1)
)

_issuer = authority.alias("issuer")
_later = certificate.alias("later")
_later_issuer = authority.alias("later_issuer")
_later_end = revocation.alias("later_end")


def _succeeded(same: ColumnElement[bool]) -> ColumnElement[bool]:
    """Whether there is a later certificate for the same holder that stands."""
    return exists(
        select(literal_column("1"))
        .select_from(_later)
        .join(_later_issuer, _later_issuer.c.name == _later.c.authority)
        .outerjoin(_later_end, _later_end.c.certificate_id == _later.c.id)
        .where(
            same,
            _later.c.group == certificate.c.group,
            _later.c.kind == literal_column("'leaf'"),
            _later.c.state == literal_column("'issued'"),
            _later.c.created_at > certificate.c.created_at,
            _later_issuer.c.state != literal_column("'revoked'"),
            _later_end.c.certificate_id.is_(None),
        )
        .correlate(certificate)
    )


_HOLDERS = Statement(
    select(
        certificate.c.device,
        certificate.c.subject,
        certificate.c.unverified,
        certificate.c.authority,
        certificate.c.serial,
        certificate.c.not_after,
        enrolment.c.endpoint,
    )
    .join(_issuer, _issuer.c.name == certificate.c.authority)
    .outerjoin(revocation, revocation.c.certificate_id == certificate.c.id)
    .outerjoin(enrolment, enrolment.c.id == certificate.c.enrolment_id)
    .where(
        certificate.c.group == bindparam("whose"),
        certificate.c.kind == literal_column("'leaf'"),
        certificate.c.state == literal_column("'issued'"),
        certificate.c.not_after > bindparam("now"),
        _issuer.c.state == literal_column("'revoked'"),
        revocation.c.certificate_id.is_(None),
        ~_succeeded(certificate.c.device.is_not(None) & (_later.c.device == certificate.c.device)),
        ~_succeeded(certificate.c.device.is_(None) & (_later.c.subject == certificate.c.subject)),
    )
    .order_by(certificate.c.created_at.desc(), certificate.c.id.desc())
)


class SqlSuccessions(Noun):
    """See `ports.Successions`."""

    def activate_authority(
        self, name: str, group: str, replaces: str, at: datetime, events: Sequence[EventDraft], *, resumes: bool = False
    ) -> bool:
        """NEXT → ACTIVE, the group names it, the former is RETIRING; False where somebody else was faster."""
        now = millis(at)

        def unit(transaction: Transaction) -> None:
            if not transaction.run(_ACTIVATE, {"which": name, "at": now}):
                raise LostError
            transaction.run(_RETIRE_FORMER, {"former": replaces, "at": now})
            if not transaction.run(_NAME, {"whose": group, "which": name, "former": replaces}):
                raise LostError
            if resumes:
                transaction.run(_RESUME, {"whose": group})

        return self._change_catalogue(events, f"authority:{name}", unit)

    def suspend_group(self, name: str, at: datetime, why: str, events: Sequence[EventDraft]) -> bool:
        """Note since when, and why; False where it is unknown or suspended already."""
        return self._changed(name, events, _SUSPEND, {"whose": name, "at": millis(at), "why": plain(why)})

    def resume_group(self, name: str, events: Sequence[EventDraft]) -> bool:
        """End its suspension; False where it is unknown or not suspended."""
        return self._changed(name, events, _RESUME, {"whose": name})

    def _changed(self, name: str, events: Sequence[EventDraft], statement: Statement, values: Columns) -> bool:
        def unit(transaction: Transaction) -> None:
            if not transaction.run(statement, values):
                raise LostError

        return storable(name) and self._change_catalogue(events, f"group:{name}", unit)

    def group_credentials(self, purpose: CredentialPurpose, group: str) -> tuple[Credential, ...]:
        """Return those of all authorities of a group, newest first."""
        rows = self._database.rows(_CREDENTIALS, {"purpose": purpose.value, "whose": group})
        return tuple(read_credential(row) for row in rows)

    def end_credential(self, credential_id: UUID, at: datetime, events: Sequence[EventDraft]) -> bool:
        """Note when it ended; False where that was done already."""

        def unit(transaction: Transaction) -> None:
            if not transaction.run(_END, {"which": credential_id.bytes, "at": millis(at)}):
                raise LostError

        return self._change_catalogue(events, f"credential:{credential_id}", unit)

    def lives_on(self, authority: str, now: datetime) -> bool:
        """Whether a certificate of somebody else's that it issued is not expired yet, or may be."""
        which: Columns = {"which": authority, "now": millis(now)}
        return any(self._database.row(statement, which) is not None for statement in (_LIVES, _CAME_WITH_ITS_KEY))

    def holders(self, group: str, now: datetime) -> tuple[Holder, ...]:
        """Return who has to enrol anew, by device and subject."""
        if not storable(group):
            return ()
        rows = self._database.rows(_HOLDERS, {"whose": group, "now": millis(now)})
        by_holder: dict[tuple[str, str], list[Row]] = {}
        for row in rows:
            by_holder.setdefault((row["device"] or "", "" if row["device"] else row["subject"]), []).append(row)
        return tuple(_holder(by_holder[key]) for key in sorted(by_holder))


def _holder(rows: Sequence[Row]) -> Holder:
    newest = rows[0]
    return Holder(
        device=newest["device"],
        subject=newest["subject"],
        unverified=bool(newest["unverified"]),
        endpoint=newest["endpoint"],
        authority=newest["authority"],
        serial=int.from_bytes(newest["serial"], "big"),
        not_after=from_millis(newest["not_after"]),
        certificates=len(rows),
    )
