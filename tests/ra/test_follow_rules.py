"""The document of a group's rules: what it may say, what it means, and what is wrong with it in one look."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from regalia import reasons
from regalia.errors import AdminError
from regalia.model.certificate import RevocationReason
from regalia.model.fleet import DEFAULT_RULES, Cause, Consequence, FollowRule
from regalia.ra.follow_rules import FollowRules, UsersCountFor, follow_rules_text, read_follow_rules

WHOLE = {
    "rules": {
        "lost": {"consequence": "revoke", "reason": "key-compromise", "after": "2h"},
        "non-compliant": {"consequence": "hold", "revoke-after": "90m", "reason": "privilege-withdrawn"},
        "group-left": {"consequence": "nothing"},
        "moved": {"consequence": "revoke", "after": "1d"},
    },
    "required-memberships": ["b", "a"],
    "required-licence": True,
    "tolerated-risk": ["low"],
    "users-count-for": "their-devices",
    "compliance-grace": "3d",
}


def test_an_empty_document_is_the_defaults() -> None:
    """A group without rules of its own has those of every group."""
    assert read_follow_rules("{}") == FollowRules()
    assert follow_rules_text(FollowRules()) == "{}"
    assert all(FollowRules().rule(cause) == DEFAULT_RULES[cause] for cause in Cause)


def test_a_whole_document_is_read() -> None:
    """Each key has its meaning; a cause that is not named keeps its default."""
    rules = read_follow_rules(json.dumps(WHOLE))
    assert rules.rule(Cause.LOST) == FollowRule(
        Consequence.REVOKE, RevocationReason.KEY_COMPROMISE, after=timedelta(hours=2)
    )
    assert rules.rule(Cause.NON_COMPLIANT) == FollowRule(
        Consequence.HOLD, RevocationReason.PRIVILEGE_WITHDRAWN, revoke_after=timedelta(minutes=90)
    )
    assert rules.rule(Cause.GROUP_LEFT).consequence is Consequence.NOTHING
    assert rules.rule(Cause.MOVED) == FollowRule(
        Consequence.REVOKE, RevocationReason.AFFILIATION_CHANGED, after=timedelta(days=1)
    )
    assert rules.rule(Cause.WIPED) == DEFAULT_RULES[Cause.WIPED]
    assert (rules.required_memberships, rules.required_licence) == (frozenset({"a", "b"}), True)
    assert (rules.tolerated_risk, rules.compliance_grace) == (frozenset({"low"}), timedelta(days=3))
    assert rules.users_count_for is UsersCountFor.THEIR_DEVICES


def test_what_is_written_is_read_as_the_same() -> None:
    """A document survives being kept."""
    rules = read_follow_rules(json.dumps(WHOLE))
    assert read_follow_rules(follow_rules_text(rules)) == rules


REFUSED = [
    ("", "not JSON"),
    ("[]", "valid dictionary"),
    ('{"rules": {}, "rules": {}}', "a key stands twice"),
    ('{"rulez": {}}', "rulez: there is no such key; did you mean rules?"),
    ('{"x": 1}', "known are rules, required-memberships"),
    ('{"rules": {"wipd": {"consequence": "hold"}}}', 'did you mean "wiped"?'),
    ('{"rules": {"lost": {}}}', "rules.lost.consequence: is missing"),
    ('{"rules": {"lost": {"consequence": "hodl"}}}', 'rules.lost.consequence: "hodl" is not allowed'),
    ('{"rules": {"lost": {"consequence": "hold", "untill": "1d"}}}', "rules.lost.untill: there is no such key"),
    ('{"rules": {"lost": {"consequence": "hold", "after": "1w"}}}', "rules.lost.after"),
    ('{"rules": {"lost": {"consequence": "hold", "after": "3651d"}}}', "more than 3650 days"),
    ('{"rules": {"lost": {"consequence": "hold", "revoke-after": "0d"}}}', "revoke-after is zero"),
    ('{"rules": {"lost": {"consequence": "revoke", "revoke-after": "1d"}}}', 'goes with consequence "hold" only'),
    ('{"rules": {"lost": {"consequence": "hold", "reason": "unspecified"}}}', "or with a hold that has revoke-after"),
    ('{"rules": {"lost": {"consequence": "revoke", "reason": "superseded"}}}', '"superseded" is not allowed'),
    ('{"rules": {"lost": {"consequence": "revoke", "reason": "certificate-hold"}}}', "is not allowed"),
    ('{"rules": {"lost": {"consequence": "nothing", "after": "1d"}}}', 'consequence is "nothing"'),
    ('{"rules": {"group-left": {"consequence": "hold"}}}', "needs required-memberships"),
    ('{"rules": {"unlicensed": {"consequence": "hold"}}}', "needs required-licence"),
    ('{"required-licence": "yes"}', "required-licence"),
    ('{"tolerated-risk": ["Low"]}', "not in lower case"),
    ('{"required-memberships": ["a", "a"]}', "holds something twice"),
    ('{"users-count-for": "all"}', "their-certificates, their-devices"),
    (" " * 70_000, "longer than"),
]


@pytest.mark.parametrize(("document", "words"), REFUSED)
def test_a_wrong_document_is_refused_with_what_is_wrong(document: str, words: str) -> None:
    """Nothing is guessed: what is not understood is named, with what was probably meant."""
    with pytest.raises(AdminError) as caught:
        read_follow_rules(document)
    assert caught.value.reason is reasons.CONTENT_REFUSED
    assert words in caught.value.detail


def test_all_that_is_wrong_is_told_at_once() -> None:
    """Two faults give two clauses."""
    with pytest.raises(AdminError) as caught:
        read_follow_rules('{"required-licence": 1, "compliance-grace": "soon"}')
    assert "required-licence" in caught.value.detail
    assert "compliance-grace" in caught.value.detail
