"""Every list of the console: one verb, its columns, filters and views; a page at a time, as a page, CSV or JSON.

What a list shows is in its address, so that it can be shared: the fields of its verb, by their names. Chips take one
away each. An export has exactly what the list shows, up to `_EXPORTED` rows.
"""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from regalia.console.look import View
from regalia.verbs.paging import MOST, gathered
from regalia.web.answers import NO_STORE, answer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from regalia.console.desk import Routes, Shown
    from regalia.console.look import Look
    from regalia.verbs import Verb
    from regalia.verbs.verb import Page, Record
    from regalia.web.answers import Answer

__all__ = ["Bulk", "Cell", "Column", "Filter", "Listing", "Tab", "query_path"]

_ROWS: Final = 50
_EXPORTED: Final = 10_000
_DIGITS: Final = 10
"""More of them are no number that a field takes."""
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""What spreadsheets take the beginning of a formula for: such a cell is written with an apostrophe before it."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands in one place of a table. `kind` makes it a status, as `parts.html` draws them."""

    text: str = ""
    href: str = ""
    sub: str = ""
    """A second line, smaller."""
    kind: str = ""
    at: datetime | None = None
    """A time, shown by how far away it is."""
    mono: bool = False
    number: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its heading, and what a row has in it."""

    head: str
    cell: Callable[[Look, Any], Cell]
    optional: bool = False
    """Whether it leaves first where there is little room."""
    number: bool = False


@dataclass(frozen=True, slots=True)
class Filter:
    """Something that a list can be narrowed by: a field of its verb."""

    name: str
    label: str
    choices: Callable[[Look], Sequence[tuple[str, str]]] | None = None
    """Values and what they are called; None: any text."""
    offered: bool = True
    """Whether it can be chosen on the page; else it is there for links, and has a chip."""
    needs: str = ""
    """The field without which it says nothing: it goes when that one does."""


@dataclass(frozen=True, slots=True)
class Tab:
    """A view with a name: some fields set."""

    label: str
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Bulk:
    """Something to be done with the rows that are ticked: a page that is posted to with `chosen`, several times."""

    path: str
    label: str
    verb: Verb[Any, Any]
    danger: bool = False


@dataclass(frozen=True, slots=True)
class Listing:
    """A list."""

    path: str
    verb: Verb[Any, Any]
    title: str
    lead: Callable[[Look], str]
    columns: Sequence[Column]
    empty: Callable[[Look], Mapping[str, str]]
    """`headline`, `explanation`, and where there is one `action`, `href` and `command`, when there is nothing."""
    row: Callable[[Any], str]
    """What a row is known by, for ticking it."""
    filters: Sequence[Filter] = ()
    tabs: Sequence[Tab] = ()
    actions: Callable[[Look], Sequence[tuple[str, str]]] = lambda _: ()
    """Label and address of what can be done here; the first one is the page's own."""
    bulk: Sequence[Bulk] = ()
    search: bool = True
    fields: Mapping[str, object] = field(default_factory=dict)
    """What the verb is always asked with."""

    def routes(self) -> Routes:
        """Say where it is."""
        return {
            self.path: {"GET": self.show},
            f"{self.path}.csv": {"GET": lambda look: self._export(look, _csv, b"text/csv; charset=utf-8", "csv")},
            f"{self.path}.json": {"GET": lambda look: self._export(look, _json, b"application/json", "json")},
        }

    # --- the page ---------------------------------------------------------------------------------------------------

    def show(self, look: Look) -> Shown:
        """Show a page of it."""
        chosen = self._chosen(look)
        page: Page[Any] = look.ask(self.verb, **self._asked(look, chosen), limit=_ROWS, after=look.query.get("after"))
        narrowed = {name: value for name, value in chosen.items() if name != "sort"}
        return View(
            "list.html",
            title=look.words(self.title),
            lead=self.lead(look),
            here=self.path,
            values={
                "listing": self,
                "narrowed": bool(narrowed),
                "rows": [(self.row(each), [column.cell(look, each) for column in self.columns]) for each in page.items],
                "summary": _summary(look, len(page.items), page.total, first="after" not in look.query),
                "first": "after" not in look.query,
                "following": query_path(self.path, chosen | {"after": page.next}) if page.next else "",
                "newest": query_path(self.path, chosen),
                "empty_words": {"action": "", "href": "", "command": ""} | dict(self.empty(look)),
                "actions": self.actions(look),
                **self._narrowing(look, chosen),
                **self._taking(look, chosen),
            },
        )

    def _narrowing(self, look: Look, chosen: Mapping[str, str]) -> dict[str, object]:
        """Say how the list is narrowed, and how it could be."""
        return {
            "chosen": defaultdict(str, chosen),
            "chips_shown": self._chips(look, chosen),
            "tabs": self._tabs(look, chosen),
            "choices": {each.name: each.choices(look) for each in self.filters if each.choices is not None},
            "filter_names": [each.name for each in self.filters if each.offered],
        }

    def _taking(self, look: Look, chosen: Mapping[str, str]) -> dict[str, object]:
        """Say what can be done with what is listed."""
        bulk = [each for each in self.bulk if look.may(each.verb)]
        return {
            "bulk": bulk,
            "bulk_shown": [(look.words(each.label), each.path, each.danger) for each in bulk],
            "exports": [(form, query_path(f"{self.path}.{form}", chosen)) for form in ("csv", "json")],
        }

    def _known(self) -> frozenset[str]:
        """List the fields that its address may name."""
        tabs = {name for tab in self.tabs for name in tab.fields}
        searched = {"q"} if self.search else set()
        return frozenset({each.name for each in self.filters} | tabs | searched | {"sort"})

    def _chosen(self, look: Look) -> dict[str, str]:
        """Read how it is narrowed; what is left empty in a form is not chosen."""
        return {name: value for name, value in look.query.items() if name in self._known() and value}

    def _asked(self, look: Look, chosen: Mapping[str, str]) -> dict[str, object]:
        del look
        kinds = self.verb.asks.model_json_schema()["properties"]
        return dict(self.fields) | {name: _value(value, json.dumps(kinds[name])) for name, value in chosen.items()}

    def _chips(self, look: Look, chosen: Mapping[str, str]) -> list[tuple[str, str, str]]:
        """Say what it is narrowed by: label, value, and the address without it."""
        in_tab = next((tab.fields for tab in self.tabs if tab.fields and tab.fields.items() <= chosen.items()), {})
        found = []
        for each in self.filters:
            value = chosen.get(each.name)
            if value is not None and each.name not in in_tab:
                said = dict(each.choices(look)).get(value, value) if each.choices is not None else value
                without = {name: text for name, text in chosen.items() if name != each.name}
                found.append((look.words(each.label), said, self._address(without)))
        return found

    def _tabs(self, look: Look, chosen: Mapping[str, str]) -> list[tuple[str, str, bool]]:
        """Make the views: label, address, and whether it is the present one."""
        names = {name for tab in self.tabs for name in tab.fields}
        present = {name: value for name, value in chosen.items() if name in names}
        kept = {name: value for name, value in chosen.items() if name not in names}
        return [
            (look.words(tab.label), self._address({**kept, **tab.fields}), dict(tab.fields) == present)
            for tab in self.tabs
        ]

    def _address(self, fields: Mapping[str, str]) -> str:
        """Make the address of the list narrowed otherwise, without what says nothing then."""
        idle = {each.name for each in self.filters if each.needs and each.needs not in fields}
        return query_path(self.path, {name: value for name, value in fields.items() if name not in idle})

    # --- exports ----------------------------------------------------------------------------------------------------

    def _export(self, look: Look, written: Callable[[Sequence[Record]], bytes], media: bytes, ending: str) -> Answer:
        asked = self.verb.asks.model_validate(self._asked(look, self._chosen(look)) | {"limit": MOST})
        page = gathered(lambda some: look.ask(self.verb, **some.model_dump(mode="json")), asked, _EXPORTED)
        name = self.path.strip("/").replace("/", "-")
        disposition = (b"content-disposition", f'attachment; filename="{name}.{ending}"'.encode("ascii"))
        return answer(200, written(page.items), media, NO_STORE, disposition)


