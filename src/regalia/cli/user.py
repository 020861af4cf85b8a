"""`regalia user`: users as connectors know them."""

from typing import Annotated

import typer

from regalia.cli.bearer import print_bearer
from regalia.cli.context import reached
from regalia.cli.options import Home, Json, Limit, examples, noun_app
from regalia.cli.output import print_page
from regalia.verbs import user as verbs
from regalia.verbs.paging import gathered

__all__ = ["app"]

app = noun_app("Users: as connectors know them.")


@app.command("list", epilog=examples("user list --search ada", "user list --absent --json"))
def list_(
    *,
    connector: Annotated[
        str | None,
        typer.Option("--connector", metavar="NAME", help="Only those that this one knows.", show_default=False),
    ] = None,
    present: Annotated[bool | None, typer.Option("--present/--absent", help="Only these.", show_default=False)] = None,
    search: Annotated[
        str | None,
        typer.Option("--search", metavar="TEXT", help="Only those that begin with this text.", show_default=False),
    ] = None,
    limit: Limit = 50,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """List the users that connectors know."""
    with reached(home) as door:
        asked = verbs.ListUsers(connector=connector, present=present, q=search)
        found = gathered(lambda page: door.ask(verbs.LIST, page), asked, limit)
    empty = "No users. A connector that has an inventory of them reads it by itself while `regalia serve` runs."
    print_page(found, ("id", "name", "upn", "connector", "state", "seen_at"), as_json=as_json, empty=empty)


@app.command(epilog=examples("user show 019a1b2c", "user show 019a1b2c --json"))
def show(
    *,
    user: Annotated[
        str, typer.Argument(metavar="ID", help="Its record's id, or the beginning of it.", show_default=False)
    ],
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Show a user: what the connector said, their certificates, and what followed for each."""
    with reached(home) as door:
        print_bearer(door.ask(verbs.SHOW, verbs.UserId(id=user)), as_json=as_json)
