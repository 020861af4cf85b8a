"""Tokens: credentials of programs. Everybody has their own; who gives roles sees and revokes those of all."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

from pydantic import Field

from regalia import reasons
from regalia.errors import AdminError
from regalia.model import EVERYWHERE, Grant, Reach, Right
from regalia.ra.roles import covers, grant_texts, reach_of
from regalia.ra.tokens import LONGEST, NewToken, standing_of
from regalia.verbs.admin import GrantText, read_grants
from regalia.verbs.fields import Id, Name, Span, span_of
from regalia.verbs.lookup import by_prefix
from regalia.verbs.paging import ListAsked, page_of_few
from regalia.verbs.verb import Asked, Desk, Page, Record, Time, Verb

if TYPE_CHECKING:
    from regalia.model import Administrator, ApiToken

__all__ = [
    "CREATE",
    "LIST",
    "REVOKE",
    "VERBS",
    "CreateToken",
    "ListTokens",
    "MadeToken",
    "NameToken",
    "TokenRecord",
    "TokenState",
    "sees_all",
]


class TokenState(StrEnum):
    """Whether a token opens anything."""

    GOOD = "good"
    REVOKED = "revoked"
    EXPIRED = "expired"
    SUSPENDED = "suspended"
    """Its owner is disabled."""


class ListTokens(ListAsked):
    """Which ones."""

    state: Annotated[TokenState | None, Field(description="Only these.")] = None


class NameToken(Asked):
    """Which one."""

    token_id: Id


class CreateToken(Asked):
    """What it may do, and how long."""

    name: Name
    roles: Annotated[
        tuple[GrantText, ...],
        Field(max_length=50, description="Within your own roles; all of them where none is named."),
    ] = ()
    group: Annotated[
        tuple[Name, ...], Field(max_length=50, description="Let every role count in these groups only.")
    ] = ()
    ttl: Span = "90d"
    owner: Annotated[
        Name | None, Field(description="The administrator for whom it speaks; on the machine itself only.")
    ] = None


class TokenRecord(Record):
    """A token; its secret is known to its bearer alone."""

    id: UUID
    name: str
    owner: str | None
    roles: tuple[str, ...]
    state: TokenState
    created_at: Time
    created_by: str
    expires_at: Time
    last_used_at: Time | None
    last_source: str | None
    revoked_at: Time | None


class MadeToken(TokenRecord):
    """A token that was just made."""

    secret: str


def sees_all(desk: Desk) -> bool:
    """Whether the caller sees what is others' own: who gives roles does, and who reviews them."""
    return EVERYWHERE in (reach_of(desk.caller.grants, Right.GRANT), reach_of(desk.caller.grants, Right.READ_ACCESS))


def list_tokens(desk: Desk, asked: ListTokens) -> Page[TokenRecord]:
    """Newest first, also those that ended."""
    people = _people(desk)
    records = [_record(desk, each, people) for each in _seen(desk)]
    return page_of_few(
        asked,
        "token.list",
        [each for each in records if asked.state in (None, each.state)],
        place=lambda token: (str(token.id),),
        words=lambda token: (token.name, token.owner, str(token.id)),
        record=lambda token: token,
        descending=True,
    )


def create_token(desk: Desk, asked: CreateToken) -> MadeToken:
    """Make one, for who asks: it can do what they could, or less, and never more."""
    wanted = _wanted(desk, asked)
    made = desk.services.tokens.create(wanted, actor=desk.actor, bound=desk.caller.grants)
    if desk.caller.program and _maker(desk) is None:
        # Revoked meanwhile, with all that it had made by then: this one was not among them.
        desk.services.tokens.revoke(made.token, actor=desk.actor)
        raise AdminError(reasons.CREDENTIALS_REFUSED)
    return MadeToken(**_fields(desk, made.token, _people(desk)), secret=made.secret)


def _wanted(desk: Desk, asked: CreateToken) -> NewToken:
    grants = read_grants(asked.roles) or _owner_grants(desk, asked.owner)
    # What was named is looked at before anything is cut: a foreign group and a missing one are alike (AUTHZ-4).
    for group in {*asked.group, *(group for grant in grants for group in grant.reach.groups or ())}:
        if desk.services.store.group(group) is None or not any(group in each.reach for each in desk.caller.grants):
            raise AdminError(reasons.NOT_FOUND, f"group {group}")
    if asked.group:
        cut = (Grant(each.role, each.reach & Reach(frozenset(asked.group))) for each in grants)
        grants = tuple(each for each in cut if each.reach.groups)
    life = span_of(asked.ttl, "ttl")
    maker = _maker(desk)
    if maker is not None and desk.now() + life > maker.expires_at:
        raise AdminError(reasons.TOKEN_LIFE, f"token {maker.name}, which asks, ends before that")
    return NewToken(asked.name, grants, life, _owner(desk, asked.owner))


def _owner_grants(desk: Desk, owner: str | None) -> tuple[Grant, ...]:
    """All that whoever it speaks for may do: a token is never more."""
    if owner is None:
        return desk.caller.grants
    return desk.services.administrators.found(owner).grants


