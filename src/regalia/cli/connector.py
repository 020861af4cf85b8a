"""`regalia connector`: systems outside that know devices and vouch for them."""

from typing import Annotated, Final

import typer

from regalia import reasons
from regalia.cli.context import agreed, reached
from regalia.cli.faults import FAILED
from regalia.cli.options import DryRun, Home, Json, Yes, examples, noun_app
from regalia.cli.output import note, print_answer, print_page, print_table, say
from regalia.cli.secret import lines_in
from regalia.errors import AdminError
from regalia.verbs import connector as verbs
from regalia.verbs.paging import gathered

__all__ = ["app"]

_ALL: Final = 1_000_000
"""More than anybody reads."""

app = noun_app("Connectors: systems outside that know devices and vouch for them.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the connector.", show_default=False)]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        show_default=False,
        help="A setting, as `regalia connector kinds` has them; a list is written with commas. May be repeated.",
    ),
]


def _settings(given: list[str] | None) -> dict[str, str]:
    """Take `KEY=VALUE` apart. Raises `AdminError` ADM-018."""
    found: dict[str, str] = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise AdminError(reasons.USAGE, f"--set {text}: write KEY=VALUE")
        if name in found:
            raise AdminError(reasons.USAGE, f"--set {name} is given twice: write a list with commas")
        found[name] = value
    return found


