"""Single values of a profile's document: what each may be, and what is told where it is not."""

from __future__ import annotations

import difflib
import re
from datetime import date, datetime, timedelta
from typing import Annotated, Final

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from regalia.ca.profile_conditions import ConditionError, check_expression
from regalia.ca.profile_purposes import ALLOWED_PURPOSES, NEVER_PURPOSES, is_dotted
from regalia.ca.profile_template import TemplateError, read_template, references_of
from regalia.ca.profile_variables import VARIABLES, ValueType
from regalia.errors import PeerError
from regalia.model import SanKind
from regalia.wire.names import check_organisation, make_san

__all__ = [
    "DISTINCT",
    "LEAF_USAGES",
    "Count",
    "CurveName",
    "Line",
    "MlDsaName",
    "PolicyOids",
    "Purpose",
    "SingleTemplate",
    "SingleTemplates",
    "UsageName",
    "check_backdate",
    "check_condition",
    "check_day",
    "check_domain",
    "check_duration",
    "check_oid",
    "check_organisation_text",
    "check_overlap",
    "check_rsa_bits",
    "check_rsa_size",
    "check_several",
    "check_sid_template",
    "check_window",
    "day_of",
    "one_of",
    "problem",
    "read_span",
]

LEAF_USAGES: Final = ("digitalSignature", "contentCommitment", "keyEncipherment", "dataEncipherment", "keyAgreement")
"""Key usages that a profile may give: those that make no CA."""
_MAX_DURATION: Final = timedelta(days=3650)
_MIN_DURATION: Final = timedelta(minutes=10)
_MAX_BACKDATE: Final = timedelta(hours=1)
_MAX_OVERLAP: Final = timedelta(days=365)
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}


def problem(text: str) -> PydanticCustomError:
    """Say what is wrong, for pydantic to collect with all else."""
    return PydanticCustomError("regalia", "{text}", {"text": text})


def read_span(text: str) -> timedelta:
    """Read a span such as `90d`."""
    found = re.fullmatch(r"([0-9]{1,6})([mhd])", text)
    if found is None:
        raise problem(f'"{text}" is not a number with m, h or d behind it, such as "5m" or "365d"')
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def check_duration(text: str) -> str:
    """Within 10 minutes and ten years."""
    if not _MIN_DURATION <= read_span(text) <= _MAX_DURATION:
        raise problem(f'"{text}" is not within 10 minutes and 3650 days')
    return text


def check_backdate(text: str) -> str:
    """At most an hour (POL-7)."""
    if read_span(text) > _MAX_BACKDATE:
        raise problem(f'"{text}" is more than one hour')
    return text


def check_overlap(text: str) -> str:
    """At most a year: two certificates of a device side by side are two keys to lose."""
    if read_span(text) > _MAX_OVERLAP:
        raise problem(f'"{text}" is more than {_MAX_OVERLAP.days} days')
    return text


def check_organisation_text(text: str) -> str:
    """A text that O can hold."""
    try:
        check_organisation(text)
    except PeerError as error:
        raise problem(error.detail) from None
    return text


def check_rsa_bits(bits: int) -> int:
    """0, or a size that is not weak."""
    if bits and not 2048 <= bits <= 8192:
        raise problem(f"{bits} is neither 0, for no RSA keys, nor within 2048 and 8192")
    return bits


def one_of(allowed: tuple[str, ...]) -> AfterValidator:
    """Take one of these texts, and suggest the nearest where it is none."""

    def check(text: str) -> str:
        if text in allowed:
            return text
        near = difflib.get_close_matches(text, allowed, n=1)
        hint = f'; did you mean "{near[0]}"?' if near else ""
        raise problem(f'"{text}" is not allowed; allowed are {", ".join(allowed)}{hint}')

    return AfterValidator(check)


def _no_doubles(texts: list[str]) -> list[str]:
    if len(set(texts)) < len(texts):
        raise problem("holds something twice")
    return texts


