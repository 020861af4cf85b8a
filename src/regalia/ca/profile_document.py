"""The document of a profile: its schema, and reading it so that one look tells everything that is wrong with it."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NoReturn, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from regalia import reasons
from regalia.ca.profile_fields import (
    DISTINCT,
    Count,
    CurveName,
    Line,
    MlDsaName,
    PolicyOids,
    Purpose,
    SingleTemplate,
    SingleTemplates,
    UsageName,
    check_backdate,
    check_condition,
    check_day,
    check_domain,
    check_duration,
    check_oid,
    check_organisation_text,
    check_overlap,
    check_rsa_bits,
    check_rsa_size,
    check_several,
    check_sid_template,
    check_window,
    day_of,
    one_of,
    problem,
    read_span,
)
from regalia.ca.profile_template import read_template, render_names
from regalia.ca.profile_variables import sample_facts
from regalia.errors import AdminError, PeerError
from regalia.model import NameRules, Reference, SanKind, SanRule, SidForm, SubjectRule
from regalia.model.fleet import Platform
from regalia.wire.names import SUBJECT_ATTRIBUTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic_core import ErrorDetails

__all__ = [
    "Example",
    "ExampleDevice",
    "ExampleUser",
    "ProfileDocument",
    "document_keys",
    "read_document",
    "read_examples",
]

_MAX_DOCUMENT: Final = 64 * 1024
_LEAST_ALIGNED: Final = {"day": timedelta(days=2), "month": timedelta(days=62)}


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

    duration: Annotated[str, AfterValidator(check_duration)]
    backdate: Annotated[str, AfterValidator(check_backdate)] = "5m"
    until: Annotated[str, BeforeValidator(day_of), AfterValidator(check_day)] | None = None
    align: Literal["none", "day", "month"] = "none"

    @model_validator(mode="after")
    def _leaves_something(self) -> Validity:
        if self.align != "none" and self.duration_span < _LEAST_ALIGNED[self.align]:
            raise problem(f'align = "{self.align}" needs a duration of at least {_LEAST_ALIGNED[self.align].days} days')
        return self

    @property
    def end(self) -> datetime | None:
        """The last moment of the day of `until`, UTC."""
        return datetime.combine(date.fromisoformat(self.until), time(23, 59, 59), UTC) if self.until else None

    @property
    def duration_span(self) -> timedelta:
        """The duration as a span."""
        return read_span(self.duration)

    @property
    def backdate_span(self) -> timedelta:
        """The back-dating as a span."""
        return read_span(self.backdate)


class Keys(_Strict):
    """Which keys are certified."""

    rsa_min_bits: Annotated[int, AfterValidator(check_rsa_bits)] = 2048
    curves: Annotated[list[CurveName], DISTINCT] = ["p-256", "p-384"]
    ed25519: bool = False
    ml_dsa: Annotated[list[MlDsaName], DISTINCT] = []
    rsa_bits: Annotated[list[Annotated[int, AfterValidator(check_rsa_size)]], Field(max_length=8)] = []
    reuse: Literal["same-identity", "never"] = "same-identity"

    @model_validator(mode="after")
    def _sizes_agree(self) -> Keys:
        if self.rsa_bits and min(self.rsa_bits) < self.rsa_min_bits:
            raise problem("rsa-bits holds a size below rsa-min-bits")
        if self.rsa_bits and not self.rsa_min_bits:
            raise problem("rsa-bits holds sizes, and rsa-min-bits = 0 allows no RSA keys")
        return self


class Usage(_Strict):
    """What a certificate is for."""

    key_usage: Annotated[list[UsageName], DISTINCT, Field(min_length=1)] = ["digitalSignature", "keyEncipherment"]
    extended_key_usage: Annotated[list[Purpose], DISTINCT, Field(min_length=1)]


class Subject(_Strict):
    """What the subject holds; templates but for `organisation`, which is the text itself."""

    organisation: Annotated[str, AfterValidator(check_organisation_text)] | None = None
    cn: SingleTemplate | None = None
    c: SingleTemplate | None = None
    dc: SingleTemplates | None = None
    st: SingleTemplate | None = None
    l: SingleTemplate | None = None  # noqa: E741 - the keyword of the attribute (RFC 4514 §3)
    o: SingleTemplate | None = None
    ou: SingleTemplates | SingleTemplate | None = None
    title: SingleTemplate | None = None
    surname: SingleTemplate | None = None
    given_name: SingleTemplate | None = None
    serial_number: SingleTemplate | None = None
    dn_qualifier: SingleTemplate | None = None
    uid: SingleTemplate | None = None

    @model_validator(mode="after")
    def _one_organisation(self) -> Subject:
        if self.o is not None and self.organisation is not None:
            raise problem("holds both organisation and o")
        return self

    def rules(self) -> tuple[SubjectRule, ...]:
        """The templates in the order of the subject; DC as DNS reads it, so the last label comes first."""
        found: list[SubjectRule] = []
        for attribute in ("cn", *SUBJECT_ATTRIBUTES):
            value: str | list[str] | None = getattr(self, attribute.replace("-", "_"))
            texts = [value] if isinstance(value, str) else list(value or ())
            if attribute == "dc":
                texts.reverse()
            found.extend(SubjectRule(attribute, read_template(text)) for text in texts)
        return tuple(found)


class AlternativeName(_Strict):
    """A template of alternative names."""

    kind: Annotated[str, one_of(tuple(kind.value for kind in SanKind if kind is not SanKind.OTHER))]
    value: Annotated[str, AfterValidator(check_several)]

    def rule(self) -> SanRule:
        """The template, read."""
        return SanRule(SanKind(self.kind), read_template(self.value))


class Microsoft(_Strict):
    """What only Windows reads."""

    sid: Annotated[str, AfterValidator(check_sid_template)] | None = None
    sid_forms: Annotated[list[Literal["extension", "uri"]], DISTINCT, Field(min_length=1)] = ["extension"]
    template: Annotated[str, AfterValidator(check_oid)] | None = None
    template_version: Annotated[list[Annotated[int, Field(ge=0, le=2**31 - 1)]], Field(min_length=2, max_length=2)] = [
        100,
        0,
    ]


class Policies(_Strict):
    """Certificate policies by assurance."""

    always: PolicyOids = []
    bearer: PolicyOids = []
    verified: PolicyOids = []
    attested: PolicyOids = []

    @model_validator(mode="after")
    def _each_once(self) -> Policies:
        for name in ("bearer", "verified", "attested"):
            if set(self.always) & set(getattr(self, name)):
                raise problem(f"always and {name} hold the same policy")
        return self


class Renewal(_Strict):
    """When a certificate may vouch for its successor."""

    window: Annotated[str, AfterValidator(check_window)] | None = None
    most: Annotated[int, Field(ge=0, le=1000)] | None = None

    @property
    def span(self) -> timedelta | None:
        """The window as a span before the end."""
        return read_span(self.window) if self.window is not None and not self.window.endswith("%") else None

    @property
    def share(self) -> int | None:
        """The window as a share of the certificate's life, in percent."""
        return int(self.window[:-1]) if self.window is not None and self.window.endswith("%") else None


