"""Pages that hand out challenges as Microsoft's NDES does."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from regalia.model import Challenge, EventDraft, NdesPage

__all__ = ["HandOut", "NdesPages"]


class HandOut(Enum):
    """What became of a challenge that a page was to hand out."""

    KEPT = "kept"
    CACHE_FULL = "cache full"
    TOO_FAST = "too fast"


class NdesPages(Protocol):
    """The pages, one for each endpoint that has one."""

    def ndes_page(self, endpoint: str) -> NdesPage | None:
        """Served from memory until a change notice."""

    def certsrv_endpoint(self) -> str | None:
        """Whose Microsoft's own paths are; served from memory until a change notice."""

    def set_ndes_page(self, page: NdesPage, events: Sequence[EventDraft]) -> bool:
        """Keep a page in place of the one that its endpoint has; False where another endpoint has /certsrv."""

    def remove_ndes_page(self, endpoint: str, events: Sequence[EventDraft]) -> bool:
        """False where there is none."""

    def hand_out(self, challenge: Challenge, page: NdesPage, events: Sequence[EventDraft]) -> HandOut:
        """Keep a challenge of a page, unless as many as `page` allows are open, or were made in a minute.

        Counted are the challenges of the endpoint that have the same `created_by`, over all nodes; for the minute not
        those that were made a minute or more after this one, as a clock that was set back finds them.
        """
