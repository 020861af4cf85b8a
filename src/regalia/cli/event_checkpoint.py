"""`regalia event checkpoint`: sign what the log holds, now."""

from typing import Annotated

import typer

from regalia import reasons
from regalia.cli.context import agreed, reached
from regalia.cli.options import DryRun, Home, Json, Yes
from regalia.cli.output import print_answer, say
from regalia.errors import AdminError
from regalia.verbs import event_checkpoint as verbs

__all__ = ["checkpoint"]


def checkpoint(
    *,
    printed: Annotated[
        bool, typer.Option("--print", help="Print the checkpoint itself in one line, to be kept elsewhere.")
    ] = False,
    public_key: Annotated[
        bool, typer.Option("--public-key", help="Make none: print the key in PEM that the next one is signed with.")
    ] = False,
    new_key: Annotated[
        bool, typer.Option("--new-key", help="Sign with the old key that another one follows, and destroy the old one.")
    ] = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Sign the heads of all streams now; `serve` does it by itself every ten minutes or thousand records."""
    if printed + public_key + new_key > 1:
        raise AdminError(reasons.USAGE, "--print, --public-key and --new-key exclude each other")
    with reached(home) as door:
        if public_key:
            for line in door.ask(verbs.KEY, verbs.ShowCheckpointKey()).public_key.splitlines():
                say(line)
            return
        asked = verbs.MakeCheckpoint(new_key=new_key)
        if new_key or dry_run:
            plan = door.plan(verbs.CHECKPOINT, asked).would
            if not agreed(plan, yes=yes, dry_run=dry_run, as_json=as_json):
                return
        made = door.ask(verbs.CHECKPOINT, asked)
        if printed:
            say(door.ask(verbs.LINE, verbs.ShowCheckpointLine(number=made.checkpoint)).line)
        else:
            print_answer(made, as_json=as_json)
