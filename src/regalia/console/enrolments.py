"""Enrolments: the list, and the page that explains what became of one; approving and denying."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from regalia import reasons
from regalia.console.acts import Act, Ask, act_path
from regalia.console.certificates import certificate_path
from regalia.console.comparison import comparison
from regalia.console.fleet import device_path
from regalia.console.listing import Cell, Column, Filter, Listing, Tab, query_path
from regalia.console.look import View
from regalia.errors import Stage
from regalia.model import EnrolmentState
from regalia.verbs import endpoint as endpoints
from regalia.verbs import enrolment as verbs
from regalia.words import marked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from regalia.console.desk import Routes, Shown
    from regalia.console.look import Look
    from regalia.verbs.enrolment import EnrolmentRecord, EnrolmentShown

__all__ = [
    "ACTS",
    "ROUTES",
    "endpoint_choices",
    "enrolment_path",
    "name_of",
    "source_choices",
    "source_word",
    "state_of",
]

_HERE: Final = "/enrolments"
_STATES: Final = {
    EnrolmentState.PENDING: ("waiting", marked("Waits for approval")),
    EnrolmentState.INTENT: ("waiting", marked("Being issued")),
    EnrolmentState.ISSUED: ("ok", marked("Issued")),
    EnrolmentState.REFUSED: ("bad", marked("Refused")),
}
_SOURCES: Final = {
    "one-time": marked("One-time challenge"),
    "static": marked("Static challenge"),
    "approval": marked("Approval"),
    "by-hand": marked("By hand"),
    "other": marked("Another way"),
}
_STAGES: Final = (
    (Stage.MESSAGE, marked("Message")),
    (Stage.SIGNATURE, marked("Signature")),
    (Stage.SIGNER, marked("Signer")),
    (Stage.ENVELOPE, marked("Content")),
    (Stage.CONVERSATION, marked("Conversation")),
    (Stage.EVIDENCE, marked("Evidence")),
    (Stage.POLICY, marked("Policy")),
    (Stage.ISSUANCE, marked("Issue")),
)
"""In the order in which they are passed (security.md §3)."""


def enrolment_path(enrolment_id: object) -> str:
    """Say where an enrolment's page is."""
    return f"{_HERE}/{enrolment_id}"


def state_of(look: Look, state: EnrolmentState) -> tuple[str, str]:
    """Say how an enrolment stands: the kind of status, and its word."""
    kind, word = _STATES.get(state, ("unknown", state.value))
    return kind, look.words(word)


def endpoint_choices(look: Look) -> Sequence[tuple[str, str]]:
    """List the endpoints that the looker sees."""
    return [(each.name, each.name) for each in look.ask(endpoints.LIST, limit=1_000).items]


def source_word(look: Look, source: str) -> str:
    """Say by which way enrolments came: a connector has its name."""
    kind, _, name = source.partition(":")
    return name or look.words(_SOURCES.get(kind, kind))


def source_choices(look: Look) -> Sequence[tuple[str, str]]:
    """List the ways that lead to the endpoints that the looker sees, and the one by hand."""
    seen = look.ask(endpoints.LIST, limit=1_000).items
    found = {f"connector:{each.connector}" if each.connector else each.authoriser.value for each in seen}
    return [(each, source_word(look, each)) for each in (*sorted(found), "by-hand")]


# --- the list -------------------------------------------------------------------------------------------------------


def _names(row: EnrolmentRecord) -> tuple[str, ...]:
    """What a request is known by: who was refused by what was asked for, everybody else by what they get."""
    return row.asked or row.allowed if row.state is EnrolmentState.REFUSED else row.allowed or row.asked


def name_of(row: EnrolmentRecord) -> str:
    """Return the first of these names; nothing where there is none."""
    return next(iter(_names(row)), "").removeprefix("cn:")


def _who(look: Look, row: EnrolmentRecord) -> Cell:
    return Cell(name_of(row) or look.words("no name"), enrolment_path(row.id), ", ".join(_names(row)[1:]))


def _state(look: Look, row: EnrolmentRecord) -> Cell:
    kind, word = state_of(look, row.state)
    return Cell(word, kind=kind, sub=row.reason or "")


def _empty(look: Look) -> Mapping[str, str]:
    return {
        "headline": look.words("No device has asked for a certificate yet"),
        "explanation": look.words(
            "Every request that reaches an endpoint is listed here, also those that are refused."
        ),
        "action": look.words("Open the groups"),
        "href": "/groups",
        "command": "regalia enrolment list",
    }


LIST: Final = Listing(
    path=_HERE,
    verb=verbs.LIST,
    title=marked("Enrolments"),
    lead=lambda look: look.words("Who asked for a certificate, and what became of it. Refusals are kept for 30 days."),
    columns=(
        Column(marked("Name"), _who),
        Column(marked("State"), _state),
        Column(marked("Endpoint"), lambda _, row: Cell(row.endpoint)),
        Column(marked("Group"), lambda _, row: Cell(row.group, f"/groups/{row.group}"), optional=True),
        Column(marked("From"), lambda _, row: Cell(row.source, mono=True), optional=True),
        Column(marked("Asked"), lambda _, row: Cell(at=row.created_at)),
    ),
    empty=_empty,
    row=lambda row: str(row.id),
    filters=(
        Filter("endpoint", marked("Endpoint"), endpoint_choices),
        Filter("source", marked("Came by"), source_choices),
        Filter("reason", marked("Reason")),
        Filter("decided_from", marked("Since day"), offered=False),
        Filter("decided_to", marked("Until day"), offered=False),
    ),
    tabs=(
        Tab(marked("All"), {}),
        Tab(marked("Refused"), {"state": "refused"}),
        Tab(marked("Waiting"), {"state": "pending"}),
        Tab(marked("Issued"), {"state": "issued"}),
    ),
)


