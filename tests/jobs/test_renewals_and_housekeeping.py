"""Recovery, renewal and housekeeping, on the product's own services and fakes."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from fakes import MemorySigner
from regalia import reasons
from regalia.ca.server_certificate import ServerCertificates, server_names
from regalia.errors import UnavailableError
from regalia.jobs.housekeeping import ExpirePending, FlushRefusals, ForgetChallenges, ForgetRefusals, SweepSpool
from regalia.jobs.recover import Recover
from regalia.jobs.renew_credentials import RenewAdminTls, RenewCredentials, RenewTls
from regalia.model import (
    STANDING_PURPOSES,
    Action,
    Authoriser,
    CertificateKind,
    CertificateState,
    CredentialPurpose,
    Denied,
)
from regalia.ports import CertificateFilter, EnrolmentFilter
from regalia.ra.refusals import Refused
from signing_device import SigningDevice, open_signing_endpoint
from world import Device, World, names

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

AUTHORITY = "default-ca-1"


@pytest.fixture
def world() -> World:
    """A deployment with one group."""
    return World()


def newest(world: World, purpose: CredentialPurpose) -> UUID:
    """Name the credential in use."""
    return world.store.credentials(purpose, AUTHORITY)[0].id


@pytest.mark.parametrize("purpose", STANDING_PURPOSES)
def test_a_credential_is_renewed_when_it_is_due_and_once(world: World, purpose: CredentialPurpose) -> None:
    """RA and OCSP credentials get a successor before they expire; one that is fresh is left alone."""
    job = RenewCredentials(world.store, world.store, world.ceremony)
    first = world.store.credentials(purpose, AUTHORITY)[0]
    job.run(world.clock.now())
    assert newest(world, purpose) == first.id
    world.clock.advance((first.not_after - world.clock.now()) * 0.9)
    job.run(world.clock.now())
    second = newest(world, purpose)
    assert second != first.id
    job.run(world.clock.now())
    assert newest(world, purpose) == second
    assert world.store.credentials(purpose, AUTHORITY)[-1].id == first.id


def test_devices_enrol_across_a_renewal(world: World) -> None:
    """ENV-8: after the RA credential was renewed, a device that holds the old one enrols, and that one signs."""
    door = world.store.door("default")
    assert door is not None
    old = door.ra
    world.clock.advance((old.not_after - world.clock.now()) * 0.9)
    RenewCredentials(world.store, world.store, world.ceremony).run(world.clock.now())
    device = Device(world)
    csr = device.csr(names("laptop-1"), world.mint("laptop-1"))
    answer = world.send(device.message(csr, recipient=old.certificate_der))
    assert device.open(answer, csr, ra=old.certificate_der).certificates


@pytest.mark.parametrize("fault", ["CA-010", "does not verify"])
def test_one_key_that_is_away_or_wrong_keeps_no_other_waiting(world: World, fault: str) -> None:
    """Each authority is tried; what could not be done is raised together at the end."""
    world.open_group("second")
    broken = world.store.authority(AUTHORITY)
    assert broken is not None
    del world.keys.private[broken.key_id]
    if fault == "does not verify":
        world.keys.private[broken.key_id] = ec.generate_private_key(ec.SECP256R1())
    due = max(
        credential.not_after
        for name in (AUTHORITY, "second-ca-1")
        for credential in world.store.credentials(CredentialPurpose.OCSP, name)
    )
    before = world.store.credentials(CredentialPurpose.OCSP, "second-ca-1")[0].id
    world.clock.advance((due - world.clock.now()) * 0.9)
    with pytest.RaisesGroup(pytest.RaisesExc(Exception, match=fault)):
        RenewCredentials(world.store, world.store, world.ceremony).run(world.clock.now())
    assert world.store.credentials(CredentialPurpose.OCSP, "second-ca-1")[0].id != before


def test_the_admin_certificate_is_renewed_by_whom_it_belongs_to() -> None:
    """The job asks at its time; making the files is the business of who has them."""
    asked: list[datetime] = []

    def renew(now: datetime) -> bool:
        asked.append(now)
        return True

    now = World().clock.now()
    RenewAdminTls(renew).run(now)
    assert asked == [now]


def test_the_listeners_certificate_is_renewed_in_time(world: World) -> None:
    """R11: a certificate that Regalia issued for its TLS listener has a successor after two thirds of its life."""
    certificates = ServerCertificates(
        world.store,
        world.ceremony,
        world.clock,
        names=server_names(["pki.example.org"]),
        group=None,
        holder="node",
        pause=lambda _: None,
    )
    job = RenewTls(certificates)
    job.run(world.clock.now())
    first = certificates.newest()
    assert first is not None
    job.run(world.clock.now())
    assert certificates.newest() == first
    world.clock.advance((first.not_after - world.clock.now()) * 0.7)
    job.run(world.clock.now())
    second = certificates.newest()
    assert second is not None
    assert second.key_id != first.key_id


class AwaySigner(MemorySigner):
    """A signer that cannot be reached while `away` is set."""

    away = False

    def sign_intent(self, row_id: UUID) -> bytes:
        """Sign, or be unreachable."""
        if self.away:
            raise UnavailableError(reasons.ISSUER_UNAVAILABLE, "away")
        return super().sign_intent(row_id)


def test_recovery_finishes_what_was_interrupted() -> None:
    """ISS-2: an intent that outlived its worker's lease is finished by the job, and not sooner."""
    signers: list[AwaySigner] = []

    def replaced(signer: MemorySigner) -> MemorySigner:
        signers.append(AwaySigner(signer._intents, signer._keys, signer._files))  # noqa: SLF001 - it becomes the same signer
        return signers[0]

    world = World(replaced)
    secret = world.mint("laptop-1")
    signers[0].away = True
    with pytest.raises(UnavailableError):
        Device(world).enrol(names("laptop-1"), secret)
    signers[0].away = False
    job = Recover(world.recovery)
    states = []
    for _ in range(2):
        job.run(world.clock.now())
        (row,) = world.store.certificates(CertificateFilter(kind=CertificateKind.LEAF))
        states.append(row.state)
        world.clock.advance(timedelta(minutes=2))
    assert states == [CertificateState.INTENT, CertificateState.ISSUED]


