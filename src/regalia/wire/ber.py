"""BER to DER, only where R7 tolerates BER: the layers of CMS, never what somebody signed.

Apple's and Go's clients send indefinite lengths and constructed OCTET STRINGs in ContentInfo, SignedData and
EnvelopedData. Certificates, names, algorithm identifiers and attributes inside keep their octets: a signature covers
them, so nothing here re-encodes them, and the strict readers that follow refuse BER in them.
"""

from __future__ import annotations

from regalia.wire import der
from regalia.wire.der import DerError

__all__ = ["normalise"]

_CONSTRUCTED_OCTET_STRING = 0x24
_CERTIFICATES_AND_CRLS = (0xA0, 0xA1)
_INDEFINITE = 0x80
_END_OF_CONTENTS = b"\x00\x00"
_MAX_DEPTH = 32

# Depths in a ContentInfo: 0 itself, 1 its [0], 2 SignedData or EnvelopedData, 3 their parts, 4 certificates, signers,
# recipients, content; 5 parts of a signer or recipient.
_PART = 3


def normalise(data: bytes) -> bytes:
    """Rewrite one ContentInfo with definite lengths and primitive OCTET STRINGs; lists keep their order.

    Comes after `tlv.walk`. Raises `DerError`, also for an indefinite length inside a certificate or an attribute.
    """
    encoded, position = _element(data, 0, len(data), depth=0, sealed=False)
    if position != len(data):
        raise DerError("octets after the end")
    return encoded


def _element(data: bytes, position: int, end: int, *, depth: int, sealed: bool) -> tuple[bytes, int]:
    """Rewrite the element at `position`; return it and the position after it."""
    if depth > _MAX_DEPTH or position + 2 > end:
        raise DerError("element is cut or nested too deep")
    tag = data[position]
    if data[position + 1] == _INDEFINITE:
        if sealed or not tag & 0x20:
            raise DerError("an indefinite length where DER is needed")
        content, after = _children(data, position + 2, end, tag=tag, depth=depth, open_ended=True)
        return _finish(tag, content), after
    element, after = der.read_at(data, position, end)
    if sealed or not tag & 0x20:
        return element.raw, after
    content, _ = _children(data, after - len(element.content), after, tag=tag, depth=depth, open_ended=False)
    return _finish(tag, content), after


def _children(
    data: bytes, position: int, end: int, *, tag: int, depth: int, open_ended: bool
) -> tuple[list[bytes], int]:
    children: list[bytes] = []
    while position < end:
        if open_ended and data[position : position + 2] == _END_OF_CONTENTS:
            return children, position + 2
        sealed = _is_sealed(tag, data[position], depth)
        child, position = _element(data, position, end, depth=depth + 1, sealed=sealed)
        children.append(child)
    if open_ended:
        raise DerError("an indefinite length is not ended")
    return children, position


def _is_sealed(parent: int, tag: int, depth: int) -> bool:
    """Whether a child keeps its octets: certificates, and whatever is structured inside a signer or recipient."""
    if depth == _PART and parent in _CERTIFICATES_AND_CRLS:
        return True
    return depth > _PART and parent == der.SEQUENCE and tag != _CONSTRUCTED_OCTET_STRING


def _finish(tag: int, children: list[bytes]) -> bytes:
    if tag != _CONSTRUCTED_OCTET_STRING:
        return der.tlv(tag, *children)
    return der.octet_string(b"".join(der.read_one(child, der.OCTET_STRING).content for child in children))
