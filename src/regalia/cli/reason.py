"""Reasons of a revocation, as they are typed: `key-compromise`."""

from typing import Annotated

import typer

from regalia.verbs.fields import ReasonName, revocation_reason

__all__ = ["Reason", "ReasonName", "revocation_reason"]

Reason = Annotated[
    ReasonName,
    typer.Option("--reason", metavar="REASON", help=f"What CRL and OCSP will say: {', '.join(ReasonName)}."),
]
