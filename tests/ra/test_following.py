"""What follows: steps for each change of a device or user, what is never done, and that a second time gives none."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet_scene import DAY, NOW, applied, certificate, device, standing, user
from regalia.model.certificate import RevocationReason
from regalia.model.fleet import (
    DEFAULT_RULES,
    Cause,
    Consequence,
    DeviceState,
    FollowRule,
    FoundCause,
    PendingAction,
    Step,
    StepKind,
    UserState,
)
from regalia.ra.follow_rules import FollowRules, UsersCountFor
from regalia.ra.following import LiveCertificate, Standing, describe, explain, follow, plan

if TYPE_CHECKING:
    from uuid import UUID

CEASED = RevocationReason.CESSATION_OF_OPERATION
LEFT = RevocationReason.AFFILIATION_CHANGED
BY_DEFAULT: dict[str, FollowRules] = {}
USERS = certificate(2, of_user=True)


def ruled(**rules: FollowRule) -> dict[str, FollowRules]:
    """Return rules of the group with some of their own: `lost=FollowRule(…)`."""
    own = {Cause(name.replace("_", "-")): rule for name, rule in rules.items()}
    return {"default": FollowRules({**DEFAULT_RULES, **own})}


def only(steps: tuple[Step, ...]) -> Step:
    """Return the one step."""
    (step,) = steps
    return step


def kept(cause: Cause, days: float = 1) -> FoundCause:
    """Return a cause as it was kept so long ago."""
    return FoundCause(cause, NOW - days * DAY, "as it was")


def held(*causes: FoundCause, days: float = 1, **changes: object) -> LiveCertificate:
    """Return a certificate that is on hold for these causes."""
    return certificate(1, kept=causes, held_at=NOW - days * DAY, **changes)


# --- the table: a signal of a system, as its connector puts it, and what follows by default --------------------------

TABLE: list[tuple[str, DeviceState, UserState, LiveCertificate, StepKind | None, RevocationReason | None]] = [
    (
        "an item of the revocation feed",
        DeviceState(),
        UserState(),
        certificate(requested=FoundCause(Cause.REQUESTED, NOW, "the feed lists it")),
        StepKind.REVOKE,
        CEASED,
    ),
    (
        "gone from the inventory, confirmed",
        DeviceState(present=False),
        UserState(),
        certificate(),
        StepKind.REVOKE,
        CEASED,
    ),
    ("wipe pending", DeviceState(pending=PendingAction.WIPE), UserState(), certificate(), StepKind.REVOKE, CEASED),
    ("retire pending", DeviceState(pending=PendingAction.RETIRE), UserState(), certificate(), StepKind.REVOKE, CEASED),
    ("delete pending", DeviceState(pending=PendingAction.DELETE), UserState(), certificate(), StepKind.REVOKE, CEASED),
    ("wipe cancelled, good", DeviceState(), UserState(), certificate(), None, None),
    ("wipe cancelled, held for it", DeviceState(), UserState(), held(kept(Cause.WIPED)), StepKind.RELEASE, None),
    ("not compliant", DeviceState(compliant=False), UserState(), certificate(), StepKind.HOLD, None),
    (
        "compliant again",
        DeviceState(compliant=True),
        UserState(),
        held(kept(Cause.NON_COMPLIANT)),
        StepKind.RELEASE,
        None,
    ),
    ("compliance unknown", DeviceState(compliant=None), UserState(), certificate(), None, None),
    (
        "compliance unknown, held for it",
        DeviceState(compliant=None),
        UserState(),
        held(kept(Cause.NON_COMPLIANT)),
        None,
        None,
    ),
    ("account of the device disabled", DeviceState(enabled=False), UserState(), certificate(), StepKind.HOLD, None),
    (
        "disabled for 30 days on hold",
        DeviceState(enabled=False),
        UserState(),
        held(FoundCause(Cause.DISABLED, NOW - 30 * DAY, "enabled is false"), days=30),
        StepKind.REVOKE,
        CEASED,
    ),
    ("deleted, restorable", DeviceState(enabled=False), UserState(), certificate(), StepKind.HOLD, None),
    ("the user disabled: theirs", DeviceState(), UserState(enabled=False), USERS, StepKind.HOLD, None),
    ("the user disabled: the device's", DeviceState(), UserState(enabled=False), certificate(), None, None),
    ("the user deleted: theirs", DeviceState(), UserState(present=False), USERS, StepKind.REVOKE, LEFT),
    ("the user deleted: the device's", DeviceState(), UserState(present=False), certificate(), None, None),
    ("the user at high risk", DeviceState(), UserState(risk="high"), USERS, StepKind.HOLD, None),
    ("managed no more", DeviceState(managed=False), UserState(), certificate(), StepKind.REVOKE, CEASED),
    ("jailbroken", DeviceState(compliant=False), UserState(), certificate(), StepKind.HOLD, None),
    ("lost", DeviceState(lost=True), UserState(), certificate(), StepKind.HOLD, None),
    ("found again", DeviceState(lost=False), UserState(), held(kept(Cause.LOST)), StepKind.RELEASE, None),
    ("deprovisioned", DeviceState(managed=False), UserState(), certificate(), StepKind.REVOKE, CEASED),
    ("user suspended or archived", DeviceState(), UserState(enabled=False), USERS, StepKind.HOLD, None),
    ("device at high risk", DeviceState(risk="high"), UserState(), certificate(), StepKind.HOLD, None),
]


@pytest.mark.parametrize(
    ("state", "person", "beside", "kind", "reason"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_what_follows_by_default(
    state: DeviceState,
    person: UserState,
    beside: LiveCertificate,
    kind: StepKind | None,
    reason: RevocationReason | None,
) -> None:
    """Each signal that a system gives has the consequence that the defaults name."""
    steps = follow(standing(state, beside, of=user(person)), BY_DEFAULT, NOW)
    assert [(step.kind, step.reason) for step in steps] == ([] if kind is None else [(kind, reason)])


# --- several causes ---------------------------------------------------------------------------------------------------


def test_the_gravest_consequence_wins_and_all_causes_are_kept() -> None:
    """A device that is lost, disabled and wiped is revoked, and each cause stands by itself."""
    state = DeviceState(lost=True, enabled=False, pending=PendingAction.WIPE)
    step = only(follow(standing(state), BY_DEFAULT, NOW))
    assert (step.kind, step.reason) == (StepKind.REVOKE, CEASED)
    assert [each.cause for each in step.causes] == [Cause.WIPED, Cause.LOST, Cause.DISABLED]


def test_of_several_reasons_the_gravest_is_given() -> None:
    """A compromised key is said before an affiliation that changed."""
    rules = ruled(lost=FollowRule(Consequence.REVOKE, RevocationReason.KEY_COMPROMISE))
    steps = follow(standing(DeviceState(lost=True, present=False)), rules, NOW)
    assert only(steps).reason is RevocationReason.KEY_COMPROMISE


def test_a_hold_ends_with_its_last_cause_only() -> None:
    """Found again but still disabled stays on hold; the end of one cause is kept."""
    beside = held(kept(Cause.LOST), kept(Cause.DISABLED))
    step = only(follow(standing(DeviceState(lost=False, enabled=False), beside), BY_DEFAULT, NOW))
    assert (step.kind, step.ended) == (StepKind.NOTE, (Cause.LOST,))
    assert [each.cause for each in step.causes] == [Cause.DISABLED]
    step = only(follow(standing(DeviceState(lost=False, enabled=True), beside), BY_DEFAULT, NOW))
    assert (step.kind, step.ended) == (StepKind.RELEASE, (Cause.LOST, Cause.DISABLED))


def test_an_administrators_hold_is_not_released() -> None:
    """What a person placed stays when our causes end; that they ended is noted. REV-1."""
    beside = held(kept(Cause.LOST), held_by_others=True)
    step = only(follow(standing(DeviceState(lost=False), beside), BY_DEFAULT, NOW))
    assert (step.kind, step.ended) == (StepKind.NOTE, (Cause.LOST,))
    assert follow(standing(DeviceState(lost=False), held(held_by_others=True)), BY_DEFAULT, NOW) == ()


def test_a_cause_beside_an_administrators_hold_is_noted() -> None:
    """The certificate is on hold already; the cause keeps it there when the administrator releases it."""
    before = standing(DeviceState(lost=True), held(held_by_others=True))
    steps = follow(before, BY_DEFAULT, NOW)
    assert only(steps).kind is StepKind.NOTE
    after = applied(before, steps, NOW)
    released = replace(after, certificates=(replace(after.certificates[0], held_at=None, held_by_others=False),))
    assert only(follow(released, BY_DEFAULT, NOW)).kind is StepKind.HOLD


def test_a_hold_that_is_not_explained_is_left_alone() -> None:
    """A hold for which nothing was kept is not ended by what somebody else's causes do."""
    assert follow(standing(DeviceState(lost=False), held()), BY_DEFAULT, NOW) == ()
    pending = follow(
        standing(DeviceState(lost=True), held()), ruled(lost=FollowRule(Consequence.HOLD, after=9 * DAY)), NOW
    )
    assert only(pending).kind is StepKind.NOTE


