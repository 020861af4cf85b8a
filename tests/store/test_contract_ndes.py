"""Contract of the pages that hand out challenges."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from regalia.model import NO_NAMES, NdesEncoding, NdesPage
from regalia.ports import EventFilter, HandOut
from store.samples import MINUTE, NOW, a_challenge, an_enrolment, an_event, an_id, an_intent, octets

if TYPE_CHECKING:
    from datetime import datetime

    from regalia.model import Challenge
    from regalia.ports import Store


def a_page(endpoint: str = "default") -> NdesPage:
    """Return a page."""
    return NdesPage(
        endpoint=endpoint,
        user="EXAMPLE\\svc-ndes",
        password_hash="scrypt$16384$8$2$00$00",
        digits=32,
        encoding=NdesEncoding.UTF_16,
        cache=0,
        per_minute=300,
        networks=("192.0.2.0/24", "2001:db8::/32"),
        certsrv=False,
        allow_binding=True,
        changed_at=NOW,
    )


def a_handed(number: int, at: datetime = NOW, endpoint: str = "default") -> Challenge:
    """Return a challenge as a page makes it."""
    identity = an_id("handed", 0)
    millis = int(at.timestamp() * 1000)
    return replace(
        a_challenge(),
        id=type(identity)(bytes=millis.to_bytes(6, "big") + identity.bytes[6:12] + number.to_bytes(4, "big")),
        endpoint=endpoint,
        mac=octets(f"handed {endpoint} {number} {at}"),
        binding=NO_NAMES,
        device=None,
        created_at=at,
        created_by=f"ndes:{endpoint}",
        expires_at=at + 60 * MINUTE,
    )


def test_a_page_comes_back_as_it_was_put_in(store: Store) -> None:
    """A page is found by its endpoint, whatever was asked before, and another one takes its place."""
    assert store.ndes_page("default") is None
    assert store.set_ndes_page(a_page(), (an_event(1),))
    assert store.ndes_page("default") == a_page()
    other = replace(a_page(), encoding=NdesEncoding.UTF_8, cache=5, networks=(), digits=16, allow_binding=False)
    assert store.set_ndes_page(other, (an_event(2),))
    assert store.ndes_page("default") == other
    assert store.ndes_page("nul\0") is None
    assert [event.draft.object for event in store.events(EventFilter())] == ["challenge:1", "challenge:2"]


def test_a_page_is_removed_once(store: Store) -> None:
    """Removing answers True once; the page is gone at once, and so is its way from /certsrv."""
    store.set_ndes_page(replace(a_page(), certsrv=True), ())
    assert store.certsrv_endpoint() == "default"
    assert store.remove_ndes_page("default", (an_event(1),))
    assert store.ndes_page("default") is None
    assert store.certsrv_endpoint() is None
    assert not store.remove_ndes_page("default", (an_event(2),))
    assert [event.draft.object for event in store.events(EventFilter())] == ["challenge:1"]


def test_one_endpoint_at_most_has_microsofts_paths(store: Store) -> None:
    """Of two pages one has /certsrv; who comes second is told, and nothing of his is kept."""
    first, second = replace(a_page(), certsrv=True), replace(a_page("other"), certsrv=True)
    assert store.set_ndes_page(first, ())
    assert not store.set_ndes_page(second, (an_event(1),))
    assert store.ndes_page("other") is None
    assert store.certsrv_endpoint() == "default"
    assert store.set_ndes_page(first, ())
    assert store.set_ndes_page(a_page(), ())
    assert store.set_ndes_page(second, ())
    assert store.certsrv_endpoint() == "other"


def test_the_cache_of_a_page_is_full(store: Store) -> None:
    """A page that may have two open challenges gets a third when one was used, revoked or has expired."""
    page = replace(a_page(), cache=2)
    assert store.hand_out(a_handed(1), page, (an_event(1),)) is HandOut.KEPT
    assert store.challenge(a_handed(1).mac) == a_handed(1)
    assert store.hand_out(a_handed(2, NOW + MINUTE), page, ()) is HandOut.KEPT
    late = NOW + 2 * MINUTE
    assert store.hand_out(a_handed(3, late), page, (an_event(2),)) is HandOut.CACHE_FULL
    assert store.challenge(a_handed(3, late).mac) is None
    # Those of others, and of another endpoint, are not among them.
    store.add_challenge(a_challenge(5), ())
    assert store.hand_out(a_handed(1, late, "other"), replace(page, endpoint="other"), ()) is HandOut.KEPT
    enrolment = an_enrolment()
    store.begin(an_intent(1, enrolment), (), enrolment=enrolment, consume=a_handed(1).id)
    assert store.hand_out(a_handed(3, late), page, ()) is HandOut.KEPT
    assert store.hand_out(a_handed(4, late), page, ()) is HandOut.CACHE_FULL
    store.revoke_challenge(a_handed(2, NOW + MINUTE).id, late, ())
    assert store.hand_out(a_handed(4, late), page, ()) is HandOut.KEPT
    assert store.hand_out(a_handed(5, late + 59 * MINUTE), page, ()) is HandOut.CACHE_FULL
    assert store.hand_out(a_handed(5, late + 60 * MINUTE), page, ()) is HandOut.KEPT
    assert [event.draft.object for event in store.events(EventFilter())] == ["challenge:1"]


def test_a_page_is_not_asked_faster_than_it_may(store: Store) -> None:
    """A page that may hand out two challenges a minute hands out the third when the first is a minute old."""
    page = replace(a_page(), per_minute=2)
    assert store.hand_out(a_handed(1), page, ()) is HandOut.KEPT
    assert store.hand_out(a_handed(2, NOW + MINUTE / 2), page, ()) is HandOut.KEPT
    assert store.hand_out(a_handed(3, NOW + MINUTE), page, (an_event(1),)) is HandOut.TOO_FAST
    later = NOW + MINUTE + timedelta(milliseconds=1)
    assert store.hand_out(a_handed(3, later), page, ()) is HandOut.KEPT
    assert store.hand_out(a_handed(4, later), page, ()) is HandOut.TOO_FAST
    assert store.events(EventFilter()) == ()


def test_a_clock_that_was_set_back_closes_no_page(store: Store) -> None:
    """What was made in a future that is none any more is not of this minute; open it is all the same."""
    page = replace(a_page(), per_minute=1)
    assert store.hand_out(a_handed(1, NOW + 10 * MINUTE), page, ()) is HandOut.KEPT
    assert store.hand_out(a_handed(2), page, ()) is HandOut.KEPT
    assert store.hand_out(a_handed(3), page, ()) is HandOut.TOO_FAST
    assert store.hand_out(a_handed(3), replace(page, per_minute=9, cache=2), ()) is HandOut.CACHE_FULL


def test_two_that_find_the_last_place_do_not_both_get_it(store: Store) -> None:
    """Eight at once at a page with five places get five challenges."""
    page = replace(a_page(), cache=5)
    with ThreadPoolExecutor(8) as pool:
        ends = list(pool.map(lambda number: store.hand_out(a_handed(number), page, ()), range(8)))
    assert sorted(ends, key=str) == [HandOut.CACHE_FULL] * 3 + [HandOut.KEPT] * 5
    assert len(store.challenges("default")) == 5
