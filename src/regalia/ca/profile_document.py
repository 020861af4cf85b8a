"""The document of a profile: its schema, and reading it so that one look tells everything that is wrong with it."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NoReturn

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from regalia import reasons
from regalia.errors import AdminError, PeerError
from regalia.wire import oids
from regalia.wire.names import check_organisation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic_core import ErrorDetails

__all__ = ["ALLOWED_PURPOSES", "LEAF_USAGES", "ProfileDocument", "read_document"]

ALLOWED_PURPOSES: Final = {
    "clientAuth": oids.KP_CLIENT_AUTH,
    "serverAuth": oids.KP_SERVER_AUTH,
    "emailProtection": oids.KP_EMAIL_PROTECTION,
    "eapOverLAN": oids.KP_EAP_OVER_LAN,
    "msSmartcardLogon": oids.KP_MS_SMARTCARD_LOGON,
}
"""Purposes that a profile may give. No profile makes OCSP responders, code signers or certificates for anything."""

LEAF_USAGES: Final = ("digitalSignature", "contentCommitment", "keyEncipherment", "dataEncipherment", "keyAgreement")
"""Key usages that a profile may give: those that make no CA."""

_MAX_DOCUMENT: Final = 64 * 1024
_MAX_DURATION: Final = timedelta(days=3650)
_MIN_DURATION: Final = timedelta(minutes=10)
_MAX_BACKDATE: Final = timedelta(hours=1)
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}


def _problem(text: str) -> PydanticCustomError:
    return PydanticCustomError("regalia", "{text}", {"text": text})


def _span(text: str) -> timedelta:
    found = re.fullmatch(r"([0-9]{1,6})([mhd])", text)
    if found is None:
        raise _problem(f'"{text}" is not a number with m, h or d behind it, such as "5m" or "365d"')
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def _check_duration(text: str) -> str:
    if not _MIN_DURATION <= _span(text) <= _MAX_DURATION:
        raise _problem(f'"{text}" is not within 10 minutes and 3650 days')
    return text


def _check_backdate(text: str) -> str:
    if _span(text) > _MAX_BACKDATE:
        raise _problem(f'"{text}" is more than one hour')
    return text


def _check_organisation(text: str) -> str:
    try:
        check_organisation(text)
    except PeerError as error:
        raise _problem(error.detail) from None
    return text


def _check_rsa_bits(bits: int) -> int:
    if bits and not 2048 <= bits <= 8192:
        raise _problem(f"{bits} is neither 0, for no RSA keys, nor within 2048 and 8192")
    return bits


def _one_of(allowed: tuple[str, ...]) -> AfterValidator:
    def check(text: str) -> str:
        if text in allowed:
            return text
        near = difflib.get_close_matches(text, allowed, n=1)
        hint = f'; did you mean "{near[0]}"?' if near else ""
        raise _problem(f'"{text}" is not allowed; allowed are {", ".join(allowed)}{hint}')

    return AfterValidator(check)


def _no_doubles(texts: list[str]) -> list[str]:
    if len(set(texts)) < len(texts):
        raise _problem("holds something twice")
    return texts


_Texts = AfterValidator(_no_doubles)
_Usage = Annotated[str, _one_of(LEAF_USAGES)]
_Purpose = Annotated[str, _one_of(tuple(ALLOWED_PURPOSES))]
_MlDsa = Annotated[str, _one_of(("ml-dsa-44", "ml-dsa-65", "ml-dsa-87"))]
_Curve = Annotated[str, _one_of(("p-256", "p-384"))]


class _Strict(BaseModel):
    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        alias_generator=lambda name: name.replace("_", "-"),
        hide_input_in_errors=True,
    )


class Validity(_Strict):
    """How long a certificate lives."""

    duration: Annotated[str, AfterValidator(_check_duration)]
    backdate: Annotated[str, AfterValidator(_check_backdate)] = "5m"

    @property
    def duration_span(self) -> timedelta:
        """The duration as a span."""
        return _span(self.duration)

    @property
    def backdate_span(self) -> timedelta:
        """The back-dating as a span."""
        return _span(self.backdate)


class Keys(_Strict):
    """Which keys are certified."""

    rsa_min_bits: Annotated[int, AfterValidator(_check_rsa_bits)] = 2048
    curves: Annotated[list[_Curve], _Texts] = ["p-256", "p-384"]
    ed25519: bool = False
    ml_dsa: Annotated[list[_MlDsa], _Texts] = []


class Usage(_Strict):
    """What a certificate is for."""

    key_usage: Annotated[list[_Usage], _Texts, Field(min_length=1)] = ["digitalSignature", "keyEncipherment"]
    extended_key_usage: Annotated[list[_Purpose], _Texts, Field(min_length=1)]


class Subject(_Strict):
    """What the subject holds besides the common name."""

    organisation: Annotated[str, AfterValidator(_check_organisation)] | None = None


class ProfileDocument(_Strict):
    """A whole document."""

    names: Literal["binding", "from-csr"] = "binding"
    validity: Validity
    keys: Keys = Keys()
    usage: Usage
    subject: Subject = Subject()

    @model_validator(mode="after")
    def _fits_together(self) -> ProfileDocument:
        usages, signing_only = set(self.usage.key_usage), self.keys.ed25519 or bool(self.keys.ml_dsa)
        if not self.keys.rsa_min_bits and not self.keys.curves and not signing_only:
            raise _problem("keys allows neither RSA nor a curve, nor Ed25519 or ML-DSA")
        if signing_only and usages <= {"keyEncipherment", "dataEncipherment", "keyAgreement"}:
            raise _problem("usage.key-usage leaves nothing for Ed25519 and ML-DSA keys, which only sign")
        if self.keys.curves and usages <= {"keyEncipherment", "dataEncipherment"}:
            raise _problem("usage.key-usage leaves nothing for elliptic curve keys, which cannot encipher")
        if self.keys.rsa_min_bits and usages == {"keyAgreement"}:
            raise _problem("usage.key-usage leaves nothing for RSA keys, which cannot agree on keys")
        return self

    def canonical(self) -> str:
        """The document as JSON with sorted keys and every default filled in."""
        return json.dumps(self.model_dump(by_alias=True), sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def read_document(text: str) -> ProfileDocument:
    """Read TOML or JSON. Raises `AdminError` PROFILE_REFUSED with all problems."""
    try:
        return ProfileDocument.model_validate(_parse(text))
    except ValidationError as error:
        problems = "; ".join(_in_words(detail) for detail in error.errors(include_url=False, include_context=True))
        raise AdminError(reasons.PROFILE_REFUSED, problems) from None


def _parse(text: str) -> dict[str, Any]:
    if len(text) > _MAX_DOCUMENT:
        _refuse(f"the document is longer than {_MAX_DOCUMENT} characters")
    if not text.lstrip().startswith("{"):
        try:
            return tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            _refuse(f"not TOML: {error}")
    try:
        parsed: dict[str, Any] = json.loads(text, object_pairs_hook=_without_doubles)
    except (ValueError, RecursionError) as error:
        _refuse(f"not JSON: {error}")
    return parsed


def _refuse(problem: str) -> NoReturn:
    raise AdminError(reasons.PROFILE_REFUSED, problem)


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return dict(pairs)


# --- problems in words ----------------------------------------------------------------------------------------------


def _in_words(detail: ErrorDetails) -> str:
    where = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        return f"{where}: there is no such key{_suggestion(where)}"
    if detail["type"] == "missing":
        return f"{where}: is missing"
    message = detail["msg"]
    return f"{where}: {message}" if where else message


def _suggestion(where: str) -> str:
    near = difflib.get_close_matches(where, tuple(_keys(ProfileDocument)), n=1)
    return f"; did you mean {near[0]}?" if near else f"; known are {', '.join(_keys(ProfileDocument))}"


def _keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """All keys of a document, dotted."""
    for field in model.model_fields.values():
        key = f"{prefix}{field.alias}"
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _keys(field.annotation, f"{key}.")
        else:
            yield key
