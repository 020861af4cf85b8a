"""The query string of a SCEP request (RFC 8894 §4.1), read from its raw octets as R7 allows, and no further.

Form decoding would turn the `+` of base64 into a space, so nothing here is taken from a decoded dictionary.
"""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import unquote_to_bytes

from regalia import reasons
from regalia.errors import PeerError

__all__ = ["OPERATIONS", "PKI_OPERATION", "decode_message", "operation", "parameters"]

PKI_OPERATION = "PKIOperation"
OPERATIONS = ("GetCACaps", "GetCACert", "GetNextCACert", PKI_OPERATION)

_FOLDS = re.compile(rb"[\r\n\t]")
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")


def parameters(query: bytes, name: bytes) -> list[bytes]:
    """Return the raw values of one parameter; nothing is decoded but the parameters' names."""
    pairs = (part.partition(b"=") for part in query.split(b"&"))
    return [value for key, _, value in pairs if unquote_to_bytes(key) == name]


def operation(query: bytes) -> str:
    """Return the one `operation`. Raises `PeerError` SCEP-004 where it is missing, doubled or unknown."""
    found = parameters(query, b"operation")
    if len(found) != 1:
        raise PeerError(reasons.OPERATION_REFUSED, f"{len(found)} operation parameters")
    wanted = unquote_to_bytes(found[0])
    for known in OPERATIONS:
        if wanted == known.encode():
            return known
    raise PeerError(reasons.OPERATION_REFUSED, f"operation {wanted[:40].decode('ascii', 'replace')!a}")


def decode_message(query: bytes, limit: int) -> bytes:
    """Decode the `message` of a GET PKIOperation, at most `limit` octets.

    Percent escapes (%2B %2F %3D), spaces that some layer made of `+`, line breaks (strongSwan, sscep and Cisco IOS send
    %0A), missing padding, and the letters of base64url where there are none of base64. Raises `PeerError` SCEP-005
    where it is longer, SCEP-006 where it is not base64 or not there once.
    """
    found = parameters(query, b"message")
    if len(found) != 1:
        raise PeerError(reasons.BASE64_REFUSED, f"{len(found)} message parameters")
    text = _FOLDS.sub(b"", unquote_to_bytes(found[0]).replace(b" ", b"+"))
    unpadded = text.rstrip(b"=")
    octets = len(unpadded) * 3 // 4
    if octets > limit:
        raise PeerError(reasons.MESSAGE_TOO_LARGE, f"{octets} octets in a GET, {limit} allowed")
    if not unpadded or len(text) - len(unpadded) > 2:
        raise PeerError(reasons.BASE64_REFUSED, f"{len(text)} characters")
    if b"+" not in unpadded and b"/" not in unpadded:
        unpadded = unpadded.translate(_TO_STANDARD)
    try:
        return base64.b64decode(unpadded + b"=" * (-len(unpadded) % 4), validate=True)
    except binascii.Error as error:
        raise PeerError(reasons.BASE64_REFUSED, f"{len(text)} characters") from error
