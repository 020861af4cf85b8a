"""What follows from Intune's own answers: the real connector reads the laboratory, and faults revoke nobody."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from connectors.microsoft_parts import PassingTime
from fakes import FakeClock
from regalia.connectors.registry import Parts, linked
from regalia.lab.directory import ActionResult
from regalia.lab.faults import Fault, FaultKind, HopName
from regalia.lab.sample import CLIENT_ID, CLIENT_SECRET, sample_tenant
from regalia.model import CertificateIntent, CertificateKind, Names, RevocationReason, new_id
from regalia.model.connector import Connector
from regalia.model.fleet import StepKind
from regalia.net.addresses import Opened
from regalia.net.http import HttpOutgoing
from regalia.ra.follow_run import carry_out, planned
from regalia.ra.sweeping import Sweeper
from world import World

if TYPE_CHECKING:
    from lab_parts import Rehearsal
    from regalia.model import Certificate, JsonValue
    from regalia.model.fleet import Device
    from regalia.ports.fleet import Sweep
    from regalia.ra.follow_run import Done

DEVICES = 30
LATER = timedelta(hours=2)


class Fleet(World):
    """A tenant of thirty devices; each has a certificate that is bound to the record of it."""

    def __init__(self, lab: Rehearsal) -> None:
        super().__init__(clock=FakeClock(lab.clock()))
        self.cloud = lab.cloud
        self.tenant = sample_tenant(DEVICES, lab.domain, lab.clock)
        lab.cloud.tenants.add(self.tenant)
        outgoing = HttpOutgoing(
            opened=tuple(Opened.parse(base) for base in (lab.at.login, lab.at.graph, lab.at.intune)),
            ca_file=lab.cloud.ca_file,
        )
        settings: dict[str, JsonValue] = {
            "tenant": lab.domain,
            "client_id": CLIENT_ID,
            "authority": lab.at.login,
            "graph": lab.at.graph,
            "page": 10,
        }
        connector = Connector(new_id(self.clock.now(), bytes(10)), "mdm", "intune", settings, self.clock.now())
        assert self.store.add_connector(connector, None, ())
        parts = Parts(outgoing, self.clock, self.entropy, devices=self.store, pace=PassingTime().pace)
        self.link: Any = linked(connector, CLIENT_SECRET, parts)
        self.sweeper = Sweeper(self.store, self.clock, self.entropy)
        first = self.read()
        assert first.complete, first.why
        for number, managed in enumerate(self.tenant.managed.all(), start=1):
            self._certify(number, self.record(managed.id))

    def _certify(self, number: int, device: Device) -> None:
        now, authority = self.clock.now(), self.store.authority("default-ca-1")
        assert authority is not None
        intent = CertificateIntent(
            id=UUID(int=number << 40),
            kind=CertificateKind.LEAF,
            authority=authority.name,
            key_id=authority.key_id,
            serial=number,
            tbs=b"",
            group="default",
            profile="default",
            profile_version=1,
            subject=f"CN={device.name}",
            names=Names(device.name),
            device=None,
            unverified=False,
            key_sha256=number.to_bytes(32),
            not_before=now,
            not_after=now + timedelta(days=365),
            enrolment_id=None,
            generation=0,
            lease_until=now,
            created_at=now,
            device_id=device.id,
        )
        self.store.begin(intent, ())
        assert self.store.finish(intent.id, b"der", now, ())

    def read(self) -> Sweep:
        """Let the next full sweep be due, and read it as far as it goes."""
        self.clock.advance(LATER)
        sweep = self.sweeper.read("mdm", self.link, pages=200)
        assert sweep is not None
        return sweep

    def follow(self) -> Done:
        """Do what is due."""
        return carry_out(self.store, self.entropy, self.clock.now())

    def record(self, external_id: str) -> Device:
        """Return the record of a device."""
        found = self.store.device_of("mdm", external_id)
        assert found is not None
        return found

    def ended(self) -> list[Certificate]:
        """Return what is revoked or on hold."""
        return [row for row in self.store.certificates_after(None, 1_000) if row.revocation is not None]

    def order(self, kind: FaultKind, path: str = "managedDevices") -> None:
        """Order a fault of Graph, until it is taken back."""
        self.cloud.journal.order(Fault(HopName.GRAPH, kind, path))


@pytest.fixture
def fleet(lab: Rehearsal) -> Fleet:
    """Return a fleet that was read once."""
    return Fleet(lab)


def test_a_wipe_is_planned_and_then_revoked(fleet: Fleet) -> None:
    """Holds 3: who is wiped in Intune loses the certificate at the next sweep, and nobody else does."""
    managed = fleet.tenant.managed.all()[4]
    wiping = ActionResult("wipe", "pending", fleet.clock.now(), fleet.clock.now())
    fleet.tenant.managed.put(replace(managed, management_state="wipePending", actions=(wiping,)))
    assert fleet.read().complete
    (step,) = planned(fleet.store, fleet.clock.now()).steps()
    assert (step.kind, fleet.ended()) == (StepKind.REVOKE, [])
    assert fleet.follow().kinds == {StepKind.REVOKE: 1}
    (row,) = fleet.ended()
    assert row.intent.device_id == fleet.record(managed.id).id
    assert row.revocation is not None
    assert row.revocation.reason is RevocationReason.CESSATION_OF_OPERATION


@pytest.mark.parametrize("kind", [FaultKind.UNAVAILABLE, FaultKind.FORBIDDEN, FaultKind.RESET, FaultKind.HALF_SWEEP])
def test_an_outage_revokes_nobody(fleet: Fleet, kind: FaultKind) -> None:
    """CON-5: a device that is gone during an outage is absent only when two sweeps after it were read to the end."""
    gone = fleet.tenant.managed.all()[4]
    fleet.tenant.managed.remove(gone.id)
    fleet.order(kind)
    for _ in range(3):
        sweep = fleet.read()
        assert (sweep.ended_at, sweep.complete) == (None, False)
        assert sweep.why
        assert fleet.follow().kinds == {}
    assert (fleet.ended(), fleet.record(gone.id).state.present) == ([], True)
    fleet.cloud.journal.clear_faults()
    for _ in range(2):
        assert fleet.read().complete
    assert not fleet.record(gone.id).state.present


def test_an_empty_answer_revokes_nobody(fleet: Fleet) -> None:
    """REV-7: however often Graph answers every list with nothing, nobody is absent."""
    fleet.order(FaultKind.EMPTY, "")
    for _ in range(3):
        fleet.read()
        assert fleet.follow().kinds == {}
    assert fleet.ended() == []
    assert all(fleet.record(each.id).state.present for each in fleet.tenant.managed.all())


def test_a_mass_deletion_is_stopped(fleet: Fleet) -> None:
    """REV-7: a tenant that loses all devices but two has them confirmed absent, and the brake lets nothing follow."""
    for each in fleet.tenant.managed.all()[2:]:
        fleet.tenant.managed.remove(each.id)
    for _ in range(2):
        assert fleet.read().complete
    done = fleet.follow()
    assert done.stopped is not None
    assert done.stopped.ends == {"default": DEVICES - 2}
    assert fleet.ended() == []
