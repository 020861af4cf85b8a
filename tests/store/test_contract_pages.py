"""Contract of lists a page at a time: order, filters, reach and search, alike on both databases and in memory."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from regalia.model import CertificateKind, EnrolmentState, Names, San, SanKind
from regalia.ports import CertificateFilter, ChallengeFilter, EnrolmentFilter, EventFilter
from store.samples import NOW, a_challenge, an_endpoint, an_enrolment, an_event, an_id, an_intent, octets
from store.test_contract_certificates import a_revocation, ids, issue

if TYPE_CHECKING:
    from uuid import UUID

    from regalia.model import CertificateIntent
    from regalia.ports import Place, Store

DAY = timedelta(days=1)
LATER = NOW + DAY
"""When all samples are long settled."""


def an_own(number: int) -> CertificateIntent:
    """Return an intent whose names, device and group tell its number."""
    names = Names(f"laptop-{number:03}", frozenset({San(SanKind.DNS, f"laptop-{number:03}.fleet.example")}))
    return replace(
        an_intent(number),
        key_sha256=octets(f"key of {number}"),
        subject=f"CN=laptop-{number:03}",
        names=names,
        device=f"INV_{number:03}%",
        group="staff" if number % 2 else "guests",
        not_after=NOW + (10 + number % 3) * DAY,
    )


def fill(store: Store, indexed: int) -> Store:
    """Issue twelve certificates in two groups, and have the first of them indexed."""
    for number in range(1, 13):
        issue(store, number, an_own(number))
        if number == indexed:
            store.index_more(LATER)
    return store


@pytest.fixture
def filled(store: Store) -> Store:
    """Return a store with twelve certificates, of which half are in the index."""
    return fill(store, 6)


def listed(store: Store, **asked: object) -> list[UUID]:
    """Return the ids of all pages."""
    found: list[UUID] = []
    after: Place | None = None
    while True:
        page = store.certificate_page(CertificateFilter(after=after, **asked))  # type: ignore[arg-type]  # of any field
        found += [each.id for each in page.items]
        assert len(page.items) <= asked.get("limit", 50)  # type: ignore[operator]  # a number
        after = page.following
        if after is None:
            return found


def test_pages_make_the_list(filled: Store) -> None:
    """However long its pages are, a list has everything once, newest first; the first page counts it."""
    for limit in (1, 5, 12, 50):
        assert listed(filled, limit=limit) == ids(*range(12, 0, -1))
        assert filled.certificate_page(CertificateFilter(limit=limit)).total == 12
    last = filled.certificate_page(CertificateFilter(limit=5, after=(an_id("certificate", 5).hex,)))
    assert last.total is None


def test_pages_by_their_end(filled: Store) -> None:
    """What ends first comes first, what expired last comes first, page by page."""
    soonest = [number for rest in (0, 1, 2) for number in range(1, 13) if number % 3 == rest]
    for limit in (2, 50):
        assert listed(filled, by_end=True, live_at=NOW, limit=limit) == ids(*soonest)
        assert listed(filled, by_end=True, live_at=NOW + 10 * DAY, limit=limit) == ids(*soonest[4:])
        assert listed(filled, expired_at=NOW + 11 * DAY, limit=limit) == ids(*reversed(soonest[:8]))


def test_filters_narrow_pages(filled: Store) -> None:
    """Each filter holds on every page, alone and with the others."""
    filled.revoke(a_revocation(3), ())
    filled.revoke(a_revocation(8), ())
    assert listed(filled, revoked=True, limit=1) == ids(8, 3)
    assert listed(filled, revoked=True, search="laptop", limit=1) == ids(8, 3)
    assert listed(filled, revoked=False, limit=3) == ids(12, 11, 10, 9, 7, 6, 5, 4, 2, 1)
    assert listed(filled, group="guests", limit=4) == ids(12, 10, 8, 6, 4, 2)
    assert listed(filled, device="INV_004%") == ids(4)
    assert listed(filled, subject="CN=laptop-007") == ids(7)
    assert listed(filled, kind=CertificateKind.RA) == []
    assert listed(filled, kind=CertificateKind.LEAF, group="staff", live_at=NOW + 11 * DAY) == ids(11, 5)


def test_a_reach_bounds_every_page(filled: Store) -> None:
    """AUTHZ-4: whatever is asked, only rows of the groups of the reach are found, and of none where it is empty."""
    only = frozenset({"staff"})
    assert listed(filled, groups=only, limit=2) == ids(11, 9, 7, 5, 3, 1)
    assert listed(filled, groups=only, search="laptop", limit=2) == ids(11, 9, 7, 5, 3, 1)
    assert listed(filled, groups=only, group="guests") == []
    assert listed(filled, groups=only, device="INV_004%") == []
    assert listed(filled, groups=only, by_end=True, limit=4) == ids(3, 9, 1, 7, 5, 11)
    assert listed(filled, groups=frozenset({"staff", "guests", "x"}), limit=5) == ids(*range(12, 0, -1))
    assert listed(filled, groups=frozenset()) == []
    assert listed(filled, groups=frozenset(), search="laptop") == []


FOUND = {
    "laptop-00": (9, 8, 7, 6, 5, 4, 3, 2, 1),
    "LAPTOP-004": (4,),
    "  laptop-004  ": (4,),
    "p-004.fl": (4,),
    "cn=laptop-011": (11,),
    "inv_005%": (5,),
    "v_005%": (5,),
    "_____": (),
    "%%%": (),
    "guest": (12, 10, 8, 6, 4, 2),
    "g": (12, 10, 8, 6, 4, 2),
    "gu": (12, 10, 8, 6, 4, 2),
    "ue": (),
    "example": tuple(range(12, 0, -1)),
    "nothing of the kind": (),
    '"laptop-004"': (),
    "laptop OR guests": (),
    "laptop*": (),
}


@pytest.mark.parametrize("indexed", [0, 6, 12])
def test_a_search_finds_beginnings_and_middles(store: Store, indexed: int) -> None:
    """The beginning of any field is found, of three characters or more the middle, too; no character is special."""
    filled = fill(store, indexed)
    for text, numbers in FOUND.items():
        assert (text, listed(filled, search=text, limit=5)) == (text, ids(*numbers))
        assert filled.certificate_page(CertificateFilter(search=text)).total == len(numbers)


def test_a_search_finds_digests_by_their_beginning(filled: Store) -> None:
    """Serial, fingerprint and key are found by their first digits, by all of them, with colons, and by no others."""
    certificate = filled.certificate(an_id("certificate", 7))
    assert certificate is not None
    assert certificate.der is not None
    serial = f"{certificate.serial:x}"
    key = certificate.intent.key_sha256.hex()
    for text in (serial, serial.upper(), key, key[:10], key[:40]):
        assert listed(filled, search=text) == ids(7)
    assert listed(filled, search=":".join(key[at : at + 2] for at in range(0, 64, 2))) == ids(7)
    assert listed(filled, search=serial[:24] + "zz") == []
    assert listed(filled, search=key + "0") == []


def test_what_is_written_later_moves_no_page(filled: Store) -> None:
    """A page begins behind the last row of the page before, whatever was written or indexed meanwhile."""
    for text in ("", "laptop"):
        first = filled.certificate_page(CertificateFilter(search=text, limit=5))
        number = 21 if text else 20
        issue(filled, number, an_own(number))
        filled.index_more(LATER)
        second = filled.certificate_page(CertificateFilter(search=text, limit=5, after=first.following))
        below = list(range(12, 0, -1)) if not text else [20, *range(12, 0, -1)]
        assert [each.id for each in (*first.items, *second.items)] == ids(*below[:10])


def test_a_place_that_is_none_finds_nothing_or_a_page(filled: Store) -> None:
    """A place that nobody was given ends in a page of the caller's own rows, or an empty one, never in an error."""
    questions: list[dict[str, object]] = [{}, {"search": "laptop"}, {"by_end": True}, {"expired_at": NOW + 99 * DAY}]
    places: list[Place] = [("zz",), (5,), ("",), ("ab", "cd"), (1, 2, 3), ("00",)]
    for after in places:
        for asked in questions:
            asked |= {"after": after, "groups": frozenset({"staff"})}
            page = filled.certificate_page(CertificateFilter(**asked))  # type: ignore[arg-type]  # of any field
            assert {each.intent.group for each in page.items} <= {"staff"}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.one_of(st.text(max_size=100), st.text(alphabet="\"'\\%_*():-^+ \x1f\x00laptopINV0", max_size=30)))
