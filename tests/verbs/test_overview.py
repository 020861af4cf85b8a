"""What the first page shows: figures as they were counted, of the groups that the caller sees."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from history import ENDPOINTS, write_history
from regalia.jobs.figures import CountFigures
from regalia.model import Authoriser, CertificateState, EnrolmentState, Grant, Reach, Role
from regalia.model.figures import Counted, Figure, Subject
from regalia.ra.figures import begin_of
from regalia.ra.roles import EVERYTHING
from regalia.verbs import Caller, LocalDoor
from regalia.verbs import certificate as certs
from regalia.verbs import enrolment as enrolments
from regalia.verbs import overview as verbs
from store.samples import a_profile, an_endpoint
from world import ADMIN, World

if TYPE_CHECKING:
    from regalia.verbs.overview import OverviewShown

DAY = timedelta(days=1)


@pytest.fixture
def world() -> World:
    """Return a system with a history and the endpoints that it came by."""
    made = World()
    ways = {"intune-a": (Authoriser.CONNECTOR, "intune"), "static-a": (Authoriser.STATIC, None)}
    for name, (authoriser, connector) in ways.items():
        made.store.add_endpoint(replace(an_endpoint(name), group="a", authoriser=authoriser, connector=connector), ())
    made.store.add_endpoint(replace(an_endpoint("default-b"), group="b"), ())
    made.store.add_profile(replace(a_profile(), group="b"), ())
    write_history(made.store, seed=8, now=made.clock.now())
    return made


def overview(world: World, *groups: str) -> OverviewShown:
    """Ask as somebody who sees everything, or these groups."""
    grants = (Grant(Role.ADMIN, Reach(frozenset(groups))),) if groups else EVERYTHING
    return LocalDoor(world, Caller(ADMIN, grants)).ask(verbs.SHOW, verbs.ShowOverview())


def count(world: World) -> None:
    """Have everything counted."""
    CountFigures(world.store, world.clock).run(world.clock.now())


def test_before_anything_was_counted(world: World) -> None:
    """Until the job has run, every figure says that nobody has counted it."""
    shown = overview(world)
    assert [each.counted_at for each in shown.days] == [None] * 30
    assert [each.counted_at for each in (shown.today, shown.standing, shown.ended, shown.followed)] == [None] * 4
    assert (shown.today.usually_issued, shown.today.usually_refused, shown.followed.slowest_ms) == (None, None, None)
    assert (*shown.reasons, *shown.standing.by_group, *shown.ended.causes) == ()


@pytest.mark.parametrize("groups", [(), ("a",), ("b",), ("a", "b"), ("c",)])
def test_figures_are_those_of_ones_groups(world: World, groups: tuple[str, ...]) -> None:
    """AUTHZ-4: every number is the count of one's own groups alone, all of them of what is there."""
    count(world)
    shown, now = overview(world, *groups), world.clock.now()
    seen = groups or ("a", "b")
    begin = begin_of(shown.days[0].day)
    refused = Counter(
        each.reason_id
        for each in world.store._enrolments.values()  # noqa: SLF001 - a recount of everything
        if each.state is EnrolmentState.REFUSED and each.group in seen and each.updated_at >= begin
    )
    assert {each.reason: each.refused for each in shown.reasons} == refused
    assert sum(source.refused for day in shown.days for source in day.sources) == refused.total()
    live = [each for each in world.store.count_standing(now) if each.group in seen]
    assert shown.standing.certificates == sum(each.number for each in live)
    assert {each.group for each in shown.standing.by_group} == {each.group for each in live}
    assert sum(each.certificates for each in shown.standing.by_group) == shown.standing.certificates
    assert shown.standing.devices == total(world.store.count_devices(now), seen)
    assert shown.standing.lapsed == total(world.store.count_lapsed(now - 30 * DAY, now), seen)
    ended = total(world.store.count_ended(now - 30 * DAY), seen)
    assert sum(each.revoked + each.held for each in shown.ended.causes) == ended
    of_day = total(world.store.count_ended(now - DAY), seen)
    assert shown.ended.day_automatic + shown.ended.day_by_hand == of_day
    assert (ended > 0) is bool(live) is (groups != ("c",))


def total(figures: tuple[Figure, ...], groups: tuple[str, ...]) -> int:
    """Add up what is counted of some groups."""
    return sum(each.number for each in figures if each.group in groups)


