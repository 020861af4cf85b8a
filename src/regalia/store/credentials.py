"""What opens the door to administration: sessions of browsers, tokens of programs; rows ⇄ values."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import bindparam, delete, or_, select, update

from regalia.model import (
    ApiToken,
    Session,
    SignInKind,
)
from regalia.store.administration_values import grants_text, read_grants, use_note
from regalia.store.session import LostError, Noun, Row, Statement, Transaction, inserting
from regalia.store.tables import (
    admin_session,
    api_token,
)
from regalia.store.values import from_millis, id_or_none, millis, octets_or_none, optional_millis, plain, time_or_none

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from regalia.model import EventDraft
    from regalia.store.session import Columns


__all__ = ["SqlApiTokens", "SqlSessions"]

# --- sessions -------------------------------------------------------------------------------------------------------

_SESSION = Statement(select(admin_session).where(admin_session.c.secret_sha256 == bindparam("secret")))
_live = select(admin_session).where(admin_session.c.ended_at.is_(None)).order_by(admin_session.c.id.desc())
_SESSIONS = Statement(_live)
_SESSIONS_OF = Statement(_live.where(admin_session.c.administrator == bindparam("of")))
_ADD_SESSION = inserting(admin_session)
_SESSION_SEEN = Statement(
    update(admin_session)
    .where(admin_session.c.id == bindparam("which"), admin_session.c.seen_at < bindparam("before"))
    .values(seen_at=bindparam("at"))
)
_SESSION_PROVED = Statement(
    update(admin_session)
    .where(admin_session.c.id == bindparam("which"), admin_session.c.ended_at.is_(None))
    .values(authenticated_at=bindparam("at"), seen_at=bindparam("seen"), secret_sha256=bindparam("secret"))
)
_END_SESSION = Statement(
    update(admin_session)
    .where(admin_session.c.id == bindparam("which"), admin_session.c.ended_at.is_(None))
    .values(ended_at=bindparam("at"))
)
_FORGET_SESSIONS = Statement(
    delete(admin_session).where(
        or_(admin_session.c.ended_at < bindparam("before"), admin_session.c.ends_at < bindparam("before"))
    )
)


class SqlSessions(Noun):
    """See `ports.Sessions`."""

    def add_session(self, session: Session, events: Sequence[EventDraft]) -> None:
        """Keep a new session."""
        columns: Columns = {
            "id": session.id.bytes,
            "secret_sha256": session.secret_sha256,
            "administrator": session.administrator.bytes,
            "kind": session.kind.value,
            "source": plain(session.source),
            "created_at": millis(session.created_at),
            "seen_at": millis(session.seen_at),
            "authenticated_at": millis(session.authenticated_at),
            "ends_at": millis(session.ends_at),
            "ended_at": optional_millis(session.ended_at),
            "granted": None if session.granted is None else grants_text(session.granted),
        }

        def unit(transaction: Transaction) -> None:
            transaction.run(_ADD_SESSION, columns)
            transaction.record(events)

        self._database.write(unit)

    def session(self, secret_sha256: bytes) -> Session | None:
        """Return one, also where it has ended."""
        row = self._database.row(_SESSION, {"secret": secret_sha256})
        return None if row is None else _read_session(row)

    def sessions(self, administrator: UUID | None = None) -> tuple[Session, ...]:
        """Return those that nobody ended, newest first."""
        if administrator is None:
            rows = self._database.rows(_SESSIONS, {})
        else:
            rows = self._database.rows(_SESSIONS_OF, {"of": administrator.bytes})
        return tuple(map(_read_session, rows))

    def session_seen(self, session_id: UUID, at: datetime) -> None:
        """Note its use; at most once a minute."""
        self._database.write(lambda transaction: transaction.run(_SESSION_SEEN, use_note(session_id, at)))

    def session_proved(self, session_id: UUID, at: datetime, secret_sha256: bytes) -> None:
        """Note that its administrator proved who they are; a session that has ended stays so."""
        values: Columns = {
            "which": session_id.bytes,
            "at": millis(at),
            "seen": millis(at),
            "secret": secret_sha256,
        }
        self._database.write(lambda transaction: transaction.run(_SESSION_PROVED, values))

    def end_sessions(self, ids: Sequence[UUID], at: datetime, events: Sequence[EventDraft]) -> None:
        """End them; those that have ended keep their time."""

        def unit(transaction: Transaction) -> None:
            for each in ids:
                transaction.run(_END_SESSION, {"which": each.bytes, "at": millis(at)})
            transaction.record(events)

        self._database.write(unit)

    def forget_sessions(self, before: datetime) -> int:
        """Delete those that are over for so long."""
        return self._database.write(lambda transaction: transaction.run(_FORGET_SESSIONS, {"before": millis(before)}))


def _read_session(row: Row) -> Session:
    return Session(
        id=UUID(bytes=row["id"]),
        secret_sha256=row["secret_sha256"],
        administrator=UUID(bytes=row["administrator"]),
        kind=SignInKind(row["kind"]),
        source=row["source"],
        created_at=from_millis(row["created_at"]),
        seen_at=from_millis(row["seen_at"]),
        authenticated_at=from_millis(row["authenticated_at"]),
        ends_at=from_millis(row["ends_at"]),
        ended_at=time_or_none(row["ended_at"]),
        granted=None if row["granted"] is None else read_grants(row["granted"]),
    )


# --- tokens ---------------------------------------------------------------------------------------------------------

_TOKEN = Statement(select(api_token).where(api_token.c.secret_sha256 == bindparam("secret")))
_TOKENS = Statement(select(api_token).order_by(api_token.c.id.desc()))
_ADD_TOKEN = inserting(api_token)
_TOKEN_USED = Statement(
    update(api_token)
    .where(
        api_token.c.id == bindparam("which"),
        or_(api_token.c.last_used_at.is_(None), api_token.c.last_used_at < bindparam("before")),
    )
    .values(last_used_at=bindparam("at"), last_source=bindparam("source"))
)
_REVOKE_TOKEN = Statement(
    update(api_token)
    .where(api_token.c.id == bindparam("which"), api_token.c.revoked_at.is_(None))
    .values(revoked_at=bindparam("at"))
)
_FORGET_SOURCES = Statement(
    update(api_token)
    .where(api_token.c.last_source != bindparam("none"), api_token.c.last_used_at < bindparam("before"))
    .values(last_source=bindparam("empty"))
)


class SqlApiTokens(Noun):
    """See `ports.ApiTokens`."""

    def add_token(self, token: ApiToken, events: Sequence[EventDraft]) -> bool:
        """Return False where one that was not revoked has this name."""
        columns: Columns = {
            "id": token.id.bytes,
            "name": token.name,
            "secret_sha256": token.secret_sha256,
            "owner": octets_or_none(token.owner),
            "grants": grants_text(token.grants),
            "created_at": millis(token.created_at),
            "created_by": plain(token.created_by),
            "expires_at": millis(token.expires_at),
            "last_used_at": optional_millis(token.last_used_at),
            "last_source": plain(token.last_source),
            "revoked_at": optional_millis(token.revoked_at),
        }

        def unit(transaction: Transaction) -> None:
            transaction.run(_ADD_TOKEN, columns)
            transaction.record(events)

        return self._won(unit)

    def token(self, secret_sha256: bytes) -> ApiToken | None:
        """Return one, also where it ended."""
        row = self._database.row(_TOKEN, {"secret": secret_sha256})
        return None if row is None else _read_token(row)

    def tokens(self) -> tuple[ApiToken, ...]:
        """Return all, newest first."""
        return tuple(map(_read_token, self._database.rows(_TOKENS, {})))

    def token_used(self, token_id: UUID, at: datetime, source: str) -> None:
        """Note its use; at most once a minute."""
        values = use_note(token_id, at) | {"source": plain(source)}
        self._database.write(lambda transaction: transaction.run(_TOKEN_USED, values))

    def revoke_token(self, token_id: UUID, at: datetime, events: Sequence[EventDraft]) -> bool:
        """Return False where it is unknown or revoked already."""

        def unit(transaction: Transaction) -> None:
            if not transaction.run(_REVOKE_TOKEN, {"which": token_id.bytes, "at": millis(at)}):
                raise LostError
            transaction.record(events)

        return self._won(unit)

    def forget_token_sources(self, before: datetime) -> int:
        """Forget where those were used from that were not used since."""
        values: Columns = {"before": millis(before), "none": "", "empty": ""}
        return self._database.write(lambda transaction: transaction.run(_FORGET_SOURCES, values))


def _read_token(row: Row) -> ApiToken:
    return ApiToken(
        id=UUID(bytes=row["id"]),
        name=row["name"],
        secret_sha256=row["secret_sha256"],
        owner=id_or_none(row["owner"]),
        grants=read_grants(row["grants"]),
        created_at=from_millis(row["created_at"]),
        created_by=row["created_by"],
        expires_at=from_millis(row["expires_at"]),
        last_used_at=time_or_none(row["last_used_at"]),
        last_source=row["last_source"],
        revoked_at=time_or_none(row["revoked_at"]),
    )
