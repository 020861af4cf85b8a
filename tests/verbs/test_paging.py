"""Pages of lists, and cursors that belong to one question."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from functools import partial
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from regalia.errors import AdminError
from regalia.ports import COUNTED, Listed
from regalia.verbs import Page, Record
from regalia.verbs.paging import ListAsked, gathered, page_of, page_of_few, place_after, told_total


class Thing(Record):
    """What is listed."""

    name: str


class ListThings(ListAsked):
    """A list with a filter and an order of its own."""

    colour: str | None = None
    sort: Literal["name", "age"] = "name"


@dataclass(frozen=True, slots=True)
class Kept:
    """What a record is made of."""

    name: str
    number: int


ALL = tuple(Kept(f"thing-{number}", number) for number in (3, 1, 5, 2, 4))


def ask(asked: ListThings, verb: str = "thing.list") -> Page[Thing]:
    """Ask for a page of all things, the last number first."""
    return page_of_few(
        asked,
        verb,
        ALL,
        place=lambda kept: (kept.number, kept.name),
        words=lambda kept: (kept.name, None, f"Grün{kept.number}"),
        record=lambda kept: Thing(name=kept.name),
        descending=True,
    )


def names(page: Page[Thing]) -> list[str]:
    """Return the names of a page."""
    return [item.name.removeprefix("thing-") for item in page.items]


def test_pages_follow_each_other() -> None:
    """Each page begins where the one before ended, with its own length; the last one has no cursor."""
    first = ask(ListThings(limit=2))
    second = ask(ListThings(limit=1, after=first.next))
    third = ask(ListThings(limit=9, after=second.next))
    assert [names(page) for page in (first, second, third)] == [["5", "4"], ["3"], ["2", "1"]]
    assert (first.total, third.next) == ("5", None)


@pytest.mark.parametrize(
    ("text", "found"),
    [("THING-4", ["4"]), ("g-2", ["2"]), ("-2", []), ("t", list("54321")), ("grÜN3", ["3"]), ("  ", list("54321"))],
)
def test_short_lists_are_searched_like_long_ones(text: str, found: list[str]) -> None:
    """The beginning of a field is found, and of three characters the middle, too; case does not matter."""
    assert names(ask(ListThings(q=text))) == found


def test_a_cursor_belongs_to_its_question() -> None:
    """ADM-086: a cursor of another list, search, filter or order is refused; another length of pages is not."""
    cursor = ask(ListThings(limit=2)).next
    assert names(ask(ListThings(limit=3, after=cursor))) == ["3", "2", "1"]
    for other in ({"q": "thing"}, {"colour": "red"}, {"sort": "age"}):
        with pytest.raises(AdminError) as refused:
            ask(ListThings(after=cursor, **other))  # type: ignore[arg-type]  # of any field
        assert refused.value.reason.id == "ADM-086"
    with pytest.raises(AdminError) as refused:
        ask(ListThings(after=cursor), "other.list")
    assert refused.value.reason.id == "ADM-086"


@given(
    st.one_of(
        st.text(max_size=400), st.binary(max_size=290).map(lambda octets: base64.urlsafe_b64encode(octets).decode())
    )
)
def test_what_is_no_cursor_is_refused(text: str) -> None:
    """ADM-086: whatever is given as a cursor is read, or refused with this reason."""
    with pytest.raises(AdminError) as refused:
        ask(ListThings(after=text))
    assert refused.value.reason.id == "ADM-086"


@pytest.mark.parametrize("place", [[], ["x"], [None], [True], [1.5], [2**63], [{}], [1, 2, 3, 4, 5], ["x", 1], [[1]]])
def test_a_cursor_that_somebody_made_is_refused(place: list[object]) -> None:
    """ADM-086: with the right hash, which is no secret, and values that no place of this list has."""
    question = json.loads(base64.urlsafe_b64decode((ask(ListThings(limit=1)).next or "") + "=="))[0]
    made = base64.urlsafe_b64encode(json.dumps([question, *place]).encode()).decode().rstrip("=")
    with pytest.raises(AdminError) as refused:
        ask(ListThings(after=made))
    assert refused.value.reason.id == "ADM-086"


@pytest.mark.parametrize(
    "asked", [{"limit": 0}, {"limit": 1001}, {"sort": "colour"}, {"q": "x" * 101}, {"after": "x" * 401}]
)
def test_authz_6_bounds(asked: dict[str, object]) -> None:
    """AUTHZ-6: orders that are not listed, pages that are too long and texts without end are refused."""
    with pytest.raises(ValidationError):
        ListThings(**asked)  # type: ignore[arg-type]  # of any field


def test_totals() -> None:
    """What nobody counted is null, and what is beyond the count says so."""
    assert [told_total(total) for total in (None, 0, COUNTED, COUNTED + 1)] == [None, "0", "10000", "10000+"]


def test_what_the_store_found_becomes_a_page() -> None:
    """The place behind which the store goes on comes back to it, values and all."""
    asked = ListThings(limit=2)
    page = page_of(asked, "thing.list", Listed(ALL[:2], (7, "ab"), COUNTED + 1), lambda kept: Thing(name=kept.name))
    assert (names(page), page.total) == (["3", "1"], "10000+")
    assert place_after(ListThings(after=page.next), "thing.list") == (7, "ab")
    assert place_after(asked, "thing.list") is None


@pytest.mark.parametrize(("most", "found", "more"), [(3, 3, True), (5, 5, False), (100, 5, False)])
def test_a_face_without_pages_gathers_them(most: int, found: int, *, more: bool) -> None:
    """As many rows as asked for are gathered from as many pages as it takes."""
    gathering = gathered(partial(ask, verb="thing.list"), ListThings(), most)
    assert len(gathering.items) == found
    assert (gathering.next is not None) is more


def test_short_pages_are_gone_behind() -> None:
    """A page that ended early, or is empty, is not the end of the list."""
    pages = {None: Page(items=(), next="a"), "a": Page(items=(Thing(name="x"),), next="b"), "b": Page(items=())}
    assert [item.name for item in gathered(lambda asked: pages[asked.after], ListThings(), 10).items] == ["x"]