_OF_VALUES: Final = frozenset(
    each.id for each in (reasons.NAMES_OUTSIDE_BINDING, reasons.NO_NAMES, reasons.KEY_REFUSED)
)
"""Refusals of what a management's form said."""


# --- one enrolment --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Step:
    """A stage as the rail shows it."""

    name: str
    note: str
    kind: str
    """`done`, `failed`, `open` or `told`."""


def _show(look: Look) -> Shown:
    record = look.ask(verbs.SHOW, id=look.place["id"])
    kind, word = state_of(look, record.state)
    named = name_of(record) or look.words("A device")
    waits = record.state is EnrolmentState.PENDING
    same = query_path(_HERE, {"state": "refused", "q": record.reason}) if record.reason else ""
    return View(
        "enrolment.html",
        title=_title(look, record, named),
        lead=_lead(look, record),
        here=_HERE,
        crumbs=((look.words("Enrolments"), _HERE), (str(record.id)[:8], "")),
        values={
            "record": record,
            "kind": kind,
            "word": word,
            "steps": _steps(look, record),
            "compared": comparison(look.words, record.compared),
            "same": same,
            "setup": _setup(record),
            "may_decide": waits and look.may(verbs.APPROVE, record.group),
            "approve": act_path(verbs.APPROVE, id=str(record.id)),
            "deny": act_path(verbs.DENY, id=str(record.id)),
            "known": record.on_record,
            "device": device_path(record.on_record.id) if record.on_record is not None else "",
            "certificate": certificate_path(record.certificate) if record.certificate else "",
        },
        refresh=10 if waits else 0,
    )


def _setup(record: EnrolmentShown) -> str:
    """Say where the right values stand, where a request was refused for one that its management was given."""
    wrong = record.reason is not None and (record.reason.startswith("CON-") or record.reason in _OF_VALUES)
    return f"/endpoints/{record.endpoint}/setup?step=scep" if wrong else ""


def _title(look: Look, record: EnrolmentShown, named: str) -> str:
    match record.state:
        case EnrolmentState.REFUSED:
            text = look.words("%(name)s was refused a certificate")
        case EnrolmentState.PENDING:
            text = look.words("%(name)s waits for a decision")
        case EnrolmentState.ISSUED:
            text = look.words("%(name)s has its certificate")
        case _:
            text = look.words("%(name)s is about to get its certificate")
    return text % {"name": named}


def _lead(look: Look, record: EnrolmentShown) -> str:
    """Say what happened in one sentence: all that only this one tells stands below."""
    reason = reasons.by_id(record.reason) if record.reason is not None else None
    if reason is None:
        return record.explanation.headline
    title = look.words(reason.title)
    return f"{title[:1].upper()}{title[1:]}."


def _steps(look: Look, record: EnrolmentShown) -> list[_Step]:
    """Lay the stages on a rail: those that were passed, the one that refused, and those that were not reached."""
    noted = {each.stage: each for each in record.stages}
    failed = next((each.stage for each in record.stages if not each.ok), None)
    known = [stage for stage, _ in _STAGES]
    rail = [(stage, look.words(name)) for stage, name in _STAGES]
    if failed is not None and failed not in known:
        rail.append((failed, failed.value.capitalize()))
    steps = []
    for stage, name in rail:
        note = noted.get(stage)
        kind = "open" if note is None else "done" if note.ok else "failed"
        steps.append(_Step(name, note.note if note is not None else look.words("Not reached"), kind))
    if record.delivery:
        steps.append(_Step(look.words("Told"), record.delivery, "told"))
    return steps


# --- approvals ------------------------------------------------------------------------------------------------------


def _page_of(record: Mapping[str, object]) -> str:
    return enrolment_path(record.get("id", ""))


ACTS: Final[Mapping[str, Act]] = {
    "enrolment.approve": Act(
        marked("Approve this enrolment?"),
        marked("Approve and issue"),
        marked("Nobody else has looked at it: the certificate says what you vouch for."),
        here="/approvals",
        back=_page_of,
        done=_page_of,
    ),
    "enrolment.deny": Act(
        marked("Deny this enrolment?"),
        marked("Deny enrolment"),
        marked("The device gets no certificate. If it asks again, it waits again."),
        danger=True,
        asks={"note": Ask(marked("Why (optional, for the audit log)"))},
        here="/approvals",
        back=_page_of,
        done=_page_of,
    ),
}

ROUTES: Final[Routes] = {**LIST.routes(), f"{_HERE}/{{id}}": {"GET": _show}}
