"""`regalia key`: every key that there ever was."""

from typing import Annotated

import typer

from regalia.cli import key_master
from regalia.cli.context import agreed, reached
from regalia.cli.options import DryRun, Home, Json, Yes, examples, noun_app
from regalia.cli.output import print_answer, print_page, say
from regalia.verbs import key as verbs
from regalia.verbs.paging import gathered

__all__ = ["app"]

app = noun_app("Keys: every private key that there ever was, where it lies, and what it is for.")
key_master.register(app)

_MOST = 100_000
"""Of one list; nobody reads more."""

Id = Annotated[str, typer.Argument(metavar="ID", help="Its id, or the beginning of it.", show_default=False)]


@app.command("list", epilog=examples("key list --here", "key list --scope ca:root --quiet"))
def list_(
    *,
    here: Annotated[bool, typer.Option("--here", help="Leave out those that were destroyed.")] = False,
    scope: Annotated[
        str | None, typer.Option("--scope", metavar="SCOPE", help="Only those of this scope.", show_default=False)
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the ids and nothing else.")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """List the keys, oldest first: also those that were destroyed."""
    with reached(home) as door:
        asked = verbs.ListKeys(here=here, scope=scope)
        keys = gathered(lambda part: door.ask(verbs.LIST, part), asked, _MOST)
    if quiet:
        for key in keys.items:
            say(str(key.id))
        return
    print_page(keys, ("id", "kind", "scope", "place", "used_by", "created_at", "destroyed_at"), as_json=as_json)


@app.command(epilog=examples("key show 0192f0c4", "key show 0192f0c4-7c1e-7d3a-9a51-0a2b3c4d5e6f --json"))
def show(*, key_id: Id, home: Home = None, as_json: Json = False) -> None:
    """Show a key: its public half's hash, where it lies, what uses it, and its end."""
    with reached(home) as door:
        print_answer(door.ask(verbs.SHOW, verbs.ShowKey(key_id=key_id)), as_json=as_json)


@app.command(epilog=examples("key destroy 0192f0c4 --why 'the contract ended'", "key destroy 0192f0c4 --dry-run"))
def destroy(
    *,
    key_id: Id,
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="For the audit log.")] = "",
    although_needed: Annotated[
        bool, typer.Option("--although-needed", help="Also where an authority or a credential stops without it.")
    ] = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Destroy a key for good, in the database or on its token. The inventory keeps its row."""
    with reached(home) as door:
        asked = verbs.DestroyKey(key_id=key_id, why=why, although_needed=although_needed)
        plan = door.plan(verbs.DESTROY, asked).would
        # Nothing is planned where it has ended already: then it is shown.
        if plan and not agreed(plan, yes=yes, dry_run=dry_run, as_json=as_json):
            return
        key = door.ask(verbs.DESTROY, asked)
    print_answer(key, as_json=as_json)
    if plan and key.location != verbs.ELSEWHERE and not as_json:
        say("A server that runs uses what it opened until it is restarted; backups may hold the key, encrypted.")
