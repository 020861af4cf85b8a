"""OData as Graph speaks it: $select, paging by opaque links, deltas."""

from __future__ import annotations

import re
import secrets
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from regalia.lab.answers import AnswerError
from regalia.lab.tenant import Keyed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from regalia.lab.tenant import Table, Tenant

__all__ = ["Cursor", "Cursors", "Resource", "filtered", "selected", "shown"]

T = TypeVar("T", bound=Keyed)

_FILTER: Final = re.compile(r"\s*(\w+)\s+eq\s+'((?:[^']|'')*)'\s*")
_KEPT: Final = 100_000


@dataclass(frozen=True, slots=True)
class Resource(Generic[T]):
    """One collection of Graph: where its rows are, what they show, who may read them."""

    kind: str
    """Name of the type, for errors and the context."""
    table: Callable[[Tenant], Table[T]]
    show: Callable[[T], dict[str, Any]]
    """Everything that the beta shows; times and enumerations as text."""
    permissions: tuple[str, ...]
    depends: Mapping[str, str]
    """Which field of the row a property is made of: what a delta goes by."""
    usual: frozenset[str] = frozenset()
    """What is shown without $select; empty: everything."""
    beta_only: frozenset[str] = frozenset()
    filters: frozenset[str] = frozenset()
    """What $filter can compare."""
    missing: str = "Request_ResourceNotFound"


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a client is: what a link's token stands for."""

    path: str
    tenant: str
    select: tuple[str, ...] | None
    ids: tuple[str, ...]
    """What is still to come."""
    size: int
    delta_from: int | None = None
    """Position in the log that the round's end leads to; None for a plain list."""
    minimal: bool = False
    changed: Mapping[str, frozenset[str]] | None = None
    """In a later round of a delta: what changed in each."""


class Cursors:
    """The tokens that are out. They can be made stale, as the service does after a while."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Cursor] = OrderedDict()

    def keep(self, cursor: Cursor) -> str:
        """Return a token, which says nothing to whoever has it."""
        token = secrets.token_urlsafe(24)
        self._known[token] = cursor
        if len(self._known) > _KEPT:
            self._known.popitem(last=False)
        return token

    def get(self, token: str) -> Cursor | None:
        """Return what a token stands for; None if nobody knows any more."""
        return self._known.get(token)

    def expire(self) -> None:
        """Forget all."""
        self._known.clear()


def selected(resource: Resource[T], text: str | None, *, beta: bool, known: frozenset[str]) -> tuple[str, ...] | None:
    """Read a $select; an `AnswerError` 400 names a property that this version does not have."""
    if text is None:
        return None
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if name not in known or (name in resource.beta_only and not beta):
            message = f"Could not find a property named '{name}' on type 'microsoft.graph.{resource.kind}'."
            raise AnswerError(400, "BadRequest", message)
    return names


def shown(
    resource: Resource[T],
    row: T,
    select: Sequence[str] | None,
    *,
    beta: bool,
    changed: frozenset[str] | None = None,
) -> dict[str, Any]:
    """Return a row as JSON: what was selected and nothing else, with `changed` only what is different and the id."""
    everything = resource.show(row)
    if select is None:
        names = {name for name in everything if not resource.usual or name in resource.usual}
        names -= frozenset() if beta else resource.beta_only
    else:
        names = set(select)
    if changed is not None:
        names = {name for name in names if resource.depends.get(name) in changed}
    return {name: value for name, value in everything.items() if name in names or name == "id"}


def filtered(resource: Resource[T], rows: Sequence[T], text: str | None) -> list[T]:
    """Apply a $filter of the one form that is understood, `property eq 'value'`; an `AnswerError` 400 for another."""
    if text is None:
        return list(rows)
    found = _FILTER.fullmatch(text)
    if found is None or found[1] not in resource.filters:
        raise AnswerError(400, "Request_UnsupportedQuery", f"Unsupported or invalid query filter clause: {text}")
    wanted = found[2].replace("''", "'").lower()
    return [row for row in rows if str(resource.show(row).get(found[1])).lower() == wanted]


def next_page(cursor: Cursor) -> tuple[tuple[str, ...], Cursor | None]:
    """Split off the ids of the next page; None where nothing comes after it."""
    now, later = cursor.ids[: cursor.size], cursor.ids[cursor.size :]
    return now, (replace(cursor, ids=later) if later else None)
