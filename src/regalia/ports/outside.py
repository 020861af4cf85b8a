"""What every room may need: time, randomness, and where it is written what people did by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import datetime

    from regalia.model import Actor

__all__ = [
    "Clock",
    "Entropy",
    "Transcript",
]


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """Now, aware UTC, cut to milliseconds."""


class Entropy(Protocol):
    """The one source of randomness."""

    def octets(self, count: int) -> bytes:
        """`count` octets fit for keys, serials, nonces and challenges."""


class Transcript(Protocol):
    """What a home that is only a root's writes of everything that is done with the root's key."""

    def note(self, actor: Actor, what: str) -> None:
        """Append a line durably; nothing in a home that keeps no transcript.

        Raises `AdminError` ADM-036 where what is there was altered, ADM-020 where it cannot be written.
        """
