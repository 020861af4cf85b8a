"""Options that several commands share, and the examples under each command's help.

All options for paths have `readable=False`: a path that this user may not read is no misuse of the command, and whoever
opens it tells so with the way out (ADM-020, CLI-009).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["DryRun", "Home", "Json", "Limit", "RootKey", "Yes", "examples", "noun_app"]

Home = Annotated[
    Path | None,
    typer.Option(
        "--home",
        readable=False,
        metavar="DIR",
        show_default=False,
        help="Where this Regalia lives; REGALIA_HOME if not given.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would happen.")]
RootKey = Annotated[
    Path | None,
    typer.Option(
        "--root-key",
        readable=False,
        metavar="DIR",
        show_default=False,
        help="The medium that holds the root's key, if it is offline.",
    ),
]
Limit = Annotated[int, typer.Option("--limit", min=1, max=100_000, metavar="N", help="How many at most, newest first.")]


def examples(first: str, second: str) -> str:
    """Two examples of a command, to stand under its help exactly as they are."""
    return f"\b\nExamples:\n  regalia {first}\n  regalia {second}"


def noun_app(text: str) -> typer.Typer:
    """Make the typer app of a noun with verbs."""
    return typer.Typer(help=text, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
