"""Messages that are small to send and were meant to be slow to read."""

from __future__ import annotations

import gc
from time import thread_time
from typing import TYPE_CHECKING

import pytest

from attacks.forgery import certificate, csr_of, message_of, raw_extension, rdn, request_of, requested
from attacks.harness import R6, Target, attack
from forge import envelope
from regalia.ra.scep import CertRep, Unreadable
from regalia.wire import der, oids
from regalia.wire.certificate import read_certificate
from regalia.wire.names import encode_name
from regalia.wire.public_key import load_public_key
from scep_parts import Identity, algorithm, attribute, nest
from world import Device, names, rsa_key

if TYPE_CHECKING:
    from collections.abc import Callable

BUDGET = 0.5
"""Seconds of CPU for one message of 64 KiB, generously: the slowest takes a few hundredths on any machine."""

OCTETS = 60_000
MARKS = "a" + "\u0301" * 13_000 + "\u0327" * 13_000
"""Combining marks in the order that Unicode normalisation has the most to do with: 52 000 octets."""


def raw(device: Device) -> tuple[bytes, ...]:
    """The five parts of a good message's SignedData."""
    message = request_of(device, csr_of(device)).build()
    return tuple(part.raw for part in der.read_one(message).children()[1].children()[0].children())


def outer(*parts: bytes) -> bytes:
    """A SignedData of any parts, in its ContentInfo."""
    return der.sequence(der.oid(oids.ID_SIGNED_DATA), der.context(0, der.sequence(*parts)))


def indefinite(depth: int, inside: bytes = b"") -> bytes:
    """Indefinite lengths within each other."""
    return b"\x30\x80" * depth + inside + b"\x00\x00" * depth


def with_signers(device: Device, count: int) -> bytes:
    """A message with so many SignerInfos that are as short as they can be."""
    empty = der.sequence(
        der.integer(1),
        der.context(0, b"k", constructed=False),
        algorithm(oids.SHA256, b""),
        algorithm(oids.RSA_ENCRYPTION, b""),
        der.octet_string(b""),
    )
    version, digests, content, bag, _ = raw(device)
    return outer(version, digests, content, bag, der.tlv(der.SET, *[empty] * count))


def with_issuer_of_marks(device: Device) -> bytes:
    """A sid whose issuer is one long run of combining marks, and ten certificates with the same serial."""
    name = encode_name(cn="SCEP signer")
    bag = [
        certificate(rsa_key(1), b"", issuer=encode_name(cn=f"x{number}"), subject=name, serial=1, device=device)
        for number in range(10)
    ]
    issuer = der.sequence(rdn((oids.AT_COMMON_NAME, der.utf8_string(MARKS))))
    return message_of(
        device,
        csr_of(device),
        sid=der.sequence(issuer, der.integer(1)),
        signer=Identity(device.key, device.self_signed()),
        certificates=bag,
    )


def with_recipients_of_marks(device: Device) -> bytes:
    """Four recipients with the RA's serial and an issuer of combining marks each."""
    door = device.world.store.door("default")
    assert door is not None
    serial = der.read_one(door.ra.certificate_der).children()[0].children()[1].raw
    issuer = der.sequence(rdn((oids.AT_COMMON_NAME, der.utf8_string("a" + "\u0301" * 3_000 + "\u0327" * 3_000))))
    kind, inner = der.read_one(envelope(device, csr_of(device))).children()
    version, infos, sealed = inner.children()[0].children()
    info = infos.children()[0].children()
    recipient = der.sequence(info[0].raw, der.sequence(issuer, serial), info[2].raw, info[3].raw)
    content = der.sequence(
        kind.raw, der.context(0, der.sequence(version.raw, der.tlv(der.SET, *[recipient] * 4), sealed.raw))
    )
    return message_of(device, b"", content=content)


