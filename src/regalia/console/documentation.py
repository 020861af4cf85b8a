"""The documentation inside the console: pages, pictures and a search, for whoever is signed in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from regalia import reasons
from regalia.console.library import DOCS, library
from regalia.console.look import View
from regalia.errors import AdminError
from regalia.web.answers import answer
from regalia.words import marked

if TYPE_CHECKING:
    from regalia.console.desk import Routes, Shown
    from regalia.console.library import Page
    from regalia.console.look import Look

__all__ = ["ROUTES", "documented"]

_MOST: Final = 20
_SECTIONS: Final = {
    "": marked("To begin with"),
    "tasks": marked("Tasks"),
    "connectors": marked("Connectors"),
    "reference": marked("Reference"),
    "conformance": marked("Conformance"),
    "errors": marked("Error ids"),
    "decisions": marked("Decisions"),
}
_MEDIA: Final = {"svg": b"image/svg+xml", "png": b"image/png"}
_KEPT: Final = (b"cache-control", b"private, max-age=3600")


def _index(look: Look) -> Shown:
    wanted = look.query.get("q", "").strip()
    if wanted:
        return _results(look, wanted)
    return _page(look, "index")


def _show(look: Look) -> Shown:
    return _page(
        look, "/".join(part for part in (look.place.get("section"), look.place.get("part"), look.place["name"]) if part)
    )


def _page(look: Look, path: str) -> Shown:
    docs = library()
    if path in docs.pictures:
        return answer(200, docs.pictures[path], _MEDIA[path.rpartition(".")[2]], _KEPT)
    page = docs.found(path)
    if page is None:
        raise AdminError(reasons.NOT_FOUND, f"page {path} of the documentation")
    text, headings = docs.html(page)
    return View(
        "documentation.html",
        title=page.title,
        here=DOCS,
        crumbs=_crumbs(look, page),
        values={
            "text": text,
            "headings": [each for each in headings if each.level == 2],
            "sections": _sections(look) if page.path == "index" else (),
            "wanted": "",
            "found": None,
        },
    )


def _crumbs(look: Look, page: Page) -> tuple[tuple[str, str], ...]:
    first = (look.words("Documentation"), DOCS)
    if page.path == "index":
        return (first,)
    section = ((look.words(_SECTIONS[page.section]), DOCS),) if page.section in _SECTIONS and page.section else ()
    return (first, *section, (page.title, ""))


def _sections(look: Look) -> tuple[tuple[str, tuple[Page, ...]], ...]:
    """List every page, so that each can be found without a search."""
    docs = library().sections()
    return tuple((look.words(label), tuple(docs[name])) for name, label in _SECTIONS.items() if name in docs)


def _results(look: Look, wanted: str) -> View:
    found = library().search(wanted, _MOST)
    return View(
        "documentation.html",
        title=look.words("Documentation"),
        lead=look.words("Pages that have all of these words."),
        here=DOCS,
        crumbs=((look.words("Documentation"), DOCS), (look.words("Search"), "")),
        values={"text": "", "headings": (), "sections": (), "wanted": wanted, "found": found},
    )


def documented(wanted: str, most: int) -> list[tuple[str, str, str]]:
    """Find pages for the one search box: address, title, and nothing beside it."""
    return [(page.href, page.title, "") for page, _ in library().search(wanted, most)]


ROUTES: Final[Routes] = {
    DOCS: {"GET": _index},
    f"{DOCS}/{{name}}": {"GET": _show},
    f"{DOCS}/{{section}}/{{name}}": {"GET": _show},
    f"{DOCS}/{{section}}/{{part}}/{{name}}": {"GET": _show},
}
