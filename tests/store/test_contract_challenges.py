"""Contract of one-time challenges."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from regalia.model import NO_NAMES
from regalia.ports import EventFilter
from store.samples import MINUTE, NOW, a_challenge, an_enrolment, an_event, an_id, an_intent

if TYPE_CHECKING:
    from regalia.ports import Store


def test_a_challenge_is_found_by_hash_and_by_id(store: Store) -> None:
    """A challenge comes back as it was put in; another hash or id finds nothing (CHA-1)."""
    store.add_challenge(a_challenge(1), ())
    bearer = replace(a_challenge(2), binding=NO_NAMES, device=None)
    store.add_challenge(bearer, ())
    assert store.challenge(a_challenge(1).mac) == a_challenge(1)
    assert store.challenge_by_id(bearer.id) == bearer
    assert store.challenge(bytes(32)) is None
    assert store.challenge_by_id(an_id("challenge", 3)) is None


def test_challenges_are_listed_newest_first(store: Store) -> None:
    """The list is newest first, of all endpoints or of one."""
    other = replace(a_challenge(2), endpoint="other")
    for challenge in (a_challenge(1), other, a_challenge(3)):
        store.add_challenge(challenge, ())
    assert store.challenges() == (a_challenge(3), other, a_challenge(1))
    assert store.challenges("default") == (a_challenge(3), a_challenge(1))
    assert store.challenges("nobody") == ()


def test_a_challenge_is_revoked_once(store: Store) -> None:
    """Revoking answers True once; a revoked challenge is not consumed any more."""
    store.add_challenge(a_challenge(), ())
    assert store.revoke_challenge(a_challenge().id, NOW + MINUTE, (an_event(1),))
    assert not store.revoke_challenge(a_challenge().id, NOW + 2 * MINUTE, (an_event(2),))
    assert not store.revoke_challenge(an_id("challenge", 9), NOW, (an_event(3),))
    assert store.challenge_by_id(a_challenge().id) == replace(a_challenge(), revoked_at=NOW + MINUTE)
    assert [event.draft.object for event in store.events(EventFilter())] == ["challenge:1"]


def test_a_used_challenge_is_not_revoked(store: Store) -> None:
    """What was consumed stays as it was consumed."""
    store.add_challenge(a_challenge(), ())
    enrolment = an_enrolment()
    store.begin(an_intent(1, enrolment), (), enrolment=enrolment, consume=a_challenge().id)
    assert not store.revoke_challenge(a_challenge().id, NOW, ())
    stored = store.challenge_by_id(a_challenge().id)
    assert stored is not None
    assert stored.revoked_at is None
