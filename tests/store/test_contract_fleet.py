"""Contract of connectors, of the records of devices and users, of sweeps, stopped runs and notices."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from regalia.model import Authoriser, Endpoint, LineageLink, Revocation, RevocationReason
from regalia.model.fleet import Cause, DeviceState, FoundCause, Platform, UserState
from regalia.ports import Begun, CertificateFilter, EventFilter
from regalia.ports.fleet import DeviceFilter, UserFilter
from regalia.store import open_store
from regalia.store.dump import dump, load, read_head
from regalia.store.migrations import NEEDED, upgrade
from store.fleet_samples import LATER, a_connector, a_device, a_followed_hold, a_notice, a_stop, a_sweep, a_user, issue
from store.samples import MINUTE, NOW, a_group, an_endpoint, an_enrolment, an_event, an_id, an_intent, at_once

if TYPE_CHECKING:
    from pathlib import Path

    from fakes import FakeClock
    from regalia.model.fleet import Device, User
    from regalia.ports import Place, Store
    from regalia.store import SqlStore

# --- what rows of before have more of -------------------------------------------------------------------------------


def test_an_endpoint_changes_its_authoriser(store: Store) -> None:
    """An endpoint names the connector that vouches; it changes once, by whoever knows how it stands."""
    before = an_endpoint()
    assert store.add_endpoint(before, ())
    after = replace(before, authoriser=Authoriser.CONNECTOR, connector="intune")
    assert store.change_endpoint(before, after, (an_event(),))
    assert store.endpoint("default") == after
    assert not store.change_endpoint(before, after, (an_event(),))
    assert len(store.events(EventFilter())) == 1
    again: Endpoint = replace(after, connector="other")
    assert store.change_endpoint(after, again, ())
    assert store.endpoint("default") == again
    assert not store.change_endpoint(an_endpoint("unknown"), again, ())
    vouched = replace(an_endpoint("vouched"), authoriser=Authoriser.CONNECTOR, connector="intune")
    assert store.add_endpoint(vouched, ())
    assert store.endpoint("vouched") == vouched


def test_a_group_changes_its_rules(store: Store) -> None:
    """The rules of a group are kept as text, and those of a group that is not there by nobody."""
    assert store.add_group(replace(a_group(), follow="lost hold"), ())
    assert store.group("staff") == replace(a_group(), follow="lost hold")
    assert store.set_follow("staff", "lost revoke", (an_event(),))
    assert store.group("staff") == replace(a_group(), follow="lost revoke")
    assert not store.set_follow("unknown", "lost revoke", (an_event(),))
    assert len(store.events(EventFilter())) == 1


def test_a_certificate_names_its_records(store: Store) -> None:
    """A certificate and a chain of renewals say which device and user they are bound to, and are found by it."""
    device, user = an_id("device", 1), an_id("user", 1)
    enrolment = an_enrolment(1)
    assert isinstance(enrolment.lineage, LineageLink)
    enrolment = replace(enrolment, lineage=replace(enrolment.lineage, device_id=device, user_id=user))
    intent = replace(an_intent(1, enrolment), device_id=device, user_id=user)
    assert store.begin(intent, (), enrolment=enrolment) is Begun.BEGUN
    store.begin(replace(an_intent(2), device_id=device), ())
    store.begin(an_intent(3), ())
    found = store.certificate(intent.id)
    assert found is not None
    assert found.intent == intent
    kept = store.enrolment(enrolment.id)
    assert kept is not None
    assert kept.lineage == enrolment.lineage
    of_device = store.certificate_page(CertificateFilter(device_id=device)).items
    assert [each.id for each in of_device] == [an_intent(2).id, intent.id]
    of_user = store.certificate_page(CertificateFilter(user_id=user, groups=frozenset({"staff"}))).items
    assert [each.id for each in of_user] == [intent.id]
    assert not store.certificate_page(CertificateFilter(device_id=device, groups=frozenset({"guests"}))).items
    assert not store.certificate_page(CertificateFilter(device_id=an_id("device", 2))).items


# --- connectors -----------------------------------------------------------------------------------------------------


def test_a_connector_is_kept(store: Store) -> None:
    """CON-3: a connector reads as it was written, has its name alone, and its secret only for who asks for that."""
    one, two = a_connector(), replace(a_connector(2, "hook"), secret_set_at=NOW, disabled_at=LATER)
    assert store.add_connector(one, None, (an_event(1),))
    assert store.add_connector(two, b"sealed", ())
    assert not store.add_connector(a_connector(3), b"x", (an_event(2),))
    assert store.connector("intune") == one
    assert store.connector("unknown") is None
    assert store.connector("\ud800") is None
    assert store.connectors() == (two, one)
    assert store.connector_secret(one.id) is None
    assert store.connector_secret(two.id) == b"sealed"
    assert store.connector_secret(an_id("connector", 9)) is None
    assert len(store.events(EventFilter())) == 1


def test_a_connector_changes_once(store: Store) -> None:
    """Of two that change a connector one is told that the other was first; its secret stays unless one is given."""
    before = a_connector()
    store.add_connector(before, b"first", ())
    after = replace(before, settings={"tenant": "other"}, disabled_at=LATER)
    assert store.change_connector(before, after, None, (an_event(),))
    assert store.connector("intune") == after
    assert store.connector_secret(before.id) == b"first"
    assert not store.change_connector(before, before, b"lost", (an_event(),))
    assert store.connector_secret(before.id) == b"first"
    turned = replace(after, secret_set_at=LATER)
    assert store.change_connector(after, turned, b"second", ())
    assert store.connector_secret(before.id) == b"second"
    assert store.connector("intune") == turned
    assert len(store.events(EventFilter())) == 1


# --- devices and users ----------------------------------------------------------------------------------------------


def test_a_device_is_kept_as_it_was_told(store: Store) -> None:
    """Everything that is known of a device comes back, and what nobody said stays unsaid (CON-5)."""
    full = a_device()
    bare = a_device(2, serial=None, aliases=(), user=None, sid=None, dns=(), group=None, evidence={})
    bare = replace(bare, memberships=frozenset(), memberships_known=False, state=DeviceState(), missed_sweeps=0)
    assert store.put_devices([(None, full), (None, bare)], (an_event(),))
    assert store.device(full.id) == full
    assert store.device(bare.id) == bare
    assert store.device_of("intune", "mdm-1") == full
    assert store.device_of("other", "mdm-1") is None
    assert store.device_of("intune", "\x00") is None
    assert store.device(an_id("device", 9)) is None
    assert len(store.events(EventFilter())) == 1


def test_a_device_is_found_by_what_it_is_known_by(store: Store) -> None:
    """A device is found by its serial and its ids elsewhere, by those of now, and by none of another connector."""
    one, two = a_device(1), a_device(2, serial="SN1")
    other = a_device(3, connector="jamf", serial="SN1")
    store.put_devices([(None, each) for each in (one, two, other)], ())
    assert store.devices_by("intune", "serial", "SN1") == (one, two)
    assert store.devices_by("intune", "entra", "entra-2") == (two,)
    assert store.devices_by("intune", "imei", "entra-2") == ()
    assert store.devices_by("intune", "serial", "Laptop-001") == ()
    moved = replace(two, serial="SN9", aliases=(("entra", "entra-2"), ("udid", "u2")))
    assert store.put_devices([(two, moved)], ())
    assert store.devices_by("intune", "serial", "SN1") == (one,)
    assert store.devices_by("intune", "udid", "u2") == (moved,)
    assert store.devices_by("intune", "imei", "352") == ()
    assert store.devices_by("intune", "serial", "\x00") == ()


def test_records_change_together_or_not_at_all(store: Store) -> None:
    """Of a batch in which one record has changed nothing is done, new ones and events included."""
    one, two, three = a_device(1), a_device(2), a_device(3)
    assert store.put_devices([(None, one), (None, two)], ())
    seen = replace(one, seen_at=LATER)
    assert store.put_devices([(one, seen)], ())
    stale = replace(one, name="stale")
    assert not store.put_devices([(two, replace(two, name="new")), (None, three), (one, stale)], (an_event(),))
    assert store.device(two.id) == two
    assert store.device(three.id) is None
    assert not store.put_devices([(three, three)], ())
    again = replace(a_device(4), external_id="mdm-1")
    assert not store.put_devices([(None, again)], (an_event(),))
    assert not store.put_devices([(None, seen)], ())
    assert store.device(one.id) == seen
    assert store.events(EventFilter()) == ()


def test_many_records_are_one_change(store: Store) -> None:
    """A batch of several hundred is added, then changed, each of its records by itself."""
    devices = [a_device(number) for number in range(1, 301)]
    assert store.put_devices([(None, each) for each in devices], ())
    changed = [replace(each, state=DeviceState(compliant=True), seen_at=LATER) for each in devices]
    assert store.put_devices(list(zip(devices, changed, strict=True)), (an_event(),))
    assert store.device(devices[299].id) == changed[299]
    assert store.device_of("intune", "mdm-17") == changed[16]
    assert store.put_devices([], ())


def test_of_two_that_change_a_record_one_is_first(store: Store) -> None:
    """Of several that change one record at once exactly one does."""
    store.put_devices([(None, a_device())], ())
    done = at_once(4, lambda number: store.put_devices([(a_device(), a_device(name=f"by {number}"))], ()))
    assert sorted(done) == [False, False, False, True]


def names(found: tuple[Device, ...] | tuple[User, ...]) -> list[str]:
    """Return the names of records."""
    return [each.name for each in found]


DEVICES = (
    a_device(1, name="bravo"),
    a_device(2, name="Alpha", group="guests", platform=Platform.IOS),
    a_device(3, name="charlie", connector="jamf", group=None),
    a_device(4, name="Delta", state=DeviceState(present=False)),
    a_device(5, name="élan", group=None, serial="C02"),
)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (DeviceFilter(), ["Alpha", "bravo", "charlie", "Delta", "élan"]),
        (DeviceFilter(connector="intune"), ["Alpha", "bravo", "Delta", "élan"]),
        (DeviceFilter(connector="jamf", group="staff"), []),
        (DeviceFilter(group="staff"), ["bravo", "Delta"]),
        (DeviceFilter(groups=frozenset({"guests", "staff"})), ["Alpha", "bravo", "Delta"]),
        (DeviceFilter(groups=frozenset({"guests"}), connector="intune"), ["Alpha"]),
        (DeviceFilter(groups=frozenset({"guests"}), group="staff"), []),
        (DeviceFilter(groups=frozenset()), []),
        (DeviceFilter(platform=Platform.IOS), ["Alpha"]),
        (DeviceFilter(present=False), ["Delta"]),
        (DeviceFilter(present=True, group="staff"), ["bravo"]),
        (DeviceFilter(search="AL"), ["Alpha"]),
        (DeviceFilter(search="mdm-3"), ["charlie"]),
        (DeviceFilter(search="c"), ["charlie", "élan"]),
        (DeviceFilter(search="c", groups=frozenset({"staff"})), []),
        (DeviceFilter(search="ENTRA-"), ["Alpha", "bravo", "charlie", "Delta", "élan"]),
        (DeviceFilter(search="É"), ["élan"]),
        (DeviceFilter(search="lpha"), []),
        (DeviceFilter(search="%"), []),
    ],
)
def test_devices_are_listed_by_name(store: Store, wanted: DeviceFilter, found: list[str]) -> None:
    """AUTHZ-4: devices come in the order of their names, as far as was asked, and of these groups alone."""
    store.put_devices([(None, each) for each in DEVICES], ())
    page = store.device_page(wanted)
    assert names(page.items) == found
    assert (page.following, page.total) == (None, len(found))


@pytest.mark.parametrize("search", ["", "laptop"])
def test_devices_come_a_page_at_a_time(store: Store, search: str) -> None:
    """Each page begins where the one before ended; the first one counts, but not what a text finds on several pages."""
    devices = [a_device(number, name="Laptop" if number < 5 else f"Laptop-{number}") for number in range(1, 8)]
    store.put_devices([(None, each) for each in devices], ())
    found: list[Device] = []
    after: Place | None = None
    for expected in (None if search else 7, None, None):
        page = store.device_page(DeviceFilter(search=search, limit=3, after=after))
        assert page.total == expected
        found += page.items
        after = page.following
    assert after is None
    assert found == devices
    assert store.device_page(DeviceFilter(after=("no", "place"))).items == ()


def test_a_user_is_kept_and_found(store: Store) -> None:
    """Everything that is known of a user comes back, and each is found by what a certificate may name."""
    one, two = a_user(1), a_user(2, connector="other")
    bare = replace(a_user(3), upn=None, email=(), sid=None, sam_account=None, state=UserState(), evidence={})
    assert store.put_users([(None, one), (None, two), (None, bare)], (an_event(),))
    assert [store.user(each.id) for each in (one, two, bare)] == [one, two, bare]
    assert store.user_of("other", "u-2") == two
    assert store.user_of("intune", "u-2") is None
    for kind, value in (("upn", one.upn), ("email", one.email[1]), ("sid", one.sid), ("sam", one.sam_account)):
        assert value is not None
        assert store.users_by("intune", kind, value) == (one,)
        assert store.users_by("other", kind, value) == ()
    renamed = replace(one, upn="new@example.org", email=())
    assert store.put_users([(one, renamed)], ())
    assert not store.put_users([(one, replace(one, name="stale"))], ())
    assert store.users_by("intune", "upn", "p1@example.org") == ()
    assert store.users_by("intune", "upn", "new@example.org") == (renamed,)


def test_users_are_listed_by_name(store: Store) -> None:
    """Users come in the order of their names, a page at a time, and by the beginning of what they are known by."""
    users = [a_user(number, name=name) for number, name in enumerate(("Anna", "bert", "Carla"), 1)]
    gone = a_user(4, name="Dora", connector="other", state=UserState(present=False))
    store.put_users([(None, each) for each in (*reversed(users), gone)], ())
    assert names(store.user_page(UserFilter()).items) == ["Anna", "bert", "Carla", "Dora"]
    assert names(store.user_page(UserFilter(connector="intune")).items) == ["Anna", "bert", "Carla"]
    assert names(store.user_page(UserFilter(present=False)).items) == ["Dora"]
    assert names(store.user_page(UserFilter(search="OTHER2@")).items) == ["bert"]
    assert names(store.user_page(UserFilter(search="p", present=True)).items) == ["Anna", "bert", "Carla"]
    first = store.user_page(UserFilter(limit=2))
    assert names(store.user_page(UserFilter(limit=2, after=first.following)).items) == ["Carla", "Dora"]
    assert first.total == 4


# --- sweeps ---------------------------------------------------------------------------------------------------------


def test_one_sweep_at_a_time(store: Store) -> None:
    """A connector has one open sweep, which goes on where it was left, and remembers the one that ended last."""
    begun = a_sweep()
    assert store.put_sweep(None, begun, (an_event(),))
    assert not store.put_sweep(None, a_sweep(2), (an_event(),))
    assert store.put_sweep(None, a_sweep(3, "jamf"), ())
    assert store.open_sweep("intune") == begun
    assert store.last_sweep("intune", complete=False) is None
    further = replace(begun, cursor="page 2", seen=100)
    assert store.put_sweep(begun, further, ())
    assert not store.put_sweep(begun, further, (an_event(),))
    ended = replace(further, cursor=None, ended_at=LATER, complete=True, next_delta="from here")
    assert store.put_sweep(further, ended, ())
    assert store.open_sweep("intune") is None
    assert store.last_sweep("intune") == ended
    broken = replace(a_sweep(4), full=False, ended_at=LATER + MINUTE, why="it did not answer")
    assert store.put_sweep(None, broken, ())
    assert store.last_sweep("intune") == ended
    assert store.last_sweep("intune", complete=False) == broken
    delta = replace(a_sweep(5), full=False, ended_at=LATER + 2 * MINUTE, complete=True)
    assert store.put_sweep(None, delta, ())
    assert store.last_sweep("intune") == delta
    assert store.last_sweep("intune", full=True) == ended
    assert store.last_sweep("\x00") is None
    assert len(store.events(EventFilter())) == 1


def test_a_sweep_tells_whom_it_did_not_see(store: Store) -> None:
    """REV-7: who is present and was not seen since a sweep began comes by id, a page at a time."""
    devices = [a_device(number) for number in range(1, 6)]
    devices[1] = replace(devices[1], seen_at=LATER)
    devices[2] = replace(devices[2], state=DeviceState(present=False))
    devices[3] = replace(devices[3], connector="jamf")
    store.put_devices([(None, each) for each in devices], ())
    assert store.unseen_devices("intune", LATER, None, 10) == (devices[0], devices[4])
    assert store.unseen_devices("intune", LATER, None, 1) == (devices[0],)
    assert store.unseen_devices("intune", LATER, devices[0].id, 1) == (devices[4],)
    assert store.unseen_devices("intune", NOW, None, 10) == ()
    assert store.unseen_devices("\x00", LATER, None, 10) == ()
    users = [a_user(1), a_user(2, seen_at=LATER), a_user(3, state=UserState(present=False))]
    store.put_users([(None, each) for each in users], ())
    assert store.unseen_users("intune", LATER, None, 10) == (users[0],)
    assert store.unseen_users("intune", LATER, users[0].id, 10) == ()


# --- the brake ------------------------------------------------------------------------------------------------------


def test_a_stopped_run_is_let_go_once(store: Store) -> None:
    """REV-7: what was stopped is kept as it was shown; of two that let it go one does, and closing ends it."""
    stop = a_stop()
    assert store.put_stopped(None, stop, (an_event(),))
    assert store.stopped("d1") == stop
    assert store.stopped("d2") is None
    assert store.stopped("\x00") is None
    agreed = replace(stop, let_go_at=LATER, let_go_by=("eve", "adam"))
    assert store.put_stopped(stop, agreed, ())
    assert not store.put_stopped(stop, agreed, (an_event(),))
    assert store.open_stops() == (agreed,)
    assert store.put_stopped(agreed, replace(agreed, closed_at=LATER), ())
    assert store.stopped("d1") is None
    assert store.open_stops() == ()
    assert len(store.events(EventFilter())) == 1


def test_another_plan_takes_the_place_of_a_stopped_one(store: Store) -> None:
    """Of two plans that were stopped the newer one alone waits to be let go."""
    first, second = a_stop(), replace(a_stop(2, "d2"), at=LATER)
    store.put_stopped(None, first, ())
    assert store.put_stopped(None, second, ())
    assert store.open_stops() == (second,)
    assert store.stopped("d1") is None
    assert not store.put_stopped(first, replace(first, let_go_at=LATER), ())


# --- notices --------------------------------------------------------------------------------------------------------


def test_a_notice_comes_with_its_certificate(store: Store) -> None:
    """R8: what a connector is to be told is there exactly when the certificate's intent is."""
    enrolment = an_enrolment(1)
    intent = an_intent(1, enrolment)
    notice = a_notice(1, intent.id)
    assert store.begin(intent, (), enrolment=enrolment, notice=notice) is Begun.BEGUN
    assert store.notice_of(enrolment.id) == notice
    other = replace(an_enrolment(2), key=enrolment.key)
    refused = store.begin(an_intent(2, other), (), enrolment=other, notice=a_notice(2, an_intent(2).id))
    assert refused is not Begun.BEGUN
    assert store.notice_of(other.id) is None
    assert store.due_notices(NOW, 10) == (notice,)


