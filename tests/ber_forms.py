"""DER turned into the BER that real SCEP clients send (Apple, Go): for tests of what R7 tolerates."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from regalia.wire import der

if TYPE_CHECKING:
    from random import Random

__all__ = ["chunked", "constructed_content", "indefinite", "loosen"]


def indefinite(element: bytes) -> bytes:
    """The same element with an indefinite length."""
    read = der.read_one(element)
    return bytes((read.tag, 0x80)) + read.content + b"\x00\x00"


def chunked(content: bytes, size: int = 100) -> bytes:
    """OCTET STRINGs side by side that join to `content`."""
    return b"".join(der.octet_string(content[at : at + size]) for at in range(0, len(content), size))


def loosen(message: bytes, chance: object) -> bytes:
    """Rewrite the layers of a SignedData at random, leaving certificates, signers and identifiers alone."""
    random = cast("Random", chance)
    parts = der.read_one(message).children()
    signed = der.read_one(parts[1].content).children()
    content_type, content = signed[2].children()
    octets = der.read_one(content.content).content
    string = _either(random, der.octet_string(octets), _string(random, octets))
    encapsulated = _maybe(random, der.sequence(content_type.raw, _maybe(random, der.tlv(content.tag, string))))
    rest = [_maybe(random, part.raw) if part.tag & 0x20 else part.raw for part in signed[3:]]
    inner = _maybe(random, der.sequence(signed[0].raw, signed[1].raw, encapsulated, *rest))
    return _maybe(random, der.sequence(parts[0].raw, _maybe(random, der.tlv(parts[1].tag, inner))))


def _string(random: Random, octets: bytes) -> bytes:
    pieces = chunked(octets, random.randint(1, 1000) + len(octets) // 100)
    return _maybe(random, der.tlv(0x24, _either(random, pieces, der.tlv(0x24, pieces))))


def _maybe(random: Random, element: bytes) -> bytes:
    return _either(random, element, indefinite(element))


def _either(random: Random, one: bytes, other: bytes) -> bytes:
    return random.choice((one, other))


def constructed_content(enveloped: bytes, *, open_ended: bool) -> bytes:
    """A ContentInfo with EnvelopedData whose encryptedContent is `[0]` constructed, as Apple and Go send it."""
    parts = der.read_one(enveloped).children()
    version, recipients, content = der.read_one(parts[1].content).children()
    kind, cipher, ciphertext = content.children()
    pieces = der.context(0, chunked(ciphertext.content))
    pieces = indefinite(pieces) if open_ended else pieces
    inner = der.sequence(version.raw, recipients.raw, der.sequence(kind.raw, cipher.raw, pieces))
    whole = der.sequence(parts[0].raw, der.context(0, inner))
    return whole if not open_ended else indefinite(whole)
