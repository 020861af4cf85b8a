"""Administrators: who there is, what they may do, and that somebody is always left who can (AUTHZ-1, WEB-4).

Whatever makes somebody less, or another, ends their sessions; what a disabled administrator's tokens may do is nothing
(`ra.tokens`). A change stands on what it was decided on: where two changes race, one is decided anew.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

from regalia import reasons
from regalia.errors import AdminError, UnavailableError
from regalia.model import (
    EVERYWHERE,
    Action,
    Administrator,
    AdministratorState,
    EventDraft,
    Grant,
    OidcSubject,
    Outcome,
    Right,
    new_id,
)
from regalia.ports import Administrators, Catalogue, Sessions
from regalia.ra.registry import check_name
from regalia.ra.roles import covers, grant_texts, reach_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from regalia.model import Actor, JsonValue, Reach, Role, Session
    from regalia.ports import Clock, Entropy

__all__ = ["AdminDesk", "AdminStore", "can_administer", "merged", "session_ended"]

_RACES: Final = 5
_WORDS: Final = 60
"""Characters of what somebody is called beside their name."""


class AdminStore(Administrators, Sessions, Catalogue, Protocol):
    """What administrators stand on."""


def can_administer(person: Administrator) -> bool:
    """Whether somebody can sign in and give roles to others, everywhere and by what was granted here."""
    enabled = person.state is AdministratorState.ENABLED
    way_in = bool(person.passkeys or person.subjects or person.password is not None)
    return enabled and way_in and reach_of(person.grants, Right.GRANT) == EVERYWHERE


def merged(grants: Iterable[Grant]) -> tuple[Grant, ...]:
    """Make one grant of each role, in the order of the roles' names."""
    reaches: dict[Role, Reach] = {}
    for grant in grants:
        reaches[grant.role] = reaches[grant.role] | grant.reach if grant.role in reaches else grant.reach
    return tuple(Grant(role, reaches[role]) for role in sorted(reaches))


