"""Proposals: what waits until a second administrator agrees (AUTHZ-5)."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, ValidationError

from regalia import reasons
from regalia.errors import AdminError, RegaliaError
from regalia.model import EVERYWHERE, ProposalState, Right
from regalia.ra.roles import reach_of
from regalia.verbs.fields import Id, Note
from regalia.verbs.lookup import by_prefix
from regalia.verbs.paging import ListAsked, page_of_few
from regalia.verbs.proposal_record import ProposalRecord, proposal_fields, proposal_record
from regalia.verbs.verb import Asked, Desk, Page, Verb, would

if TYPE_CHECKING:
    from uuid import UUID

    from regalia.model import Proposal

__all__ = [
    "APPROVE",
    "LIST",
    "REFUSE",
    "SHOW",
    "VERBS",
    "WITHDRAW",
    "DecideProposal",
    "ListProposals",
    "NameProposal",
    "ProposalShown",
]


class ListProposals(ListAsked):
    """Which ones."""

    state: Annotated[ProposalState | None, Field(description="Only these.")] = None


class NameProposal(Asked):
    """Which one."""

    proposal_id: Id


class DecideProposal(NameProposal):
    """Which one, and why."""

    note: Note = ""


class ProposalShown(ProposalRecord):
    """A proposal with what was asked, and what came of it."""

    asked: dict[str, Any]
    outcome: dict[str, Any]


def list_proposals(desk: Desk, asked: ListProposals) -> Page[ProposalRecord]:
    """Newest first: one's own, those that one may decide, and all for who reviews access."""
    found = [each for each in desk.services.store.proposals(asked.state) if _sees(desk, each)]
    return page_of_few(
        asked,
        "proposal.list",
        found,
        place=lambda proposal: (str(proposal.id),),
        words=lambda proposal: (proposal.verb, proposal.proposed_by, str(proposal.id)),
        record=proposal_record,
        descending=True,
    )


def show_proposal(desk: Desk, asked: NameProposal) -> ProposalShown:
    """One of them."""
    return _shown(_found(desk, asked.proposal_id))


def approve_proposal(desk: Desk, asked: NameProposal) -> ProposalShown:
    """Agree to it, and do it: as it was asked, as who agrees.

    Raises `AdminError`: ADM-074 where it is not open, ADM-075 where one must not agree to it, ADM-070 without the right
    to it, ADM-076 where it would do something else now; what the verb raises, which is then on record.
    """
    proposal = _found(desk, asked.proposal_id)
    proposals = desk.services.proposals
    proposals.see_open(proposal)
    verb, question, inner = _checked(desk, proposal)
    approved = proposals.approve(
        proposal, actor=desk.actor, administrator=desk.caller.administrator, program=desk.caller.program
    )
    try:
        given = verb.run(inner, question)
    except RegaliaError as error:
        proposals.failed(approved, str(error), reason_id=error.reason.id, actor=desk.actor)
        raise
    record = given.model_dump(mode="json")
    done = proposals.done(approved, {} if verb.secret else record, actor=desk.actor)
    # What is shown once is shown to who agreed, and kept nowhere.
    return _shown(replace(done, outcome=record))


def _plan_approve(desk: Desk, asked: NameProposal) -> tuple[str, ...]:
    proposal = _found(desk, asked.proposal_id)
    desk.services.proposals.see_open(proposal)
    _checked(desk, proposal)
    return proposal.summary


def _checked(desk: Desk, proposal: Proposal) -> tuple[Verb[Any, Any], Asked, Desk]:
    """See that who agrees has the right, and that what was proposed would do the same now as it would then."""
    verb = _verb(proposal)
    reach = reach_of(desk.caller.grants, verb.right)
    if proposal.group not in reach:
        raise AdminError(reasons.RIGHT_MISSING, f"{verb.name} needs the right {verb.right}")
    try:
        question = verb.asks.model_validate_json(json.dumps(dict(proposal.asked)))
    except ValidationError as error:
        raise AdminError(reasons.PROPOSAL_OUTDATED, f"{verb.name} is asked otherwise now") from error
    inner = Desk(desk.services, desk.caller, reach, proposal.proposed_by)
    if would(verb, inner, question) != proposal.summary:
        raise AdminError(reasons.PROPOSAL_OUTDATED, f"see `regalia proposal show {proposal.id}`")
    return verb, question, inner


