"""Contract of issued certificates and their end."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier
from typing import TYPE_CHECKING

import pytest

from regalia.errors import InvariantError
from regalia.model import CertificateKind, Revocation, RevocationReason
from regalia.ports import CertificateFilter, EventFilter, SerialStatus
from store.samples import MINUTE, NOW, an_enrolment, an_event, an_id, an_intent, octets

if TYPE_CHECKING:
    from regalia.model import CertificateIntent, Enrolment
    from regalia.ports import Store


def a_revocation(number: int = 1) -> Revocation:
    """Return the end of a certificate."""
    return Revocation(
        an_id("certificate", number), RevocationReason.KEY_COMPROMISE, "administrator", "os:root", NOW + MINUTE, "lost"
    )


def issue(
    store: Store, number: int, intent: CertificateIntent | None = None, enrolment: Enrolment | None = None
) -> None:
    """Begin and finish a certificate."""
    store.begin(intent or an_intent(number, enrolment), (), enrolment=enrolment)
    assert store.finish(an_id("certificate", number), octets(f"der {number}", 900), NOW, ())


def ids(*numbers: int) -> list[object]:
    """Return the ids of certificates."""
    return [an_id("certificate", number) for number in numbers]


@pytest.mark.parametrize("serial", [1, 127, 128, (1 << 128) + 1, (1 << 159) - 1])
def test_every_serial_is_found(store: Store, serial: int) -> None:
    """A certificate is found by its serial, short or long, of its authority and of any (RFC 5280 §4.1.2.2)."""
    issue(store, 1, replace(an_intent(1), serial=serial))
    row = store.certificate_by_serial("staff-ca", serial)
    assert row is not None
    assert (row.id, row.serial, row.der) == (an_id("certificate", 1), serial, octets("der 1", 900))
    assert store.find_serial(serial) == (row,)
    assert store.certificate_by_serial("other-ca", serial) is None
    assert store.find_serial(serial + 1) == ()


@pytest.mark.parametrize("serial", [0, -1, 1 << 159, 1 << 500])
def test_serials_that_nobody_assigns(store: Store, serial: int) -> None:
    """A peer may ask for any number; one that no certificate can have is unknown (IN-2)."""
    issue(store, 1)
    assert store.serial_status("staff-ca", serial) is None
    assert store.certificate_by_serial("staff-ca", serial) is None
    assert store.find_serial(serial) == ()


def test_certificates_of_one_key(store: Store) -> None:
    """All that was ever begun for a key is found, newest first."""
    same = octets("key 1")
    issue(store, 1)
    issue(store, 2)
    store.begin(replace(an_intent(3), key_sha256=same), ())
    assert [row.id for row in store.certificates_by_key(same)] == ids(3, 1)
    assert store.certificates_by_key(octets("key 9")) == ()


def test_certificates_are_listed_newest_first(store: Store) -> None:
    """The list is newest first, filtered by kind, group, authority and revocation, no longer than asked for."""
    issue(store, 1)
    issue(store, 2, replace(an_intent(2), kind=CertificateKind.RA))
    issue(store, 3, replace(an_intent(3), group="other", authority="other-ca"))
    issue(store, 4, replace(an_intent(4), subject="CN=printer", device="INV-4"))
    store.revoke(a_revocation(1), ())
    store.revoke(a_revocation(3), ())

    def listed(wanted: CertificateFilter) -> list[object]:
        return [row.id for row in store.certificates(wanted)]

    assert listed(CertificateFilter()) == ids(4, 3, 2, 1)
    assert listed(CertificateFilter(limit=2)) == ids(4, 3)
    assert listed(CertificateFilter(kind=CertificateKind.LEAF)) == ids(4, 3, 1)
    assert listed(CertificateFilter(kind=CertificateKind.RA)) == ids(2)
    assert listed(CertificateFilter(group="staff")) == ids(4, 2, 1)
    assert listed(CertificateFilter(authority="other-ca")) == ids(3)
    assert listed(CertificateFilter(revoked=True)) == ids(3, 1)
    assert listed(CertificateFilter(revoked=False)) == ids(4, 2)
    assert listed(CertificateFilter(revoked=True, group="staff", limit=1)) == ids(1)
    assert listed(CertificateFilter(subject="CN=printer")) == ids(4)
    assert listed(CertificateFilter(device="INV-4")) == ids(4)
    assert listed(CertificateFilter(subject="CN=nobody\0", device="INV-4")) == []


def test_the_newest_generation_of_a_chain(store: Store) -> None:
    """The newest generation is the highest that was issued in that chain; one only begun does not count (REN-1)."""
    first = an_enrolment(1)
    assert store.newest_generation(first.id) == 0
    issue(store, 1, enrolment=first)
    for number in (2, 3):
        link = first.lineage
        assert link is not None
        renewal = replace(
            an_enrolment(number, replace(an_enrolment(number).key, signer_serial=number)),
            lineage=replace(link, generation=number - 1, predecessor=an_id("certificate", number - 1)),
        )
        assert store.newest_generation(first.id) == number - 2
        store.begin(an_intent(number, renewal), (), enrolment=renewal)
        assert store.newest_generation(first.id) == number - 2
        store.finish(an_intent(number).id, b"der", NOW, ())
        stored = store.enrolment(renewal.id)
        assert stored is not None
        assert stored.lineage == renewal.lineage
    assert store.newest_generation(first.id) == 2
    assert store.newest_generation(an_id("enrolment", 9)) == 0


@pytest.mark.parametrize(
    ("reason", "withdrawn"),
    [(RevocationReason.PRIVILEGE_WITHDRAWN, True), (RevocationReason.SUPERSEDED, False)],
    ids=["withdrawn", "superseded"],
)
def test_a_withdrawn_successor_is_known(store: Store, reason: RevocationReason, withdrawn: bool) -> None:  # noqa: FBT001 - a table
    """A successor counts for the one before and for its siblings if it was revoked for more than being superseded."""
    first = an_enrolment(1)
    issue(store, 1, enrolment=first)
    link = first.lineage
    assert link is not None
    renewal = replace(
        an_enrolment(2, replace(an_enrolment(2).key, signer_serial=2)), lineage=replace(link, generation=1)
    )
    issue(store, 2, enrolment=renewal)
    assert not store.withdrawn_since(first.id, 0)
    store.revoke(Revocation(an_id("certificate", 2), reason, "administrator", "os:root", NOW), ())
    assert store.withdrawn_since(first.id, 0) is withdrawn
    assert store.withdrawn_since(first.id, 1) is withdrawn
    assert not store.withdrawn_since(first.id, 2)


def test_what_a_device_was_given_today(store: Store) -> None:
    """Leaves of a device count from the moment asked for on; abandoned ones, others' and ours do not (RES-5)."""
    today = NOW - MINUTE
    issue(store, 1)
    store.begin(replace(an_intent(2), created_at=today), ())
    store.begin(replace(an_intent(3), created_at=today - MINUTE), ())
    store.begin(replace(an_intent(4), device="device-2"), ())
    store.begin(replace(an_intent(5), device=None), ())
    store.begin(replace(an_intent(6), kind=CertificateKind.RA), ())
    store.begin(an_intent(7), ())
    store.abandon(an_intent(7).id, NOW, ())
    assert store.begun_since(today, device="device-1") == 2
    assert store.begun_since(today - MINUTE, device="device-1") == 3
    assert store.begun_since(NOW + MINUTE, device="device-1") == 0
    assert store.begun_since(today, device="device-3") == 0