class AdminDesk:
    """Makes administrators and changes them. Each change is one event."""

    def __init__(self, store: AdminStore, clock: Clock, entropy: Entropy) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy

    def found(self, name: str) -> Administrator:
        """Look one up. Raises `AdminError` ADM-004."""
        person = self._store.administrator_named(name)
        if person is None:
            raise AdminError(reasons.NOT_FOUND, f"administrator {name}")
        return person

    def coverable(self, name: str, bound: Sequence[Grant]) -> Administrator:
        """Look up whom somebody with `bound` may change. Raises `AdminError` ADM-004; ADM-071 for one with more."""
        person = self.found(name)
        if not covers(bound, person.grants):
            raise AdminError(reasons.GRANT_TOO_MUCH, f"{name} has {_roles(person)}")
        return person

    def see_new(self, name: str, grants: Sequence[Grant], bound: Sequence[Grant]) -> None:
        """Raise what `create` would."""
        check_name(name)
        self.see_grants(grants, bound)
        if self._store.administrator_named(name) is not None:
            raise AdminError(reasons.NAME_TAKEN, f"administrator {name}")

    def create(
        self, name: str, grants: Sequence[Grant], *, display: str, actor: Actor, bound: Sequence[Grant]
    ) -> Administrator:
        """Make an administrator, who has no way in yet. `bound` is what whoever asks may do.

        Raises `AdminError`: ADM-003 the name is taken, ADM-004 a group that is not there, ADM-005 the name,
        ADM-071 more than they have themselves.
        """
        check_name(name)
        self.see_grants(grants, bound)
        now = self._clock.now()
        person = Administrator(
            id=new_id(now, self._entropy.octets(10)),
            name=name,
            display=display[:_WORDS] or name,
            state=AdministratorState.ENABLED,
            created_at=now,
            created_by=actor.id,
            grants=merged(grants),
        )
        details: dict[str, JsonValue] = {"id": str(person.id), "grants": [*grant_texts(person.grants)]}
        if not self._store.add_administrator(
            person, (_event(Action.ADMINISTRATOR_CREATED, person, actor, now, details),)
        ):
            raise AdminError(reasons.NAME_TAKEN, f"administrator {name}")
        return person

    def see_grants(self, grants: Sequence[Grant], bound: Sequence[Grant]) -> None:
        """Raise `AdminError` ADM-004 for a group that is not there, ADM-071 for what whoever asks does not have."""
        for group in {group for grant in grants for group in grant.reach.groups or ()}:
            if self._store.group(group) is None:
                raise AdminError(reasons.NOT_FOUND, f"group {group}")
        if not covers(bound, grants):
            raise AdminError(reasons.GRANT_TOO_MUCH, ", ".join(grant_texts(grants)))

    def grant(self, name: str, grants: Sequence[Grant], *, actor: Actor, bound: Sequence[Grant]) -> Administrator:
        """Give roles, beside those that they have. Raises what `create` does, and ADM-074 where they have them."""
        self.see_grants(grants, bound)

        def change(person: Administrator) -> Administrator:
            return replace(person, grants=merged((*person.grants, *grants)))

        return self._regrant(name, change, Action.ADMINISTRATOR_GRANTED, actor, bound)

    def ungrant(self, name: str, grants: Sequence[Grant], *, actor: Actor, bound: Sequence[Grant]) -> Administrator:
        """Take roles: everywhere, or in the groups that are named.

        Raises `AdminError`: ADM-004, ADM-071, ADM-073 where nobody would be left, ADM-074 where they have none of it.
        """

        def change(person: Administrator) -> Administrator:
            left = [piece for kept in person.grants for piece in _without(kept, grants)]
            return replace(person, grants=tuple(left))

        return self._regrant(name, change, Action.ADMINISTRATOR_UNGRANTED, actor, bound)

    def _regrant(
        self,
        name: str,
        change: Callable[[Administrator], Administrator],
        action: Action,
        actor: Actor,
        bound: Sequence[Grant],
    ) -> Administrator:
        def told(before: Administrator, after: Administrator, now: datetime) -> EventDraft:
            if after.grants == before.grants:
                raise AdminError(reasons.ADMINISTRATION_STATE, f"their roles are {_roles(before)} already")
            if not covers(bound, before.grants):
                raise AdminError(reasons.GRANT_TOO_MUCH, f"{name} has {_roles(before)}")
            details: dict[str, JsonValue] = {
                "grants": [*grant_texts(after.grants)],
                "before": [*grant_texts(before.grants)],
            }
            return _event(action, after, actor, now, details)

        return self._change(name, change, told, actor, why="roles changed")

    def disable(self, name: str, *, note: str, actor: Actor, bound: Sequence[Grant]) -> Administrator:
        """Let somebody in no more: sessions end, tokens stop, set-up links are closed.

        Raises `AdminError`: ADM-004, ADM-071 where they have more than whoever asks, ADM-073, ADM-074.
        """

        def told(before: Administrator, after: Administrator, now: datetime) -> EventDraft:
            if before.state is AdministratorState.DISABLED:
                raise AdminError(reasons.ADMINISTRATION_STATE, f"{name} is disabled")
            if not covers(bound, before.grants):
                raise AdminError(reasons.GRANT_TOO_MUCH, f"{name} has {_roles(before)}")
            details: dict[str, JsonValue] = {"sessions": len(self._store.sessions(before.id))}
            if note:
                details["note"] = note
            return _event(Action.ADMINISTRATOR_DISABLED, after, actor, now, details)

        def change(person: Administrator) -> Administrator:
            return replace(person, state=AdministratorState.DISABLED)

        person = self._change(name, change, told, actor, why="disabled")
        self.close_links(person, actor=actor)
        return person

    def enable(self, name: str, *, actor: Actor, bound: Sequence[Grant]) -> Administrator:
        """Let somebody in again, with the roles and ways in that they had. Raises ADM-004, ADM-071, ADM-074."""

        def told(before: Administrator, after: Administrator, now: datetime) -> EventDraft:
            if before.state is AdministratorState.ENABLED:
                raise AdminError(reasons.ADMINISTRATION_STATE, f"{name} is enabled")
            if not covers(bound, before.grants):
                raise AdminError(reasons.GRANT_TOO_MUCH, f"{name} has {_roles(before)}")
            return _event(Action.ADMINISTRATOR_ENABLED, after, actor, now, {})

        def change(person: Administrator) -> Administrator:
            return replace(person, state=AdministratorState.ENABLED)

        return self._change(name, change, told, actor, why="enabled")

    def link(self, name: str, issuer: str, subject: str, *, actor: Actor, bound: Sequence[Grant]) -> Administrator:
        """Say who somebody is at an identity provider, by issuer and subject (CON-2); no e-mail address is one.

        Raises `AdminError`: ADM-003 where that identity is somebody's, ADM-004, ADM-071, ADM-074.
        """
        owner = self._store.administrator_of_subject(issuer, subject)
        if owner is not None:
            raise AdminError(reasons.NAME_TAKEN, f"this identity is linked to {owner.name}")

        def change(person: Administrator) -> Administrator:
            linked = OidcSubject(issuer, subject, self._clock.now())
            return replace(person, subjects=(*person.subjects, linked))

        return self._relink(name, change, (Action.IDENTITY_LINKED, issuer, subject), actor, bound)

    def unlink(self, name: str, issuer: str, subject: str, *, actor: Actor, bound: Sequence[Grant]) -> Administrator:
        """Unlink an identity. Raises `AdminError` ADM-004, ADM-071, ADM-073 for the very last way in."""

        def change(person: Administrator) -> Administrator:
            left = tuple(each for each in person.subjects if (each.issuer, each.subject) != (issuer, subject))
            if left == person.subjects:
                raise AdminError(reasons.NOT_FOUND, f"identity {subject} at {issuer}")
            return replace(person, subjects=left)

        return self._relink(name, change, (Action.IDENTITY_UNLINKED, issuer, subject), actor, bound)

    def _relink(
        self,
        name: str,
        change: Callable[[Administrator], Administrator],
        what: tuple[Action, str, str],
        actor: Actor,
        bound: Sequence[Grant],
    ) -> Administrator:
        action, issuer, subject = what

        def told(before: Administrator, after: Administrator, now: datetime) -> EventDraft:
            if not covers(bound, before.grants):
                raise AdminError(reasons.GRANT_TOO_MUCH, f"{name} has {_roles(before)}")
            return _event(action, after, actor, now, {"issuer": issuer, "subject": subject})

        return self._change(name, change, told, actor, why="ways in changed")

    def close_links(self, person: Administrator | None, *, actor: Actor) -> None:
        """Use up the set-up links that somebody was given; None: those for the first administrator."""
        now = self._clock.now()
        whose = "administrator" if person is None else f"administrator:{person.name}"
        used = EventDraft(now, actor, Action.SETUP_LINK_USED, whose, Outcome.OK, details={"with": "nothing"})
        self._store.close_setup_links(None if person is None else person.id, now, (used,))

    # --- one change -------------------------------------------------------------------------------------------------

    def _change(
        self,
        name: str,
        change: Callable[[Administrator], Administrator],
        told: Callable[[Administrator, Administrator, datetime], EventDraft],
        actor: Actor,
        *,
        why: str,
    ) -> Administrator:
        for _ in range(_RACES):
            before = self.found(name)
            after, now = change(before), self._clock.now()
            event = told(before, after, now)
            still = self._somebody_else(before) if can_administer(before) and not can_administer(after) else ()
            if self._store.change_administrator(before, after, (event,), still=still):
                self._end_sessions(after, actor, now, why)
                return after
        raise UnavailableError(reasons.STORE_UNAVAILABLE, f"administrator {name} is changed by others all the time")

    def _somebody_else(self, person: Administrator) -> tuple[Administrator, ...]:
        """Find who is left to administer; the change is made only if they still are then."""
        for other in self._store.administrators():
            if other.id != person.id and can_administer(other):
                return (other,)
        raise AdminError(reasons.LAST_ADMINISTRATOR, person.name)

    def _end_sessions(self, person: Administrator, actor: Actor, now: datetime, why: str) -> None:
        sessions = self._store.sessions(person.id)
        if sessions:
            events = tuple(session_ended(session, person.name, why, actor, now) for session in sessions)
            self._store.end_sessions([session.id for session in sessions], now, events)


