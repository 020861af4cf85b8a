"""`regalia device`: devices as connectors know them, and what follows for their certificates."""

from typing import Annotated, Final

import typer

from regalia.cli.bearer import print_bearer
from regalia.cli.context import agreed, reached
from regalia.cli.device_import import IMPORT_EXAMPLES, import_
from regalia.cli.faults import FAILED
from regalia.cli.options import DryRun, Home, Json, Limit, Yes, examples, noun_app
from regalia.cli.output import note, print_answer, print_page, say
from regalia.model.fleet import Platform
from regalia.verbs import device as verbs
from regalia.verbs import device_reconcile as run_verbs
from regalia.verbs import device_stops as stop_verbs
from regalia.verbs.paging import gathered

__all__ = ["app"]

_ALL: Final = 1_000_000
"""More than anybody reads."""

app = noun_app("Devices: as connectors know them, and what follows for their certificates.")

DeviceId = Annotated[
    str, typer.Argument(metavar="ID", help="Its record's id, or the beginning of it.", show_default=False)
]


@app.command("list", epilog=examples("device list --group staff", "device list --absent --json"))
def list_(
    *,
    connector: Annotated[
        str | None,
        typer.Option("--connector", metavar="NAME", help="Only those that this one knows.", show_default=False),
    ] = None,
    group: Annotated[
        str | None, typer.Option("--group", metavar="GROUP", help="Only of this group.", show_default=False)
    ] = None,
    platform: Annotated[
        Platform | None, typer.Option("--platform", help="Only with this system.", show_default=False)
    ] = None,
    present: Annotated[bool | None, typer.Option("--present/--absent", help="Only these.", show_default=False)] = None,
    search: Annotated[
        str | None,
        typer.Option(
            "--search",
            metavar="TEXT",
            help="Only those whose name, serial number, id or alias begins with this text.",
            show_default=False,
        ),
    ] = None,
    limit: Limit = 50,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """List the devices that connectors know."""
    with reached(home) as door:
        asked = verbs.ListDevices(connector=connector, group=group, platform=platform, present=present, q=search)
        found = gathered(lambda page: door.ask(verbs.LIST, page), asked, limit)
    empty = "No devices. A connector that has an inventory reads it by itself while `regalia serve` runs."
    columns = ("id", "name", "platform", "connector", "group", "state", "seen_at")
    print_page(found, columns, as_json=as_json, empty=empty)


@app.command(epilog=examples("device show 019a1b2c", "device show 019a1b2c --json"))
def show(*, device: DeviceId, home: Home = None, as_json: Json = False) -> None:
    """Show a device: what its connector said, its certificates, and what followed for each."""
    with reached(home) as door:
        print_bearer(door.ask(verbs.SHOW, verbs.DeviceId(id=device)), as_json=as_json)


@app.command(epilog=examples("device move 019a1b2c --group guests", "device move 019a1b2c --group guests --dry-run"))
def move(
    *,
    device: DeviceId,
    group: Annotated[str, typer.Option("--group", metavar="GROUP", help="Where it belongs from now on.")],
    yes: Yes = False,
    dry_run: DryRun = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Have a device belong to another group: it enrols at the endpoints of that one alone."""
    with reached(home) as door:
        asked = verbs.MoveDevice(id=device, group=group)
        if agreed(door.plan(verbs.MOVE, asked).would, yes=yes, dry_run=dry_run, as_json=as_json):
            print_answer(door.ask(verbs.MOVE, asked), as_json=as_json)


app.command("import", epilog=IMPORT_EXAMPLES)(import_)


@app.command(epilog=examples("device reconcile --dry-run", "device reconcile --device 019a1b2c"))
def reconcile(
    *,
    device: Annotated[
        str | None,
        typer.Option("--device", metavar="ID", help="For this device only.", show_default=False),
    ] = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    limit: Annotated[
        int, typer.Option("--limit", min=0, max=10_000, metavar="N", help="How many steps to tell; all are counted.")
    ] = 1_000,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Have done now what follows for certificates; exit code 1 where the brake stops it."""
    with reached(home) as door:
        plan = door.ask(run_verbs.PLANNED, run_verbs.AskReconciliation(device=device, steps=limit))
        if dry_run:
            _tell_plan(plan, as_json=as_json)
            return
        ends = f"revoke {plan.revoke}, hold {plan.hold} and release {plan.release} certificates"
        if not agreed((ends, *plan.stops), yes=yes, dry_run=False, as_json=as_json):
            return
        done = door.ask(run_verbs.RECONCILE, run_verbs.Reconcile(device=device))
    print_answer(done, as_json=as_json)
    if done.stops:
        note("Nothing was done: `regalia device stops` shows what two administrators can let go.")
        raise typer.Exit(FAILED)


def _tell_plan(plan: run_verbs.ReconciliationPlanned, *, as_json: bool) -> None:
    """Print a plan: for people a line for each step, then what the brake says."""
    print_answer(plan, as_json=as_json, without=("steps",))
    if as_json:
        return
    if plan.steps:
        say()
    for step in plan.steps:
        say(f"Would {step.text}")
    told, counted = len(plan.steps), plan.revoke + plan.hold + plan.release + plan.note
    if told < counted:
        say(f"... and {counted - told} more")


@app.command(epilog=examples("device stops", "device stops --json"))
def stops(*, home: Home = None, as_json: Json = False) -> None:
    """List the runs that the brake stopped, with what each would have ended."""
    with reached(home) as door:
        found = gathered(lambda page: door.ask(stop_verbs.LIST, page), stop_verbs.ListStops(), _ALL)
    empty = "Nothing is stopped: what follows from devices' states is carried out as it becomes due."
    print_page(found, ("digest", "stopped_at", "groups", "let_go_at", "why"), as_json=as_json, empty=empty)


@app.command("let-go", epilog=examples("device let-go 9f2c…", "device let-go 9f2c… --dry-run"))
def let_go(
    *,
    digest: Annotated[
        str, typer.Argument(metavar="DIGEST", help="Of the plan, as `device stops` shows it.", show_default=False)
    ],
    yes: Yes = False,
    dry_run: DryRun = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Propose that a stopped run goes on: another administrator has to agree, for exactly the plan that was shown."""
    with reached(home) as door:
        asked = stop_verbs.LetGoOf(digest=digest)
        if agreed(door.plan(stop_verbs.LET_GO, asked).would, yes=yes, dry_run=dry_run, as_json=as_json):
            print_answer(door.ask(stop_verbs.LET_GO, asked), as_json=as_json)
