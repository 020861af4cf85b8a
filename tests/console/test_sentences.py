"""The first sentence of each page: short, and in words that the glossary explains (stack: Holds 2 of the console)."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from console.test_pages import PLAIN

if TYPE_CHECKING:
    from console.conftest import Scene

LONGEST: Final = 25
GLOSSARY: Final = (Path(__file__).parents[2] / "docs" / "glossary.md").read_text("utf-8").lower()
TERMS: Final = (
    "authority",
    "certificate",
    "challenge",
    "connector",
    "crl",
    "endpoint",
    "enrolment",
    "fingerprint",
    "group",
    "hold",
    "inventory",
    "mdm",
    "ocsp",
    "profile",
    "proposal",
    "revoke",
    "root",
    "scep",
    "signer",
    "sweep",
    "token",
)
"""Terms of art that a page might use; each is a word of the glossary, or no page begins with it."""
PAGES: Final = [
    *PLAIN,
    "/groups/default",
    "/endpoints/default",
    "/endpoints/default/setup",
    "/profiles/default",
    "/authorities/root",
]


def lead(scene: Scene, path: str, language: str) -> str:
    """Return a page's first sentence; empty where it is no page with one."""
    scene.alice.post("/appearance", theme="system", language=language, next="/")
    heard = scene.alice.get(path)
    found = (
        re.search(r'<p class="page__lead">(.*?)</p>', heard.text, re.DOTALL)
        if "text/html" in heard.header("content-type")
        else None
    )
    return unescape(re.sub(r"<[^>]+>", "", found[1])).strip() if found is not None else ""


@pytest.mark.parametrize("language", ["en", "de"])
def test_a_page_begins_with_a_short_sentence(scene: Scene, language: str) -> None:
    """Nobody reads more than twenty-five words to know what a page is about."""
    leads = {path: re.split(r"(?<=[.!?]) ", lead(scene, path, language))[0] for path in PAGES}
    assert sum(map(bool, leads.values())) > 15
    assert {path: text for path, text in leads.items() if len(text.split()) > LONGEST} == {}


def test_a_page_begins_in_words_that_are_explained(scene: Scene) -> None:
    """A term of art in a first sentence has its entry in the glossary."""
    said = " ".join(lead(scene, path, "en") for path in PAGES).lower()
    used = {term for term in TERMS if re.search(rf"\b{term[:-1]}(?:{term[-1]}|ies)s?\b", said)}
    assert len(used) > 5
    assert {term for term in used if not re.search(rf"^\*?\*?\|? ?\*?\*?{term}", GLOSSARY, re.MULTILINE)} == set()
