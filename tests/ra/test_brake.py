"""The brake (REV-7): how much a run may end, who counts as absent, and how two administrators let it go."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet_scene import DAY, NOW, certificate, device, standing
from regalia.model.certificate import RevocationReason
from regalia.model.event import Actor, ActorKind
from regalia.model.fleet import Cause, DeviceState, FoundCause, Step, StepKind
from regalia.ra.brake import (
    Brake,
    SweepOutcome,
    Tally,
    fingerprint,
    is_absent,
    let_go,
    missed_after,
    still_shown,
)
from regalia.ra.following import Standing, plan

BRAKE = Brake()
ADA = Actor(ActorKind.ADMIN, "ada")
GRACE = Actor(ActorKind.ADMIN, "grace")


def step(number: int, kind: StepKind = StepKind.REVOKE, group: str = "default", **changes: object) -> Step:
    """Return a step of a plan."""
    reason = RevocationReason.CESSATION_OF_OPERATION if kind is StepKind.REVOKE else None
    causes = (FoundCause(Cause.ABSENT, NOW, "the device is in the inventory no more"),)
    made = Step(kind, UUID(int=number), number, group, f"device-{number}", causes, reason=reason)
    return replace(made, **changes)  # type: ignore[arg-type]


def tally(steps: list[Step]) -> Tally:
    """Count steps."""
    made = Tally()
    for each in steps:
        made.add(each)
    return made


def many(count: int, kind: StepKind = StepKind.REVOKE, group: str = "default") -> list[Step]:
    """Return so many steps of a kind."""
    return [step(number, kind, group) for number in range(count)]


# --- how much ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("live", "most"), [(0, 20), (10, 20), (400, 20), (419, 20), (420, 21), (1_000, 50), (100_000, 5_000)]
)
def test_a_run_may_end_five_percent_or_twenty(live: int, most: int) -> None:
    """REV-7: the greater of the two passes, one more stops."""
    other = {"default": live, "other": 1_000_000}
    assert BRAKE.stops(tally(many(most)), other) == ()
    (stop,) = BRAKE.stops(tally(many(most + 1)), other)
    assert (stop.group, stop.ends, stop.live, stop.limit) == ("default", most + 1, live, most)


def test_all_groups_together_have_their_limit() -> None:
    """REV-7: small groups that each stay below their limit are stopped as a whole."""
    steps = [each for group in "abcd" for each in many(15, group=group)]
    (stop,) = BRAKE.stops(tally(steps), dict.fromkeys("abcd", 100))
    assert (stop.group, stop.ends, stop.live, stop.limit) == (None, 60, 400, 20)
    assert str(stop) == (
        "all groups together: 60 of 400 live certificates would be revoked or held,"
        " and 20 may be without two administrators"
    )


def test_holds_count_and_releases_and_notes_do_not() -> None:
    """What ends trust counts, for now or for good."""
    assert BRAKE.stops(tally(many(21, StepKind.HOLD)), {"default": 100})
    harmless = many(500, StepKind.RELEASE) + many(500, StepKind.NOTE)
    counted = tally(harmless)
    assert BRAKE.stops(counted, {"default": 600}) == ()
    assert counted.kinds == {StepKind.RELEASE: 500, StepKind.NOTE: 500}


def test_many_small_runs_are_one_large_one() -> None:
    """REV-7: what ended by itself shortly before counts along, and alone stops nothing."""
    live = {"default": 100}
    stops = BRAKE.stops(tally(many(1)), live, already={"default": 20})
    assert [(stop.group, stop.already) for stop in stops] == [("default", 20), (None, 20)]
    assert "after 20 shortly before" in str(stops[0])
    assert BRAKE.stops(tally(many(9, StepKind.NOTE)), live, already={"default": 90}) == ()


def test_a_mass_deletion_revokes_nobody_by_itself() -> None:
    """REV-7: a fleet of which all devices are gone is a run that stops."""
    fleet = (
        Standing(device(DeviceState(present=False), number), None, (certificate(number),)) for number in range(1, 200)
    )
    counted = Tally()
    assert sum(1 for _ in counted.counted(plan(fleet, {}, NOW))) == 199
    assert [stop.ends for stop in BRAKE.stops(counted, {"default": 1_000})] == [199, 199]


GROUPS = st.sampled_from(["a", "b", "c"])
STEPS = st.lists(st.builds(step, st.integers(0, 1 << 32), st.sampled_from(StepKind), GROUPS), max_size=80)


@settings(max_examples=40)
@given(STEPS, st.data(), st.dictionaries(GROUPS, st.integers(0, 1_000)))
def test_what_stops_stays_stopped(steps: list[Step], data: st.DataObject, live: dict[str, int]) -> None:
    """REV-7: a run that ends more is stopped wherever one that ends less is, and by a stricter brake as well."""
    fewer = steps[: data.draw(st.integers(0, len(steps)))]
    stopped = {stop.group for stop in Brake(least=5).stops(tally(fewer), live)}
    assert stopped <= {stop.group for stop in Brake(least=5).stops(tally(steps), live)}
    assert stopped <= {stop.group for stop in Brake(percent=2, least=3).stops(tally(fewer), live)}


# --- absence ----------------------------------------------------------------------------------------------------------


def test_two_complete_sweeps_make_absent() -> None:
    """REV-7: one sweep without it is none, two in a row are, and one that shows it begins anew."""
    sweep = SweepOutcome(complete=True, full=True, seen=99)
    once = missed_after(0, sweep, shown=False)
    assert not is_absent(once)
    assert is_absent(missed_after(once, sweep, shown=False))
    assert missed_after(once, sweep, shown=True) == 0


@pytest.mark.parametrize(
    "sweep",
    [
        SweepOutcome(complete=False, full=True, seen=99),
        SweepOutcome(complete=True, full=False, seen=99),
        SweepOutcome(complete=True, full=True, seen=0),
        SweepOutcome(complete=False, full=True, seen=0),
    ],
    ids=["broken off", "a delta", "empty", "an outage"],
)
def test_who_was_not_shown_everything_misses_nobody(sweep: SweepOutcome) -> None:
    """CON-5, REV-7: an outage, half a sweep, a delta and an empty answer say nobody is absent, however often."""
    missed = 1
    for _ in range(10):
        missed = missed_after(missed, sweep, shown=False)
    assert not is_absent(missed)


def test_the_systems_own_word_needs_no_sweep() -> None:
    """What the system says is gone for good is absent at once."""
    assert is_absent(0, gone=True)


# --- the digest -------------------------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(STEPS, st.randoms(use_true_random=False))
def test_the_digest_does_not_know_the_order(steps: list[Step], dice: object) -> None:
    """The same steps in another order are the same plan."""
    mixed = sorted(steps, key=lambda _: dice.random())  # type: ignore[attr-defined]
    assert tally(mixed).digest == tally(steps).digest


@pytest.mark.parametrize(
    "other",
    [
        [],
        [step(1)],
        [step(1), step(2), step(2)],
        [step(1), step(3)],
        [step(1), step(2, StepKind.HOLD)],
        [step(1), step(2, group="lab")],
        [step(1), step(2, reason=RevocationReason.KEY_COMPROMISE)],
        [step(1), step(2, causes=(FoundCause(Cause.WIPED, NOW, ""),))],
    ],
)
def test_another_plan_has_another_digest(other: list[Step]) -> None:
    """Certificate, kind, group, reason, causes and number all count."""
    assert tally(other).digest != tally([step(1), step(2)]).digest


def test_what_ends_no_trust_and_how_it_is_worded_is_not_in_the_digest() -> None:
    """A note more, or evidence that is spelled otherwise, does not void what two people agreed to."""
    shown = tally([step(1)]).digest
    worded = step(1, causes=(FoundCause(Cause.ABSENT, NOW + DAY, "404"),))
    assert tally([worded, step(2, StepKind.NOTE), step(3, StepKind.RELEASE)]).digest == shown


def test_the_digest_of_a_plan_is_stable() -> None:
    """It is stored while it waits: another version of Regalia gives the same."""
    assert tally([step(1), step(2)]).digest == "e8301543bfef7fc5323a717821ccbe519c7b19b6e73931e8189a7e4f580e6229"


# --- letting go -------------------------------------------------------------------------------------------------------


def test_two_different_administrators_let_go() -> None:
    """REV-7: one does not, the same twice does not, two do."""
    one = let_go(None, "plan", ADA, NOW)
    twice = let_go(one, "plan", ADA, NOW + timedelta(hours=1))
    two = let_go(twice, "plan", GRACE, NOW + timedelta(hours=2))
    assert [each.goes_on("plan", NOW + timedelta(hours=3)) for each in (one, twice, two)] == [False, False, True]
    assert [each.actor for each in two.consents] == ["ada", "grace"]


def test_it_is_let_go_for_one_plan_only() -> None:
    """REV-7: another plan needs both again."""
    both = let_go(let_go(None, "plan", ADA, NOW), "plan", GRACE, NOW)
    assert not both.goes_on("other", NOW)
    assert not let_go(both, "other", ADA, NOW).goes_on("other", NOW)


def test_a_word_counts_for_a_day() -> None:
    """What was agreed to long ago is asked for again."""
    both = let_go(let_go(None, "plan", ADA, NOW), "plan", GRACE, NOW + timedelta(hours=23))
    assert both.goes_on("plan", NOW + timedelta(hours=23))
    assert not both.goes_on("plan", NOW + timedelta(hours=24))


@pytest.mark.parametrize("kind", [ActorKind.SYSTEM, ActorKind.DEVICE])
def test_only_administrators_let_go(kind: ActorKind) -> None:
    """REV-7: no job and no device does."""
    with pytest.raises(ValueError, match="administrator"):
        let_go(None, "plan", Actor(kind, "x"), NOW)


def test_what_is_done_is_what_was_shown() -> None:
    """REV-7: of the steps that are due by now, those that were shown and those that end no trust."""
    shown = {fingerprint(each) for each in (step(1), step(2))}
    graver = step(2, causes=(FoundCause(Cause.WIPED, NOW, ""),))
    now_due = [step(1), graver, step(3), step(4, StepKind.RELEASE)]
    assert list(still_shown(now_due, shown)) == [step(1), step(4, StepKind.RELEASE)]


def test_a_plan_that_was_let_go_is_the_plan_of_its_devices() -> None:
    """A later run over the same devices has the same digest, whatever was heard of them since."""
    lost = [standing(DeviceState(lost=True), certificate(number), number=number) for number in range(1, 30)]
    first, second = Tally(), Tally()
    assert list(first.counted(plan(lost, {}, NOW)))
    heard = [replace(each, device=device(DeviceState(lost=True), seen_at=NOW, state_since=NOW)) for each in lost]
    assert list(second.counted(plan(reversed(heard), {}, NOW + DAY)))
    assert first.digest == second.digest
