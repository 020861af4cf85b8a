"""Causes: each fact that is one, with its time and its words; and what nobody said, which is none."""

from __future__ import annotations

from datetime import timedelta

import pytest

from fleet_scene import DAY, NOW, device, user
from regalia.model.fleet import Cause, DeviceState, PendingAction, User, UserState
from regalia.ra.causes import causes_of, judge
from regalia.ra.follow_rules import FollowRules

PLAIN = FollowRules()
ASKS = FollowRules(required_memberships=frozenset({"wifi", "vpn"}), required_licence=True)


def kinds(state: DeviceState | None = None, of: UserState | None = None, rules: FollowRules = PLAIN) -> set[Cause]:
    """Name the causes that hold."""
    return {each.cause for each in causes_of(device(state), user(of), rules, NOW, group="default")}


DEVICE_FACTS = [
    (DeviceState(present=False), Cause.ABSENT),
    (DeviceState(managed=False), Cause.UNMANAGED),
    (DeviceState(enabled=False), Cause.DISABLED),
    (DeviceState(compliant=False), Cause.NON_COMPLIANT),
    (DeviceState(lost=True), Cause.LOST),
    (DeviceState(risk="high"), Cause.RISK),
    (DeviceState(pending=PendingAction.WIPE), Cause.WIPED),
    (DeviceState(pending=PendingAction.RETIRE), Cause.RETIRED),
    (DeviceState(pending=PendingAction.DELETE), Cause.DELETED),
]
USER_FACTS = [
    (UserState(present=False), Cause.USER_ABSENT),
    (UserState(enabled=False), Cause.USER_DISABLED),
    (UserState(risk="high"), Cause.USER_RISK),
]


@pytest.mark.parametrize(("state", "cause"), DEVICE_FACTS, ids=lambda each: str(getattr(each, "value", "")))
def test_each_fact_of_a_device_is_its_cause(state: DeviceState, cause: Cause) -> None:
    """One fact gives one cause, since when it is so."""
    (found,) = causes_of(device(state), None, PLAIN, NOW, group="default")
    assert (found.cause, found.since) == (cause, NOW - DAY)
    assert found.why


@pytest.mark.parametrize(("state", "cause"), USER_FACTS, ids=lambda each: str(getattr(each, "value", "")))
def test_each_fact_of_a_user_is_its_cause(state: UserState, cause: Cause) -> None:
    """One fact of a user gives one cause, since when it is so."""
    (found,) = causes_of(None, user(state), PLAIN, NOW, group="default")
    assert (found.cause, found.since) == (cause, NOW - DAY)


def test_what_nobody_said_is_no_cause_and_no_end() -> None:
    """CON-5: facts that are None, and a device or user that is not known, are judged neither way."""
    assert kinds() == set()
    unsaid = {Cause.UNMANAGED, Cause.LOST, Cause.DISABLED, Cause.NON_COMPLIANT, Cause.RISK}
    unsaid |= {Cause.USER_DISABLED, Cause.USER_RISK, Cause.REQUESTED}
    found = judge(device(), user(), PLAIN, NOW, group="default")
    assert unsaid.isdisjoint(found)
    assert set(judge(None, None, PLAIN, NOW, group="default")) == {Cause.UNLICENSED, Cause.GROUP_LEFT}
    assert causes_of(None, None, ASKS, NOW) == ()


def test_good_facts_are_no_causes() -> None:
    """A device and a user of whom everything good is said give no cause."""
    good = DeviceState(managed=True, enabled=True, compliant=True, lost=False, risk="low")
    assert kinds(good, UserState(enabled=True, licensed=True, risk="none")) == set()
    found = judge(device(good), user(UserState(enabled=True)), PLAIN, NOW, group="default")
    assert found[Cause.NON_COMPLIANT] is None
    assert found[Cause.USER_DISABLED] is None


def test_compliance_has_its_grace_from_first_sight() -> None:
    """A device that was first seen an hour ago need not be compliant yet; after the grace it must."""
    rules = FollowRules(compliance_grace=timedelta(hours=24))
    state = DeviceState(compliant=False)
    fresh = device(state, first_seen_at=NOW - timedelta(hours=1))
    assert causes_of(fresh, None, rules, NOW) == ()
    (found,) = causes_of(fresh, None, rules, NOW + timedelta(hours=23))
    assert found.cause is Cause.NON_COMPLIANT


