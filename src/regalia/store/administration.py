"""Administrators and set-up links: rows ⇄ values.

All changes of administrators take turns, so that what is said of several of them at once (`still`) holds when the
change is made. They are few and seldom.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import bindparam, delete, or_, select, update

from regalia.model import (
    Administrator,
    AdministratorState,
    OidcSubject,
    Passkey,
    Password,
    SetupLink,
)
from regalia.store.administration_values import grants_text, read_grants, use_note
from regalia.store.session import LostError, Noun, Row, Statement, Transaction, inserting
from regalia.store.tables import (
    administrator,
    administrator_passkey,
    administrator_subject,
    setup_link,
)
from regalia.store.values import (
    from_millis,
    id_or_none,
    millis,
    octets_or_none,
    optional_millis,
    plain,
    storable,
    time_or_none,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from regalia.model import EventDraft
    from regalia.store.session import Columns


__all__ = ["SqlAdministrators"]

_TURNS = b"administrators"

_ALL = Statement(select(administrator).order_by(administrator.c.name))
_ONE = Statement(select(administrator).where(administrator.c.id == bindparam("which")))
_NAMED = Statement(select(administrator).where(administrator.c.name == bindparam("name")))
_OF_SUBJECT = Statement(
    select(administrator)
    .join(administrator_subject, administrator_subject.c.administrator == administrator.c.id)
    .where(administrator_subject.c.issuer == bindparam("issuer"), administrator_subject.c.subject == bindparam("sub"))
)
_OF_PASSKEY = Statement(
    select(administrator)
    .join(administrator_passkey, administrator_passkey.c.administrator == administrator.c.id)
    .where(administrator_passkey.c.credential_id == bindparam("credential"))
)
_PASSKEYS = Statement(
    select(administrator_passkey)
    .where(administrator_passkey.c.administrator == bindparam("of"))
    .order_by(administrator_passkey.c.place)
)
_SUBJECTS = Statement(
    select(administrator_subject)
    .where(administrator_subject.c.administrator == bindparam("of"))
    .order_by(administrator_subject.c.place)
)
_ALL_PASSKEYS = Statement(select(administrator_passkey).order_by(administrator_passkey.c.place))
_ALL_SUBJECTS = Statement(select(administrator_subject).order_by(administrator_subject.c.place))
_ADD = inserting(administrator)
_ADD_PASSKEY = inserting(administrator_passkey)
_ADD_SUBJECT = inserting(administrator_subject)
_DROP_PASSKEYS = Statement(
    delete(administrator_passkey).where(administrator_passkey.c.administrator == bindparam("of"))
)
_DROP_SUBJECTS = Statement(
    delete(administrator_subject).where(administrator_subject.c.administrator == bindparam("of"))
)
_CHANGED = ("display", "state", "grants", "password_hash", "totp_sealed", "totp_last_step", "password_set_at")
_CHANGE = Statement(
    update(administrator)
    .where(administrator.c.id == bindparam("which"))
    .values({column: bindparam(f"new_{column}") for column in _CHANGED})
)
_SEEN = Statement(
    update(administrator)
    .where(
        administrator.c.id == bindparam("which"),
        or_(administrator.c.last_seen_at.is_(None), administrator.c.last_seen_at < bindparam("before")),
    )
    .values(last_seen_at=bindparam("at"))
)

_LINK = Statement(select(setup_link).where(setup_link.c.secret_sha256 == bindparam("secret")))
_ADD_LINK = inserting(setup_link)
_USE_LINK = Statement(
    update(setup_link)
    .where(
        setup_link.c.secret_sha256 == bindparam("secret"),
        setup_link.c.used_at.is_(None),
        setup_link.c.expires_at > bindparam("now"),
    )
    .values(used_at=bindparam("at"))
)
_open_links = update(setup_link).where(setup_link.c.used_at.is_(None), setup_link.c.expires_at > bindparam("now"))
_CLOSE_LINKS = Statement(
    _open_links.where(setup_link.c.administrator == bindparam("of")).values(used_at=bindparam("at"))
)
_CLOSE_FIRST_LINKS = Statement(_open_links.where(setup_link.c.administrator.is_(None)).values(used_at=bindparam("at")))


class SqlAdministrators(Noun):
    """See `ports.Administrators`."""

    def administrator(self, administrator_id: UUID) -> Administrator | None:
        """Return one."""
        return self._person(_ONE, {"which": administrator_id.bytes})

    def administrator_named(self, name: str) -> Administrator | None:
        """Return one by name."""
        return self._person(_NAMED, {"name": name}) if storable(name) else None

    def administrator_of_subject(self, issuer: str, subject: str) -> Administrator | None:
        """Return whom an identity is linked to."""
        if not (storable(issuer) and storable(subject)):
            return None
        return self._person(_OF_SUBJECT, {"issuer": issuer, "sub": subject})

    def administrator_of_passkey(self, credential_id: bytes) -> Administrator | None:
        """Return whose passkey this is."""
        return self._person(_OF_PASSKEY, {"credential": credential_id})

    def _person(self, statement: Statement, values: Columns) -> Administrator | None:
        return self._database.read(lambda transaction: _found(transaction, statement, values))

    def administrators(self) -> tuple[Administrator, ...]:
        """Return all, by name."""

        def unit(transaction: Transaction) -> tuple[Administrator, ...]:
            people = transaction.rows(_ALL, {})
            passkeys, subjects = transaction.rows(_ALL_PASSKEYS, {}), transaction.rows(_ALL_SUBJECTS, {})
            return tuple(
                _read_person(
                    row,
                    [each for each in passkeys if each["administrator"] == row["id"]],
                    [each for each in subjects if each["administrator"] == row["id"]],
                )
                for row in people
            )

        return self._database.read(unit)

    def add_administrator(self, administrator: Administrator, events: Sequence[EventDraft]) -> bool:
        """Return False where the name, a passkey or a subject is taken."""

        def unit(transaction: Transaction) -> None:
            transaction.one_at_a_time(_TURNS)
            transaction.run(_ADD, _person_columns(administrator))
            _add_credentials(transaction, administrator)
            transaction.record(events)

        return self._won(unit)

    def change_administrator(
        self,
        before: Administrator,
        after: Administrator,
        events: Sequence[EventDraft],
        *,
        still: Sequence[Administrator] = (),
    ) -> bool:
        """Return False where one of them is not what it is here any more, or a credential is somebody else's."""
        which: Columns = {"of": before.id.bytes}
        columns = _person_columns(after)
        values: Columns = {"which": before.id.bytes, **{f"new_{column}": columns[column] for column in _CHANGED}}

        def unit(transaction: Transaction) -> None:
            transaction.one_at_a_time(_TURNS)
            for expected in (before, *still):
                found = _found(transaction, _ONE, {"which": expected.id.bytes})
                if found is None or _unseen(found) != _unseen(expected):
                    raise LostError
            transaction.run(_CHANGE, values)
            transaction.run(_DROP_PASSKEYS, which)
            transaction.run(_DROP_SUBJECTS, which)
            _add_credentials(transaction, replace(after, id=before.id))
            transaction.record(events)

        return self._won(unit)

    def seen(self, administrator_id: UUID, at: datetime) -> None:
        """Note that somebody was here; at most once a minute."""
        self._database.write(lambda transaction: transaction.run(_SEEN, use_note(administrator_id, at)))

    def add_setup_link(self, link: SetupLink, events: Sequence[EventDraft]) -> None:
        """Keep a link."""
        columns: Columns = {
            "secret_sha256": link.secret_sha256,
            "administrator": octets_or_none(link.administrator),
            "created_at": millis(link.created_at),
            "expires_at": millis(link.expires_at),
            "used_at": optional_millis(link.used_at),
        }

        def unit(transaction: Transaction) -> None:
            transaction.run(_ADD_LINK, columns)
            transaction.record(events)

        self._database.write(unit)

    def setup_link(self, secret_sha256: bytes) -> SetupLink | None:
        """Return a link."""
        row = self._database.row(_LINK, {"secret": secret_sha256})
        if row is None:
            return None
        return SetupLink(
            secret_sha256=row["secret_sha256"],
            administrator=id_or_none(row["administrator"]),
            created_at=from_millis(row["created_at"]),
            expires_at=from_millis(row["expires_at"]),
            used_at=time_or_none(row["used_at"]),
        )

    def use_setup_link(self, secret_sha256: bytes, at: datetime, events: Sequence[EventDraft]) -> bool:
        """Return False where it is unknown, used or expired."""
        values: Columns = {"secret": secret_sha256, "at": millis(at), "now": millis(at)}

        def unit(transaction: Transaction) -> None:
            if not transaction.run(_USE_LINK, values):
                raise LostError
            transaction.record(events)

        return self._won(unit)

    def close_setup_links(self, administrator: UUID | None, at: datetime, events: Sequence[EventDraft]) -> int:
        """Use up those that are open."""
        values: Columns = {"at": millis(at), "now": millis(at)}
        if administrator is not None:
            values["of"] = administrator.bytes
        statement = _CLOSE_FIRST_LINKS if administrator is None else _CLOSE_LINKS

        def unit(transaction: Transaction) -> int:
            closed = transaction.run(statement, values)
            if closed:
                transaction.record(events)
            return closed

        return self._database.write(unit)


