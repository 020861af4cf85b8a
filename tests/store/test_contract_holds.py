"""Contract of holds, of the lists of an authority, and of keys that are blocked."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from regalia.errors import AdminError
from regalia.model import Hold, Revocation, RevocationReason
from regalia.ports import CertificateFilter
from regalia.store import open_store
from regalia.store.dump import dump, load, read_head
from regalia.store.migrations import NEEDED, upgrade
from regalia.wire import der
from store.databases import tamper
from store.samples import NOW, an_authority, an_enrolment, an_event, an_id, an_intent, at_once
from store.test_contract_crls import a_record_of, an_intent_for, publish, revoke, serials

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    from fakes import FakeClock
    from regalia.ports import Store
    from regalia.store import SqlStore

MINUTE = timedelta(minutes=1)
LATER = NOW + MINUTE


def issue(store: Store, number: int, serial: int, shard: int = 0) -> UUID:
    """Issue a certificate."""
    intent = replace(an_intent(number), serial=serial, shard=shard)
    store.begin(intent, ())
    store.finish(intent.id, b"der", NOW, ())
    return intent.id


def a_hold(certificate_id: UUID) -> Hold:
    """Return a hold."""
    return Hold(certificate_id, "administrator", "os:root", NOW, "reported lost")


def final(certificate_id: UUID) -> Revocation:
    """Return a final revocation."""
    return Revocation(certificate_id, RevocationReason.SUPERSEDED, "administrator", "os:root", LATER)


def entries(store: Store, snapshot: int, shards: range = range(1)) -> list[tuple[int, int]]:
    """Return serial and reason of what is listed at a snapshot."""
    return [told(entry) for page in store.crl_entries("staff-ca", shards, snapshot, NOW) for entry in page]


def changes(store: Store, since: int, snapshot: int, shards: range = range(1)) -> set[tuple[int, int]]:
    """Return serial and reason of what changed."""
    pages = list(store.crl_changes("staff-ca", shards, snapshot, NOW, since))
    found = [told(entry) for page in pages for entry in page]
    assert len({serial for serial, _ in found}) == len(found)
    return set(found)


def told(entry: bytes) -> tuple[int, int]:
    """Read serial and reason of an entry."""
    parts = der.read_one(entry).children()
    reason = parts[2].children()[0].children()[1].content[-1] if len(parts) > 2 else 0
    return parts[0].as_integer(), reason


def test_a_hold_suspends_and_a_release_restores(store: Store) -> None:
    """REV-1: held is revoked for whoever asks, released is good, and both stay in the history."""
    held = issue(store, 1, 5)
    assert store.hold_certificate(a_hold(held), (an_event(),))
    found = store.certificate(held)
    assert found is not None
    assert found.revocation == Revocation(
        held, RevocationReason.CERTIFICATE_HOLD, "administrator", "os:root", NOW, "reported lost"
    )
    status = store.serial_status("staff-ca", 5)
    assert status is not None
    assert status.issued
    assert status.revocation == found.revocation
    assert store.holds(held) == (a_hold(held),)
    assert store.release_certificate(held, LATER, "os:eve", "found", (an_event(2),))
    found = store.certificate(held)
    assert found is not None
    assert found.revocation is None
    assert store.holds(held) == (
        replace(a_hold(held), released=True, ended_at=LATER, ended_by="os:eve", ended_note="found"),
    )
    assert store.revocation_count("staff-ca") == 2


def test_what_is_held_is_held_once_and_revoked_for_good(store: Store) -> None:
    """REV-1: held again, released twice, revoked while held, then nothing more."""
    held = issue(store, 1, 5)
    assert not store.release_certificate(held, LATER, "os:eve", "", (an_event(1),))
    assert store.hold_certificate(a_hold(held), ())
    assert not store.hold_certificate(a_hold(held), (an_event(2),))
    assert store.release_certificate(held, LATER, "os:eve", "", ())
    assert store.hold_certificate(replace(a_hold(held), at=LATER), ())
    assert store.revoke(final(held), ())
    found = store.certificate(held)
    assert found is not None
    assert found.revocation == final(held)
    first, second = store.holds(held)
    assert (first.released, second.released, second.ended_at, second.ended_by) == (True, False, LATER, "os:root")
    for refused in (
        store.release_certificate(held, LATER, "os:eve", "", (an_event(3),)),
        store.hold_certificate(a_hold(held), (an_event(4),)),
        store.revoke(final(held), (an_event(5),)),
        store.hold_certificate(a_hold(an_id("certificate", 99)), (an_event(6),)),
        store.release_certificate(an_id("certificate", 99), NOW, "os:eve", "", (an_event(7),)),
    ):
        assert not refused


def test_of_many_that_hold_at_once_one_does(store: Store) -> None:
    """Of many that hold, release or revoke at once each certificate has one end, and positions are all different."""
    held = issue(store, 1, 5)
    assert sum(at_once(6, lambda _: store.hold_certificate(a_hold(held), ()))) == 1
    done = at_once(
        6,
        lambda turn: (
            store.revoke(final(held), ()) if turn % 2 else store.release_certificate(held, LATER, "os:eve", "", ())
        ),
    )
    assert sum(done[::2]) == 1
    (hold,) = store.holds(held)
    assert hold.ended_at == LATER
    assert entries(store, store.revocation_count("staff-ca")) == [(5, RevocationReason.SUPERSEDED)]


def test_a_snapshot_knows_what_was_held_then(store: Store) -> None:
    """REV-2: a CRL's snapshot lists what was held at its time, whatever is released or revoked while it is read."""
    one, two, three = (issue(store, number, 4 + number) for number in (1, 2, 3))
    for each in (one, two, three):
        store.hold_certificate(a_hold(each), ())
    snapshot = store.revocation_count("staff-ca")
    held = RevocationReason.CERTIFICATE_HOLD
    walk = store.crl_entries("staff-ca", range(1), snapshot, NOW)
    store.release_certificate(one, LATER, "os:eve", "", ())
    store.revoke(final(two), ())
    assert [told(entry) for page in walk for entry in page] == [(5, held), (6, held), (7, held)]
    assert entries(store, snapshot + 1) == [(6, held), (7, held)]
    assert entries(store, snapshot + 2) == [(6, RevocationReason.SUPERSEDED), (7, held)]


