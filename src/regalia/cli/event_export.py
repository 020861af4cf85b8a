"""`regalia event export`: records for auditors and other systems, in a file that verifies alone."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from regalia import reasons
from regalia.cli.context import administrator, opened, reached
from regalia.cli.options import Home, Json
from regalia.cli.output import note, print_record
from regalia.cli.remote import far_door
from regalia.errors import AdminError
from regalia.verbs import event as verbs

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["export"]


def export(
    *,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", show_default=False, help="From this time on, in UTC.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="TIME", show_default=False, help="Up to before this time.")
    ] = None,
    group: Annotated[
        str | None, typer.Option("--group", metavar="NAME", show_default=False, help="Only what concerns this group.")
    ] = None,
    after: Annotated[
        int,
        typer.Option("--after", min=0, metavar="POSITION", help="Go on behind the last position of another one."),
    ] = 0,
    form: Annotated[str, typer.Option("--format", metavar="jsonl|csv", help="JSON Lines, or CSV for spreadsheets.")] = (
        "jsonl"
    ),
    out: Annotated[
        Path | None,
        typer.Option("--out", readable=False, metavar="FILE", show_default=False, help="A new file; else stdout."),
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Write records with what it takes to verify them: `regalia event verify --file FILE`."""
    if form not in verbs.FORMATS:
        raise AdminError(reasons.USAGE, f"--format {form}: known are {', '.join(verbs.FORMATS)}")
    for option, text in (("--since", since), ("--until", until)):
        verbs.time_of(option, text)
    try:
        with reached(home) as door:
            asked = verbs.ExportEvents(since=since, until=until, group=group, after=after, form=form)
            _write([door.ask(verbs.EXPORT, asked).text.encode()], out, as_json=as_json)
    except AdminError as error:
        if error.reason is not reasons.TOO_MUCH or far_door() is not None:
            raise
        # On the machine itself it is written line by line, however long it is.
        with opened(home) as regalia:
            _write(verbs.export_parts(regalia, administrator(), asked), out, as_json=as_json)


def _write(lines: "Iterable[bytes]", out: Path | None, *, as_json: bool) -> None:
    if out is None:
        for line in lines:
            sys.stdout.write(line.decode())
        return
    written = 0
    try:
        with out.open("xb") as file:
            out.chmod(0o600)
            for line in lines:
                written += file.write(line)
    except FileExistsError:
        raise AdminError(reasons.FILE_REFUSED, f"{out} is there already") from None
    except OSError as error:
        raise AdminError(reasons.FILE_REFUSED, f"{out}: {error.strerror}") from error
    if as_json:
        print_record({"file": out, "octets": written}, as_json=True)
        return
    note(f"{out}: {written} octets. It names devices and users: keep it as you keep the log.")