def with_key(device: Device, modulus_bits: int, exponent_bits: int) -> bytes:
    """A signer whose RSA key has numbers of so many bits."""
    numbers = der.sequence(der.integer((1 << (modulus_bits - 1)) | 1), der.integer((1 << (exponent_bits - 1)) | 1))
    key, name = der.sequence(algorithm(oids.RSA_ENCRYPTION), der.bit_string(numbers)), encode_name(cn="SCEP signer")
    signer = certificate(device.key, key, issuer=name, subject=name, serial=1, device=device)
    good = request_of(device, csr_of(device), signature=b"\x01" * (modulus_bits // 8))
    good.signer, good.certificates = Identity(device.key, device.self_signed()), [signer]
    return good.build()


OUTSIDE: dict[str, Callable[[Device], bytes]] = {
    "SEQUENCEs in each other": lambda _: nest(10_000),
    "indefinite lengths in each other": lambda _: indefinite(OCTETS // 4),
    "indefinite lengths, unended": lambda _: b"\x30\x80" * (OCTETS // 2),
    "ends of contents": lambda _: b"\x30\x80" + b"\x00\x00" * (OCTETS // 2),
    "constructed OCTET STRINGs": lambda _: b"\x24\x80" * (OCTETS // 4) + b"\x00\x00" * (OCTETS // 4),
    "thirty deep, then wide": lambda _: indefinite(30, b"\x05\x00" * 20_000),
    "NULLs": lambda _: der.sequence(b"\x05\x00" * (OCTETS // 2)),
    "empty SETs": lambda _: der.sequence(b"\x31\x00" * (OCTETS // 2)),
    "an OBJECT IDENTIFIER of 60 000 octets": lambda _: der.sequence(der.tlv(der.OID, b"\x81" * OCTETS)),
    "an INTEGER of 60 000 octets": lambda _: der.sequence(der.tlv(der.INTEGER, b"\x7f" * OCTETS)),
    "OBJECT IDENTIFIERs of 64 octets": lambda _: der.sequence(der.tlv(der.OID, b"\x81" * 63 + b"\x01") * 900),
    "a length of four gigabytes": lambda _: b"\x30\x84\xff\xff\xff\xff" + b"\x30" * 1000,
    "a length of 126 octets": lambda _: b"\x30\xfe" + b"\xff" * 126 + b"\x30" * 1000,
    "a length in the content": lambda _: der.sequence(b"\x04\x84\x7f\xff\xff\xff" + b"a" * 1000),
    "high tag numbers": lambda _: der.sequence(b"\x3f" + b"\xff" * OCTETS),
    "as many SignerInfos as octets": lambda device: with_signers(device, 1_200),
    "as many SignerInfos as elements": lambda device: with_signers(device, 300),
    "a sid of combining marks": with_issuer_of_marks,
    "recipients of combining marks": with_recipients_of_marks,
    "a signer of 8192 bits": lambda device: with_key(device, 8192, 256),
    "a signer of 16384 bits": lambda device: with_key(device, 16_384, 16_384),
    "attributes": lambda device: message_of(
        device, csr_of(device), extra_attributes=[attribute(f"1.2.3.{n}", der.null()) for n in range(600)]
    ),
    "attribute values": lambda device: message_of(
        device, csr_of(device), extra_attributes=[attribute("1.2.3", *[der.null()] * 3500)]
    ),
    "a bag of broken certificates": lambda device: message_of(
        device, csr_of(device), certificates=[der.sequence(der.octet_string(b"%d" % n * 5000)) for n in range(10)]
    ),
    "a message of messages": lambda device: message_of(
        device, b"", content=message_of(device, b"", content=message_of(device, csr_of(device)))
    ),
}

INSIDE: dict[str, Callable[[Device], bytes]] = {
    "SEQUENCEs in each other": lambda _: nest(5_000),
    "NULLs": lambda _: der.sequence(b"\x05\x00" * 20_000),
    "attributes": lambda device: csr_of(device, *(attribute(f"1.2.3.{n}", der.null()) for n in range(700))),
    "extensions": lambda device: csr_of(device, requested(*(raw_extension(f"1.2.3.{n}", b"") for n in range(900)))),
    "alternative names": lambda device: csr_of(
        device,
        requested(
            raw_extension(
                oids.CE_SUBJECT_ALT_NAME,
                der.sequence(*(der.context(2, b"h%d.example.com" % n, constructed=False) for n in range(1_800))),
            )
        ),
    ),
    "purposes": lambda device: csr_of(
        device,
        requested(
            raw_extension(
                oids.CE_EXT_KEY_USAGE, der.sequence(*(der.tlv(der.OID, b"\x81" * 60 + b"\x01") for _ in range(500)))
            )
        ),
    ),
    "organisations": lambda device: csr_of(
        device,
        subject=der.sequence(*(rdn((oids.AT_ORGANIZATION_NAME, der.utf8_string("o" * 20))) for _ in range(800))),
    ),
    "a common name of combining marks": lambda device: csr_of(
        device, subject=der.sequence(rdn((oids.AT_COMMON_NAME, der.utf8_string(MARKS))))
    ),
    "a dropped name of controls": lambda device: csr_of(
        device, subject=der.sequence(rdn((oids.AT_ORGANIZATION_NAME, der.utf8_string("\x01" * 40_000))))
    ),
    "a host of a thousand labels": lambda device: csr_of(
        device,
        requested(
            raw_extension(
                oids.CE_SUBJECT_ALT_NAME,
                der.sequence(der.context(2, b"a." * 20_000 + b"example", constructed=False)),
            )
        ),
    ),
    "a mailbox of dots": lambda device: csr_of(
        device,
        requested(
            raw_extension(
                oids.CE_SUBJECT_ALT_NAME, der.sequence(der.context(1, b"a." * 20_000 + b"@x", constructed=False))
            )
        ),
    ),
    "a URI of escapes": lambda device: csr_of(
        device,
        requested(
            raw_extension(
                oids.CE_SUBJECT_ALT_NAME,
                der.sequence(der.context(6, b"a:" + b"%41" * 13_000 + b"%", constructed=False)),
            )
        ),
    ),
    "a challenge of 40 000 letters": lambda device: csr_of(device, challenge="a" * 40_000),
    "a modulus of 16384 bits": lambda device: csr_of(device, public_key=_big_key(16_384, 65)),
    "an exponent of 8192 bits": lambda device: csr_of(device, public_key=_big_key(8_192, 8_190)),
    "a key of 8192 bits with the largest exponent": lambda device: csr_of(device, public_key=_big_key(8_192, 256)),
}


def _big_key(modulus_bits: int, exponent_bits: int) -> bytes:
    numbers = der.sequence(
        der.integer((1 << (modulus_bits - 1)) + 0x10001 * 4 + 1), der.integer((1 << (exponent_bits - 1)) | 1)
    )
    return der.sequence(algorithm(oids.RSA_ENCRYPTION), der.bit_string(numbers))


def _measured(world: Target, message: bytes) -> float:
    """Send it and return the seconds of CPU; where it is refused, it is refused like everything else."""
    assert len(message) <= 65_536, len(message)
    # The collector walks over all that a thousand other tests left, whichever message it falls upon.
    gc.disable()
    try:
        begun = thread_time()
        attempt = attack(world, message)
        took = thread_time() - begun
    finally:
        gc.enable()
    if isinstance(attempt.answer, CertRep) and attempt.answer.issued:
        # What is only dropped from a request (R5) does no harm but by its size.
        assert len(repr(attempt.rows)) < 200_000
        return took
    assert attempt.changed == ()
    (event,) = attempt.events
    assert event.reason_id is not None
    if isinstance(attempt.answer, CertRep):
        assert attempt.told[1] in R6.values()
    else:
        assert isinstance(attempt.answer, Unreadable)
    return took


@pytest.mark.parametrize("make", OUTSIDE.values(), ids=OUTSIDE.keys())
def test_no_message_is_slow_to_refuse(world: Target, make: Callable[[Device], bytes]) -> None:
    """IN-3, RES-4: depth, breadth, lengths that lie, long numbers and names: refused in bounded CPU, and told once."""
    message = make(Device(world))
    assert _measured(world, message) < BUDGET


@pytest.mark.parametrize("make", INSIDE.values(), ids=INSIDE.keys())
def test_no_request_inside_the_envelope_is_slow_to_judge(world: Target, make: Callable[[Device], bytes]) -> None:
    """IN-3, KEY-1, RES-4: the same in the envelope, where a general parser or a regular expression could be slow."""
    device = Device(world)
    device.enrol(names("laptop-1"), world.mint("laptop-1"))
    device = device.fresh("renewal")
    assert _measured(world, message_of(device, b"", content=envelope(device, make(device)))) < BUDGET


def test_a_flood_of_bombs_keeps_its_memory_bounded(world: Target) -> None:
    """IN-3, RES-1: what is remembered of strangers' certificates and keys is a number of them, not all of them."""
    device = Device(world)
    for number in range(80):
        world.pass_minutes(1)
        device.transaction = type(device.transaction)(b"%d" % number)
        bag = [der.sequence(der.octet_string(b"%d" % number + b"x" * 50_000)), device.self_signed()]
        attack(world, message_of(device, csr_of(device), certificates=bag))
    for cached in (read_certificate, load_public_key):
        info = cached.cache_info()
        assert info.maxsize is not None
        assert info.currsize <= info.maxsize <= 256