def _value(text: str, kind: str) -> object:
    """Make of a text of the address what its field takes: a truth, a number or a text."""
    if '"boolean"' in kind:
        return {"true": True, "false": False}.get(text, text)
    return int(text) if '"integer"' in kind and text.isdecimal() and len(text) < _DIGITS else text


def _summary(look: Look, shown: int, total: str | None, *, first: bool) -> str:
    """Say how much of the list is here."""
    if total is None or not first:
        return look.words.ngettext("%(number)s row", "%(number)s rows", shown) % {"number": shown}
    whole = total if not total.isdigit() else look.words.number(int(total))
    if total.isdigit() and int(total) == shown:
        return look.words.ngettext("%(number)s in all", "%(number)s in all", shown) % {"number": whole}
    return look.words("1 to %(shown)s of %(total)s") % {"shown": shown, "total": whole}


def query_path(path: str, fields: Mapping[str, str | None]) -> str:
    """Make an address of a path and fields."""
    given = {name: value for name, value in fields.items() if value}
    return f"{path}?{urlencode(given)}" if given else path


def _json(rows: Sequence[Record]) -> bytes:
    return json.dumps([row.model_dump(mode="json") for row in rows], indent=2, ensure_ascii=False).encode()


def _csv(rows: Sequence[Record]) -> bytes:
    """Write RFC 4180, with what spreadsheets would compute made harmless."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    dumped = [row.model_dump(mode="json") for row in rows]
    heads = list(dict.fromkeys(name for row in dumped for name in row))
    writer.writerow(heads)
    for row in dumped:
        writer.writerow([_cell(row.get(name)) for name in heads])
    return text.getvalue().encode()


def _cell(value: object) -> str:
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        value = " ".join(value)
    text = "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"'{text}" if text.startswith(_FORMULA) else text