@pytest.mark.parametrize("groups", [(), ("a",)])
def test_each_number_leads_to_its_list(world: World, groups: tuple[str, ...]) -> None:
    """AUTHZ-4: lists can be narrowed to exactly what each number has counted, for whoever sees it."""
    count(world)
    shown = overview(world, *groups)
    door = LocalDoor(world, Caller(ADMIN, (Grant(Role.ADMIN, Reach(frozenset(groups))),) if groups else EVERYTHING))

    def certificates(**asked: object) -> str | None:
        return door.ask(certs.LIST, certs.ListCertificates.model_validate(asked)).total

    def refused(**asked: object) -> str | None:
        state = EnrolmentState.REFUSED
        return door.ask(enrolments.LIST, enrolments.ListEnrolments.model_validate(asked | {"state": state})).total

    issued, first = {"state": CertificateState.ISSUED}, shown.days[0].day
    for day in shown.days:
        for each in day.sources:
            between = {"issued_from": day.day, "issued_to": day.day, "source": each.source}
            assert certificates(**issued, **between) == str(each.issued)
            decided = {"decided_from": day.day, "decided_to": day.day, "source": each.source}
            assert refused(**decided) == str(each.refused)
    for reason in shown.reasons:
        assert refused(decided_from=first, reason=reason.reason) == str(reason.refused)
    assert certificates(revoked=False) == str(shown.standing.certificates)
    for part in shown.standing.ending:
        within = {"ends_beyond": part.from_day, "ends_within": part.to_day}
        assert certificates(revoked=False, sort="expiry", **within) == str(part.certificates)
    lapsed = {"expired": True, "expired_within": 30, "revoked": False, "followed": False}
    assert certificates(**lapsed, **issued) == str(shown.standing.lapsed)
    for cause in shown.ended.causes:
        ended = {"revoked": True, "ended_within": 30, "cause": cause.cause}
        assert certificates(**issued, **ended) == str(cause.revoked + cause.held)
    of_day = str(shown.ended.day_automatic + shown.ended.day_by_hand)
    assert certificates(**issued, revoked=True, ended_within=1) == of_day
    assert certificates(**issued, source="connector:of nobody") == "0"


def test_ways_have_the_names_of_their_connectors(world: World) -> None:
    """Enrolments are told by the connector that vouched, or by the kind of what did."""
    count(world)
    found = {source.source for day in overview(world).days for source in day.sources}
    assert found == {"connector:intune", "static", "one-time", "by-hand"}
    of_a = {source.source for day in overview(world, "a").days for source in day.sources}
    assert of_a == {"connector:intune", "static"}
    assert set(ENDPOINTS.values()) == {"a", "b"}


def test_what_is_usual_is_the_same_weekday_of_four_weeks(world: World) -> None:
    """Beside today stand the medians of the same weekday: issued by this time, refused on the whole day."""
    today, now = world.clock.now().date(), world.clock.now()
    for back, issued, refused in ((1, 10, 2), (2, 12, 0), (3, 90, 5), (4, 11, 41)):
        day = today - back * 7 * DAY
        world.store.keep_figures((Counted(Subject.SO_FAR, now, (Figure(issued, "a"), Figure(1, "b")), day),))
        figures = (Figure(100, "a", "intune-a"), Figure(refused, "a", "intune-a", "RA-018"))
        world.store.keep_figures((Counted(Subject.OUTCOMES, now, figures, day),))
    of_today = (
        Figure(7, "a", "intune-a"),
        Figure(38, "a", "intune-a", "RA-018"),
        Figure(3, "b", "default-b", "CA-001"),
    )
    world.store.keep_figures((Counted(Subject.OUTCOMES, now, of_today, today),))
    shown = overview(world).today
    assert (shown.issued, shown.usually_issued, shown.refused, shown.usually_refused) == (7, 13, 41, 4)
    shown = overview(world, "b").today
    assert (shown.issued, shown.usually_issued, shown.refused, shown.usually_refused) == (0, 1, 3, 0)
    assert [(each.reason, each.today) for each in overview(world).reasons] == [("RA-018", 38), ("CA-001", 3)]


def test_how_long_it_took_until_something_followed(world: World) -> None:
    """The slowest and the median of what followed today are those of all groups together."""
    now = world.clock.now()
    waits = (Figure(2, "a", "wiped", "900"), Figure(1, "b", "lost", "1200"), Figure(2, "b", "lost", "300"))
    world.store.keep_figures((Counted(Subject.WAITED, now, waits),))
    shown = overview(world).followed
    assert (shown.certificates, shown.slowest_ms, shown.median_ms) == (5, 1_200, 900)
    assert overview(world, "a").followed.slowest_ms == 900