class Limits(_Strict):
    """How many certificates a device may have."""

    live: Count | None = None
    per_day: Count | None = None
    overlap: Annotated[str, AfterValidator(check_overlap)] | None = None

    @property
    def overlap_span(self) -> timedelta | None:
        """The overlap as a span."""
        return read_span(self.overlap) if self.overlap is not None else None


class ConditionRule(_Strict):
    """An expression that must be true."""

    expr: Annotated[str, AfterValidator(check_condition)]
    message: Line


class Ignored(_Strict):
    """A finding of pkilint that is none here."""

    code: Annotated[str, Field(pattern=r"^[a-z0-9_]+\.[a-z0-9_.]+$", max_length=120)]
    reason: Line


class ExampleNames(_Strict):
    """Names in an example."""

    cn: str | None = None
    dns: list[str] = []
    email: list[str] = []
    uri: list[str] = []
    ip: list[str] = []
    upn: list[str] = []
    permanent_identifier: list[str] = []
    hardware_module: list[str] = []
    sid: str | None = None
    device: str | None = None


class ExampleDevice(_Strict):
    """What a connector's record of the device holds."""

    id: Annotated[str, Field(min_length=1, max_length=200)] = "device"
    name: str = ""
    serial: str | None = None
    imei: str | None = None
    entra_id: str | None = None
    platform: Annotated[str, one_of(tuple(each.value for each in Platform))] = Platform.OTHER.value
    dns: list[str] = []
    sid: str | None = None
    managed: bool | None = None
    enabled: bool | None = None
    compliant: bool | None = None
    lost: bool | None = None
    risk: str | None = None
    memberships: list[str] = []


class ExampleUser(_Strict):
    """What its record of the user holds."""

    name: str = ""
    upn: str | None = None
    email: list[str] = []
    sid: str | None = None
    enabled: bool | None = None
    risk: str | None = None
    memberships: list[str] = []


class Example(_Strict):
    """A request as `profile check` judges it, and what should come of it."""

    name: Line
    evidence: Literal["challenge", "static", "approval", "connector"] = "challenge"
    key: Literal[
        "p-256", "p-384", "rsa-2048", "rsa-3072", "rsa-4096", "ed25519", "ml-dsa-44", "ml-dsa-65", "ml-dsa-87"
    ] = "p-256"
    binding: ExampleNames = ExampleNames()
    request: ExampleNames = ExampleNames()
    device: ExampleDevice | None = None
    user: ExampleUser | None = None
    expect: Annotated[str, Field(pattern=r"^(issued|[A-Z]+-[0-9]{3})$")] = "issued"
    subject: str | None = None

    @model_validator(mode="after")
    def _records_are_a_connectors(self) -> Example:
        if self.evidence != "connector" and (self.device is not None or self.user is not None):
            raise problem('device and user go with evidence = "connector"')
        return self


