"""Good messages of every type with something wrong at one of their levels, signed and encrypted again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools.fuzz.mutation import mutate

from attacks.forgery import message_of
from forge import REQUEST_NONCE, envelope
from regalia.wire import der, oids
from scep_parts import Request

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from world import Device

__all__ = ["mutated_message"]


LEVELS = ("message", "message", "attributes", "envelope", "request", "info", "info", "poll", "retrieval", "none")


def mutated_message(device: Device, csr: bytes, random: Random, others: Sequence[bytes] = ()) -> bytes:
    """A message of the device with something wrong at one of its levels."""
    level = random.choice(LEVELS)
    if level == "request":
        return message_of(device, mutate(csr, random, others))
    if level == "info":
        return message_of(device, _resigned(device, csr, random, others))
    if level == "envelope":
        return message_of(device, b"", content=mutate(envelope(device, csr), random, others))
    if level == "poll":
        return message_of(device, mutate(der.sequence(*[_subject(csr)] * 2), random), values=_values(device, "20"))
    if level == "retrieval":
        wanted = mutate(der.sequence(_subject(csr), der.integer(random.getrandbits(160))), random)
        return message_of(device, wanted, values=_values(device, random.choice(("21", "22"))))
    if level == "attributes":
        return _with_attributes(device, csr, random)
    message = message_of(device, csr)
    return mutate(message, random, others) if level == "message" else message


def _subject(csr: bytes) -> bytes:
    return der.read_one(csr).children()[0].children()[1].raw


def _values(device: Device, message_type: str) -> dict[str, bytes]:
    return {
        oids.CONTENT_TYPE: der.oid(oids.ID_DATA),
        oids.MESSAGE_TYPE: der.printable_string(message_type),
        oids.TRANSACTION_ID: device.transaction.encoded,
        oids.SENDER_NONCE: der.octet_string(REQUEST_NONCE),
    }


def _resigned(device: Device, csr: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    """Change what is signed of a request, and sign it: possession is proven, whatever it says now."""
    info, algorithm, _ = der.read_one(csr).children()
    changed = mutate(info.raw, random, others)
    return der.sequence(changed, algorithm.raw, der.bit_string(device.sign(changed)))


class _Attributes(Request):
    """A request whose signed attributes are any octets."""

    attributes: bytes

    def _attributes(self, content: bytes) -> list[bytes]:
        del content
        return [self.attributes]


def _with_attributes(device: Device, csr: bytes, random: Random) -> bytes:
    good = _Attributes(
        content=envelope(device, csr), values=_values(device, random.choice(("17", "19", "20", "21", "22")))
    )
    whole = Request._attributes(good, good.envelope())  # noqa: SLF001 - what a right one would have
    good.attributes = mutate(b"".join(whole), random)
    good.signer = type(good.signer)(device.key, device.certificate or device.self_signed())
    return good.build()
