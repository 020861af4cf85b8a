"""Finding one object by the beginning of its id, as lists show it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar
from uuid import UUID

from regalia import reasons
from regalia.errors import AdminError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["by_prefix"]

_SHORTEST = 4


class _Identified(Protocol):
    @property
    def id(self) -> UUID: ...


T = TypeVar("T", bound=_Identified)


def by_prefix(text: str, noun: str, by_id: Callable[[UUID], T | None], newest: Callable[[], Iterable[T]]) -> T:
    """Find the one object whose id is `text` or begins with it; `newest` gives those that a short id may mean.

    Both must give nothing that the caller does not see. Raises `AdminError`: ADM-004 where there is none, ADM-018 where
    there are several or `text` is too short to tell.
    """
    wanted = text.lower()
    try:
        found = by_id(UUID(wanted))
    except ValueError:
        if len(wanted) < _SHORTEST:
            raise AdminError(reasons.USAGE, f"{text}: give at least {_SHORTEST} digits of the id") from None
        matching = [one for one in newest() if str(one.id).startswith(wanted)]
        if len(matching) > 1:
            # The newest ids of the same minute begin alike.
            raise AdminError(reasons.USAGE, f"{text} begins {len(matching)} ids: give more digits") from None
        found = matching[0] if matching else None
    if found is None:
        raise AdminError(reasons.NOT_FOUND, f"{noun} {text}")
    return found
