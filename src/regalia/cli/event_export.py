"""`regalia event export`: records for auditors and other systems, in a file that verifies alone."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from regalia import reasons
from regalia.cli.context import administrator, opened
from regalia.cli.options import Home, Json
from regalia.cli.output import note, print_record
from regalia.errors import AdminError
from regalia.model import Action, EventDraft, Outcome
from regalia.ra.export import FORMATS, Ending, export_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from regalia.app import App

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
    if form not in FORMATS:
        raise AdminError(reasons.USAGE, f"--format {form}: known are {', '.join(FORMATS)}")
    begin, end = _time("--since", since), _time("--until", until)
    with opened(home) as regalia:
        about = {"since": since, "until": until, "group": group, "after": str(after)}
        details = {"format": form, **about}
        event = EventDraft(
            regalia.clock.now(), administrator(), Action.LOG_EXPORTED, "log", Outcome.OK, group, details=details
        )
        # First the record, then what it is about: nothing leaves that was not written down.
        regalia.store.record((event,))
        ending = _ending(regalia)
        records = regalia.store.stored_records(after=after, since=begin, until=end, group=group)
        lines = export_lines(records, about, ending, as_csv=form == "csv")
        _write(lines, out, as_json=as_json)


def _ending(regalia: "App") -> Ending:
    made = regalia.checkpoints.make(administrator())
    key = regalia.store.checkpoint_keys()[-1]
    private = regalia.keys.open(key.key_id)
    return Ending(lambda octets: private.sign(octets, "sha256"), key.public_key, made, key.public_key)


def _write(lines: "Iterator[bytes]", out: Path | None, *, as_json: bool) -> None:
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


def _time(option: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise AdminError(reasons.USAGE, f"{option} {text}: write it as 2026-03-01 or 2026-03-01T09:00:00Z") from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found
