"""`regalia session`: browsers in which somebody is signed in."""

from typing import Annotated

import typer

from regalia.cli.context import agreed, reached
from regalia.cli.options import DryRun, Home, Json, Yes, examples, noun_app
from regalia.cli.output import print_answer, print_page
from regalia.verbs import session as verbs
from regalia.verbs.paging import gathered

__all__ = ["app"]

app = noun_app("Sessions: browsers in which somebody is signed in.")

_MOST = 100_000
"""Of one list; nobody reads more."""


@app.command("list", epilog=examples("session list", "session list --administrator alice --json"))
def list_(
    *,
    administrator: Annotated[
        str | None, typer.Option("--administrator", metavar="NAME", help="Theirs only.", show_default=False)
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """List the sessions that have not ended, newest first."""
    with reached(home) as door:
        asked = verbs.ListSessions(administrator=administrator)
        sessions = gathered(lambda part: door.ask(verbs.LIST, part), asked, _MOST)
    columns = ("id", "administrator", "kind", "source", "created_at", "seen_at", "ends_at")
    print_page(sessions, columns, as_json=as_json, empty="Nobody is signed in.")


@app.command(epilog=examples("session end 0192f0c4", "session end 0192f0c4 --yes"))
def end(
    *,
    session: Annotated[str, typer.Argument(metavar="ID", help="Its id, or the beginning of it.", show_default=False)],
    yes: Yes = False,
    dry_run: DryRun = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """End a session: its browser is signed out."""
    with reached(home) as door:
        asked = verbs.EndSession(session_id=session)
        if agreed(door.plan(verbs.END, asked).would, yes=yes, dry_run=dry_run, as_json=as_json):
            print_answer(door.ask(verbs.END, asked), as_json=as_json)
