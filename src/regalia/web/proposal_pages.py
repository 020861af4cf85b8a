"""What waits for a second person, as pages: the only place where a person approves without a script (AUTHZ-5).

Everything goes through the verbs as the API asks them, with the caller that its session makes and within that caller's
limit: a page can nothing that the API cannot. Which buttons are shown decides nothing.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from regalia import reasons
from regalia.errors import AdminError, RegaliaError
from regalia.model import ProposalState
from regalia.ra.roles import reach_of
from regalia.verbs import ask, verb_named
from regalia.verbs import proposal as verbs
from regalia.web.api import right_refused
from regalia.web.api_forms import Form, Invalid
from regalia.web.door import Framed
from regalia.web.problems import status_of
from regalia.web.rendering import visible
from regalia.web.sessions import caller_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from regalia.model import JsonValue, Proposal
    from regalia.ra.sign_in import Known
    from regalia.verbs import Caller
    from regalia.verbs.proposal_record import ProposalRecord
    from regalia.verbs.verb import Page, Verb
    from regalia.web.answers import Answer, Header
    from regalia.web.door import Backing
    from regalia.web.visit import Visit

__all__ = ["PROPOSALS", "ProposalPages", "open_count"]

PROPOSALS: Final = "/proposals"
_FORMS: Final = {verb.name: Form(verb) for verb in (verbs.LIST, verbs.APPROVE, verbs.REFUSE, verbs.WITHDRAW)}


def open_count(backing: Backing, caller: Caller) -> str | None:
    """Say how many are open that the caller sees; None for who has no role and sees none."""
    try:
        return _listed(backing, caller, (("limit", "1"),)).total
    except AdminError:
        return None


def _listed(backing: Backing, caller: Caller, query: Sequence[tuple[str, str]]) -> Page[ProposalRecord]:
    """List what is open and the caller sees, as `proposal.list` gives it. Raises what it does."""
    asked = _asked(verbs.LIST, {}, (("state", ProposalState.OPEN.value), *query), {})
    return ask(verbs.LIST, backing.services, caller, asked)


class ProposalPages:
    """Each method answers one request of somebody who is signed in."""

    def __init__(self, backing: Backing) -> None:
        self._backing = backing

    def show(self, visit: Visit, known: Known) -> Answer:
        """Show the open ones."""
        return self._answered(verbs.LIST, visit, known, lambda caller: self._list(visit, caller))

    def approve(self, visit: Visit, known: Known) -> Answer:
        """Agree to one, and do it. Raises `AdminError` AUTH-003."""
        return self._decide(verbs.APPROVE, {}, visit, known)

    def refuse(self, visit: Visit, known: Known) -> Answer:
        """Say no to one."""
        return self._decide(verbs.REFUSE, {"note": visit.form.get("note", "").strip()}, visit, known)

    def withdraw(self, visit: Visit, known: Known) -> Answer:
        """Take one's own back."""
        return self._decide(verbs.WITHDRAW, {"note": ""}, visit, known)

    def _decide(self, verb: Verb[Any, Any], body: Mapping[str, str], visit: Visit, known: Known) -> Answer:
        def decide(caller: Caller) -> Framed:
            asked = _asked(verb, {"proposal_id": visit.form.get("proposal", "")}, (), body)
            return _told(ask(verb, self._backing.services, caller, asked))

        return self._answered(verb, visit, known, decide)

    def _answered(self, verb: Verb[Any, Any], visit: Visit, known: Known, call: Callable[[Caller], Framed]) -> Answer:
        """Answer as the API does: within the caller's limit, and a right that is missing is on record (AUD-1)."""
        caller, now = caller_of(known, visit.source), self._backing.clock.now()
        limited = self._backing.limits.request(caller.actor.id, visit.source, now)
        if limited is not None:
            error = AdminError(limited.reason, limited.detail)
            wait = (b"retry-after", b"%d" % limited.retry_after)
            return self._backing.framed(visit, known, _refused(error, 429, wait))
        try:
            return self._backing.framed(visit, known, call(caller))
        except RegaliaError as error:
            if error.reason is reasons.AUTHENTICATION_OLD:
                raise
            if error.reason is reasons.RIGHT_MISSING:
                self._backing.services.store.record((right_refused(caller, verb, now),))
            return self._backing.framed(visit, known, _refused(error, status_of(error)))

    # --- what is answered ---------------------------------------------------------------------------------------------

    def _list(self, visit: Visit, caller: Caller) -> Framed:
        after = visit.query.get("after", "")
        listed = _listed(self._backing, caller, (("after", after),) if after else ())
        now = self._backing.clock.now()
        held = {each.id: each for each in self._backing.services.store.proposals(ProposalState.OPEN)}
        # Listed, and decided by somebody before the next look, is not open any more; nor is what has just expired.
        waiting = [(each, held[each.id]) for each in listed.items if each.id in held and each.expires_at > now]
        values = {
            "fresh": caller.fresh,
            "proposals": [_shown(each, whole, caller) for each, whole in waiting],
            "following": listed.next,
            "first": not after,
        }
        return Framed("proposals.html", values)


def _told(given: ProposalRecord) -> Framed:
    """Say what was done: what is shown once is shown here, for it is kept nowhere."""
    outcome: Mapping[str, JsonValue] = given.outcome if isinstance(given, verbs.ProposalShown) else {}
    told = [(name, _text(value)) for name, value in outcome.items() if value not in (None, "", [], {})]
    return Framed("proposal_decided.html", {"proposal": given, "outcome": told})


def _refused(error: RegaliaError, status: int, *headers: Header) -> Framed:
    return Framed("error.html", {"back": PROPOSALS}, error, status, headers)


def _asked(
    verb: Verb[Any, Any], path: Mapping[str, str], query: Sequence[tuple[str, str]], body: Mapping[str, str]
) -> Any:  # noqa: ANN401 - what this verb asks for
    """Read what a form says as the API reads it. Raises `AdminError` API-005."""
    try:
        return _FORMS[verb.name].read(path, query, body)[0]
    except Invalid as wrong:
        detail = "; ".join(f"{each.field}: {each.problem}" for each in wrong.fields)
        raise AdminError(reasons.API_BODY_REFUSED, detail) from None


def _shown(record: ProposalRecord, whole: Proposal, caller: Caller) -> dict[str, object]:
    """Say what there is to see of one, and who decides."""
    verb = verb_named(record.verb)
    return {
        "record": record,
        "asked": _text(dict(whole.asked)),
        "own": whole.proposer == caller.administrator or whole.proposed_by == caller.actor.id,
        "may": verb is not None and whole.group in reach_of(caller.grants, verb.right),
        "right": verb.right.value if verb is not None else "",
    }


def _text(value: JsonValue) -> str:
    text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
    return "\n".join(map(visible, text.split("\n")))
