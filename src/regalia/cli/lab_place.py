"""What the commands of the laboratory share: which one is meant, and how what it refuses is told."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from regalia.cli.faults import FAILED
from regalia.cli.output import Style, note
from regalia.lab.desk import DeskError
from regalia.lab.devices.reports import DeviceError

__all__ = ["Place", "told"]

Place = Annotated[
    Path,
    typer.Option("--lab", metavar="DIR", readable=False, help="Directory of the laboratory.", show_default=False),
]


@contextmanager
def told() -> Iterator[None]:
    """Tell what the laboratory refuses, and end with exit code 1."""
    try:
        yield
    except DeskError as refused:
        note(str(refused), title="The laboratory", style=Style.BAD)
        raise typer.Exit(FAILED) from refused
    except DeviceError as report:
        note(str(report), title="The device", style=Style.BAD)
        raise typer.Exit(FAILED) from report
