"""What a request leaves behind."""

from __future__ import annotations

from regalia.model import EnrolmentState
from regalia.ports import EnrolmentFilter
from regalia.wire import der, oids
from regalia.wire.certificate import SignatureAlgorithm
from world import Device, World


def test_what_nobody_reads_is_kept_in_short() -> None:
    """R5.2 and RES: what is dropped from a request is noted, but a request full of it does not fill the disk."""
    device = Device(World())
    organisation = der.sequence(der.oid(oids.AT_ORGANIZATION_NAME), der.utf8_string("x" * 20))
    subject = der.sequence(*[der.set_of([organisation])] * 900)
    info = der.sequence(der.integer(0), subject, device.public_key(), der.context(0))
    csr = der.sequence(info, SignatureAlgorithm.RSA_SHA256.identifier, der.bit_string(device.sign(info)))
    device.open(device.world.send(device.message(csr)), csr)
    (refused,) = device.world.store.enrolments(EnrolmentFilter(state=EnrolmentState.REFUSED))
    notes = " ".join(stage.note for stage in refused.stages)
    assert "dropped from the request: " in notes
    assert "xxxxxxxxxxxxxxxxxxxx" in notes
    assert len(notes) < 2_000
