"""Several certificates of one device: which key is a renewal's, which waits, and which certificate has outlived it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from fleet_scene import DAY, NOW, certificate
from regalia.ra.superseding import KeyVerdict, Outlived, SupersedeRules, judge_key, supersede

if TYPE_CHECKING:
    from regalia.ra.following import LiveCertificate

RULES = SupersedeRules()
KEY = (1).to_bytes(32)
NEW = (9).to_bytes(32)


def judged(*beside: LiveCertificate, key: bytes = NEW, own: bool) -> KeyVerdict:
    """Judge a request beside certificates."""
    return judge_key(beside, key, group="default", profile="device", own_verdict=own, now=NOW).verdict


def aged(number: int, days: float, **changes: object) -> LiveCertificate:
    """Return a certificate that was issued so long ago, with a key of its own."""
    return certificate(number, issued_at=NOW - days * DAY, **changes)


def ended(*beside: LiveCertificate, rules: SupersedeRules = RULES) -> list[int]:
    """Name the numbers of those that have outlived their successors."""
    return [each.serial - 0x1000 for each in supersede(beside, rules, NOW)]


# --- keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("own", [True, False])
def test_a_first_key_and_the_same_key_wait_for_nobody(own: bool) -> None:  # noqa: FBT001 - a parameter of the table
    """With or without a verdict of its own."""
    assert judged(own=own) is KeyVerdict.FIRST
    assert judged(certificate(), key=KEY, own=own) is KeyVerdict.SAME_KEY


def test_a_new_key_with_a_verdict_is_a_renewal() -> None:
    """Who was vouched for in this very request may have a new key."""
    assert judged(certificate(), own=True) is KeyVerdict.RENEWAL


def test_a_second_key_without_a_verdict_is_held() -> None:
    """It waits for a person and is a security event that names the certificate beside it."""
    decision = judge_key((certificate(),), NEW, group="default", profile="device", own_verdict=False, now=NOW)
    assert (decision.verdict, decision.security) == (KeyVerdict.HELD, True)
    assert "1001" in decision.why
    assert not judge_key((), NEW, group="default", profile="device", own_verdict=False, now=NOW).security


def test_a_key_beside_its_own_and_another_is_held() -> None:
    """That one of two live certificates has the key does not make the other one its own."""
    assert judged(certificate(), certificate(2), key=KEY, own=False) is KeyVerdict.HELD


def test_a_certificate_on_hold_counts() -> None:
    """While a device is looked for, nobody takes its place without a verdict."""
    assert judged(certificate(held_at=NOW), own=False) is KeyVerdict.HELD


@pytest.mark.parametrize(
    "gone",
    [certificate(revoked=True), certificate(not_after=NOW), certificate(profile="vpn"), certificate(group="lab")],
    ids=["revoked", "expired", "another profile", "another group"],
)
def test_what_does_not_live_beside_it_does_not_count(gone: LiveCertificate) -> None:
    """Only live certificates of the same profile and group stand beside a request."""
    assert judged(gone, own=False) is KeyVerdict.FIRST


# --- superseding ------------------------------------------------------------------------------------------------------


def test_both_are_valid_for_the_overlap() -> None:
    """After it the older one is superseded by the newer."""
    old = aged(1, 300)
    assert ended(old, aged(2, 6.9)) == []
    assert supersede((old, aged(2, 7)), RULES, NOW) == (
        Outlived(
            old.id, old.serial, "default", certificate(2).id, "its successor 1002 was issued 2026-11-13 12:00 UTC"
        ),
    )


def test_no_more_than_the_limit_live() -> None:
    """Three by default: with a fourth the oldest goes at once, overlap or not."""
    four = [aged(number, 5 - number) for number in (1, 2, 3, 4)]
    assert ended(*four[:3]) == []
    assert ended(*four) == [1]
    assert ended(*four, rules=SupersedeRules(live=1)) == [1, 2, 3]
    assert ended(*reversed(four), rules=SupersedeRules(live=2)) == [1, 2]


def test_the_newest_stays() -> None:
    """A certificate without a successor is never superseded, however old it is."""
    assert ended(aged(1, 360)) == []
    assert ended(aged(1, 360), rules=SupersedeRules(live=1, overlap=timedelta(0))) == []


@pytest.mark.parametrize(
    "newer",
    [
        aged(2, 20, held_at=NOW),
        aged(2, 20, revoked=True),
        aged(2, 20, not_after=NOW),
        aged(2, 20, own_verdict=False),
        aged(2, 20, profile="vpn"),
        aged(2, 20, group="lab"),
        aged(2, 20, of_user=True),
    ],
    ids=["held", "revoked", "expired", "without a verdict", "another profile", "another group", "a user's"],
)
def test_what_is_no_successor_ends_nothing(newer: LiveCertificate) -> None:
    """Nobody gets a device's good certificate revoked by having one that is suspect, or for something else."""
    assert ended(aged(1, 30), newer) == []


def test_without_a_verdict_one_lives() -> None:
    """The same key again without a verdict supersedes at once: at most one is live."""
    assert ended(aged(1, 1), aged(2, 0, key_sha256=KEY, own_verdict=False)) == [1]


def test_superseding_again_finds_nothing() -> None:
    """What was superseded is revoked, and the rest stays."""
    four = [aged(number, 20 - number) for number in (1, 2, 3, 4)]
    gone = {each.certificate_id for each in supersede(four, RULES, NOW)}
    assert len(gone) == 3
    assert supersede([replace(each, revoked=each.id in gone) for each in four], RULES, NOW) == ()


@pytest.mark.parametrize(("live", "overlap"), [(0, timedelta(0)), (3, timedelta(days=-1))])
def test_rules_that_leave_nothing_are_none(live: int, overlap: timedelta) -> None:
    """A device keeps at least its newest certificate."""
    with pytest.raises(ValueError, match="newest"):
        SupersedeRules(live, overlap)
