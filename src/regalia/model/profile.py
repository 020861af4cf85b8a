"""What a profile holds besides its numbers: templates of names, conditions, renewal, policies. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from regalia.model.names import SanKind

__all__ = [
    "Align",
    "Assurance",
    "Condition",
    "DeviceLimits",
    "ExpiryRule",
    "KeyReuse",
    "MicrosoftTemplate",
    "NameRules",
    "PolicyRules",
    "Reference",
    "RenewalRule",
    "SanRule",
    "SidForm",
    "SubjectRule",
    "Template",
]


class Assurance(StrEnum):
    """How sure it is that the certificate's names are its holder's, by the evidence for the request."""

    BEARER = "bearer"
    """Nobody vouched for a name: it says nothing but the key's hash, or what the device asked for (R5.4, R5.5)."""
    VERIFIED = "verified"
    """An MDM or an administrator fixed the names."""
    ATTESTED = "attested"
    """The device's hardware proved who it is."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A variable in a template."""

    name: str
    optional: bool
    """Whether what it stands in is dropped where it is empty; else the request is refused."""


Template = tuple[str | Reference, ...]
"""Literal texts and variables, in order."""


@dataclass(frozen=True, slots=True)
class SubjectRule:
    """One RDN of the subject: keyword of its attribute, and its template."""

    attribute: str
    template: Template


@dataclass(frozen=True, slots=True)
class SanRule:
    """One template of alternative names; a variable with several values makes several."""

    kind: SanKind
    template: Template


class SidForm(StrEnum):
    """How a Windows SID is written (KB5014754)."""

    EXTENSION = "extension"
    """Extension 1.3.6.1.4.1.311.25.2."""
    URI = "uri"
    """Alternative name `tag:microsoft.com,2022-09-14:sid:…`."""


@dataclass(frozen=True, slots=True)
class NameRules:
    """How names are made of facts. Where a profile has none, the binding is the name (R5.1)."""

    subject: tuple[SubjectRule, ...]
    sans: tuple[SanRule, ...]
    sid: Reference | None
    sid_forms: frozenset[SidForm]


@dataclass(frozen=True, slots=True)
class Condition:
    """A CEL expression that must be true, and what to tell where it is not."""

    expression: str
    message: str


class KeyReuse(StrEnum):
    """Whether a key may be certified again."""

    SAME_IDENTITY = "same-identity"
    """For the same holder (KEY-2)."""
    NEVER = "never"


class Align(StrEnum):
    """To where the end of a certificate is cut back."""

    NONE = "none"
    DAY = "day"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class ExpiryRule:
    """What else ends a certificate than its duration."""

    until: datetime | None
    """No certificate of the profile is valid later."""
    align: Align


@dataclass(frozen=True, slots=True)
class RenewalRule:
    """When a certificate may vouch for its successor (REN-4)."""

    window: timedelta | None
    """How long before its end at the earliest; None with no share either: at any time."""
    share: int | None
    """The same as a share of its life, in percent."""
    most: int | None
    """How many generations may follow the first certificate without a new authorisation."""


@dataclass(frozen=True, slots=True)
class DeviceLimits:
    """How many certificates of the profile a device may have."""

    live: int | None
    """At a time; a renewal takes its predecessor's place. Where a connector vouches, the oldest makes room."""
    per_day: int | None
    overlap: timedelta | None = None
    """How long an older one stays valid beside its successor, where a connector vouched for both; None: a week."""


@dataclass(frozen=True, slots=True)
class PolicyRules:
    """Certificate policies by assurance, as dotted object identifiers."""

    always: tuple[str, ...]
    bearer: tuple[str, ...]
    verified: tuple[str, ...]
    attested: tuple[str, ...]

    def of(self, assurance: Assurance) -> tuple[str, ...]:
        """Return those of a certificate with this assurance, in order."""
        return (
            self.always
            + {
                Assurance.BEARER: self.bearer,
                Assurance.VERIFIED: self.verified,
                Assurance.ATTESTED: self.attested,
            }[assurance]
        )


@dataclass(frozen=True, slots=True)
class MicrosoftTemplate:
    """Which template of a Windows CA the certificate stands for ([MS-WCCE] §2.2.2.7.7.2)."""

    oid: str
    major: int
    minor: int
