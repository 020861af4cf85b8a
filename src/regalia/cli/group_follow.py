"""`regalia group follow-rules`: what follows in a group when a device or a user changes."""

from pathlib import Path
from typing import Annotated, Final

import typer

from regalia import reasons
from regalia.cli.context import agreed, reached
from regalia.cli.files import read_file
from regalia.cli.options import DryRun, Home, Json, Yes, examples
from regalia.cli.output import print_answer, print_table, say
from regalia.errors import AdminError
from regalia.verbs import group_follow as verbs

__all__ = ["FOLLOW_RULES_EXAMPLES", "follow_rules"]

FOLLOW_RULES_EXAMPLES: Final = examples(
    "group follow-rules staff", "group follow-rules staff --set rules.json --dry-run"
)
_LONGEST: Final = 65_536


def follow_rules(
    *,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the group.", show_default=False)],
    document: Annotated[
        Path | None,
        typer.Option(
            "--set", readable=False, metavar="FILE", help="Set them to this document, JSON.", show_default=False
        ),
    ] = None,
    defaults: Annotated[bool, typer.Option("--defaults", help="Set them to the defaults.")] = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Show what follows in a group when a device or a user changes, or set it."""
    if document is not None and defaults:
        raise AdminError(reasons.USAGE, "give one of --set and --defaults")
    text = read_file(document, _LONGEST).decode("utf-8", "replace") if document is not None else ""
    with reached(home) as door:
        if document is None and not defaults:
            _print(door.ask(verbs.SHOW, verbs.ShowFollowRules(name=name)), as_json=as_json)
            return
        asked = verbs.SetFollowRules(name=name, document=text)
        if agreed(door.plan(verbs.SET, asked).would, yes=yes, dry_run=dry_run, as_json=as_json):
            _print(door.ask(verbs.SET, asked), as_json=as_json)


def _print(shown: verbs.FollowRulesShown, *, as_json: bool) -> None:
    print_answer(shown, as_json=as_json, without=("rules", "document"))
    if as_json:
        return
    say()
    rows = [each.model_dump(mode="json") for each in shown.rules]
    print_table(rows, ("cause", "consequence", "reason", "after", "revoke_after", "own"), as_json=False)
