"""Keys that cannot decrypt (RFC 8894 §3.1): the answer is encrypted under the challenge of the same request."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from memory_store import MemoryStore
from regalia import reasons
from regalia.errors import PeerError, UnavailableError
from regalia.model import Action, Authoriser, CertificateKind, CertificateState, Names
from regalia.ports import CertificateFilter
from regalia.ra.enrol import REPLAY_WINDOW
from regalia.wire import oids, pwri
from regalia.wire.certificate import read_certificate, read_key_usage
from regalia.wire.scep import FailInfo, MessageType, PkiStatus, Transaction
from signing_device import EVERY_KEY, SCHEMES, SigningDevice, open_signing_endpoint
from world import ADMIN, Device, World, names, rsa_key

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from regalia.model import CertificateIntent, Challenge, Enrolment, EventDraft
    from regalia.ports import Begun
    from regalia.ports.fleet import Notice

LAPTOP = names("laptop-1")


@pytest.fixture
def world() -> World:
    """A world with the endpoint `signing`, which takes keys that only sign."""
    made = World()
    open_signing_endpoint(made)
    return made


def leaves(world: World) -> int:
    """Count the certificates that devices got."""
    return len(world.store.certificates(CertificateFilter(kind=CertificateKind.LEAF)))


def last_reason(world: World) -> str | None:
    """The reason of the newest event."""
    return world.last_event().draft.reason_id


def renewing(device: SigningDevice, transaction: str = "transaction-2") -> SigningDevice:
    """The same device with its certificate and key in a new transaction."""
    return replace(device, transaction=Transaction(transaction.encode()))


def enrolled(world: World, kind: str = "p-256") -> SigningDevice:
    """A device that has its first certificate."""
    device = SigningDevice(world, kind)
    assert device.enrol(LAPTOP, world.mint("laptop-1", endpoint="signing")).status is PkiStatus.SUCCESS
    return device


# --- first enrolments ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SCHEMES)
def test_every_type_of_key_enrols(world: World, kind: str) -> None:
    """R1, RFC 8894 §3.1: the certificate comes under the challenge, for digital signatures and no encipherment."""
    device = enrolled(world, kind)
    assert device.certificate is not None
    facts = read_certificate(device.certificate)
    usage = facts.extension(oids.CE_KEY_USAGE)
    assert facts.public_key == device.public_key()
    assert usage is not None
    assert read_key_usage(usage.value) == ("digitalSignature",)
    assert leaves(world) == 1


def test_the_answer_opens_under_no_other_challenge(world: World) -> None:
    """RFC 8894 §3.1: whoever sees the answer, and even holds the device's key, needs the very challenge."""
    device, secret = SigningDevice(world), world.mint("laptop-1", endpoint="signing")
    csr = device.csr(LAPTOP, secret)
    answer = world.send(device.message(csr), "signing")
    for other in ("guess", secret[:-1], world.mint("laptop-1", endpoint="signing"), None):
        with pytest.raises(PeerError):
            device.open(answer, csr, other)
    assert device.open(answer, csr, secret).certificates


def test_a_repeated_request_costs_no_second_derivation(world: World) -> None:
    """RES-3: a device that asks again all day finds its key derived; content key and initialisation vectors are new."""
    device, secret = SigningDevice(world), world.mint("laptop-1", endpoint="signing")
    csr = device.csr(LAPTOP, secret)
    first = world.send(device.message(csr), "signing")
    derived = pwri._derive.cache_info().misses  # noqa: SLF001 - that it is remembered is what is tested
    second = world.send(device.message(csr), "signing")
    assert pwri._derive.cache_info().misses == derived  # noqa: SLF001 - the same
    assert first != second
    assert device.open(first, csr, secret) == device.open(second, csr, secret)
    assert leaves(world) == 1


@pytest.mark.parametrize("kind", ["p-256", "ed25519", "ml-dsa-44"])
def test_without_the_switch_they_are_refused_in_clear(world: World, kind: str) -> None:
    """R1, R6: badAlg before the RA's key is touched; the challenge is not spent."""
    secret = world.mint("laptop-1")
    device = SigningDevice(world, kind, endpoint="default")
    reply = device.enrol(LAPTOP, secret)
    assert (reply.status, reply.fail_info) == (PkiStatus.FAILURE, FailInfo.BAD_ALG)
    assert last_reason(world) == reasons.SIGNATURE_ALGORITHM_REFUSED.id
    assert Device(world).enrol(LAPTOP, secret).status is PkiStatus.SUCCESS


