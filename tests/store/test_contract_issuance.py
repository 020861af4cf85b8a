"""Contract of the two-phase record of each certificate."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from regalia.errors import InvariantError, Stage
from regalia.model import (
    AuthorityState,
    CertificateKind,
    CertificateState,
    EnrolmentState,
    Revocation,
    RevocationReason,
    SigningIntent,
    StageNote,
)
from regalia.ports import Begun, EventFilter
from store.samples import (
    MINUTE,
    NOW,
    a_challenge,
    a_group,
    a_key,
    an_authority,
    an_enrolment,
    an_event,
    an_id,
    an_intent,
    at_once,
    conversation,
    octets,
)

if TYPE_CHECKING:
    from regalia.model import ConversationKey, Enrolment
    from regalia.ports import Store

DAY = timedelta(hours=24)


def begin(store: Store, number: int, enrolment: Enrolment | None = None) -> Begun:
    """Begin a certificate, with the events and challenge that belong to it."""
    enrolment = enrolment or an_enrolment(number)
    return store.begin(an_intent(number, enrolment), (an_event(number),), enrolment=enrolment)


def test_an_intent_is_recorded_whole(store: Store) -> None:
    """Certificate row, enrolment, challenge and event are there after TX1 (ISS-1)."""
    store.add_challenge(a_challenge(), ())
    enrolment = an_enrolment()
    intent = an_intent(1, enrolment)
    assert store.begin(intent, (an_event(),), enrolment=enrolment, consume=a_challenge().id) is Begun.BEGUN
    row = store.certificate(intent.id)
    assert row is not None
    assert (row.intent, row.state, row.der, row.issued_at) == (intent, CertificateState.INTENT, None, None)
    assert store.enrolment(enrolment.id) == enrolment
    assert store.challenge(a_challenge().mac) == replace(
        a_challenge(),
        consumed_at=NOW,
        consumed_by=enrolment.id,
        consumed_key=intent.key_sha256,
        consumed_source=enrolment.source,
    )
    assert len(store.events(EventFilter())) == 1


@pytest.mark.parametrize(
    ("contained", "ended"),
    [
        ("suspended", Begun.GROUP_SUSPENDED),
        ("revoked", Begun.AUTHORITY_ENDED),
        ("retired", Begun.AUTHORITY_ENDED),
        ("retiring", Begun.BEGUN),
        ("next", Begun.BEGUN),
    ],
)
def test_containment_stops_what_was_decided_before(store: Store, contained: str, ended: Begun) -> None:
    """A group suspended, or an authority ended, since the decision begins nothing and uses no challenge up."""
    store.add_authority(an_authority(), ())
    store.add_group(a_group(), ())
    store.add_challenge(a_challenge(), ())
    if contained == "suspended":
        store.suspend_group("staff", NOW, "drill", ())
    else:
        store.set_authority_state("staff-ca", AuthorityState(contained), (), at=NOW)
    enrolment = an_enrolment()
    intent = an_intent(1, enrolment)
    begun = store.begin(intent, (an_event(),), enrolment=enrolment, consume=a_challenge().id)
    assert begun is ended
    assert (store.certificate(intent.id) is not None) is (ended is Begun.BEGUN)
    challenge = store.challenge(a_challenge().mac)
    assert challenge is not None
    assert (challenge.consumed_at is None) is (ended is not Begun.BEGUN)
    # Its own credentials are renewed all the same.
    own = replace(an_intent(2), kind=CertificateKind.OCSP)
    assert store.begin(own, ()) is Begun.BEGUN


def test_a_certificate_of_our_own_needs_no_enrolment(store: Store) -> None:
    """Authorities and credentials are begun and finished without an enrolment."""
    assert store.begin(an_intent(), (an_event(),)) is Begun.BEGUN
    assert store.finish(an_intent().id, b"der", NOW, (an_event(),))
    row = store.certificate(an_intent().id)
    assert row is not None
    assert (row.state, row.der, row.issued_at) == (CertificateState.ISSUED, b"der", NOW)


@pytest.mark.parametrize("spoilt", ["expired", "revoked", "used", "unknown"])
def test_a_challenge_that_is_not_open_is_not_consumed(store: Store, spoilt: str) -> None:
    """A challenge that is used, revoked or at its expiry stops TX1, and nothing of it is written (ISS-4)."""
    challenge = a_challenge()
    if spoilt != "unknown":
        store.add_challenge(replace(challenge, expires_at=NOW) if spoilt == "expired" else challenge, ())
    if spoilt == "revoked":
        store.revoke_challenge(challenge.id, NOW, ())
    if spoilt == "used":
        store.begin(an_intent(9, an_enrolment(9)), (), enrolment=an_enrolment(9), consume=challenge.id)
    enrolment = an_enrolment(1, replace(a_key(1), challenge_mac=challenge.mac))
    taken = store.begin(an_intent(1, enrolment), (an_event(),), enrolment=enrolment, consume=challenge.id)
    assert taken is Begun.CHALLENGE_TAKEN
    assert store.certificate(an_intent(1).id) is None
    assert store.enrolment(enrolment.id) is None
    assert store.events(EventFilter()) == ()


@pytest.mark.parametrize("count", [2, 8])
def test_one_challenge_begins_one_certificate(store: Store, count: int) -> None:
    """Of all who race for one challenge with different keys exactly one begins (ISS-4)."""
    store.add_challenge(a_challenge(), ())

    def work(number: int) -> Begun:
        enrolment = an_enrolment(number)
        return store.begin(
            an_intent(number, enrolment), (an_event(number),), enrolment=enrolment, consume=a_challenge().id
        )

    assert sorted(at_once(count, work)) == [Begun.BEGUN] + [Begun.CHALLENGE_TAKEN] * (count - 1)
    rows = [store.certificate(an_intent(number).id) for number in range(1, count + 1)]
    assert len([row for row in rows if row is not None]) == 1
    assert len(store.events(EventFilter())) == 1


@pytest.mark.parametrize("count", [2, 8])
def test_one_conversation_begins_one_certificate(store: Store, count: int) -> None:
    """Of one request that comes several times at once one begins, the others learn that it is the same (ISS-4)."""
    store.add_challenge(a_challenge(), ())

    def work(number: int) -> Begun:
        enrolment = an_enrolment(number, a_key(1))
        return store.begin(an_intent(number, enrolment), (), enrolment=enrolment, consume=a_challenge().id)

    assert sorted(at_once(count, work)) == [Begun.BEGUN] + [Begun.CONVERSATION_TAKEN] * (count - 1)


@pytest.mark.parametrize("count", [2, 8])
def test_one_transaction_belongs_to_one_key(store: Store, count: int) -> None:
    """Of several new keys that come with one transactionID at once one begins (R3)."""

    def work(number: int) -> Begun:
        return begin(store, number, an_enrolment(number, replace(a_key(number), transaction_id=b"shared")))

    assert sorted(at_once(count, work)) == [Begun.BEGUN] + [Begun.TRANSACTION_TAKEN] * (count - 1)


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
def test_what_takes_a_transaction(store: Store, key: ConversationKey, begun: Begun) -> None:
    """A transactionID is taken for another key of a NEW signer at the same endpoint, and for nobody else (R3)."""
    assert begin(store, 1) is Begun.BEGUN
    assert begin(store, 2, an_enrolment(2, key)) is begun


def test_a_transaction_is_free_again_after_a_day(store: Store) -> None:
    """24 hours after an enrolment that was issued its transactionID serves another key (R3)."""
    assert begin(store, 1) is Begun.BEGUN
    assert store.finish(an_intent(1).id, b"der", NOW, ())
    enrolment = an_enrolment(2, replace(a_key(2), transaction_id=a_key(1).transaction_id))
    intent = an_intent(2, enrolment)
    early = replace(intent, created_at=NOW + DAY)
    assert store.begin(early, (), enrolment=enrolment) is Begun.TRANSACTION_TAKEN
    late = replace(intent, created_at=NOW + DAY + timedelta(milliseconds=1))
    assert store.begin(late, (), enrolment=enrolment) is Begun.BEGUN


def test_a_serial_is_used_once(store: Store) -> None:
    """A second certificate of one authority with the same serial is refused as a bug; another authority may (ISS-1)."""
    assert begin(store, 1) is Begun.BEGUN
    twin = replace(an_intent(2), serial=an_intent(1).serial)
    with pytest.raises(InvariantError):
        store.begin(twin, ())
    assert store.certificate(twin.id) is None
    assert store.begin(replace(twin, authority="other-ca"), ()) is Begun.BEGUN


def test_issued(store: Store) -> None:
    """TX2 makes the certificate and its enrolment issued, adds stages, and happens once."""
    begin(store, 1)
    note = StageNote(Stage.ISSUANCE, ok=True, note="signed", at=NOW + MINUTE)
    assert store.finish(an_intent().id, b"der", NOW + MINUTE, (an_event(2),), (note,))
    row = store.certificate(an_intent().id)
    assert row is not None
    assert (row.state, row.der, row.issued_at, row.revocation) == (
        CertificateState.ISSUED,
        b"der",
        NOW + MINUTE,
        None,
    )
    assert store.enrolment(an_enrolment().id) == replace(
        an_enrolment(),
        state=EnrolmentState.ISSUED,
        updated_at=NOW + MINUTE,
        stages=(*an_enrolment().stages, note),
    )
    assert not store.finish(an_intent().id, b"other", NOW, (an_event(3),))
    assert not store.abandon(an_intent().id, NOW, (an_event(3),))
    assert not store.finish(an_id("certificate", 9), b"der", NOW, (an_event(3),))
    assert store.certificate(an_intent().id) == row
    assert [event.draft.object for event in store.events(EventFilter())] == ["challenge:1", "challenge:2"]


def test_abandoned(store: Store) -> None:
    """Abandoning revokes in the same transaction, counts for the CRL, and is final (ISS-2)."""
    begin(store, 1)
    assert store.abandon(an_intent().id, NOW + MINUTE, (an_event(2),))
    row = store.certificate(an_intent().id)
    assert row is not None
    assert row.state is CertificateState.ABANDONED
    assert row.revocation == Revocation(
        an_intent().id, RevocationReason.UNSPECIFIED, "abandoned", "system", NOW + MINUTE
    )
    assert store.revocation_count("staff-ca") == 1
    assert not store.finish(an_intent().id, b"der", NOW, (an_event(3),))
    assert not store.abandon(an_intent().id, NOW, (an_event(3),))
    assert store.signing_intent(an_intent().id) is None
    assert len(store.events(EventFilter())) == 2


def test_an_abandoned_conversation_is_resumed_once(store: Store) -> None:
    """The enrolment of an abandoned certificate moves to a new one; whoever comes second finds it moved (I4)."""
    begin(store, 1)
    store.abandon(an_intent(1).id, NOW, ())
    moved = replace(an_enrolment(1), certificate_id=an_intent(2).id, updated_at=NOW + MINUTE)
    resumed = store.begin(an_intent(2, moved), (), enrolment=moved, resumes=an_intent(1).id)
    assert resumed is Begun.BEGUN
    assert conversation(store, a_key(1)) == moved
    again = replace(moved, certificate_id=an_intent(3).id)
    taken = store.begin(an_intent(3, again), (an_event(),), enrolment=again, resumes=an_intent(1).id)
    assert taken is Begun.CONVERSATION_TAKEN
    assert store.certificate(an_intent(3).id) is None
    assert store.enrolment(moved.id) == moved
    assert store.finish(an_intent(2).id, b"der", NOW, ())
    issued = store.enrolment(moved.id)
    assert issued is not None
    assert issued.state is EnrolmentState.ISSUED


def test_a_spent_conversation_is_closed_for_a_new_one(store: Store) -> None:
    """Closing an older enrolment lets the same conversation begin again; the older one stays readable (R3)."""
    begin(store, 1)
    store.finish(an_intent(1).id, b"der", NOW, ())
    again = an_enrolment(2, a_key(1))
    assert begin(store, 2, again) is Begun.CONVERSATION_TAKEN
    assert store.begin(an_intent(2, again), (), enrolment=again, closes=an_enrolment(1).id) is Begun.BEGUN
    assert conversation(store, a_key(1)) == again
    assert store.enrolment(an_enrolment(1).id) is not None
    third = an_enrolment(3, a_key(1))
    taken = store.begin(an_intent(3, third), (), enrolment=third, closes=an_enrolment(1).id)
    assert taken is Begun.CONVERSATION_TAKEN
    assert conversation(store, a_key(1)) == again


def test_a_signer_that_was_revoked_meanwhile_begins_nothing(store: Store) -> None:
    """The predecessor is looked at again in the transaction of the intent: a revocation in between wins (REN-1)."""
    begin(store, 1)
    store.finish(an_intent(1).id, b"der", NOW, ())
    link = an_enrolment(1).lineage
    assert link is not None
    renewal = replace(
        an_enrolment(2, replace(an_enrolment(2).key, signer_serial=1)),
        lineage=replace(link, generation=1, predecessor=an_id("certificate", 1)),
    )
    store.revoke(
        Revocation(an_id("certificate", 1), RevocationReason.KEY_COMPROMISE, "administrator", "os:root", NOW), ()
    )
    assert begin(store, 2, renewal) is Begun.SIGNER_REVOKED
    assert store.certificate(an_id("certificate", 2)) is None


def test_a_lost_race_closes_nothing(store: Store) -> None:
    """Where the challenge is taken the older conversation stays open."""
    begin(store, 1)
    store.finish(an_intent(1).id, b"der", NOW, ())
    again = an_enrolment(2, a_key(1))
    unknown = a_challenge(9).id
    taken = store.begin(an_intent(2, again), (), enrolment=again, closes=an_enrolment(1).id, consume=unknown)
    assert taken is Begun.CHALLENGE_TAKEN
    held = conversation(store, a_key(1))
    assert held is not None
    assert held.id == an_enrolment(1).id


def test_intents_beyond_their_lease(store: Store) -> None:
    """Expired are the intents whose lease ended before now, oldest first, as many as asked for (ISS-2)."""
    for number in range(1, 5):
        begin(store, number)
    store.finish(an_intent(2).id, b"der", NOW, ())
    assert store.expired_intents(NOW + MINUTE, 10) == ()
    expired = store.expired_intents(NOW + MINUTE + timedelta(milliseconds=1), 2)
    assert [row.id for row in expired] == [an_intent(1).id, an_intent(3).id]
    assert expired[0].intent.tbs == an_intent(1).tbs


def test_intents_of_a_clock_that_was_set_back(store: Store) -> None:
    """An intent that was begun more than a lease from now is expired, too: nobody waits for the clock (ISS-2)."""
    begin(store, 1)
    assert store.expired_intents(NOW - MINUTE, 10) == ()
    (found,) = store.expired_intents(NOW - MINUTE - timedelta(milliseconds=1), 10)
    assert found.id == an_intent(1).id


def test_a_signer_sees_intents_only(store: Store) -> None:
    """A certificate can be signed from TX1 until it is issued, and nothing else can (R8)."""
    assert store.signing_intent(an_intent().id) is None
    begin(store, 1)
    intent = an_intent()
    expected = SigningIntent(intent.id, intent.key_id, intent.tbs, None, None, intent.kind)
    assert store.signing_intent(intent.id) == expected
    store.finish(intent.id, b"der", NOW, ())
    assert store.signing_intent(intent.id) is None


def test_what_a_peer_named_is_kept(store: Store) -> None:
    """Names beyond ASCII, and none at all, come back as they were."""
    intent = replace(an_intent(), subject="CN=Gerät 7", device=None, group=None, profile=None, profile_version=None)
    store.begin(intent, ())
    row = store.certificate(intent.id)
    assert row is not None
    assert row.intent == intent
    assert row.intent.tbs == octets("tbs 1", 600)