def test_a_resumed_conversation_replaces_its_notice(store: Store) -> None:
    """Of an enrolment whose certificate was abandoned the connector is told of the new certificate alone (R8)."""
    enrolment = an_enrolment(1)
    first = an_intent(1, enrolment)
    store.begin(first, (), enrolment=enrolment, notice=a_notice(1, first.id))
    store.abandon(first.id, NOW, ())
    again = replace(an_intent(2, enrolment), enrolment_id=enrolment.id)
    notice = replace(a_notice(2, again.id), enrolment_id=enrolment.id)
    begun = store.begin(again, (), enrolment=enrolment, resumes=first.id, notice=notice)
    assert begun is Begun.BEGUN
    assert store.notice_of(enrolment.id) == notice
    assert store.due_notices(LATER, 10) == (notice,)


def test_a_notice_is_claimed_once(store: Store) -> None:
    """Of several that tell one thing one does, due or not; until its time is over nobody else finds it due."""
    notice = replace(a_notice(), due_at=LATER)
    store.queue_notice(notice, (an_event(),))
    assert store.due_notices(NOW, 10) == ()
    claims = at_once(3, lambda _: store.claim_notice(notice, NOW, LATER + MINUTE))
    (claimed,) = [each for each in claims if each is not None]
    assert claimed == replace(notice, attempts=1, due_at=LATER + MINUTE)
    assert store.notice_of(notice.enrolment_id) == claimed
    assert store.due_notices(LATER, 10) == ()
    assert store.due_notices(LATER + MINUTE, 10) == (claimed,)
    assert len(store.events(EventFilter())) == 1


