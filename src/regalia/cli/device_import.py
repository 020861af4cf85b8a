"""`regalia device import`: devices and users from files."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer

from regalia import reasons
from regalia.cli.context import administrator, agreed, opened, reached
from regalia.cli.files import read_file
from regalia.cli.options import DryRun, Home, Json, Yes, examples
from regalia.cli.output import print_answer
from regalia.errors import AdminError
from regalia.ra.roles import EVERYTHING
from regalia.verbs import Caller, LocalDoor
from regalia.verbs import device_import as verbs

__all__ = ["IMPORT_EXAMPLES", "import_"]

IMPORT_EXAMPLES: Final = examples(
    "device import devices.csv --connector stock --dry-run",
    "device import devices.csv --connector stock --users users.json --yes",
)
_LARGEST: Final = 256 * 1024 * 1024


def import_(
    *,
    devices: Annotated[
        Path | None,
        typer.Argument(readable=False, metavar="[FILE]", help="Devices, CSV or JSON.", show_default=False),
    ] = None,
    connector: Annotated[str, typer.Option("--connector", metavar="NAME", help="Whose inventory it is.")],
    users: Annotated[
        Path | None,
        typer.Option("--users", readable=False, metavar="FILE", help="Users, CSV or JSON.", show_default=False),
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Only a part: nobody is missing who is not in it.")
    ] = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Bring the inventory of a connector that has no system to be asked; nothing is taken where a line is wrong."""
    if devices is None and users is None:
        raise AdminError(reasons.USAGE, "name a file with devices, or one with --users, or both")
    told = read_file(devices, _LARGEST) if devices is not None else None
    told_users = read_file(users, _LARGEST) if users is not None else None
    said = {
        "connector": connector,
        "devices": _text(told, devices),
        "users": _text(told_users, users),
        "partial": partial,
    }
    large = len(told or b"") + len(told_users or b"") > verbs.LARGEST
    with _here(home) if large else reached(home) as door:
        # What is too large for a request has no bound but the reader's own on the machine itself.
        asked = verbs.ImportDevices.model_construct(None, **said) if large else verbs.ImportDevices.model_validate(said)
        if agreed(door.plan(verbs.IMPORT, asked).would, yes=yes, dry_run=dry_run, as_json=as_json):
            print_answer(door.ask(verbs.IMPORT, asked), as_json=as_json)


@contextmanager
def _here(home: Path | None) -> Iterator[LocalDoor]:
    """Reach the verbs on this machine alone. Raises what `opened` does."""
    with opened(home) as regalia:
        yield LocalDoor(regalia, Caller(administrator(), EVERYTHING, fresh=True, local=True))


def _text(octets: bytes | None, path: Path | None) -> str | None:
    try:
        return octets.decode("utf-8-sig") if octets is not None else None
    except UnicodeDecodeError:
        raise AdminError(reasons.INVENTORY_FILE_REFUSED, f"{path} is not UTF-8: save it in that encoding") from None
