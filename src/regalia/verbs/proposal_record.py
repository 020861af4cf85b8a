"""What is told of a proposal: also by what becomes one when it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from regalia.model import ProposalState
from regalia.verbs.verb import Record, Time

if TYPE_CHECKING:
    from regalia.model import Proposal

__all__ = ["ProposalRecord", "proposal_record"]


class ProposalRecord(Record):
    """A proposal."""

    id: UUID
    verb: str
    state: ProposalState
    would: tuple[str, ...]
    """In sentences that go on after "This will"."""
    group: str | None
    proposed_by: str
    proposed_at: Time
    expires_at: Time
    decided_by: str | None
    decided_at: Time | None
    note: str | None


def proposal_record(proposal: Proposal) -> ProposalRecord:
    """Tell of one."""
    return ProposalRecord(**proposal_fields(proposal))


def proposal_fields(proposal: Proposal) -> dict[str, Any]:
    """Gather what a record holds."""
    return {
        "id": proposal.id,
        "verb": proposal.verb,
        "state": proposal.state,
        "would": proposal.summary,
        "group": proposal.group,
        "proposed_by": proposal.proposed_by,
        "proposed_at": proposal.proposed_at,
        "expires_at": proposal.expires_at,
        "decided_by": proposal.decided_by or None,
        "decided_at": proposal.decided_at,
        "note": proposal.note or None,
    }