def test_a_delta_lists_what_changed(store: Store) -> None:
    """RFC 5280 §5.2.4: since a snapshot: revoked, held, and released ones as removeFromCRL, each serial once."""
    ids = {serial: issue(store, serial, serial) for serial in range(1, 9)}
    for serial in (1, 2, 3, 4):
        store.hold_certificate(a_hold(ids[serial]), ())
    store.revoke(final(ids[8]), ())
    base = store.revocation_count("staff-ca")
    store.release_certificate(ids[1], LATER, "os:eve", "", ())
    store.revoke(final(ids[2]), ())
    store.release_certificate(ids[3], LATER, "os:eve", "", ())
    store.hold_certificate(a_hold(ids[3]), ())
    store.hold_certificate(a_hold(ids[5]), ())
    store.release_certificate(ids[5], LATER, "os:eve", "", ())
    store.revoke(final(ids[6]), ())
    store.hold_certificate(a_hold(ids[7]), ())
    store.release_certificate(ids[7], LATER, "os:eve", "", ())
    store.revoke(final(ids[7]), ())
    hold, superseded, remove = RevocationReason.CERTIFICATE_HOLD, RevocationReason.SUPERSEDED, 8
    whole = store.revocation_count("staff-ca")
    wanted = {(1, remove), (2, superseded), (3, hold), (5, remove), (6, superseded), (7, superseded)}
    assert changes(store, base, whole) == wanted
    assert changes(store, whole, whole) == set()
    # A delta brings whoever has the base to the complete list.
    listed = dict(entries(store, base)) | dict(wanted)
    assert {serial: reason for serial, reason in listed.items() if reason != remove} == dict(entries(store, whole))


