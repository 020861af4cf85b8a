"""The stages of an enrolment and its explanation, in words for an administrator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from regalia import reasons
from regalia.errors import Stage
from regalia.model import EnrolmentState, StageNote
from regalia.ra.notices import GIVEN_UP

if TYPE_CHECKING:
    from datetime import datetime

    from regalia.model import Denied, Enrolment, Names
    from regalia.ports.fleet import Notice
    from regalia.ra.request import EnrolmentRequest

__all__ = ["Explanation", "delivery", "explain", "stages"]

_ORDER = (
    Stage.MESSAGE,
    Stage.SIGNATURE,
    Stage.SIGNER,
    Stage.ENVELOPE,
    Stage.CONVERSATION,
    Stage.EVIDENCE,
    Stage.NAMES,
    Stage.POLICY,
    Stage.ISSUANCE,
)


def stages(
    request: EnrolmentRequest,
    at: datetime,
    *,
    described: str = "",
    denied: Denied | None = None,
    named: Names | None = None,
) -> tuple[StageNote, ...]:
    """Note what happened at each stage, up to the one that refused if one did.

    `named` are the names that were made, where that is to be told.
    """
    passed = {
        **_read(request),
        Stage.CONVERSATION: "a new conversation",
        Stage.EVIDENCE: described or "accepted",
        Stage.POLICY: f"profile {request.door.profile.name} v{request.door.profile.version} allows it",
    }
    if named is not None:
        passed[Stage.NAMES] = f"{', '.join(named.listed()) or 'none'}, made of the record and what was vouched for"
    notes: list[StageNote] = []
    for stage in _ORDER:
        if denied is not None and stage is denied.reason.stage:
            text = denied.reason.title + (f": {denied.detail}" if denied.detail else "")
            if described and stage is Stage.EVIDENCE:
                notes.append(StageNote(stage, ok=True, note=described, at=at))
            return (*notes, StageNote(stage, ok=False, note=text, at=at))
        if stage in passed:
            notes.append(StageNote(stage, ok=True, note=passed[stage], at=at))
    return tuple(notes)


def _read(request: EnrolmentRequest) -> dict[Stage, str]:
    """Say what was read: a device's message, or the request that an administrator brought."""
    key = f"the key is proven, SHA-256 {request.key_sha256.hex()[:16]}…"
    if request.vouched is not None:
        return {Stage.MESSAGE: request.described, Stage.ENVELOPE: key}
    signer = "its own new key" if request.signer is None else f"certificate {request.signer.serial:x}"
    return {
        Stage.MESSAGE: request.described,
        Stage.SIGNATURE: "the message's signature verifies",
        Stage.SIGNER: f"signed with {signer}",
        Stage.ENVELOPE: f"decrypted; {key}",
    }


@dataclass(frozen=True, slots=True)
class Explanation:
    """What `enrolment show` says first."""

    headline: str
    asked: tuple[str, ...]
    allowed: tuple[str, ...]
    difference: tuple[str, ...]
    """Asked for, but not allowed."""
    remedy: str
    """What to do; empty where nothing is to be done."""
    page: str
    """The docs page of the reason, relative to docs/; empty where there is none."""


def explain(enrolment: Enrolment, notice: Notice | None = None, hint: str = "") -> Explanation:
    """Say in plain words how an enrolment ended, and what to do.

    `notice` is what its connector is to be told of it; `hint` what that said to do, which comes before our own remedy.
    """
    asked, allowed = enrolment.asked.listed(), enrolment.allowed.listed()
    difference = _beyond(asked, allowed)
    reason = reasons.by_id(enrolment.reason_id) if enrolment.reason_id else None
    if reason is not None:
        detail = f" ({enrolment.detail})." if enrolment.detail else "."
        remedy = f"{hint.rstrip('.')}. {reason.remedy}" if hint else reason.remedy
        headline = f"Refused at stage {reason.stage}: {reason.title}{detail}"
        return Explanation(headline, asked, allowed, difference, remedy, f"errors/{reason.id}.md")
    if notice is None or notice.certificate_id is None or (notice.told_at is not None and not notice.refused):
        return Explanation(_headline(enrolment), asked, allowed, difference, _next(enrolment), "")
    headline, remedy, page = _untold(notice)
    return Explanation(headline, asked, allowed, difference, remedy, page)


def _untold(notice: Notice) -> tuple[str, str, str]:
    """Say of a certificate that its connector took no note of it, what to do, and the page."""
    name, told = notice.connector, reasons.CONNECTOR_CERTIFICATE_REFUSED
    if notice.refused == GIVEN_UP:
        headline = f"Issued; connector {name} could not be told of it in three days, and is told no more."
        return headline, f"See `regalia connector test {name}`; the device asks anew by itself.", ""
    if notice.refused:
        return f"Issued, and revoked: connector {name} said {notice.refused}.", told.remedy, f"errors/{told.id}.md"
    headline = f"Issued; connector {name} is still to be told of it."
    return headline, f"It is told again by itself. See `regalia connector test {name}` if it stays so.", ""


def _beyond(asked: tuple[str, ...], allowed: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in asked if name not in allowed) if allowed else ()


def _headline(enrolment: Enrolment) -> str:
    match enrolment.state:
        case EnrolmentState.PENDING:
            return f"Waiting for approval since {enrolment.created_at:%Y-%m-%d %H:%M} UTC."
        case EnrolmentState.INTENT:
            return "Recorded and about to be signed; recovery finishes it within a minute or two."
        case EnrolmentState.ISSUED:
            return _issued(enrolment)
        case EnrolmentState.REFUSED:
            return "Refused."


def _issued(enrolment: Enrolment) -> str:
    # Evidence was found twice where a request was held: when it came, and when somebody approved it.
    found = [note.note for note in enrolment.stages if note.ok and note.stage is Stage.EVIDENCE]
    if len(found) > 1:
        return f"Issued, {found[-1]}."
    if enrolment.lineage is not None and enrolment.lineage.unverified and enrolment.asked != enrolment.allowed:
        return "Issued under a name that the server made from the key: nobody vouched for another."
    return "Issued."


def _next(enrolment: Enrolment) -> str:
    if enrolment.state is not EnrolmentState.PENDING:
        return ""
    return (
        f"`regalia enrolment approve {enrolment.id}` issues exactly the allowed names, `regalia enrolment deny "
        f"{enrolment.id}` refuses them. Nobody has verified that the device is the one it says."
    )


def delivery(notice: Notice | None) -> str:
    """Say whether the connector was told of the outcome; empty where it is not to be told."""
    if notice is None:
        return ""
    what = "the certificate" if notice.certificate_id is not None else "the refusal"
    if notice.refused == GIVEN_UP:
        return f"Connector {notice.connector} could not be told of {what}; that was given up {_at(notice.told_at)}."
    if notice.refused:
        return f"Connector {notice.connector} was told of {what} {_at(notice.told_at)} and said {notice.refused}."
    if notice.told_at is not None:
        return f"Connector {notice.connector} was told of {what} {_at(notice.told_at)}."
    tried = f" after {notice.attempts} attempts" if notice.attempts else ""
    return f"Connector {notice.connector} is still to be told of {what}{tried}, next {_at(notice.due_at)}."


def _at(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC" if moment is not None else ""
