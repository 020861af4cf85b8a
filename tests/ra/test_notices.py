"""Telling a connector what became of a request: before the device, after a crash, and by the job (R8)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from regalia import reasons
from regalia.errors import UnavailableError
from regalia.model import (
    Action,
    Certificate,
    CertificateState,
    Denied,
    Names,
    RevocationReason,
    Unavailable,
)
from regalia.model.connector import Allowed, IssuedNotice, NotAsked, Refused, RefusedNotice, Told
from regalia.ra.explain import delivery
from regalia.wire.csr import read_csr
from regalia.wire.scep import PkiStatus
from vouching_parts import AWAY, DEVICE, FakeLink, VouchedWorld, device_of, stored_device
from world import names

if TYPE_CHECKING:
    from uuid import UUID

    from regalia.ports.fleet import Notice
    from regalia.ra.enrol import Ended

NOT_TAKEN = Refused(reasons.CONNECTOR_CERTIFICATE_REFUSED, "ChallengeExpired", "too late")
HOUR = timedelta(hours=1)


def asked(world: VouchedWorld, wanted: Names | None = None) -> Ended:
    """Have the device ask, with the same transaction each time."""
    return world.enroller.enrol(device_of(world).request(wanted or names(DEVICE), "blob"))


def leaves(world: VouchedWorld) -> list[Certificate]:
    """Return the certificates of devices."""
    return [row for row in world.store.certificates_after(None, 100) if row.intent.enrolment_id is not None]


def notice(world: VouchedWorld) -> Notice:
    """Return the notice of the one certificate."""
    (row,) = leaves(world)
    enrolment_id = row.intent.enrolment_id
    assert enrolment_id is not None
    found = world.store.notice_of(enrolment_id)
    assert found is not None
    return found


def actions(world: VouchedWorld) -> list[Action]:
    """Return what was recorded, in order."""
    return [event.draft.action for event in world.store.log]


def test_the_system_is_told_before_the_device() -> None:
    """R8: with the certificate comes a notice, told with the request as it came before the device gets anything."""
    link = FakeLink()
    world = VouchedWorld(link)
    device = device_of(world)
    assert device.enrol(names(DEVICE), "blob").status is PkiStatus.SUCCESS
    row = world.certificate_of(device)
    (told,) = link.told
    assert isinstance(told, IssuedNotice)
    assert (told.transaction_id, told.certificate, told.serial) == ("t-1", row.der, row.serial)
    assert (told.authority, told.not_after) == (row.intent.authority, row.intent.not_after)
    assert told.issuer.startswith("CN=")
    assert read_csr(told.csr).challenge == "blob"
    assert told.csr == link.asked[0].csr
    assert notice(world).told_at is not None
    assert notice(world).sealed == b""
    assert Action.CONNECTOR_TOLD in actions(world)
    assert "was told of the certificate" in delivery(notice(world))


def test_the_challenge_is_kept_sealed_and_said_nowhere() -> None:
    """CHA-4: neither the outbox nor an event holds the challenge in clear."""
    world = VouchedWorld(FakeLink(answers=AWAY))
    assert isinstance(world.enroller.enrol(device_of(world).request(names(DEVICE), "s3cret-blob")), Unavailable)
    assert b"s3cret-blob" not in notice(world).sealed
    assert not any("s3cret-blob" in str(event.draft) for event in world.store.log)


def test_what_was_not_told_is_resumed_by_the_repetition() -> None:
    """R8: 503 while it cannot be told, then the same certificate; nothing is asked or issued a second time."""
    link = FakeLink(answers=AWAY)
    world = VouchedWorld(link)
    assert isinstance(asked(world), Unavailable)
    with pytest.raises(UnavailableError):
        device_of(world).enrol(names(DEVICE), "blob")
    assert "still to be told" in delivery(notice(world))
    link.answers = Told("noted")
    ended = asked(world)
    assert isinstance(ended, Certificate)
    assert [row.id for row in leaves(world)] == [ended.id]
    assert len(link.asked) == 1
    assert asked(world) == ended
    assert len(link.told) == 3


def test_what_the_system_does_not_take_is_revoked() -> None:
    """R8: the refusal and the revocation are one transaction, and the device gets FAILURE."""
    link = FakeLink(answers=NOT_TAKEN)
    world = VouchedWorld(link)
    device = device_of(world)
    assert device.enrol(names(DEVICE), "blob").status is PkiStatus.FAILURE
    (row,) = leaves(world)
    assert row.revocation is not None
    assert row.revocation.reason is RevocationReason.CESSATION_OF_OPERATION
    assert "ChallengeExpired" in row.revocation.note
    assert notice(world).refused == "ChallengeExpired"
    assert world.last_event().draft.reason_id == reasons.CONNECTOR_CERTIFICATE_REFUSED.id
    assert {Action.CONNECTOR_REFUSED, Action.CERTIFICATE_REVOKED} <= set(actions(world))
    assert "said ChallengeExpired" in delivery(notice(world))


def test_who_need_not_confirm_keeps_no_device_waiting() -> None:
    """A connector that does not confirm is told by the job, and the device has its certificate by then."""
    link = FakeLink(confirms=False)
    world = VouchedWorld(link)
    ended = asked(world)
    assert isinstance(ended, Certificate)
    assert not link.told
    world.clock.advance(timedelta(minutes=2))
    assert world.teller.tell_due(world.clock.now()) == 1
    assert len(link.told) == 1
    assert world.teller.tell_due(world.clock.now() + HOUR) == 0


def test_a_refusal_after_the_yes_is_told() -> None:
    """What we refuse although the system allowed it is queued with our reason, and told by the job."""
    link = FakeLink(says=Allowed(DEVICE, names=names(DEVICE)))
    world = VouchedWorld(link)
    world.know(stored_device())
    assert isinstance(asked(world, names("device-2")), Denied)
    assert not link.told
    assert world.teller.tell_due(world.clock.now()) == 1
    (told,) = link.told
    assert isinstance(told, RefusedNotice)
    assert told.reason is reasons.NAMES_OUTSIDE_BINDING
    assert read_csr(told.csr).challenge == "blob"


def test_the_job_waits_longer_each_time_and_gives_up() -> None:
    """What cannot be told is due later and later, and not for ever; nothing is revoked for it (CON-5)."""
    link = FakeLink(answers=AWAY)
    world = VouchedWorld(link)
    assert isinstance(asked(world), Unavailable)
    pauses: list[timedelta] = []
    for _ in range(80):
        due = notice(world).due_at
        world.clock.advance(due - world.clock.now())
        world.seconds.pass_by(60)
        world.teller.tell_due(world.clock.now())
        if notice(world).told_at is not None:
            break
        pauses.append(notice(world).due_at - due)
    assert pauses[0] < pauses[3] <= timedelta(hours=1)
    assert pauses == sorted(pauses)
    (row,) = leaves(world)
    assert row.revocation is None
    draft = world.last_event().draft
    assert (draft.action, draft.reason_id) == (Action.CONNECTOR_REFUSED, reasons.CONNECTOR_AWAY.id)
    assert notice(world).refused == "given-up"


def test_a_connector_that_is_gone_keeps_its_notices() -> None:
    """While a connector is disabled nothing is told, nothing is lost, and the device waits."""
    link = FakeLink(answers=AWAY)
    world = VouchedWorld(link)
    assert isinstance(asked(world), Unavailable)
    world.ways.links["mdm"] = NotAsked(reasons.CONNECTOR_DISABLED, "connector mdm")
    assert isinstance(asked(world), Unavailable)
    world.clock.advance(HOUR)
    assert world.teller.tell_due(world.clock.now()) == 0
    link.answers = Told("noted")
    world.ways.links["mdm"] = link
    world.clock.advance(HOUR)
    assert world.teller.tell_due(world.clock.now()) == 1
    assert isinstance(asked(world), Certificate)


def test_what_two_tell_at_once_is_concluded_once() -> None:
    """A repetition that tells while the first attempt is under way is harmless: the record tells of it once."""
    world = VouchedWorld()
    seen: list[Ended] = []

    def told(link: FakeLink) -> None:
        (row,) = leaves(world)
        if not seen:
            seen.append(row)
            seen[0] = world.teller.delivered(row)
        assert link.told

    link = FakeLink(on_told=told)
    world.ways.links["mdm"] = link
    ended = asked(world)
    assert isinstance(ended, Certificate)
    assert seen == [ended]
    assert len(link.told) == 2
    assert actions(world).count(Action.CONNECTOR_TOLD) == 1


def test_a_crash_before_the_signature_loses_no_notice() -> None:
    """TX1 keeps the notice: recovery finishes the certificate, and only then is the system told."""
    link = FakeLink()
    world = VouchedWorld(link)
    signer, signed = world.signer, world.signer.sign_intent

    def away(row_id: UUID) -> bytes:
        raise UnavailableError(reasons.SIGNER_AWAY, str(row_id))

    signer.sign_intent = away  # type: ignore[method-assign]
    with pytest.raises(UnavailableError):
        asked(world)
    assert not link.told
    world.clock.advance(timedelta(minutes=2))
    assert world.teller.tell_due(world.clock.now()) == 0
    signer.sign_intent = signed  # type: ignore[method-assign]
    ended = asked(world)
    assert isinstance(ended, Certificate)
    assert ended.state is CertificateState.ISSUED
    assert len(link.asked) == 1
    assert len(link.told) == 1


@pytest.mark.parametrize("by_poll", [False, True])
def test_an_abandoned_certificate_leaves_its_notice_to_the_next(by_poll: bool) -> None:  # noqa: FBT001 - both ways
    """I4: the conversation goes on unasked with another serial, and its system is told of that, challenge and all."""
    link = FakeLink()
    world = VouchedWorld(link)
    signer, signed = world.signer, world.signer.sign_intent

    def away(row_id: UUID) -> bytes:
        raise UnavailableError(reasons.SIGNER_AWAY, str(row_id))

    signer.sign_intent = away  # type: ignore[method-assign]
    with pytest.raises(UnavailableError):
        asked(world)
    (first,) = leaves(world)
    assert world.store.abandon(first.id, world.clock.now(), ())
    signer.sign_intent = signed  # type: ignore[method-assign]
    ended = world.enroller.poll(device_of(world).question()) if by_poll else asked(world)
    assert isinstance(ended, Certificate), ended
    assert ended.serial != first.serial
    (told,) = link.told
    assert isinstance(told, IssuedNotice)
    assert told.serial == ended.serial
    assert read_csr(told.csr).challenge == "blob"
    assert len(link.asked) == 1