def test_what_is_revoked_or_expired_has_no_step() -> None:
    """REV-1: nothing leads away from revoked, and what expired needs no end."""
    state = DeviceState(present=False, lost=True)
    assert follow(standing(state, certificate(revoked=True, kept=(kept(Cause.LOST),))), BY_DEFAULT, NOW) == ()
    assert follow(standing(DeviceState(lost=False), held(kept(Cause.LOST), revoked=True)), BY_DEFAULT, NOW) == ()
    assert follow(standing(state, certificate(not_after=NOW)), BY_DEFAULT, NOW) == ()


# --- time -------------------------------------------------------------------------------------------------------------


def test_a_cause_must_have_lasted() -> None:
    """Until then it is noted, so that its time counts from when it was first found."""
    rules = ruled(lost=FollowRule(Consequence.HOLD, after=3 * DAY))
    before = standing(DeviceState(lost=True))
    steps = follow(before, rules, NOW)
    assert only(steps).kind is StepKind.NOTE
    assert follow(applied(before, steps, NOW), rules, NOW + DAY) == ()
    step = only(follow(applied(before, steps, NOW), rules, NOW + 2 * DAY))
    assert step.kind is StepKind.HOLD


def test_another_fact_that_changes_does_not_set_the_clock_back() -> None:
    """Disabled for 29 days, and its compliance changed today: it is revoked tomorrow all the same."""
    since = kept(Cause.DISABLED, 29)
    beside = held(since, days=29)
    today = standing(DeviceState(enabled=False, compliant=True), beside, state_since=NOW)
    assert only(follow(today, BY_DEFAULT, NOW)).causes[0].since == since.since
    assert only(follow(today, BY_DEFAULT, NOW + DAY)).kind is StepKind.REVOKE


