"""DER (X.690): a writer of a few functions, and a strict reader.

The writer takes finished octets and returns finished octets: `sequence(integer(1), oid("2.5.4.3"))`.
The reader walks a TLV at a time without recursion and refuses what is not DER: indefinite or overlong lengths,
lengths beyond the parent, high tag numbers, trailing octets. It raises `DerError`, which each caller turns into the
Reason of its place (IN-1).
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = [
    "BIT_STRING",
    "BOOLEAN",
    "IA5_STRING",
    "INTEGER",
    "NULL",
    "OCTET_STRING",
    "OID",
    "PRINTABLE_STRING",
    "SEQUENCE",
    "SET",
    "UTF8_STRING",
    "DerError",
    "Tlv",
    "bit_string",
    "boolean",
    "context",
    "integer",
    "length_octets",
    "null",
    "octet_string",
    "oid",
    "oid_text",
    "printable_string",
    "read_all",
    "read_at",
    "read_one",
    "sequence",
    "set_of",
    "time",
    "tlv",
    "utf8_string",
]

BOOLEAN = 0x01
INTEGER = 0x02
BIT_STRING = 0x03
OCTET_STRING = 0x04
NULL = 0x05
OID = 0x06
UTF8_STRING = 0x0C
PRINTABLE_STRING = 0x13
IA5_STRING = 0x16
UTC_TIME = 0x17
GENERALIZED_TIME = 0x18
SEQUENCE = 0x30
SET = 0x31

_LONG_LENGTH = 0x80
_HIGH_TAG = 0x1F
_MAX_LENGTH_OCTETS = 4
_FIRST_YEAR_OF_GENERALIZED_TIME = 2050


class DerError(ValueError):
    """Octets that are not the DER that was expected."""


# --- writing --------------------------------------------------------------------------------------------------------


def length_octets(length: int) -> bytes:
    """Encode a definite length (X.690 §10.1)."""
    if length < _LONG_LENGTH:
        return bytes((length,))
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((_LONG_LENGTH | len(octets),)) + octets


def tlv(tag: int, *parts: bytes) -> bytes:
    """Encode one TLV whose content is `parts` joined."""
    content = b"".join(parts)
    length = len(content)
    if length < _LONG_LENGTH:
        return bytes((tag, length)) + content
    if 0x100 <= length < 0x10000:
        return bytes((tag, 0x82, length >> 8, length & 0xFF)) + content
    return bytes((tag,)) + length_octets(length) + content


def sequence(*parts: bytes) -> bytes:
    """Encode a SEQUENCE of finished elements."""
    return tlv(SEQUENCE, *parts)


def set_of(parts: Iterable[bytes]) -> bytes:
    """Encode a SET OF, sorted as DER asks (X.690 §11.6)."""
    return tlv(SET, *sorted(parts))


def context(number: int, *parts: bytes, constructed: bool = True) -> bytes:
    """Encode a context-specific TLV, `[number]`."""
    return tlv((0xA0 if constructed else 0x80) | number, *parts)


def integer(value: int) -> bytes:
    """Encode an INTEGER, negative ones included."""
    bits = (value if value >= 0 else ~value).bit_length()
    return tlv(INTEGER, value.to_bytes(bits // 8 + 1, "big", signed=True))


def boolean(value: bool) -> bytes:  # noqa: FBT001 - it encodes exactly a boolean
    """Encode a BOOLEAN."""
    return tlv(BOOLEAN, b"\xff" if value else b"\x00")


def null() -> bytes:
    """Encode NULL."""
    return b"\x05\x00"


@lru_cache(maxsize=512)
def oid(dotted: str) -> bytes:
    """Encode an OBJECT IDENTIFIER given in dotted form."""
    first, second, *rest = (int(arc) for arc in dotted.split("."))
    return tlv(OID, b"".join(_base128(arc) for arc in (first * 40 + second, *rest)))


def _base128(arc: int) -> bytes:
    septets = [arc & 0x7F]
    while arc := arc >> 7:
        septets.append(0x80 | (arc & 0x7F))
    return bytes(reversed(septets))


def octet_string(content: bytes) -> bytes:
    """Encode an OCTET STRING."""
    return tlv(OCTET_STRING, content)


def bit_string(content: bytes, unused: int = 0) -> bytes:
    """Encode a BIT STRING whose last octet has `unused` unused bits."""
    return tlv(BIT_STRING, bytes((unused,)), content)


def utf8_string(text: str) -> bytes:
    """Encode a UTF8String."""
    return tlv(UTF8_STRING, text.encode())


def printable_string(text: str) -> bytes:
    """Encode a PrintableString; the caller knows that the text is one."""
    return tlv(PRINTABLE_STRING, text.encode("ascii"))


def time(moment: datetime) -> bytes:
    """Encode a Time (RFC 5280 §4.1.2.5): UTCTime through 2049, GeneralizedTime after, cut to seconds."""
    utc = moment.astimezone(UTC)
    # 2026-11-22T13:49:43+00:00, four times as fast as strftime, which asks the locale.
    text = utc.isoformat(timespec="seconds").encode().replace(b"-", b"").replace(b":", b"")
    if utc.year < _FIRST_YEAR_OF_GENERALIZED_TIME:
        return tlv(UTC_TIME, text[2:8] + text[9:15] + b"Z")
    return tlv(GENERALIZED_TIME, text[:8] + text[9:15] + b"Z")


# --- reading --------------------------------------------------------------------------------------------------------


class Tlv(NamedTuple):
    """One element: its tag octet, its content, and the whole of it as it stood.

    A tuple rather than a dataclass: a SCEP request makes some 150 of them, and a tuple is made in a third of the time.
    """

    tag: int
    content: bytes
    raw: bytes

    def children(self) -> list[Tlv]:
        """The elements inside."""
        return read_all(self.content)

    def expect(self, tag: int) -> Tlv:
        """Return self, or raise DerError where the tag is another."""
        if self.tag != tag:
            msg = f"tag 0x{self.tag:02x} where 0x{tag:02x} was expected"
            raise DerError(msg)
        return self

    def as_integer(self) -> int:
        """Read an INTEGER, minimally encoded (X.690 §8.3.2)."""
        octets = self.expect(INTEGER).content
        if not octets or (len(octets) > 1 and octets[0] in (0x00, 0xFF) and (octets[0] ^ octets[1]) < 0x80):
            msg = "INTEGER is empty or not minimal"
            raise DerError(msg)
        return int.from_bytes(octets, "big", signed=True)

    def as_oid(self) -> str:
        """Read an OBJECT IDENTIFIER into dotted form."""
        return oid_text(self.expect(OID).content)


@lru_cache(maxsize=512)
def oid_text(content: bytes) -> str:
    """Read the content octets of an OBJECT IDENTIFIER of at most 64 octets (IN-3)."""
    if not content or len(content) > 64 or content[-1] & 0x80:
        msg = "OBJECT IDENTIFIER is empty, too long or cut"
        raise DerError(msg)
    arcs: list[int] = []
    arc = 0
    fresh = True
    for octet in content:
        if fresh and octet == 0x80:
            msg = "OBJECT IDENTIFIER arc is not minimal"
            raise DerError(msg)
        arc = (arc << 7) | (octet & 0x7F)
        fresh = not octet & 0x80
        if fresh:
            arcs.append(arc)
            arc = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(str(part) for part in (first, arcs[0] - 40 * first, *arcs[1:]))


def read_at(data: bytes, start: int, limit: int | None = None) -> tuple[Tlv, int]:
    """Read the element at `start`, which must end by `limit`; return it and the position after it."""
    limit = len(data) if limit is None else limit
    body = start + 2
    if body > limit:
        msg = "element is cut"
        raise DerError(msg)
    tag, length = data[start], data[start + 1]
    if tag & _HIGH_TAG == _HIGH_TAG:
        msg = "high tag numbers are not used here"
        raise DerError(msg)
    if length == 0x82 and body + 2 <= limit and data[body]:
        length = data[body] << 8 | data[body + 1]
        body += 2
    elif length >= _LONG_LENGTH:
        count = length & 0x7F
        octets = data[body : body + count]
        length = int.from_bytes(octets, "big")
        if not 1 <= count <= _MAX_LENGTH_OCTETS or len(octets) < count or not octets[0] or length < _LONG_LENGTH:
            msg = "length is indefinite, overlong or cut"
            raise DerError(msg)
        body += count
    end = body + length
    if end > limit:
        msg = "length reaches beyond its parent"
        raise DerError(msg)
    return _tuple(Tlv, (tag, data[body:end], data[start:end])), end


_tuple: Callable[[type[Tlv], tuple[int, bytes, bytes]], Tlv] = tuple.__new__
"""Makes a Tlv without the Python function that NamedTuple puts before it: some hundred a request."""


def read_all(data: bytes) -> list[Tlv]:
    """Read the elements that stand side by side in `data`."""
    elements: list[Tlv] = []
    position, end = 0, len(data)
    while position < end:
        body = position + 2
        if body <= end and (stop := body + data[position + 1]) < body + _LONG_LENGTH and stop <= end:
            # A short length, which most elements have; the tag is checked as everywhere.
            tag = data[position]
            if tag & _HIGH_TAG != _HIGH_TAG:
                elements.append(_tuple(Tlv, (tag, data[body:stop], data[position:stop])))
                position = stop
                continue
        element, position = read_at(data, position, end)
        elements.append(element)
    return elements


def read_one(data: bytes, tag: int | None = None) -> Tlv:
    """Read exactly one element, of this tag if given, with nothing after it (IN-5)."""
    element, end = read_at(data, 0)
    if end != len(data):
        msg = "octets after the end"
        raise DerError(msg)
    return element if tag is None else element.expect(tag)
