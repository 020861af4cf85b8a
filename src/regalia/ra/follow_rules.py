"""What follows in a group when a device or a user changes: the rules, and the document in which a group keeps them.

The document is JSON. A cause that it does not name has the rule of `DEFAULT_RULES`; one that it names has what it says.
"""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from regalia import reasons
from regalia.ca.profile_fields import DISTINCT, one_of, problem, read_span
from regalia.errors import AdminError
from regalia.model.certificate import RevocationReason
from regalia.model.fleet import DEFAULT_RULES, Cause, Consequence, FollowRule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_core import ErrorDetails

__all__ = ["TOLERATED_RISK", "FollowRules", "UsersCountFor", "follow_rules_text", "read_follow_rules"]

TOLERATED_RISK: Final = frozenset({"none", "low", "medium"})
"""What is no cause where a group does not say which risk it bears."""
_MAX_DOCUMENT: Final = 64 * 1024
_LONGEST: Final = timedelta(days=3650)
_REASONS: Final[Mapping[str, RevocationReason]] = MappingProxyType(
    {
        reason.name.lower().replace("_", "-"): reason
        for reason in (
            RevocationReason.CESSATION_OF_OPERATION,
            RevocationReason.AFFILIATION_CHANGED,
            RevocationReason.PRIVILEGE_WITHDRAWN,
            RevocationReason.KEY_COMPROMISE,
            RevocationReason.UNSPECIFIED,
        )
    }
)
"""What a rule may give: `superseded` and `ca-compromise` are not about the state of a device."""


class UsersCountFor(StrEnum):
    """Which certificates a user's state has a bearing on."""

    THEIR_CERTIFICATES = "their-certificates"
    """Those whose names are the user's."""
    THEIR_DEVICES = "their-devices"
    """Those, and the ones of devices that belong to this one user."""


@dataclass(frozen=True, slots=True)
class FollowRules:
    """The rules of a group."""

    rules: Mapping[Cause, FollowRule] = field(default_factory=lambda: DEFAULT_RULES)
    required_memberships: frozenset[str] = frozenset()
    """Ids of groups of the connector's system: device or user must be in at least one. Empty: it does not matter."""
    required_licence: bool = False
    tolerated_risk: frozenset[str] = TOLERATED_RISK
    users_count_for: UsersCountFor = UsersCountFor.THEIR_CERTIFICATES
    compliance_grace: timedelta = timedelta(hours=24)
    """How long after it was first seen a device need not be compliant: a fresh one is not yet."""

    def rule(self, cause: Cause) -> FollowRule:
        """What follows from a cause."""
        return self.rules.get(cause, DEFAULT_RULES[cause])


# --- the document -----------------------------------------------------------------------------------------------------


class _Strict(BaseModel):
    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        alias_generator=lambda name: name.replace("_", "-"),
        hide_input_in_errors=True,
    )


def _check_span(text: str) -> str:
    if read_span(text) > _LONGEST:
        raise problem(f'"{text}" is more than {_LONGEST.days} days')
    return text


def _check_risk(text: str) -> str:
    if text != text.casefold().strip():
        raise problem(f'"{text}" is not in lower case')
    return text


_Span = Annotated[str, AfterValidator(_check_span)]
_Word = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]


class _Rule(_Strict):
    consequence: Annotated[str, one_of(tuple(each.value for each in Consequence))]
    reason: Annotated[str, one_of(tuple(_REASONS))] | None = None
    after: _Span | None = None
    revoke_after: _Span | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> _Rule:
        if self.revoke_after is not None and self.consequence != Consequence.HOLD:
            raise problem('revoke-after goes with consequence "hold" only')
        if self.revoke_after is not None and not read_span(self.revoke_after):
            raise problem('revoke-after is zero: that is consequence "revoke"')
        if self.reason is not None and self.consequence != Consequence.REVOKE and self.revoke_after is None:
            raise problem('reason goes with consequence "revoke", or with a hold that has revoke-after')
        if self.after is not None and self.consequence == Consequence.NOTHING:
            raise problem('after says when something follows, and consequence is "nothing"')
        return self

    def made(self, cause: Cause) -> FollowRule:
        return FollowRule(
            Consequence(self.consequence),
            _REASONS[self.reason] if self.reason is not None else DEFAULT_RULES[cause].reason,
            read_span(self.after) if self.after is not None else timedelta(0),
            read_span(self.revoke_after) if self.revoke_after is not None else None,
        )


_CauseName = Annotated[str, one_of(tuple(each.value for each in Cause))]