def _owner(desk: Desk, owner: str | None) -> UUID | None:
    if owner is None:
        return desk.caller.administrator
    if not desk.caller.local:
        # Who could make one that speaks for somebody else could agree with themselves (AUTHZ-5).
        raise AdminError(reasons.GRANT_TOO_MUCH, "a token of somebody else is made on the machine itself")
    return desk.services.administrators.found(owner).id


def _maker(desk: Desk) -> ApiToken | None:
    """Find the token that asks, if it is one."""
    if not desk.caller.program:
        return None
    named = [each for each in desk.services.store.tokens() if each.revoked_at is None]
    return next((each for each in named if f"token:{each.name}" == desk.actor.id), None)


def revoke_token(desk: Desk, asked: NameToken) -> TokenRecord:
    """Revoke one, and those that it made: from the next request on they open nothing."""
    token = _found(desk, asked.token_id)
    revoked = desk.services.tokens.revoke(token, actor=desk.actor)
    return _record(desk, revoked, _people(desk))


def _plan_create(desk: Desk, asked: CreateToken) -> tuple[str, ...]:
    wanted = _wanted(desk, asked)
    return (f"make token {wanted.name} with {', '.join(grant_texts(wanted.grants))}, good for {asked.ttl}",)


def _plan_revoke(desk: Desk, asked: NameToken) -> tuple[str, ...]:
    token = _found(desk, asked.token_id)
    made = [each.name for each in desk.services.tokens.made_by(token)]
    also = (f"revoke the tokens that it made: {', '.join(made)}",) if made else ()
    return (f"revoke token {token.name}: its next request is refused", *also)


def _seen(desk: Desk) -> tuple[ApiToken, ...]:
    """Those that the caller sees (AUTHZ-4): their own, or all."""
    tokens = desk.services.store.tokens()
    return tokens if sees_all(desk) else tuple(each for each in tokens if _is_own(desk, each))


def _is_own(desk: Desk, token: ApiToken) -> bool:
    """Whether it speaks for who asks. To a program: only itself, and those with no more than it has (AUTHZ-7)."""
    caller = desk.caller
    if not caller.program:
        return caller.administrator is not None and token.owner == caller.administrator
    if token.revoked_at is None and f"token:{token.name}" == desk.actor.id:
        return True
    # Nobody's tokens have nothing in common but that.
    return (
        caller.administrator is not None and token.owner == caller.administrator and covers(caller.grants, token.grants)
    )


def _found(desk: Desk, text: str) -> ApiToken:
    """Look one up that the caller may revoke, by the beginning of its id or by its name while it is not revoked."""
    all_of_them = reach_of(desk.caller.grants, Right.GRANT) == EVERYWHERE
    mine = [each for each in _seen(desk) if all_of_them or _is_own(desk, each)]
    for token in mine:
        if token.name == text and token.revoked_at is None:
            return token
    return by_prefix(text, "token", lambda token_id: next((t for t in mine if t.id == token_id), None), lambda: mine)


def _people(desk: Desk) -> dict[UUID, Administrator]:
    return {each.id: each for each in desk.services.store.administrators()}


def _record(desk: Desk, token: ApiToken, people: dict[UUID, Administrator]) -> TokenRecord:
    return TokenRecord(**_fields(desk, token, people))


_STATES = {"": TokenState.GOOD, "revoked": TokenState.REVOKED, "expired": TokenState.EXPIRED}


def _fields(desk: Desk, token: ApiToken, people: dict[UUID, Administrator]) -> dict[str, Any]:
    owner = None if token.owner is None else people.get(token.owner)
    return {
        "id": token.id,
        "name": token.name,
        "owner": None if owner is None else owner.name,
        "roles": grant_texts(token.grants),
        "state": _STATES.get(standing_of(token, owner, desk.now()), TokenState.SUSPENDED),
        "created_at": token.created_at,
        "created_by": token.created_by,
        "expires_at": token.expires_at,
        "last_used_at": token.last_used_at,
        "last_source": token.last_source or None,
        "revoked_at": token.revoked_at,
    }


LIST = Verb(
    "token.list",
    "GET",
    "/tokens",
    Right.OWN,
    ListTokens,
    Page[TokenRecord],
    list_tokens,
    "List your tokens, newest first; all tokens for who gives or reviews roles.",
)
CREATE = Verb(
    "token.create",
    "POST",
    "/tokens",
    Right.OWN,
    CreateToken,
    MadeToken,
    create_token,
    f"Make a token that can do what you can, or less, for at most {LONGEST.days} days; its secret is shown once.",
    plan=_plan_create,
    fresh=True,
    secret=True,
)
REVOKE = Verb(
    "token.revoke",
    "POST",
    "/tokens/{token_id}/revoke",
    Right.OWN,
    NameToken,
    TokenRecord,
    revoke_token,
    "Revoke a token, and those that it made.",
    plan=_plan_revoke,
)

VERBS = (LIST, CREATE, REVOKE)
