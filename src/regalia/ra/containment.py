"""Containment: stop a group's issuance in one step, replace its authority, and know who has to enrol anew.

A suspended group issues nothing, and goes on to say what became of what it issued: OCSP, CRLs, GetCACert, GetCert and
GetCRL. Replacing a compromised authority is one procedure that can be killed anywhere and called again; each step looks
whether it was done.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol

from regalia import reasons
from regalia.ca.authority import revoke_authority
from regalia.ca.known_crl import read_known_crl
from regalia.ca.rollover import RolloverStore
from regalia.errors import AdminError, InvariantError, UnavailableError
from regalia.model import Action, Authority, AuthorityState, EventDraft, Outcome, RevocationReason
from regalia.ports import Certificates, Crls, Jobs
from regalia.wire.certificate import read_certificate

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from regalia.ca.hierarchy import Hierarchy
    from regalia.ca.rollover import Rollover
    from regalia.model import Actor, AuthorityRequest, Group, JsonValue
    from regalia.ports import Clock, Holder, KeyStore

__all__ = ["Containment", "ContainmentStore", "Replaced", "Waiting"]


_LEASE: Final = timedelta(seconds=15)
"""Of whoever replaces, from step to step: one that was killed holds the next up for no longer."""
_LOOK_SECONDS: Final = 0.2
_LOOKS: Final = 150
"""Thirty seconds: twice the lease."""


class ContainmentStore(RolloverStore, Certificates, Crls, Jobs, Protocol):
    """What containment reads and writes."""


@dataclass(frozen=True, slots=True)
class Replaced:
    """A replacement that is done."""

    group: str
    former: Authority
    present: Authority
    unused: tuple[str, ...]
    """Next authorities from before: whoever took the key may have theirs, so they are revoked, too."""
    suspended: str = ""
    """Why the group stays suspended; empty where it is resumed."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A replacement that waits for what only the root's key can do, on another machine."""

    group: str
    former: Authority
    root: str
    request: AuthorityRequest | None
    """Of the new authority: its certificate has to be made there. None where that was brought."""
    crl: bool
    """Whether the root's CRL has to be made there, too."""
    unused: tuple[str, ...] = ()
    """Next authorities of this root from before, which that CRL has to list as well."""


@dataclass(frozen=True, slots=True)
class _Replacement:
    """What was asked for."""

    group: str
    compromised: str
    actor: Actor
    note: str
    publish: Callable[[str], None]
    tell: Callable[[str], None]


def _lease(group: str) -> str:
    return f"replace-authority:{group}"


