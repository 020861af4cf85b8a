"""`regalia enrolment`: what devices asked for, what becomes of it, and what an administrator decides."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from regalia import reasons
from regalia.cli.context import administrator, agreed, opened
from regalia.cli.endpoint import found_endpoint
from regalia.cli.key_text import key_text
from regalia.cli.lookup import by_prefix
from regalia.cli.options import DryRun, Home, Json, Limit, Yes, examples, noun_app
from regalia.cli.output import note, print_json, print_record, print_table, say, utc
from regalia.errors import AdminError
from regalia.model import Action, Enrolment, EnrolmentState, Event
from regalia.ports import EnrolmentFilter, EventFilter
from regalia.ra.explain import Explanation, explain
from regalia.wire.csr import read_csr

if TYPE_CHECKING:
    from regalia.app import App

__all__ = ["app"]

app = noun_app("Enrolments: what devices asked for, and what becomes of it.")

_WIDTH = 120
_SHORT_ID = 13
"""Digits of an id that are its time, to the millisecond."""
_WHOLE_ID = 36
_NONE = "No enrolments. A device appears here as soon as its request can be decrypted; see `regalia event tail`."
_SEARCHED = 10_000
"""How many of the newest a shortened id or a transaction is looked for among."""
_EVENTS_SEARCHED = 1_000
_TOLD_ELSEWHERE = frozenset({"title", "message", "detail", "asked", "allowed", "enrolment"})


Id = Annotated[
    str,
    typer.Argument(
        metavar="ID", help="Its id, the beginning of it, or the transaction that a client shows.", show_default=False
    ),
]


@app.command("list", epilog=examples("enrolment list", "enrolment list --state refused --limit 10 --json"))
def list_(
    *,
    state: Annotated[
        EnrolmentState | None, typer.Option("--state", help="Only those in this state.", show_default=False)
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option("--endpoint", metavar="ENDPOINT", help="Only at this one.", show_default=False)
    ] = None,
    limit: Limit = 50,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """List enrolments, newest first. What was refused before it could be understood is in `event tail` only."""
    with opened(home) as regalia:
        if endpoint is not None:
            found_endpoint(regalia, endpoint)
        found = regalia.store.enrolments(EnrolmentFilter(state=state, endpoint=endpoint, limit=limit))
        if as_json:
            print_json([_record(enrolment) for enrolment in found])
        elif state is EnrolmentState.PENDING:
            _print_queue(found)
        else:
            columns = ("id", "created", "state", "reason", "endpoint", "source", "asked")
            print_table(_rows(found), columns, as_json=False, empty=_NONE, width=_WIDTH)


@app.command(epilog=examples("enrolment show 019a1b2c", "enrolment show 019a1b2c-3d4e-7f5a-8b6c-7d8e9fa0b1c2 --json"))
def show(*, enrolment: Id, home: Home = None, as_json: Json = False) -> None:
    """Explain an enrolment: what failed, asked against allowed, and what to do about it."""
    with opened(home) as regalia:
        found = _found(regalia, enrolment)
        explanation = explain(found)
        record = _record(found) | _more(regalia, found)
        if as_json:
            print_json(record | {"explanation": _explained(explanation), "stages": _stages(found)})
        else:
            _tell(explanation)
            say()
            _tell_stages(found)
            say()
            print_record(record, as_json=False)


@app.command(epilog=examples("enrolment approve 019a1b2c", "enrolment approve 019a1b2c-3d4e --yes --json"))
def approve(
    *, enrolment: Id, yes: Yes = False, dry_run: DryRun = False, home: Home = None, as_json: Json = False
) -> None:
    """Approve a pending enrolment: its certificate is issued now, and the device collects it."""
    with opened(home) as regalia:
        found = _pending(regalia, enrolment)
        if agreed(_plan(found), yes=yes, dry_run=dry_run, as_json=as_json):
            certificate = regalia.approvals.approve(found.id, administrator())
            record = _record(_again(regalia, found)) | {
                "certificate": f"{certificate.serial:x}",
                "not_after": certificate.intent.not_after,
            }
            print_record(record, as_json=as_json)


@app.command(epilog=examples("enrolment deny 019a1b2c", "enrolment deny 019a1b2c --note 'not one of ours' --yes"))
def deny(
    *,
    enrolment: Id,
    reason: Annotated[
        str, typer.Option("--note", metavar="TEXT", help="Why, for the audit log; the device does not learn it.")
    ] = "",
    yes: Yes = False,
    dry_run: DryRun = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Deny a pending enrolment. A device that asks again is held again."""
    with opened(home) as regalia:
        found = _pending(regalia, enrolment)
        plan = [f"refuse {_names(found)} to {found.source}, which asked at {utc(found.created_at)}"]
        if agreed(plan, yes=yes, dry_run=dry_run, as_json=as_json):
            denied = regalia.approvals.deny(found.id, administrator(), reason)
            print_record(_record(denied) | {"detail": denied.detail}, as_json=as_json)


