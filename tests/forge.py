"""Messages that no honest client sends: built from the same parts, with one thing wrong each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from regalia.wire import der, oids
from regalia.wire.algorithms import Cipher, Digest
from regalia.wire.cms_build import attribute, build_enveloped, build_signed
from scep_parts import algorithm

if TYPE_CHECKING:
    from collections.abc import Iterable

    from world import Device

__all__ = ["OAEP_LABEL", "REQUEST_NONCE", "attributes", "envelope", "oaep_transport", "rekeyed", "signed", "swap_oid"]

REQUEST_NONCE = bytes(range(16))
OAEP_LABEL = der.context(2, algorithm(oids.P_SPECIFIED, der.octet_string(b"label")))
"""The part of RSAES-OAEP-params that nobody is known to send."""


def attributes(device: Device, message_type: bytes | None = None) -> list[bytes]:
    """The SCEP attributes of a well-formed PKCSReq; `message_type` is the attribute's encoded value."""
    return [
        attribute(oids.MESSAGE_TYPE, message_type or der.printable_string("19")),
        attribute(oids.TRANSACTION_ID, device.transaction.encoded),
        attribute(oids.SENDER_NONCE, der.octet_string(REQUEST_NONCE)),
    ]


def envelope(device: Device, plaintext: bytes, recipient: bytes | None = None) -> bytes:
    """Encrypt any octets for the endpoint's RA."""
    door = device.world.store.door(device.endpoint)
    assert door is not None
    return build_enveloped(
        plaintext,
        recipient=recipient or door.ra.certificate_der,
        cipher=Cipher.AES128_CBC,
        content_key=bytes(16),
        iv=bytes(16),
    )


def oaep_transport(digest: Digest, mask: Digest, *extra: bytes) -> bytes:
    """The AlgorithmIdentifier of RSAES-OAEP, the defaults left out (RFC 4055 §4.1)."""
    parts = []
    if digest is not Digest.SHA1:
        parts.append(der.context(0, algorithm(digest.oid)))
    if mask is not Digest.SHA1:
        parts.append(der.context(1, algorithm(oids.MGF1, algorithm(mask.oid))))
    return algorithm(oids.RSAES_OAEP, der.sequence(*parts, *extra))


def rekeyed(envelope: bytes, transport: bytes, encrypted_key: bytes) -> bytes:
    """The same envelope, its one recipient with another key transport (an AlgorithmIdentifier) and encrypted key."""
    kind, explicit = der.read_one(envelope).children()
    version, recipients, content = der.read_one(explicit.content).children()
    parts = [part.raw for part in recipients.children()[0].children()]
    recipient = der.sequence(*parts[:2], transport, der.octet_string(encrypted_key))
    enveloped = der.sequence(version.raw, der.set_of([recipient]), content.raw)
    return der.sequence(kind.raw, der.context(0, enveloped))


def signed(
    device: Device, content: bytes, wanted: Iterable[bytes] | None = None, certificate: bytes | None = None
) -> bytes:
    """Sign any content with any attributes."""
    return build_signed(
        content,
        attributes=attributes(device) if wanted is None else wanted,
        digest=Digest.SHA256,
        certificate=certificate or device.certificate or device.self_signed(),
        sign=device.sign,
    )


def swap_oid(message: bytes, old: str, new: str, *, last: bool = False) -> bytes:
    """Replace an object identifier by another of the same length, everywhere or only where it stands last."""
    before, after = der.oid(old), der.oid(new)
    assert len(before) == len(after)
    assert before in message
    if not last:
        return message.replace(before, after)
    head, _, tail = message.rpartition(before)
    return head + after + tail