class Containment:
    """Suspends and resumes groups, and replaces their authorities."""

    def __init__(
        self,
        store: ContainmentStore,
        rollover: Rollover,
        hierarchy: Hierarchy,
        keys: KeyStore,
        clock: Clock,
        *,
        holder: str,
        pause: Callable[[float], None],
    ) -> None:
        """`holder` names this process in leases, as nothing else is named."""
        self._store = store
        self._rollover = rollover
        self._hierarchy = hierarchy
        self._keys = keys
        self._clock = clock
        self._holder = holder
        self._pause = pause

    # --- a group ----------------------------------------------------------------------------------------------------

    def suspend(self, name: str, why: str, *, actor: Actor) -> Group:
        """Let a group issue nothing from now on: no enrolment, renewal, approval, order or NDES challenge.

        Raises `AdminError` ADM-004 no such group, ADM-039 suspended already.
        """
        group, now = self._group(name), self._clock.now()
        event = self._event(Action.GROUP_SUSPENDED, name, actor, now, {"why": why, "authority": group.authority})
        if not self._store.suspend_group(name, now, why, (event,)):
            raise AdminError(reasons.GROUP_STATE, f"{name} is suspended already{_suspended_since(self._group(name))}")
        return self._group(name)

    def resume(self, name: str, *, actor: Actor) -> Group:
        """Let it issue again. Raises `AdminError` ADM-004, ADM-039 not suspended, or its authority is revoked."""
        group, authority = self._rollover.group_and_authority(name)
        if authority.state is AuthorityState.REVOKED:
            told = f"{authority.name} is revoked: finish with `regalia group replace-authority {name} --compromised`"
            raise AdminError(reasons.GROUP_STATE, told)
        event = self._event(
            Action.GROUP_RESUMED, name, actor, self._clock.now(), {"suspended": _suspended_since(group).strip()}
        )
        if not self._store.resume_group(name, (event,)):
            raise AdminError(reasons.GROUP_STATE, f"{name} is not suspended")
        return self._group(name)

    def holders(self, name: str) -> tuple[Holder, ...]:
        """List whoever has to enrol anew because a revoked authority issued their certificate. Raises ADM-004."""
        return self._store.holders(self._group(name).name, self._clock.now())

    # --- its authority ----------------------------------------------------------------------------------------------

    def replace(
        self,
        name: str,
        *,
        actor: Actor,
        publish: Callable[[str], None],
        compromised: str | None = None,
        note: str = "",
        tell: Callable[[str], None] = lambda _text: None,
    ) -> Replaced | Waiting:
        """Replace the group's authority, whose key others may have: suspend, revoke, publish, make, activate, resume.

        Next authorities from before are revoked, too; a suspension that somebody made for another reason stays.

        `publish` publishes an authority's CRL; `tell` hears of each step that was done. `compromised` names the
        authority, so that the call that comes after the last one finds that all is done. Killed anywhere it can be
        called again; of two at a time, one waits for the other. `Waiting` where the root's key is not here: called
        again once what it asks for has been brought, it goes on. Raises `AdminError`: ADM-004 no such group, ADM-017
        where `compromised` is not its authority; `UnavailableError` CA-013 where another one does not come to an end.
        """
        pinned = compromised or self._group(name).authority
        self._take_turn(name)
        try:
            return self._replace(_Replacement(name, pinned, actor, note, publish, tell))
        finally:
            now = self._clock.now()
            self._store.lease(_lease(name), self._holder, now, now)

    def _take_turn(self, name: str) -> None:
        for _ in range(_LOOKS):
            now = self._clock.now()
            if self._store.lease(_lease(name), self._holder, now, now + _LEASE):
                return
            self._pause(_LOOK_SECONDS)
        raise UnavailableError(reasons.IN_PROGRESS, f"somebody else replaces the authority of {name}")

    def _replace(self, order: _Replacement) -> Replaced | Waiting:
        group, present = self._rollover.group_and_authority(order.group)
        former = self._former(group, present, order.compromised)
        if former.name != present.name:
            return self._replaced(former, present, self._end_unused(former, order))
        self._stop(group, former, order)
        former = self._revoked(former, order)
        root = self._store.authority(former.parent or "")
        if root is None:
            raise InvariantError(f"authority {former.name} has no parent")
        unused = self._end_unused(former, order)
        told = self._told(root, (former, *unused))
        following = self._rollover.next_of(group.name, self._since(former))
        if not self._keys.holds(root.key_id) and (following is None or not told):
            return self._waiting(former, root, following, unused, order, told=told)
        if not told:
            order.publish(root.name)
            order.tell(f"published the CRL of {root.name}, which says so")
        self._take_turn(group.name)
        following = self._made(following, former, root, order.actor)
        order.publish(following.name)
        order.tell(f"made authority {following.name} with its RA and OCSP credentials")
        self._take_turn(group.name)
        # Somebody else may have suspended it for what this does not mend.
        resumes = self._group(group.name).suspended_why == _why(former)
        activated = self._rollover.activate(following.name, actor=order.actor, resumes=resumes, why=_why(former))
        replaced = self._replaced(former, activated, unused)
        stands = "stays suspended" if replaced.suspended else "is resumed"
        order.tell(f"{following.name} issues for group {group.name}, which {stands}")
        return replaced

    def _replaced(self, former: Authority, present: Authority, unused: tuple[Authority, ...]) -> Replaced:
        group = self._group(former.group or "")
        suspended = _suspended_since(group).strip()
        return Replaced(group.name, former, present, tuple(each.name for each in unused), suspended)

    def _stop(self, group: Group, former: Authority, order: _Replacement) -> None:
        if group.suspended_at is None:
            self.suspend(group.name, _why(former), actor=order.actor)
            order.tell(f"suspended group {group.name}: nothing is issued in it")

    def _former(self, group: Group, present: Authority, compromised: str) -> Authority:
        if compromised == present.name:
            return present
        named = self._store.authority(compromised)
        if named is None or named.group != group.name:
            raise AdminError(reasons.NOT_FOUND, f"authority {compromised} of group {group.name}")
        if named.state is not AuthorityState.REVOKED or present.state is not AuthorityState.ACTIVE:
            told = f"{named.name} is {named.state}; the group's is {present.name}: `regalia ca revoke {named.name}`"
            raise AdminError(reasons.AUTHORITY_STATE, told)
        if present.created_at < self._since(named):
            told = f"{present.name} was made before {named.name} was revoked and does not replace it; if its key may"
            again = f"regalia group replace-authority {group.name} --compromised --authority {present.name}"
            raise AdminError(reasons.AUTHORITY_STATE, f"{told} be in other hands, too: `{again}`")
        return named

    def _revoked(self, former: Authority, order: _Replacement) -> Authority:
        if former.state is AuthorityState.REVOKED:
            return former
        revoked = self._revoke(former, order)
        order.tell(
            f"revoked {former.name}: its certificates prove nothing any more, and OCSP says revoked for each of them"
        )
        return revoked

    def _revoke(self, authority: Authority, order: _Replacement) -> Authority:
        reason = RevocationReason.CA_COMPROMISE
        return revoke_authority(
            self._store, self._store, self._clock, authority, reason=reason, actor=order.actor, note=order.note
        )

    def _end_unused(self, former: Authority, order: _Replacement) -> tuple[Authority, ...]:
        """Revoke the next authorities that were made before the compromise was known, and find what was so ended."""
        since, unused = self._since(former), []
        for each in self._store.authorities():
            if each.group != former.group or each.name == former.name or each.created_at >= since:
                continue
            if each.state is AuthorityState.NEXT:
                unused.append(self._revoke(each, order))
                order.tell(f"revoked {each.name}, which was to be next: whoever took one key may have the other")
            elif each.state is AuthorityState.REVOKED and (each.state_since or each.created_at) >= since:
                unused.append(each)
        return tuple(unused)

    def _since(self, former: Authority) -> datetime:
        certificate = self._store.certificate(former.certificate_id)
        if certificate is None or certificate.revocation is None:
            raise InvariantError(f"authority {former.name} is revoked and its certificate is not")
        return certificate.revocation.at

    def _told(self, root: Authority, revoked: tuple[Authority, ...]) -> bool:
        """Whether the root's CRL as published lists those of these authorities that it certified."""
        last = self._store.last_crl(root.name)
        octets = b"".join(self._store.crl_octets(last)) if last is not None else b""
        if not octets:
            # Where there is a record, a newer one was published meanwhile: whoever asks again reads that.
            return False
        listed = {entry.serial for entry in read_known_crl(octets, (root,)).entries}
        facts = [read_certificate(each.certificate_der) for each in revoked if each.parent == root.name]
        return {each.serial for each in facts if each.not_after > self._clock.now()} <= listed

    def _made(self, found: Authority | None, former: Authority, root: Authority, actor: Actor) -> Authority:
        own_ra = self._rollover.serves_itself(former)
        made = found or self._rollover.begin(former, root=root, actor=actor, own_ra=own_ra)
        self._rollover.furnish(made, own_ra=own_ra, actor=actor)
        return made

    def _waiting(
        self,
        former: Authority,
        root: Authority,
        following: Authority | None,
        unused: tuple[Authority, ...],
        order: _Replacement,
        *,
        told: bool,
    ) -> Waiting:
        name, since = order.group, self._since(former)
        request = self._requested(name, former, root, since, order.actor) if following is None else None
        listed = tuple(each.name for each in unused if each.parent == root.name)
        return Waiting(name, former, root.name, request, crl=not told, unused=listed)

    def _requested(
        self, name: str, former: Authority, root: Authority, since: datetime, actor: Actor
    ) -> AuthorityRequest:
        """Find the request that an earlier call made, or make it."""
        made = [each for each in self._store.authority_requests() if each.group == name and each.created_at >= since]
        called = made[-1].name if made else self._rollover.free_name(name)
        return self._hierarchy.request(called, group=name, parent=root.name, key_kind=former.key_kind, actor=actor)

    # --- the steps that they share ----------------------------------------------------------------------------------

    def _group(self, name: str) -> Group:
        group = self._store.group(name)
        if group is None:
            raise AdminError(reasons.NOT_FOUND, f"group {name}")
        return group

    def _event(
        self, action: Action, name: str, actor: Actor, at: datetime, details: dict[str, JsonValue]
    ) -> EventDraft:
        return EventDraft(at, actor, action, f"group:{name}", Outcome.OK, name, security=True, details=details)


def _why(former: Authority) -> str:
    """Say why a replacement suspends: that suspension, and no other one, ends with it."""
    return f"{former.name} is compromised"


def _suspended_since(group: Group) -> str:
    if group.suspended_at is None:
        return ""
    why = f": {group.suspended_why}" if group.suspended_why else ""
    return f" since {group.suspended_at:%Y-%m-%d %H:%M} UTC{why}"