class ProfileDocument(_Strict):
    """A whole document."""

    names: Literal["binding", "from-csr"] = "binding"
    domains: Annotated[list[Annotated[str, AfterValidator(check_domain)]], DISTINCT] = []
    validity: Validity
    keys: Keys = Keys()
    usage: Usage
    subject: Subject = Subject()
    san: Annotated[list[AlternativeName], Field(max_length=20)] = []
    microsoft: Microsoft = Microsoft()
    policies: Policies = Policies()
    renewal: Renewal = Renewal()
    limits: Limits = Limits()
    condition: Annotated[list[ConditionRule], Field(max_length=20)] = []
    lint_ignore: list[Ignored] = []
    example: Annotated[list[Example], Field(max_length=50)] = []

    def name_rules(self) -> NameRules | None:
        """The templates; None where the names are the binding's, or the request's."""
        subject, sans = self.subject.rules(), tuple(each.rule() for each in self.san)
        if not subject and not sans and self.microsoft.sid is None:
            return None
        sid = read_template(self.microsoft.sid)[0] if self.microsoft.sid is not None else None
        forms = frozenset(SidForm(form) for form in self.microsoft.sid_forms)
        return NameRules(subject, sans, sid if isinstance(sid, Reference) else None, forms)

    @model_validator(mode="after")
    def _templates_give_names(self) -> ProfileDocument:
        rules = self.name_rules()
        if rules is None:
            return self
        if not rules.sans and all(rule.attribute != "cn" for rule in rules.subject):
            raise problem("templates make neither a common name nor an alternative name")
        if self.names == "from-csr":
            raise problem(
                'names = "from-csr" takes all names as they are asked for; templates take {request.…} instead'
            )
        try:
            render_names(rules, sample_facts())
        except PeerError as error:
            raise problem(f"filled with samples, the templates give a bad name: {error.detail}") from None
        return self

    @model_validator(mode="after")
    def _fits_together(self) -> ProfileDocument:
        usages, signing_only = set(self.usage.key_usage), self.keys.ed25519 or bool(self.keys.ml_dsa)
        if not self.keys.rsa_min_bits and not self.keys.curves and not signing_only:
            raise problem("keys allows neither RSA nor a curve, nor Ed25519 or ML-DSA")
        if signing_only and usages <= {"keyEncipherment", "dataEncipherment", "keyAgreement"}:
            raise problem("usage.key-usage leaves nothing for Ed25519 and ML-DSA keys, which only sign")
        if self.keys.curves and usages <= {"keyEncipherment", "dataEncipherment"}:
            raise problem("usage.key-usage leaves nothing for elliptic curve keys, which cannot encipher")
        if self.keys.rsa_min_bits and usages == {"keyAgreement"}:
            raise problem("usage.key-usage leaves nothing for RSA keys, which cannot agree on keys")
        return self

    def canonical(self) -> str:
        """The document as JSON with sorted keys and the defaults filled in that its first form had.

        What came later is in it only where it says something: during an upgrade, nodes read it that know no more.
        """
        kept: dict[str, Any] = self.model_dump(by_alias=True, exclude_defaults=True)
        first: dict[str, Any] = {"names": self.names, **{name: {} for name in ("validity", "keys", "usage", "subject")}}
        document = {**first, **kept}
        for dotted in _FIRST_FORM:
            section, key = dotted.split(".")
            part: BaseModel = getattr(self, section)
            document[section] = {key: getattr(part, key.replace("-", "_")), **document[section]}
        return json.dumps(document, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


_FIRST_FORM: Final = (
    "validity.duration",
    "validity.backdate",
    "keys.rsa-min-bits",
    "keys.curves",
    "keys.ed25519",
    "keys.ml-dsa",
    "usage.key-usage",
    "usage.extended-key-usage",
    "subject.organisation",
)


def read_document(text: str) -> ProfileDocument:
    """Read TOML or JSON. Raises `AdminError` PROFILE_REFUSED with all problems."""
    return _validated(ProfileDocument, text)


class _ExampleFile(_Strict):
    example: Annotated[list[Example], Field(min_length=1, max_length=200)]


def read_examples(text: str) -> tuple[Example, ...]:
    """Read examples that stand in a file of their own. Raises `AdminError` PROFILE_REFUSED with all problems."""
    return tuple(_validated(_ExampleFile, text).example)


_Document = TypeVar("_Document", bound=BaseModel)


def _validated(kind: type[_Document], text: str) -> _Document:
    try:
        return kind.model_validate(_parse(text))
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
    where = re.sub(r"\.[0-9]+(?=\.|$)", "", where)
    near = difflib.get_close_matches(where, tuple(_keys(ProfileDocument)), n=1)
    return f"; did you mean {near[0]}?" if near else f"; known are {', '.join(_keys(ProfileDocument))}"


def document_keys() -> tuple[str, ...]:
    """Every key that a document may have, dotted; those of an example's names and records stand for themselves."""
    parts = ("example.binding", "example.request", "example.device", "example.user")
    keys = (key for key in _keys(ProfileDocument) if not key.startswith(tuple(f"{part}." for part in parts)))
    return (*keys, *parts)


def _keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """All keys of a document, dotted."""
    for field in model.model_fields.values():
        key = f"{prefix}{field.alias}"
        inner = next(iter(get_args(field.annotation)), field.annotation)
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _keys(inner, f"{key}.")
        else:
            yield key
