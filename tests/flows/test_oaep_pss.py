"""RSAES-OAEP and RSASSA-PSS from a device's message to its certificate: taken everywhere, in bounds (R1)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from forge import OAEP_LABEL, REQUEST_NONCE, attributes, envelope, oaep_transport, rekeyed
from regalia import reasons
from regalia.model import Action
from regalia.ra.scep import CertRep
from regalia.wire import oids
from regalia.wire.algorithms import Digest
from regalia.wire.certificate import read_certificate
from regalia.wire.cms_build import build_signed
from regalia.wire.public_key import load_public_key
from regalia.wire.rsa_parameters import pss_identifier
from regalia.wire.scep import FailInfo, PkiStatus, Transaction
from regalia.wire.scep_client import read_reply
from scep_parts import Identity, algorithm, pss
from world import Device, World, names

if TYPE_CHECKING:
    from regalia.wire.scep_client import Reply

LAPTOP = names("laptop-1")
CONTENT_KEY = bytes(16)
"""What `forge.envelope` encrypts with."""


def ra_key(world: World) -> RSAPublicKey:
    """The RA's public key, as a device has it from GetCACert."""
    door = world.store.door("default")
    assert door is not None
    key = load_public_key(read_certificate(door.ra.certificate_der).public_key)
    assert isinstance(key, RSAPublicKey)
    return key


def oaep_envelope(device: Device, plaintext: bytes, digest: Digest, mask: Digest, *extra: bytes) -> bytes:
    """Encrypt for the RA with OAEP; the label is empty whatever `extra` says."""
    padding = OAEP(MGF1(mask.hash()), digest.hash(), None)
    encrypted = ra_key(device.world).encrypt(CONTENT_KEY, padding)
    return rekeyed(envelope(device, plaintext), oaep_transport(digest, mask, *extra), encrypted)


def message(device: Device, content: bytes, digest: Digest = Digest.SHA256, *, by_pss: bool = False) -> bytes:
    """A PKCSReq or renewal around this content, signed with PKCS #1 v1.5 or PSS."""
    certificate = device.certificate or device.self_signed()
    return build_signed(
        content,
        attributes=attributes(device),
        digest=digest,
        certificate=certificate,
        sign=pss(Identity(device.key, certificate), digest) if by_pss else lambda data: device.sign(data, digest),
        signature=pss_identifier(digest) if by_pss else None,
    )


def answered(device: Device, octets: bytes) -> Reply:
    """Send a message; the answer as a device reads it."""
    answer, door = device.world.send(octets), device.world.store.door("default")
    assert isinstance(answer, CertRep)
    assert door is not None
    return read_reply(
        answer.der,
        transaction=device.transaction,
        sender_nonce=REQUEST_NONCE,
        ra_certificates=(door.ra.certificate_der,),
        decrypt=lambda sealed: device.key.decrypt(sealed, PKCS1v15()),
    )


@pytest.mark.parametrize("mask", [Digest.SHA1, Digest.SHA256])
@pytest.mark.parametrize("digest", Digest)
def test_a_device_that_encrypts_with_oaep_enrols(digest: Digest, mask: Digest) -> None:
    """RSAES-OAEP, which Windows sends with SHA-1, opens at every endpoint; the reply uses PKCS #1 v1.5 (R1)."""
    world = World()
    device = Device(world)
    csr = device.csr(LAPTOP, world.mint("laptop-1"))
    reply = answered(device, message(device, oaep_envelope(device, csr, digest, mask)))
    assert read_certificate(reply.certificates[0]).public_key == device.public_key()


@pytest.mark.parametrize("digest", [Digest.SHA256, Digest.SHA384, Digest.SHA512])
def test_a_device_that_signs_with_pss_enrols_and_renews(digest: Digest) -> None:
    """RSASSA-PSS proves who sent a first enrolment and a renewal at every endpoint (R1)."""
    world = World()
    device = Device(world)
    first = answered(
        device, message(device, envelope(device, device.csr(LAPTOP, world.mint("laptop-1"))), digest, by_pss=True)
    )
    device.certificate = first.certificates[0]
    world.clock.advance(timedelta(days=1))
    device.transaction = Transaction(b"renewal")
    renewed = answered(device, message(device, envelope(device, device.csr(LAPTOP, None)), digest, by_pss=True))
    assert renewed.certificates != first.certificates
    assert world.last_event().draft.action is Action.CERTIFICATE_ISSUED


def test_oaep_with_a_label_is_bad_alg() -> None:
    """A label is refused in clear, with badAlg, and the administrator reads that it was one (R6)."""
    world = World()
    device = Device(world)
    content = oaep_envelope(device, device.csr(LAPTOP, world.mint("laptop-1")), Digest.SHA1, Digest.SHA1, OAEP_LABEL)
    reply = answered(device, message(device, content))
    assert (reply.status, reply.fail_info) == (PkiStatus.FAILURE, FailInfo.BAD_ALG)
    event = world.last_event().draft
    assert event.reason_id == reasons.KEY_TRANSPORT_REFUSED.id
    assert event.details["detail"] == "key transport RSAES-OAEP with a label"


def test_oaep_that_does_not_open_is_the_one_answer() -> None:
    """OAEP around octets for another digest than it names gets the uniform reply of step 7 (ENV-3, R6)."""
    world = World()
    device = Device(world)
    csr = device.csr(LAPTOP, world.mint("laptop-1"))
    encrypted = ra_key(world).encrypt(CONTENT_KEY, OAEP(MGF1(Digest.SHA1.hash()), Digest.SHA1.hash(), None))
    content = rekeyed(envelope(device, csr), oaep_transport(Digest.SHA256, Digest.SHA256), encrypted)
    reply = answered(device, message(device, content))
    assert (reply.status, reply.fail_info) == (PkiStatus.FAILURE, FailInfo.BAD_MESSAGE_CHECK)
    assert world.last_event().draft.reason_id == reasons.DECRYPTION_FAILED.id


def test_pss_with_another_mask_is_bad_alg() -> None:
    """PSS whose mask has another digest is refused in clear, and the event names both (R1)."""
    world = World()
    device = Device(world)
    content = envelope(device, device.csr(LAPTOP, world.mint("laptop-1")))
    good = message(device, content, by_pss=True)
    mask = algorithm(oids.MGF1, algorithm(oids.SHA256))
    reply = answered(device, good.replace(mask, algorithm(oids.MGF1, algorithm(oids.SHA512))))
    assert reply.fail_info is FailInfo.BAD_ALG
    assert world.last_event().draft.details["detail"] == (
        "signature RSASSA-PSS with digest SHA-256 and MGF1 digest SHA-512"
    )
