"""The access review: who can do what, where, since when it was last done, and what stands out."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import Field

from regalia.model import Action, AdministratorState, EventDraft, Outcome, Right
from regalia.ra.roles import ROLES, grant_text, within
from regalia.ra.tokens import standing_of
from regalia.verbs.verb import Asked, Desk, Page, Record, Time, Verb

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from regalia.model import Administrator, ApiToken, Grant

__all__ = ["REVIEW", "STALE", "VERBS", "AccessRecord", "Mark", "ReviewAccess"]

STALE: Final = timedelta(days=90)


class Mark(StrEnum):
    """What a reviewer should look at."""

    NEVER_USED = "never-used"
    STALE = "stale"
    """Not used for as many days as the review says."""
    NO_WAY_IN = "no-way-in"
    ENDS_SOON = "ends-soon"
    """Within 14 days."""
    MORE_THAN_OWNER = "more-than-owner"
    """A token was given what its owner has no more; it does not count."""
    NO_OWNER = "no-owner"
    """A token that speaks for nobody: it was made on the machine itself."""
    CLAIMED = "claimed"
    """The role is not granted here: an identity provider claimed it when this session began."""


class ReviewAccess(Asked):
    """What counts as stale."""

    stale_days: Annotated[int, Field(ge=1, le=3_650, description="Days without use after which access is stale.")] = (
        STALE.days
    )


class AccessRecord(Record):
    """One role that somebody, or a program, has."""

    kind: str
    """`administrator` or `token`."""
    name: str
    owner: str | None
    """Whom a token speaks for."""
    state: str
    role: str | None
    """`role`, or `role:group,group` where it counts in these groups only; null where there is none."""
    rights: tuple[Right, ...]
    since: Time
    granted_by: str
    """Who made the administrator or the token."""
    expires_at: Time | None
    last_used_at: Time | None
    marks: tuple[Mark, ...]


def review_access(desk: Desk, asked: ReviewAccess) -> Page[AccessRecord]:
    """All of it: a line for each role of each administrator and each good token. That it was looked at is on record."""
    people, now = desk.services.store.administrators(), desk.now()
    stale = now - timedelta(days=asked.stale_days)
    tokens = [each for each in desk.services.store.tokens() if each.revoked_at is None and each.expires_at > now]
    records = [record for person in people for record in _person(desk, person, stale)]
    by_id = {each.id: each for each in people}
    for token in tokens:
        owner = None if token.owner is None else by_id.get(token.owner)
        records += _token(token, owner, now, stale)
    event = EventDraft(
        now,
        desk.actor,
        Action.ACCESS_REVIEWED,
        "access",
        Outcome.OK,
        details={"administrators": len(people), "tokens": len(tokens)},
    )
    desk.services.store.record((event,))
    return Page(items=tuple(records), total=str(len(records)))


def _person(desk: Desk, person: Administrator, stale: datetime) -> Iterator[AccessRecord]:
    sessions = [each for each in desk.services.store.sessions(person.id) if each.ends_at > desk.now()]
    claimed = {grant for session in sessions for grant in session.granted or ()}
    marks = _used(person.last_seen_at, person.created_at, stale)
    if person.state is AdministratorState.ENABLED and not (person.passkeys or person.subjects or person.password):
        marks = (*marks, Mark.NO_WAY_IN)
    granted: list[tuple[Grant | None, tuple[Mark, ...]]] = [(grant, marks) for grant in person.grants]
    granted += [
        (grant, (*marks, Mark.CLAIMED)) for grant in sorted(claimed, key=grant_text) if grant not in person.grants
    ]
    for grant, found in granted or [(None, marks)]:
        yield AccessRecord(
            kind="administrator",
            name=person.name,
            owner=None,
            state=person.state.value,
            **_role(grant),
            since=person.created_at,
            granted_by=person.created_by,
            expires_at=None,
            last_used_at=person.last_seen_at,
            marks=found,
        )


def _token(token: ApiToken, owner: Administrator | None, now: datetime, stale: datetime) -> Iterator[AccessRecord]:
    marks = _used(token.last_used_at, token.created_at, stale)
    marks += (Mark.ENDS_SOON,) if token.expires_at - now <= timedelta(days=14) else ()
    marks += (Mark.NO_OWNER,) if token.owner is None else ()
    for grant in token.grants:
        counts = token.owner is None or (owner is not None and within((grant,), owner.grants) == (grant,))
        yield AccessRecord(
            kind="token",
            name=token.name,
            owner=None if owner is None else owner.name,
            state="suspended" if standing_of(token, owner, now) else "good",
            **_role(grant),
            since=token.created_at,
            granted_by=token.created_by,
            expires_at=token.expires_at,
            last_used_at=token.last_used_at,
            marks=marks if counts else (*marks, Mark.MORE_THAN_OWNER),
        )


def _role(grant: Grant | None) -> dict[str, Any]:
    if grant is None:
        return {"role": None, "rights": ()}
    return {"role": grant_text(grant), "rights": tuple(right for right in Right if right in ROLES[grant.role])}


def _used(last: datetime | None, since: datetime, stale: datetime) -> tuple[Mark, ...]:
    if last is None:
        return (Mark.NEVER_USED, Mark.STALE) if since < stale else (Mark.NEVER_USED,)
    return (Mark.STALE,) if last < stale else ()


REVIEW = Verb(
    "access.review",
    "GET",
    "/access",
    Right.READ_ACCESS,
    ReviewAccess,
    Page[AccessRecord],
    review_access,
    "Review who can do what, where, and when it was last used. That it was reviewed is an event.",
    everywhere=True,
)

VERBS = (REVIEW,)
