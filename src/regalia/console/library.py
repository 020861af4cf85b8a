"""The documentation as it ships with the product: its pages read once, their texts made HTML, and a search.

It is the same Markdown that the site is built of. Texts are ours; HTML in them is escaped all the same.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

from markdown_it import MarkdownIt
from markupsafe import Markup

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from markdown_it.token import Token

__all__ = ["DOCS", "Heading", "Library", "Page", "library"]

DOCS: Final = "/docs"
_TITLE: Final = re.compile(r"^# (.+)$", re.MULTILINE)
_NOT_A_WORD: Final = re.compile(r"[^\w\s-]")
_EXCERPT: Final = 90
"""Characters on either side of what was found."""
_PICTURES: Final = (".svg", ".png")
_API: Final = {"reference/openapi.json": "/api/v1/openapi.json"}
"""What the documentation refers to and this server has itself."""


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading below the title."""

    level: int
    anchor: str
    text: str


@dataclass(frozen=True)
class Page:
    """A page of the documentation."""

    path: str
    """As `tasks/install`; `index` for the first."""
    text: str
    """Markdown."""

    @cached_property
    def title(self) -> str:
        """Its first heading, without marks."""
        found = _TITLE.search(self.text)
        return plain(found[1]) if found is not None else self.path

    @cached_property
    def lower(self) -> str:
        """What is searched."""
        return self.text.lower()

    @property
    def section(self) -> str:
        """The folder that it is in; empty for the first level."""
        return self.path.rpartition("/")[0]

    @property
    def href(self) -> str:
        """Where the console has it."""
        path = self.path.removesuffix("index").rstrip("/")
        return f"{DOCS}/{path}" if path else DOCS


@dataclass(frozen=True)
class Library:
    """All pages, by their paths; and pictures, by theirs."""

    pages: Mapping[str, Page]
    pictures: Mapping[str, bytes]
    _kept: dict[str, tuple[Markup, tuple[Heading, ...]]] = field(default_factory=dict)
    """What was made already; they never change while we run."""

    @classmethod
    def read(cls, folder: Path) -> Library:
        """Read a folder of documentation."""
        names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        pages = {name[:-3]: (folder / name).read_text(encoding="utf-8") for name in names if name.endswith(".md")}
        pictures = {name: (folder / name).read_bytes() for name in names if name.endswith(_PICTURES)}
        return cls({path: Page(path, text) for path, text in pages.items()}, pictures)

    def found(self, path: str) -> Page | None:
        """Look a page up: `tasks/install`, or a folder that has an index."""
        return self.pages.get(path) or self.pages.get(f"{path}/index".lstrip("/"))

    def sections(self) -> Mapping[str, Sequence[Page]]:
        """List all pages by their folders, by title; those of the first level come first."""
        folders = dict.fromkeys(sorted({page.section for page in self.pages.values()}))
        return {
            folder: sorted((each for each in self.pages.values() if each.section == folder), key=lambda one: one.title)
            for folder in folders
        }

    def html(self, page: Page) -> tuple[Markup, tuple[Heading, ...]]:
        """Make a page's HTML, without its title, and list its headings."""
        if page.path not in self._kept:
            self._kept[page.path] = _made(self, page)
        return self._kept[page.path]

    def search(self, words: str, most: int) -> list[tuple[Page, str]]:
        """Find pages that have all words, the best first: a title counts more than a text. With a piece of the text."""
        wanted = words.lower().split()
        if not wanted:
            return []
        ranked = [
            (_rank(page, wanted), page) for page in self.pages.values() if all(each in page.lower for each in wanted)
        ]
        ranked.sort(key=lambda each: (-each[0], each[1].path))
        return [(page, _excerpt(page, wanted[0])) for _, page in ranked[:most]]


def _rank(page: Page, wanted: Sequence[str]) -> int:
    title = page.title.lower()
    named = page.path.rpartition("/")[2]
    return sum(20 * (each == named) + 10 * (each in title) + min(page.lower.count(each), 5) for each in wanted)


def _excerpt(page: Page, word: str) -> str:
    begins = page.text.find("\n") + 1
    at = max(page.lower.find(word, begins), begins)
    piece = page.text[max(at - _EXCERPT, begins) : at + _EXCERPT]
    return plain(" ".join(piece.split()))


def plain(text: str) -> str:
    """Take the marks out of a line of Markdown."""
    return re.sub(r"\[([^\]]*)\]\([^)]*\)|[`*|]", lambda found: found[1] or "", text).strip()


def anchor_of(text: str) -> str:
    """Name a heading as the site does."""
    return re.sub(r"[-\s]+", "-", _NOT_A_WORD.sub("", text).strip().lower())


@cache
def library() -> Library:
    """Read the documentation: it lies in the package, or beside it in a source tree."""
    packed = Path(str(files("regalia"))) / "documentation"
    return Library.read(packed if packed.is_dir() else Path(__file__).resolve().parents[3] / "docs")


# --- Markdown, made HTML ----------------------------------------------------------------------------------------------


def _made(pages: Library, page: Page) -> tuple[Markup, tuple[Heading, ...]]:
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(_TITLE.sub("", page.text, count=1))
    headings = tuple(_headings(tokens))
    for token in tokens:
        for each in (token, *(token.children or ())):
            _adapt(pages, page, each)
    # The parser escapes all text, and HTML of its own is what is left.
    html = parser.renderer.render(tokens, parser.options, {})
    return Markup(_tables_in_frames(html)), headings  # noqa: S704 - see above


def _headings(tokens: Sequence[Token]) -> Iterator[Heading]:
    for token, inside in pairwise(tokens):
        if token.type == "heading_open":
            text = plain(inside.content)
            anchor = anchor_of(text)
            token.attrSet("id", anchor)
            yield Heading(int(token.tag[1]), anchor, text)


def _adapt(pages: Library, page: Page, token: Token) -> None:
    """Give elements the console's look, and have links lead to where the console has it."""
    if token.type == "table_open":
        token.attrSet("class", "table")
    elif token.type in ("fence", "code_block"):
        # No class of a language: nothing here colours it.
        token.info = ""
    elif token.type == "link_open":
        token.attrSet("href", target_of(pages, page, str(token.attrGet("href"))))
    elif token.type == "image":
        token.attrSet("src", target_of(pages, page, str(token.attrGet("src"))))
        token.attrSet("loading", "lazy")


def target_of(pages: Library, page: Page, href: str) -> str:
    """Say where a link of a page leads in the console. What is outside of the documentation leads nowhere: `#`."""
    if href.startswith(("#", "http://", "https://", "mailto:")):
        return href
    path, mark, anchor = href.partition("#")
    path = posixpath.normpath(posixpath.join(page.section, path))
    if path in _API:
        return _API[path]
    if path in pages.pictures:
        return f"{DOCS}/{path}"
    found = pages.found(path.removesuffix(".md"))
    return f"{found.href}{mark}{anchor}" if found is not None else "#"


def _tables_in_frames(html: str) -> str:
    """Let wide tables scroll by themselves, by the keyboard too, and not the page."""
    return html.replace('<table class="table">', '<div class="prose__wide" tabindex="0"><table class="table">').replace(
        "</table>", "</table></div>"
    )
