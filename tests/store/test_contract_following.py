"""Contract of what follows for certificates: causes, holds that several want, and whom certificates are bound to."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from regalia.errors import InvariantError
from regalia.model import Hold, Revocation, RevocationReason
from regalia.model.fleet import Cause, FoundCause
from regalia.ports import EventFilter
from regalia.ports.fleet import AGREED, Bearer, KeptCause
from store.fleet_samples import LATER, a_device, a_followed_hold, a_followed_revocation, a_user, issue
from store.samples import MINUTE, NOW, an_event, an_id, an_intent, at_once

if TYPE_CHECKING:
    from uuid import UUID

    from regalia.model import Certificate
    from regalia.ports import Store
    from regalia.store import SqlStore

LOST = FoundCause(Cause.LOST, NOW, "isLost is true")
RISK = FoundCause(Cause.RISK, NOW - MINUTE, "risk is high")
DEVICE = an_id("device", 1)


def follow(
    store: Store,
    which: UUID,
    *causes: FoundCause,
    ended: tuple[Cause, ...] = (),
    status: Revocation | Hold | None = None,
    release: bool = False,
) -> bool:
    """Follow, with an event."""
    return store.follow(
        which, causes=causes, ended=ended, status=status, release=release, at=LATER, events=(an_event(),)
    )


def status(store: Store, which: UUID) -> RevocationReason | None:
    """Return how a certificate stands."""
    found: Certificate | None = store.certificate(which)
    assert found is not None
    return None if found.revocation is None else found.revocation.reason


def lasting(store: Store, which: UUID) -> list[Cause | None]:
    """Return the causes that hold."""
    return [each.cause for each in store.causes_of([which]) if each.ended_at is None]


def by_hand(which: UUID) -> Hold:
    """Return an administrator's hold."""
    return Hold(which, "administrator", "os:root", LATER, "asked for by its user")


def test_causes_are_kept_one_by_one(store: Store) -> None:
    """REV-1: each cause is kept with its evidence, again under its own time, and ends by itself."""
    which, other = issue(store, 1), issue(store, 2)
    assert follow(store, which, LOST, RISK)
    assert follow(store, other, LOST)
    again = replace(LOST, since=NOW - 2 * MINUTE, why="isLost is still true")
    assert follow(store, which, again, ended=(Cause.RISK,))
    assert store.causes_of([which]) == (
        KeptCause(which, Cause.LOST, again.since, again.why, LATER),
        KeptCause(which, Cause.RISK, RISK.since, RISK.why, LATER, LATER),
    )
    assert follow(store, which, RISK, ended=(Cause.ABSENT,))
    assert lasting(store, which) == [Cause.LOST, Cause.RISK]
    assert len(store.causes_of([which, other])) == 4
    assert store.causes_of([]) == ()
    assert store.causes_of([an_id("certificate", 9)]) == ()
    many = [which, *(an_id("certificate", number) for number in range(100, 400)), other]
    assert len(store.causes_of(many)) == 4
    assert status(store, which) is None


def test_what_follows_is_one_with_its_causes(store: Store) -> None:
    """REV-1: a hold, its end and a revocation come with their causes and events, or none of it does."""
    which = issue(store, 1)
    assert follow(store, which, LOST, status=a_followed_hold(which))
    assert status(store, which) is RevocationReason.CERTIFICATE_HOLD
    assert not follow(store, which, RISK, status=a_followed_hold(which))
    assert lasting(store, which) == [Cause.LOST]
    assert follow(store, which, ended=(Cause.LOST,), release=True)
    assert status(store, which) is None
    assert lasting(store, which) == []
    assert not follow(store, which, RISK, release=True)
    assert follow(store, which, RISK, status=a_followed_revocation(which))
    assert status(store, which) is RevocationReason.CESSATION_OF_OPERATION
    for late in (a_followed_revocation(which), a_followed_hold(which)):
        assert not follow(store, which, LOST, status=late)
    assert not follow(store, which, LOST, release=True)
    assert lasting(store, which) == [Cause.RISK]
    assert [held.released for held in store.holds(which)] == [True]
    assert len(store.events(EventFilter())) == 3


def test_what_follows_is_known_as_such(sql: SqlStore) -> None:
    """A status that does not say that it follows, or is of another certificate, is a fault of the caller."""
    which = issue(sql, 1)
    for wrong in (by_hand(which), a_followed_hold(an_id("certificate", 2))):
        with pytest.raises(InvariantError):
            follow(sql, which, LOST, status=wrong)
    unknown = an_id("certificate", 9)
    assert not follow(sql, unknown, status=a_followed_hold(unknown))
    assert not follow(sql, unknown, status=a_followed_revocation(unknown))
    assert not follow(sql, unknown, release=True)


