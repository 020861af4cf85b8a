"""The way of one enrolment past its message: what is held, what a poll finds, who wins a race, how many are enough."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from memory_store import MemoryStore
from regalia import reasons
from regalia.errors import InvariantError, UnavailableError
from regalia.model import (
    Action,
    Authoriser,
    Certificate,
    CertificateKind,
    CertificateState,
    Denied,
    EnrolmentState,
    Pending,
    Revocation,
    RevocationReason,
)
from regalia.ports import CertificateFilter, EnrolmentFilter
from regalia.ra.request import stored_request
from world import Device, World, names, rsa_key

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from regalia.model import Enrolment, EventDraft, Names
    from regalia.ports import Begun
    from regalia.ra.enrol import Ended

LAPTOP = names("laptop-1")


@pytest.fixture
def world() -> World:
    """A deployment with an endpoint whose requests are approved."""
    made = World()
    made.open_endpoint("queue", Authoriser.APPROVAL)
    return made


def ask(device: Device, wanted: Names = LAPTOP) -> Ended:
    """Let a device ask at its endpoint."""
    return device.world.enroller.enrol(device.request(wanted, device.world.secrets[device.endpoint]))


def poll(device: Device) -> Ended:
    """Let a device ask what became of it."""
    return device.world.enroller.poll(device.question())


def denied_for(ended: Ended) -> str:
    """Say why it was denied."""
    assert isinstance(ended, Denied), ended
    return ended.reason.id


# --- holding --------------------------------------------------------------------------------------------------------


def test_a_request_is_held_with_what_approval_would_grant(world: World) -> None:
    """POL-3: nothing is issued; the row says what was asked, what would be granted, and is the chain's binding."""
    ended = ask(Device(world, endpoint="queue"))
    waiting = world.pending()
    assert ended == Pending(waiting)
    assert waiting.asked == waiting.allowed == LAPTOP
    assert waiting.lineage is not None
    assert waiting.lineage.binding == LAPTOP
    assert not world.store.certificates(CertificateFilter(kind=CertificateKind.LEAF))


def test_a_held_request_is_one_event(world: World) -> None:
    """AUD-1: the event has what an administrator needs to decide; the repetitions that follow leave none."""
    device = Device(world, endpoint="queue", source="192.0.2.7")
    ask(device)
    event = world.last_event().draft
    events = len(world.store.log)
    assert (event.action, event.actor.id, event.group) == (Action.ENROLMENT_PENDING, "192.0.2.7", "default")
    assert event.object == f"enrolment:{world.pending().id}"
    assert event.details["asked"] == event.details["names"] == ["cn:laptop-1"]
    assert event.details["key_sha256"] == hashlib.sha256(device.public_key()).hexdigest()
    assert ask(device) == poll(device) == Pending(world.pending())
    assert len(world.store.log) == events


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [(names("laptop-1", "*.example.com"), "RA-023"), (names("ceo\u202e"), "RA-023")],
    ids=["wildcard", "bidi control"],
)
def test_names_that_could_not_be_issued_are_not_held(world: World, wanted: Names, reason: str) -> None:
    """POL-5 and IN-8: the names of what waits are judged as those of what is issued."""
    assert denied_for(ask(Device(world, endpoint="queue"), wanted)) == reason
    assert not world.store.pending_count("default")


def test_a_key_of_another_is_not_held(world: World) -> None:
    """KEY-2: the key is judged before anybody is asked."""
    Device(world).enrol(names("other"), world.mint("other"))
    assert denied_for(ask(Device(world, endpoint="queue"))) == "RA-024"
    assert not world.store.pending_count("default")


def test_a_held_conversation_does_not_change_its_names(world: World) -> None:
    """R3: the same transaction asking for other names is refused, and what waits is as it was."""
    device = Device(world, endpoint="queue")
    ask(device)
    waiting = world.pending()
    assert denied_for(ask(device, names("ceo"))) == "RA-001"
    assert world.pending() == waiting


def test_a_transaction_that_waits_belongs_to_its_key(world: World) -> None:
    """R3: another key with the same transactionID is refused while the first one waits, however long that is."""
    ask(Device(world, endpoint="queue"))
    world.clock.advance(timedelta(days=3))
    assert denied_for(ask(Device(world, key=rsa_key(1), endpoint="queue"))) == "RA-002"


def test_a_denied_device_that_asks_again_is_held_again(world: World) -> None:
    """R3: refusals are never replayed; a denial is no exception."""
    device = Device(world, endpoint="queue")
    ask(device)
    first = world.pending()
    world.approvals.deny(first.id, world.store.log[0].draft.actor)
    assert isinstance(ask(device), Pending)
    assert world.pending().id != first.id


