"""The part of the store's fake that lets authorities follow one another. See `memory_store`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from regalia.model import Action, AuthorityState, CertificateKind, CertificateState, CredentialPurpose, Door
from regalia.ports import Holder

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from regalia.model import Authority, Certificate, Credential, Endpoint, Enrolment, Event, EventDraft, Group, Profile

__all__ = ["MemorySuccessions"]


class MemorySuccessions:
    """Activation, suspension, ended credentials, holders, and the door made of them."""

    _lock: threading.RLock
    _authorities: dict[str, Authority]
    _credentials: list[Credential]
    _groups: dict[str, Group]
    _certificates: dict[UUID, Certificate]
    _enrolments: dict[UUID, Enrolment]
    log: list[Event]

    if TYPE_CHECKING:

        def record(self, events: Sequence[EventDraft]) -> None:
            """Append events: the whole store does."""

    def activate_authority(
        self, name: str, group: str, replaces: str, at: datetime, events: Sequence[EventDraft], *, resumes: bool = False
    ) -> bool:
        """See the port."""
        with self._lock:
            chosen, whose = self._authorities.get(name), self._groups.get(group)
            if chosen is None or whose is None or chosen.state is not AuthorityState.NEXT:
                return False
            if whose.authority != replaces:
                return False
            former = self._authorities.get(whose.authority)
            if former is not None and former.state is AuthorityState.ACTIVE:
                self._authorities[former.name] = replace(former, state=AuthorityState.RETIRING, state_since=at)
            self._authorities[name] = replace(chosen, state=AuthorityState.ACTIVE, state_since=at, activates_at=None)
            named = replace(whose, authority=name)
            self._groups[group] = replace(named, suspended_at=None, suspended_why="") if resumes else named
            self.record(events)
            return True

    def suspend_group(self, name: str, at: datetime, why: str, events: Sequence[EventDraft]) -> bool:
        """See the port."""
        with self._lock:
            group = self._groups.get(name)
            if group is None or group.suspended_at is not None:
                return False
            self._groups[name] = replace(group, suspended_at=at, suspended_why=why)
            self.record(events)
            return True

    def resume_group(self, name: str, events: Sequence[EventDraft]) -> bool:
        """See the port."""
        with self._lock:
            group = self._groups.get(name)
            if group is None or group.suspended_at is None:
                return False
            self._groups[name] = replace(group, suspended_at=None, suspended_why="")
            self.record(events)
            return True

    def group_credentials(self, purpose: CredentialPurpose, group: str) -> tuple[Credential, ...]:
        """See the port."""
        return tuple(c for c in reversed(self._credentials) if c.purpose is purpose and c.group == group)

    def end_credential(self, credential_id: UUID, at: datetime, events: Sequence[EventDraft]) -> bool:
        """See the port."""
        with self._lock:
            place = next((n for n, c in enumerate(self._credentials) if c.id == credential_id), None)
            if place is None or self._credentials[place].ended_at is not None:
                return False
            self._credentials[place] = replace(self._credentials[place], ended_at=at)
            self.record(events)
            return True

    def lives_on(self, authority: str, now: datetime) -> bool:
        """See the port."""
        own = self._authorities.get(authority)
        row = self._certificates.get(own.certificate_id) if own is not None else None
        imported = (f"authority:{authority}", Action.AUTHORITY_IMPORTED)
        if row is not None and any((event.draft.object, event.draft.action) == imported for event in self.log):
            return row.intent.not_after > now
        return any(
            c.intent.authority == authority
            and c.intent.not_after > now
            and c.intent.kind in (CertificateKind.LEAF, CertificateKind.TLS)
            and c.state is not CertificateState.ABANDONED
            for c in self._certificates.values()
        )

    def holders(self, group: str, now: datetime) -> tuple[Holder, ...]:
        """See the port."""
        with self._lock:
            leaves = [
                c
                for c in self._certificates.values()
                if c.intent.group == group
                and c.intent.kind is CertificateKind.LEAF
                and c.state is CertificateState.ISSUED
                and c.revocation is None
            ]
        good = [c for c in leaves if self._authorities[c.intent.authority].state is not AuthorityState.REVOKED]
        found: dict[tuple[str, str], list[Certificate]] = {}
        for c in leaves:
            if c not in good and c.intent.not_after > now and not any(_succeeds(later, c) for later in good):
                who = (c.intent.device or "", "" if c.intent.device else c.intent.subject)
                found.setdefault(who, []).append(c)
        return tuple(self._holder(found[who]) for who in sorted(found))

    def _holder(self, held: list[Certificate]) -> Holder:
        newest = max(held, key=lambda c: (c.intent.created_at, c.id))
        enrolment = self._enrolments.get(newest.intent.enrolment_id) if newest.intent.enrolment_id else None
        return Holder(
            device=newest.intent.device,
            subject=newest.intent.subject,
            unverified=newest.intent.unverified,
            endpoint=enrolment.key.endpoint if enrolment is not None else None,
            authority=newest.intent.authority,
            serial=newest.serial,
            not_after=newest.intent.not_after,
            certificates=len(held),
        )

    def _door(self, endpoint: Endpoint, profile: Profile, above: Sequence[Authority]) -> Door | None:
        """Make the door of an endpoint; `above` leads from its authority's parent to the root."""
        with self._lock:
            group = self._groups[endpoint.group]
            of_group = [a for a in self._authorities.values() if a.group == group.name]
            of_group.sort(key=lambda a: a.created_at, reverse=True)
            ras = [c for c in self.group_credentials(CredentialPurpose.RA, group.name) if c.ended_at is None]
        current = next((c for c in ras if c.authority == group.authority), None)
        if current is None:
            return None
        following = next((a for a in of_group if a.state is AuthorityState.NEXT), None)
        next_ra = next((c for c in ras if following is not None and c.authority == following.name), None)
        serving = {a.name for a in of_group if a.state in (AuthorityState.ACTIVE, AuthorityState.RETIRING)}
        return Door(
            endpoint=endpoint,
            group=group,
            profile=profile,
            authority=self._authorities[group.authority],
            root=above[-1],
            ra=current,
            former_ras=tuple(c for c in ras if c is not current and c.authority in serving),
            between=tuple(above[:-1]),
            former=tuple(a for a in of_group if a.state is AuthorityState.RETIRING),
            successor=following if next_ra is not None else None,
            successor_ra=next_ra,
        )


def _succeeds(later: Certificate, earlier: Certificate) -> bool:
    """Whether a later certificate is for the same holder."""
    old, new = earlier.intent, later.intent
    same = old.device == new.device if old.device is not None else old.subject == new.subject
    return same and new.created_at > old.created_at
