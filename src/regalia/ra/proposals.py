"""The two-person rule: what one administrator asks for and another one must agree to (AUTHZ-5).

Whether it holds is a setting. `auto` asks for a second person as soon as there is one: two enabled administrators who
have the right. Whoever commands on the machine itself is exempt, and the log names them as `os:NAME`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol

from regalia import reasons
from regalia.errors import AdminError
from regalia.model import (
    Action,
    AdministratorState,
    EventDraft,
    Outcome,
    Proposal,
    ProposalState,
    new_id,
)
from regalia.ports import Administrators, Proposals, Sessions
from regalia.ra.roles import reach_of
from regalia.wire.event import time_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from regalia.model import Actor, JsonValue, Right
    from regalia.ports import Clock, Entropy

__all__ = ["LIFE", "NewProposal", "ProposalDesk", "ProposalStore", "TwoPersons"]

LIFE: Final = timedelta(days=7)
_DOING: Final = timedelta(hours=1)
"""Longer than anything takes that was agreed to."""
_PERSONS: Final = 2
_INTERRUPTED: Final = "the server ended while it was done: look whether it was, and propose it anew if not"


class TwoPersons(StrEnum):
    """When a second person is asked for."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


class ProposalStore(Administrators, Sessions, Proposals, Protocol):
    """What proposals stand on."""


@dataclass(frozen=True, slots=True)
class NewProposal:
    """What somebody asks for, and who they are."""

    verb: str
    asked: Mapping[str, JsonValue]
    summary: Sequence[str]
    group: str | None
    administrator: UUID | None