class Overtaken(MemoryStore):
    """A store in which somebody else holds a request between its judgement and its row."""

    meanwhile: Callable[[], object] | None = None

    def hold(
        self,
        enrolment: Enrolment,
        events: Sequence[EventDraft],
        *,
        closes: UUID | None = None,
        sealed_challenge: bytes | None = None,
    ) -> Begun:
        """See `ports.Enrolments`."""
        others, self.meanwhile = self.meanwhile, None
        if others is not None:
            others()
        return super().hold(enrolment, events, closes=closes, sealed_challenge=sealed_challenge)


def test_of_two_workers_with_one_request_one_holds_it() -> None:
    """ISS-4: the loser finds the winner's row and answers with it; it stands in the queue once, with one event."""
    store = Overtaken()
    world = World(store=store)
    world.open_endpoint("queue", Authoriser.APPROVAL)
    device = Device(world, endpoint="queue")
    store.meanwhile = lambda: ask(device)
    assert ask(device) == Pending(world.pending())
    assert [event.draft.action for event in store.log].count(Action.ENROLMENT_PENDING) == 1


def test_of_two_keys_with_one_transaction_one_is_held() -> None:
    """R3 and ISS-4: the loser is judged afresh, and the transactionID is taken by then."""
    store = Overtaken()
    world = World(store=store)
    world.open_endpoint("queue", Authoriser.APPROVAL)
    store.meanwhile = lambda: ask(Device(world, key=rsa_key(1), endpoint="queue"), names("laptop-2"))
    assert denied_for(ask(Device(world, endpoint="queue"))) == "RA-002"
    assert world.pending().asked == names("laptop-2")


# --- polling --------------------------------------------------------------------------------------------------------


def test_a_poll_collects_what_was_approved(world: World) -> None:
    """MSG-3: the enrolment's own key gets the certificate, again and again for 24 hours from the approval (R3)."""
    device = Device(world, endpoint="queue")
    ask(device)
    assert isinstance(poll(device), Pending)
    world.clock.advance(timedelta(days=5))
    approved = world.approve()
    world.clock.advance(timedelta(hours=23, minutes=59))
    assert poll(device) == ask(device) == approved
    world.clock.advance(timedelta(minutes=1))
    assert denied_for(poll(device)) == "RA-003"
    assert isinstance(ask(device), Pending)


def test_a_poll_with_another_key_finds_nothing(world: World) -> None:
    """MSG-3: foreign and unknown are the same."""
    ask(Device(world, endpoint="queue"))
    thief = Device(world, key=rsa_key(1), endpoint="queue")
    unknown = Device(world, endpoint="queue").fresh("transaction-2")
    assert poll(thief) == poll(unknown) == Denied(reasons.POLL_UNKNOWN)


def test_a_poll_at_another_endpoint_finds_nothing(world: World) -> None:
    """AUTHZ-4: an enrolment is found through its own endpoint only."""
    ask(Device(world, endpoint="queue"))
    assert denied_for(poll(Device(world, endpoint="default"))) == "RA-003"


def test_a_poll_after_a_denial_is_refused_and_recorded(world: World) -> None:
    """RA-003: the device is told no; the administrator finds the poll in the log (AUD-1)."""
    device = Device(world, endpoint="queue")
    ask(device)
    world.approvals.deny(world.pending().id, world.store.log[0].draft.actor)
    assert denied_for(poll(device)) == "RA-003"
    event = world.last_event().draft
    assert (event.action, event.reason_id, event.transaction_id) == (
        Action.ENROLMENT_REFUSED,
        "RA-003",
        "transaction-1",
    )


def test_a_poll_does_not_hand_out_a_revoked_certificate(world: World) -> None:
    """R3: what was revoked before it was collected is collected no more; the event says which enrolment."""
    device = Device(world, endpoint="queue")
    ask(device)
    approved = world.approve()
    now = world.clock.now()
    world.store.revoke(Revocation(approved.id, RevocationReason.SUPERSEDED, "administrator", "os:x", now), ())
    assert denied_for(poll(device)) == "RA-003"
    assert world.last_event().draft.details["detail"] == f"enrolment {approved.intent.enrolment_id} is over"


def test_a_poll_collects_what_a_challenge_was_issued_for(world: World) -> None:
    """RFC 8894 §3.3.3: a client whose answer was lost may poll as well as ask again."""
    Device(world).enrol(LAPTOP, world.mint("laptop-1"))
    (row,) = world.store.certificates(CertificateFilter(kind=CertificateKind.LEAF))
    assert poll(Device(world)) == row


def cut_short(world: World) -> None:
    """Approve, and end before the signature: the key is away at that moment."""
    keys, world.keys.private = dict(world.keys.private), {}
    with pytest.raises(UnavailableError):
        world.approve()
    world.keys.private.update(keys)


def test_a_poll_after_a_crash_gets_the_certificate(world: World) -> None:
    """ISS-2 and R8: once the lease is over, whoever asks finishes what the approval began."""
    device = Device(world, endpoint="queue")
    ask(device)
    cut_short(world)
    world.clock.advance(timedelta(seconds=61))
    ended = poll(device)
    assert isinstance(ended, Certificate)
    assert (ended.state, ended.intent.names) == (CertificateState.ISSUED, LAPTOP)


