"""Rollover: a group's next authority is made, takes over, and the former one ends when nothing of it is left.

NEXT → ACTIVE → RETIRING → RETIRED. While an authority is NEXT, GetNextCACert tells of it; from its activation on it
issues what is asked for, and the former one is believed until its last certificate expires. RA keys and the other
credentials follow the same way: a new one at once, the former one for an overlap, then its key is destroyed (ENV-8).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol

from regalia import reasons
from regalia.ca.key_events import key_destroyed
from regalia.ca.server_certificate import names_of
from regalia.errors import AdminError, InvariantError
from regalia.model import (
    STANDING_PURPOSES,
    Action,
    Actor,
    ActorKind,
    Authority,
    AuthorityKind,
    AuthorityState,
    Credential,
    CredentialPurpose,
    EventDraft,
    KeyKind,
    Outcome,
)
from regalia.ports import Authorities, Catalogue, Hierarchies, Successions
from regalia.wire import oids
from regalia.wire.certificate import read_certificate, read_key_usage
from regalia.wire.event import time_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from regalia.ca.authority import Ceremony
    from regalia.model import Group, JsonValue
    from regalia.ports import Clock, KeyStore

__all__ = ["MAX_OVERLAP", "OVERLAP", "ROLLOVER", "Rollover", "RolloverStore", "Superseded", "is_own_ra"]

ROLLOVER: Final = Actor(ActorKind.SYSTEM, "rollover")
OVERLAP: Final = timedelta(days=30)
"""How long a next authority is announced before it takes over, unless said otherwise."""
MAX_OVERLAP: Final = timedelta(days=366)
_LEFT_ALONE: Final = timedelta(days=1)
"""How long a superseded OCSP or TLS key stays: every process looks for the newest within a minute."""
_NUMBERS: Final = 10_000


class RolloverStore(Authorities, Hierarchies, Catalogue, Successions, Protocol):
    """What a rollover reads and writes."""


@dataclass(frozen=True, slots=True)
class Superseded:
    """A credential that another one took over from."""

    credential: Credential
    since: datetime


def is_own_ra(authority: Authority, credential: Credential) -> bool:
    """Whether an RA credential is the authority itself (R2)."""
    return credential.key_id == authority.key_id


class Rollover:
    """Leads groups from one authority, and one RA key, to the next. Each method can be called again after a crash."""

    def __init__(
        self,
        store: RolloverStore,
        ceremony: Ceremony,
        keys: KeyStore,
        clock: Clock,
        *,
        ra_overlap: timedelta = OVERLAP,
    ) -> None:
        """`ra_overlap` is how long a superseded RA key opens messages."""
        self._store = store
        self._ceremony = ceremony
        self._keys = keys
        self._clock = clock
        self._ra_overlap = ra_overlap

    # --- a next authority -------------------------------------------------------------------------------------------

    def rotate(
        self,
        name: str,
        *,
        root: Authority,
        actor: Actor,
        key_kind: KeyKind | None = None,
        overlap: timedelta | None = OVERLAP,
    ) -> Authority:
        """Make a group's next issuing authority under a root whose key is here, with its RA and OCSP credentials.

        It takes over after `overlap`, or where that is None when `activate` says so. Its key is of the kind of the
        present one's unless said otherwise; a group whose authority is its own RA keeps that. What a crash left
        unfinished is finished. Raises `AdminError`: ADM-004 no such group, ADM-038 where one is next already, ADM-018
        an overlap of more than a year, and what `Ceremony.create_issuing` raises.
        """
        _group, present = self.group_and_authority(name)
        if overlap is not None and not timedelta() <= overlap <= MAX_OVERLAP:
            raise AdminError(reasons.USAGE, "--overlap must lie between 0 and 366 days")
        own_ra = self.serves_itself(present)
        following = self.next_of(name)
        if following is None:
            following = self.begin(present, root=root, actor=actor, key_kind=key_kind, overlap=overlap, own_ra=own_ra)
        elif not self.lacks(following):
            raise AdminError(reasons.ROLLOVER_REFUSED, f"{following.name} is next already: activate or revoke it")
        self.furnish(following, own_ra=own_ra, actor=actor)
        return following

    def begin(
        self,
        present: Authority,
        *,
        root: Authority,
        actor: Actor,
        own_ra: bool,
        key_kind: KeyKind | None = None,
        overlap: timedelta | None = None,
    ) -> Authority:
        """Make the authority that follows the present one, still without credentials. As `rotate`."""
        if present.group is None:
            raise InvariantError(f"authority {present.name} belongs to no group")
        return self._ceremony.create_issuing(
            self.free_name(present.group),
            group=present.group,
            root=root,
            actor=actor,
            key_kind=key_kind or present.key_kind,
            next_until=True if overlap is None else self._clock.now() + overlap,
            is_ra=own_ra,
        )

    def group_and_authority(self, name: str) -> tuple[Group, Authority]:
        """Find a group with its present authority. Raises `AdminError` ADM-004."""
        group = self._store.group(name)
        authority = self._store.authority(group.authority) if group is not None else None
        if group is None or authority is None:
            raise AdminError(reasons.NOT_FOUND, f"group {name}")
        return group, authority

    def next_of(self, group: str, since: datetime | None = None) -> Authority | None:
        """Find the newest NEXT authority of a group, made at `since` or later."""
        found = [
            authority
            for authority in self._store.authorities()
            if authority.group == group
            and authority.state is AuthorityState.NEXT
            and (since is None or authority.created_at >= since)
        ]
        return max(found, key=lambda authority: authority.created_at, default=None)

    def serves_itself(self, authority: Authority) -> bool:
        """Whether an authority is its own RA (R2)."""
        return any(is_own_ra(authority, ra) for ra in self._store.credentials(CredentialPurpose.RA, authority.name)[:1])

    def free_name(self, group: str) -> str:
        """Find a name for another authority of a group: no authority is ever renamed."""
        taken = {authority.name for authority in self._store.authorities()}
        taken |= {request.name for request in self._store.authority_requests()}
        return next(name for n in range(1, _NUMBERS) if (name := f"{group[:34]}-ca-{n}") not in taken)

    def lacks(self, authority: Authority) -> tuple[CredentialPurpose, ...]:
        """List the credentials that an authority must have and has not."""
        return tuple(each for each in STANDING_PURPOSES if not self._store.credentials(each, authority.name))

    def furnish(self, authority: Authority, *, own_ra: bool, actor: Actor) -> None:
        """Give an authority the credentials that it lacks.

        `own_ra` lets it be its own RA, if its certificate says that its key encrypts: one made elsewhere may not.
        """
        for purpose in self.lacks(authority):
            if purpose is CredentialPurpose.RA and own_ra and _may_be_ra(authority):
                self._ceremony.appoint_ra(authority, actor=actor)
            else:
                self._ceremony.create_credential(purpose, authority, actor=actor)

    # --- taking over ------------------------------------------------------------------------------------------------

    def activate(self, name: str, *, actor: Actor, resumes: bool = False, why: str = "administrator") -> Authority:
        """Let a NEXT authority issue from now on; every worker and node follows the notice of it.

        `resumes` ends the group's suspension in the same transaction. Raises `AdminError`: ADM-004 no such authority,
        ADM-017 where it is not NEXT or not valid, ADM-038 where it has no RA or OCSP credential yet.
        """
        authority = self._store.authority(name)
        if authority is None or authority.group is None:
            raise AdminError(reasons.NOT_FOUND, f"issuing authority {name}")
        self._ceremony.check_issuer(authority, AuthorityKind.ISSUING, frozenset({AuthorityState.NEXT}))
        if self.lacks(authority):
            lacking = ", ".join(self.lacks(authority))
            raise AdminError(reasons.ROLLOVER_REFUSED, f"{name} lacks credentials: {lacking}; `ca rotate` makes them")
        group, former = self.group_and_authority(authority.group)
        now = self._clock.now()
        details: dict[str, JsonValue] = {"replaces": former.name, "why": why, "resumes": resumes}
        events = [_authority_event(Action.AUTHORITY_ACTIVATED, authority, actor, now, details)]
        if resumes:
            told: dict[str, JsonValue] = {"authority": name}
            events.append(replace(events[0], action=Action.GROUP_RESUMED, object=f"group:{group.name}", details=told))
        if not self._store.activate_authority(name, group.name, former.name, now, events, resumes=resumes):
            raise AdminError(reasons.AUTHORITY_STATE, f"{name} is not next any more: somebody else was faster")
        activated = self._store.authority(name)
        return activated if activated is not None else authority

    def due(self, now: datetime) -> tuple[str, ...]:
        """Name the next authorities whose overlap is over."""
        return tuple(
            authority.name
            for authority in self._store.authorities()
            if authority.state is AuthorityState.NEXT
            and authority.activates_at is not None
            and authority.activates_at <= now
        )

    # --- RA credentials ---------------------------------------------------------------------------------------------

    def rotate_ra(self, name: str, *, actor: Actor) -> Credential:
        """Give a group a new RA credential at once; the former key opens messages for the overlap.

        Raises `AdminError`: ADM-004 no such group, ADM-037 where the authority is its own RA, and what
        `Ceremony.create_credential` raises.
        """
        _group, authority = self.group_and_authority(name)
        if self.serves_itself(authority):
            raise AdminError(reasons.CA_AS_RA_REFUSED, f"{authority.name} is its RA: `regalia ca rotate {name}`")
        return self._ceremony.create_credential(CredentialPurpose.RA, authority, actor=actor)

    # --- the end ----------------------------------------------------------------------------------------------------

    def superseded(self, now: datetime) -> tuple[Superseded, ...]:
        """List the credentials whose overlap is over and whose keys are still here, or not ended yet."""
        authorities = {authority.name: authority for authority in self._store.authorities()}
        found: list[Superseded] = []
        for group in self._store.groups():
            for purpose in CredentialPurpose:
                overlap = self._ra_overlap if purpose is CredentialPurpose.RA else _LEFT_ALONE
                credentials = self._store.group_credentials(purpose, group.name)
                for credential, since in _superseded(credentials, authorities, group.authority):
                    if since + overlap <= now and not self._is_gone(credential, authorities[credential.authority]):
                        found.append(Superseded(credential, since))
        return tuple(found)

    def _is_gone(self, credential: Credential, authority: Authority) -> bool:
        if credential.ended_at is None:
            return False
        return is_own_ra(authority, credential) or not self._keys.holds(credential.key_id)

    def end(self, superseded: Superseded, now: datetime) -> bool:
        """End a superseded credential and destroy its key. Returns whether there was a key to destroy."""
        credential = superseded.credential
        authority = self._store.authority(credential.authority)
        if credential.ended_at is None:
            # First, so that nobody asks for a key that is gone.
            self._store.end_credential(credential.id, now, ())
        if authority is None or is_own_ra(authority, credential) or not self._keys.holds(credential.key_id):
            return False
        why = f"{credential.purpose} credential of {credential.authority}, superseded {time_text(superseded.since)}"
        event = key_destroyed(credential.key_id, at=now, actor=ROLLOVER, why=why, group=credential.group)
        return self._keys.destroy(credential.key_id, (event,))

    def retire(self, now: datetime) -> tuple[str, ...]:
        """RETIRING → RETIRED where nothing that it issued is valid and nobody encrypts to its RA. Returns the names."""
        retired = []
        for authority in self._store.authorities():
            if authority.state is not AuthorityState.RETIRING or self._store.lives_on(authority.name, now):
                continue
            if any(ra.ended_at is None for ra in self._store.credentials(CredentialPurpose.RA, authority.name)):
                continue
            event = _authority_event(Action.AUTHORITY_RETIRED, authority, ROLLOVER, now, {})
            self._store.set_authority_state(authority.name, AuthorityState.RETIRED, (event,), at=now)
            retired.append(authority.name)
        return tuple(retired)


def _may_be_ra(authority: Authority) -> bool:
    usage = read_certificate(authority.certificate_der).extension(oids.CE_KEY_USAGE)
    return usage is not None and "keyEncipherment" in read_key_usage(usage.value)


def _superseded(
    credentials: Sequence[Credential], authorities: dict[str, Authority], present: str
) -> Iterator[tuple[Credential, datetime]]:
    """Find credentials that another one took over from, and when.

    `credentials` are of one purpose, newest first; `present` is the authority that the group names.
    """
    newest: dict[tuple[str, object], datetime] = {}
    for credential in credentials:
        authority = authorities.get(credential.authority)
        if authority is None:
            continue
        # Nodes with other names have TLS certificates of their own.
        names = names_of(credential.certificate_der) if credential.purpose is CredentialPurpose.TLS else None
        since = newest.get((credential.authority, names))
        newest[credential.authority, names] = credential.created_at
        ends = authority.state in _ENDS[credential.purpose] and authority.name != present
        if ends and authority.state_since is not None:
            since = min(since or authority.state_since, authority.state_since)
        if since is not None:
            yield credential, since


_ENDS: Final = {
    CredentialPurpose.RA: frozenset({AuthorityState.RETIRING, AuthorityState.RETIRED, AuthorityState.REVOKED}),
    CredentialPurpose.TLS: frozenset({AuthorityState.RETIRING, AuthorityState.RETIRED, AuthorityState.REVOKED}),
    CredentialPurpose.OCSP: frozenset({AuthorityState.RETIRED}),
}
"""In which states of their authority credentials end without a newer one: status goes on to the last certificate."""


def _authority_event(
    action: Action, authority: Authority, actor: Actor, at: datetime, details: dict[str, JsonValue]
) -> EventDraft:
    return EventDraft(
        at=at,
        actor=actor,
        action=action,
        object=f"authority:{authority.name}",
        outcome=Outcome.OK,
        group=authority.group,
        details=details,
    )