@pytest.mark.parametrize("level", ["unknown", "hidden", "Unknown", "", "unknownFutureValue"])
def test_a_risk_that_is_not_said_is_none(level: str) -> None:
    """CON-5: words that say that nothing is said are no risk."""
    assert kinds(DeviceState(risk=level), UserState(risk=level)) == set()


def test_the_group_says_which_risk_it_bears() -> None:
    """Medium is tolerated by default, and not where a group tolerates less."""
    medium = DeviceState(risk="medium")
    assert kinds(medium) == set()
    assert kinds(medium, rules=FollowRules(tolerated_risk=frozenset({"low"}))) == {Cause.RISK}


def test_the_licence_counts_where_it_is_asked_for() -> None:
    """A user without licence is a cause only in a group that asks for one."""
    assert kinds(of=UserState(licensed=False)) == set()
    assert kinds(of=UserState(licensed=False), rules=FollowRules(required_licence=True)) == {Cause.UNLICENSED}
    assert kinds(of=UserState(), rules=FollowRules(required_licence=True)) == set()


def left(*, in_device: set[str], in_user: set[str], known: bool, of: User | None) -> bool:
    """Whether the groups that `ASKS` asks for count as left."""
    machine = device(memberships=frozenset(in_device), memberships_known=known)
    person = user(memberships=frozenset(in_user), memberships_known=known) if of is not None else None
    return Cause.GROUP_LEFT in {each.cause for each in causes_of(machine, person, ASKS, NOW)}


def test_a_group_is_left_when_neither_device_nor_user_is_in_one() -> None:
    """One membership of either is enough."""
    assert left(in_device={"x"}, in_user=set(), known=True, of=user())
    assert not left(in_device={"vpn"}, in_user=set(), known=True, of=user())
    assert not left(in_device=set(), in_user={"wifi", "x"}, known=True, of=user())


def test_a_group_is_not_left_where_nobody_asked() -> None:
    """CON-5: memberships that were not read, of either, and a user of whom there is no record, leave nothing."""
    assert not left(in_device=set(), in_user=set(), known=False, of=user())
    assert not left(in_device=set(), in_user=set(), known=True, of=None)
    half = device(memberships_known=True)
    assert causes_of(half, user(), ASKS, NOW) == ()


def test_a_device_has_moved_when_its_group_is_another_than_the_certificates() -> None:
    """Where no rule places a device nothing moved; where it is placed elsewhere it did, from when it is found."""
    assert causes_of(device(group=None), None, PLAIN, NOW, group="default") == ()
    assert causes_of(device(), None, PLAIN, NOW) == ()
    (found,) = causes_of(device(group="lab"), None, PLAIN, NOW, group="default")
    assert (found.cause, found.since) == (Cause.MOVED, NOW)
    assert found.why == "the device belongs to group lab, the certificate to default"


def test_the_words_show_what_the_system_said() -> None:
    """The fact stands as its source spells it, all that the source said of it, without control characters."""
    evidence = {"complianceState": "noncompliant", "isCompliant": False, "deviceName": "x", "jailBreakDetected": "a\nb"}
    (found,) = causes_of(device(DeviceState(compliant=False), evidence=evidence), None, PLAIN, NOW)
    said = "complianceState is noncompliant, isCompliant is false, jailBreakDetected is a?b"
    assert found.why == f"compliant is false ({said})"


def test_words_of_graph_stand_beside_the_cause() -> None:
    """What Graph said stands within its own objects; a message's own words are not repeated."""
    evidence = {
        "source": "graph managedDevices",
        "managedDevice": {"complianceState": "noncompliant", "lostModeState": "enabled", "deviceName": "x"},
        "device": {"accountEnabled": False},
        "said": {"lost": True, "state": "x"},
    }
    state = DeviceState(compliant=False, lost=True, enabled=False)
    found = {each.cause: each.why for each in causes_of(device(state, evidence=evidence), None, PLAIN, NOW)}
    assert found[Cause.NON_COMPLIANT] == "compliant is false (complianceState is noncompliant)"
    assert found[Cause.LOST] == "lost is true (lostModeState is enabled)"
    assert found[Cause.DISABLED] == "enabled is false (accountEnabled is false)"


def test_several_causes_stand_in_one_order() -> None:
    """All that holds is listed, graver and lesser, device's and user's."""
    state = DeviceState(enabled=False, lost=True, pending=PendingAction.WIPE)
    found = causes_of(device(state), user(UserState(enabled=False)), PLAIN, NOW)
    assert [each.cause for each in found] == [Cause.WIPED, Cause.LOST, Cause.DISABLED, Cause.USER_DISABLED]