def _unseen(person: Administrator) -> Administrator:
    return replace(person, last_seen_at=None)


def _found(transaction: Transaction, statement: Statement, values: Columns) -> Administrator | None:
    row = transaction.row(statement, values)
    if row is None:
        return None
    of: Columns = {"of": row["id"]}
    return _read_person(row, transaction.rows(_PASSKEYS, of), transaction.rows(_SUBJECTS, of))


def _add_credentials(transaction: Transaction, person: Administrator) -> None:
    for place, passkey in enumerate(person.passkeys):
        columns: Columns = {
            "credential_id": passkey.credential_id,
            "administrator": person.id.bytes,
            "place": place,
            "public_key": passkey.public_key,
            "sign_count": passkey.sign_count,
            "label": plain(passkey.label),
            "created_at": millis(passkey.created_at),
            "last_used_at": optional_millis(passkey.last_used_at),
        }
        transaction.run(_ADD_PASSKEY, columns)
    for place, subject in enumerate(person.subjects):
        columns = {
            "issuer": subject.issuer,
            "subject": subject.subject,
            "administrator": person.id.bytes,
            "place": place,
            "linked_at": millis(subject.linked_at),
        }
        transaction.run(_ADD_SUBJECT, columns)


def _person_columns(person: Administrator) -> Columns:
    password = person.password
    return {
        "id": person.id.bytes,
        "name": person.name,
        "display": plain(person.display),
        "state": person.state.value,
        "created_at": millis(person.created_at),
        "created_by": plain(person.created_by),
        "grants": grants_text(person.grants),
        "password_hash": None if password is None else password.hash,
        "totp_sealed": None if password is None else password.totp_sealed,
        "totp_last_step": None if password is None else password.totp_last_step,
        "password_set_at": None if password is None else millis(password.set_at),
        "last_seen_at": optional_millis(person.last_seen_at),
    }


def _read_person(row: Row, passkeys: Iterable[Row], subjects: Iterable[Row]) -> Administrator:
    password = None
    if row["password_hash"] is not None:
        password = Password(
            row["password_hash"], row["totp_sealed"], row["totp_last_step"], from_millis(row["password_set_at"])
        )
    return Administrator(
        id=UUID(bytes=row["id"]),
        name=row["name"],
        display=row["display"],
        state=AdministratorState(row["state"]),
        created_at=from_millis(row["created_at"]),
        created_by=row["created_by"],
        grants=read_grants(row["grants"]),
        passkeys=tuple(map(_read_passkey, passkeys)),
        subjects=tuple(
            OidcSubject(each["issuer"], each["subject"], from_millis(each["linked_at"])) for each in subjects
        ),
        password=password,
        last_seen_at=time_or_none(row["last_seen_at"]),
    )


def _read_passkey(row: Row) -> Passkey:
    return Passkey(
        credential_id=row["credential_id"],
        public_key=row["public_key"],
        sign_count=row["sign_count"],
        label=row["label"],
        created_at=from_millis(row["created_at"]),
        last_used_at=time_or_none(row["last_used_at"]),
    )
