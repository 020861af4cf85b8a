"""The desk where administrators decide what waits: what it judges again, and that each is decided once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from memory_store import MemoryStore
from regalia import reasons
from regalia.ca.profile import DEFAULT_DOCUMENT
from regalia.errors import AdminError, UnavailableError
from regalia.model import (
    Action,
    Actor,
    ActorKind,
    Authoriser,
    AuthorityState,
    CertificateKind,
    CertificateState,
    EnrolmentState,
    Outcome,
    Pending,
    Revocation,
    RevocationReason,
    new_id,
)
from regalia.ports import CertificateFilter
from world import ADMIN, Device, World, names, rsa_key

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from uuid import UUID

    from regalia.errors import Reason
    from regalia.model import CertificateIntent, Enrolment, EventDraft, Names
    from regalia.ports import Begun
    from regalia.ports.fleet import Notice

LAPTOP = names("laptop-1")
OTHER = Actor(ActorKind.ADMIN, "os:other")


@pytest.fixture
def world() -> World:
    """A deployment with an endpoint whose requests are approved."""
    return queueing(World())


def queueing(world: World) -> World:
    """Open the endpoint `queue`."""
    world.open_endpoint("queue", Authoriser.APPROVAL)
    return world


def held(world: World, wanted: Names = LAPTOP, *, key: int = 0, transaction: str = "transaction-1") -> Enrolment:
    """Let a device ask at the endpoint; return what waits."""
    device = Device(world, key=rsa_key(key), endpoint="queue").fresh(transaction)
    ended = world.enroller.enrol(device.request(wanted, world.secrets["queue"]))
    assert isinstance(ended, Pending)
    return ended.enrolment


def leaves(world: World) -> int:
    """Count the certificates that were begun for devices."""
    return len(world.store.certificates(CertificateFilter(kind=CertificateKind.LEAF, limit=1000)))


def refused(world: World, enrolment: Enrolment) -> Reason:
    """Try to approve, see that nothing came of it but a word to the administrator, and return why."""
    events = len(world.store.log)
    with pytest.raises(AdminError) as told:
        world.approvals.approve(enrolment.id, ADMIN)
    assert len(world.store.log) == events
    assert world.pending() == enrolment
    return told.value.reason


# --- approving ------------------------------------------------------------------------------------------------------


def test_approving_issues_the_names_that_were_shown(world: World) -> None:
    """POL-1, POL-3: the certificate carries exactly the names that the pending enrolment promised, as verified ones."""
    waiting = held(world, names("laptop-1", "laptop-1.example.com"))
    certificate = world.approvals.approve(waiting.id, ADMIN)
    assert certificate.intent.names == waiting.allowed == names("laptop-1", "laptop-1.example.com")
    assert not certificate.intent.unverified
    assert certificate.der is not None


def test_who_asks_for_nothing_is_named_by_the_key(world: World) -> None:
    """R5.4: without a wish there is nothing to approve but a key; its name says no more, and is marked unverified."""
    waiting = held(world, names())
    certificate = world.approvals.approve(waiting.id, ADMIN)
    assert certificate.intent.names == names(f"d-{waiting.key.key_sha256.hex()[:20]}")
    assert certificate.intent.unverified


def test_an_approval_is_one_record_beside_those_of_the_certificate(world: World) -> None:
    """I8 and AUD-1: who approved what stands first, in the transaction of the intent; the issue follows."""
    waiting = held(world)
    world.approvals.approve(waiting.id, OTHER)
    approved, intent, issued = (event.draft for event in world.store.log[-3:])
    assert [approved.action, intent.action, issued.action] == [
        Action.ENROLMENT_APPROVED,
        Action.CERTIFICATE_INTENT,
        Action.CERTIFICATE_ISSUED,
    ]
    assert approved.actor == intent.actor == OTHER
    assert approved.object == f"enrolment:{waiting.id}"
    assert approved.details["names"] == ["cn:laptop-1"]


def test_an_approved_enrolment_keeps_who_asked_and_when(world: World) -> None:
    """The row tells of the request as it came; approving adds who approved and the certificate."""
    waiting = held(world)
    world.clock.advance(timedelta(days=3))
    certificate = world.approvals.approve(waiting.id, ADMIN)
    stored = world.store.enrolment(waiting.id)
    assert stored is not None
    assert (stored.created_at, stored.source, stored.csr) == (waiting.created_at, waiting.source, waiting.csr)
    assert (stored.state, stored.certificate_id) == (EnrolmentState.ISSUED, certificate.id)
    assert "approved by admin os:tester" in [note.note for note in stored.stages]


def test_an_approval_uses_the_newest_version_of_the_profile(world: World) -> None:
    """What the profile says at the moment of approval is what the certificate gets."""
    waiting = held(world)
    world.registry.create_profile("default", "default", DEFAULT_DOCUMENT.replace("365d", "30d"), actor=ADMIN)
    certificate = world.approvals.approve(waiting.id, ADMIN)
    assert certificate.intent.profile_version == 2
    assert certificate.intent.not_after < world.clock.now() + timedelta(days=31)


# --- what may have changed meanwhile --------------------------------------------------------------------------------


def test_an_unknown_enrolment_cannot_be_decided(world: World) -> None:
    """ADM-004: neither approved nor denied."""
    nobody = new_id(world.clock.now(), bytes(10))
    decide: tuple[Callable[[UUID, Actor], object], ...] = (world.approvals.approve, world.approvals.deny)
    for how in decide:
        with pytest.raises(AdminError) as told:
            how(nobody, ADMIN)
        assert told.value.reason is reasons.NOT_FOUND


def test_a_disabled_endpoint_issues_nothing_any_more(world: World) -> None:
    """AUTHZ-3: what was held before `endpoint disable` is not approved after it; it can be denied."""
    waiting = held(world)
    world.registry.disable_endpoint("queue", actor=ADMIN)
    assert refused(world, waiting) is reasons.ENDPOINT_DISABLED
    assert world.approvals.deny(waiting.id, ADMIN).state is EnrolmentState.REFUSED


def test_a_key_that_was_revoked_as_compromised_meanwhile_is_not_certified(world: World) -> None:
    """KEY-2: the key was good when the request came and is not when it is approved."""
    waiting = held(world)
    Device(world).enrol(names("laptop-1"), world.mint("laptop-1"))
    (row,) = world.store.certificates(CertificateFilter(kind=CertificateKind.LEAF))
    told = Revocation(row.id, RevocationReason.KEY_COMPROMISE, "administrator", "os:x", world.clock.now())
    world.store.revoke(told, ())
    assert refused(world, waiting) is reasons.KEY_BLOCKED


def test_a_key_that_another_identity_got_meanwhile_is_not_certified(world: World) -> None:
    """KEY-2: of two requests that wait with one key for different names, one can be approved."""
    first = held(world)
    second = held(world, names("ceo"), transaction="transaction-2")
    world.approvals.approve(first.id, ADMIN)
    assert refused(world, second) is reasons.KEY_OF_ANOTHER


def test_a_key_that_the_profile_takes_no_more_is_not_certified(world: World) -> None:
    """KEY-1: a new version of the profile asks for another kind of key."""
    waiting = held(world)
    profile = world.store.profile("default")
    assert profile is not None
    world.store.add_profile(replace(profile, version=2, rsa_min_bits=0), ())
    assert refused(world, waiting) is reasons.KEY_REFUSED


def test_a_certificate_that_would_break_a_rule_is_not_signed(world: World) -> None:
    """R8: the lint sees the octets of an approval like those of any issue."""
    waiting = held(world)
    profile = world.store.profile("default")
    assert profile is not None
    spoilt = replace(profile, version=2, validity=replace(profile.validity, duration=timedelta(0)))
    world.store.add_profile(spoilt, ())
    assert refused(world, waiting) is reasons.LINT_REFUSED


def test_an_authority_that_cannot_sign_leaves_the_enrolment_waiting(world: World) -> None:
    """CA-010: nothing was begun, so the approval can be repeated."""
    waiting = held(world)
    door = world.store.door("queue")
    assert door is not None
    world.store.set_authority_state(door.authority.name, AuthorityState.REVOKED, ())
    with pytest.raises(UnavailableError) as told:
        world.approvals.approve(waiting.id, ADMIN)
    assert told.value.reason is reasons.ISSUER_UNAVAILABLE
    assert world.pending() == waiting


# --- once -----------------------------------------------------------------------------------------------------------


class Overtaken(MemoryStore):
    """A store in which somebody else decides between an administrator's look and the decision."""

    meanwhile: Callable[[], object] | None = None

    def _others_first(self) -> None:
        others, self.meanwhile = self.meanwhile, None
        if others is not None:
            others()

    def begin(
        self,
        intent: CertificateIntent,
        events: Sequence[EventDraft],
        *,
        enrolment: Enrolment | None = None,
        consume: UUID | None = None,
        closes: UUID | None = None,
        resumes: UUID | None = None,
        approves: bool = False,
        notice: Notice | None = None,
    ) -> Begun:
        """See `ports.Issuance`."""
        self._others_first()
        return super().begin(
            intent,
            events,
            enrolment=enrolment,
            consume=consume,
            closes=closes,
            resumes=resumes,
            approves=approves,
            notice=notice,
        )

    def dismiss(
        self, enrolment_id: UUID, at: datetime, reason_id: str, detail: str, events: Sequence[EventDraft]
    ) -> bool:
        """See `ports.Enrolments`."""
        self._others_first()
        return super().dismiss(enrolment_id, at, reason_id, detail, events)


