"""A certificate on the command line: how it is named, and which columns its tables have."""

from typing import Annotated

import typer

__all__ = ["COLUMNS", "Serial"]

COLUMNS = ("serial", "kind", "status", "subject", "unverified", "group", "not_after")
"""What tables of certificates show."""

Serial = Annotated[
    str,
    typer.Argument(metavar="SERIAL", help="Its serial, hexadecimal; as OpenSSL prints it, too.", show_default=False),
]
