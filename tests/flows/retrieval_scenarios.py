"""Ways to be refused that only GetCert, GetCRL and keys that cannot decrypt have."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from regalia import reasons
from regalia.model import CrlIntent, CrlRecord, new_id
from regalia.ra.retrieve import MAX_CRL
from regalia.wire.certificate import read_certificate
from regalia.wire.scep import FailInfo, MessageType, Transaction
from regalia.wire.scep_client import issuer_and_serial
from signing_device import SigningDevice, open_signing_endpoint
from world import Device, names, rsa_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from world import World

__all__ = ["RETRIEVALS"]


def _own(certificate: bytes | None) -> bytes:
    assert certificate is not None
    facts = read_certificate(certificate)
    return issuer_and_serial(facts.issuer, facts.serial)


def _enrolled(world: World) -> Device:
    device = Device(world)
    device.enrol(names("laptop-1"), world.mint("laptop-1"))
    return device


def _signing(world: World) -> SigningDevice:
    open_signing_endpoint(world)
    device = SigningDevice(world)
    device.enrol(names("laptop-1"), world.mint("laptop-1", endpoint="signing"))
    return replace(device, transaction=Transaction(b"transaction-2"))


def _trailing_octet(world: World) -> bytes:
    """ENV-4: one octet after the serial number."""
    device = _enrolled(world)
    return device.message(_own(device.certificate) + b"\x00", message_type=MessageType.GET_CERT)


def _no_way_to_answer(world: World) -> tuple[bytes, str]:
    device = _signing(world)
    return device.message(_own(device.certificate), MessageType.GET_CERT), "signing"


def _somebody_elses(world: World) -> bytes:
    """MSG-3: whoever is not its holder learns nothing of a certificate."""
    wanted = _own(_enrolled(world).certificate)
    return Device(world, key=rsa_key(1)).message(wanted, message_type=MessageType.GET_CERT)


def _huge_crl(world: World) -> bytes:
    """RES: a record of so many entries is no reply's content, whatever its octets are."""
    device = _enrolled(world)
    now, authority = world.clock.now(), world.store.authorities()[-1]
    reserved = world.store.reserve_crl(new_id(now, bytes(10)), authority.name, now)
    digest = hashlib.sha256(b"x").digest()
    world.store.begin_crl(
        CrlIntent(
            reserved.id, authority.name, authority.key_id, reserved.number, now, now, MAX_CRL, digest, "nowhere", now
        )
    )
    record = CrlRecord(authority.name, reserved.number, now, now, MAX_CRL, reserved.snapshot, digest, now)
    assert world.store.finish_crl(reserved.id, record, iter([b"x"]), ())
    return device.message(_own(device.certificate), message_type=MessageType.GET_CRL)


def _renewal_without_challenge(world: World) -> tuple[bytes, str]:
    """R4: nothing could key the answer."""
    device = _signing(world)
    return device.message(device.csr(names("laptop-1"), None)), "signing"


RETRIEVALS: dict[str, tuple[Callable[[World], bytes | tuple[bytes, str]], FailInfo | None]] = {
    reasons.RETRIEVAL_REFUSED.id: (_trailing_octet, FailInfo.BAD_CERT_ID),
    reasons.RETRIEVAL_NEEDS_DECRYPTION.id: (_no_way_to_answer, FailInfo.BAD_REQUEST),
    reasons.CERTIFICATE_UNKNOWN.id: (_somebody_elses, FailInfo.BAD_CERT_ID),
    reasons.CRL_TOO_LARGE.id: (_huge_crl, FailInfo.BAD_CERT_ID),
    reasons.RENEWAL_NEEDS_CHALLENGE.id: (_renewal_without_challenge, FailInfo.BAD_REQUEST),
}
"""As `test_refusals.SCENARIOS`, of which they are part."""
