"""`regalia ca cps`: a certification practice statement to be completed."""

from pathlib import Path
from typing import Annotated

import typer

from regalia import reasons
from regalia.cli.context import reached
from regalia.cli.options import Home, Json, examples
from regalia.cli.output import note, print_json, say
from regalia.errors import AdminError
from regalia.verbs import cps as verbs

__all__ = ["CPS_EXAMPLES", "cps"]

CPS_EXAMPLES = examples("ca cps --out cps.md", "ca cps")


def cps(
    *,
    out: Annotated[
        Path | None,
        typer.Option("--out", readable=False, metavar="FILE", show_default=False, help="A new file; else stdout."),
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Write a certification practice statement (RFC 3647) from this installation, with places for you to complete."""
    with reached(home) as door:
        made = door.ask(verbs.CPS, verbs.WriteCps())
    if as_json:
        # What the document is made of, for whoever has an outline of his own.
        print_json(made.facts)
        return
    if out is None:
        for line in made.text.splitlines():
            say(line)
        return
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(made.text)
    except FileExistsError:
        raise AdminError(reasons.FILE_REFUSED, f"{out} is there already") from None
    except OSError as error:
        raise AdminError(reasons.FILE_REFUSED, f"{out}: {error.strerror}") from error
    note(f"{out} is written; {made.places} places are marked “{verbs.TO_STATE}”.")
