"""Contract of figures: what is counted is what a recount one by one finds, and what is kept comes back by group."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from fakes import MemoryStore
from history import write_history
from regalia.model import (
    CertificateKind,
    CertificateState,
    EnrolmentState,
    Revocation,
    RevocationReason,
    new_id,
)
from regalia.model.figures import Counted, Figure, Subject
from regalia.model.fleet import Cause, FoundCause
from regalia.ports import CertificateFilter, EnrolmentFilter
from store.fleet_samples import a_followed_hold, a_followed_revocation, issue
from store.samples import NOW, a_pending_enrolment, an_authority, an_enrolment, an_id, an_intent, octets

if TYPE_CHECKING:
    from uuid import UUID

    from regalia.ports import Store
    from regalia.store import SqlStore

DAY = timedelta(days=1)
MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)
TODAY = date(2026, 3, 1)


def unordered(figures: tuple[Figure, ...]) -> set[Figure]:
    """Return figures without their order; none of them twice."""
    assert len({replace(each, number=0) for each in figures}) == len(figures)
    return set(figures)


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_counts_equal_a_recount(sql: SqlStore, seed: int) -> None:
    """Each count of a history by dice is what going over it one by one gives, on both databases."""
    naive = MemoryStore()
    write_history(sql, naive, seed=seed, now=NOW)
    assert sql.first_issued() == naive.first_issued()
    for back in range(40):
        span = (MIDNIGHT - back * DAY, MIDNIGHT - (back - 1) * DAY)
        assert unordered(sql.count_outcomes(*span)) == unordered(naive.count_outcomes(*span))
    assert unordered(sql.count_standing(NOW)) == unordered(naive.count_standing(NOW))
    assert unordered(sql.count_devices(NOW)) == unordered(naive.count_devices(NOW))
    since = NOW - 30 * DAY
    assert unordered(sql.count_lapsed(since, NOW)) == unordered(naive.count_lapsed(since, NOW))
    for begin in (NOW - DAY, since):
        assert unordered(sql.count_ended(begin)) == unordered(naive.count_ended(begin))
        assert unordered(sql.count_waits(begin)) == unordered(naive.count_waits(begin))
    assert naive.count_waits(since)
    assert naive.count_lapsed(since, NOW)


def certificates(store: Store, **asked: object) -> int:
    """Count the certificates of a whole list, page by page."""
    wanted, found = CertificateFilter(limit=7, kind=CertificateKind.LEAF, **asked), 0  # type: ignore[arg-type]  # of any field
    while True:
        page = store.certificate_page(wanted)
        found += len(page.items)
        if page.following is None:
            return found
        wanted = replace(wanted, after=page.following)


@pytest.mark.parametrize("seed", [7, 8])
def test_each_number_is_the_length_of_its_list(store: Store, seed: int) -> None:
    """What is counted is what the list behind the number has in it, row by row, and no more."""
    write_history(store, seed=seed, now=NOW)
    for number, name in enumerate(("ca-a-1", "ca-a-2", "ca-b-1", "ca-b-2"), 1):
        store.add_authority(replace(an_authority(name, number=number), group=name[3]), ())
    issued: dict[str, object] = {"state": CertificateState.ISSUED}
    for back in range(35):
        begin, end = MIDNIGHT - back * DAY, MIDNIGHT - (back - 1) * DAY
        for each in store.count_outcomes(begin, end):
            at, group = frozenset({each.part, "no such"}), frozenset({each.group})
            if each.what:
                refused = EnrolmentFilter(EnrolmentState.REFUSED, groups=group, reason=each.what, endpoints=at)
                refused = replace(refused, changed_from=begin, changed_before=end)
                assert store.enrolment_page(refused).total == each.number
            else:
                between = {"begun_from": begin, "begun_before": end, "endpoints": at, "groups": group}
                assert certificates(store, **issued, **between) == each.number
    days = {"7": (0, 7), "30": (7, 30), "90": (30, 90), "": (90, 9_000)}
    for each in store.count_standing(NOW):
        after, by = (NOW + number * DAY for number in days[each.what])
        live = {"live_at": NOW, "revoked": False, "group": each.group, "authority": each.part}
        assert certificates(store, **live, ends_after=after, ends_by=by, by_end=True) == each.number
        assert certificates(store, **live, ends_after=after, ends_by=by) == each.number
    month = NOW - 30 * DAY
    lapsed = sum(each.number for each in store.count_lapsed(month, NOW))
    gone = {"expired_at": NOW, "revoked": False, "ends_after": month, "state": CertificateState.ISSUED}
    assert certificates(store, **gone, followed=False) == lapsed
    assert certificates(store, **gone, followed=True) + lapsed == certificates(store, **gone)
    for since in (NOW - DAY, month):
        for each in store.count_ended(since):
            ended = {"ended_from": since, "cause": each.part, "group": each.group}
            with_others = sum(
                x.number for x in store.count_ended(since) if (x.group, x.part) == (each.group, each.part)
            )
            assert certificates(store, **issued, revoked=True, **ended) == with_others


def test_nothing_is_counted_of_nothing(store: Store) -> None:
    """In an empty database every count is empty."""
    assert store.first_issued() is None
    assert store.count_outcomes(MIDNIGHT, MIDNIGHT + DAY) == ()
    assert store.count_standing(NOW) == store.count_devices(NOW) == store.count_lapsed(NOW - DAY, NOW) == ()
    assert store.count_ended(NOW - DAY) == store.count_waits(NOW - DAY) == ()


def test_an_outcome_has_its_day_and_its_way(store: Store) -> None:
    """What was issued and refused is counted by group, endpoint and reason, on the day of it (UTC)."""
    issued = an_enrolment(1)
    store.begin(an_intent(1, issued), (), enrolment=issued)
    assert store.finish(an_intent(1).id, b"der", NOW, ())
    begun = an_enrolment(2)
    store.begin(an_intent(2, begun), (), enrolment=begun)
    refused = replace(an_enrolment(3), state=EnrolmentState.REFUSED, reason_id="RA-018", certificate_id=None)
    store.record_refusal(replace(refused, updated_at=MIDNIGHT + DAY), ())
    waits = a_pending_enrolment(4)
    store.hold(waits, ())
    store.dismiss(waits.id, MIDNIGHT + DAY - timedelta(milliseconds=1), "RA-019", "", ())
    today = store.count_outcomes(MIDNIGHT, MIDNIGHT + DAY)
    assert unordered(today) == {Figure(1, "staff", "default"), Figure(1, "staff", "default", "RA-019")}
    tomorrow = store.count_outcomes(MIDNIGHT + DAY, MIDNIGHT + 2 * DAY)
    assert tomorrow == (Figure(1, "staff", "default", "RA-018"),)


def test_what_stands_is_counted_by_its_end(store: Store) -> None:
    """Live certificates are counted by issuer and by the days that they have left; what is on hold is not live."""
    ends = {1: 7 * DAY, 2: 8 * DAY, 3: 90 * DAY, 4: 91 * DAY, 5: 5 * DAY, 6: 5 * DAY}
    for number, left in ends.items():
        issue(store, number, not_after=NOW + left, device=an_id("device", number % 2))
    for number, end in ((5, a_followed_hold), (6, a_followed_revocation)):
        which = an_id("certificate", number)
        cause = FoundCause(Cause.LOST, NOW - timedelta(milliseconds=1_200), "said")
        store.follow(which, causes=(cause,), ended=(), status=end(which), release=False, at=NOW, events=())
    standing = {"7": 1, "30": 1, "90": 1, "": 1}
    expected = {Figure(number, "staff", "staff-ca", what) for what, number in standing.items()}
    assert unordered(store.count_standing(NOW)) == expected
    assert store.count_devices(NOW) == (Figure(2, "staff"),)
    ended = {Figure(1, "staff", "lost", "held"), Figure(1, "staff", "lost", "revoked")}
    assert unordered(store.count_ended(NOW - DAY)) == ended
    assert Figure(1, "staff", "lost", "1200") in store.count_waits(NOW - DAY)


def expired(store: Store, number: int, **changes: object) -> UUID:
    """Issue a certificate of nobody in particular that ended a day ago."""
    intent = replace(an_intent(number), device=None, not_after=NOW - DAY)
    intent = replace(intent, **changes)  # type: ignore[arg-type]  # of any field
    store.begin(intent, ())
    assert store.finish(intent.id, b"der", NOW, ())
    return intent.id


def test_what_nothing_came_after(store: Store) -> None:
    """What expired is counted where neither its chain went on nor its device began anew, and nobody had revoked it."""
    expired(store, 1)
    expired(store, 2, device="laptop-2")
    expired(store, 3, device_id=an_id("device", 3))
    revoked = expired(store, 4)
    store.revoke(Revocation(revoked, RevocationReason.SUPERSEDED, "administrator", "os:root", NOW - DAY), ())
    expired(store, 5, not_after=NOW - 31 * DAY)
    assert store.count_lapsed(NOW - 30 * DAY, NOW) == (Figure(3, "staff"),)
    expired(store, 6, device_id=an_id("device", 3), not_after=NOW + DAY)
    assert store.count_lapsed(NOW - 30 * DAY, NOW) == (Figure(2, "staff"),)
    expired(store, 7, device="laptop-2", group="other", not_after=NOW + DAY)
    assert store.count_lapsed(NOW - 30 * DAY, NOW) == (Figure(2, "staff"),)


def a_count(subject: Subject, *figures: Figure, day: date | None = None) -> Counted:
    """Return figures that were counted now."""
    return Counted(subject, NOW, figures, day)


def test_figures_come_back_by_group(store: Store) -> None:
    """AUTHZ-4: of what is kept everybody gets the sums of the groups that they see, and nothing of others."""
    outcomes = a_count(
        Subject.OUTCOMES, Figure(2, "a", "intune"), Figure(3, "b", "intune"), Figure(1, "b", "static", "X"), day=TODAY
    )
    standing = a_count(Subject.STANDING, Figure(5, "a", "ca-1", "7"), Figure(7, "b", "ca-2"))
    store.keep_figures((outcomes, standing))
    everything = {each.subject: unordered(each.figures) for each in store.figures(TODAY, None)}
    assert everything[Subject.OUTCOMES] == {Figure(5, "", "intune"), Figure(1, "", "static", "X")}
    assert everything[Subject.STANDING] == set(standing.figures)
    of_b = {each.subject: unordered(each.figures) for each in store.figures(TODAY, frozenset({"b", "c"}))}
    assert of_b[Subject.OUTCOMES] == {Figure(3, "", "intune"), Figure(1, "", "static", "X")}
    assert of_b[Subject.STANDING] == {Figure(7, "b", "ca-2")}
    assert {each.figures for each in store.figures(TODAY, frozenset())} == {()}


def test_a_count_takes_the_place_of_the_last_one(store: Store) -> None:
    """Of each subject and day the last count is kept, also one of nothing; days that are over can be forgotten."""
    old, before = TODAY - 40 * DAY, TODAY - DAY
    for day in (TODAY, before, old):
        store.keep_figures((a_count(Subject.OUTCOMES, Figure(1, "a", "intune"), day=day),))
    store.keep_figures((a_count(Subject.DEVICES, Figure(9, "a")),))
    again = Counted(Subject.OUTCOMES, NOW + DAY, (), TODAY)
    store.keep_figures((again,))
    assert store.figures_kept()[Subject.OUTCOMES, TODAY] == NOW + DAY
    kept = {(each.subject, each.day): each for each in store.figures(before, None)}
    assert set(kept) == {(Subject.OUTCOMES, TODAY), (Subject.OUTCOMES, before), (Subject.DEVICES, None)}
    assert kept[Subject.OUTCOMES, TODAY] == again
    store.forget_figures(before)
    assert set(store.figures_kept()) == set(kept)


def test_ids_tell_the_day(store: Store) -> None:
    """A certificate belongs to the day on which it was begun: the last millisecond of a day is not the next one's."""
    for number, at in ((1, MIDNIGHT), (2, MIDNIGHT + DAY - timedelta(milliseconds=1)), (3, MIDNIGHT + DAY)):
        enrolment = an_enrolment(number)
        intent = replace(an_intent(number, enrolment), id=new_id(at, octets(f"{number}", 10)), created_at=at)
        store.begin(intent, (), enrolment=replace(enrolment, certificate_id=intent.id))
        assert store.finish(intent.id, b"der", at, ())
    assert store.count_outcomes(MIDNIGHT, MIDNIGHT + DAY) == (Figure(2, "staff", "default"),)
