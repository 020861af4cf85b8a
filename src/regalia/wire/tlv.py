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
_SMALL = 32
"""Up to this many octets nothing is too large, whatever limits are set."""


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
    return not _is_usual(data, limits) and _survey(data, limits)


_PLAIN, _NESTED, _SMALL_ONLY, _UNUSUAL = range(4)


def _kind(tag: int) -> int:
    if tag & _HIGH_TAG == _HIGH_TAG or tag in (0, _CONSTRUCTED_OCTET_STRING):
        return _UNUSUAL
    if tag & _CONSTRUCTED:
        return _NESTED
    return _SMALL_ONLY if tag in (_INTEGER, _OID) else _PLAIN


_KINDS = bytes(map(_kind, range(256)))


def _is_usual(data: bytes, limits: Limits) -> bool:  # noqa: C901, PLR0912 - one flat loop, as below
    """Whether all of it is DER within the limits, in half of the time: what nearly every message is.

    False says nothing yet: `_survey` decides whatever is not usual, and says why.
    """
    size = end = len(data)
    position, kinds, deepest = 0, _KINDS, limits.depth
    parents: list[int] = []
    if size > limits.octets:
        return False
    try:
        for _ in range(limits.elements):
            kind, length = kinds[data[position]], data[position + 1]
            position += 2
            if length >= _INDEFINITE:
                if length == 0x82:
                    length = data[position] << 8 | data[position + 1]
                    position += 2
                    if length < 0x100:
                        return False
                elif length == 0x81 and data[position] >= _INDEFINITE:
                    length = data[position]
                    position += 1
                else:
                    return False
            if kind == _NESTED:
                if len(parents) == deepest or position + length > end:
                    return False
                parents.append(end)
                end = position + length
            else:
                position += length
                if position > end or kind == _UNUSUAL or (kind == _SMALL_ONLY and length > _SMALL):
                    return False
            while position == end:
                if not parents:
                    return position == size
                end = parents.pop()
            if not parents:
                return False
    except IndexError:
        pass  # cut
    return False


def _survey(data: bytes, limits: Limits) -> bool:  # noqa: C901, PLR0912 - one flat loop over every octet that peers send is fastest
    size = len(data)
    if not 2 <= size <= limits.octets:
        raise DerError(f"{size} octets where 2 to {limits.octets} are allowed")
    position, end, open_ended, needs_work = 0, size, False, False
    parents: list[tuple[int, bool]] = []
    for _ in range(limits.elements):
        start = position + 2
        if start > end:
            raise DerError("element is cut")
        tag, length = data[position], data[position + 1]
        if length >= _INDEFINITE:
            start, length = _long_length(data, start, length, end)
        if tag & _HIGH_TAG == _HIGH_TAG:
            raise DerError("high tag numbers are not used here")
        position = start + length
        if position > end:
            raise DerError("length reaches beyond its parent")
        if tag & _CONSTRUCTED:
            parents.append((end, open_ended))
            if length < 0:
                position, open_ended, needs_work = start, True, True
            else:
                needs_work = needs_work or tag == _CONSTRUCTED_OCTET_STRING
                position, end, open_ended = start, position, False
        elif length < 0:
            raise DerError("a primitive element has an indefinite length")
        elif tag == 0:
            if length or not open_ended:
                raise DerError("end-of-contents where no indefinite length is open")
            end, open_ended = parents.pop()
        elif length > _SMALL:
            _check_size(tag, length, limits)
        while position == end and parents and not open_ended:
            end, open_ended = parents.pop()
        if not parents:
            if position != size:
                raise DerError("octets after the end")
            return needs_work
        if len(parents) > limits.depth:
            raise DerError(f"nested deeper than {limits.depth}")
    raise DerError(f"more than {limits.elements} elements")


def _long_length(data: bytes, start: int, first: int, end: int) -> tuple[int, int]:
    """Read a length of several octets; return where the content starts and its length, -1 where indefinite."""
    if first == _INDEFINITE:
        return start, -1
    at, start = start, start + (first & 0x7F)
    if start - at > 4 or start > end:
        raise DerError("length is overlong or cut")
    length = int.from_bytes(data[at:start], "big")
    if length < _INDEFINITE or not data[at]:
        raise DerError("length is longer than it needs to be")
    return start, length


def _check_size(tag: int, length: int, limits: Limits) -> None:
    if tag == _INTEGER and length > limits.integer_octets:
        raise DerError(f"INTEGER has more than {limits.integer_octets} octets")
    if tag == _OID and length > limits.oid_octets:
        raise DerError(f"OBJECT IDENTIFIER has more than {limits.oid_octets} octets")
