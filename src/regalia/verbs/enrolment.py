"""Enrolments: what devices asked for, what becomes of it, and what an administrator decides."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

from pydantic import Field, JsonValue

from regalia import reasons
from regalia.errors import AdminError, Stage
from regalia.model import Action, EnrolmentState, Event, Right
from regalia.ports import EnrolmentFilter, EventFilter
from regalia.ra.explain import delivery, explain
from regalia.ra.figures import begin_of
from regalia.verbs.enrolment_compared import ComparedField, compared
from regalia.verbs.enrolment_device import KnownDevice, known_device
from regalia.verbs.fields import Day, Name, Note, Source, is_empty
from regalia.verbs.finding import endpoints_of, found_endpoint
from regalia.verbs.lookup import by_prefix
from regalia.verbs.paging import MOST, ListAsked, page_of, place_after
from regalia.verbs.verb import Asked, Desk, Hex, Page, Record, Time, Verb
from regalia.verbs.wording import key_text, utc
from regalia.wire.csr import read_csr
from regalia.wire.pem import REQUEST, write_pem

if TYPE_CHECKING:
    from regalia.model import Enrolment
    from regalia.ports.fleet import Notice

__all__ = [
    "APPROVE",
    "DENY",
    "LIST",
    "SHOW",
    "VERBS",
    "DecideEnrolment",
    "DenyEnrolment",
    "EnrolmentApproved",
    "EnrolmentDenied",
    "EnrolmentRecord",
    "EnrolmentShown",
    "ExplanationRecord",
    "ListEnrolments",
    "ShowEnrolment",
    "StageRecord",
]

_PAGES = 20
"""How many pages a shortened id or a transaction is looked for on."""
_EVENTS_SEARCHED = 1_000
_TOLD_ELSEWHERE = frozenset({"title", "message", "detail", "asked", "allowed", "enrolment"})

_EnrolmentId = Annotated[
    str,
    Field(min_length=1, max_length=36, description="Its id, or the beginning of it.", examples=["0192f0c4-7c1e"]),
]


class ListEnrolments(ListAsked):
    """Which ones."""

    state: Annotated[EnrolmentState | None, Field(description="Only those in this state.")] = None
    endpoint: Annotated[Name | None, Field(description="Only at this one.")] = None
    reason: Annotated[Name | None, Field(description="Only refused for this reason.", examples=["RA-018"])] = None
    source: Annotated[Source | None, Field(description="Only what came by this way.")] = None
    decided_from: Annotated[Day | None, Field(description="Only so since this day (UTC) or later.")] = None
    decided_to: Annotated[Day | None, Field(description="Only so since this day (UTC) or earlier.")] = None


class ShowEnrolment(Asked):
    """Which one."""

    id: Annotated[
        str,
        Field(
            min_length=1,
            max_length=512,
            description="Its id, the beginning of it, or the transaction that a client shows.",
            examples=["0192f0c4-7c1e"],
        ),
    ]
    waiting: Annotated[
        bool, Field(description="Only one that waits for a decision; two of one transaction are not guessed at.")
    ] = False


class DecideEnrolment(Asked):
    """Which one. Not by its transaction: devices choose those, and somebody may choose that of another one."""

    id: _EnrolmentId


class DenyEnrolment(DecideEnrolment):
    """Which one, and why."""

    note: Annotated[Note, Field(description="Why, for the audit log; the device does not learn it.")] = ""


class EnrolmentRecord(Record):
    """An enrolment in a list."""

    id: UUID
    state: EnrolmentState
    reason: Annotated[str | None, Field(description="Id of the reason that refused it.")]
    endpoint: str
    group: str
    profile: str
    asked: tuple[str, ...]
    allowed: tuple[str, ...]
    source: str
    transaction: str
    created_at: Time
    updated_at: Time


class EnrolmentApproved(EnrolmentRecord):
    """An approved one: its certificate waits for the device."""

    certificate: Annotated[str, Field(description="Serial, hexadecimal.")]
    not_after: Time


class EnrolmentDenied(EnrolmentRecord):
    """A denied one."""

    detail: str


class ExplanationRecord(Record):
    """What happened, asked against allowed, and what to do about it."""

    headline: str
    asked: tuple[str, ...]
    allowed: tuple[str, ...]
    difference: tuple[str, ...]
    remedy: str
    page: Annotated[str | None, Field(description="Where the documentation explains the refusal.")]


class StageRecord(Record):
    """What happened at one stage."""

    stage: Stage
    ok: Annotated[bool | None, Field(description="Null: it has not ended.")]
    note: str
    at: Time


class EnrolmentShown(EnrolmentRecord):
    """An enrolment with all that explains it."""

    key_sha256: Hex
    signed_by: str
    device: str | None
    unverified: bool | None
    generation: int | None
    certificate: Annotated[str | None, Field(description="Serial, hexadecimal.")]
    security: Annotated[bool, Field(description="Whether an event of it is one of security.")]
    events: Annotated[tuple[str, ...], Field(description="Where they stand in the log: stream/sequence.")]
    facts: Annotated[
        dict[str, JsonValue] | None,
        Field(exclude_if=is_empty, description="What only this kind of refusal tells; left out unless it is refused."),
    ] = None
    delivery: Annotated[
        str | None,
        Field(exclude_if=is_empty, description="Whether its connector was told of the outcome; left out without one."),
    ] = None
    on_record: Annotated[
        KnownDevice | None,
        Field(exclude_if=is_empty, description="The device that a connector knows; left out where there is none."),
    ] = None
    explanation: ExplanationRecord
    compared: Annotated[
        tuple[ComparedField, ...], Field(description="Every field as it was asked for and as it is given.")
    ]
    csr: Annotated[
        str, Field(description="The request as received, PEM; its challenge is blanked, so its signature is void.")
    ]
    stages: tuple[StageRecord, ...]


def list_enrolments(desk: Desk, asked: ListEnrolments) -> Page[EnrolmentRecord]:
    """List them, newest first."""
    if asked.endpoint is not None:
        found_endpoint(desk, asked.endpoint)
    wanted = EnrolmentFilter(
        asked.state,
        asked.endpoint,
        limit=asked.limit,
        groups=desk.reach.groups,
        search=asked.q or "",
        after=place_after(asked, "enrolment.list"),
        reason=asked.reason,
        endpoints=None if asked.source is None else endpoints_of(desk, asked.source),
        changed_from=None if asked.decided_from is None else begin_of(asked.decided_from),
        changed_before=None if asked.decided_to is None else begin_of(asked.decided_to + timedelta(days=1)),
    )
    found = desk.services.store.enrolment_page(wanted)
    return page_of(asked, "enrolment.list", found, lambda each: EnrolmentRecord(**_fields(each)))


def show_enrolment(desk: Desk, asked: ShowEnrolment) -> EnrolmentShown:
    """Explain it.

    Raises `AdminError`: ADM-004, ADM-018 where it is not clear which one is meant, ADM-023 where it was to be waiting
    and is decided.
    """
    found = _waiting(desk, asked.id) if asked.waiting else _found_by_any(desk, asked.id)
    notice, more = desk.services.store.notice_of(found.id), _more(desk, found)
    explanation = explain(found, notice, hint=str((more["facts"] or {}).get("hint", "")))
    return EnrolmentShown(
        **_fields(found),
        **more,
        delivery=delivery(notice) or None,
        explanation=ExplanationRecord(
            headline=explanation.headline,
            asked=tuple(explanation.asked),
            allowed=tuple(explanation.allowed),
            difference=tuple(explanation.difference),
            remedy=explanation.remedy,
            page=f"docs/{explanation.page}" if explanation.page else None,
        ),
        compared=compared(found, desk.services.store.profile(found.profile, found.profile_version)),
        csr=write_pem(found.csr, REQUEST).decode("ascii") if found.csr else "",
        stages=(
            *(StageRecord(stage=step.stage, ok=step.ok, note=step.note, at=step.at) for step in found.stages),
            *([] if notice is None else [_delivered(found, notice)]),
        ),
    )


def _delivered(enrolment: Enrolment, notice: Notice) -> StageRecord:
    """Tell of the last stage, which is over when its connector has answered."""
    ended = notice.told_at
    return StageRecord(
        stage=Stage.DELIVERY,
        ok=None if ended is None else not notice.refused,
        note=delivery(notice),
        at=ended or enrolment.updated_at,
    )


def approve_enrolment(desk: Desk, asked: DecideEnrolment) -> EnrolmentApproved:
    """Issue what it asks for, now. Raises `AdminError` ADM-004, ADM-018, and what `ApprovalDesk.approve` does."""
    found = _pending(desk, asked.id)
    certificate = desk.services.approvals.approve(found.id, desk.actor)
    after = desk.services.store.enrolment(found.id) or found
    return EnrolmentApproved(
        **_fields(after), certificate=f"{certificate.serial:x}", not_after=certificate.intent.not_after
    )


def plan_approval(desk: Desk, asked: DecideEnrolment) -> tuple[str, ...]:
    """Say what an approval vouches for: all of it, since nobody else has looked."""
    found = _pending(desk, asked.id)
    made = "" if found.asked else " (made by the server: the device asks for no name)"
    key = f"{key_text(read_csr(found.csr).public_key)} key with SHA-256 {found.key.key_sha256.hex()}"
    device = found.lineage.device if found.lineage is not None else None
    return (
        f"certify {_names(found)}{made} for the {key}",
        f"believe {found.source}, which asked at {utc(found.created_at)}, transaction {_transaction(found)}",
        f"use profile {found.profile} of group {found.group} at endpoint {found.key.endpoint}",
        *([f"bind it to device {device}"] if device is not None else []),
    )


def deny_enrolment(desk: Desk, asked: DenyEnrolment) -> EnrolmentDenied:
    """Refuse it for good; a device that asks again is held again. Raises ADM-004, ADM-018, ADM-023."""
    denied = desk.services.approvals.deny(_pending(desk, asked.id).id, desk.actor, asked.note)
    return EnrolmentDenied(**_fields(denied), detail=denied.detail)


def plan_denial(desk: Desk, asked: DenyEnrolment) -> tuple[str, ...]:
    """Say who gets nothing."""
    found = _pending(desk, asked.id)
    return (f"refuse {_names(found)} to {found.source}, which asked at {utc(found.created_at)}",)


# --- finding --------------------------------------------------------------------------------------------------------


def _like(desk: Desk, text: str, state: EnrolmentState | None = None) -> tuple[Enrolment, ...]:
    """Find those that have the text somewhere, all of them: what hides behind too many is not guessed at."""
    wanted = EnrolmentFilter(state, limit=MOST, groups=desk.reach.groups, search=text)
    found: list[Enrolment] = []
    for _ in range(_PAGES):
        page = desk.services.store.enrolment_page(wanted)
        found += page.items
        if page.following is None:
            return tuple(found)
        wanted = replace(wanted, after=page.following)
    raise AdminError(reasons.USAGE, f"{text} is found too often: give the id")


def _found(desk: Desk, text: str) -> Enrolment:
    def by_id(enrolment_id: UUID) -> Enrolment | None:
        found = desk.services.store.enrolment(enrolment_id)
        return found if found is not None and found.group in desk.reach else None

    return by_prefix(text, "enrolment", by_id, lambda: _like(desk, text))


def _found_by_any(desk: Desk, text: str) -> Enrolment:
    """Find by id, or else by transaction: that is all that the person at the device can tell."""
    try:
        return _found(desk, text)
    except AdminError as error:
        same = (each for each in _like(desk, text) if _transaction(each) == text)
        found = next(same, None) if error.reason is reasons.NOT_FOUND else None
        if found is None:
            raise
        return found


def _waiting(desk: Desk, text: str) -> Enrolment:
    same = [each for each in _like(desk, text, EnrolmentState.PENDING) if _transaction(each) == text]
    if len(same) > 1:
        raise AdminError(reasons.USAGE, f"{text} is the transaction of {len(same)} pending enrolments: give the id")
    return _undecided(same[0] if same else _found_by_any(desk, text))


def _pending(desk: Desk, text: str) -> Enrolment:
    return _undecided(_found(desk, text))


def _undecided(found: Enrolment) -> Enrolment:
    if found.state is not EnrolmentState.PENDING:
        raise AdminError(reasons.ENROLMENT_DECIDED, f"enrolment {found.id} is {found.state}")
    return found


# --- telling --------------------------------------------------------------------------------------------------------


def _names(enrolment: Enrolment) -> str:
    return ", ".join(enrolment.allowed.listed())


def _transaction(enrolment: Enrolment) -> str:
    return enrolment.key.transaction_id.decode("utf-8", "replace")


def _fields(enrolment: Enrolment) -> dict[str, Any]:
    return {
        "id": enrolment.id,
        "state": enrolment.state,
        "reason": enrolment.reason_id,
        "endpoint": enrolment.key.endpoint,
        "group": enrolment.group,
        "profile": f"{enrolment.profile} v{enrolment.profile_version}",
        "asked": enrolment.asked.listed(),
        "allowed": enrolment.allowed.listed(),
        "source": enrolment.source,
        "transaction": _transaction(enrolment),
        "created_at": enrolment.created_at,
        "updated_at": enrolment.updated_at,
    }


def _more(desk: Desk, enrolment: Enrolment) -> dict[str, Any]:
    store, signer, lineage = desk.services.store, enrolment.key.signer_serial, enrolment.lineage
    certificate = store.certificate(enrolment.certificate_id) if enrolment.certificate_id is not None else None
    refusals = _refusals(desk, enrolment) if certificate is None else []
    issuance = _events_of(desk, f"certificate:{certificate.serial:x}") if certificate is not None else []
    events = [*_events_of(desk, f"enrolment:{enrolment.id}"), *refusals, *issuance]
    # What only this kind of refusal tells, such as both keys of a replayed challenge.
    facts = {
        key: value for event in refusals for key, value in event.draft.details.items() if key not in _TOLD_ELSEWHERE
    }
    return {
        "key_sha256": enrolment.key.key_sha256,
        "signed_by": "its own new key" if signer is None else f"certificate {signer:x}",
        "device": lineage.device if lineage is not None else None,
        "unverified": lineage.unverified if lineage is not None else None,
        "generation": lineage.generation if lineage is not None else None,
        "certificate": f"{certificate.serial:x}" if certificate is not None else None,
        "security": any(event.draft.security for event in events),
        "events": tuple(f"{event.stream}/{event.sequence}" for event in events),
        "facts": facts if enrolment.state is EnrolmentState.REFUSED else None,
        "on_record": known_device(desk, enrolment, certificate),
    }


def _refusals(desk: Desk, enrolment: Enrolment) -> list[Event]:
    wanted = EventFilter(
        action=Action.ENROLMENT_REFUSED, object=f"endpoint:{enrolment.key.endpoint}", limit=_EVENTS_SEARCHED
    )
    found = desk.services.store.events(wanted)
    return [event for event in found if event.draft.details.get("enrolment") == str(enrolment.id)]


def _events_of(desk: Desk, thing: str) -> list[Event]:
    return list(desk.services.store.events(EventFilter(object=thing, limit=_EVENTS_SEARCHED)))


LIST = Verb(
    "enrolment.list",
    "GET",
    "/enrolments",
    Right.READ,
    ListEnrolments,
    Page[EnrolmentRecord],
    list_enrolments,
    "List enrolments, newest first. What was refused before it could be understood is among the events only.",
)
SHOW = Verb(
    "enrolment.show",
    "GET",
    "/enrolments/{id}",
    Right.READ,
    ShowEnrolment,
    EnrolmentShown,
    show_enrolment,
    "Explain an enrolment: what failed, asked against allowed, and what to do about it.",
)
APPROVE = Verb(
    "enrolment.approve",
    "POST",
    "/enrolments/{id}/approve",
    Right.DECIDE,
    DecideEnrolment,
    EnrolmentApproved,
    approve_enrolment,
    "Approve a pending enrolment: its certificate is issued now, and the device collects it.",
    plan=plan_approval,
)
DENY = Verb(
    "enrolment.deny",
    "POST",
    "/enrolments/{id}/deny",
    Right.DECIDE,
    DenyEnrolment,
    EnrolmentDenied,
    deny_enrolment,
    "Deny a pending enrolment. A device that asks again is held again.",
    plan=plan_denial,
)

VERBS = (LIST, SHOW, APPROVE, DENY)
