"""Recovery: an interrupted issue ends as the same certificate, or as a revoked serial (ISS-2, R8)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from fakes import MemorySigner
from regalia import reasons
from regalia.ca.recover import Recovery
from regalia.ca.scopes import ca_scope
from regalia.errors import AdminError, UnavailableError
from regalia.model import Action, Certificate, CertificateKind, CertificateState, KeyKind
from regalia.ports import CertificateFilter, KeyRecord
from regalia.wire.scep import PkiStatus
from world import Device, World, names

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID


class FlakySigner(MemorySigner):
    """A signer that cannot be reached while `down` is set, and that lets others go first where `stall` is set."""

    down = False
    asked = 0
    stall: Callable[[], object] | None = None

    def sign_intent(self, row_id: UUID) -> bytes:
        """Sign, or be unreachable."""
        self.asked += 1
        if self.stall is not None:
            others, self.stall = self.stall, None
            others()
        if self.down:
            raise UnavailableError(reasons.ISSUER_UNAVAILABLE, "down")
        return super().sign_intent(row_id)


class Interrupted(World):
    """A world whose signer can go away."""

    def __init__(self) -> None:
        super().__init__(lambda signer: FlakySigner(signer._intents, signer._keys, signer._files))  # noqa: SLF001 - it becomes the same signer
        assert isinstance(self.signer, FlakySigner)
        self.flaky = self.signer

    def leaf(self) -> Certificate:
        """Return the newest leaf row."""
        return self.store.certificates(CertificateFilter(kind=CertificateKind.LEAF))[0]


@pytest.fixture
def world() -> Interrupted:
    """A world in which laptop-1's issue was interrupted after its intent was committed."""
    return Interrupted()


def interrupted_enrolment(world: Interrupted) -> tuple[Device, str]:
    """Enrol while the signer is away; the intent stays behind."""
    device, secret = Device(world), world.mint("laptop-1")
    world.flaky.down = True
    with pytest.raises(UnavailableError):
        device.enrol(names("laptop-1"), secret)
    world.flaky.down = False
    assert world.leaf().state is CertificateState.INTENT
    return device, secret


def test_an_overdue_intent_is_finished_and_the_retry_gets_it(world: Interrupted) -> None:
    """ISS-2 and ISS-3: the recorded octets are signed, and the retransmission collects that certificate."""
    device, secret = interrupted_enrolment(world)
    world.clock.advance(timedelta(seconds=61))
    assert world.recovery.run() == (1, 0)
    reply = device.enrol(names("laptop-1"), secret)
    assert reply.certificates == (world.leaf().der,)


def test_recovery_leaves_a_leased_intent_alone(world: Interrupted) -> None:
    """R8: for 60 seconds the intent is its worker's."""
    interrupted_enrolment(world)
    world.clock.advance(timedelta(seconds=59))
    assert world.recovery.run() == (0, 0)
    assert world.leaf().state is CertificateState.INTENT


def test_a_retransmission_waits_five_seconds_for_the_worker_and_then_asks_to_come_back(world: Interrupted) -> None:
    """R8: while the lease runs there is neither a second certificate nor a refusal."""
    device, secret = interrupted_enrolment(world)
    with pytest.raises(UnavailableError) as caught:
        device.enrol(names("laptop-1"), secret)
    assert caught.value.reason is reasons.IN_PROGRESS
    assert 45 <= world.pauses <= 55


def test_a_retransmission_gets_what_the_worker_finishes_meanwhile(world: Interrupted) -> None:
    """R8: the wait ends as soon as the certificate is there."""
    device, secret = interrupted_enrolment(world)
    leaf = world.leaf()
    world.on_pause = lambda: world.recovery.settle(leaf)
    assert device.enrol(names("laptop-1"), secret).status is PkiStatus.SUCCESS
    assert world.pauses == 1


def test_a_retransmission_after_the_lease_finishes_the_intent_itself(world: Interrupted) -> None:
    """No need to wait for the job: whoever comes first settles it."""
    device, secret = interrupted_enrolment(world)
    world.clock.advance(timedelta(seconds=61))
    assert device.enrol(names("laptop-1"), secret).status is PkiStatus.SUCCESS
    assert world.pauses == 0