@pytest.mark.parametrize("winner", ["approve", "deny"])
@pytest.mark.parametrize("loser", ["approve", "deny"])
def test_of_two_administrators_one_decides(winner: str, loser: str) -> None:
    """ISS-4 and ADM-023: whoever is second by a moment changes nothing and is told; there is one record (I8)."""
    store = Overtaken()
    world = queueing(World(store=store))
    waiting = held(world)
    decide: dict[str, Callable[[UUID, Actor], object]] = {
        "approve": world.approvals.approve,
        "deny": world.approvals.deny,
    }
    store.meanwhile = lambda: decide[winner](waiting.id, OTHER)
    with pytest.raises(AdminError) as told:
        decide[loser](waiting.id, ADMIN)
    decisions = [
        event.draft.actor
        for event in store.log
        if event.draft.action in {Action.ENROLMENT_APPROVED, Action.ENROLMENT_DENIED}
    ]
    assert told.value.reason is reasons.ENROLMENT_DECIDED
    assert decisions == [OTHER]
    assert leaves(world) == (1 if winner == "approve" else 0)


@pytest.mark.parametrize("first", ["approve", "deny"])
def test_what_is_decided_is_not_decided_again(world: World, first: str) -> None:
    """ADM-023: neither by approving nor by denying."""
    waiting = held(world)
    decide: dict[str, Callable[[UUID, Actor], object]] = {
        "approve": world.approvals.approve,
        "deny": world.approvals.deny,
    }
    decide[first](waiting.id, ADMIN)
    for again in decide.values():
        with pytest.raises(AdminError) as told:
            again(waiting.id, ADMIN)
        assert told.value.reason is reasons.ENROLMENT_DECIDED
    assert leaves(world) == (1 if first == "approve" else 0)