def _verb(proposal: Proposal) -> Verb[Any, Any]:
    from regalia.verbs.registry import verb_named  # noqa: PLC0415 - the registry has this module among its own

    verb = verb_named(proposal.verb)
    if verb is None:
        raise AdminError(reasons.PROPOSAL_OUTDATED, f"there is no {proposal.verb} any more")
    return verb


def refuse_proposal(desk: Desk, asked: DecideProposal) -> ProposalRecord:
    """Say no to it, with the right to what was proposed."""
    proposal = _found(desk, asked.proposal_id)
    if proposal.group not in reach_of(desk.caller.grants, _verb(proposal).right):
        raise AdminError(reasons.RIGHT_MISSING, f"{proposal.verb} needs the right {_verb(proposal).right}")
    return proposal_record(desk.services.proposals.refuse(proposal, asked.note, actor=desk.actor))


def withdraw_proposal(desk: Desk, asked: DecideProposal) -> ProposalRecord:
    """Take one's own back."""
    proposal = _found(desk, asked.proposal_id)
    if not _is_own(desk, proposal):
        raise AdminError(reasons.RIGHT_MISSING, f"proposal {proposal.id} is {proposal.proposed_by}'s: refuse it")
    return proposal_record(desk.services.proposals.withdraw(proposal, asked.note, actor=desk.actor))


def _is_own(desk: Desk, proposal: Proposal) -> bool:
    """Whether who asks proposed it; of a person, also by a token of theirs. A token's name alone may be another's."""
    caller = desk.caller
    if caller.administrator != proposal.proposer:
        return False
    return desk.actor.id == proposal.proposed_by or (caller.administrator is not None and not caller.program)


def _sees(desk: Desk, proposal: Proposal) -> bool:
    from regalia.verbs.registry import verb_named  # noqa: PLC0415 - the registry has this module among its own

    verb = verb_named(proposal.verb)
    grants = desk.caller.grants
    if _is_own(desk, proposal) or reach_of(grants, Right.READ_ACCESS) == EVERYWHERE:
        return True
    return verb is not None and proposal.group in reach_of(grants, verb.right)


def _found(desk: Desk, text: str) -> Proposal:
    """Look one up that the caller sees (AUTHZ-4)."""
    store = desk.services.store

    def by_id(proposal_id: UUID) -> Proposal | None:
        proposal = store.proposal(proposal_id)
        return proposal if proposal is not None and _sees(desk, proposal) else None

    return by_prefix(text, "proposal", by_id, lambda: [each for each in store.proposals() if _sees(desk, each)])


def _shown(proposal: Proposal) -> ProposalShown:
    return ProposalShown(**proposal_fields(proposal), asked=dict(proposal.asked), outcome=dict(proposal.outcome))


_ONE = "/proposals/{proposal_id}"

LIST = Verb(
    "proposal.list",
    "GET",
    "/proposals",
    Right.OWN,
    ListProposals,
    Page[ProposalRecord],
    list_proposals,
    "List the proposals that you made or may decide, newest first.",
)
SHOW = Verb(
    "proposal.show",
    "GET",
    _ONE,
    Right.OWN,
    NameProposal,
    ProposalShown,
    show_proposal,
    "Show a proposal with what was asked and what came of it.",
)
APPROVE = Verb(
    "proposal.approve",
    "POST",
    f"{_ONE}/approve",
    Right.OWN,
    NameProposal,
    ProposalShown,
    approve_proposal,
    "Agree to what another administrator proposed, and do it.",
    plan=_plan_approve,
    fresh=True,
    secret=True,
)
REFUSE = Verb(
    "proposal.refuse",
    "POST",
    f"{_ONE}/refuse",
    Right.OWN,
    DecideProposal,
    ProposalRecord,
    refuse_proposal,
    "Refuse what another administrator proposed.",
)
WITHDRAW = Verb(
    "proposal.withdraw",
    "POST",
    f"{_ONE}/withdraw",
    Right.OWN,
    DecideProposal,
    ProposalRecord,
    withdraw_proposal,
    "Withdraw what you proposed.",
)

VERBS = (LIST, SHOW, APPROVE, REFUSE, WITHDRAW)
