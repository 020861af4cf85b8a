"""`regalia token`: credentials of programs."""

from typing import Annotated

import typer

from regalia.cli.context import agreed, reached
from regalia.cli.options import DryRun, Home, Json, Yes, examples, noun_app
from regalia.cli.output import print_answer, print_page, say
from regalia.cli.span import checked_span
from regalia.verbs import token as verbs
from regalia.verbs.paging import gathered

__all__ = ["app"]

app = noun_app("Tokens: credentials of programs, each within what its owner may do.")

_MOST = 100_000
"""Of one list; nobody reads more."""


@app.command(
    epilog=examples(
        "token create ci --role helpdesk:staff --ttl 30d",
        "token create inventory --role auditor --quiet > inventory.token",
    )
)
def create(
    *,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the log calls it.", show_default=False)],
    role: Annotated[
        list[str] | None,
        typer.Option(
            "--role",
            metavar="ROLE",
            help="ROLE or ROLE:GROUP,GROUP, several times; all that its owner has if not given.",
        ),
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option("--group", metavar="GROUP", help="Let every role count in this group only; several times."),
    ] = None,
    ttl: Annotated[str, typer.Option("--ttl", metavar="SPAN", help="How long it is good, at most 366d.")] = "90d",
    owner: Annotated[
        str | None,
        typer.Option("--owner", metavar="NAME", help="The administrator for whom it speaks; on this machine only."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the secret and nothing else.")] = False,
    dry_run: DryRun = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Make a token. Its secret is shown now and never again."""
    with reached(home) as door:
        asked = verbs.CreateToken(
            name=name,
            roles=tuple(role or ()),
            group=tuple(group or ()),
            ttl=checked_span("--ttl", ttl),
            owner=owner,
        )
        if dry_run:
            agreed(door.plan(verbs.CREATE, asked).would, yes=True, dry_run=True, as_json=as_json)
            return
        made = door.ask(verbs.CREATE, asked)
    if quiet and not as_json:
        say(made.secret)
        return
    print_answer(made, as_json=as_json)


@app.command("list", epilog=examples("token list", "token list --state good --json"))
def list_(
    *,
    state: Annotated[verbs.TokenState | None, typer.Option("--state", help="Only these.", show_default=False)] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """List tokens, newest first, also those that ended. Their secrets are known to nobody but their bearers."""
    with reached(home) as door:
        tokens = gathered(lambda part: door.ask(verbs.LIST, part), verbs.ListTokens(state=state), _MOST)
    empty = "No tokens. Make one with `regalia token create NAME --role ROLE`."
    columns = ("id", "name", "owner", "roles", "state", "expires_at", "last_used_at")
    print_page(tokens, columns, as_json=as_json, empty=empty)


@app.command(epilog=examples("token revoke ci", "token revoke 0192f0c4 --dry-run"))
def revoke(
    *,
    token: Annotated[
        str, typer.Argument(metavar="TOKEN", help="Its name, its id, or the beginning of it.", show_default=False)
    ],
    yes: Yes = False,
    dry_run: DryRun = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Revoke a token, and those that it made: their next requests are refused."""
    with reached(home) as door:
        asked = verbs.NameToken(token_id=token)
        if agreed(door.plan(verbs.REVOKE, asked).would, yes=yes, dry_run=dry_run, as_json=as_json):
            print_answer(door.ask(verbs.REVOKE, asked), as_json=as_json)