def test_a_clock_that_is_set_back_leaves_nobody_waiting_for_it(world: Interrupted) -> None:
    """An intent of an hour ahead is overdue: its lease would end when the clock has caught up (ISS-2)."""
    device, secret = interrupted_enrolment(world)
    world.clock.advance(timedelta(hours=-1))
    assert device.enrol(names("laptop-1"), secret).status is PkiStatus.SUCCESS
    assert world.pauses == 0


@pytest.mark.parametrize(("back", "settled"), [(timedelta(minutes=2), (1, 0)), (timedelta(seconds=30), (0, 0))])
def test_recovery_after_a_clock_that_was_set_back(
    world: Interrupted, back: timedelta, settled: tuple[int, int]
) -> None:
    """By more than a lease, and recovery takes the intent; by less, and it waits for the end of the lease."""
    interrupted_enrolment(world)
    world.clock.advance(-back)
    assert world.recovery.run() == settled


def test_who_settles_second_gets_what_the_first_one_made(world: Interrupted) -> None:
    """ISS-3: two retransmissions find one overdue intent; the slower one returns the faster one's certificate."""
    interrupted_enrolment(world)
    found = world.leaf()
    first = world.recovery.settle(found)
    assert first is not None
    assert first.der is not None
    second = world.recovery.settle(found)
    assert second is not None
    assert (second.state, second.der) == (CertificateState.ISSUED, first.der)


def test_a_worker_that_comes_back_after_recovery_asks_to_come_again(world: Interrupted) -> None:
    """R6: a worker that stalled beyond its lease answers 503, not with an incident; the retry gets the certificate."""
    device, secret = Device(world), world.mint("laptop-1")
    world.flaky.stall = lambda: world.recovery.settle(world.leaf())
    with pytest.raises(UnavailableError) as caught:
        device.enrol(names("laptop-1"), secret)
    assert caught.value.reason is reasons.IN_PROGRESS
    assert device.enrol(names("laptop-1"), secret).certificates == (world.leaf().der,)


def test_an_intent_that_cannot_be_signed_is_abandoned_and_revoked(world: Interrupted) -> None:
    """ISS-2: a signature may exist somewhere, so the serial is revoked from that moment."""
    interrupted_enrolment(world)
    world.clock.advance(timedelta(seconds=61))
    world.flaky.down = True
    assert world.recovery.run() == (0, 1)
    leaf = world.leaf()
    assert leaf.state is CertificateState.ABANDONED
    assert leaf.revocation is not None
    event = world.last_event().draft
    assert event.action is Action.CERTIFICATE_ABANDONED
    assert "CA-010" in str(event.details["why"])


def test_an_intent_whose_signature_does_not_verify_keeps_no_other_waiting(world: Interrupted) -> None:
    """ISS-2: it is abandoned, and the intents behind it are settled."""
    interrupted_enrolment(world)
    authority = world.store.authority("default-ca-1")
    assert authority is not None
    right = world.keys.private[authority.key_id]
    world.keys.private[authority.key_id] = ec.generate_private_key(ec.SECP256R1())
    world.clock.advance(timedelta(seconds=1))
    device, secret = Device(world).fresh("transaction-2"), world.mint("laptop-1")
    world.flaky.down = True
    with pytest.raises(UnavailableError):
        device.enrol(names("laptop-1"), secret)
    world.flaky.down = False
    world.clock.advance(timedelta(seconds=62))
    assert world.recovery.run() == (0, 2)
    world.keys.private[authority.key_id] = right
    assert device.enrol(names("laptop-1"), secret).status is PkiStatus.SUCCESS


def put_on_a_token(world: Interrupted, kind: KeyKind) -> None:
    """Have the inventory say that the issuing key lies on a token."""
    authority = world.store.authority("default-ca-1")
    assert authority is not None
    uri = "pkcs11:token=regalia;object=ca%3Agroup%3Adefault;id=%01;type=private"
    record = KeyRecord(authority.key_id, kind, ca_scope("default"), uri, bytes(32), world.clock.now())
    world.store.add_token_key(record, ())