def test_what_a_chain_was_given_today(store: Store) -> None:
    """A chain counts its beginning and its renewals; what was abandoned and then resumed counts once (RES-5)."""
    first = an_enrolment(1)
    assert store.begun_since(NOW, chain=first.id) == 0
    issue(store, 1, enrolment=first)
    assert first.lineage is not None
    for number in (2, 3):
        renewal = replace(
            an_enrolment(number, replace(an_enrolment(number).key, signer_serial=number)),
            lineage=replace(first.lineage, generation=number - 1),
        )
        intent = replace(an_intent(number, renewal), created_at=NOW + (number - 1) * MINUTE)
        store.begin(intent, (), enrolment=renewal)
    issue(store, 9, enrolment=an_enrolment(9))
    assert store.begun_since(NOW, chain=first.id) == 3
    assert store.begun_since(NOW + MINUTE, chain=first.id) == 2
    store.abandon(an_intent(2).id, NOW, ())
    assert store.begun_since(NOW, chain=first.id) == 2
    resumed = store.enrolment(an_id("enrolment", 2))
    assert resumed is not None
    store.begin(an_intent(12, resumed), (), enrolment=resumed, resumes=an_intent(2).id)
    assert store.begun_since(NOW, chain=first.id) == 3


def test_one_count_at_a_time(store: Store) -> None:
    """Neither a device nor a chain, or both, is no question (RES-5)."""
    with pytest.raises(InvariantError):
        store.begun_since(NOW)
    with pytest.raises(InvariantError):
        store.begun_since(NOW, device="device-1", chain=an_id("enrolment", 1))


def test_status_of_a_serial(store: Store) -> None:
    """OCSP learns whether a serial was assigned, issued, abandoned and revoked (ISS-7)."""
    serial = an_intent(1).serial
    assert store.serial_status("staff-ca", serial) is None
    store.begin(an_intent(1), ())
    assert store.serial_status("staff-ca", serial) == SerialStatus(issued=False, abandoned=False, revocation=None)
    store.finish(an_intent(1).id, b"der", NOW, ())
    assert store.serial_status("staff-ca", serial) == SerialStatus(issued=True, abandoned=False, revocation=None)
    store.revoke(a_revocation(1), ())
    assert store.serial_status("staff-ca", serial) == SerialStatus(
        issued=True, abandoned=False, revocation=a_revocation(1)
    )
    assert store.serial_status("other-ca", serial) is None
    store.begin(an_intent(2), ())
    store.abandon(an_intent(2).id, NOW, ())
    status = store.serial_status("staff-ca", an_intent(2).serial)
    assert status is not None
    assert status.abandoned
    assert status.revocation is not None


def test_a_certificate_is_revoked_once(store: Store) -> None:
    """Revoking answers True once, is counted once, and the first reason stands (REV-1)."""
    issue(store, 1)
    assert store.revocation_count("staff-ca") == 0
    assert store.revoke(a_revocation(1), (an_event(1),))
    other = replace(a_revocation(1), reason=RevocationReason.SUPERSEDED)
    assert not store.revoke(other, (an_event(2),))
    assert not store.revoke(a_revocation(9), (an_event(3),))
    row = store.certificate(an_id("certificate", 1))
    assert row is not None
    assert row.revocation == a_revocation(1)
    assert store.revocation_count("staff-ca") == 1
    assert [event.draft.object for event in store.events(EventFilter())] == ["challenge:1"]


def test_revocations_at_once(store: Store) -> None:
    """Of several who revoke one certificate at once exactly one does; all are counted without a gap."""
    for number in range(1, 5):
        issue(store, number)
    start = Barrier(8)

    def revoke(turn: int) -> bool:
        start.wait()
        return store.revoke(a_revocation(turn % 4 + 1), (an_event(turn),))

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(revoke, range(8))) == [False] * 4 + [True] * 4
    assert store.revocation_count("staff-ca") == 4
    assert len(store.events(EventFilter())) == 4
