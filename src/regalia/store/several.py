"""Questions about several keys at once: one statement for each number of them, and few such numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from sqlalchemy import bindparam

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import BindParameter

    from regalia.store.session import Columns

__all__ = ["MANY", "in_parts", "keys", "marks"]

K = TypeVar("K")
Octets = TypeVar("Octets", bytes, str)

MANY: Final = 256
"""Keys that one statement asks for, at most."""


def marks(count: int) -> list[BindParameter[object]]:
    """Return what stands for so many keys in a statement."""
    return [bindparam(f"key_{number}") for number in range(count)]


def keys(values: Sequence[Octets]) -> Columns:
    """Return the parameters behind `marks`, of which there are 1, 4, 16, 64 or 256; the last one fills the room."""
    room = 1
    while room < len(values):
        room *= 4
    return {f"key_{number}": values[min(number, len(values) - 1)] for number in range(room)}


def in_parts(values: Sequence[K]) -> Iterator[Sequence[K]]:
    """Cut them, each once, into parts that one statement takes."""
    once = tuple(dict.fromkeys(values))
    for first in range(0, len(once), MANY):
        yield once[first : first + MANY]