def test_any_text_can_be_searched_for(filled: Store, text: str) -> None:
    """AUTHZ-4: no text makes a search fail, or find what the reach does not have."""
    page = filled.certificate_page(CertificateFilter(search=text, groups=frozenset({"staff"})))
    assert {each.intent.group for each in page.items} <= {"staff"}
    filled.enrolment_page(EnrolmentFilter(search=text))
    filled.challenge_page(ChallengeFilter(search=text))
    assert filled.event_page(EventFilter(search=text, groups=frozenset())).items == ()


def test_enrolments_in_pages(store: Store) -> None:
    """Enrolments come newest first by state, endpoint and reach, and are found by what they say."""
    for number in range(1, 7):
        enrolment = an_enrolment(number)
        group = "staff" if number % 2 else "guests"
        state = EnrolmentState.REFUSED
        store.record_refusal(
            replace(enrolment, group=group, state=state, asked=Names(f"phone-{number}"), source=f"192.0.2.{number}"), ()
        )
        if number == 3:
            store.index_more(LATER)

    def found(**asked: object) -> list[int]:
        numbers: list[int] = []
        after: Place | None = None
        while True:
            page = store.enrolment_page(EnrolmentFilter(after=after, limit=2, **asked))  # type: ignore[arg-type]  # of any field
            numbers += [int((each.asked.cn or "").removeprefix("phone-")) for each in page.items]
            after = page.following
            if after is None:
                return numbers

    assert found() == [6, 5, 4, 3, 2, 1]
    assert found(state=EnrolmentState.REFUSED, groups=frozenset({"staff"})) == [5, 3, 1]
    assert found(state=EnrolmentState.PENDING) == []
    assert found(endpoint="elsewhere") == []
    assert found(search="phone-2") == [2]
    assert found(search="192.0.2.5") == [5]
    assert found(search="phone", groups=frozenset({"guests"})) == [6, 4, 2]
    assert found(search=str(an_id("enrolment", 3))) == [3]
    assert found(search="transaction 4") == [4]
    assert store.forget_refusals(LATER) == 6
    assert found(search="phone") == []