def test_the_profile_still_decides_which_keys_there_are(world: World) -> None:
    """KEY-1: the switch lets a message in, the profile a key."""
    document = EVERY_KEY.replace("ed25519 = true", "ed25519 = false")
    world.registry.create_profile("signing", "default", document, actor=ADMIN)
    device = SigningDevice(world, "ed25519")
    reply = device.enrol(LAPTOP, world.mint("laptop-1", endpoint="signing"))
    assert (reply.status, reply.fail_info) == (PkiStatus.FAILURE, FailInfo.BAD_MESSAGE_CHECK)
    assert last_reason(world) == reasons.KEY_REFUSED.id


def test_an_rsa_device_is_answered_as_everywhere(world: World) -> None:
    """RFC 8894 §3.1: whoever can decrypt is answered to its key, on such an endpoint too, and renews with nothing."""
    device = Device(world, endpoint="signing")
    assert device.enrol(LAPTOP, world.mint("laptop-1", endpoint="signing")).status is PkiStatus.SUCCESS
    assert device.fresh("transaction-2").enrol(LAPTOP, None).status is PkiStatus.SUCCESS


def test_a_message_signed_anew_with_another_key_is_refused(world: World) -> None:
    """SIG-6: a captured request is bound to its key, whatever type the thief's is."""
    device, thief = SigningDevice(world), SigningDevice(world, "ed25519")
    csr = device.csr(LAPTOP, world.mint("laptop-1", endpoint="signing"))
    reply = thief.open(world.send(thief.message(csr), "signing"), csr, None)
    assert (reply.status, reply.fail_info) == (PkiStatus.FAILURE, FailInfo.BAD_MESSAGE_CHECK)
    assert last_reason(world) == reasons.KEY_NOT_BOUND.id


# --- renewals (R4) ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("message_type", [MessageType.PKCS_REQ, MessageType.RENEWAL_REQ])
def test_a_renewal_spends_a_fresh_challenge_that_keys_its_answer(world: World, message_type: MessageType) -> None:
    """R4: a one-time challenge of the same endpoint and binding; used, it enrols nobody any more."""
    device = renewing(enrolled(world))
    first, secret = device.certificate, world.mint("laptop-1", endpoint="signing")
    assert device.enrol(names(), secret, message_type).status is PkiStatus.SUCCESS
    assert device.certificate != first
    (challenge,) = [each for each in world.store.challenges() if each.mac == world.challenge_mac(secret)]
    assert challenge.consumed_at is not None
    other = SigningDevice(world, transaction=Transaction(b"transaction-3"))
    assert other.enrol(LAPTOP, secret).fail_info is FailInfo.BAD_REQUEST
    assert last_reason(world) == reasons.CHALLENGE_REPLAYED.id


def test_a_renewal_sent_again_gets_the_same_certificate_again(world: World) -> None:
    """R3, R4: its answer was lost; for 24 hours the very request is answered from the store, and nothing is spent."""
    device = renewing(enrolled(world))
    old, secret = device.certificate, world.mint("laptop-1", endpoint="signing")
    reply = device.enrol(LAPTOP, secret)
    world.clock.advance(timedelta(hours=23))
    device.certificate = old
    assert device.enrol(LAPTOP, secret).certificates == reply.certificates
    assert leaves(world) == 2
    world.clock.advance(timedelta(hours=1))
    device.certificate = old
    assert device.enrol(LAPTOP, secret).fail_info is FailInfo.BAD_REQUEST


def _its_first(world: World, device: SigningDevice) -> str | None:
    del world
    return device.secret


def _other_names(world: World, device: SigningDevice) -> str | None:
    del device
    return world.mint("laptop-1", "laptop-1.example.com", endpoint="signing")


def _other_device(world: World, device: SigningDevice) -> str | None:
    del device
    return world.mint("laptop-1", endpoint="signing", device="serial-2")


def _bearer(world: World, device: SigningDevice) -> str | None:
    del device
    return world.mint(endpoint="signing")


def _other_endpoint(world: World, device: SigningDevice) -> str | None:
    del device
    return world.mint("laptop-1")


