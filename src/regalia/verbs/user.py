"""Users: what connectors say of them, and what follows for their certificates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

from pydantic import Field

from regalia.model import Right
from regalia.ports.fleet import UserFilter
from regalia.verbs.bearer_facts import BearerCertificate, HistoryRecord, certificates_of, history_of, state_words
from regalia.verbs.fields import Id, Name, is_empty
from regalia.verbs.lookup import by_prefix
from regalia.verbs.paging import MOST, ListAsked, page_of, place_after
from regalia.verbs.verb import Asked, Desk, Page, Record, Time, Verb

if TYPE_CHECKING:
    from regalia.model.fleet import User

__all__ = ["LIST", "SHOW", "VERBS", "ListUsers", "UserId", "UserRecord", "UserShown"]


class ListUsers(ListAsked):
    """Which ones."""

    connector: Annotated[Name | None, Field(description="Only those that this connector knows.")] = None
    present: Annotated[bool | None, Field(description="Only those that are in the directory, or only absent ones.")] = (
        None
    )


class UserId(Asked):
    """Which one."""

    id: Id


class UserRecord(Record):
    """A user in a list."""

    id: UUID
    name: str
    upn: str | None
    connector: str
    external_id: str
    """The connector's own id of it."""
    state: str
    """In words what is wrong; `good` where nothing is, as far as the connector said."""
    state_since: Time
    seen_at: Time


class UserStateRecord(Record):
    """What rules look at; null is what the connector did not say."""

    present: bool
    enabled: bool | None
    licensed: bool | None
    risk: str | None


class UserShown(UserRecord):
    """A user with all that is kept of them."""

    facts: UserStateRecord
    first_seen_at: Time
    missed_sweeps: int
    email: tuple[str, ...]
    sid: str | None
    sam_account: str | None
    memberships: Annotated[
        tuple[str, ...] | None, Field(description="Groups of the connector's system; null: it was not asked.")
    ]
    evidence: Annotated[dict[str, Any], Field(description="What the connector last said, as it said it.")]
    history: Annotated[tuple[HistoryRecord, ...], Field(exclude_if=is_empty)] = ()
    """Its last changes, newest first."""
    certificates: Annotated[tuple[BearerCertificate, ...], Field(exclude_if=is_empty)] = ()


def list_users(desk: Desk, asked: ListUsers) -> Page[UserRecord]:
    """All that match."""
    wanted = UserFilter(
        connector=asked.connector,
        present=asked.present,
        search=asked.q or "",
        limit=asked.limit,
        after=place_after(asked, LIST.name),
    )
    found = desk.services.store.user_page(wanted)
    return page_of(asked, LIST.name, found, lambda each: UserRecord(**_fields(each)))


def show_user(desk: Desk, asked: UserId) -> UserShown:
    """One user, with what was said of them and what followed."""
    store = desk.services.store
    user = by_prefix(
        asked.id, "user", store.user, lambda: store.user_page(UserFilter(search=asked.id, limit=MOST)).items
    )
    state = user.state
    return UserShown(
        **_fields(user),
        facts=UserStateRecord(present=state.present, enabled=state.enabled, licensed=state.licensed, risk=state.risk),
        first_seen_at=user.first_seen_at,
        missed_sweeps=user.missed_sweeps,
        email=user.email,
        sid=user.sid,
        sam_account=user.sam_account,
        memberships=tuple(sorted(user.memberships)) if user.memberships_known else None,
        evidence=dict(user.evidence),
        history=history_of(desk, f"user:{user.id}"),
        certificates=certificates_of(desk, user_id=user.id),
    )


def _fields(user: User) -> dict[str, Any]:
    return {
        "id": user.id,
        "name": user.name,
        "upn": user.upn,
        "connector": user.connector,
        "external_id": user.external_id,
        "state": state_words(user.state),
        "state_since": user.state_since,
        "seen_at": user.seen_at,
    }


LIST = Verb(
    "user.list",
    "GET",
    "/users",
    Right.READ,
    ListUsers,
    Page[UserRecord],
    list_users,
    "List the users that connectors know. They belong to no group.",
    everywhere=True,
)
SHOW = Verb(
    "user.show",
    "GET",
    "/users/{id}",
    Right.READ,
    UserId,
    UserShown,
    show_user,
    "Show a user: what the connector said, word by word, their certificates, and what followed for each.",
    everywhere=True,
)

VERBS = (LIST, SHOW)