# --- denying and expiring -------------------------------------------------------------------------------------------


def test_a_denial_names_who_and_why(world: World) -> None:
    """RA-017 and AUD-1: the row and the one event say who denied it, with the note; no certificate was begun."""
    waiting = held(world)
    denied = world.approvals.deny(waiting.id, OTHER, "unknown device")
    event = world.last_event().draft
    assert world.store.enrolment(waiting.id) == denied
    assert (denied.reason_id, denied.detail) == ("RA-017", "by admin os:other: unknown device")
    assert (event.action, event.outcome, event.actor) == (Action.ENROLMENT_DENIED, Outcome.REFUSED, OTHER)
    assert (event.reason_id, event.details["note"]) == ("RA-017", "unknown device")
    assert leaves(world) == 0


def test_what_nobody_decides_in_time_expires(world: World) -> None:
    """RA-018 and RES-5: after 30 days it is refused, with one event by the system; what is younger waits on."""
    old = held(world)
    world.clock.advance(timedelta(days=29))
    young = held(world, names("laptop-2"), key=1, transaction="transaction-2")
    assert world.approvals.expire(world.clock.now()) == 0
    world.clock.advance(timedelta(days=1, seconds=1))
    assert world.approvals.expire(world.clock.now()) == 1
    event = world.last_event().draft
    stored = world.store.enrolment(old.id)
    assert stored is not None
    assert (stored.state, stored.reason_id) == (EnrolmentState.REFUSED, reasons.APPROVAL_EXPIRED.id)
    assert (event.action, event.actor.kind, event.reason_id) == (Action.ENROLMENT_DENIED, ActorKind.SYSTEM, "RA-018")
    assert world.pending() == young


def test_a_long_queue_expires_as_a_whole(world: World) -> None:
    """All that is old goes in one run, however much it is."""
    first = held(world)
    for number in range(250):
        copy = replace(
            first,
            id=new_id(world.clock.now(), number.to_bytes(10, "big")),
            key=replace(first.key, transaction_id=b"t-%d" % number),
        )
        world.store.hold(copy, ())
    assert world.approvals.expire(world.clock.now() + timedelta(days=31)) == 251
    assert world.store.pending_count("default") == 0


# --- a crash --------------------------------------------------------------------------------------------------------


def test_recovery_finishes_an_approval_that_was_cut_short(world: World) -> None:
    """ISS-2 and R8: the process died between TX1 and the signature; recovery signs what was recorded."""
    waiting = held(world)
    keys, world.keys.private = dict(world.keys.private), {}
    with pytest.raises(UnavailableError):
        world.approvals.approve(waiting.id, ADMIN)
    world.keys.private.update(keys)
    world.clock.advance(timedelta(seconds=61))
    assert world.recovery.run() == (1, 0)
    stored = world.store.enrolment(waiting.id)
    assert stored is not None
    assert stored.state is EnrolmentState.ISSUED
    (row,) = world.store.certificates(CertificateFilter(kind=CertificateKind.LEAF))
    assert row.state is CertificateState.ISSUED
    assert row.intent.names == names("laptop-1")
