"""What a device meets while its certificate is on hold, after its release, and with a key that was compromised."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from regalia import reasons
from regalia.ca.crl_plan import Plan, adopt_plan, make_lists, shard_of
from regalia.ca.revoke import block_key, hold, release, revoke
from regalia.model import CertificateKind, RevocationReason
from regalia.ports import CertificateFilter
from regalia.wire.scep import PkiStatus
from world import ADMIN, Device, World, names

if TYPE_CHECKING:
    from regalia.model import Certificate
    from regalia.wire.scep_client import Reply

NAME = "default-ca-1"


@pytest.fixture
def world() -> World:
    """A deployment with one group."""
    return World()


def leaf(world: World) -> Certificate:
    """The newest certificate that a device got."""
    return world.store.certificates(CertificateFilter(kind=CertificateKind.LEAF))[0]


def enrolled(world: World) -> Device:
    """A device with a certificate."""
    device = Device(world)
    assert device.enrol(names("laptop-1"), world.mint("laptop-1")).status is PkiStatus.SUCCESS
    return device


def renewal(device: Device, transaction: str) -> Reply:
    """Renew."""
    device.world.clock.advance(timedelta(seconds=1))
    fresh = device.fresh(transaction)
    return fresh.enrol(names("laptop-1"), None)


def test_ren1_a_held_certificate_renews_after_its_release_and_not_before(world: World) -> None:
    """REN-1: a hold is refused as a revocation is, and after its release the certificate renews as ever."""
    device = enrolled(world)
    held = leaf(world)
    hold(world.store, world.clock, held, actor=ADMIN)
    assert renewal(device, "transaction-2").status is PkiStatus.FAILURE
    assert world.last_event().draft.reason_id == reasons.SIGNER_REVOKED.id
    release(world.store, world.clock, held, actor=ADMIN)
    assert renewal(device, "transaction-3").status is PkiStatus.SUCCESS
    assert leaf(world).id != held.id


def test_a_key_on_hold_does_not_enrol_anew(world: World) -> None:
    """A fresh challenge does not lead around a hold, and does again after the release."""
    enrolled(world)
    held = leaf(world)
    hold(world.store, world.clock, held, actor=ADMIN)
    again = Device(world).fresh("transaction-2")
    assert again.enrol(names("laptop-1"), world.mint("laptop-1")).status is PkiStatus.FAILURE
    assert world.last_event().draft.reason_id == reasons.KEY_ON_HOLD.id
    release(world.store, world.clock, held, actor=ADMIN)
    again = Device(world).fresh("transaction-3")
    assert again.enrol(names("laptop-1"), world.mint("laptop-1")).status is PkiStatus.SUCCESS


def test_key2_a_blocked_key_enrols_no_more(world: World) -> None:
    """KEY-2: also where its certificate had been revoked for something else before."""
    enrolled(world)
    revoke(world.store, world.clock, leaf(world), reason=RevocationReason.SUPERSEDED, actor=ADMIN)
    assert block_key(world.store, world.clock, leaf(world), actor=ADMIN, note="stolen")
    again = Device(world).fresh("transaction-2")
    assert again.enrol(names("laptop-1"), world.mint("laptop-1")).status is PkiStatus.FAILURE
    refusal = world.last_event().draft
    assert (refusal.reason_id, "compromised" in str(refusal.details)) == (reasons.KEY_BLOCKED.id, True)


def test_a_device_enrols_into_the_list_of_its_serial(world: World) -> None:
    """With a plan the row of a certificate has the list that the certificate names; without one, 0."""
    enrolled(world)
    assert leaf(world).intent.shard == 0
    authority = world.store.authority(NAME)
    assert authority is not None
    plan = Plan(4, delta=False, full=True, fleet=10)
    make_lists(world.store, authority, plan)
    adopt_plan(world.store, world.clock, authority, plan, actor=ADMIN)
    world.clock.advance(timedelta(seconds=1))
    device = Device(world).fresh("transaction-2")
    device.enrol(names("laptop-1"), world.mint("laptop-1"))
    found = leaf(world)
    shard = shard_of(found.serial, 4)
    assert found.intent.shard == shard
    assert found.der is not None
    assert f"/crl/{NAME}-{shard}.crl".encode() in found.der
