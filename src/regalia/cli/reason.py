"""Reasons of a revocation, as they are typed: `key-compromise`."""

from enum import StrEnum
from typing import Annotated

import typer

from regalia.model import RevocationReason

__all__ = ["Reason", "ReasonName", "revocation_reason"]


class ReasonName(StrEnum):
    """CRLReason of RFC 5280 §5.3.1, with hyphens."""

    UNSPECIFIED = "unspecified"
    KEY_COMPROMISE = "key-compromise"
    CA_COMPROMISE = "ca-compromise"
    AFFILIATION_CHANGED = "affiliation-changed"
    SUPERSEDED = "superseded"
    CESSATION_OF_OPERATION = "cessation-of-operation"
    PRIVILEGE_WITHDRAWN = "privilege-withdrawn"


Reason = Annotated[
    ReasonName,
    typer.Option("--reason", metavar="REASON", help=f"What CRL and OCSP will say: {', '.join(ReasonName)}."),
]


def revocation_reason(name: ReasonName) -> RevocationReason:
    """Turn a typed reason into the model's."""
    return RevocationReason[name.name]