@pytest.mark.parametrize("how", [ask, poll], ids=["asks again", "polls"])
def test_an_approval_whose_intent_was_abandoned_is_begun_anew(world: World, how: Callable[[Device], Ended]) -> None:
    """I4 and R8: no second approval is needed; the new serial carries the names that were approved."""
    device = Device(world, endpoint="queue")
    ask(device)
    cut_short(world)
    (first,) = world.store.certificates(CertificateFilter(kind=CertificateKind.LEAF))
    world.store.abandon(first.id, world.clock.now(), ())
    ended = how(device)
    assert isinstance(ended, Certificate)
    assert ended.serial != first.serial
    assert (ended.intent.names, ended.intent.unverified) == (LAPTOP, False)
    assert ended.intent.enrolment_id == first.intent.enrolment_id
    stored = world.store.enrolment(first.intent.enrolment_id or ended.id)
    assert stored is not None
    notes = [note.note for note in stored.stages]
    assert "approved by admin os:tester" in notes
    assert f"begun anew: certificate {first.id} was abandoned before it was signed" in notes


def test_a_stored_request_that_was_altered_is_not_used(world: World) -> None:
    """What was shown to the administrator is what is issued: a row that contradicts itself stops, loudly."""
    ask(Device(world, endpoint="queue"))
    door = world.store.door("queue")
    assert door is not None
    other = Device(world, key=rsa_key(1), endpoint="queue").csr(LAPTOP, None)
    altered = replace(world.pending(), csr=other)
    with pytest.raises(InvariantError, match="not the one that it describes"):
        stored_request(altered, door, source="", at=world.clock.now(), described="")


# --- how many a device may have -------------------------------------------------------------------------------------


def device_enrols(world: World, number: int) -> Ended:
    """Let the device SN-1 enrol with a fresh challenge and key."""
    secret = world.mint("laptop-1", device="SN-1")
    laptop = Device(world, key=rsa_key(number % 6)).fresh(f"transaction-{number}")
    return world.enroller.enrol(laptop.request(LAPTOP, secret))


def test_a_device_enrols_five_times_a_day(world: World) -> None:
    """RES-5: the sixth is refused whatever challenge it has, and the challenge is not spent; a day later it works."""
    for number in range(5):
        assert isinstance(device_enrols(world, number), Certificate)
    secret = world.mint("laptop-1", device="SN-1", minutes=60 * 48)
    sixth = Device(world, key=rsa_key(5)).fresh("transaction-6")
    assert denied_for(world.enroller.enrol(sixth.request(LAPTOP, secret))) == "RA-027"
    assert world.last_event().draft.details["device"] == "SN-1"
    world.clock.advance(timedelta(days=1, seconds=1))
    assert isinstance(world.enroller.enrol(sixth.request(LAPTOP, secret)), Certificate)


def test_a_device_over_its_number_still_gets_what_it_has(world: World) -> None:
    """R3: a repetition is answered from the store and counts for nothing."""
    secret = world.mint("laptop-1", device="SN-1")
    laptop = Device(world).fresh("transaction-a")
    first = world.enroller.enrol(laptop.request(LAPTOP, secret))
    for number in range(1, 5):
        device_enrols(world, number)
    assert world.enroller.enrol(laptop.request(LAPTOP, secret)) == first


def test_other_devices_and_unnamed_ones_are_not_counted(world: World) -> None:
    """RES-5: one device's loop is nobody else's trouble."""
    for number in range(5):
        device_enrols(world, number)
    other = Device(world, key=rsa_key(5)).fresh("transaction-7")
    secret = world.mint("laptop-2", device="SN-2")
    assert isinstance(world.enroller.enrol(other.request(names("laptop-2"), secret)), Certificate)
    unnamed = Device(world, key=rsa_key(0)).fresh("transaction-8")
    assert isinstance(world.enroller.enrol(unnamed.request(LAPTOP, world.mint("laptop-1"))), Certificate)


def test_only_repetitions_are_answered_where_a_limit_says_so(world: World) -> None:
    """LIM-006: what a limit would refuse is answered if it is stored, and refused with the limit's reason if not."""
    over = Denied(reasons.DEVICE_QUOTA, "enough")
    laptop, secret = Device(world), world.mint("laptop-1")
    first = world.enroller.enrol(laptop.request(LAPTOP, secret))
    fresh = laptop.fresh("transaction-2")
    assert world.enroller.enrol(laptop.request(LAPTOP, secret), repeats_only=over) == first
    assert world.enroller.enrol(fresh.request(LAPTOP, world.mint("laptop-1")), repeats_only=over) == over
    (refused,) = world.store.enrolments(EnrolmentFilter(state=EnrolmentState.REFUSED))
    assert refused.reason_id == over.reason.id
