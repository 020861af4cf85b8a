"""The documentation inside the console: every page, every link, a search, and nothing but the documentation."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regalia import reasons
from regalia.console.library import Library, Page, library

if TYPE_CHECKING:
    from console.conftest import Scene

DOCS = library()


class _Read(HTMLParser):
    """Gathers what a page leads to, what it loads, and the names of its parts."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.ids: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.add(tag)
        for name, into in (("href", self.links), ("src", self.loads), ("id", self.ids)):
            if given.get(name):
                into.append(str(given[name]))


def read(html: str) -> _Read:
    """Take HTML apart."""
    reader = _Read()
    reader.feed(html)
    return reader


def test_every_link_of_every_page_leads_to_a_part_that_is_there() -> None:
    """No page of the documentation leads nowhere: pages, parts of pages, pictures."""
    made = {page.href: read(str(DOCS.html(page)[0])) for page in DOCS.pages.values()}
    wrong = []
    for at, page in made.items():
        for href in page.links:
            path, mark, part = href.partition("#")
            if path.startswith(("http", "mailto:", "/api/")):
                continue
            target = made.get(path or at)
            if target is None or (mark and part not in target.ids):
                wrong.append((at, href))
        wrong += [(at, src) for src in page.loads if src.removeprefix("/docs/") not in DOCS.pictures]
    assert wrong == []


def test_a_page_is_shown_in_the_frame(scene: Scene) -> None:
    """A page has its title once, its text as HTML, and a table and code in the look of the console."""
    text = scene.alice.get("/docs/tasks/install").text
    assert text.count("<h1>") == 1
    assert '<article class="prose" lang="en">' in text
    assert '<table class="table">' in scene.alice.get("/docs/reference/settings").text
    assert "<pre><code>$ " in text
    assert 'href="/docs" aria-current="page"' in text


def test_every_error_has_its_page(scene: Scene) -> None:
    """Whatever is refused is explained in the console, under its id."""
    assert {f"errors/{reason.id}" for reason in reasons.ALL} <= set(DOCS.pages)
    assert scene.alice.get("/docs/errors/ADM-004").status == 200
    wrong = scene.alice.get("/groups/nothing")
    assert 'href="/docs/errors/ADM-004"' in wrong.text


def test_every_page_can_be_found_from_the_first(scene: Scene) -> None:
    """The first page lists all of them, section by section."""
    listed = set(read(scene.alice.get("/docs").text).links)
    assert {page.href for page in DOCS.pages.values()} <= listed | {"/docs"}


@pytest.mark.parametrize(
    ("words", "first"),
    [
        ("install", "tasks/install"),
        ("ADM-004", "errors/ADM-004"),
        ("intune troubleshooting", "tasks/intune-troubleshooting"),
    ],
)
def test_a_search_finds_the_page_that_is_meant(scene: Scene, words: str, first: str) -> None:
    """A page whose title or name has the words comes first, in its own search and in the one of the console."""
    (found, _), *_ = DOCS.search(words, 5)
    assert found.path == first
    for path in ("/docs", "/search"):
        assert DOCS.pages[first].href in read(scene.alice.get(f"{path}?q={words.replace(' ', '+')}").text).links


def test_a_search_for_nothing_that_is_there_says_so(scene: Scene) -> None:
    """Words that no page has, marks and operators find nothing and break nothing."""
    for words in ("xyzzyplugh", "%3Cscript%3E%20xyzzy", "%22%27%20OR%201=1"):
        assert "No page has all of these words" in scene.alice.get(f"/docs?q={words}").text


@pytest.mark.parametrize(
    "path",
    [
        "/docs/nothing",
        "/docs/tasks/nothing",
        "/docs/tasks/..%2f..%2fpyproject",
        "/docs/..%2fREADME",
        "/docs/%2e%2e/README",
        "/docs/tasks/install.md",
        "/docs/reference/openapi.json",
        "/docs/errors/%00",
    ],
)
def test_nothing_else_is_handed_out(scene: Scene, path: str) -> None:
    """Pages are looked up in a table: what is not in it is not there, whatever its path."""
    assert scene.alice.get(path).status == 404


def test_pictures_are_handed_out(scene: Scene) -> None:
    """Charts and pictures of pages come from this server."""
    for page, kind in (("performance", "image/svg+xml"), ("design", "image/png")):
        pictures = set(read(str(DOCS.html(DOCS.pages[page])[0])).loads)
        assert len(pictures) > 3
        for picture in pictures:
            heard = scene.alice.get(picture)
            assert (heard.status, heard.header("content-type")) == (200, kind)


@given(st.text(alphabet=st.sampled_from("<>&\"'[]()`*_#|!\n x:/\\javscript"), max_size=80))
def test_no_text_becomes_code(text: str) -> None:
    """WEB-1: whatever stands in a page, no script, no handler and no address that runs comes of it."""
    page = Page("page", f"# t\n\n{text}\n\n<script>alert(1)</script> <img src=x onerror=alert(1)>")
    html = str(Library({"page": page}, {}).html(page)[0])
    found = read(html)
    assert found.tags.isdisjoint({"script", "iframe", "object", "style"})
    assert not [
        href for href in (*found.links, *found.loads) if unescape(href).strip().lower().startswith("javascript:")
    ]
    assert not re.search(r"<[^>]*\son[a-z]+=", html)