def test_folded_refusals_are_written(world: World) -> None:
    """R13: what was folded in a minute is one event, written when the minute is over even if nobody comes again."""
    for _ in range(70):
        world.refusals.record(Refused(world.clock.now(), "192.0.2.9", "default", Denied(reasons.OPERATION_REFUSED)))
    written = len(world.store.log)
    job = FlushRefusals(world.refusals)
    job.run(world.clock.now())
    assert len(world.store.log) == written
    world.clock.advance(timedelta(minutes=1))
    job.run(world.clock.now())
    draft = world.last_event().draft
    assert (draft.action, draft.details["count"]) == (Action.REFUSALS_FOLDED, 10)


def test_refused_enrolments_are_kept_for_thirty_days(world: World) -> None:
    """R13: a refusal is explained for 30 days, then forgotten."""
    Device(world).enrol(names("laptop-1"), "wrong")
    job = ForgetRefusals(world.store)
    world.clock.advance(timedelta(days=30))
    job.run(world.clock.now())
    assert len(world.store.enrolments(EnrolmentFilter())) == 1
    world.clock.advance(timedelta(seconds=1))
    job.run(world.clock.now())
    assert world.store.enrolments(EnrolmentFilter()) == ()


def test_a_kept_challenge_is_forgotten_a_day_after_its_enrolment_ended(world: World) -> None:
    """CHA-4: while it waits, and while its certificate is handed out, it keys the answers to polls; then it is gone."""
    open_signing_endpoint(world, authoriser=Authoriser.APPROVAL)
    device = SigningDevice(world)
    device.enrol(names("laptop-1"), world.secrets["signing"])
    held, job = world.pending().id, ForgetChallenges(world.store)
    world.clock.advance(timedelta(days=20))
    job.run(world.clock.now())
    world.approve()
    world.clock.advance(timedelta(hours=24) - timedelta(milliseconds=1))
    job.run(world.clock.now())
    assert world.store.sealed_challenge(held) is not None
    assert device.poll().certificates
    world.clock.advance(timedelta(milliseconds=2))
    job.run(world.clock.now())
    assert world.store.sealed_challenge(held) is None


def test_the_spool_is_swept_of_what_is_a_day_old() -> None:
    """A file that a crash left is removed when nobody can be working on it any more."""
    asked: list[datetime] = []

    def sweep(before: datetime) -> int:
        asked.append(before)
        return 2

    now = World().clock.now()
    SweepSpool(sweep).run(now)
    assert asked == [now - timedelta(days=1)]


def test_what_nobody_approves_is_refused_after_thirty_days(world: World) -> None:
    """POL-3 and RES-5: an enrolment that waited for its whole time leaves the queue, with the reason on record."""
    secret = world.open_endpoint("queue", Authoriser.APPROVAL)
    Device(world, endpoint="queue").enrol(names("laptop-1"), secret)
    waiting, job = world.pending(), ExpirePending(world.approvals.expire)
    job.run(world.clock.now())
    assert world.pending() == waiting
    world.clock.advance(timedelta(days=30, seconds=1))
    job.run(world.clock.now())
    ended = world.store.enrolment(waiting.id)
    assert ended is not None
    assert ended.reason_id == reasons.APPROVAL_EXPIRED.id
