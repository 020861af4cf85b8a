"""`regalia enrolment`: what devices asked for, what becomes of it, and what an administrator decides."""

from collections.abc import Sequence
from typing import Annotated

import typer

from regalia.cli.context import agreed, reached
from regalia.cli.options import DryRun, Home, Json, Limit, Yes, examples, noun_app
from regalia.cli.output import note, print_answer, print_json, print_table, say, utc
from regalia.model import EnrolmentState
from regalia.verbs import Door
from regalia.verbs import enrolment as verbs
from regalia.verbs.enrolment_device import KnownDevice
from regalia.verbs.paging import gathered

__all__ = ["app"]

app = noun_app("Enrolments: what devices asked for, and what becomes of it.")

_WIDTH = 120
_ENDED = {True: "ok", False: "failed", None: "waits"}
_SHORT_ID = 13
"""Digits of an id that are its time, to the millisecond."""
_WHOLE_ID = 36
_NONE = "No enrolments. A device appears here as soon as its request can be decrypted; see `regalia event tail`."

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
    with reached(home) as door:
        asked = verbs.ListEnrolments(state=state, endpoint=endpoint)
        found = gathered(lambda page: door.ask(verbs.LIST, page), asked, limit).items
    if as_json:
        print_json([each.model_dump(mode="json") for each in found])
    elif state is EnrolmentState.PENDING:
        _print_queue(found)
    else:
        columns = ("id", "created", "state", "reason", "endpoint", "source", "asked")
        print_table(_rows(found), columns, as_json=False, empty=_NONE, width=_WIDTH)


@app.command(epilog=examples("enrolment show 019a1b2c", "enrolment show 019a1b2c-3d4e-7f5a-8b6c-7d8e9fa0b1c2 --json"))
def show(*, enrolment: Id, home: Home = None, as_json: Json = False) -> None:
    """Explain an enrolment: what failed, asked against allowed, and what to do about it."""
    with reached(home) as door:
        found = door.ask(verbs.SHOW, verbs.ShowEnrolment(id=enrolment))
    if not as_json:
        _tell(found.explanation)
        _tell_record(found.on_record)
        say()
        _tell_stages(found.stages)
        say()
    print_answer(found, as_json=as_json, without=("explanation", "compared", "csr", "stages", "on_record"))


@app.command(epilog=examples("enrolment approve 019a1b2c", "enrolment approve 019a1b2c-3d4e --yes --json"))
def approve(
    *, enrolment: Id, yes: Yes = False, dry_run: DryRun = False, home: Home = None, as_json: Json = False
) -> None:
    """Approve a pending enrolment: its certificate is issued now, and the device collects it."""
    with reached(home) as door:
        asked = verbs.DecideEnrolment(id=_waiting(door, enrolment))
        if agreed(door.plan(verbs.APPROVE, asked).would, yes=yes, dry_run=dry_run, as_json=as_json):
            print_answer(door.ask(verbs.APPROVE, asked), as_json=as_json)


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
    with reached(home) as door:
        asked = verbs.DenyEnrolment(id=_waiting(door, enrolment), note=reason)
        if agreed(door.plan(verbs.DENY, asked).would, yes=yes, dry_run=dry_run, as_json=as_json):
            print_answer(door.ask(verbs.DENY, asked), as_json=as_json)


def _waiting(door: Door, text: str) -> str:
    """Find what waits for a decision; from then on it is known by its whole id, whatever comes meanwhile."""
    return str(door.ask(verbs.SHOW, verbs.ShowEnrolment(id=text, waiting=True)).id)


def _print_queue(found: Sequence[verbs.EnrolmentRecord]) -> None:
    columns = ("id", "created", "endpoint", "source", "allowed")
    print_table(_rows(found), columns, as_json=False, empty="Nothing waits for approval.", width=_WIDTH)
    if found:
        note("Look with `regalia enrolment show ID`, then decide with `regalia enrolment approve ID` or `deny ID`.")


def _rows(found: Sequence[verbs.EnrolmentRecord]) -> list[dict[str, object]]:
    """Make lines that fit a screen: ids only as long as they differ, times to the minute."""
    ids = {str(enrolment.id) for enrolment in found}
    length = next(n for n in range(_SHORT_ID, _WHOLE_ID + 1) if len({text[:n] for text in ids}) == len(ids))
    return [
        each.model_dump() | {"id": str(each.id)[:length], "created": utc(each.created_at, "minutes")} for each in found
    ]


def _tell(explanation: verbs.ExplanationRecord) -> None:
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
        say(f"  {'Read:':<12}{explanation.page}")


def _tell_record(known: KnownDevice | None) -> None:
    if known is None:
        return
    say(f"  {'Record:':<12}device {known.id} of {known.connector}, {known.state}: {', '.join(known.says)}")
    if known.differs:
        say(f"  {'Not in it:':<12}{', '.join(known.differs)}")


def _tell_stages(stages: Sequence[verbs.StageRecord]) -> None:
    say("Stages:")
    width = max((len(step.stage) for step in stages), default=0)
    for step in stages:
        say(f"  {_ENDED[step.ok]:<6}  {step.stage:<{width}}  {step.note}")