class ProposalDesk:
    """Keeps proposals, and decides who may decide."""

    def __init__(
        self, store: ProposalStore, clock: Clock, entropy: Entropy, rule: TwoPersons = TwoPersons.AUTO
    ) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._rule = rule

    def needed(self, right: Right, group: str | None) -> bool:
        """Whether a second person is asked for what needs this right, in a group or (None) in the whole."""
        if self._rule is not TwoPersons.AUTO:
            return self._rule is TwoPersons.ALWAYS
        return sum(self._has(person_id, right, group) for person_id in self._enabled()) >= _PERSONS

    def _enabled(self) -> list[UUID]:
        return [person.id for person in self._store.administrators() if person.state is AdministratorState.ENABLED]

    def _has(self, person_id: UUID, right: Right, group: str | None) -> bool:
        """Whether somebody has a right by what was granted here, or in a session by what a provider claims."""
        person = self._store.administrator(person_id)
        if person is None:
            return False
        granted = [person.grants, *(session.granted or () for session in self._store.sessions(person_id))]
        return any(group in reach_of(grants, right) for grants in granted)

    def propose(self, wanted: NewProposal, *, actor: Actor) -> Proposal:
        """Keep what somebody asks for until another one decides, seven days long."""
        now = self._clock.now()
        proposal = Proposal(
            id=new_id(now, self._entropy.octets(10)),
            verb=wanted.verb,
            asked=wanted.asked,
            summary=tuple(wanted.summary),
            group=wanted.group,
            proposed_by=actor.id,
            proposer=wanted.administrator,
            proposed_at=now,
            expires_at=now + LIFE,
        )
        details: dict[str, JsonValue] = {
            "verb": proposal.verb,
            "summary": [*proposal.summary],
            "asked": json.dumps(dict(proposal.asked)),
            "expires_at": time_text(proposal.expires_at),
        }
        self._store.add_proposal(proposal, (self._event(Action.PROPOSAL_MADE, proposal, actor, details),))
        return proposal

    def approve(self, proposal: Proposal, *, actor: Actor, administrator: UUID | None, program: bool) -> Proposal:
        """Agree to a proposal: it is to be done next, by who agreed. Of two who agree at once one does.

        Raises `AdminError` ADM-075 where whoever agrees is who proposed it, or no person; ADM-074 where it is not open.
        """
        self.see_open(proposal)
        own = administrator == proposal.proposer or actor.id == proposal.proposed_by
        if program or administrator is None or own:
            raise AdminError(reasons.PROPOSAL_NOT_YOURS, f"proposal {proposal.id} of {proposal.proposed_by}")
        return self._decide(proposal, ProposalState.APPROVED, Action.PROPOSAL_APPROVED, actor)

    def see_open(self, proposal: Proposal) -> None:
        """Raise `AdminError` ADM-074 unless somebody may still decide."""
        if proposal.state is not ProposalState.OPEN or proposal.expires_at <= self._clock.now():
            state = ProposalState.EXPIRED if proposal.state is ProposalState.OPEN else proposal.state
            raise AdminError(reasons.ADMINISTRATION_STATE, f"proposal {proposal.id} is {state}")

    def done(self, proposal: Proposal, outcome: Mapping[str, JsonValue], *, actor: Actor) -> Proposal:
        """Note that what was agreed to was done."""
        after = replace(proposal, state=ProposalState.DONE, outcome=outcome)
        return self._concluded(proposal, after, Outcome.OK, actor)

    def failed(self, proposal: Proposal, why: str, *, reason_id: str | None, actor: Actor) -> Proposal:
        """Note that what was agreed to could not be done."""
        after = replace(proposal, state=ProposalState.FAILED, note=why)
        return self._concluded(proposal, after, Outcome.FAILED, actor, reason_id)

    def _concluded(
        self, before: Proposal, after: Proposal, outcome: Outcome, actor: Actor, reason_id: str | None = None
    ) -> Proposal:
        event = self._event(Action.PROPOSAL_DONE, before, actor, _concluding(after))
        event = replace(event, outcome=outcome, reason_id=reason_id)
        if not self._store.decide_proposal(before, after, (event,)):
            raise AdminError(reasons.ADMINISTRATION_STATE, f"proposal {before.id} was concluded by another one")
        return after

    def refuse(self, proposal: Proposal, note: str, *, actor: Actor) -> Proposal:
        """Refuse a proposal. Raises `AdminError` ADM-074 where it is not open."""
        self.see_open(proposal)
        return self._decide(proposal, ProposalState.REFUSED, Action.PROPOSAL_REFUSED, actor, note)

    def withdraw(self, proposal: Proposal, note: str, *, actor: Actor) -> Proposal:
        """Withdraw what one proposed. Raises `AdminError` ADM-074 where it is not open."""
        self.see_open(proposal)
        return self._decide(proposal, ProposalState.WITHDRAWN, Action.PROPOSAL_WITHDRAWN, actor, note)

    def expire(self, actor: Actor) -> int:
        """End what nobody decided in time, and what was interrupted while it was done; returns how many there were."""
        now, expired = self._clock.now(), 0
        for proposal in self._store.proposals(ProposalState.OPEN):
            if proposal.expires_at > now:
                continue
            after = replace(proposal, state=ProposalState.EXPIRED, decided_by=actor.id, decided_at=now)
            event = self._event(Action.PROPOSAL_EXPIRED, proposal, actor, _whose(proposal))
            expired += self._store.decide_proposal(proposal, after, (event,))
        return expired + self._interrupted(actor)

    def _interrupted(self, actor: Actor) -> int:
        """Note as failed what was agreed to and never ended: whether it was done, the log tells."""
        before, ended = self._clock.now() - _DOING, 0
        for proposal in self._store.proposals(ProposalState.APPROVED):
            if proposal.decided_at is not None and proposal.decided_at <= before:
                after = replace(proposal, state=ProposalState.FAILED, note=_INTERRUPTED)
                event = self._event(Action.PROPOSAL_DONE, proposal, actor, _concluding(after))
                ended += self._store.decide_proposal(proposal, after, (replace(event, outcome=Outcome.FAILED),))
        return ended

    def _decide(
        self, proposal: Proposal, state: ProposalState, action: Action, actor: Actor, note: str = ""
    ) -> Proposal:
        after = replace(proposal, state=state, decided_by=actor.id, decided_at=self._clock.now(), note=note)
        details = _whose(proposal)
        if note:
            details["note"] = note
        if not self._store.decide_proposal(proposal, after, (self._event(action, proposal, actor, details),)):
            raise AdminError(reasons.ADMINISTRATION_STATE, f"proposal {proposal.id} was decided by another one")
        return after

    def _event(self, action: Action, proposal: Proposal, actor: Actor, details: dict[str, JsonValue]) -> EventDraft:
        return EventDraft(
            self._clock.now(),
            actor,
            action,
            f"proposal:{proposal.id}",
            Outcome.OK,
            group=proposal.group,
            security=True,
            details=details,
        )


def _concluding(after: Proposal) -> dict[str, JsonValue]:
    note: dict[str, JsonValue] = {"note": after.note} if after.note else {}
    return {**_whose(after), "approved_by": after.decided_by, **note}


def _whose(proposal: Proposal) -> dict[str, JsonValue]:
    return {"verb": proposal.verb, "proposed_by": proposal.proposed_by}
