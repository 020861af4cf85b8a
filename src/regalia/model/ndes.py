"""The page that hands one-time challenges to MDMs which read Microsoft's NDES page."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["NDES_TTL", "NdesEncoding", "NdesPage"]

NDES_TTL: Final = timedelta(minutes=60)
"""How long a challenge of a page is good (CHA-1); the page says so in words that MDMs know."""


class NdesEncoding(StrEnum):
    """How the page's text becomes octets. Microsoft's is UTF-16, mostly without a byte order mark."""

    UTF_16 = "utf-16le"
    UTF_16_BOM = "utf-16le-bom"
    UTF_8 = "utf-8"


@dataclass(frozen=True, slots=True)
class NdesPage:
    """The page of one endpoint: its credential, and how it looks."""

    endpoint: str
    user: str
    password_hash: str = field(repr=False)
    """As `ra.passwords` writes it."""
    digits: int
    """Hexadecimal digits of a challenge: 4 bits each."""
    encoding: NdesEncoding
    cache: int
    """Challenges that may be open at a time; 0 for any number. Microsoft's page has 5."""
    per_minute: int
    """Challenges that may be handed out in any 60 seconds."""
    networks: tuple[str, ...]
    """From where it may be asked, as CIDR; empty for anywhere."""
    certsrv: bool
    """Whether Microsoft's own paths below /certsrv lead to this endpoint; one at most has them."""
    allow_binding: bool
    """Whether the query of the page's URL may name device and names of the challenge."""
    changed_at: datetime
