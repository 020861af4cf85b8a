"""Pages of long lists: where one begins, and what is found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["COUNTED", "Listed", "Place", "SearchIndex"]

T_co = TypeVar("T_co", covariant=True)

Place: TypeAlias = "tuple[int | str, ...]"
"""Where a page begins: right behind what has these values in the order of the list. Octets stand as hexadecimal."""

COUNTED = 10_000
"""So many are counted at most: a number above it says only that there are more."""


@dataclass(frozen=True, slots=True)
class Listed(Generic[T_co]):
    """Some of a list."""

    items: tuple[T_co, ...]
    following: Place | None
    """Where the next page begins; None where this is the last one.

    A page that looked far and found little ends early: fewer items than asked for, or none, are not the end.
    """
    total: int | None
    """How many there are, `COUNTED` + 1 for more than that; None where nobody counted."""


class SearchIndex(Protocol):
    """What searches of certificates, enrolments and challenges go by. It follows what is written."""

    def index_more(self, now: datetime) -> int:
        """Take up some of what is not in the index yet; returns how many there were.

        What is not in it is searched as well while it is among the newest. What was forgotten leaves the index in the
        transaction that forgets it.
        """