def test_nobody_is_revoked_for_a_hold_without_having_been_on_hold() -> None:
    """A device that was disabled long before anybody looked is held first."""
    old = standing(DeviceState(enabled=False), state_since=NOW - 300 * DAY)
    steps = follow(old, BY_DEFAULT, NOW)
    assert only(steps).kind is StepKind.HOLD
    after = applied(old, steps, NOW)
    assert follow(after, BY_DEFAULT, NOW + 29 * DAY) == ()
    assert only(follow(after, BY_DEFAULT, NOW + 30 * DAY)).kind is StepKind.REVOKE


def test_the_group_decides_that_nothing_follows() -> None:
    """The cause is kept, so that it is explained, and a hold for it ends."""
    rules = ruled(lost=FollowRule(Consequence.NOTHING))
    assert only(follow(standing(DeviceState(lost=True)), rules, NOW)).kind is StepKind.NOTE
    step = only(follow(standing(DeviceState(lost=True), held(kept(Cause.LOST))), rules, NOW))
    assert (step.kind, step.ended) == (StepKind.RELEASE, ())


# --- what nobody says (CON-5) -----------------------------------------------------------------------------------------


def test_what_is_no_longer_said_neither_ends_nor_grows() -> None:
    """CON-5: a hold whose fact became unknown stays a hold, also beyond the time after which it would revoke."""
    unsaid = standing(DeviceState(enabled=None), held(kept(Cause.DISABLED, 300), days=300))
    assert follow(unsaid, BY_DEFAULT, NOW) == ()
    pending = standing(DeviceState(lost=None), certificate(kept=(kept(Cause.LOST, 300),)))
    assert follow(pending, ruled(lost=FollowRule(Consequence.REVOKE, after=DAY)), NOW) == ()


def test_nothing_follows_while_the_connector_does_not_answer() -> None:
    """CON-5: an outage neither revokes, nor holds, nor releases, whatever was said before it."""
    for state in (DeviceState(present=False), DeviceState(lost=False), DeviceState(enabled=False)):
        beside = held(kept(Cause.LOST), kept(Cause.DISABLED, 100), days=100)
        assert follow(replace(standing(state, beside), reachable=False), BY_DEFAULT, NOW) == ()


