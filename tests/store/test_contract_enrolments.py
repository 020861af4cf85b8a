"""Contract of conversations."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from regalia.errors import Stage
from regalia.model import EnrolmentState, Known, StageNote
from regalia.ports import EnrolmentFilter, EventFilter
from store.samples import (
    MINUTE,
    NOW,
    a_challenge,
    a_key,
    an_enrolment,
    an_event,
    an_id,
    an_intent,
    conversation,
    octets,
    transaction_holder,
)

if TYPE_CHECKING:
    from regalia.model import Enrolment
    from regalia.ports import Store

DAY = timedelta(hours=24)


def a_refusal(number: int = 1) -> Enrolment:
    """Return a refused enrolment."""
    return replace(
        an_enrolment(number),
        state=EnrolmentState.REFUSED,
        lineage=None,
        certificate_id=None,
        reason_id="RA-011",
        detail="the challenge is unknown",
    )


def begin(store: Store, number: int, enrolment: Enrolment) -> None:
    """Begin a certificate for an enrolment."""
    assert store.begin(an_intent(number, enrolment), (), enrolment=enrolment) == "begun"


def test_a_conversation_is_found_by_its_whole_key(store: Store) -> None:
    """Only the very same endpoint, transactionID, key, signer and challenge are the same conversation (R3)."""
    begin(store, 1, an_enrolment())
    key = a_key()
    assert conversation(store, key) == an_enrolment()
    assert store.enrolment(an_enrolment().id) == an_enrolment()
    for other in (
        replace(key, endpoint="other"),
        replace(key, transaction_id=b"transaction 10"),
        replace(key, key_sha256=octets("other")),
        replace(key, signer_serial=1),
        replace(key, challenge_mac=None),
        replace(key, challenge_mac=octets("other")),
    ):
        assert conversation(store, other) is None


def test_a_live_signer_is_part_of_the_key(store: Store) -> None:
    """A renewal's conversation belongs to the serial of the certificate that signed (R3)."""
    key = replace(a_key(), signer_serial=(1 << 158) + 5, challenge_mac=None)
    begin(store, 1, an_enrolment(1, key))
    assert conversation(store, key) == an_enrolment(1, key)
    assert conversation(store, replace(key, signer_serial=5)) is None


def test_a_refusal_opens_no_conversation(store: Store) -> None:
    """A refusal is kept and shown, and never answers a request (R3)."""
    store.record_refusal(a_refusal(), (an_event(),))
    assert store.enrolment(a_refusal().id) == a_refusal()
    assert conversation(store, a_key()) is None
    assert transaction_holder(store, "default", a_key().transaction_id, NOW - DAY) is None
    assert len(store.events(EventFilter())) == 1
    store.record_refusal(a_refusal(2), ())
    begin(store, 3, an_enrolment(3, a_key(1)))


def test_what_a_peer_wrote_is_kept_whatever_it_holds(store: Store) -> None:
    """Text that no database can hold does not make a refusal fail (IN-2)."""
    store.record_refusal(replace(a_refusal(), detail="asked \x00 \ud800", source="\x00"), ())
    stored = store.enrolment(a_refusal().id)
    assert stored is not None
    assert stored.detail.startswith("asked ")


def test_enrolments_are_listed_newest_first(store: Store) -> None:
    """The list is newest first, filtered by state and endpoint, and no longer than asked for."""
    begin(store, 1, an_enrolment(1))
    store.record_refusal(a_refusal(2), ())
    begin(store, 3, an_enrolment(3, replace(a_key(3), endpoint="other")))
    ids = [enrolment.id for enrolment in store.enrolments(EnrolmentFilter())]
    assert ids == [an_id("enrolment", number) for number in (3, 2, 1)]
    assert store.enrolments(EnrolmentFilter(state=EnrolmentState.REFUSED)) == (a_refusal(2),)
    assert [e.id for e in store.enrolments(EnrolmentFilter(endpoint="default"))] == ids[1:]
    assert [e.id for e in store.enrolments(EnrolmentFilter(limit=1))] == ids[:1]


