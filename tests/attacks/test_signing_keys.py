"""Keys that cannot decrypt, whose answers are encrypted under a challenge: what that challenge must not become."""

from __future__ import annotations

import pytest

from attacks.forgery import csr_of
from attacks.harness import Target, refused
from regalia import reasons
from regalia.wire.scep import MessageType, PkiStatus, Transaction
from signing_device import SigningDevice, open_signing_endpoint
from world import Device, names

KINDS = pytest.mark.parametrize("kind", ["p-256", "ed25519", "ml-dsa-44"])


def enrolled(world: Target, kind: str) -> SigningDevice:
    """A device with such a key and a certificate, about to renew it."""
    open_signing_endpoint(world)
    device = SigningDevice(world, kind)
    device.enrol(names("laptop-1"), world.mint("laptop-1", endpoint="signing"))
    assert device.certificate is not None
    device.transaction = Transaction(b"renewal")
    return device


@KINDS
def test_a_renewal_by_a_key_that_only_signs_needs_a_fresh_challenge(world: Target, kind: str) -> None:
    """R4, CHA-1: none, the first one again, one of other names, one of another door; the right one stays good."""
    device = enrolled(world, kind)
    first = world.minted[-1]
    others = world.mint("laptop-2", endpoint="signing"), world.mint("laptop-1")
    for challenge in (None, first, *others):
        message = device.message(device.csr(names("laptop-1"), challenge), MessageType.RENEWAL_REQ)
        refused(world, message, reasons.RENEWAL_NEEDS_CHALLENGE, endpoint="signing")
    fresh = world.mint("laptop-1", endpoint="signing")
    assert device.enrol(names("laptop-1"), fresh, MessageType.RENEWAL_REQ).status is PkiStatus.SUCCESS


@KINDS
def test_a_challenge_that_keyed_a_renewal_is_used(world: Target, kind: str) -> None:
    """CHA-1, ISS-4, R4: it enrols nobody afterwards, neither its device anew nor a thief."""
    device = enrolled(world, kind)
    fresh = world.mint("laptop-1", endpoint="signing")
    device.enrol(names("laptop-1"), fresh, MessageType.RENEWAL_REQ)
    thief = Device(world, endpoint="signing", transaction=Transaction(b"thief"))
    message = thief.message(thief.csr(names("laptop-1"), fresh))
    refused(world, message, reasons.CHALLENGE_REPLAYED, endpoint="signing")


@KINDS
def test_a_key_that_only_signs_asks_for_no_other_key(world: Target, kind: str) -> None:
    """SIG-6: a first request that it signs for an RSA key, with that key's own proof and a good challenge."""
    open_signing_endpoint(world)
    secret, device = world.mint("laptop-1", endpoint="signing"), SigningDevice(world, kind)
    other = Device(world, endpoint="signing")
    refused(world, device.message(csr_of(other, challenge=secret)), reasons.KEY_NOT_BOUND, endpoint="signing")
    assert other.enrol(names("laptop-1"), secret).status is PkiStatus.SUCCESS


@KINDS
def test_a_key_that_only_signs_is_refused_where_it_is_not_switched_on(world: Target, kind: str) -> None:
    """R1, SIG-5: at a door without the switch, with a good challenge, before the private key is used."""
    secret = world.mint("laptop-1")
    device = SigningDevice(world, kind, endpoint="default")
    refused(world, device.message(device.csr(names("laptop-1"), secret)), reasons.SIGNATURE_ALGORITHM_REFUSED)