def test_nothing_follows_for_a_device_that_is_not_known() -> None:
    """Without a record nothing is known; absence is a fact of a record."""
    assert follow(Standing(None, None, (certificate(), held(kept(Cause.LOST)))), BY_DEFAULT, NOW) == ()


# --- users ------------------------------------------------------------------------------------------------------------


def test_a_users_certificate_follows_the_user_without_a_device() -> None:
    """Its step names the user's record."""
    step = only(follow(Standing(None, user(UserState(enabled=False)), (USERS,)), BY_DEFAULT, NOW))
    assert (step.kind, step.device) == (StepKind.HOLD, str(user().id))


def test_a_users_certificate_ends_with_the_device_that_holds_its_key() -> None:
    """A wiped device revokes all that was on it."""
    steps = follow(standing(DeviceState(pending=PendingAction.WIPE), certificate(), USERS), BY_DEFAULT, NOW)
    assert [step.kind for step in steps] == [StepKind.REVOKE, StepKind.REVOKE]


def test_a_group_can_let_users_count_for_their_devices() -> None:
    """Then a device that belongs to the user is held with them, and no other."""
    rules = {"default": FollowRules(users_count_for=UsersCountFor.THEIR_DEVICES)}
    person = user(UserState(enabled=False))
    assert only(follow(standing(None, of=person), rules, NOW)).kind is StepKind.HOLD
    assert follow(standing(None, of=person, user="user-2"), rules, NOW) == ()
    assert follow(standing(None, of=person, user=None), rules, NOW) == ()


def test_a_hold_ends_when_the_group_no_longer_counts_users() -> None:
    """The rule was changed, so its cause ended for the device."""
    before = standing(None, held(kept(Cause.USER_DISABLED)), of=user(UserState(enabled=False)))
    assert only(follow(before, BY_DEFAULT, NOW)).kind is StepKind.RELEASE


# --- moving -----------------------------------------------------------------------------------------------------------


def test_a_moved_device_keeps_its_certificate_for_the_grace() -> None:
    """It is noted at once, and revoked after seven days."""
    before = standing(None, group="lab")
    steps = follow(before, BY_DEFAULT, NOW)
    assert [(step.kind, step.causes[0].cause) for step in steps] == [(StepKind.NOTE, Cause.MOVED)]
    after = replace(applied(before, steps, NOW), device=device(group="lab", seen_at=NOW + 6 * DAY))
    assert follow(after, BY_DEFAULT, NOW + 6 * DAY) == ()
    step = only(follow(after, BY_DEFAULT, NOW + 7 * DAY))
    assert (step.kind, step.reason) == (StepKind.REVOKE, LEFT)


def test_a_moved_device_gives_its_certificate_up_for_the_new_one() -> None:
    """As soon as the new group has issued, the old group's certificate ends; the new one stays."""
    new = certificate(2, group="lab")
    step = only(follow(standing(None, certificate(), new, group="lab"), BY_DEFAULT, NOW))
    assert (step.kind, step.serial, step.reason) == (StepKind.REVOKE, certificate().serial, LEFT)


@pytest.mark.parametrize(
    "new",
    [
        certificate(2, group="lab", revoked=True),
        certificate(2, group="lab", held_at=NOW),
        certificate(2, group="lab", not_after=NOW),
        certificate(2, group="lab", of_user=True),
        certificate(2, group="third"),
    ],
    ids=["revoked", "held", "expired", "a user's", "elsewhere"],
)
def test_what_cannot_be_used_replaces_nothing(new: LiveCertificate) -> None:
    """Only a good certificate of the new group, for the same purpose, shortens the grace."""
    steps = follow(standing(None, certificate(), new, group="lab"), BY_DEFAULT, NOW)
    assert StepKind.REVOKE not in {step.kind for step in steps}


def test_a_device_that_moves_back_is_moved_no_longer() -> None:
    """The cause ends, and its time begins anew when it moves again."""
    step = only(follow(standing(None, certificate(kept=(kept(Cause.MOVED, 6),))), BY_DEFAULT, NOW))
    assert (step.kind, step.ended) == (StepKind.NOTE, (Cause.MOVED,))