def test_a_transaction_is_held_while_it_has_no_certificate(store: Store) -> None:
    """An open conversation holds its transactionID however old it is (R3)."""
    begin(store, 1, an_enrolment())
    key = a_key()
    assert transaction_holder(store, "default", key.transaction_id, NOW + DAY) == an_enrolment()
    assert transaction_holder(store, "other", key.transaction_id, NOW - DAY) is None
    assert transaction_holder(store, "default", b"other", NOW - DAY) is None


def test_an_issued_transaction_is_held_for_a_while(store: Store) -> None:
    """Once issued it holds its transactionID as long as it was created no earlier than asked (R3)."""
    begin(store, 1, an_enrolment())
    assert store.finish(an_intent().id, b"der", NOW + MINUTE, ())
    holder = transaction_holder(store, "default", a_key().transaction_id, NOW)
    assert holder is not None
    assert holder.id == an_enrolment().id
    later = NOW + timedelta(milliseconds=1)
    assert transaction_holder(store, "default", a_key().transaction_id, later) is None


def test_a_renewal_holds_no_transaction(store: Store) -> None:
    """A conversation of a LIVE signer does not hold its transactionID: clients use it again (R3)."""
    key = replace(a_key(), signer_serial=7)
    begin(store, 1, an_enrolment(1, key))
    assert transaction_holder(store, "default", key.transaction_id, NOW - DAY) is None


def test_stages_grow_by_what_finishing_adds(store: Store) -> None:
    """The notes of TX2 follow those of TX1, whatever characters a device's names brought into them."""
    first = StageNote(Stage.POLICY, ok=True, note="names \x00 \ud800 \x85 \n as bound", at=NOW)
    last = StageNote(Stage.ISSUANCE, ok=True, note="signed \x00 \ud800", at=NOW + MINUTE)
    begin(store, 1, replace(an_enrolment(), stages=(first,)))
    assert store.finish(an_intent().id, b"der", NOW + MINUTE, (), (last,))
    found = store.enrolment(an_enrolment().id)
    assert found is not None
    assert found.stages == (first, last)


def test_old_refusals_are_forgotten(store: Store) -> None:
    """Refusals older than the limit go; younger ones and what was not refused stay (R13)."""
    begin(store, 1, replace(an_enrolment(1), created_at=NOW - DAY))
    store.record_refusal(replace(a_refusal(2), created_at=NOW - DAY, updated_at=NOW - DAY), ())
    store.record_refusal(a_refusal(3), ())
    assert store.forget_refusals(NOW) == 1
    assert store.forget_refusals(NOW) == 0
    ids = [enrolment.id for enrolment in store.enrolments(EnrolmentFilter())]
    assert ids == [an_id("enrolment", number) for number in (3, 1)]


def test_what_a_request_meets(store: Store) -> None:
    """One look tells what the single questions tell: conversation, holder, challenge, certificates of the key (R3)."""
    store.add_challenge(a_challenge(1), ())
    key = a_key(1)
    assert store.known(key, NOW - DAY) == Known(None, None, a_challenge(1), ())
    begin(store, 1, an_enrolment(1))
    begin(store, 2, an_enrolment(2, replace(key, challenge_mac=None)))
    known = store.known(key, NOW - DAY)
    assert known.conversation == an_enrolment(1)
    assert known.holder == an_enrolment(2, replace(key, challenge_mac=None))
    assert known.challenge == a_challenge(1)
    assert [row.id for row in known.same_key] == [an_intent(2).id, an_intent(1).id]
    assert known.same_key == store.certificates_by_key(key.key_sha256)
    other = replace(key, key_sha256=octets("other"), challenge_mac=None)
    assert store.known(other, NOW - DAY) == Known(None, known.holder, None, ())


def test_what_a_live_signer_meets(store: Store) -> None:
    """A LIVE signer's transactionID binds nobody, its challenge is no evidence: neither is looked for (R3, R4)."""
    store.add_challenge(a_challenge(1), ())
    begin(store, 1, an_enrolment())
    live = replace(a_key(), signer_serial=7)
    assert store.known(live, NOW - DAY) == Known(None, None, None, store.certificates_by_key(live.key_sha256))
    begin(store, 2, an_enrolment(2, live))
    assert store.known(live, NOW - DAY).conversation == an_enrolment(2, live)
