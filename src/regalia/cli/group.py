"""`regalia group`: segregated populations."""

from typing import Annotated, Final

import typer

from regalia.cli.context import reached
from regalia.cli.group_containment import (
    HOLDERS_EXAMPLES,
    REPLACE_EXAMPLES,
    RESUME_EXAMPLES,
    SUSPEND_EXAMPLES,
    holders,
    replace_authority,
    resume,
    suspend,
)
from regalia.cli.group_follow import FOLLOW_RULES_EXAMPLES, follow_rules
from regalia.cli.options import Home, Json, RootKey, examples, noun_app
from regalia.cli.output import print_answer, print_page
from regalia.model import KeyKind
from regalia.verbs import group as verbs
from regalia.verbs.paging import gathered

__all__ = ["app"]

_ALL: Final = 1_000_000
"""More than anybody reads."""

app = noun_app("Groups: segregated populations, each with an issuing CA.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the group.", show_default=False)]


@app.command(epilog=examples("group create contractors", "group create contractors --key p-384 --root-key /media/usb"))
def create(
    *,
    name: Name,
    authority: Annotated[
        str | None,
        typer.Option("--authority", metavar="NAME", help="One that `ca create` made for it.", show_default="a new one"),
    ] = None,
    key: Annotated[KeyKind, typer.Option("--key", help="Kind of the new authority's key.")] = KeyKind.P256,
    debug: Annotated[bool, typer.Option("--debug", help="Tell refused devices the reason.")] = False,
    ca_as_ra: Annotated[
        bool, typer.Option("--ca-as-ra", help="Its RSA key also opens devices' messages: GetCACert is one certificate.")
    ] = False,
    acknowledged: Annotated[
        bool, typer.Option("--acknowledge-ca-as-ra", help="Yes, the CA's key may be in every worker.")
    ] = False,
    root_key: RootKey = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Create a group with an issuing authority, an RA credential and an OCSP signer of its own."""
    with reached(home, root_key=root_key) as door:
        asked = verbs.CreateGroup(
            name=name,
            authority=authority,
            key=key,
            debug=debug,
            ca_as_ra=ca_as_ra,
            acknowledge_ca_as_ra=acknowledged,
        )
        print_answer(door.ask(verbs.CREATE, asked), as_json=as_json)


@app.command("list", epilog=examples("group list", "group list --json"))
def list_(*, home: Home = None, as_json: Json = False) -> None:
    """List the groups."""
    with reached(home) as door:
        groups = gathered(lambda page: door.ask(verbs.LIST, page), verbs.ListGroups(), _ALL)
    empty = "No groups. Create one with `regalia group create NAME`."
    print_page(groups, ("name", "authority", "profiles", "endpoints", "created_at"), as_json=as_json, empty=empty)


@app.command(epilog=examples("group show default", "group show default --json"))
def show(*, name: Name, home: Home = None, as_json: Json = False) -> None:
    """Show a group with its authority, credentials, profiles and endpoints."""
    with reached(home) as door:
        print_answer(door.ask(verbs.SHOW, verbs.ShowGroup(name=name)), as_json=as_json)


app.command(epilog=SUSPEND_EXAMPLES)(suspend)
app.command(epilog=RESUME_EXAMPLES)(resume)
app.command("replace-authority", epilog=REPLACE_EXAMPLES)(replace_authority)
app.command(epilog=HOLDERS_EXAMPLES)(holders)
app.command("follow-rules", epilog=FOLLOW_RULES_EXAMPLES)(follow_rules)