def test_an_administrator_holds_beside_it(store: Store) -> None:
    """REV-1: what is held by following and by an administrator is held until neither wants it, his share last."""
    which = issue(store, 1)
    follow(store, which, LOST, status=a_followed_hold(which))
    assert store.hold_certificate(by_hand(which), (an_event(),))
    assert not store.hold_certificate(by_hand(which), (an_event(),))
    assert set(lasting(store, which)) == {Cause.LOST, None}
    assert not follow(store, which, ended=(Cause.LOST,), release=True)
    assert follow(store, which, ended=(Cause.LOST,))
    assert status(store, which) is RevocationReason.CERTIFICATE_HOLD
    assert store.release_certificate(which, LATER, "os:root", "", (an_event(),))
    assert status(store, which) is None
    assert lasting(store, which) == []


def test_an_administrator_gives_up_his_share(store: Store) -> None:
    """REV-1: an administrator's release ends his share alone while a cause lasts, and the hold goes on."""
    which = issue(store, 1)
    follow(store, which, LOST, status=a_followed_hold(which))
    store.hold_certificate(by_hand(which), ())
    assert store.release_certificate(which, LATER, "os:root", "", (an_event(),))
    assert status(store, which) is RevocationReason.CERTIFICATE_HOLD
    assert lasting(store, which) == [Cause.LOST]
    assert follow(store, which, ended=(Cause.LOST,), release=True)
    assert status(store, which) is None
    assert [held.released for held in store.holds(which)] == [True]


def test_who_was_first_is_not_released(store: Store) -> None:
    """REV-1: what an administrator held before anything followed stays held when the causes end."""
    which = issue(store, 1)
    assert store.hold_certificate(by_hand(which), ())
    assert store.causes_of([which]) == (KeptCause(which, None, LATER, "asked for by its user", LATER),)
    assert not follow(store, which, LOST, status=a_followed_hold(which))
    assert follow(store, which, LOST)
    assert not follow(store, which, ended=(Cause.LOST,), release=True)
    assert follow(store, which, ended=(Cause.LOST,))
    assert status(store, which) is RevocationReason.CERTIFICATE_HOLD
    assert store.release_certificate(which, LATER, "os:root", "", ())
    assert lasting(store, which) == []
    assert status(store, which) is None


def test_a_hold_takes_the_place_of_another(store: Store) -> None:
    """REV-1: what an administrator releases and something else wants held is on hold before and after."""
    which = issue(store, 1)
    assert store.hold_certificate(by_hand(which), ())
    assert follow(store, which, LOST)
    instead = a_followed_hold(which)
    assert store.release_certificate(which, LATER, "os:root", "", (an_event(),), instead=instead)
    assert status(store, which) is RevocationReason.CERTIFICATE_HOLD
    assert lasting(store, which) == [Cause.LOST]
    assert [(held.cause, held.released) for held in store.holds(which)] == [
        ("administrator", True),
        (instead.cause, False),
    ]
    assert follow(store, which, ended=(Cause.LOST,), release=True)
    assert status(store, which) is None
    assert not store.release_certificate(which, LATER, "os:root", "", (an_event(),), instead=instead)
    assert status(store, which) is None


def test_of_two_runs_one_acts(store: Store) -> None:
    """Of several that hold one certificate at once exactly one does, and its causes alone are kept."""
    which = issue(store, 1)
    causes = (LOST, RISK, replace(LOST, cause=Cause.DISABLED), replace(LOST, cause=Cause.WIPED))
    done = at_once(4, lambda number: follow(store, which, causes[number - 1], status=a_followed_hold(which)))
    assert sorted(done) == [False, False, False, True]
    assert lasting(store, which) == [causes[done.index(True)].cause]
    assert len(store.events(EventFilter())) == 1


def test_bearers_come_once_each(store: Store) -> None:
    """Devices, and users without a device, whose certificates live come by id, a page at a time and each once."""
    devices = [an_id("bearer", number) for number in (1, 3, 5, 7)]
    users = [an_id("bearer", number) for number in (2, 4, 6)]
    issue(store, 1, device=devices[0])
    issue(store, 2, device=devices[0], user=users[0])
    issue(store, 3, user=users[1])
    issue(store, 4, user=users[1])
    follow(store, issue(store, 5, device=devices[1]), status=a_followed_hold(an_id("certificate", 5)))
    follow(store, issue(store, 6, device=devices[2]), status=a_followed_revocation(an_id("certificate", 6)))
    issue(store, 7, device=devices[3], not_after=NOW)
    issue(store, 8, user=users[2])
    issue(store, 9)
    store.begin(replace(an_intent(10), serial=10, device_id=an_id("bearer", 9)), ())
    expected = (Bearer(devices[0], None), Bearer(devices[1], None), Bearer(None, users[1]), Bearer(None, users[2]))
    assert store.bearers(NOW, None, 10) == expected
    for limit in (1, 2, 3, 4):
        walked: list[Bearer] = []
        while page := store.bearers(NOW, walked[-1].id if walked else None, limit):
            assert len(page) <= limit
            walked += page
        assert tuple(walked) == expected
    assert dict(store.live_count(NOW)) == {"staff": 6}


