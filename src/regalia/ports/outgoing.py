"""The one way to ask something of a server that is not ours."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MOST_OCTETS", "Outgoing", "OutgoingRequest", "OutgoingResponse"]

MOST_OCTETS: Final = 1 << 20
"""Octets of a JSON answer that are read at most (SSRF-4)."""


@dataclass(frozen=True, slots=True)
class OutgoingRequest:
    """One request. The URL is an administrator's word or a configured provider's, never a device's (SSRF-6)."""

    method: Literal["GET", "POST"]
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    """Of a POST."""
    limit: int = MOST_OCTETS
    """Octets of the answer's body that are read; a longer answer is refused."""
    timeout: float | None = None
    """Seconds for all of it, where that is less than whoever asks has set for every exchange."""


@dataclass(frozen=True, slots=True)
class OutgoingResponse:
    """What came back, whatever its status: a redirect is an answer like any other, and not followed (SSRF-3)."""

    status: int
    headers: Mapping[str, str]
    """By lower-case name; of several with one name the last."""
    body: bytes


class Outgoing(Protocol):
    """HTTP to the outside, under SSRF-1 to SSRF-6."""

    def exchange(self, request: OutgoingRequest) -> OutgoingResponse:
        """Ask once.

        Raises `AdminError` ALERT-001 for a URL or address that must not be asked, `UnavailableError` ALERT-002 where no
        usable answer came. The details name what kind of fault it was, never what the other side said (SSRF-5).
        """
