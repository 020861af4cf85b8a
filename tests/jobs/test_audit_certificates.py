"""The hourly job that reads certificates again, and the one that tells the listeners' keys."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta

import pytest

from ca.test_audit import a_world, put
from regalia import reasons
from regalia.errors import AdminError
from regalia.jobs.audit_certificates import AuditCertificates
from regalia.jobs.own_keys import KnowOwnKeys
from regalia.model import Action, ActorKind
from world import Device, World, names


def job(world: World) -> AuditCertificates:
    """Return the job as `serve` wires it."""
    return AuditCertificates(world.store, world.urls, world.entropy)


def test_r8_what_we_issue_passes() -> None:
    """R8: a leaf that passed the native lint passes pkilint too, and the job is silent."""
    world, _ = a_world()
    world.clock.advance(timedelta(hours=1))
    events = len(world.store.log)
    job(world).run(world.clock.now())
    assert len(world.store.log) == events


def test_r8_a_finding_is_the_failure_of_the_job_and_a_security_event() -> None:
    """R8: a certificate that breaks RFC 5280 is named with serial and rule, in the failure and in the log."""
    world, leaf = a_world()
    assert leaf.der is not None
    # The keyUsage extension marked critical with a boolean that DER does not write.
    spoilt = leaf.der.replace(bytes.fromhex("0603551d0f0101ff"), bytes.fromhex("0603551d0f010100"))
    assert spoilt != leaf.der
    put(world, replace(leaf, der=spoilt))
    with pytest.raises(AdminError) as caught:
        job(world).run(world.clock.now())
    assert caught.value.reason is reasons.AUDIT_FOUND
    assert f"{leaf.serial:x} octets: " in caught.value.detail
    told = [event.draft for event in world.store.log if event.draft.action is Action.CERTIFICATE_DOUBTED]
    assert {each.serial for each in told} == {f"{leaf.serial:x}"}
    assert all(each.security and each.actor.kind is ActorKind.SYSTEM for each in told)
    assert world.last_event().draft.action is Action.CERTIFICATES_AUDITED


def test_older_certificates_have_their_turn() -> None:
    """Beside the newest ones the job reads others from a random time on: what was changed long ago is found."""
    world, leaf = a_world()
    device = Device(world)
    for number in range(3):
        world.clock.advance(timedelta(minutes=1))
        secret = world.mint("laptop-1", "laptop-1.example.com", device="INV-1")
        device.fresh(f"again-{number}").enrol(names("laptop-1"), secret)
    put(world, replace(leaf, intent=replace(leaf.intent, device="INV-2")))
    watching = AuditCertificates(world.store, world.urls, world.entropy, newest=2, older=6)
    found = 0
    for _ in range(60):
        try:
            watching.run(world.clock.now())
        except AdminError as error:
            found += f"{leaf.serial:x} event" in error.detail
    assert 0 < found < 60


def test_key2_the_listeners_keys_are_told() -> None:
    """KEY-2: what the job is given is among our own keys from then on, and a device with such a key is refused."""
    world = World()
    device = Device(world)
    digest = hashlib.sha256(device.public_key()).digest()
    KnowOwnKeys(world.store, lambda: [(digest, "admin listener")]).run(world.clock.now())
    assert digest in world.store.own_keys()
    assert device.enrol(names("laptop-1"), world.mint("laptop-1")).certificates == ()