class _Document(_Strict):
    rules: dict[_CauseName, _Rule] = {}
    required_memberships: Annotated[list[_Word], DISTINCT, Field(max_length=100)] = []
    required_licence: bool = False
    tolerated_risk: Annotated[list[Annotated[_Word, AfterValidator(_check_risk)]], DISTINCT, Field(max_length=20)] = (
        sorted(TOLERATED_RISK)
    )
    users_count_for: Annotated[str, one_of(tuple(each.value for each in UsersCountFor))] = (
        UsersCountFor.THEIR_CERTIFICATES.value
    )
    compliance_grace: _Span = "24h"

    @model_validator(mode="after")
    def _asks_for_what_it_rules(self) -> _Document:
        if "group-left" in self.rules and not self.required_memberships:
            raise problem("rules.group-left needs required-memberships: nobody leaves what is not asked for")
        if "unlicensed" in self.rules and not self.required_licence:
            raise problem("rules.unlicensed needs required-licence: true")
        return self


def read_follow_rules(text: str) -> FollowRules:
    """Read a group's document. Raises `AdminError` CONTENT_REFUSED with everything that is wrong with it."""
    try:
        read = _Document.model_validate(_parsed(text))
    except ValidationError as error:
        found = "; ".join(_in_words(detail) for detail in error.errors(include_url=False))
        raise AdminError(reasons.CONTENT_REFUSED, found) from None
    own = {Cause(name): rule.made(Cause(name)) for name, rule in read.rules.items()}
    return FollowRules(
        rules=MappingProxyType({**DEFAULT_RULES, **own}),
        required_memberships=frozenset(read.required_memberships),
        required_licence=read.required_licence,
        tolerated_risk=frozenset(read.tolerated_risk),
        users_count_for=UsersCountFor(read.users_count_for),
        compliance_grace=read_span(read.compliance_grace),
    )


def follow_rules_text(rules: FollowRules) -> str:
    """Write rules as their document, with sorted keys; what is as by default is left out."""
    plain = FollowRules()
    document: dict[str, Any] = {}
    own = {str(cause): _rule_fields(cause, rules.rule(cause)) for cause in Cause if _differs(cause, rules)}
    if own:
        document["rules"] = own
    if rules.required_memberships:
        document["required-memberships"] = sorted(rules.required_memberships)
    if rules.required_licence:
        document["required-licence"] = True
    if rules.tolerated_risk != plain.tolerated_risk:
        document["tolerated-risk"] = sorted(rules.tolerated_risk)
    if rules.users_count_for is not plain.users_count_for:
        document["users-count-for"] = rules.users_count_for.value
    if rules.compliance_grace != plain.compliance_grace:
        document["compliance-grace"] = _span_text(rules.compliance_grace)
    return json.dumps(document, sort_keys=True, ensure_ascii=False)


def _differs(cause: Cause, rules: FollowRules) -> bool:
    return rules.rule(cause) != DEFAULT_RULES[cause]


def _rule_fields(cause: Cause, rule: FollowRule) -> dict[str, str]:
    fields = {"consequence": rule.consequence.value}
    if rule.after:
        fields["after"] = _span_text(rule.after)
    if rule.revoke_after is not None:
        fields["revoke-after"] = _span_text(rule.revoke_after)
    revokes = rule.consequence is Consequence.REVOKE or rule.revoke_after is not None
    if revokes and rule.reason is not DEFAULT_RULES[cause].reason:
        fields["reason"] = rule.reason.name.lower().replace("_", "-")
    return fields


def _span_text(span: timedelta) -> str:
    minutes = int(span.total_seconds()) // 60
    for unit, size in (("d", 24 * 60), ("h", 60)):
        if minutes % size == 0:
            return f"{minutes // size}{unit}"
    return f"{minutes}m"


def _parsed(text: str) -> dict[str, Any]:
    if len(text) > _MAX_DOCUMENT:
        raise AdminError(reasons.CONTENT_REFUSED, f"the document is longer than {_MAX_DOCUMENT} characters")
    try:
        parsed: dict[str, Any] = json.loads(text, object_pairs_hook=_without_doubles)
    except (ValueError, RecursionError) as error:
        raise AdminError(reasons.CONTENT_REFUSED, f"not JSON: {error}") from None
    return parsed


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return dict(pairs)


def _in_words(detail: ErrorDetails) -> str:
    where = ".".join(str(part) for part in detail["loc"] if part != "[key]")
    if detail["type"] == "extra_forbidden":
        known = _RULE_KEYS if where.startswith("rules.") else _KEYS
        near = difflib.get_close_matches(where.rpartition(".")[2], known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
        return f"{where}: there is no such key; {hint}"
    if detail["type"] == "missing":
        return f"{where}: is missing"
    return f"{where}: {detail['msg']}" if where else detail["msg"]


_KEYS: Final = tuple(str(field.alias) for field in _Document.model_fields.values())
_RULE_KEYS: Final = tuple(str(field.alias) for field in _Rule.model_fields.values())