def test_lists_hold_their_own(store: Store) -> None:
    """A list tells of its own certificates, the full one of all; what changed is asked of each."""
    for number, shard in ((1, 0), (2, 1), (3, 2), (4, 2)):
        issue(store, number, number, shard)
    store.revoke(final(an_id("certificate", 1)), ())
    store.revoke(final(an_id("certificate", 2)), ())
    store.hold_certificate(a_hold(an_id("certificate", 3)), ())
    snapshot = store.revocation_count("staff-ca")
    store.revoke(final(an_id("certificate", 4)), ())
    assert [serial for serial, _ in entries(store, snapshot, range(3))] == [1, 2, 3]
    assert [[s for s, _ in entries(store, snapshot, range(n, n + 1))] for n in range(3)] == [[1], [2], [3]]
    assert [store.crl_changed("staff-ca", range(n, n + 1), snapshot) for n in range(3)] == [False, False, True]
    assert store.crl_changed("staff-ca", range(3), snapshot)
    assert not store.crl_changed("other-ca", range(3), 0)
    assert dict(store.live_by_list("staff-ca", NOW)) == {0: 1, 1: 1, 2: 2}
    assert dict(store.live_by_list("staff-ca", NOW + timedelta(days=400))) == {}


def test_a_release_is_a_change_of_its_list(store: Store) -> None:
    """REV-3: what is released makes a new CRL due."""
    held = issue(store, 1, 5, shard=2)
    store.hold_certificate(a_hold(held), ())
    snapshot = store.revocation_count("staff-ca")
    assert not store.crl_changed("staff-ca", range(2, 3), snapshot)
    store.release_certificate(held, LATER, "os:eve", "", ())
    assert store.crl_changed("staff-ca", range(2, 3), snapshot)


def test_held_certificates_are_listed_with_the_revoked_ones(store: Store) -> None:
    """`cert list --revoked` has both, newest first; the others are what is good."""
    for number in (1, 2, 3):
        issue(store, number, number)
    store.hold_certificate(a_hold(an_id("certificate", 2)), ())
    store.revoke(final(an_id("certificate", 1)), ())
    revoked = store.certificates(CertificateFilter(revoked=True))
    assert [found.serial for found in revoked] == [2, 1]
    assert [found.serial for found in store.certificates(CertificateFilter(revoked=True, limit=1))] == [2]
    assert [found.serial for found in store.certificates(CertificateFilter(revoked=False))] == [3]


def test_a_held_successor_stops_its_predecessor(store: Store) -> None:
    """REN-1: while a later generation is on hold, trust in its chain is withdrawn; after a release it is back."""
    first = an_enrolment(1)
    assert first.lineage is not None
    second = replace(an_enrolment(2), lineage=replace(first.lineage, generation=1))
    for enrolment, number in ((first, 1), (second, 2)):
        store.begin(an_intent(number, enrolment), (), enrolment=enrolment)
        store.finish(an_intent(number).id, b"der", NOW, ())
    assert not store.withdrawn_since(first.id, 0)
    store.hold_certificate(a_hold(an_intent(2).id), ())
    assert store.withdrawn_since(first.id, 0)
    store.release_certificate(an_intent(2).id, LATER, "os:eve", "", ())
    assert not store.withdrawn_since(first.id, 0)


def test_a_compromised_key_stays_so(store: Store) -> None:
    """KEY-2: a key is blocked once, for ever."""
    assert not store.is_compromised(b"k" * 32)
    assert store.compromise_key(b"k" * 32, NOW, "os:root", "stolen", (an_event(),))
    assert store.is_compromised(b"k" * 32)
    assert not store.compromise_key(b"k" * 32, NOW, "os:root", "stolen", (an_event(2),))


def test_a_plan_is_kept_and_lists_never_get_fewer(store: Store) -> None:
    """A plan is for new certificates: the number of lists that there were at the most stays."""
    store.add_authority(an_authority(), ())
    store.set_crl_plan("staff-ca", 8, (an_event(),), lists=0, delta=True, full=False)
    found = store.authority("staff-ca")
    assert found == replace(an_authority(), crl_shards=8, crl_lists=8, crl_delta=True, crl_full=False)
    store.set_crl_plan("staff-ca", 2, (an_event(),), lists=3, delta=False, full=True)
    assert store.authority("staff-ca") == replace(an_authority(), crl_shards=2, crl_lists=8)


def test_a_plan_needs_an_authority(sql: SqlStore) -> None:
    """A plan for an authority that does not exist is refused."""
    with pytest.raises(AdminError):
        sql.set_crl_plan("nobody", 2, (), lists=2, delta=False, full=True)


