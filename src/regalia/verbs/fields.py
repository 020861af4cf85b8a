"""Fields that several verbs share, with their bounds: whatever is longer is refused before a verb sees it."""

from __future__ import annotations

import re
from datetime import date, timedelta
from enum import StrEnum
from typing import Annotated, Final

from pydantic import BeforeValidator, Field, StringConstraints

from regalia import reasons
from regalia.errors import AdminError
from regalia.model import RevocationReason

__all__ = [
    "Day",
    "Days",
    "Id",
    "Name",
    "Note",
    "Pem",
    "ReasonName",
    "Secret",
    "Source",
    "Span",
    "Url",
    "is_empty",
    "revocation_reason",
    "span_of",
]

Name = Annotated[str, Field(min_length=1, max_length=64, examples=["default"])]
"""What something is called here. Whether it is a good name is for what makes it to say; none is longer than this."""

Id = Annotated[str, Field(min_length=1, max_length=36, examples=["0192f0c4-7c1e-7d3a-9a51-0a2b3c4d5e6f"])]
"""An id, or the beginning of one."""

Note = Annotated[str, Field(max_length=1_000, description="Why, for the audit log.")]

Pem = Annotated[str, Field(min_length=1, max_length=100_000, examples=["-----BEGIN CERTIFICATE-----\n…"])]
"""PEM (RFC 7468): one block, or several one after the other."""

Url = Annotated[str, Field(min_length=1, max_length=512, examples=["http://pki.example.org:8080"])]

Secret = Annotated[str, Field(min_length=1, max_length=1_024, json_schema_extra={"writeOnly": True})]
"""What nobody else is to know: what takes it says what it must be like."""

_SPAN: Final = re.compile(r"([0-9]{1,6})([smhd])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

Span = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9]{1,6}[smhd]$"),
    Field(description="A span of time: a number and s, m, h or d.", examples=["60m", "7d"]),
]
"""A span of time as it is typed; `span_of` reads it."""


_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _day(given: object) -> object:
    """Refuse what is no date of RFC 3339, though a reader of numbers takes it for seconds since 1970."""
    if isinstance(given, date):
        return given
    if isinstance(given, str) and _DAY.fullmatch(given):
        return date.fromisoformat(given)
    raise ValueError("a day is written as YYYY-MM-DD")


Day = Annotated[date, BeforeValidator(_day)]

Source = Annotated[
    str,
    StringConstraints(min_length=1, max_length=80),
    Field(examples=["connector:intune", "one-time", "by-hand"]),
]
"""A way by which enrolments come: `connector:NAME`, the kind of what authorised them, or `by-hand`."""

Days: Final = Field(ge=0, le=36_500)
"""Bounds of a number of days."""


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


def span_of(text: str, called: str = "span") -> timedelta:
    """Read a span of time. Raises `AdminError` ADM-018 that names what it was given as."""
    found = _SPAN.fullmatch(text)
    if found is None:
        raise AdminError(reasons.USAGE, f"{called} {text}: write a number and s, m, h or d, as in 60m")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def is_empty(value: object) -> bool:
    """Whether a field of a record is left out where it says nothing: None, or an empty list."""
    return value is None or value == ()
