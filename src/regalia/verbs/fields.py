"""Fields that several verbs share, with their bounds: whatever is longer is refused before a verb sees it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from regalia.model import RevocationReason

__all__ = ["Id", "Name", "Note", "Pem", "ReasonName", "Url", "revocation_reason"]

Name = Annotated[str, Field(min_length=1, max_length=64, examples=["default"])]
"""What something is called here. Whether it is a good name is for what makes it to say; none is longer than this."""

Id = Annotated[str, Field(min_length=1, max_length=36, examples=["0192f0c4-7c1e-7d3a-9a51-0a2b3c4d5e6f"])]
"""An id, or the beginning of one."""

Note = Annotated[str, Field(max_length=1_000, description="Why, for the audit log.")]

Pem = Annotated[str, Field(min_length=1, max_length=100_000, examples=["-----BEGIN CERTIFICATE-----\n…"])]
"""PEM (RFC 7468): one block, or several one after the other."""

Url = Annotated[str, Field(min_length=1, max_length=512, examples=["http://pki.example.org:8080"])]


class ReasonName(StrEnum):
    """CRLReason of RFC 5280 §5.3.1, with hyphens; a hold has verbs of its own."""

    UNSPECIFIED = "unspecified"
    KEY_COMPROMISE = "key-compromise"
    CA_COMPROMISE = "ca-compromise"
    AFFILIATION_CHANGED = "affiliation-changed"
    SUPERSEDED = "superseded"
    CESSATION_OF_OPERATION = "cessation-of-operation"
    PRIVILEGE_WITHDRAWN = "privilege-withdrawn"


def revocation_reason(name: ReasonName) -> RevocationReason:
    """Turn a name into the model's reason."""
    return RevocationReason[name.name]