def _unknown(world: World, device: SigningDevice) -> str | None:
    del world, device
    return "nobody made this one"


def _none(world: World, device: SigningDevice) -> str | None:
    del world, device
    return None


@pytest.mark.parametrize(
    "challenge", [_none, _unknown, _its_first, _other_names, _other_device, _bearer, _other_endpoint]
)
def test_any_other_challenge_is_none_at_all(world: World, challenge: object) -> None:
    """R4: absent, unknown, the chain's first, of other names, device or endpoint: badRequest, and it is not spent."""
    device = renewing(enrolled(world))
    secret = challenge(world, device)  # type: ignore[operator]
    reply = device.enrol(LAPTOP, secret)
    assert (reply.status, reply.fail_info) == (PkiStatus.FAILURE, FailInfo.BAD_REQUEST)
    assert last_reason(world) == reasons.RENEWAL_NEEDS_CHALLENGE.id
    assert leaves(world) == 1
    assert len([each for each in world.store.challenges() if each.consumed_at is not None]) == 1


def test_an_expired_and_a_used_challenge_say_so(world: World) -> None:
    """R4, CHA-1: the administrator reads which it is; the device hears the one answer."""
    device = renewing(enrolled(world))
    late = world.mint("laptop-1", endpoint="signing", minutes=1)
    world.clock.advance(timedelta(minutes=1))
    assert device.enrol(LAPTOP, late).fail_info is FailInfo.BAD_REQUEST
    assert last_reason(world) == reasons.CHALLENGE_EXPIRED.id
    spent = world.mint("laptop-1", endpoint="signing")
    other = SigningDevice(world, "p-384", transaction=Transaction(b"other"))
    assert other.enrol(LAPTOP, spent).status is PkiStatus.SUCCESS
    assert device.enrol(LAPTOP, spent).fail_info is FailInfo.BAD_REQUEST
    assert last_reason(world) == reasons.CHALLENGE_REPLAYED.id


def test_one_challenge_renews_one_device(world: World) -> None:
    """ISS-4, I5: of two renewals with one challenge the second is refused, though both certificates are good."""
    first, second = enrolled(world), SigningDevice(world, transaction=Transaction(b"second"))
    assert second.enrol(LAPTOP, world.mint("laptop-1", endpoint="signing")).status is PkiStatus.SUCCESS
    secret = world.mint("laptop-1", endpoint="signing")
    assert renewing(first, "a").enrol(LAPTOP, secret).status is PkiStatus.SUCCESS
    assert renewing(second, "b").enrol(LAPTOP, secret).fail_info is FailInfo.BAD_REQUEST
    assert leaves(world) == 3


class Overtaken(MemoryStore):
    """A store that lets somebody else in, once, right before a certificate is begun."""

    meanwhile: Callable[[], object] | None = None

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
        others, self.meanwhile = self.meanwhile, None
        if others is not None:
            others()
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


def test_of_two_renewals_that_race_for_a_challenge_one_wins() -> None:
    """ISS-4: both were judged good; the transaction decides, and the loser is judged afresh and refused."""
    store = Overtaken()
    world = World(store=store)
    open_signing_endpoint(world)
    first, second = enrolled(world), SigningDevice(world, transaction=Transaction(b"second"))
    second.enrol(LAPTOP, world.mint("laptop-1", endpoint="signing"))
    secret = world.mint("laptop-1", endpoint="signing")
    won: list[PkiStatus] = []
    store.meanwhile = lambda: won.append(renewing(second, "b").enrol(LAPTOP, secret).status)
    assert renewing(first, "a").enrol(LAPTOP, secret).fail_info is FailInfo.BAD_REQUEST
    assert won == [PkiStatus.SUCCESS]
    assert last_reason(world) == reasons.CHALLENGE_REPLAYED.id
    assert leaves(world) == 3


class ReadLate(MemoryStore):
    """A store that lets somebody else in, once, right before a challenge is read on its own."""

    meanwhile: Callable[[], object] | None = None

    def challenge(self, mac: bytes) -> Challenge | None:
        """See `ports.Challenges`."""
        others, self.meanwhile = self.meanwhile, None
        if others is not None:
            others()
        return super().challenge(mac)


