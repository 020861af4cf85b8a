"""What waits for a second administrator, and answers that are kept for repeats: rows ⇄ values."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import bindparam, delete, select, text, update

from regalia.model import (
    Proposal,
    ProposalState,
)
from regalia.ports import KeptAnswer
from regalia.store.administration_values import json_text
from regalia.store.session import LostError, Noun, Row, Statement, Transaction, inserting
from regalia.store.tables import (
    kept_answer,
    proposal,
)
from regalia.store.values import from_millis, id_or_none, millis, octets_or_none, optional_millis, plain, time_or_none

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from regalia.model import EventDraft
    from regalia.store.session import Columns


__all__ = ["SqlKeptAnswers", "SqlProposals"]

# --- proposals ------------------------------------------------------------------------------------------------------

_PROPOSAL = Statement(select(proposal).where(proposal.c.id == bindparam("which")))
_PROPOSALS = Statement(select(proposal).order_by(proposal.c.id.desc()))
_PROPOSALS_IN = Statement(
    select(proposal).where(proposal.c.state == bindparam("wanted")).order_by(proposal.c.id.desc())
)
_ADD_PROPOSAL = inserting(proposal)
_DECIDE = Statement(
    update(proposal)
    .where(
        proposal.c.id == bindparam("which"),
        proposal.c.state == bindparam("former_state"),
        proposal.c.decided_by == bindparam("former_by"),
    )
    .values(
        state=bindparam("new_state"),
        decided_by=bindparam("new_by"),
        decided_at=bindparam("new_at"),
        note=bindparam("new_note"),
        outcome=bindparam("new_outcome"),
    )
)


class SqlProposals(Noun):
    """See `ports.Proposals`."""

    def add_proposal(self, proposal: Proposal, events: Sequence[EventDraft]) -> None:
        """Keep a new proposal."""
        columns: Columns = {
            "id": proposal.id.bytes,
            "verb": proposal.verb,
            "asked": json_text(dict(proposal.asked)),
            "summary": json_text(proposal.summary),
            "group": proposal.group,
            "proposed_by": plain(proposal.proposed_by),
            "proposer": octets_or_none(proposal.proposer),
            "proposed_at": millis(proposal.proposed_at),
            "expires_at": millis(proposal.expires_at),
            "state": proposal.state.value,
            "decided_by": plain(proposal.decided_by),
            "decided_at": optional_millis(proposal.decided_at),
            "note": plain(proposal.note),
            "outcome": json_text(dict(proposal.outcome)),
        }

        def unit(transaction: Transaction) -> None:
            transaction.run(_ADD_PROPOSAL, columns)
            transaction.record(events)

        self._database.write(unit)

    def proposal(self, proposal_id: UUID) -> Proposal | None:
        """Return one."""
        row = self._database.row(_PROPOSAL, {"which": proposal_id.bytes})
        return None if row is None else _read_proposal(row)

    def proposals(self, state: ProposalState | None = None) -> tuple[Proposal, ...]:
        """Return all, or those in a state, newest first."""
        if state is None:
            rows = self._database.rows(_PROPOSALS, {})
        else:
            rows = self._database.rows(_PROPOSALS_IN, {"wanted": state.value})
        return tuple(map(_read_proposal, rows))

    def decide_proposal(self, before: Proposal, after: Proposal, events: Sequence[EventDraft]) -> bool:
        """Return False where it is not `before` any more."""
        values: Columns = {
            "which": before.id.bytes,
            "former_state": before.state.value,
            "former_by": plain(before.decided_by),
            "new_state": after.state.value,
            "new_by": plain(after.decided_by),
            "new_at": optional_millis(after.decided_at),
            "new_note": plain(after.note),
            "new_outcome": json_text(dict(after.outcome)),
        }

        def unit(transaction: Transaction) -> None:
            if not transaction.run(_DECIDE, values):
                raise LostError
            transaction.record(events)

        return self._won(unit)


def _read_proposal(row: Row) -> Proposal:
    return Proposal(
        id=UUID(bytes=row["id"]),
        verb=row["verb"],
        asked=json.loads(row["asked"]),
        summary=tuple(json.loads(row["summary"])),
        group=row["group"],
        proposed_by=row["proposed_by"],
        proposer=id_or_none(row["proposer"]),
        proposed_at=from_millis(row["proposed_at"]),
        expires_at=from_millis(row["expires_at"]),
        state=ProposalState(row["state"]),
        decided_by=row["decided_by"],
        decided_at=time_or_none(row["decided_at"]),
        note=row["note"],
        outcome=json.loads(row["outcome"]),
    )


# --- answers that are kept for repeats ------------------------------------------------------------------------------

_BEGIN_ANSWER = Statement(
    text(
        "INSERT INTO kept_answer (caller, key, request_sha256, status, body, at)"
        " VALUES (:caller, :key, :request, 0, :body, :at) ON CONFLICT (caller, key) DO NOTHING"
    )
)
_ANSWER = Statement(
    select(kept_answer).where(kept_answer.c.caller == bindparam("caller"), kept_answer.c.key == bindparam("key"))
)
_KEEP_ANSWER = Statement(
    update(kept_answer)
    .where(
        kept_answer.c.caller == bindparam("of"),
        kept_answer.c.key == bindparam("which"),
        kept_answer.c.request_sha256 == bindparam("request"),
        kept_answer.c.status == 0,
    )
    .values(status=bindparam("new_status"), body=bindparam("new_body"))
)
_LET_GO = Statement(
    delete(kept_answer).where(
        kept_answer.c.caller == bindparam("caller"), kept_answer.c.key == bindparam("key"), kept_answer.c.status == 0
    )
)
_FORGET_ANSWERS = Statement(delete(kept_answer).where(kept_answer.c.at < bindparam("before")))


class SqlKeptAnswers(Noun):
    """See `ports.KeptAnswers`."""

    def begin_answer(self, caller: str, key: str, request_sha256: bytes, at: datetime) -> KeptAnswer | None:
        """Take the key, or return what it has: of two that begin at once, one is told None."""
        values: Columns = {"caller": caller, "key": key, "request": request_sha256, "body": b"", "at": millis(at)}

        def unit(transaction: Transaction) -> KeptAnswer | None:
            if transaction.run(_BEGIN_ANSWER, values):
                return None
            row = transaction.row(_ANSWER, {"caller": caller, "key": key})
            # Its first request may have let go of it in this moment: then it is as good as at work.
            return (
                KeptAnswer(request_sha256, 0, b"")
                if row is None
                else KeptAnswer(row["request_sha256"], row["status"], row["body"])
            )

        return self._database.write(unit)

    def keep_answer(self, caller: str, key: str, answer: KeptAnswer) -> None:
        """Keep what the first request was answered."""
        values: Columns = {
            "of": caller,
            "which": key,
            "request": answer.request_sha256,
            "new_status": answer.status,
            "new_body": answer.body,
        }
        self._database.write(lambda transaction: transaction.run(_KEEP_ANSWER, values))

    def drop_answer(self, caller: str, key: str) -> None:
        """Forget a key that is at work."""
        self._database.write(lambda transaction: transaction.run(_LET_GO, {"caller": caller, "key": key}))

    def forget_answers(self, before: datetime) -> None:
        """Forget what is older."""
        self._database.write(lambda transaction: transaction.run(_FORGET_ANSWERS, {"before": millis(before)}))
