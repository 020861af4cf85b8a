"""Contract of challenges, one-time and static."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from regalia.model import NO_NAMES
from regalia.ports import Begun, EventFilter
from store.samples import (
    MINUTE,
    NOW,
    a_challenge,
    a_key,
    a_static_challenge,
    an_enrolment,
    an_event,
    an_id,
    an_intent,
    at_once,
)

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


def test_a_static_challenge_is_never_consumed(store: Store) -> None:
    """A static challenge comes back as one, and nothing uses it up, whoever asks (CHA-2)."""
    store.add_challenge(a_static_challenge(), ())
    enrolment = an_enrolment(1, replace(a_key(1), challenge_mac=a_static_challenge().mac))
    begun = store.begin(an_intent(1, enrolment), (), enrolment=enrolment, consume=a_static_challenge().id)
    assert begun is Begun.CHALLENGE_TAKEN
    assert store.certificate(an_intent(1).id) is None
    assert store.challenge(a_static_challenge().mac) == a_static_challenge()
    assert store.begin(an_intent(1, enrolment), (), enrolment=enrolment) is Begun.BEGUN
    assert store.revoke_challenge(a_static_challenge().id, NOW, ())


def test_a_rotated_challenge_is_good_for_a_while(store: Store) -> None:
    """The one before ends when the overlap does, every older one at once: never more than two are good (CHA-2)."""
    until = NOW + timedelta(days=7)
    for number in (1, 2, 3):
        store.rotate_challenge(a_static_challenge(number), until, (an_event(number),))
    first, second, third = (store.challenge_by_id(a_static_challenge(number).id) for number in (1, 2, 3))
    assert first == replace(a_static_challenge(1), expires_at=until, revoked_at=a_static_challenge(3).created_at)
    assert second == replace(a_static_challenge(2), expires_at=until)
    assert third == a_static_challenge(3)
    assert [event.draft.object for event in store.events(EventFilter())] == [f"challenge:{n}" for n in (1, 2, 3)]


def test_a_rotation_never_prolongs(store: Store) -> None:
    """What ends before the overlap does ends then; what was revoked or has ended stays as it is (CHA-2)."""
    soon = a_static_challenge(1, expires_at=NOW + MINUTE)
    revoked = a_static_challenge(2, revoked_at=NOW)
    ended = a_static_challenge(3, expires_at=NOW)
    for challenge in (soon, revoked, ended):
        store.add_challenge(challenge, ())
    store.rotate_challenge(a_static_challenge(4), NOW + timedelta(days=7), ())
    assert store.challenges() == (a_static_challenge(4), ended, revoked, soon)


def test_a_rotation_may_end_the_older_at_once(store: Store) -> None:
    """Without an overlap the older one is revoked, so that no clock set back brings it back (CHA-2)."""
    store.rotate_challenge(a_static_challenge(1), NOW, ())
    new = a_static_challenge(2)
    store.rotate_challenge(new, new.created_at, ())
    assert store.challenge_by_id(a_static_challenge(1).id) == replace(a_static_challenge(1), revoked_at=new.created_at)


def test_the_one_in_use_is_the_one_that_lasts(store: Store) -> None:
    """A clock that was set back makes the challenge in use no older than the one that it replaced (CHA-2)."""
    until = NOW + timedelta(days=7)
    before, current, new = a_static_challenge(3), a_static_challenge(1), a_static_challenge(2)
    for challenge in (before, current, new):
        store.rotate_challenge(challenge, until, ())
    good = [c.id for c in store.challenges("default") if c.revoked_at is None]
    assert set(good) == {current.id, new.id}


def test_a_rotation_leaves_others_alone(store: Store) -> None:
    """One-time challenges of the endpoint and static ones of others stay as they are."""
    others = (a_challenge(1), a_static_challenge(2, endpoint="other"))
    for challenge in others:
        store.add_challenge(challenge, ())
    for number in (3, 4, 5):
        store.rotate_challenge(a_static_challenge(number), NOW, ())
    assert tuple(store.challenge_by_id(challenge.id) for challenge in others) == others


def test_of_many_rotations_at_once_two_are_good(store: Store) -> None:
    """Administrators who rotate at the same time leave at most two good challenges, too (CHA-2)."""
    until = NOW + timedelta(days=7)
    at_once(6, lambda number: store.rotate_challenge(a_static_challenge(number), until, ()))
    at = NOW + MINUTE
    good = [c for c in store.challenges("default") if c.revoked_at is None and c.expires_at > at]
    assert len(store.challenges("default")) == 6
    assert len(good) == 2