def _pending(regalia: "App", text: str) -> Enrolment:
    """Find what waits for a decision. Raises `AdminError`: ADM-004, ADM-018, ADM-023 where it is decided.

    Devices choose their transactionIDs, and somebody may choose that of another one: two of them are never guessed at.
    """
    wanted = EnrolmentFilter(EnrolmentState.PENDING, limit=_SEARCHED)
    same = [one for one in regalia.store.enrolments(wanted) if _transaction(one) == text]
    if len(same) > 1:
        raise AdminError(reasons.USAGE, f"{text} is the transaction of {len(same)} pending enrolments: give the id")
    found = same[0] if same else _found(regalia, text)
    if found.state is not EnrolmentState.PENDING:
        raise AdminError(reasons.ENROLMENT_DECIDED, f"enrolment {found.id} is {found.state}")
    return found


def _again(regalia: "App", enrolment: Enrolment) -> Enrolment:
    return regalia.store.enrolment(enrolment.id) or enrolment


def _names(enrolment: Enrolment) -> str:
    return ", ".join(enrolment.allowed.listed())


def _plan(enrolment: Enrolment) -> list[str]:
    """Say what an approval vouches for: all of it, since nobody else has looked."""
    made = "" if enrolment.asked else " (made by the server: the device asks for no name)"
    asked_at = f"asked at {utc(enrolment.created_at)}"
    plan = [
        f"certify {_names(enrolment)}{made} for the {_key(enrolment)}",
        f"believe {enrolment.source}, which {asked_at}, transaction {_transaction(enrolment)}",
        f"use profile {enrolment.profile} of group {enrolment.group} at endpoint {enrolment.key.endpoint}",
    ]
    if enrolment.lineage is not None and enrolment.lineage.device is not None:
        plan.append(f"bind it to device {enrolment.lineage.device}")
    return plan


def _key(enrolment: Enrolment) -> str:
    return f"{key_text(read_csr(enrolment.csr).public_key)} key with SHA-256 {enrolment.key.key_sha256.hex()}"


def _print_queue(found: Sequence[Enrolment]) -> None:
    columns = ("id", "created", "endpoint", "source", "allowed")
    print_table(_rows(found), columns, as_json=False, empty="Nothing waits for approval.", width=_WIDTH)
    if found:
        note("Look with `regalia enrolment show ID`, then decide with `regalia enrolment approve ID` or `deny ID`.")


def _rows(found: Sequence[Enrolment]) -> list[dict[str, object]]:
    """Make lines that fit a screen: ids only as long as they differ, times to the minute."""
    ids = {str(enrolment.id) for enrolment in found}
    length = next(n for n in range(_SHORT_ID, _WHOLE_ID + 1) if len({text[:n] for text in ids}) == len(ids))
    return [
        _record(enrolment) | {"id": str(enrolment.id)[:length], "created": utc(enrolment.created_at, "minutes")}
        for enrolment in found
    ]


