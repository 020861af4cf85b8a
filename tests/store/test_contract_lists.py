"""Contract of lists of certificates by what became of them, and of reading everything again."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from regalia.model import Action, Actor, ActorKind, CertificateKind, CertificateState, EventDraft, Outcome
from regalia.ports import CertificateFilter
from regalia.store import certificates as module
from store.samples import NOW, an_intent
from store.test_contract_certificates import a_revocation, ids, issue
from store.test_plans import plan

if TYPE_CHECKING:
    from regalia.ports import Store

DAY = timedelta(days=1)


def listed(store: Store, **asked: object) -> list[object]:
    """Return the ids of what matches, in order."""
    return [row.id for row in store.certificates(CertificateFilter(**asked))]  # type: ignore[arg-type]  # of any field


@pytest.fixture
def filled(store: Store) -> Store:
    """Return a store with certificates that end in 1, 3, 2 and 400 days, and one that was only begun."""
    for number, days in ((1, 1), (2, 3), (3, 2), (4, 400)):
        issue(store, number, replace(an_intent(number), not_after=NOW + days * DAY))
    store.begin(replace(an_intent(5), not_after=NOW + 5 * DAY), ())
    return store


def test_what_lives_is_listed_newest_first(filled: Store) -> None:
    """A list of live certificates has what is issued and has not ended; what was only begun is not among it."""
    assert listed(filled, live_at=NOW) == ids(4, 3, 2, 1)
    assert listed(filled, live_at=NOW + DAY) == ids(4, 3, 2)
    assert listed(filled, live_at=NOW + 3 * DAY) == ids(4)
    assert listed(filled, live_at=NOW + 1000 * DAY) == []


def test_what_expired_is_listed_by_its_end(filled: Store) -> None:
    """A list of expired certificates begins with the one that expired last."""
    assert listed(filled, expired_at=NOW) == []
    assert listed(filled, expired_at=NOW + 3 * DAY) == ids(2, 3, 1)
    assert listed(filled, expired_at=NOW + 3 * DAY, limit=2) == ids(2, 3)


def test_lists_by_state(filled: Store) -> None:
    """What was begun and not issued is found by its state."""
    assert listed(filled, state=CertificateState.INTENT) == ids(5)
    assert listed(filled, state=CertificateState.ABANDONED) == []
    assert listed(filled, state=CertificateState.ISSUED, device="device-1", limit=1) == ids(4)


def test_conditions_add_up(filled: Store) -> None:
    """Live and not revoked, expired and revoked: each condition narrows what the others leave."""
    filled.revoke(a_revocation(1), ())
    assert listed(filled, live_at=NOW, revoked=False) == ids(4, 3, 2)
    assert listed(filled, live_at=NOW, revoked=True) == ids(1)
    assert listed(filled, expired_at=NOW + 3 * DAY, revoked=True) == ids(1)
    assert listed(filled, live_at=NOW, kind=CertificateKind.RA) == []


def test_two_lists_of_one_shape_have_their_own_values(filled: Store) -> None:
    """A statement is made once for each shape of a question, and asked with each one's own values."""
    assert listed(filled, device="device-1") == ids(5, 4, 3, 2, 1)
    assert listed(filled, device="device-2") == []
    assert listed(filled, device="device-1", limit=1) == ids(5)


def test_everything_is_read_again_in_pages(filled: Store) -> None:
    """All certificates come oldest first, each once, a page at a time."""
    first = filled.certificates_after(None, 2)
    rest = filled.certificates_after(first[-1].id, 10)
    assert [row.id for row in (*first, *rest)] == ids(1, 2, 3, 4, 5)
    assert filled.certificates_after(rest[-1].id, 10) == ()


def an_issued_event(number: int) -> EventDraft:
    """Return the record that a certificate was issued."""
    serial = f"{an_intent(number).serial:x}"
    actor = Actor(ActorKind.SYSTEM, "test")
    return EventDraft(
        NOW, actor, Action.CERTIFICATE_ISSUED, f"certificate:{serial}", Outcome.OK, "staff", serial=serial
    )


def test_what_the_log_says_of_certificates(filled: Store) -> None:
    """The records of each serial come in the order of their writing; for a serial without any there are none."""
    filled.record([an_issued_event(1), an_issued_event(2), an_issued_event(1)])
    one, two, three = filled.events_about([f"certificate:{an_intent(number).serial:x}" for number in (1, 2, 3)])
    assert [len(each) for each in (one, two, three)] == [2, 1, 0]
    assert one[0].sequence < one[1].sequence
    assert filled.events_about([]) == ()


def test_what_is_on_record_and_missing(filled: Store) -> None:
    """Serials that the log says were issued come in pages, and those that no row has are told."""
    filled.record([an_issued_event(number) for number in (1, 2, 9)])
    first = filled.issued_on_record(0, 2)
    rest = filled.issued_on_record(first[-1].position, 2)
    serials = [each.serial for each in (*first, *rest)]
    assert serials == [an_intent(number).serial for number in (1, 2, 9)]
    assert filled.missing_serials(serials) == (an_intent(9).serial,)
    assert filled.missing_serials([]) == ()


_SHAPES = {
    "expired": ("expired_at", "limit"),
    "of a device, live": ("device", "live_at", "limit"),
    "of a subject": ("subject", "limit"),
    "of a device, by state": ("device", "state", "limit"),
}


@pytest.mark.parametrize("name", _SHAPES)
def test_no_list_walks_over_the_table(url: str, name: str) -> None:
    """Lists of expired certificates, of a device and of a subject are read from an index, on either database."""
    shape = module._Shape(_SHAPES[name], own=False, revoked=None, held=False)  # noqa: SLF001 - what is tested
    steps = plan(url, module._listing(shape))  # noqa: SLF001 - the same
    assert "SCAN" not in steps
    assert "Seq Scan" not in steps