def test_a_key_that_does_not_repeat_is_not_asked_again(world: Interrupted) -> None:
    """ISS-2: a token's ECDSA signature may be somewhere already, so the serial is closed; the retry gets another."""
    put_on_a_token(world, KeyKind.P256)
    device, secret = interrupted_enrolment(world)
    world.clock.advance(timedelta(seconds=61))
    asked = world.flaky.asked
    assert world.recovery.run() == (0, 1)
    abandoned = world.leaf()
    assert world.flaky.asked == asked
    assert (abandoned.state, abandoned.revocation is None) == (CertificateState.ABANDONED, False)
    assert "signs differently each time" in str(world.last_event().draft.details["why"])
    assert device.enrol(names("laptop-1"), secret).status is PkiStatus.SUCCESS
    assert world.leaf().serial != abandoned.serial


def test_an_intent_waits_for_its_token(world: Interrupted) -> None:
    """While the token is away nothing is closed, as no successor could be signed; once it is back, the intent is."""
    put_on_a_token(world, KeyKind.P256)
    interrupted_enrolment(world)
    world.clock.advance(timedelta(seconds=61))
    away = True

    def reaches(key_id: UUID) -> None:
        if away:
            raise UnavailableError(reasons.TOKEN_UNAVAILABLE, str(key_id))

    recovery = Recovery(world.store, world.issuer, world.clock, reaches=reaches)
    assert recovery.run() == (0, 0)
    with pytest.raises(UnavailableError):
        recovery.settle(world.leaf())
    assert world.leaf().state is CertificateState.INTENT
    away = False
    assert recovery.run() == (0, 1)


@pytest.mark.parametrize(
    ("refusal", "hours"),
    [
        (UnavailableError(reasons.TOKEN_UNAVAILABLE), 25),
        (UnavailableError(reasons.ISSUER_UNAVAILABLE), 1),
        (AdminError(reasons.TOKEN_KEY_REFUSED), 1),
    ],
)
def test_an_intent_does_not_wait_for_a_key_that_is_gone(
    world: Interrupted, refusal: UnavailableError | AdminError, hours: int
) -> None:
    """A token that does not come back within a day, and a key that is not on it any more, hold nothing up."""
    put_on_a_token(world, KeyKind.P256)
    interrupted_enrolment(world)
    world.clock.advance(timedelta(hours=hours))

    def reaches(key_id: UUID) -> None:
        del key_id
        raise refusal

    assert Recovery(world.store, world.issuer, world.clock, reaches=reaches).run() == (0, 1)


def test_an_rsa_key_on_a_token_repeats(world: Interrupted) -> None:
    """ISS-2: PKCS #1 v1.5 has no randomness, wherever the key lies, so the intent ends as the same certificate."""
    put_on_a_token(world, KeyKind.RSA_3072)
    interrupted_enrolment(world)
    world.clock.advance(timedelta(seconds=61))
    assert world.recovery.run() == (1, 0)


def test_the_conversation_of_an_abandoned_intent_gets_another_serial(world: Interrupted) -> None:
    """I4 and I5: the consumed challenge belongs to the conversation; the abandoned serial stays revoked."""
    device, secret = interrupted_enrolment(world)
    abandoned = world.leaf().serial
    world.clock.advance(timedelta(seconds=61))
    world.flaky.down = True
    world.recovery.run()
    world.flaky.down = False
    reply = device.enrol(names("laptop-1"), secret)
    rows = world.store.certificates(CertificateFilter(kind=CertificateKind.LEAF))
    assert reply.status is PkiStatus.SUCCESS
    assert [row.revocation is None for row in rows] == [True, False]
    assert rows[0].serial != abandoned
    device.certificate = None  # sends the same first request once more
    assert device.enrol(names("laptop-1"), secret).certificates == reply.certificates


def test_a_bearers_interrupted_enrolment_resumes_too(world: Interrupted) -> None:
    """The name comes from the key again, whatever the CSR asks for."""
    device, secret = Device(world), world.mint()
    world.flaky.down = True
    with pytest.raises(UnavailableError):
        device.enrol(names("laptop-1"), secret)
    world.clock.advance(timedelta(seconds=61))
    world.recovery.run()
    world.flaky.down = False
    assert device.enrol(names("laptop-1"), secret).status is PkiStatus.SUCCESS