@app.command(epilog=examples("connector kinds", "connector kinds intune --json"))
def kinds(
    *,
    kind: Annotated[
        str | None, typer.Argument(metavar="[KIND]", help="Only this one, with its settings.", show_default=False)
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """List the kinds of connectors, or what one of them needs, setting by setting."""
    with reached(home) as door:
        found = gathered(lambda page: door.ask(verbs.KINDS, page), verbs.ListKinds(), _ALL)
    if kind is None:
        print_page(found, ("kind", "title", "abilities", "page"), as_json=as_json)
        return
    named = [each for each in found.items if each.kind == kind]
    if not named:
        known = ", ".join(each.kind for each in found.items)
        raise AdminError(reasons.CONNECTOR_KIND_UNKNOWN, f"{kind}; kinds: {known}")
    if as_json:
        print_answer(named[0], as_json=True)
        return
    print_answer(named[0], as_json=False, without=("settings",))
    say()
    rows = [each.model_dump(mode="json") for each in named[0].settings]
    print_table(rows, ("name", "required", "values", "default", "meaning"), as_json=False, empty="No settings.")


@app.command(
    epilog=examples(
        "connector create intune intune --set tenant=contoso.example --set client_id=ID --secret-file secret",
        "connector create intune cloud --set tenant=ID --set client_id=ID --set credential=certificate "
        "--secret-file app.pem",
    )
)
def create(
    *,
    kind: Annotated[str, typer.Argument(metavar="KIND", help="Its kind: see `connector kinds`.", show_default=False)],
    name: Name,
    settings: Settings = None,
    secret_file: Annotated[
        str | None,
        typer.Option(
            "--secret-file",
            metavar="FILE",
            show_default=False,
            help="What its system knows us by, or - for standard input: kept sealed, never shown again.",
        ),
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Create a connector. Its system is asked nothing until `connector test`, a sweep, or a device comes."""
    secret = lines_in(secret_file, reasons.FILE_REFUSED) if secret_file is not None else None
    with reached(home) as door:
        asked = verbs.CreateConnector(kind=kind, name=name, settings=dict(_settings(settings)), secret=secret)
        made = door.ask(verbs.CREATE, asked)
    print_answer(made, as_json=as_json)
    note(f"Try it: `regalia connector test {made.name}`.")


@app.command("list", epilog=examples("connector list", "connector list --json"))
def list_(*, home: Home = None, as_json: Json = False) -> None:
    """List the connectors."""
    with reached(home) as door:
        found = gathered(lambda page: door.ask(verbs.LIST, page), verbs.ListConnectors(), _ALL)
    empty = "No connectors. `regalia connector kinds` says which there can be."
    print_page(found, ("name", "kind", "enabled", "abilities", "endpoints"), as_json=as_json, empty=empty)


@app.command(epilog=examples("connector show intune", "connector show intune --json"))
def show(*, name: Name, home: Home = None, as_json: Json = False) -> None:
    """Show a connector: settings, its last sweep, and every value to enter on its side."""
    with reached(home) as door:
        shown = door.ask(verbs.SHOW, verbs.ConnectorName(name=name))
    print_answer(shown, as_json=as_json, without=("paste",))
    if as_json:
        return
    for paste in shown.paste:
        say()
        print_answer(paste, as_json=False)
    if not shown.paste:
        note(f"No endpoint asks it yet: `regalia endpoint create NAME ... --authoriser connector --connector {name}`.")


@app.command(
    epilog=examples(
        "connector change intune --set users=false --unset page",
        "connector change intune --set credential=certificate --secret-file app.pem",
    )
)
def change(
    *,
    name: Name,
    settings: Settings = None,
    unset: Annotated[
        list[str] | None,
        typer.Option("--unset", metavar="KEY", help="Back to its default. May be repeated.", show_default=False),
    ] = None,
    secret_file: Annotated[
        str | None,
        typer.Option(
            "--secret-file", metavar="FILE", show_default=False, help="Its new secret, or - for standard input."
        ),
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Change settings, and the secret with them; what is not named stays as it is."""
    if not settings and not unset:
        raise AdminError(reasons.USAGE, "give what to change, with --set or --unset")
    secret = lines_in(secret_file, reasons.FILE_REFUSED) if secret_file is not None else None
    with reached(home) as door:
        asked = verbs.ChangeConnector(
            name=name, settings=dict(_settings(settings)), unset=tuple(unset or ()), secret=secret
        )
        print_answer(door.ask(verbs.CHANGE, asked), as_json=as_json)


@app.command(
    "set-secret",
    epilog=examples(
        "connector set-secret intune --secret-file secret", "connector set-secret intune --secret-file - < secret"
    ),
)
def set_secret(
    *,
    name: Name,
    secret_file: Annotated[
        str, typer.Option("--secret-file", metavar="FILE", help="Its new secret, or - for standard input.")
    ],
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Give a connector another secret; the former one is gone."""
    secret = lines_in(secret_file, reasons.FILE_REFUSED)
    with reached(home) as door:
        print_answer(door.ask(verbs.SET_SECRET, verbs.SetConnectorSecret(name=name, secret=secret)), as_json=as_json)


@app.command(epilog=examples("connector hook intune", "connector hook intune --json"))
def hook(*, name: Name, home: Home = None, as_json: Json = False) -> None:
    """Show where a connector's system tells of changes, and the key that it signs with."""
    with reached(home) as door:
        print_answer(door.ask(verbs.HOOK, verbs.ConnectorName(name=name)), as_json=as_json)


@app.command("test", epilog=examples("connector test intune", "connector test intune --json"))
def try_connector(*, name: Name, home: Home = None, as_json: Json = False) -> None:
    """Try each thing that a connector needs, one by one. Exit code 1 if one that it cannot do without is missing."""
    with reached(home) as door:
        tried = door.ask(verbs.TEST, verbs.ConnectorName(name=name))
    if as_json:
        print_answer(tried, as_json=True)
    else:
        rows = [{"what": each.what, "result": _result(each), "detail": each.detail} for each in tried.checks]
        print_table(rows, ("what", "result", "detail"), as_json=False, empty="Nothing to try.")
        for each in tried.checks:
            if not each.ok and each.fix:
                note(f"{each.what}: {each.fix}")
    if not tried.ok:
        raise typer.Exit(FAILED)


def _result(check: verbs.CheckRecord) -> str:
    if check.ok:
        return "ok"
    return "missing, can be without" if check.optional else "missing"


@app.command(epilog=examples("connector disable intune", "connector disable intune --dry-run"))
def disable(*, name: Name, yes: Yes = False, dry_run: DryRun = False, home: Home = None, as_json: Json = False) -> None:
    """Ask nothing of a connector any more. Certificates stay as they are."""
    with reached(home) as door:
        asked = verbs.ConnectorName(name=name)
        if agreed(door.plan(verbs.DISABLE, asked).would, yes=yes, dry_run=dry_run, as_json=as_json):
            print_answer(door.ask(verbs.DISABLE, asked), as_json=as_json)


@app.command(epilog=examples("connector enable intune", "connector enable intune --json"))
def enable(*, name: Name, home: Home = None, as_json: Json = False) -> None:
    """Ask a disabled connector again."""
    with reached(home) as door:
        print_answer(door.ask(verbs.ENABLE, verbs.ConnectorName(name=name)), as_json=as_json)
