"""`regalia event forget`: remove personal data before its time."""

import re
from typing import Annotated

import typer

from regalia import reasons
from regalia.cli.context import agreed, reached
from regalia.cli.options import DryRun, Home, Json, Yes
from regalia.cli.output import print_answer, print_record
from regalia.errors import AdminError
from regalia.verbs import event as verbs

__all__ = ["forget"]


def forget(
    *,
    older_than: Annotated[
        str | None,
        typer.Option(
            "--older-than", metavar="DAYSd", show_default=False, help="[audit] personal_days if not given, as in 400d."
        ),
    ] = None,
    destroy_keys: Annotated[
        bool,
        typer.Option("--destroy-keys", help="Destroy the keys of what is older, too: guesses cannot be tried then."),
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Remove addresses and names of users and devices that are older; the log keeps pseudonyms, and still verifies."""
    days = _days(older_than) if older_than is not None else None
    with reached(home) as door:
        asked = verbs.ForgetPersonal(older_than_days=days, destroy_keys=destroy_keys)
        if dry_run:
            found = door.ask(verbs.FORGETTABLE, asked)
            print_record(found.model_dump(mode="json") | {"dry_run": True}, as_json=as_json)
        elif agreed(door.plan(verbs.FORGET, asked).would, yes=yes, dry_run=False, as_json=as_json):
            print_answer(door.ask(verbs.FORGET, asked), as_json=as_json)


def _days(text: str) -> int:
    match = re.fullmatch(r"([0-9]{1,5})d?", text)
    if match is None or int(match[1]) < 1:
        raise AdminError(reasons.USAGE, f"--older-than {text}: write days, as in 400d")
    return int(match[1])