def test_what_is_due_first_is_told_first(store: Store) -> None:
    """Notices come in the order in which they are due, those that were told not at all."""
    notices = [replace(a_notice(number), due_at=NOW - number * MINUTE) for number in range(1, 4)]
    for each in notices:
        store.queue_notice(each, ())
    claimed = store.claim_notice(notices[0], NOW, LATER)
    assert claimed is not None
    told = replace(claimed, told_at=NOW)
    assert store.conclude_notice(claimed, told, None, (an_event(),))
    assert store.notice_of(told.enrolment_id) == told
    assert not store.conclude_notice(claimed, told, None, (an_event(),))
    assert not store.conclude_notice(told, replace(told, told_at=LATER), None, ())
    assert store.claim_notice(told, NOW, LATER) is None
    assert store.due_notices(LATER, 10) == (notices[2], notices[1])
    assert store.due_notices(LATER, 1) == (notices[2],)
    assert len(store.events(EventFilter())) == 1


def test_a_refused_certificate_is_revoked_with_its_notice(store: Store) -> None:
    """R8: that the system refused and that the certificate ends is one transaction; once revoked, neither is done."""
    which = issue(store, 1)
    notice = a_notice(1, which)
    store.queue_notice(notice, ())
    claimed = store.claim_notice(notice, NOW, LATER)
    assert claimed is not None
    end = Revocation(which, RevocationReason.CESSATION_OF_OPERATION, "connector", "connector:intune", NOW, "no")
    refused = replace(claimed, told_at=NOW, refused="NotFound")
    stale = replace(claimed, attempts=5)
    assert not store.conclude_notice(stale, refused, end, (an_event(),))
    before = store.certificate(which)
    assert before is not None
    assert before.revocation is None
    assert store.conclude_notice(claimed, refused, end, (an_event(),))
    after = store.certificate(which)
    assert after is not None
    assert after.revocation == end
    second = a_notice(2, which)
    store.queue_notice(second, ())
    assert not store.conclude_notice(second, replace(second, told_at=NOW), end, (an_event(),))
    assert store.notice_of(second.enrolment_id) == second
    assert len(store.events(EventFilter())) == 1