def _found(regalia: "App", text: str) -> Enrolment:
    """Find by id, or else by transaction: that is all that the person at the device can tell."""
    newest = partial(regalia.store.enrolments, EnrolmentFilter(limit=_SEARCHED))
    try:
        return by_prefix(text, "enrolment", regalia.store.enrolment, newest)
    except AdminError as error:
        if error.reason is not reasons.NOT_FOUND:
            raise
        for one in newest():
            if _transaction(one) == text:
                return one
        raise


def _transaction(enrolment: Enrolment) -> str:
    return enrolment.key.transaction_id.decode("utf-8", "replace")


def _explained(explanation: Explanation) -> dict[str, object]:
    return {
        "headline": explanation.headline,
        "asked": explanation.asked,
        "allowed": explanation.allowed,
        "difference": explanation.difference,
        "remedy": explanation.remedy,
        "page": f"docs/{explanation.page}" if explanation.page else None,
    }


def _tell(explanation: Explanation) -> None:
    say(explanation.headline)
    for label, names in (
        ("Asked", explanation.asked),
        ("Allowed", explanation.allowed),
        ("Difference", explanation.difference),
    ):
        if names:
            say(f"  {label + ':':<12}{', '.join(names)}")
    if explanation.remedy:
        say(f"  {'Next:':<12}{explanation.remedy}")
    if explanation.page:
        say(f"  {'Read:':<12}docs/{explanation.page}")


def _stages(enrolment: Enrolment) -> list[dict[str, object]]:
    return [{"stage": step.stage, "ok": step.ok, "note": step.note, "at": step.at} for step in enrolment.stages]


def _tell_stages(enrolment: Enrolment) -> None:
    say("Stages:")
    width = max((len(step.stage) for step in enrolment.stages), default=0)
    for step in enrolment.stages:
        say(f"  {'ok    ' if step.ok else 'failed'}  {step.stage:<{width}}  {step.note}")


def _record(enrolment: Enrolment) -> dict[str, object]:
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


def _more(regalia: "App", enrolment: Enrolment) -> dict[str, object]:
    signer = enrolment.key.signer_serial
    certificate = regalia.store.certificate(enrolment.certificate_id) if enrolment.certificate_id is not None else None
    refusals = _refusals(regalia, enrolment) if certificate is None else []
    issuance = _events_of(regalia, f"certificate:{certificate.serial:x}") if certificate is not None else []
    events = [*_events_of(regalia, f"enrolment:{enrolment.id}"), *refusals, *issuance]
    lineage = enrolment.lineage
    record: dict[str, object] = {
        "key_sha256": enrolment.key.key_sha256,
        "signed_by": "its own new key" if signer is None else f"certificate {signer:x}",
        "device": lineage.device if lineage is not None else None,
        "unverified": lineage.unverified if lineage is not None else None,
        "generation": lineage.generation if lineage is not None else None,
        "certificate": f"{certificate.serial:x}" if certificate is not None else None,
        "security": any(event.draft.security for event in events),
        "events": [f"{event.stream}/{event.sequence}" for event in events],
    }
    if enrolment.state is EnrolmentState.REFUSED:
        # What only this kind of refusal tells, such as both keys of a replayed challenge.
        record["facts"] = {
            key: value for event in refusals for key, value in event.draft.details.items() if key not in _TOLD_ELSEWHERE
        }
    return record


def _refusals(regalia: "App", enrolment: Enrolment) -> list[Event]:
    wanted = EventFilter(
        action=Action.ENROLMENT_REFUSED, object=f"endpoint:{enrolment.key.endpoint}", limit=_EVENTS_SEARCHED
    )
    found = regalia.store.events(wanted)
    return [event for event in found if event.draft.details.get("enrolment") == str(enrolment.id)]


def _events_of(regalia: "App", thing: str) -> list[Event]:
    return list(regalia.store.events(EventFilter(object=thing, limit=_EVENTS_SEARCHED)))
