"""Contract of enrolments that wait for a decision (POL-3, MSG-3, RES-5)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from regalia.errors import Stage
from regalia.model import EnrolmentState, Names, Revocation, RevocationReason, StageNote
from regalia.ports import Begun, EventFilter
from store.samples import (
    MINUTE,
    NOW,
    a_key,
    a_pending_enrolment,
    an_enrolment,
    an_event,
    an_id,
    an_intent,
    at_once,
    conversation,
    transaction_holder,
)

if TYPE_CHECKING:
    from regalia.model import ConversationKey, Enrolment
    from regalia.ports import Store

DAY = timedelta(hours=24)


def approved(number: int = 1, certificate: int | None = None) -> Enrolment:
    """Return the enrolment of the same number as an approval moves it on."""
    return replace(
        a_pending_enrolment(number),
        state=EnrolmentState.INTENT,
        allowed=Names("approved"),
        updated_at=NOW + MINUTE,
        certificate_id=an_id("certificate", certificate or number),
        stages=(StageNote(Stage.EVIDENCE, ok=True, note="approved", at=NOW + MINUTE),),
    )


def approve(store: Store, number: int = 1, certificate: int | None = None) -> Begun:
    """Approve an enrolment."""
    moved = approved(number, certificate)
    intent = an_intent(certificate or number, moved)
    return store.begin(intent, (an_event(certificate or number),), enrolment=moved, approves=True)


def deny(store: Store, number: int = 1) -> bool:
    """Deny an enrolment."""
    return store.dismiss(an_id("enrolment", number), NOW + MINUTE, "RA-017", "not ours", (an_event(90 + number),))


def objects(store: Store) -> list[str]:
    """Return what the events are about."""
    return [event.draft.object for event in store.events(EventFilter())]


def test_what_is_held_is_an_open_conversation(store: Store) -> None:
    """A held enrolment comes back as it was put in, by its key, by its transaction, and in the list of the queue."""
    held = a_pending_enrolment()
    assert store.hold(held, (an_event(),)) is Begun.BEGUN
    assert store.enrolment(held.id) == held
    assert conversation(store, held.key) == held
    assert store.conversation_of("default", held.key.transaction_id, held.key.key_sha256) == held
    assert objects(store) == ["challenge:1"]


@pytest.mark.parametrize(
    ("key", "begun"),
    [
        (a_key(2), Begun.BEGUN),
        (replace(a_key(2), transaction_id=a_key(1).transaction_id), Begun.TRANSACTION_TAKEN),
        (replace(a_key(2), transaction_id=a_key(1).transaction_id, endpoint="other"), Begun.BEGUN),
        (replace(a_key(2), transaction_id=a_key(1).transaction_id, signer_serial=9), Begun.BEGUN),
        (replace(a_key(1), challenge_mac=None), Begun.BEGUN),
        (a_key(1), Begun.CONVERSATION_TAKEN),
    ],
    ids=["other", "other key", "other endpoint", "live signer", "same key", "same"],
)
@pytest.mark.parametrize("first", ["held", "begun"])
@pytest.mark.parametrize("second", ["held", "begun"])
def test_what_is_held_takes_a_transaction(
    store: Store, first: str, second: str, key: ConversationKey, begun: Begun
) -> None:
    """Held and begun conversations bind their transactionID alike, against both kinds, however old they are (R3)."""
    _enter(store, first, a_pending_enrolment(1) if first == "held" else an_enrolment(1))
    later = replace(a_pending_enrolment(2, key) if second == "held" else an_enrolment(2, key), created_at=NOW + 9 * DAY)
    assert _enter(store, second, later) is begun
    assert (store.enrolment(later.id) is None) is (begun is not Begun.BEGUN)


def _enter(store: Store, how: str, enrolment: Enrolment) -> Begun:
    if how == "held":
        return store.hold(enrolment, ())
    number = 1 if enrolment.id == an_id("enrolment", 1) else 2
    intent = replace(an_intent(number, enrolment), created_at=enrolment.created_at)
    return store.begin(intent, (), enrolment=enrolment)


def test_what_is_held_still_holds_its_transaction(store: Store) -> None:
    """A pending enrolment binds its transactionID however long it waits (R3)."""
    store.hold(a_pending_enrolment(), ())
    holder = transaction_holder(store, "default", a_key().transaction_id, NOW + 29 * DAY)
    assert holder == a_pending_enrolment()


@pytest.mark.parametrize("count", [2, 8])
def test_one_conversation_is_held_once(store: Store, count: int) -> None:
    """Of one request that comes several times at once one is held, the others learn that it is the same (ISS-4)."""
    begun = at_once(count, lambda number: store.hold(a_pending_enrolment(number, a_key(1)), (an_event(number),)))
    assert sorted(begun) == [Begun.BEGUN] + [Begun.CONVERSATION_TAKEN] * (count - 1)
    assert len(objects(store)) == 1
    assert store.pending_count("staff") == 1


@pytest.mark.parametrize("count", [2, 8])
def test_one_transaction_is_held_for_one_key(store: Store, count: int) -> None:
    """Of several keys with one transactionID at once one is held or begun, the others learn that it is taken (R3)."""

    def work(number: int) -> Begun:
        key = replace(a_key(number), transaction_id=b"shared")
        if number % 2:
            return store.hold(a_pending_enrolment(number, key), ())
        enrolment = an_enrolment(number, key)
        return store.begin(an_intent(number, enrolment), (), enrolment=enrolment)

    assert sorted(at_once(count, work)) == [Begun.BEGUN] + [Begun.TRANSACTION_TAKEN] * (count - 1)


def test_holding_closes_a_spent_conversation(store: Store) -> None:
    """A spent conversation is closed where the same request is held anew; a lost race closes nothing (R3)."""
    first = an_enrolment(1)
    store.begin(an_intent(1, first), (), enrolment=first)
    store.finish(an_intent(1).id, b"der", NOW, ())
    again = a_pending_enrolment(2, a_key(1))
    assert store.hold(again, (), closes=an_id("enrolment", 9)) is Begun.CONVERSATION_TAKEN
    assert store.hold(again, (), closes=first.id) is Begun.BEGUN
    assert conversation(store, a_key(1)) == again
    assert store.hold(a_pending_enrolment(3, a_key(1)), (), closes=first.id) is Begun.CONVERSATION_TAKEN
    assert conversation(store, a_key(1)) == again


def test_a_request_is_not_held_for_a_revoked_signer(store: Store) -> None:
    """The predecessor is looked at again in the transaction that holds (REN-1)."""
    first = an_enrolment(1)
    store.begin(an_intent(1, first), (), enrolment=first)
    store.finish(an_intent(1).id, b"der", NOW, ())
    store.revoke(Revocation(an_intent(1).id, RevocationReason.KEY_COMPROMISE, "administrator", "os:root", NOW), ())
    assert first.lineage is not None
    link = replace(first.lineage, generation=1, predecessor=an_intent(1).id)
    renewal = replace(a_pending_enrolment(2, replace(a_key(2), signer_serial=1)), lineage=link)
    assert store.hold(renewal, ()) is Begun.SIGNER_REVOKED
    assert store.enrolment(renewal.id) is None


def test_approval_moves_on_to_a_certificate(store: Store) -> None:
    """An approved enrolment is that of the new intent, with what the approval gave it, and is issued like others."""
    store.hold(a_pending_enrolment(), ())
    assert approve(store) is Begun.BEGUN
    assert store.enrolment(an_id("enrolment", 1)) == approved()
    assert conversation(store, a_key()) == approved()
    assert store.pending_count("staff") == 0
    assert store.finish(an_intent(1).id, b"der", NOW + MINUTE, ())
    issued = store.conversation_of("default", a_key().transaction_id, a_key().key_sha256)
    assert issued is not None
    assert (issued.state, issued.certificate_id) == (EnrolmentState.ISSUED, an_intent(1).id)


def test_what_does_not_wait_is_not_approved(store: Store) -> None:
    """Unknown, issued, refused or denied enrolments are not approved, and nothing is written (POL-3)."""
    begun = an_enrolment(1)
    store.begin(an_intent(1, begun), (), enrolment=begun)
    store.hold(a_pending_enrolment(2), ())
    assert deny(store, 2)
    before = objects(store)
    for number, enrolment in ((4, 1), (5, 2), (6, 3)):
        assert approve(store, enrolment, number) is Begun.CONVERSATION_TAKEN
        assert store.certificate(an_intent(number).id) is None
    assert store.enrolment(begun.id) == begun
    assert objects(store) == before


@pytest.mark.parametrize("count", [2, 8])
def test_one_approval_begins_one_certificate(store: Store, count: int) -> None:
    """Of all who approve at once exactly one begins a certificate (POL-3, I5)."""
    store.hold(a_pending_enrolment(), ())
    begun = at_once(count, lambda number: approve(store, 1, 10 + number))
    assert sorted(begun) == [Begun.BEGUN] + [Begun.CONVERSATION_TAKEN] * (count - 1)
    rows = [store.certificate(an_intent(10 + number).id) for number in range(1, count + 1)]
    assert [row.id for row in rows if row is not None] == [an_intent(10 + begun.index(Begun.BEGUN) + 1).id]
    assert len(objects(store)) == 1


@pytest.mark.parametrize("turn", range(4))
def test_of_approval_and_denial_one_wins(store: Store, turn: int) -> None:
    """Where one approves while another denies exactly one of them decides, and the row says what was decided."""
    store.hold(a_pending_enrolment(), ())

    def work(number: int) -> bool:
        return deny(store) if (number + turn) % 2 else approve(store, 1, 10 + number) is Begun.BEGUN

    won = at_once(4, work)
    assert won.count(True) == 1
    decided = store.enrolment(an_id("enrolment", 1))
    assert decided is not None
    denied = bool((won.index(True) + 1 + turn) % 2)
    assert decided.state is (EnrolmentState.REFUSED if denied else EnrolmentState.INTENT)
    assert len(objects(store)) == 1


def test_denial_closes_the_conversation(store: Store) -> None:
    """A denied enrolment says why, binds nothing any more, and the same request may be held again (R3)."""
    store.hold(a_pending_enrolment(), ())
    assert deny(store)
    assert not deny(store)
    assert not deny(store, 9)
    assert store.enrolment(an_id("enrolment", 1)) == replace(
        a_pending_enrolment(),
        state=EnrolmentState.REFUSED,
        reason_id="RA-017",
        detail="not ours",
        updated_at=NOW + MINUTE,
    )
    assert conversation(store, a_key()) is None
    assert store.conversation_of("default", a_key().transaction_id, a_key().key_sha256) is None
    assert transaction_holder(store, "default", a_key().transaction_id, NOW) is None
    assert store.hold(a_pending_enrolment(2, a_key(1)), ()) is Begun.BEGUN
    assert objects(store) == ["challenge:91"]


def test_what_was_denied_late_is_kept_as_long_as_others(store: Store) -> None:
    """The days for which a refusal is kept begin when it is refused, not when the device asked (R13)."""
    store.hold(a_pending_enrolment(), ())
    store.dismiss(an_id("enrolment", 1), NOW + 30 * DAY, "RA-018", "", ())
    assert store.forget_refusals(NOW + 30 * DAY) == 0
    assert store.forget_refusals(NOW + 31 * DAY) == 1


def test_a_poll_asks_for_one_device(store: Store) -> None:
    """A poll finds the newest open NEW-signer conversation of its endpoint, transaction and key, no other (MSG-3)."""
    key = a_key()
    store.hold(a_pending_enrolment(1), ())
    bearer = a_pending_enrolment(2, replace(key, challenge_mac=None))
    store.hold(bearer, ())
    store.hold(a_pending_enrolment(3, replace(key, signer_serial=5)), ())
    assert store.conversation_of("default", key.transaction_id, key.key_sha256) == bearer
    assert store.conversation_of("other", key.transaction_id, key.key_sha256) is None
    assert store.conversation_of("default", b"transaction 10", key.key_sha256) is None
    assert store.conversation_of("default", key.transaction_id, a_key(2).key_sha256) is None
    assert store.conversation_of("no\x00where", key.transaction_id, key.key_sha256) is None


def test_the_queue_of_a_group(store: Store) -> None:
    """The queue counts what waits in a group, and tells what has waited longest (RES-5)."""
    for number, hours in ((1, 3), (2, 1), (3, 2), (4, 0)):
        store.hold(replace(a_pending_enrolment(number), created_at=NOW + timedelta(hours=hours)), ())
    store.hold(replace(a_pending_enrolment(5), group="other", created_at=NOW + DAY), ())
    begun = an_enrolment(6)
    store.begin(an_intent(6, begun), (), enrolment=begun)
    deny(store, 4)
    assert (store.pending_count("staff"), store.pending_count("other"), store.pending_count("none")) == (3, 1, 0)
    oldest = [enrolment.id for enrolment in store.pending_since(NOW + timedelta(hours=3), 10)]
    assert oldest == [an_id("enrolment", 2), an_id("enrolment", 3)]
    everywhere = [enrolment.id for enrolment in store.pending_since(NOW + 2 * DAY, 3)]
    assert everywhere == [an_id("enrolment", number) for number in (2, 3, 1)]


def test_a_sealed_challenge_lives_until_its_enrolment_has_ended(store: Store) -> None:
    """CHA-4: it is read back while the enrolment waits and for the time that it hands out its answer, then deleted."""
    assert store.hold(a_pending_enrolment(), (), sealed_challenge=b"sealed") is Begun.BEGUN
    assert store.hold(a_pending_enrolment(2), ()) is Begun.BEGUN
    assert store.sealed_challenge(an_id("enrolment", 1)) == b"sealed"
    assert store.sealed_challenge(an_id("enrolment", 2)) is None
    assert store.forget_sealed_challenges(NOW + DAY) == 0
    assert deny(store)
    assert store.forget_sealed_challenges(NOW + MINUTE) == 0
    assert store.forget_sealed_challenges(NOW + 2 * MINUTE) == 1
    assert store.sealed_challenge(an_id("enrolment", 1)) is None
