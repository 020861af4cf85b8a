"""What every room may need: time and randomness."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import datetime

__all__ = [
    "Clock",
    "Entropy",
]


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """Now, aware UTC, cut to milliseconds."""


class Entropy(Protocol):
    """The one source of randomness."""

    def octets(self, count: int) -> bytes:
        """`count` octets fit for keys, serials, nonces and challenges."""
