"""Administrators: who there is, what they may do, how they come in. All of it counts everywhere, and nowhere less."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, StringConstraints

from regalia import reasons
from regalia.errors import AdminError
from regalia.model import EVERYWHERE, AdministratorState, Right
from regalia.ra.roles import grant_texts, reach_of, read_grant
from regalia.ra.setting_up import LINK_LIFE, make_setup_link, setup_url
from regalia.verbs.fields import Name, Note
from regalia.verbs.paging import ListAsked, page_of_few
from regalia.verbs.verb import Asked, Desk, Page, Record, Time, Verb

if TYPE_CHECKING:
    from collections.abc import Iterable

    from regalia.model import Administrator, Grant

__all__ = [
    "CREATE",
    "DISABLE",
    "ENABLE",
    "GRANT",
    "LINK",
    "LIST",
    "ME",
    "SETUP_LINK",
    "SHOW",
    "UNGRANT",
    "UNLINK",
    "VERBS",
    "AdministratorRecord",
    "AdministratorShown",
    "CreateAdministrator",
    "DisableAdministrator",
    "GrantRoles",
    "GrantText",
    "LinkIdentity",
    "ListAdministrators",
    "MadeSetupLink",
    "NameAdministrator",
    "ShowMe",
    "WhoIAm",
    "read_grants",
    "rules",
]

GrantText = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z-]{1,40}(:[a-z][a-z0-9-]*(,[a-z][a-z0-9-]*)*)?$", max_length=2_000),
    Field(description="A role, everywhere or in the groups behind it.", examples=["operator:staff,guests"]),
]
"""`role` or `role:group,group`."""

_Grants = Annotated[tuple[GrantText, ...], Field(max_length=50)]


class ListAdministrators(ListAsked):
    """Which ones."""

    state: Annotated[AdministratorState | None, Field(description="Only these.")] = None


class NameAdministrator(Asked):
    """Which one."""

    name: Name


class ShowMe(Asked):
    """Nothing can be said."""


class CreateAdministrator(Asked):
    """Who it is."""

    name: Name
    display: Annotated[str, Field(max_length=60, description="What people call them.")] = ""
    roles: _Grants = ()


class GrantRoles(NameAdministrator):
    """Which roles."""

    roles: Annotated[tuple[GrantText, ...], Field(min_length=1, max_length=50)]


class DisableAdministrator(NameAdministrator):
    """Which one, and why."""

    note: Note = ""


class LinkIdentity(NameAdministrator):
    """Who they are at an identity provider."""

    issuer: Annotated[str, Field(min_length=1, max_length=512, examples=["https://login.example.org"])]
    subject: Annotated[
        str, Field(min_length=1, max_length=255, description="The provider's `sub`; an e-mail address is none.")
    ]


class AdministratorRecord(Record):
    """An administrator in a list."""

    name: str
    display: str
    state: AdministratorState
    roles: tuple[str, ...]
    ways_in: tuple[str, ...]
    """What they can sign in with: `passkey`, `identity`, `password`."""
    last_seen_at: Time | None
    created_at: Time
    created_by: str


class PasskeyRecord(Record):
    """A passkey."""

    label: str
    created_at: Time
    last_used_at: Time | None


class IdentityRecord(Record):
    """Who somebody is at an identity provider."""

    issuer: str
    subject: str
    linked_at: Time


class AdministratorShown(AdministratorRecord):
    """An administrator with what they come in with."""

    id: str
    passkeys: tuple[PasskeyRecord, ...]
    identities: tuple[IdentityRecord, ...]
    sessions: int
    tokens: tuple[str, ...]


class WhoIAm(Record):
    """Who asks, and what they may do."""

    actor: str
    administrator: str | None
    roles: tuple[str, ...]
    rights: tuple[str, ...]
    """Each as `right`, or `right:group,group` where it counts in these groups only."""


class MadeSetupLink(Record):
    """A set-up link. Whoever opens it first registers as this administrator."""

    name: str
    link: str
    expires_at: Time


def read_grants(texts: tuple[str, ...]) -> tuple[Grant, ...]:
    """Read roles as they are asked for. Raises `AdminError` ADM-018."""
    return tuple(map(read_grant, texts))


def list_administrators(desk: Desk, asked: ListAdministrators) -> Page[AdministratorRecord]:
    """By name."""
    people = [each for each in desk.services.store.administrators() if asked.state in (None, each.state)]
    return page_of_few(
        asked,
        "admin.list",
        people,
        place=lambda person: (person.name,),
        words=lambda person: (person.name, person.display),
        record=lambda person: AdministratorRecord(**_fields(person)),
    )


def show_administrator(desk: Desk, asked: NameAdministrator) -> AdministratorShown:
    """One of them."""
    return _shown(desk, desk.services.administrators.found(asked.name))


def show_me(desk: Desk, asked: ShowMe) -> WhoIAm:
    """Who asks."""
    del asked
    grants = desk.caller.grants
    own = desk.caller.administrator
    person = None if own is None else desk.services.store.administrator(own)
    reaches = [(right, reach_of(grants, right)) for right in Right]
    rights = tuple(
        right.value if reach.groups is None else f"{right}:{','.join(sorted(reach.groups))}"
        for right, reach in reaches
        if reach.groups is None or reach.groups
    )
    return WhoIAm(
        actor=desk.actor.id,
        administrator=None if person is None else person.name,
        roles=grant_texts(grants),
        rights=rights,
    )


def create_administrator(desk: Desk, asked: CreateAdministrator) -> AdministratorShown:
    """Make one, who has no way in yet."""
    made = desk.services.administrators.create(
        asked.name,
        read_grants(asked.roles),
        display=asked.display,
        actor=desk.actor,
        bound=desk.caller.grants,
    )
    return _shown(desk, made)


def grant_roles(desk: Desk, asked: GrantRoles) -> AdministratorShown:
    """Give roles."""
    grants = read_grants(asked.roles)
    return _shown(
        desk,
        desk.services.administrators.grant(asked.name, grants, actor=desk.actor, bound=desk.caller.grants),
    )


def ungrant_roles(desk: Desk, asked: GrantRoles) -> AdministratorShown:
    """Take roles."""
    grants = read_grants(asked.roles)
    return _shown(
        desk,
        desk.services.administrators.ungrant(asked.name, grants, actor=desk.actor, bound=desk.caller.grants),
    )


def disable_administrator(desk: Desk, asked: DisableAdministrator) -> AdministratorShown:
    """Let somebody in no more."""
    people = desk.services.administrators
    return _shown(desk, people.disable(asked.name, note=asked.note, actor=desk.actor, bound=desk.caller.grants))


def enable_administrator(desk: Desk, asked: NameAdministrator) -> AdministratorShown:
    """Let somebody in again."""
    people = desk.services.administrators
    return _shown(desk, people.enable(asked.name, actor=desk.actor, bound=desk.caller.grants))


def link_identity(desk: Desk, asked: LinkIdentity) -> AdministratorShown:
    """Say who somebody is elsewhere."""
    people = desk.services.administrators
    return _shown(
        desk,
        people.link(asked.name, asked.issuer, asked.subject, actor=desk.actor, bound=desk.caller.grants),
    )


def unlink_identity(desk: Desk, asked: LinkIdentity) -> AdministratorShown:
    """Take that back."""
    people = desk.services.administrators
    return _shown(
        desk,
        people.unlink(asked.name, asked.issuer, asked.subject, actor=desk.actor, bound=desk.caller.grants),
    )


def make_link(desk: Desk, asked: NameAdministrator) -> MadeSetupLink:
    """Make a link with which somebody registers anew; the links that they were given before are closed."""
    services = desk.services
    person = services.administrators.coverable(asked.name, desk.caller.grants)
    if person.state is not AdministratorState.ENABLED:
        raise AdminError(reasons.ACCOUNT_DISABLED, person.name)
    services.administrators.close_links(person, actor=desk.actor)
    secret = make_setup_link(services.store, services.clock, services.entropy, desk.actor, person)
    return MadeSetupLink(
        name=person.name,
        link=setup_url(services.practice.admin_url, secret),
        expires_at=desk.now() + LINK_LIFE,
    )


# --- what would happen ----------------------------------------------------------------------------------------------


def _plan_create(desk: Desk, asked: CreateAdministrator) -> tuple[str, ...]:
    grants = read_grants(asked.roles)
    desk.services.administrators.see_new(asked.name, grants, desk.caller.grants)
    return (f"make administrator {asked.name} with {_listed(grants)}, who has no way in before a set-up link is made",)


def _plan_grant(desk: Desk, asked: GrantRoles) -> tuple[str, ...]:
    person, grants = desk.services.administrators.coverable(asked.name, desk.caller.grants), read_grants(asked.roles)
    desk.services.administrators.see_grants(grants, desk.caller.grants)
    return (f"give {_listed(grants)} to {person.name}, who has {_listed(person.grants)}", _ending(desk, person))


def _plan_ungrant(desk: Desk, asked: GrantRoles) -> tuple[str, ...]:
    person = desk.services.administrators.coverable(asked.name, desk.caller.grants)
    taken = read_grants(asked.roles)
    return (f"take {_listed(taken)} from {person.name}, who has {_listed(person.grants)}", _ending(desk, person))


def _plan_disable(desk: Desk, asked: DisableAdministrator) -> tuple[str, ...]:
    person = desk.services.administrators.coverable(asked.name, desk.caller.grants)
    tokens = ", ".join(_tokens(desk, person)) or "they have none"
    return (f"keep {person.name} from signing in", _ending(desk, person), f"stop their tokens: {tokens}")


def _plan_enable(desk: Desk, asked: NameAdministrator) -> tuple[str, ...]:
    person = desk.services.administrators.coverable(asked.name, desk.caller.grants)
    return (f"let {person.name} in again, with {_listed(person.grants)}",)


def _plan_link(desk: Desk, asked: LinkIdentity) -> tuple[str, ...]:
    person = desk.services.administrators.coverable(asked.name, desk.caller.grants)
    return (f"let {asked.subject} at {asked.issuer} in as {person.name}, with {_listed(person.grants)}",)


def _plan_unlink(desk: Desk, asked: LinkIdentity) -> tuple[str, ...]:
    person = desk.services.administrators.coverable(asked.name, desk.caller.grants)
    return (f"let {asked.subject} at {asked.issuer} in as {person.name} no more", _ending(desk, person))


def _plan_setup_link(desk: Desk, asked: NameAdministrator) -> tuple[str, ...]:
    person = desk.services.administrators.coverable(asked.name, desk.caller.grants)
    had = ", ".join(_ways_in(person)) or "nothing"
    return (f"make a link, good once and for a day: who opens it is {person.name} from then on, in place of {had}",)


def _ending(desk: Desk, person: Administrator) -> str:
    sessions = len(desk.services.store.sessions(person.id))
    return "end their session" if sessions == 1 else f"end their {sessions} sessions" if sessions else "end no session"


def _listed(grants: tuple[Grant, ...]) -> str:
    return ", ".join(grant_texts(grants)) or "no role"


# --- who is guarded by two persons ----------------------------------------------------------------------------------


def rules(grants: Iterable[Grant]) -> bool:
    """Whether who has these could agree to what needs two persons: who makes such, could agree with themselves."""
    found = tuple(grants)
    return reach_of(found, Right.GRANT) == EVERYWHERE or reach_of(found, Right.RULE) == EVERYWHERE


def _two_for_new(desk: Desk, asked: CreateAdministrator) -> bool:
    del desk
    return rules(read_grants(asked.roles))


def _two_for_roles(desk: Desk, asked: GrantRoles) -> bool:
    return rules(read_grants(asked.roles)) or _two_for_person(desk, asked)


def _two_for_person(desk: Desk, asked: NameAdministrator) -> bool:
    person = desk.services.store.administrator_named(asked.name)
    if person is None:
        return False
    # Whom a provider's claims make one counts as the second person, and must not be put aside by the first alone.
    claimed = (each.granted or () for each in desk.services.store.sessions(person.id))
    return rules(person.grants) or any(map(rules, claimed))


# --- records --------------------------------------------------------------------------------------------------------


def _ways_in(person: Administrator) -> tuple[str, ...]:
    ways = (("passkey", person.passkeys), ("identity", person.subjects), ("password", person.password))
    return tuple(name for name, has in ways if has)


def _tokens(desk: Desk, person: Administrator) -> tuple[str, ...]:
    now = desk.now()
    return tuple(
        token.name
        for token in desk.services.store.tokens()
        if token.owner == person.id and token.revoked_at is None and token.expires_at > now
    )


def _shown(desk: Desk, person: Administrator) -> AdministratorShown:
    passkeys = tuple(
        PasskeyRecord(label=each.label, created_at=each.created_at, last_used_at=each.last_used_at)
        for each in person.passkeys
    )
    identities = tuple(
        IdentityRecord(issuer=each.issuer, subject=each.subject, linked_at=each.linked_at) for each in person.subjects
    )
    return AdministratorShown(
        **_fields(person),
        id=str(person.id),
        passkeys=passkeys,
        identities=identities,
        sessions=len(desk.services.store.sessions(person.id)),
        tokens=_tokens(desk, person),
    )


def _fields(person: Administrator) -> dict[str, Any]:
    return {
        "name": person.name,
        "display": person.display,
        "state": person.state,
        "roles": grant_texts(person.grants),
        "ways_in": _ways_in(person),
        "last_seen_at": person.last_seen_at,
        "created_at": person.created_at,
        "created_by": person.created_by,
    }


_ONE = "/administrators/{name}"

LIST = Verb(
    "admin.list",
    "GET",
    "/administrators",
    Right.READ_ACCESS,
    ListAdministrators,
    Page[AdministratorRecord],
    list_administrators,
    "List the administrators.",
    everywhere=True,
)
SHOW = Verb(
    "admin.show",
    "GET",
    _ONE,
    Right.READ_ACCESS,
    NameAdministrator,
    AdministratorShown,
    show_administrator,
    "Show an administrator with roles, ways in, sessions and tokens.",
    everywhere=True,
)
ME = Verb("admin.me", "GET", "/me", Right.OWN, ShowMe, WhoIAm, show_me, "Show who asks, and what they may do.")
CREATE = Verb(
    "admin.create",
    "POST",
    "/administrators",
    Right.GRANT,
    CreateAdministrator,
    AdministratorShown,
    create_administrator,
    "Make an administrator; a set-up link lets them in.",
    plan=_plan_create,
    everywhere=True,
    two_persons=_two_for_new,
    fresh=True,
)
GRANT = Verb(
    "admin.grant",
    "POST",
    f"{_ONE}/grant",
    Right.GRANT,
    GrantRoles,
    AdministratorShown,
    grant_roles,
    "Give an administrator roles.",
    plan=_plan_grant,
    everywhere=True,
    two_persons=_two_for_roles,
    fresh=True,
)
UNGRANT = Verb(
    "admin.ungrant",
    "POST",
    f"{_ONE}/ungrant",
    Right.GRANT,
    GrantRoles,
    AdministratorShown,
    ungrant_roles,
    "Take roles from an administrator.",
    plan=_plan_ungrant,
    everywhere=True,
    two_persons=_two_for_person,
    fresh=True,
)
DISABLE = Verb(
    "admin.disable",
    "POST",
    f"{_ONE}/disable",
    Right.GRANT,
    DisableAdministrator,
    AdministratorShown,
    disable_administrator,
    "Keep an administrator out: sessions end, tokens stop.",
    plan=_plan_disable,
    everywhere=True,
    two_persons=_two_for_person,
    fresh=True,
)
ENABLE = Verb(
    "admin.enable",
    "POST",
    f"{_ONE}/enable",
    Right.GRANT,
    NameAdministrator,
    AdministratorShown,
    enable_administrator,
    "Let an administrator in again.",
    plan=_plan_enable,
    everywhere=True,
    two_persons=_two_for_person,
    fresh=True,
)
LINK = Verb(
    "admin.link",
    "POST",
    f"{_ONE}/link",
    Right.GRANT,
    LinkIdentity,
    AdministratorShown,
    link_identity,
    "Link an identity at a provider to an administrator.",
    plan=_plan_link,
    everywhere=True,
    two_persons=_two_for_person,
    fresh=True,
)
UNLINK = Verb(
    "admin.unlink",
    "POST",
    f"{_ONE}/unlink",
    Right.GRANT,
    LinkIdentity,
    AdministratorShown,
    unlink_identity,
    "Unlink an identity at a provider from an administrator.",
    plan=_plan_unlink,
    everywhere=True,
    two_persons=_two_for_person,
    fresh=True,
)
SETUP_LINK = Verb(
    "admin.setup-link",
    "POST",
    f"{_ONE}/setup-link",
    Right.GRANT,
    NameAdministrator,
    MadeSetupLink,
    make_link,
    "Make a set-up link for an administrator, good once.",
    plan=_plan_setup_link,
    everywhere=True,
    two_persons=_two_for_person,
    fresh=True,
    secret=True,
)

VERBS = (LIST, SHOW, ME, CREATE, GRANT, UNGRANT, DISABLE, ENABLE, LINK, UNLINK, SETUP_LINK)
