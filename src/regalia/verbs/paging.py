"""Lists a page at a time: what every list can be asked, cursors, and lists that are short enough to be sorted here.

A cursor says where the next page begins: the values of the last row in the order of the list, not a number of rows,
so that what is added meanwhile moves nothing. It belongs to one question: verb, search, filters and order are part of
it by their hash, and a cursor of another question is refused. It holds nothing that the caller has not seen, and
grants nothing: each page looks anew at what its caller may see.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

from pydantic import Field, StringConstraints

from regalia import reasons
from regalia.errors import AdminError
from regalia.ports.lists import COUNTED
from regalia.verbs.verb import Asked, Page, Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from regalia.ports.lists import Listed, Place

__all__ = ["MOST", "ListAsked", "Search", "gathered", "millis", "page_of", "page_of_few", "place_after", "told_total"]

R = TypeVar("R", bound=Record)
T = TypeVar("T")
L = TypeVar("L", bound="ListAsked")

MOST = 1_000
"""Most rows of a page."""
_CURSOR = 400
"""Characters of the longest cursor: a hash and the few values of a place."""
_VALUES = 4
_INTEGER = 2**63
_INSIDE = 3
"""Characters that are looked for inside a field, too: those of a trigram, as the store's indexes have them."""

Search = Annotated[
    str,
    StringConstraints(max_length=100),
    Field(
        description="Text to search for: the beginning of any field that the list searches, or three characters or "
        "more of its middle. Upper and lower case are the same.",
        examples=["laptop-17"],
    ),
]


class ListAsked(Asked):
    """What every list can be asked. One with several orders has a `sort` of its own, with its names for them."""

    limit: int = Field(default=50, ge=1, le=MOST, description="How many at most.")
    after: str | None = Field(default=None, max_length=_CURSOR, description="`next` of the page before.")
    q: Search | None = None
    sort: str = Field(default="default", pattern="^default$", description="The order.")


def place_after(asked: ListAsked, verb: str) -> Place | None:
    """Read where the page begins; None for the first one. Raises `AdminError` ADM-086 for no cursor of this list."""
    if asked.after is None:
        return None
    try:
        octets = base64.b64decode(asked.after + "=" * (-len(asked.after) % 4), altchars=b"-_", validate=True)
        fields = json.loads(octets)
    except (binascii.Error, ValueError, RecursionError):
        raise AdminError(reasons.CURSOR_REFUSED, "it was not made here") from None
    if not isinstance(fields, list) or not 1 < len(fields) <= 1 + _VALUES or not all(map(_is_value, fields)):
        raise AdminError(reasons.CURSOR_REFUSED, "it was not made here")
    question, *place = fields
    if question != _question(asked, verb):
        raise AdminError(reasons.CURSOR_REFUSED, "it belongs to another list, search, filter or order")
    return tuple(place)


def page_of(asked: ListAsked, verb: str, listed: Listed[T], record: Callable[[T], R]) -> Page[R]:
    """Make the page of what the store found."""
    following = None if listed.following is None else _cursor(asked, verb, listed.following)
    return Page(items=tuple(map(record, listed.items)), next=following, total=told_total(listed.total))


def page_of_few(
    asked: ListAsked,
    verb: str,
    values: Iterable[T],
    *,
    place: Callable[[T], Place],
    words: Callable[[T], Sequence[str | None]],
    record: Callable[[T], R],
    descending: bool = False,
) -> Page[R]:
    """Make a page of a list that is short enough to be held and sorted here.

    `place` is what it is sorted by, the same for no two values; `words` are the fields that a search looks into.
    """
    wanted = None if asked.q is None else asked.q.strip().lower()
    found = sorted(
        (value for value in values if not wanted or _matches(wanted, words(value))), key=place, reverse=descending
    )
    begin = place_after(asked, verb)
    rest = found if begin is None else [each for each in found if _is_behind(place(each), begin, descending=descending)]
    shown = rest[: asked.limit]
    following = _cursor(asked, verb, place(shown[-1])) if len(rest) > len(shown) else None
    return Page(items=tuple(map(record, shown)), next=following, total=told_total(len(found)))


def gathered(ask: Callable[[L], Page[R]], asked: L, most: int) -> Page[R]:
    """Ask for one page after the other until there are `most` rows or no more: for faces that know no pages."""
    items: list[R] = []
    page = ask(asked.model_copy(update={"limit": min(most, MOST)}))
    total = page.total
    while True:
        items += page.items
        if page.next is None or len(items) >= most:
            return Page(items=tuple(items[:most]), next=page.next, total=total)
        left = min(most - len(items), MOST)
        page = ask(asked.model_copy(update={"limit": left, "after": page.next}))


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def millis(at: datetime) -> int:
    """Make a time a value that a list is sorted by: milliseconds, as they are stored."""
    return (at - _EPOCH) // timedelta(milliseconds=1)


def told_total(total: int | None) -> str | None:
    """Say how many there are, as far as anybody counted."""
    if total is None:
        return None
    return f"{COUNTED}+" if total > COUNTED else str(total)


def _cursor(asked: ListAsked, verb: str, place: Place) -> str:
    text = json.dumps([_question(asked, verb), *place], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def _question(asked: ListAsked, verb: str) -> str:
    """Tell questions apart: everything but where to begin and how many."""
    fields = asked.model_dump(mode="json", exclude={"limit", "after"})
    text = json.dumps([verb, fields], separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _is_value(value: object) -> bool:
    # A truth value is an integer to Python, and no value of ours.
    return isinstance(value, str) or (type(value) is int and -_INTEGER <= value < _INTEGER)


def _is_behind(place: Place, begin: Place, *, descending: bool) -> bool:
    try:
        return place < begin if descending else place > begin
    except TypeError:
        # The hash of the question is no secret: whoever makes a cursor of other types gets what it is worth.
        raise AdminError(reasons.CURSOR_REFUSED, "it was not made here") from None


def _matches(wanted: str, words: Sequence[str | None]) -> bool:
    """Whether a field begins with it, or holds it where it is long enough to tell."""
    inside = len(wanted) >= _INSIDE
    texts = [word.lower() for word in words if word]
    return any(text.startswith(wanted) or (inside and wanted in text) for text in texts)
