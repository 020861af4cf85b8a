"""`regalia ca rotate|activate|rotate-ra`: a group's next authority is made and takes over; a new RA key."""

from pathlib import Path
from typing import Annotated

import typer

from regalia.cli.context import agreed, reached
from regalia.cli.files import write_new
from regalia.cli.options import DryRun, Home, Json, RootKey, Yes, examples
from regalia.cli.output import note, print_answer, print_record
from regalia.cli.span import read_span
from regalia.model import KeyKind
from regalia.verbs import authority_succession as verbs

__all__ = [
    "ACTIVATE_EXAMPLES",
    "ROTATE_EXAMPLES",
    "ROTATE_RA_EXAMPLES",
    "activate",
    "rotate",
    "rotate_ra",
    "written_request",
]

ROTATE_EXAMPLES = examples("ca rotate default", "ca rotate staff --key p-384 --overlap 60d --root-key /media/usb")
ACTIVATE_EXAMPLES = examples("ca activate default-ca-2", "ca activate default-ca-2 --yes --json")
ROTATE_RA_EXAMPLES = examples("ca rotate-ra default", "ca rotate-ra default --json")

Group = Annotated[str, typer.Argument(metavar="GROUP", help="Name of the group.", show_default=False)]


def rotate(
    *,
    group: Group,
    key: Annotated[
        KeyKind | None,
        typer.Option("--key", "--key-kind", help="Kind of its key.", show_default="as the present one's"),
    ] = None,
    parent: Annotated[
        str | None,
        typer.Option("--parent", metavar="ROOT", help="The root that signs it.", show_default="the present one's"),
    ] = None,
    overlap: Annotated[
        str,
        typer.Option("--overlap", metavar="SPAN", help="When it takes over by itself; never: when you activate it."),
    ] = "30d",
    csr: Annotated[
        Path | None,
        typer.Option(
            "--csr",
            readable=False,
            metavar="FILE",
            help="Where its request goes, if the root's key is on another machine.",
            show_default="NAME.csr",
        ),
    ] = None,
    root_key: RootKey = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Make the authority that follows a group's present one, and announce it to devices (GetNextCACert)."""
    if overlap != verbs.NEVER:
        read_span("--overlap", overlap)
    with reached(home, root_key=root_key) as door:
        asked = verbs.RotateAuthority(group=group, key=key, parent=parent, overlap=overlap)
        made = door.ask(verbs.ROTATE, asked)
    if made.request is not None:
        _tell_request(made.request, written_request(made.request, csr), as_json=as_json)
    if made.made is not None:
        print_answer(made.made, as_json=as_json)
        if not as_json:
            by_itself = "It takes over by itself then; earlier"
            when = by_itself if made.made.activates_at is not None else "When devices should move over"
            note(f"{when}: regalia ca activate {made.made.name}")


def _tell_request(request: verbs.RequestWaiting, path: Path, *, as_json: bool) -> None:
    told = request.model_dump(mode="json", exclude={"csr", "root"})
    print_record(told | {"request": path}, as_json=as_json)
    if not as_json:
        if request.root is not None:
            note(f"The key of {request.root} is not here. There: regalia ca sign {path.name} --out {request.name}.pem")
        note(f"Then here: regalia ca accept {request.name} --certificate {request.name}.pem")


def written_request(request: verbs.RequestWaiting, csr: Path | None) -> Path:
    """Write a request to a file, unless that very request is there already. Raises `AdminError` ADM-020."""
    path, octets = csr or Path(f"{request.name}.csr"), request.csr.encode("ascii")
    if path.is_file() and path.read_bytes() == octets:
        return path
    return write_new(path, octets)


def activate(
    *,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the next authority.", show_default=False)],
    yes: Yes = False,
    dry_run: DryRun = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Let a next authority issue from now on, on every worker and node; the present one issues no more."""
    with reached(home) as door:
        asked = verbs.ActivateAuthority(name=name)
        if agreed(door.plan(verbs.ACTIVATE, asked).would, yes=yes, dry_run=dry_run, as_json=as_json):
            print_answer(door.ask(verbs.ACTIVATE, asked), as_json=as_json)


def rotate_ra(*, group: Group, home: Home = None, as_json: Json = False) -> None:
    """Give a group a new RA key at once. The former one still opens messages, until its overlap is over."""
    with reached(home) as door:
        print_answer(door.ask(verbs.ROTATE_RA, verbs.RotateRa(group=group)), as_json=as_json)
