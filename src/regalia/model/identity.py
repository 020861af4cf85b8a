"""How rows are named."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from datetime import datetime

__all__ = [
    "new_id",
]


def new_id(now: datetime, octets: bytes) -> UUID:
    """Make a version 7 UUID (RFC 9562 §5.7) from a time and 10 random octets."""
    millis = int(now.timestamp() * 1000)
    raw = bytearray(millis.to_bytes(6, "big") + octets[:10])
    raw[6] = 0x70 | (raw[6] & 0x0F)
    raw[8] = 0x80 | (raw[8] & 0x3F)
    return UUID(bytes=bytes(raw))
