"""PEM (RFC 7468): what administrators carry between machines."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

from regalia.wire.der import DerError

__all__ = ["CERTIFICATE", "CRL", "REQUEST", "read_pem", "write_pem"]

CERTIFICATE: Final = "CERTIFICATE"
REQUEST: Final = "CERTIFICATE REQUEST"
CRL: Final = "X509 CRL"

_BLOCK: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----\s(.*?)-----END \1-----", re.DOTALL)
_OTHER_NAMES: Final = {"NEW CERTIFICATE REQUEST": REQUEST, "X509 CERTIFICATE": CERTIFICATE}
"""What Microsoft's tools and OpenSSL before 1.0 wrote for the same (RFC 7468 §5.3, §7)."""


def read_pem(octets: bytes, label: str) -> tuple[bytes, ...]:
    """Read the DER of every block with this label; octets that are no PEM at all count as one block in DER.

    Raises `DerError` where there is none, or one is not base64.
    """
    if octets[:1] == b"\x30":
        return (octets,)
    found = []
    for block in _BLOCK.finditer(octets):
        name = block[1].decode("ascii")
        if _OTHER_NAMES.get(name, name) == label:
            found.append(_decoded(block[2], label))
    if not found:
        raise DerError(f"there is no {label} in it, neither as PEM nor as DER")
    return tuple(found)


def _decoded(text: bytes, label: str) -> bytes:
    try:
        return base64.b64decode(b"".join(text.split()), validate=True)
    except binascii.Error:
        raise DerError(f"a {label} in it is not base64") from None


def write_pem(der: bytes, label: str) -> bytes:
    """Write one block, 64 characters a line."""
    text = base64.b64encode(der)
    lines = b"".join(text[start : start + 64] + b"\n" for start in range(0, len(text), 64))
    return b"-----BEGIN %b-----\n%b-----END %b-----\n" % (label.encode(), lines, label.encode())
