"""Writing DER, and the BER that some clients send: tags, lengths, object identifiers."""

from __future__ import annotations

from typing import Final

__all__ = [
    "ANY_SET",
    "CONTENT",
    "INTEGER",
    "NULL",
    "OCTETS",
    "PRINTABLE",
    "SEQUENCE",
    "SET",
    "UTC_TIME",
    "element",
    "integer",
    "oid",
    "open_ended",
    "set_of",
]

INTEGER: Final = 0x02
OCTETS: Final = 0x04
UTC_TIME: Final = 0x17
PRINTABLE: Final = 0x13
SEQUENCE: Final = 0x30
SET: Final = 0x31
ANY_SET: Final = 0xA0
"""[0], constructed."""
CONTENT: Final = 0x80
"""[0], primitive."""
NULL: Final = b"\x05\x00"


def element(tag: int, *parts: bytes) -> bytes:
    """Write a tag, the length and the parts."""
    content = b"".join(parts)
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content


def open_ended(tag: int, *parts: bytes) -> bytes:
    """Write it with indefinite length, which is BER and no DER."""
    return bytes((tag, 0x80)) + b"".join(parts) + b"\x00\x00"


def set_of(*parts: bytes, tag: int = SET) -> bytes:
    """Write a SET OF in the order that DER wants."""
    return element(tag, *sorted(parts))


def integer(value: int) -> bytes:
    """Write a number that is not negative."""
    return element(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def oid(dotted: str) -> bytes:
    """Write an object identifier."""
    first, second, *rest = (int(arc) for arc in dotted.split("."))
    return element(0x06, *(_arc(arc) for arc in (first * 40 + second, *rest)))


def _arc(value: int) -> bytes:
    octets = [value & 0x7F]
    while value := value >> 7:
        octets.append(0x80 | value & 0x7F)
    return bytes(reversed(octets))