def test_partial_and_delta_crls_are_published_beside_the_full_one(store: Store) -> None:
    """Each list has its own last CRL and octets; numbers rise over all; a delta has the number of its complete CRL."""
    full = publish(store, store.reserve_crl(an_id("crl", 1), "staff-ca", NOW))
    reserved = store.reserve_crl(an_id("crl", 2), "staff-ca", NOW, shard=3)
    assert reserved.number > full.number
    store.begin_crl(replace(an_intent_for(reserved), shard=3))
    partial = replace(a_record_of(reserved), shard=3, partial=True)
    assert store.finish_crl(reserved.id, partial, (b"partial",), ())
    delta = store.reserve_delta(an_id("crl", 3), partial, full.number, NOW)
    assert (delta.number, delta.snapshot) == (partial.number, partial.snapshot)
    store.begin_crl(replace(an_intent_for(delta), shard=3, base=full.number))
    changed = replace(a_record_of(delta), shard=3, base=full.number, partial=True)
    assert store.finish_crl(delta.id, changed, (b"delta",), ())
    assert store.last_crl("staff-ca") == full
    assert store.last_crl("staff-ca-3") == partial
    assert store.last_crl("staff-ca-3-delta") == changed
    assert b"".join(store.crl_octets(partial)) == b"partial"
    assert b"".join(store.crl_octets(changed)) == b"delta"
    assert b"".join(store.crl_octets(full)) == b"the crl"


def test_a_delta_begins_from_the_oldest_crl_that_is_good(store: Store) -> None:
    """Whoever holds any CRL of the same scope that has not ended can use the newest delta."""
    records = []
    for number in (1, 2, 3):
        reserved = store.reserve_crl(an_id("crl", number), "staff-ca", NOW)
        store.begin_crl(an_intent_for(reserved))
        record = replace(a_record_of(reserved), next_update=NOW + number * MINUTE, partial=number == 2)
        assert store.finish_crl(reserved.id, record, (b"crl",), ())
        records.append(record)
    assert store.delta_base(records[2], NOW) == records[0]
    assert store.delta_base(records[2], NOW + MINUTE) == records[2]
    assert store.delta_base(records[1], NOW + MINUTE) == records[1]
    assert store.delta_base(records[2], NOW + 5 * MINUTE) == records[2]


def test_entries_from_before_they_were_stored_are_listed(sql: SqlStore, url: str) -> None:
    """What was revoked by an older version has no stored entry, and is on the CRL all the same."""
    revoke(sql, 1, 5)
    revoke(sql, 2, 300)
    whole = [entry for page in sql.crl_entries("staff-ca", range(1), 2, NOW) for entry in page]
    tamper(url, "UPDATE revocation SET entry = NULL WHERE position = 1")
    assert serials(sql, 2) == [300, 5]
    listed = [entry for page in sql.crl_entries("staff-ca", range(1), 2, NOW) for entry in page]
    assert sorted(listed) == sorted(whole)
    assert changes(sql, 0, 2) == {(5, RevocationReason.SUPERSEDED), (300, RevocationReason.SUPERSEDED)}


def test_holds_come_back_with_a_backup(sql: SqlStore, url: str, tmp_path: Path, clock: FakeClock) -> None:
    """What is held, was held, and was revoked while held is the same after a restore, entries and all."""
    ids = [issue(sql, number, number, shard=number) for number in (1, 2, 3)]
    for each in ids:
        sql.hold_certificate(a_hold(each), ())
    sql.release_certificate(ids[0], LATER, "os:eve", "", ())
    sql.revoke(final(ids[1]), ())
    sql.compromise_key(b"k" * 32, NOW, "os:root", "", ())
    lines = b"".join(dump(url, NEEDED, {})).splitlines()
    target = f"sqlite:///{tmp_path}/restored.db"
    upgrade(target)
    load(target, read_head(lines[0]), lines[1:])
    restored = open_store(target, node="other", clock=clock)
    try:
        assert [restored.holds(each) for each in ids] == [sql.holds(each) for each in ids]
        assert entries(restored, 5, range(4)) == entries(sql, 5, range(4))
        assert restored.is_compromised(b"k" * 32)
        assert not restored.hold_certificate(a_hold(ids[1]), ())
    finally:
        restored.close()