def test_a_renewal_that_came_twice_at_once_has_one_answer() -> None:
    """R3, R4, ISS-3: another worker uses the challenge for the very request while this one judges it: no refusal."""
    store = ReadLate()
    world = World(store=store)
    open_signing_endpoint(world)
    device = renewing(enrolled(world))
    secret = world.mint("laptop-1", endpoint="signing")
    twin = replace(device)
    store.meanwhile = lambda: twin.enrol(LAPTOP, secret)
    reply = device.enrol(LAPTOP, secret)
    assert reply.status is PkiStatus.SUCCESS
    assert reply.certificates == (twin.certificate,)
    assert leaves(world) == 2


def test_the_old_key_decides_what_a_renewal_needs(world: World) -> None:
    """RFC 8894 §3.3.1.2: the answer goes to who signed, so an RSA device renews to P-256 with nothing, and then not."""
    old = Device(world, endpoint="signing")
    old.enrol(LAPTOP, world.mint("laptop-1", endpoint="signing"))
    key = ec.generate_private_key(ec.SECP256R1())
    csr = old.csr(LAPTOP, None, key=key)
    moved = old.fresh("transaction-2")
    certificate = moved.open(world.send(moved.message(csr), "signing"), csr).certificates[0]
    device = SigningDevice(world, key=key, certificate=certificate, transaction=Transaction(b"transaction-3"))
    assert device.enrol(LAPTOP, None).fail_info is FailInfo.BAD_REQUEST
    assert last_reason(world) == reasons.RENEWAL_NEEDS_CHALLENGE.id
    assert device.enrol(LAPTOP, world.mint("laptop-1", endpoint="signing")).status is PkiStatus.SUCCESS


def test_an_interrupted_renewal_goes_on_without_its_challenge(world: World) -> None:
    """I4, R8: the challenge belongs to the conversation; when its intent is abandoned another serial comes of it."""
    device = renewing(enrolled(world))
    secret, store = world.mint("laptop-1", endpoint="signing"), world.store
    key = store.authorities()[-1].key_id
    kept = world.keys.private.pop(key)
    csr = device.csr(LAPTOP, secret)
    with pytest.raises(UnavailableError, match="CA-010"):
        world.send(device.message(csr), "signing")
    (intent,) = [each for each in store.certificates(CertificateFilter()) if each.state is CertificateState.INTENT]
    store.abandon(intent.id, world.clock.now(), ())
    world.keys.private[key] = kept
    assert device.enrol(LAPTOP, secret).status is PkiStatus.SUCCESS


@pytest.mark.parametrize("authoriser", [Authoriser.STATIC, Authoriser.APPROVAL])
def test_a_static_challenge_makes_no_renewal(authoriser: Authoriser) -> None:
    """R4: such an endpoint has no one-time challenges, so its devices enrol anew."""
    world = World()
    open_signing_endpoint(world, authoriser=authoriser)
    device = SigningDevice(world)
    device.enrol(LAPTOP, world.secrets["signing"])
    if authoriser is Authoriser.APPROVAL:
        world.approve()
        device.poll()
    assert device.certificate is not None
    again = renewing(device)
    fresh = world.desk.rotate("signing", actor=ADMIN).secret
    for secret in (None, world.secrets["signing"], fresh):
        assert again.enrol(names(), secret).fail_info is FailInfo.BAD_REQUEST
        assert last_reason(world) == reasons.RENEWAL_NEEDS_CHALLENGE.id
    again.certificate = None
    again.transaction = Transaction(b"anew")
    assert again.enrol(LAPTOP, fresh).status in (PkiStatus.SUCCESS, PkiStatus.PENDING)


# --- approval -----------------------------------------------------------------------------------------------------


@pytest.fixture
def queue() -> World:
    """A world whose endpoint `signing` holds requests for approval."""
    made = World()
    open_signing_endpoint(made, authoriser=Authoriser.APPROVAL)
    return made


@pytest.mark.parametrize("kind", ["p-256", "ml-dsa-65"])
def test_a_held_device_polls_and_opens_the_answer_with_its_challenge(queue: World, kind: str) -> None:
    """RFC 8894 §3.1, §4.4: the challenge of the held request keys the answer to the poll, which carries none."""
    device = SigningDevice(queue, kind)
    assert device.enrol(LAPTOP, queue.secrets["signing"]).status is PkiStatus.PENDING
    assert device.poll().status is PkiStatus.PENDING
    approved = queue.approve()
    assert device.poll().certificates == (approved.der,)
    assert device.poll().certificates == (approved.der,)
    # certmonger collects so, and it is answered under the challenge that it sends.
    device.certificate = None
    assert device.enrol(LAPTOP, queue.secrets["signing"]).certificates == (approved.der,)


