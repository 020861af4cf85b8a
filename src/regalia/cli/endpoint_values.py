"""`regalia endpoint values` and `endpoint file`: what a device's management is given."""

from pathlib import Path
from typing import Annotated

import typer

from regalia import reasons
from regalia.cli.context import reached
from regalia.cli.options import Home, Json, examples
from regalia.cli.output import note, print_answer, print_table, say
from regalia.cli.secret import secret_in
from regalia.errors import AdminError
from regalia.model.fleet import Platform
from regalia.verbs import endpoint_values as verbs

__all__ = ["FILE_EXAMPLES", "VALUES_EXAMPLES", "file", "values"]

VALUES_EXAMPLES = examples("endpoint values phones --platform ios", "endpoint values laptops --platform windows --json")
FILE_EXAMPLES = examples(
    "endpoint file laptops graph --platform windows --out laptops.json",
    "endpoint file phones apple --platform ios --challenge-file challenge --out phones.mobileconfig",
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the endpoint.", show_default=False)]
For = Annotated[Platform, typer.Option("--platform", help="windows, ios, macos or android.")]


def values(*, name: Name, platform: For = Platform.WINDOWS, home: Home = None, as_json: Json = False) -> None:
    """Show what a device's management is given for an endpoint, field by field, in its own words."""
    with reached(home) as door:
        found = door.ask(verbs.VALUES, verbs.ValuesOf(name=name, platform=platform))
    if as_json:
        print_answer(found, as_json=True)
        return
    for form in found.forms:
        say(" > ".join(form.where) or form.title)
        rows = [{"field": each.label, "value": each.value or "-", "why": each.why or ""} for each in form.fields]
        print_table(rows, ("field", "value", "why"), as_json=False)
        say("")
    for each in found.files:
        say(f"regalia endpoint file {name} {each.file} --platform {platform} --out {each.name}")


def file(
    *,
    name: Name,
    kind: Annotated[
        verbs.FileKind, typer.Argument(metavar="KIND", help="root, authority, graph or apple.", show_default=False)
    ],
    out: Annotated[Path, typer.Option("--out", readable=False, metavar="FILE", help="A new file.", show_default=False)],
    platform: For = Platform.WINDOWS,
    challenge_file: Annotated[
        str | None,
        typer.Option(
            "--challenge-file",
            metavar="FILE",
            show_default=False,
            help="For Apple's: this file's one line is the challenge, or the MDM's variable for one; - for stdin.",
        ),
    ] = None,
    cn: Annotated[
        str | None,
        typer.Option("--cn", metavar="NAME", show_default=False, help="For Apple's: name, or the MDM's variable."),
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Write a file that a device's management takes: a certificate, profiles for Graph, or a profile of Apple's."""
    challenge = secret_in(challenge_file, reasons.FILE_REFUSED) if challenge_file is not None else None
    asked = verbs.EndpointFile(name=name, platform=platform, file=kind, challenge=challenge, common_name=cn)
    with reached(home) as door:
        made = door.ask(verbs.FILE, asked)
    try:
        # A challenge in it makes it a secret from its first octet on.
        out.touch(mode=0o666 if challenge is None else 0o600, exist_ok=False)
        out.write_bytes(made.octets)
    except FileExistsError:
        raise AdminError(reasons.FILE_REFUSED, f"{out} is there already") from None
    except OSError as error:
        raise AdminError(reasons.FILE_REFUSED, f"{out}: {error.strerror}") from error
    if as_json:
        print_answer(made, as_json=True)
    else:
        note(f"{out} is written.")