def test_a_certificate_follows_the_rules_of_its_own_group() -> None:
    """Two certificates of one device in two groups are judged by two rules."""
    rules = {"lab": FollowRules({**DEFAULT_RULES, Cause.LOST: FollowRule(Consequence.REVOKE)})}
    both = standing(DeviceState(lost=True), certificate(), certificate(2, group="lab"), group=None)
    assert [step.kind for step in follow(both, rules, NOW)] == [StepKind.HOLD, StepKind.REVOKE]


# --- in words ---------------------------------------------------------------------------------------------------------


def test_a_step_is_a_line() -> None:
    """It says what, which, why with the fact, since when, and with which reason."""
    wiped = standing(DeviceState(pending=PendingAction.WIPE), evidence={"managementState": "wipeIssued"})
    assert describe(only(follow(wiped, BY_DEFAULT, NOW))) == (
        "revoke 1001 (group default, record 00000000-0000-0000-0000-000000000001): "
        "wiped since 2026-11-19 12:00 UTC, pending action is wipe (managementState is wipeIssued); "
        "reason cessation-of-operation"
    )
    found = follow(standing(DeviceState(lost=False), held(kept(Cause.LOST))), BY_DEFAULT, NOW)
    assert describe(only(found)).endswith(": no longer lost")


def test_how_a_certificate_stands_is_explained() -> None:
    """The status, then each cause with what it does and will do."""
    rules = FollowRules({**DEFAULT_RULES, Cause.RISK: FollowRule(Consequence.HOLD, after=2 * DAY)})
    beside = held(kept(Cause.DISABLED), kept(Cause.RISK), kept(Cause.UNLICENSED), kept(Cause.MOVED))
    lines = explain(beside, rules, NOW)
    since = "since 2026-11-19 12:00 UTC, as it was: "
    assert lines == (
        "on hold since 2026-11-19 12:00 UTC, until its causes end",
        f"disabled {since}holds it, and revokes it from 2026-12-19 12:00 UTC if it lasts",
        f"risk {since}holds it from 2026-11-21 12:00 UTC",
        f"unlicensed {since}nothing follows in this group",
        f"moved {since}revokes it from 2026-11-26 12:00 UTC, or once its new group has issued",
    )


@pytest.mark.parametrize(
    ("beside", "words"),
    [
        (certificate(), "good"),
        (certificate(revoked=True), "revoked for good"),
        (certificate(not_after=NOW), "expired 2026-11-20 12:00 UTC"),
        (
            held(held_by_others=True),
            "on hold since 2026-11-19 12:00 UTC, by an administrator, until a person releases it",
        ),
    ],
    ids=["good", "revoked", "expired", "held"],
)
def test_the_status_stands_first(beside: LiveCertificate, words: str) -> None:
    """Without causes it is all there is to say."""
    assert explain(beside, FollowRules(), NOW) == (words,)


# --- properties -------------------------------------------------------------------------------------------------------

MAYBE = st.none() | st.booleans()
RISKS = st.sampled_from([None, "low", "high", "unknown"])
DEVICE_STATES = st.builds(
    DeviceState,
    present=st.booleans(),
    managed=MAYBE,
    enabled=MAYBE,
    compliant=MAYBE,
    pending=st.sampled_from(PendingAction),
    lost=MAYBE,
    risk=RISKS,
)
USER_STATES = st.builds(UserState, present=st.booleans(), enabled=MAYBE, licensed=MAYBE, risk=RISKS)
TIMES = st.integers(0, 60).map(lambda days: NOW - days * DAY)
KEPT = st.lists(
    st.builds(FoundCause, st.sampled_from(Cause), TIMES, st.just("kept")), max_size=4, unique_by=lambda c: c.cause
)
CERTIFICATES = st.builds(
    LiveCertificate,
    id=st.uuids(),
    serial=st.integers(1, 1 << 64),
    group=st.sampled_from(["default", "lab"]),
    profile=st.just("device"),
    issued_at=TIMES,
    not_after=st.sampled_from([NOW - DAY, NOW + 100 * DAY]),
    of_user=st.booleans(),
    kept=KEPT.map(tuple),
    held_at=st.none() | TIMES,
    held_by_others=st.booleans(),
    revoked=st.booleans(),
    requested=st.none() | st.just(FoundCause(Cause.REQUESTED, NOW, "asked for")),
)
SPANS = st.sampled_from([timedelta(0), DAY, 10 * DAY])
RULES = st.dictionaries(
    st.sampled_from(Cause),
    st.builds(
        FollowRule,
        consequence=st.sampled_from(Consequence),
        reason=st.just(CEASED),
        after=SPANS,
        revoke_after=st.none() | SPANS,
    ),
)
GROUP_RULES = st.builds(
    FollowRules,
    rules=RULES,
    required_memberships=st.sampled_from([frozenset(), frozenset({"wifi"})]),
    required_licence=st.booleans(),
    users_count_for=st.sampled_from(UsersCountFor),
)
ALL_RULES = st.dictionaries(st.sampled_from(["default", "lab"]), GROUP_RULES)