def _check_purpose(text: str) -> str:
    """A purpose by its name, or a dotted one that no name of ours stands for and that is not never given."""
    known = {oid: name for name, oid in ALLOWED_PURPOSES.items()}
    if text in ALLOWED_PURPOSES:
        return text
    if text in known:
        raise problem(f'"{text}" is not allowed as digits; write "{known[text]}"')
    if is_dotted(text) and text not in NEVER_PURPOSES:
        return text
    near = difflib.get_close_matches(text, ALLOWED_PURPOSES, n=1)
    hint = f'; did you mean "{near[0]}"?' if near else ""
    raise problem(f'"{text}" is not allowed; allowed are {", ".join(ALLOWED_PURPOSES)} and dotted OIDs{hint}')


def check_oid(text: str) -> str:
    """A dotted object identifier."""
    if not is_dotted(text):
        raise problem(f'"{text}" is not a dotted object identifier')
    return text


def _check_policy(text: str) -> str:
    if text == "2.5.29.32.0":
        raise problem("anyPolicy is not allowed: a certificate of a device names its policies")
    return check_oid(text)


def check_rsa_size(bits: int) -> int:
    """A size that is not weak."""
    if not 2048 <= bits <= 8192:
        raise problem(f"{bits} is not within 2048 and 8192")
    return bits


def check_domain(text: str) -> str:
    """A DNS name in small letters."""
    try:
        made = make_san(SanKind.DNS, text).value
    except PeerError as error:
        raise problem(error.detail) from None
    if made != text:
        raise problem(f'"{text}" is not written in small letters')
    return text


def day_of(value: object) -> object:
    """TOML has dates of its own; JSON has them as texts."""
    return value.isoformat() if isinstance(value, date) and not isinstance(value, datetime) else value


def check_day(text: str) -> str:
    """A day as ISO 8601 writes it."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or day.isoformat() != text:
        raise problem(f'"{text}" is not a day such as "2030-12-31"')
    return text


def check_window(text: str) -> str:
    """A span, or a share in percent."""
    if re.fullmatch(r"[1-9][0-9]?%", text) is None:
        read_span(text)
    return text


def _check_template(text: str) -> str:
    try:
        template = read_template(text)
    except TemplateError as error:
        raise problem(str(error)) from None
    for reference in references_of(template):
        if VARIABLES[reference.name].type is ValueType.SID:
            raise problem(f"{{{reference.name}}} is a SID, which only microsoft.sid writes")
    return text


def _check_single(text: str) -> str:
    for reference in references_of(read_template(_check_template(text))):
        if VARIABLES[reference.name].several:
            raise problem(f"{{{reference.name}}} may have several values, an attribute of the subject has one")
    return text


def check_several(text: str) -> str:
    """A template with at most one variable that may have several values."""
    several = [each for each in references_of(read_template(_check_template(text))) if VARIABLES[each.name].several]
    if len(several) > 1:
        raise problem("holds two variables that may have several values")
    return text


def check_sid_template(text: str) -> str:
    """A variable of type SID, alone (POL-2)."""
    try:
        template = read_template(text)
    except TemplateError as error:
        raise problem(str(error)) from None
    known = [f"{{{variable.name}}}" for variable in VARIABLES.values() if variable.type is ValueType.SID]
    if len(template) != 1 or isinstance(template[0], str) or f"{{{template[0].name}}}" not in known:
        raise problem(f"a SID is one of {', '.join(known)} and nothing else")
    return text


def check_condition(text: str) -> str:
    """An expression that compiles and fits the environment."""
    try:
        check_expression(text)
    except ConditionError as error:
        raise problem(str(error)) from None
    return text


DISTINCT = AfterValidator(_no_doubles)
PolicyOids = Annotated[list[Annotated[str, AfterValidator(_check_policy)]], DISTINCT]
SingleTemplate = Annotated[str, AfterValidator(_check_single)]
SingleTemplates = Annotated[list[SingleTemplate], Field(min_length=1, max_length=8)]
Line = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
Count = Annotated[int, Field(ge=1, le=1000)]
UsageName = Annotated[str, one_of(LEAF_USAGES)]
Purpose = Annotated[str, AfterValidator(_check_purpose)]
MlDsaName = Annotated[str, one_of(("ml-dsa-44", "ml-dsa-65", "ml-dsa-87"))]
CurveName = Annotated[str, one_of(("p-256", "p-384"))]
