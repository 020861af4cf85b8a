"""The bounded walk over a TLV structure that comes before every reader (IN-3).

One pass without recursion and without copies: after it, the readers that follow know that depth, number of elements
and sizes are small, whatever the peer sent.
"""

from __future__ import annotations

from dataclasses import dataclass

from regalia.wire.der import DerError

__all__ = ["SCEP_LIMITS", "Limits", "survey", "walk"]

_CONSTRUCTED = 0x20
_HIGH_TAG = 0x1F
_INTEGER = 0x02
_OID = 0x06
_CONSTRUCTED_OCTET_STRING = 0x24
_INDEFINITE = 0x80


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one structure; lengths in octets."""

    octets: int
    depth: int
    elements: int
    oid_octets: int
    integer_octets: int


SCEP_LIMITS = Limits(octets=65536, depth=32, elements=4096, oid_octets=64, integer_octets=2100)
"""IN-3: a body of 64 KiB; integers of a 16 384-bit key with slack."""


def walk(data: bytes, limits: Limits = SCEP_LIMITS) -> None:
    """Check that `data` is exactly one BER element within `limits`. Raises `DerError`."""
    survey(data, limits)


def survey(data: bytes, limits: Limits = SCEP_LIMITS) -> bool:
    """Walk, and tell whether a length is indefinite or an OCTET STRING constructed: `ber.normalise` is needed.

    Refuses lengths that are longer than they need to be: R7 tolerates those two forms of BER and no third.
    """
    size = len(data)
    if not 2 <= size <= limits.octets:
        raise DerError(f"{size} octets where 2 to {limits.octets} are allowed")
    position, end, open_ended, needs_work = 0, size, False, False
    parents: list[tuple[int, bool]] = []
    for _ in range(limits.elements):
        tag, start, length = _header(data, position, end)
        if length < 0:
            needs_work = True
            _check_indefinite(tag)
            parents.append((end, open_ended))
            position, open_ended = start, True
        elif tag == 0:
            if length or not open_ended:
                raise DerError("end-of-contents where no indefinite length is open")
            position = start
            end, open_ended = parents.pop()
        elif tag & _CONSTRUCTED:
            needs_work = needs_work or tag == _CONSTRUCTED_OCTET_STRING
            parents.append((end, open_ended))
            position, end, open_ended = start, start + length, False
        else:
            _check_size(tag, length, limits)
            position = start + length
        end, open_ended = _leave(parents, position, end, open_ended=open_ended)
        if not parents:
            if position != size:
                raise DerError("octets after the end")
            return needs_work
        if len(parents) > limits.depth:
            raise DerError(f"nested deeper than {limits.depth}")
    raise DerError(f"more than {limits.elements} elements")


def _leave(parents: list[tuple[int, bool]], position: int, end: int, *, open_ended: bool) -> tuple[int, bool]:
    """Leave the elements that end at `position`."""
    while position == end and not open_ended and parents:
        end, open_ended = parents.pop()
    return end, open_ended


def _header(data: bytes, position: int, end: int) -> tuple[int, int, int]:
    """Read tag, start of content and length (-1 where indefinite) of the element at `position`."""
    if position + 2 > end:
        raise DerError("element is cut")
    tag, length = data[position], data[position + 1]
    if tag & _HIGH_TAG == _HIGH_TAG:
        raise DerError("high tag numbers are not used here")
    start = position + 2
    if length >= _INDEFINITE:
        if length == _INDEFINITE:
            return tag, start, -1
        count = length & 0x7F
        start += count
        if count > 4 or start > end:
            raise DerError("length is overlong or cut")
        length = int.from_bytes(data[start - count : start], "big")
        if length < _INDEFINITE or not data[start - count]:
            raise DerError("length is longer than it needs to be")
    if start + length > end:
        raise DerError("length reaches beyond its parent")
    return tag, start, length


def _check_indefinite(tag: int) -> None:
    if not tag & _CONSTRUCTED:
        raise DerError("a primitive element has an indefinite length")


def _check_size(tag: int, length: int, limits: Limits) -> None:
    if tag == _INTEGER and length > limits.integer_octets:
        raise DerError(f"INTEGER has more than {limits.integer_octets} octets")
    if tag == _OID and length > limits.oid_octets:
        raise DerError(f"OBJECT IDENTIFIER has more than {limits.oid_octets} octets")
