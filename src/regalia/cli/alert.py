"""`regalia alert`: what is wrong, and who is told of it."""

from typing import Annotated, Final

import typer

from regalia.cli.context import agreed, reached
from regalia.cli.faults import FAILED
from regalia.cli.options import DryRun, Home, Json, Limit, Yes, examples, noun_app
from regalia.cli.output import note, print_answer, print_page
from regalia.model import DeliveryState
from regalia.verbs import alert as verbs
from regalia.verbs.paging import gathered

__all__ = ["app"]

app = noun_app("Alerts: what is wrong, and who is told of it.")
target_app = noun_app("Targets: who is told of alerts, by e-mail or web hook.")
delivery_app = noun_app("Deliveries: each message to a target, and what became of it.")
app.add_typer(target_app, name="target")
app.add_typer(delivery_app, name="delivery")

_ALL: Final = 1_000_000

AlertId = Annotated[str, typer.Argument(metavar="ID", help="Its id, or the beginning of it.", show_default=False)]
TargetName = Annotated[str, typer.Argument(metavar="NAME", help="Name of the target.", show_default=False)]


@app.command("list", epilog=examples("alert list --state open", "alert list --json"))
def list_(
    *,
    state: Annotated[
        verbs.AlertState | None, typer.Option("--state", help="Only those that last, or are over.", show_default=False)
    ] = None,
    limit: Limit = 50,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """List alerts, newest first."""
    with reached(home) as door:
        found = gathered(lambda page: door.ask(verbs.LIST, page), verbs.ListAlerts(state=state), limit)
    columns = ("id", "state", "severity", "condition", "object", "opened_at", "summary")
    print_page(found, columns, as_json=as_json, empty="No alerts: nothing is wrong, as far as `regalia serve` looked.")


@app.command(epilog=examples("alert show 019a1b2c", "alert show 019a1b2c --json"))
def show(*, alert: AlertId, home: Home = None, as_json: Json = False) -> None:
    """Show an alert with what to do."""
    with reached(home) as door:
        print_answer(door.ask(verbs.SHOW, verbs.ShowAlert(id=alert)), as_json=as_json)


@app.command(epilog=examples("alert acknowledge 019a1b2c", "alert acknowledge 019a1b2c --json"))
def acknowledge(*, alert: AlertId, home: Home = None, as_json: Json = False) -> None:
    """Say that somebody looks after an alert: it is not repeated any more, and still closes by itself."""
    with reached(home) as door:
        print_answer(door.ask(verbs.ACKNOWLEDGE, verbs.AcknowledgeAlert(id=alert)), as_json=as_json)


# --- targets --------------------------------------------------------------------------------------------------------


@target_app.command(
    epilog=examples(
        "alert target create mail --email pki@example.org",
        "alert target create on-call --url https://hooks.example.org/regalia",
    )
)
def create(
    *,
    name: TargetName,
    email: Annotated[
        str | None, typer.Option("--email", metavar="ADDRESS", help="E-mail address.", show_default=False)
    ] = None,
    url: Annotated[
        str | None, typer.Option("--url", metavar="URL", help="https URL of a web hook.", show_default=False)
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Have somebody told of alerts. The secret that signs a web hook's messages is shown now and never again."""
    with reached(home) as door:
        made = door.ask(verbs.CREATE_TARGET, verbs.CreateTarget(name=name, email=email, url=url))
    print_answer(made, as_json=as_json, without=() if made.secret else ("secret",))
    note(f"Try it: `regalia alert target test {name}`.")


@target_app.command("list", epilog=examples("alert target list", "alert target list --json"))
def list_targets(*, home: Home = None, as_json: Json = False) -> None:
    """List who is told of alerts."""
    with reached(home) as door:
        found = gathered(lambda page: door.ask(verbs.TARGETS, page), verbs.ListTargets(), _ALL)
    empty = "No targets: alerts are told to nobody. Create one with `regalia alert target create NAME`."
    print_page(found, ("name", "kind", "address", "waiting", "dead"), as_json=as_json, empty=empty)


@target_app.command("show", epilog=examples("alert target show on-call", "alert target show on-call --json"))
def show_target(*, name: TargetName, home: Home = None, as_json: Json = False) -> None:
    """Show a target. Its secret is never shown again: remove it and create another one where it is lost."""
    with reached(home) as door:
        print_answer(door.ask(verbs.SHOW_TARGET, verbs.ShowTarget(name=name)), as_json=as_json)


@target_app.command(epilog=examples("alert target remove on-call", "alert target remove on-call --dry-run"))
def remove(
    *, name: TargetName, yes: Yes = False, dry_run: DryRun = False, home: Home = None, as_json: Json = False
) -> None:
    """Remove a target with its secret; what waits for it is given up."""
    with reached(home) as door:
        asked = verbs.RemoveTarget(name=name)
        if agreed(door.plan(verbs.REMOVE_TARGET, asked).would, yes=yes, dry_run=dry_run, as_json=as_json):
            print_answer(door.ask(verbs.REMOVE_TARGET, asked), as_json=as_json)


@target_app.command("test", epilog=examples("alert target test on-call", "alert target test on-call --json"))
def try_target(*, name: TargetName, home: Home = None, as_json: Json = False) -> None:
    """Send a test to a target now, and say what became of it. Exit code 1 if it was not taken."""
    with reached(home) as door:
        tried = door.ask(verbs.TEST_TARGET, verbs.TestTarget(name=name))
    print_answer(tried, as_json=as_json)
    if tried.state is not DeliveryState.DELIVERED:
        raise typer.Exit(FAILED)


# --- deliveries -----------------------------------------------------------------------------------------------------


@delivery_app.command(
    "list", epilog=examples("alert delivery list --state dead", "alert delivery list --target on-call --json")
)
def list_deliveries(
    *,
    state: Annotated[
        DeliveryState | None, typer.Option("--state", help="Only those in this state.", show_default=False)
    ] = None,
    target: Annotated[
        str | None, typer.Option("--target", metavar="NAME", help="Of this target only.", show_default=False)
    ] = None,
    limit: Limit = 50,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """List messages to targets and what became of them, newest first."""
    with reached(home) as door:
        asked = verbs.ListDeliveries(state=state, target=target)
        found = gathered(lambda page: door.ask(verbs.DELIVERIES, page), asked, limit)
    columns = ("id", "target", "occasion", "state", "attempts", "next_at", "error")
    print_page(found, columns, as_json=as_json, empty="Nobody was told of anything.")


@delivery_app.command(epilog=examples("alert delivery replay 019a1b2c", "alert delivery replay 019a1b2c --json"))
def replay(*, delivery: AlertId, home: Home = None, as_json: Json = False) -> None:
    """Have a message that was delivered or given up sent again, with the same id; the server does it at once."""
    with reached(home) as door:
        print_answer(door.ask(verbs.REPLAY, verbs.ReplayDelivery(id=delivery)), as_json=as_json)
