"""Limits of the API: each closes for who reached it, once on record, and opens again."""

from __future__ import annotations

from datetime import timedelta

from fakes import FakeClock, MemoryStore
from regalia import reasons
from regalia.ra.api_limits import ApiLimits
from regalia.ra.limits import Allowances

SOURCE = "2001:db8::1"
NEIGHBOUR = "2001:db8::2"


def test_an_address_that_guesses_is_refused_for_the_minute() -> None:
    """API-012, RES-6: wrong tokens count by IPv6 /64, the alarm is one event, and after the minute it is over."""
    clock, store = FakeClock(), MemoryStore()
    limits = ApiLimits(store, Allowances(wrong_tokens_per_source=2))
    for source in (SOURCE, NEIGHBOUR):
        assert limits.arrival(source, clock.now()) is None
        limits.refused(source, clock.now())
    for _ in range(3):
        limited = limits.arrival(SOURCE, clock.now())
        assert limited is not None
        assert limited.reason is reasons.API_SOURCE_GUESSING
    assert [event.draft.reason_id for event in store.log] == ["API-012"]
    assert limits.arrival("192.0.2.1", clock.now()) is None
    clock.advance(timedelta(minutes=1))
    assert limits.arrival(SOURCE, clock.now()) is None


def test_a_caller_has_so_many_requests() -> None:
    """API-011: the limit is a caller's own, wherever its requests come from."""
    clock, store = FakeClock(), MemoryStore()
    limits = ApiLimits(store, Allowances(requests_per_caller=1))
    assert limits.request("token:a", SOURCE, clock.now()) is None
    limited = limits.request("token:a", "192.0.2.1", clock.now())
    assert limited is not None
    assert (limited.reason, limited.retry_after) == (reasons.API_CALLER_BUSY, 60)
    assert limits.request("token:b", SOURCE, clock.now()) is None