def test_the_kept_challenge_is_sealed_and_forgotten(queue: World) -> None:
    """CHA-4: no table, event or enrolment shows it; 24 hours after the end it is gone, and polls have no answer."""
    device = SigningDevice(queue)
    secret = queue.secrets["signing"]
    device.enrol(LAPTOP, secret)
    held = queue.pending()
    sealed = queue.store.sealed_challenge(held.id)
    assert sealed is not None
    assert secret.encode() not in sealed
    assert secret not in repr(queue.store.log) + repr(held)
    assert queue.store.forget_sealed_challenges(queue.clock.now()) == 0
    queue.approve()
    queue.clock.advance(REPLAY_WINDOW + timedelta(seconds=1))
    assert queue.store.forget_sealed_challenges(queue.clock.now() - REPLAY_WINDOW) == 1
    assert device.poll().fail_info is FailInfo.BAD_REQUEST
    assert last_reason(queue) == reasons.POLL_UNKNOWN.id


class Altered(MemoryStore):
    """A store whose sealed challenges do not open: altered, or sealed under another master key."""

    def sealed_challenge(self, enrolment_id: UUID) -> bytes | None:
        """See `ports.Enrolments`."""
        return b"altered" if super().sealed_challenge(enrolment_id) is not None else None


def test_a_challenge_that_does_not_open_is_our_fault() -> None:
    """R6, SEC-1: 503 and not a failure, which would be final for the device; whoever sends the request is answered."""
    world = World(store=Altered())
    open_signing_endpoint(world, authoriser=Authoriser.APPROVAL)
    device = SigningDevice(world)
    device.enrol(LAPTOP, world.secrets["signing"])
    approved = world.approve()
    with pytest.raises(UnavailableError, match="ADM-010"):
        device.poll()
    assert device.enrol(LAPTOP, world.secrets["signing"]).certificates == (approved.der,)


def test_an_rsa_devices_challenge_is_not_kept(queue: World) -> None:
    """CHA-1: what nobody needs again is stored as a keyed hash and nothing else."""
    device = Device(queue, key=rsa_key(0), endpoint="signing")
    assert device.enrol(LAPTOP, queue.secrets["signing"]).status is PkiStatus.PENDING
    assert queue.store.sealed_challenge(queue.pending().id) is None


def test_a_poll_at_a_one_time_endpoint_is_told_to_ask_again(world: World) -> None:
    """RFC 8894 §5.2: only the request has the challenge; a poll in its place is refused, the request is answered."""
    device = enrolled(world)
    secret, got = device.secret, device.certificate
    assert device.poll().fail_info is FailInfo.BAD_REQUEST
    assert last_reason(world) == reasons.POLL_UNKNOWN.id
    device.certificate = None
    assert device.enrol(LAPTOP, secret).certificates == (got,)


def test_a_certificate_of_another_type_of_key_reads_as_such(world: World) -> None:
    """KEY-1: an independent parser finds the key in the certificate that was issued."""
    device = enrolled(world, "ed25519")
    assert device.certificate is not None
    key = x509.load_der_x509_certificate(device.certificate).public_key()
    assert key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo) == (
        device.public_key()
    )


def test_the_record_says_what_keyed_the_answer(world: World) -> None:
    """AUD-1: the stages of a renewal name the challenge that it spent; no event holds its secret."""
    device = renewing(enrolled(world))
    secret = world.mint("laptop-1", endpoint="signing")
    device.enrol(LAPTOP, secret)
    (issued,) = [event for event in world.store.log[-1:] if event.draft.action is Action.CERTIFICATE_ISSUED]
    (challenge,) = [each for each in world.store.challenges() if each.mac == world.challenge_mac(secret)]
    enrolment = world.store.enrolment(challenge.consumed_by) if challenge.consumed_by is not None else None
    assert enrolment is not None
    assert str(enrolment.id) == issued.draft.details["enrolment"]
    assert any(f"and challenge {challenge.id}" in stage.note for stage in enrolment.stages)
    assert secret not in repr(world.store.log)
    assert enrolment.allowed == Names("laptop-1")