def test_live_certificates_of_a_bearer(store: Store) -> None:
    """A bearer's certificates come oldest first, held ones too; a user's without those of a device."""
    user = an_id("user", 1)
    first, second = issue(store, 1, device=DEVICE), issue(store, 2, device=DEVICE, user=user, group="guests")
    alone = issue(store, 3, user=user)
    follow(store, second, LOST, status=a_followed_hold(second))
    ended = issue(store, 4, device=DEVICE)
    follow(store, ended, status=a_followed_revocation(ended))
    issue(store, 5, device=DEVICE, not_after=LATER)
    many = [Bearer(an_id("device", number), None) for number in range(100, 400)]
    found = store.live_certificates([Bearer(DEVICE, None), *many, Bearer(None, user)], LATER)
    assert {bearer: [each.id for each in rows] for bearer, rows in found.items()} == {
        Bearer(DEVICE, None): [first, second],
        Bearer(None, user): [alone],
    }
    assert found[Bearer(DEVICE, None)][1] == store.certificate(second)
    assert store.live_certificates([Bearer(an_id("device", 9), None)], LATER) == {}
    assert store.live_certificates([], LATER) == {}
    assert dict(store.live_count(LATER)) == {"staff": 2, "guests": 1}


def test_changes_name_their_bearers(store: Store) -> None:
    """What is new or other names devices and users since a moment; what was only shown again names nobody."""
    soon, long_ago = NOW + timedelta(minutes=10), NOW - timedelta(days=1)
    devices = [replace(a_device(number, user=f"u-{number}"), seen_at=NOW, state_since=NOW) for number in (1, 2, 3)]
    user = replace(a_user(2), external_id="u-2")
    assert store.put_devices([(None, each) for each in devices], ())
    assert store.put_users([(None, user)], ())
    assert set(store.changed_bearers(NOW, 10)) == {Bearer(each.id, None) for each in devices}
    assert len(store.changed_bearers(NOW, 2)) == 2
    assert store.changed_bearers(soon, 10) == ()

    shown = replace(devices[0], seen_at=soon, evidence={"source": "again"}, missed_sweeps=1)
    assert store.put_devices([(devices[0], shown)], ())
    assert store.changed_bearers(soon, 10) == ()
    assert store.put_devices([(shown, replace(shown, memberships=frozenset({"g9"})))], ())
    assert store.changed_bearers(soon, 10) == (Bearer(devices[0].id, None),)
    moved = replace(devices[2], group="guests")
    assert store.put_devices([(devices[2], moved)], (replace(an_event(), at=soon + MINUTE),))
    assert store.changed_bearers(soon + MINUTE, 10) == (Bearer(devices[2].id, None),)

    later = soon + 5 * MINUTE
    assert store.put_users([(user, replace(user, state=replace(user.state, enabled=False), state_since=later))], ())
    assert store.changed_bearers(later, 10) == (Bearer(devices[1].id, None),)
    alone = issue(store, 1, user=user.id)
    assert set(store.changed_bearers(later, 10)) == {Bearer(devices[1].id, None), Bearer(None, user.id)}
    assert store.changed_bearers(later + MINUTE, 10) == ()
    wish = FoundCause(Cause.REQUESTED, later, "asked for")
    assert store.follow(alone, causes=(wish,), ended=(), status=None, release=False, at=later + 2 * MINUTE, events=())
    assert store.changed_bearers(later + MINUTE, 10) == (Bearer(None, user.id),)
    assert Bearer(None, user.id) in store.changed_bearers(long_ago, 10)


def test_small_runs_add_up(store: Store) -> None:
    """REV-7: what following ended by itself is counted by group and certificate; what was agreed to is not."""
    one, two = issue(store, 1, device=DEVICE), issue(store, 2, device=DEVICE, group="guests")
    three, four = issue(store, 3, device=DEVICE), issue(store, 4, device=DEVICE)
    follow(store, one, LOST, status=a_followed_hold(one))
    follow(store, one, LOST, status=a_followed_revocation(one))
    follow(store, two, LOST, status=a_followed_revocation(two))
    follow(store, three, LOST, status=replace(a_followed_revocation(three), cause=AGREED))
    store.revoke(replace(a_followed_revocation(four), cause="administrator"), ())
    assert dict(store.ended_since(LATER)) == {"staff": 1, "guests": 1}
    assert dict(store.ended_since(LATER + timedelta(milliseconds=1))) == {}