def session_ended(session: Session, name: str, why: str, actor: Actor, now: datetime) -> EventDraft:
    """Say that a session was ended."""
    details: dict[str, JsonValue] = {"session": str(session.id), "why": why}
    return EventDraft(now, actor, Action.SIGNED_OUT, f"administrator:{name}", Outcome.OK, details=details)


def _without(kept: Grant, taken: Iterable[Grant]) -> tuple[Grant, ...]:
    """Take from one grant what others name; a role that counts everywhere is taken as a whole only."""
    reach = kept.reach
    for grant in taken:
        if grant.role is not kept.role:
            continue
        if grant.reach == EVERYWHERE:
            return ()
        if reach.groups is None:
            raise AdminError(reasons.ADMINISTRATION_STATE, f"{kept.role} counts everywhere: take it as a whole")
        reach = replace(reach, groups=reach.groups - (grant.reach.groups or frozenset()))
    return (Grant(kept.role, reach),) if reach.groups is None or reach.groups else ()


def _roles(person: Administrator) -> str:
    return ", ".join(grant_texts(person.grants)) or "no role"


def _event(
    action: Action, person: Administrator, actor: Actor, now: datetime, details: dict[str, JsonValue]
) -> EventDraft:
    return EventDraft(now, actor, action, f"administrator:{person.name}", Outcome.OK, security=True, details=details)
