"""Contract of authorities that follow one another, credentials that end, suspended groups and holders."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from regalia.model import Action, AuthorityState, CertificateKind, CredentialPurpose, Revocation, RevocationReason
from regalia.ports import Adopted, EventFilter
from store.samples import (
    MINUTE,
    NOW,
    a_credential,
    a_group,
    a_profile,
    an_authority,
    an_endpoint,
    an_enrolment,
    an_event,
    an_intent,
    at_once,
)

if TYPE_CHECKING:
    from datetime import datetime

    from regalia.model import Authority, Certificate
    from regalia.ports import Store

LATER = NOW + timedelta(hours=1)
FIRST, SECOND, THIRD = "staff-ca", "staff-ca-2", "staff-ca-3"


def a_next(name: str, number: int, activates_at: datetime | None = None) -> Authority:
    """Return an authority that waits for its turn."""
    return replace(an_authority(name, "root", number), state=AuthorityState.NEXT, activates_at=activates_at)


def furnish(store: Store) -> None:
    """A group with its authority, one that is next, and a door."""
    assert store.add_authority(an_authority("root", None, 1), ())
    assert store.add_authority(an_authority(FIRST, "root", 2), ())
    assert store.add_authority(a_next(SECOND, 3, LATER), ())
    assert store.add_group(a_group(), ())
    store.add_credential(a_credential(4), ())
    store.add_credential(replace(a_credential(5), authority=SECOND), ())
    assert store.add_profile(a_profile(), ())
    assert store.add_endpoint(an_endpoint(), ())


def test_what_an_authority_and_a_group_say_of_themselves_is_kept(store: Store) -> None:
    """When an authority takes over, since when it is what it is, and why a group is suspended, come back."""
    furnish(store)
    assert store.authority(SECOND) == a_next(SECOND, 3, LATER)
    store.set_authority_state(FIRST, AuthorityState.RETIRED, (), at=LATER)
    found = store.authority(FIRST)
    assert found is not None
    assert (found.state, found.state_since) == (AuthorityState.RETIRED, LATER)
    assert store.suspend_group("staff", LATER, "a key was\nstolen", (an_event(1),))
    group = store.group("staff")
    assert group is not None
    assert (group.suspended_at, group.suspended_why) == (LATER, "a key was\nstolen")
    other = replace(a_group("other"), suspended_at=LATER, suspended_why="born so")
    assert store.add_group(other, ())
    assert store.group("other") == other


def test_activation_is_one_transaction(store: Store) -> None:
    """NEXT becomes ACTIVE, the group names it and the former one retires, together and with the event (AUD-1)."""
    furnish(store)
    assert store.activate_authority(SECOND, "staff", FIRST, LATER, (an_event(7),))
    now, former, group = store.authority(SECOND), store.authority(FIRST), store.group("staff")
    assert now is not None
    assert former is not None
    assert group is not None
    assert (now.state, now.state_since, now.activates_at) == (AuthorityState.ACTIVE, LATER, None)
    assert (former.state, former.state_since) == (AuthorityState.RETIRING, LATER)
    assert group.authority == SECOND
    assert [event.draft.object for event in store.events(EventFilter())] == ["challenge:7"]


def test_activation_is_won_once(store: Store) -> None:
    """Of two next authorities that are activated at once one wins; the other stays NEXT, and writes no event."""
    furnish(store)
    assert store.add_authority(a_next(THIRD, 6), ())
    names = (SECOND, THIRD)
    won = at_once(2, lambda n: store.activate_authority(names[n - 1], "staff", FIRST, LATER, (an_event(n),)))
    assert sorted(won) == [False, True]
    states = {name: found.state for name in names if (found := store.authority(name)) is not None}
    assert sorted(states.values()) == [AuthorityState.ACTIVE, AuthorityState.NEXT]
    assert len(store.events(EventFilter())) == 1
    assert not store.activate_authority(FIRST, "staff", FIRST, LATER, ())
    assert not store.activate_authority("nobody", "staff", FIRST, LATER, ())


def test_a_revoked_authority_stays_revoked_when_it_is_followed(store: Store) -> None:
    """Activation retires nobody who is revoked, and ends a suspension only where it is told to."""
    furnish(store)
    store.set_authority_state(FIRST, AuthorityState.REVOKED, (), at=NOW)
    assert store.suspend_group("staff", NOW, "stolen", ())
    assert store.activate_authority(SECOND, "staff", FIRST, LATER, (), resumes=True)
    former, group = store.authority(FIRST), store.group("staff")
    assert former is not None
    assert group is not None
    assert former.state is AuthorityState.REVOKED
    assert (group.suspended_at, group.suspended_why) == (None, "")


def test_suspension_is_noted_once(store: Store) -> None:
    """A group is suspended once and resumed once; what changes nothing writes no event."""
    furnish(store)
    assert not store.resume_group("staff", (an_event(1),))
    assert store.suspend_group("staff", NOW, "", (an_event(2),))
    assert not store.suspend_group("staff", LATER, "again", (an_event(3),))
    assert store.resume_group("staff", (an_event(4),))
    assert not store.resume_group("staff", (an_event(5),))
    for unknown in ("nobody", "no\x00body"):
        assert not store.suspend_group(unknown, NOW, "", (an_event(6),))
        assert not store.resume_group(unknown, (an_event(6),))
    assert [event.draft.object for event in store.events(EventFilter())] == ["challenge:2", "challenge:4"]


def test_the_door_shows_who_came_before_and_who_follows(store: Store) -> None:
    """A door holds the retiring authorities and the next one with its RA, and follows each change at once."""
    furnish(store)
    door = store.door("default")
    assert door is not None
    assert (door.successor, door.successor_ra) == (a_next(SECOND, 3, LATER), replace(a_credential(5), authority=SECOND))
    assert (door.ra, door.former, door.former_ras) == (a_credential(4), (), ())
    assert store.activate_authority(SECOND, "staff", FIRST, LATER, ())
    door = store.door("default")
    assert door is not None
    assert (door.successor, door.successor_ra) == (None, None)
    assert (door.authority.name, [a.name for a in door.former]) == (SECOND, [FIRST])
    assert (door.ra.id, [ra.id for ra in door.former_ras]) == (a_credential(5).id, [a_credential(4).id])
    assert store.suspend_group("staff", NOW, "", ())
    door = store.door("default")
    assert door is not None
    assert door.group.suspended_at == NOW


def test_a_revoked_authority_vouches_for_no_ra(store: Store) -> None:
    """The RA of a revoked authority opens nothing once another one took over; while it is the present one it stays."""
    furnish(store)
    store.set_authority_state(FIRST, AuthorityState.REVOKED, (), at=NOW)
    door = store.door("default")
    assert door is not None
    assert door.ra == a_credential(4)
    assert store.activate_authority(SECOND, "staff", FIRST, LATER, ())
    door = store.door("default")
    assert door is not None
    assert (door.former, door.former_ras) == ((), ())


def test_a_credential_ends_once(store: Store) -> None:
    """An ended credential is listed with its end and stands behind no door any more (ENV-8)."""
    furnish(store)
    store.add_credential(a_credential(6), ())
    assert store.end_credential(a_credential(4).id, LATER, (an_event(1),))
    assert not store.end_credential(a_credential(4).id, LATER, (an_event(2),))
    assert not store.end_credential(a_credential(9).id, LATER, (an_event(3),))
    door = store.door("default")
    assert door is not None
    assert (door.ra, door.former_ras) == (a_credential(6), ())
    listed = store.group_credentials(CredentialPurpose.RA, "staff")
    ended = replace(a_credential(4), ended_at=LATER)
    assert listed == (a_credential(6), replace(a_credential(5), authority=SECOND), ended)
    assert store.credentials(CredentialPurpose.RA, FIRST) == (a_credential(6), ended)
    assert store.group_credentials(CredentialPurpose.OCSP, "staff") == ()
    assert len(store.events(EventFilter())) == 1


def test_an_authority_lives_on_as_long_as_what_it_issued(store: Store) -> None:
    """Devices' and listeners' certificates count until they expire; its own credentials and abandoned ones do not."""
    furnish(store)
    ends = an_intent(1).not_after
    assert not store.lives_on(FIRST, NOW)
    store.begin(replace(an_intent(1), kind=CertificateKind.OCSP), ())
    assert not store.lives_on(FIRST, NOW)
    store.begin(an_intent(2), ())
    assert store.lives_on(FIRST, NOW)
    assert not store.lives_on(SECOND, NOW)
    assert not store.lives_on(FIRST, ends)
    assert store.abandon(an_intent(2).id, NOW, ())
    assert not store.lives_on(FIRST, NOW)


def test_an_imported_authority_lives_on_until_its_own_end(store: Store) -> None:
    """Nobody knows what it issued before it was imported; an accepted one, whose key is from here, issued nothing."""
    ends = an_intent(1).not_after
    for number, name, action in (
        (1, "old-ca", Action.AUTHORITY_IMPORTED),
        (2, "new-ca", Action.AUTHORITY_ACCEPTED),
    ):
        intent = replace(an_intent(number), kind=CertificateKind.ISSUING, authority="root")
        one = replace(an_authority(name, "root", number), certificate_id=intent.id)
        told = an_event(number, action=action, object=f"authority:{name}")
        assert store.adopt_authority(Adopted(one, intent), b"der", (told,))
    assert store.lives_on("old-ca", NOW)
    assert not store.lives_on("old-ca", ends)
    assert not store.lives_on("new-ca", NOW)


def issued(store: Store, number: int, authority: str, *, device: str | None, subject: str, minutes: int) -> Certificate:
    """Issue a certificate so many minutes after the beginning."""
    enrolment = an_enrolment(number)
    intent = replace(
        an_intent(number, enrolment),
        authority=authority,
        device=device,
        subject=subject,
        created_at=NOW + minutes * MINUTE,
    )
    store.begin(intent, (), enrolment=enrolment)
    assert store.finish(intent.id, b"der", NOW + minutes * MINUTE, ())
    found = store.certificate(intent.id)
    assert found is not None
    return found


def test_holders_of_a_revoked_authority(store: Store) -> None:
    """Each device, else subject, with a certificate of a revoked authority is listed once, with its newest one."""
    furnish(store)
    issued(store, 1, FIRST, device="device-1", subject="CN=one", minutes=0)
    newest = issued(store, 2, FIRST, device="device-1", subject="CN=one", minutes=1)
    bearer = issued(store, 3, FIRST, device=None, subject="CN=d-3", minutes=2)
    issued(store, 4, SECOND, device="device-4", subject="CN=four", minutes=3)
    assert store.holders("staff", NOW) == ()
    store.set_authority_state(FIRST, AuthorityState.REVOKED, (), at=LATER)
    one, two = sorted(store.holders("staff", NOW), key=lambda holder: holder.serial)
    assert (one.device, one.subject, one.serial, one.certificates) == ("device-1", "CN=one", newest.serial, 2)
    assert (one.endpoint, one.authority, one.not_after) == ("default", FIRST, newest.intent.not_after)
    assert (two.device, two.subject, two.serial, two.certificates) == (None, "CN=d-3", bearer.serial, 1)
    assert store.holders("nobody", NOW) == store.holders("no\x00body", NOW) == ()


def test_who_enrolled_anew_is_listed_no_more(store: Store) -> None:
    """A later certificate of a good authority for the same device, else subject, ends it; so does its own end."""
    furnish(store)
    devices = {1: "device-1", 2: None, 3: "device-3", 4: None, 5: "device-5"}
    held = {
        number: issued(store, number, FIRST, device=device, subject=f"CN={number}", minutes=number)
        for number, device in devices.items()
    }
    store.set_authority_state(FIRST, AuthorityState.REVOKED, (), at=LATER)
    assert len(store.holders("staff", NOW)) == 5
    issued(store, 11, SECOND, device="device-1", subject="CN=renamed", minutes=90)
    issued(store, 12, SECOND, device=None, subject="CN=2", minutes=90)
    # Neither an earlier one, nor one of another device under the same name, nor a revoked one.
    issued(store, 13, SECOND, device="device-3", subject="CN=3", minutes=0)
    issued(store, 15, SECOND, device="device-other", subject="CN=5", minutes=90)
    withdrawn = issued(store, 14, SECOND, device=None, subject="CN=4", minutes=90)
    ended = Revocation(withdrawn.id, RevocationReason.SUPERSEDED, "administrator", "os:root", LATER)
    assert store.revoke(ended, ())
    assert {holder.subject for holder in store.holders("staff", NOW)} == {"CN=3", "CN=4", "CN=5"}
    assert store.revoke(replace(ended, certificate_id=held[3].id), ())
    assert {holder.subject for holder in store.holders("staff", NOW)} == {"CN=4", "CN=5"}
    assert store.holders("staff", held[1].intent.not_after) == ()