def test_a_notice_that_failed_waits(store: Store) -> None:
    """An attempt without an answer leaves the notice to be due later, with its attempts counted."""
    notice = a_notice()
    store.queue_notice(notice, ())
    claimed = store.claim_notice(notice, NOW, LATER)
    assert claimed is not None
    waiting = replace(claimed, due_at=NOW + timedelta(minutes=5))
    assert store.conclude_notice(claimed, waiting, None, ())
    assert store.notice_of(notice.enrolment_id) == waiting
    assert store.claim_notice(waiting, NOW, LATER) == replace(waiting, attempts=2, due_at=LATER)


def test_secrets_of_connectors_go_with_a_rotation(store: Store) -> None:
    """Secrets of connectors and what they are to be told lie under the master key and are sealed anew with it."""
    connector, waits, told = a_connector(), a_notice(1), replace(a_notice(2), told_at=NOW, sealed=b"")
    assert store.add_connector(connector, b"secret", ())
    assert store.add_connector(a_connector(2, "files"), None, ())
    store.queue_notice(waits, ())
    store.queue_notice(told, ())
    sealed = tuple(store.sealed_secrets())
    assert [(each.scope, each.sealed) for each in sealed] == [
        (f"connector:{connector.id}", b"secret"),
        (f"notice:{waits.id}", b"sealed"),
    ]
    for each in sealed:
        assert store.replace_sealed(each, b"anew")
        assert not store.replace_sealed(each, b"twice")
    assert store.connector_secret(connector.id) == b"anew"
    assert store.notice_of(waits.enrolment_id) == replace(waits, sealed=b"anew")


