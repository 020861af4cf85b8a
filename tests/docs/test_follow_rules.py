"""The page of what follows tells the defaults as they are."""

from __future__ import annotations

import re
from pathlib import Path

from regalia.model.fleet import DEFAULT_RULES, Cause, Consequence, FollowRule
from regalia.ra.following import reason_text

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tasks" / "revocation-that-follows.md"
ROW = re.compile(r"^\| (`[a-z`, -]+`) \| [^|]+ \| ([^|]+) \|$", re.MULTILINE)


def told() -> dict[str, str]:
    """Read the table: the default by cause."""
    rows = ROW.findall(PAGE.read_text(encoding="utf-8"))
    return {cause: default.strip() for causes, default in rows for cause in re.findall(r"`([a-z-]+)`", causes)}


def words(rule: FollowRule) -> list[str]:
    """Say what a row has to hold, the consequence first."""
    found = [rule.consequence.value]
    if rule.consequence is Consequence.REVOKE or rule.revoke_after is not None:
        found.append(f"`{reason_text(rule.reason)}`")
    found += [f"after {span.days} days" for span in (rule.after, rule.revoke_after) if span]
    return found


def test_each_cause_has_its_row() -> None:
    """No cause is missing from the page, and none stands there that is gone."""
    assert sorted(told()) == sorted(cause.value for cause in Cause)


def test_the_defaults_are_those_of_the_code() -> None:
    """Each row says the consequence, the reason of a revocation, and after how long."""
    for cause, rule in DEFAULT_RULES.items():
        row = told()[cause]
        first, *others = words(rule)
        assert row.split(",")[0].split(";")[0] == first, cause
        assert [word for word in others if word not in row] == [], cause
        assert ("`" in row) == any("`" in word for word in others), cause