@st.composite
def standings(draw: st.DrawFn) -> Standing:
    """Draw any device, any user and any certificates, also such as should not be."""
    machine = device(
        draw(DEVICE_STATES),
        group=draw(st.sampled_from([None, "default", "lab"])),
        memberships=draw(st.sampled_from([frozenset(), frozenset({"wifi"})])),
        memberships_known=draw(st.booleans()),
        state_since=draw(TIMES),
        id=draw(st.uuids()),
    )
    person = user(draw(USER_STATES), state_since=draw(TIMES), memberships_known=draw(st.booleans()))
    beside = draw(st.lists(CERTIFICATES, max_size=4, unique_by=lambda each: each.id))
    return Standing(
        draw(st.none() | st.just(machine)), draw(st.none() | st.just(person)), tuple(beside), draw(st.booleans())
    )


@given(standings(), ALL_RULES)
def test_following_again_does_nothing_more(before: Standing, rules: dict[str, FollowRules]) -> None:
    """Once its steps are done a standing has none, but where the first released what replaces a certificate."""
    first = follow(before, rules, NOW)
    after = applied(before, first, NOW)
    second = follow(after, rules, NOW)
    released = any(step.kind is StepKind.RELEASE for step in first)
    assert second == () or (released and {step.kind for step in second} == {StepKind.REVOKE})
    assert follow(applied(after, second, NOW), rules, NOW) == ()


@given(standings(), ALL_RULES)
def test_revoked_stays_revoked(before: Standing, rules: dict[str, FollowRules]) -> None:
    """REV-1: no step touches a certificate that is revoked, and none releases another's hold."""
    by_id = {each.id: each for each in before.certificates}
    for step in follow(before, rules, NOW):
        beside = by_id[step.certificate_id]
        assert not beside.revoked
        assert step.kind is not StepKind.RELEASE or (beside.held_at is not None and not beside.held_by_others)
        assert step.kind is not StepKind.HOLD or beside.held_at is None
        assert (step.reason is not None) == (step.kind is StepKind.REVOKE)


@given(st.lists(CERTIFICATES, max_size=4, unique_by=lambda each: each.id), ALL_RULES, st.booleans())
def test_unknown_facts_end_no_trust(
    beside: list[LiveCertificate],
    rules: dict[str, FollowRules],
    known: bool,  # noqa: FBT001 - drawn
) -> None:
    """CON-5: where nobody says anything of device and user, nothing is revoked or held, and nothing released."""
    quiet = [replace(each, requested=None, kept=tuple(c for c in each.kept if c.cause in UNSAID)) for each in beside]
    machine = device(group=None, user=None) if known else None
    unsaid = Standing(machine, user() if known else None, tuple(quiet))
    assert follow(unsaid, BY_DEFAULT, NOW) == ()
    # Rules that changed may let a hold end: that is the group's word, no fact.
    assert {step.kind for step in follow(unsaid, rules, NOW)} <= {StepKind.RELEASE}


UNSAID = frozenset({Cause.UNMANAGED, Cause.LOST, Cause.DISABLED, Cause.NON_COMPLIANT, Cause.RISK, Cause.REQUESTED})


@settings(max_examples=30)
@given(st.lists(standings(), max_size=3), ALL_RULES, st.randoms(use_true_random=False))
def test_the_order_of_devices_does_not_matter(
    several: list[Standing], rules: dict[str, FollowRules], dice: object
) -> None:
    """A plan has the same steps in whatever order devices come."""
    mixed = sorted(several, key=lambda _: dice.random())  # type: ignore[attr-defined]
    assert sorted(map(_key, plan(several, rules, NOW))) == sorted(map(_key, plan(mixed, rules, NOW)))


def _key(step: Step) -> tuple[UUID, str]:
    return step.certificate_id, describe(step)