def test_an_attempt_does_not_undo_a_rotation(sql: Store) -> None:
    """A notice that was sealed anew while its connector was asked keeps the new seal while it waits."""
    sql.queue_notice(a_notice(), ())
    claimed = sql.claim_notice(a_notice(), NOW, LATER)
    assert claimed is not None
    (sealed,) = sql.sealed_secrets()
    assert sql.replace_sealed(sealed, b"anew")
    assert sql.conclude_notice(claimed, replace(claimed, due_at=LATER), None, ())
    kept = sql.notice_of(claimed.enrolment_id)
    assert kept is not None
    assert kept.sealed == b"anew"
    over = replace(kept, told_at=LATER, sealed=b"")
    assert sql.conclude_notice(kept, over, None, ())
    assert sql.notice_of(claimed.enrolment_id) == over
    assert tuple(sql.sealed_secrets()) == ()


def test_a_fleet_comes_back_from_a_backup(sql: SqlStore, url: str, clock: FakeClock, tmp_path: Path) -> None:
    """SEC-4: connectors, records, causes, stops and what is to be told are in a dump; counts of the brake go on."""
    device, user = a_device(), a_user()
    assert sql.add_connector(a_connector(), b"secret", ())
    assert sql.put_devices([(None, device)], ())
    assert sql.put_users([(None, user)], ())
    assert sql.put_sweep(None, a_sweep(), ())
    assert sql.put_stopped(None, a_stop(), ())
    which = issue(sql, 1, device=device.id)
    lost, status = FoundCause(Cause.LOST, NOW, "lost"), a_followed_hold(which)
    assert sql.follow(which, causes=[lost], ended=[], status=status, release=False, at=NOW, events=())
    sql.queue_notice(a_notice(1, which), ())
    lines = b"".join(dump(url, NEEDED, {})).splitlines()
    target = f"sqlite:///{tmp_path}/restored.db"
    upgrade(target)
    load(target, read_head(lines[0]), lines[1:])
    restored = open_store(target, node="other", clock=clock)
    try:
        assert restored.connectors() == (a_connector(),)
        assert restored.connector_secret(a_connector().id) == b"secret"
        assert restored.devices_by("intune", "serial", "SN1") == (device,)
        assert restored.users_by("intune", "upn", "p1@example.org") == (user,)
        assert restored.open_sweep("intune") == a_sweep()
        assert restored.open_stops() == (a_stop(),)
        assert restored.causes_of([which]) == sql.causes_of([which])
        assert restored.ended_since(NOW) == sql.ended_since(NOW) == {"staff": 1}
        assert restored.notice_of(a_notice().enrolment_id) == a_notice(1, which)
    finally:
        restored.close()
