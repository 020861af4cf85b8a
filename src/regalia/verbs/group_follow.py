"""A group's rules for what follows when a device or a user changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from pydantic import Field

from regalia import reasons
from regalia.errors import AdminError
from regalia.model import Right
from regalia.model.fleet import Cause, Consequence
from regalia.ra.follow_rules import FollowRules, read_follow_rules
from regalia.ra.following import reason_text
from regalia.verbs.finding import found_group
from regalia.verbs.group import GroupName
from regalia.verbs.verb import Asked, Desk, Record, Verb

if TYPE_CHECKING:
    from datetime import timedelta

    from regalia.model import Group
    from regalia.model.fleet import FollowRule

__all__ = ["SET", "SHOW", "VERBS", "FollowRulesShown", "RuleRecord", "SetFollowRules", "ShowFollowRules"]


_GROUPS: Final = "groups"
"""The setting of kinds that read the members of some groups only."""


class ShowFollowRules(Asked):
    """Of which group."""

    name: GroupName


class SetFollowRules(ShowFollowRules):
    """Of which group, and what they are to be."""

    document: Annotated[
        str,
        Field(
            max_length=65_536,
            description="JSON; an empty text brings the defaults back.",
            examples=['{"rules": {"lost": {"consequence": "revoke"}}}'],
        ),
    ]


class RuleRecord(Record):
    """What follows from one cause."""

    cause: Cause
    consequence: Consequence
    reason: str | None
    """Of a revocation."""
    after: str | None
    """How long the cause must have lasted."""
    revoke_after: str | None
    """How long a certificate is on hold before it is revoked."""
    own: bool
    """Whether the group's document says so; else it is the default."""


class FollowRulesShown(Record):
    """The rules that hold in a group."""

    group: str
    document: str
    """What the group itself says; empty where all is as by default."""
    required_memberships: tuple[str, ...]
    required_licence: bool
    tolerated_risk: tuple[str, ...]
    users_count_for: str
    compliance_grace: str
    rules: tuple[RuleRecord, ...]


def show_follow_rules(desk: Desk, asked: ShowFollowRules) -> FollowRulesShown:
    """Show what holds, cause by cause."""
    return _shown(found_group(desk, asked.name))


def set_follow_rules(desk: Desk, asked: SetFollowRules) -> FollowRulesShown:
    """Set them. Raises `AdminError`: ADM-083 with all that is wrong, CON-066 a group that no connector reads."""
    group = found_group(desk, asked.name)
    _check(desk, group, asked.document)
    return _shown(desk.services.registry.set_follow_rules(group.name, asked.document, actor=desk.actor))


def plan_rules(desk: Desk, asked: SetFollowRules) -> tuple[str, ...]:
    """Say what would be otherwise from now on."""
    group = found_group(desk, asked.name)
    before, after = _rules(group.follow), _check(desk, group, asked.document)
    changed = tuple(
        f"let {_words(after.rule(cause))} follow from {cause} in group {group.name}, and no longer "
        f"{_words(before.rule(cause))}"
        for cause in Cause
        if before.rule(cause) != after.rule(cause)
    )
    others = (
        ("required memberships", before.required_memberships, after.required_memberships),
        ("tolerated risk", before.tolerated_risk, after.tolerated_risk),
    )
    lists = tuple(
        f"take {what} to be {', '.join(sorted(now)) or 'none'}" for what, former, now in others if former != now
    )
    plain = tuple(
        f"take {what} to be {now}"
        for what, former, now in (
            ("required licence", before.required_licence, after.required_licence),
            ("users count for", before.users_count_for, after.users_count_for),
            ("compliance grace", _span(before.compliance_grace), _span(after.compliance_grace)),
        )
        if former != now
    )
    return (*changed, *lists, *plain) or (f"leave the rules of group {group.name} as they are",)


def _rules(text: str) -> FollowRules:
    return read_follow_rules(text) if text.strip() else FollowRules()


def _check(desk: Desk, group: Group, document: str) -> FollowRules:
    """Read it, and see that somebody reads the groups that it asks for: else all would look as if they had left."""
    rules = _rules(document)
    store, kinds = desk.services.store, {each.name: each for each in desk.services.connectors.kinds.kinds()}
    named = {each.connector for each in store.endpoints() if each.group == group.name and each.enabled}
    read: set[str] = set()
    for connector in store.connectors():
        if connector.name not in named:
            continue
        kind = kinds.get(connector.kind)
        if kind is None or all(setting.name != _GROUPS for setting in kind.settings):
            # It tells of all groups, or of none: that nobody is in one of which it never speaks is not known either.
            return rules
        listed = connector.settings.get(_GROUPS)
        read.update(map(str, listed if isinstance(listed, list) else ()))
    missing = sorted(rules.required_memberships - read)
    if missing and named - {None}:
        raise AdminError(reasons.FOLLOW_MEMBERSHIP_UNREAD, ", ".join(missing))
    return rules


def _shown(group: Group) -> FollowRulesShown:
    rules, plain = _rules(group.follow), FollowRules()
    return FollowRulesShown(
        group=group.name,
        document=group.follow,
        required_memberships=tuple(sorted(rules.required_memberships)),
        required_licence=rules.required_licence,
        tolerated_risk=tuple(sorted(rules.tolerated_risk)),
        users_count_for=rules.users_count_for.value,
        compliance_grace=_span(rules.compliance_grace),
        rules=tuple(
            _rule_record(cause, rules.rule(cause), own=rules.rule(cause) != plain.rule(cause)) for cause in Cause
        ),
    )


def _rule_record(cause: Cause, rule: FollowRule, *, own: bool) -> RuleRecord:
    revokes = rule.consequence is Consequence.REVOKE or rule.revoke_after is not None
    return RuleRecord(
        cause=cause,
        consequence=rule.consequence,
        reason=reason_text(rule.reason) if revokes else None,
        after=_span(rule.after) if rule.after else None,
        revoke_after=_span(rule.revoke_after) if rule.revoke_after is not None else None,
        own=own,
    )


def _words(rule: FollowRule) -> str:
    after = f" after {_span(rule.after)}" if rule.after else ""
    later = f", revoke after {_span(rule.revoke_after)}" if rule.revoke_after is not None else ""
    return f"{rule.consequence}{after}{later}"


def _span(span: timedelta) -> str:
    minutes = int(span.total_seconds()) // 60
    for unit, size in (("d", 24 * 60), ("h", 60)):
        if minutes % size == 0:
            return f"{minutes // size}{unit}"
    return f"{minutes}m"


SHOW = Verb(
    "group.follow-rules",
    "GET",
    "/groups/{name}/follow-rules",
    Right.READ,
    ShowFollowRules,
    FollowRulesShown,
    show_follow_rules,
    "Show what follows in a group when a device or a user changes.",
)
SET = Verb(
    "group.set-follow-rules",
    "POST",
    "/groups/{name}/follow-rules",
    Right.RULE,
    SetFollowRules,
    FollowRulesShown,
    set_follow_rules,
    "Set what follows in a group when a device or a user changes.",
    plan=plan_rules,
)

VERBS = (SHOW, SET)