def test_challenges_in_pages(store: Store) -> None:
    """Challenges come newest first by endpoint and reach, and are found by names, device and id."""
    store.add_endpoint(an_endpoint(), ())
    for number in range(1, 6):
        store.add_challenge(replace(a_challenge(number), device=f"device-{number}"), ())
        if number == 3:
            store.index_more(LATER)
    group = an_endpoint().group

    def found(**asked: object) -> list[str | None]:
        page = store.challenge_page(ChallengeFilter(**asked))  # type: ignore[arg-type]  # of any field
        return [each.device for each in page.items]

    assert found() == [f"device-{number}" for number in (5, 4, 3, 2, 1)]
    assert found(limit=2, after=(an_id("challenge", 4).hex,)) == ["device-3", "device-2"]
    assert found(endpoint="default", search="device-2") == ["device-2"]
    assert found(search=str(an_id("challenge", 4))) == ["device-4"]
    assert len(found(search="laptop-1.example", groups=frozenset({group}))) == 5
    assert found(groups=frozenset({"others"})) == found(search="device", groups=frozenset({"others"})) == []


def test_events_in_pages(store: Store) -> None:
    """Events come newest first by object, weight and reach, and are found by what they say."""
    for number in range(1, 7):
        store.record([an_event(number, group="staff" if number % 2 else None, security=number == 2)])

    def found(**asked: object) -> list[str]:
        numbers: list[str] = []
        after: Place | None = None
        while True:
            page = store.event_page(EventFilter(after=after, limit=4, **asked))  # type: ignore[arg-type]  # of any field
            numbers += [each.draft.object.removeprefix("challenge:") for each in page.items]
            after = page.following
            if after is None:
                return numbers

    assert found() == list("654321")
    assert found(groups=frozenset({"staff"})) == list("531")
    assert found(groups=frozenset({"staff"}), search="challenge") == list("531")
    assert found(object="challenge:4") == ["4"]
    assert found(security=True) == ["2"]
    assert found(search="CHALLENGE:5") == ["5"]
    assert found(search="no such") == []
    assert found(search="c") == list("654321")
    assert store.event_page(EventFilter(limit=1)).total == 6
