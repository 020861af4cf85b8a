"""Sessions: browsers in which somebody is signed in. Everybody ends their own; who gives roles ends all."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from regalia.model import EVERYWHERE, Right, SignInKind
from regalia.ra.administration import session_ended
from regalia.ra.roles import reach_of
from regalia.verbs.admin import rules
from regalia.verbs.fields import Id
from regalia.verbs.lookup import by_prefix
from regalia.verbs.paging import ListAsked, page_of_few
from regalia.verbs.token import sees_all
from regalia.verbs.verb import Asked, Desk, Page, Record, Time, Verb

if TYPE_CHECKING:
    from regalia.model import Session

__all__ = ["END", "LIST", "VERBS", "EndSession", "ListSessions", "SessionRecord"]


class ListSessions(ListAsked):
    """Which ones."""

    administrator: str | None = None


class EndSession(Asked):
    """Which one."""

    session_id: Id


class SessionRecord(Record):
    """A session. Its id opens nothing."""

    id: UUID
    administrator: str
    kind: SignInKind
    source: str
    created_at: Time
    seen_at: Time
    ends_at: Time


def list_sessions(desk: Desk, asked: ListSessions) -> Page[SessionRecord]:
    """Newest first: one's own, or all for who gives or reviews roles."""
    own = None if sees_all(desk) else _person(desk)
    names = _names(desk)
    records = [_record(each, names) for each in _live(desk, own)] if own is not None or sees_all(desk) else []
    return page_of_few(
        asked,
        "session.list",
        [each for each in records if asked.administrator in (None, each.administrator)],
        place=lambda session: (str(session.id),),
        words=lambda session: (session.administrator, session.source),
        record=lambda session: session,
        descending=True,
    )


def end_session(desk: Desk, asked: EndSession) -> SessionRecord:
    """End one."""
    session, names, now = _found(desk, asked.session_id), _names(desk), desk.now()
    record = _record(session, names)
    event = session_ended(session, record.administrator, "ended by an administrator", desk.actor, now)
    desk.services.store.end_sessions((session.id,), now, (event,))
    return record


def _plan_end(desk: Desk, asked: EndSession) -> tuple[str, ...]:
    record = _record(_found(desk, asked.session_id), _names(desk))
    return (
        f"end the session of {record.administrator} from {record.source}, begun {record.created_at:%Y-%m-%d %H:%M}",
    )


def _person(desk: Desk) -> UUID | None:
    """Say whose sessions are one's own: a program has none, whoever it speaks for (AUTHZ-7)."""
    return None if desk.caller.program else desk.caller.administrator


def _live(desk: Desk, own: UUID | None) -> tuple[Session, ...]:
    now = desk.now()
    return tuple(each for each in desk.services.store.sessions(own) if each.ends_at > now)


def _found(desk: Desk, text: str) -> Session:
    """Look one up that the caller may end (AUTHZ-4)."""
    everybodys = reach_of(desk.caller.grants, Right.GRANT) == EVERYWHERE
    own = _person(desk)
    mine = [each for each in _live(desk, None) if everybodys or each.administrator == own]
    return by_prefix(text, "session", lambda which: next((s for s in mine if s.id == which), None), lambda: mine)


def _two_for_others(desk: Desk, asked: EndSession) -> bool:
    """Whether somebody would count no more as the second person, whom a provider's claims alone make one."""
    session = _found(desk, asked.session_id)
    return session.administrator != desk.caller.administrator and rules(session.granted or ())


def _names(desk: Desk) -> dict[UUID, str]:
    return {each.id: each.name for each in desk.services.store.administrators()}


def _record(session: Session, names: dict[UUID, str]) -> SessionRecord:
    return SessionRecord(
        id=session.id,
        administrator=names.get(session.administrator, str(session.administrator)),
        kind=session.kind,
        source=session.source,
        created_at=session.created_at,
        seen_at=session.seen_at,
        ends_at=session.ends_at,
    )


LIST = Verb(
    "session.list",
    "GET",
    "/sessions",
    Right.OWN,
    ListSessions,
    Page[SessionRecord],
    list_sessions,
    "List your sessions, newest first; all sessions for who gives or reviews roles.",
)
END = Verb(
    "session.end",
    "POST",
    "/sessions/{session_id}/end",
    Right.OWN,
    EndSession,
    SessionRecord,
    end_session,
    "End a session: its browser is signed out.",
    plan=_plan_end,
    two_persons=_two_for_others,
)

VERBS = (LIST, END)
