"""`regalia enrolment`: what devices asked for, and what became of it."""

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from regalia import reasons
from regalia.cli.context import opened
from regalia.cli.endpoint import found_endpoint
from regalia.cli.lookup import by_prefix
from regalia.cli.options import Home, Json, Limit, examples, noun_app
from regalia.cli.output import print_json, print_record, print_table, say
from regalia.errors import AdminError
from regalia.model import Action, Certificate, Enrolment, EnrolmentState, Event
from regalia.ports import EnrolmentFilter, EventFilter
from regalia.ra.explain import Explanation, explain

if TYPE_CHECKING:
    from regalia.app import App

__all__ = ["app"]

app = noun_app("Enrolments: what devices asked for, and what became of it.")

_SEARCHED = 10_000
"""How many of the newest a shortened id or a transaction is looked for among."""
_EVENTS_SEARCHED = 1_000
_TOLD_ELSEWHERE = frozenset({"title", "message", "detail", "asked", "allowed", "enrolment"})


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
        rows = [_record(enrolment) for enrolment in found]
        columns = ("id", "created_at", "state", "endpoint", "asked", "source", "reason")
        empty = (
            "No enrolments. A device appears here as soon as its request can be decrypted; see `regalia event tail`."
        )
        print_table(rows, columns, as_json=as_json, empty=empty)


@app.command(epilog=examples("enrolment show 019a1b2c", "enrolment show 019a1b2c-3d4e-7f5a-8b6c-7d8e9fa0b1c2 --json"))
def show(
    *,
    enrolment: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="Its id, the beginning of it, or the transaction that a client shows.",
            show_default=False,
        ),
    ],
    home: Home = None,
    as_json: Json = False,
) -> None:
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
    return [{"stage": note.stage, "ok": note.ok, "note": note.note, "at": note.at} for note in enrolment.stages]


def _tell_stages(enrolment: Enrolment) -> None:
    say("Stages:")
    width = max((len(note.stage) for note in enrolment.stages), default=0)
    for note in enrolment.stages:
        say(f"  {'ok    ' if note.ok else 'failed'}  {note.stage:<{width}}  {note.note}")


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
    events = _refusals(regalia, enrolment) if certificate is None else _certificate_events(regalia, certificate)
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
            key: value for event in events for key, value in event.draft.details.items() if key not in _TOLD_ELSEWHERE
        }
    return record


def _refusals(regalia: "App", enrolment: Enrolment) -> list[Event]:
    wanted = EventFilter(
        action=Action.ENROLMENT_REFUSED, object=f"endpoint:{enrolment.key.endpoint}", limit=_EVENTS_SEARCHED
    )
    found = regalia.store.events(wanted)
    return [event for event in found if event.draft.details.get("enrolment") == str(enrolment.id)]


def _certificate_events(regalia: "App", certificate: Certificate) -> list[Event]:
    return list(regalia.store.events(EventFilter(object=f"certificate:{certificate.serial:x}", limit=_EVENTS_SEARCHED)))
