"""`regalia access`: who can do what."""

import csv
import sys
from typing import Annotated

import typer

from regalia import reasons
from regalia.cli.context import reached
from regalia.cli.options import Home, Json, examples, noun_app
from regalia.cli.output import print_page
from regalia.errors import AdminError
from regalia.verbs import access as verbs

__all__ = ["app", "cell"]

app = noun_app("Access: who can do what, where, and when it was last done.")

_FORMULA = tuple("=+-@\t\r")
"""What a spreadsheet would take for more than text (WEB-7)."""


@app.callback()
def _access() -> None:
    """Keep `review` a word of its own."""


@app.command(epilog=examples("access review", "access review --stale-days 30 --csv > access.csv"))
def review(
    *,
    stale_days: Annotated[
        int, typer.Option("--stale-days", min=1, max=3_650, metavar="N", help="Days without use that are too many.")
    ] = verbs.STALE.days,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print a table for a spreadsheet.")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Review who can do what: each role of each administrator and each token, and what stands out."""
    if as_csv and as_json:
        raise AdminError(reasons.USAGE, "give --csv or --json")
    with reached(home) as door:
        found = door.ask(verbs.REVIEW, verbs.ReviewAccess(stale_days=stale_days))
    if not as_csv:
        columns = ("kind", "name", "owner", "state", "role", "last_used_at", "marks")
        print_page(found, columns, as_json=as_json, empty="Nobody but who commands on this machine.")
        return
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(verbs.AccessRecord.model_fields)
    for record in found.items:
        table.writerow([cell(value) for value in record.model_dump(mode="json").values()])


def cell(value: object) -> str:
    """Write a cell of a table: text, whatever a spreadsheet would like to see in it (WEB-7)."""
    text = " ".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
