"""The console's languages: complete, with the same places for values, and everything that is read goes through them."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest
from babel.messages.pofile import read_po
from tools.words import CATALOGUES, missing, said, updated, written

from console.test_pages import PLAIN
from door_parts import Door
from regalia.console.desk import PageDesk
from regalia.console.frame import Frame
from regalia.console.registry import ROUTES
from regalia.web.reader import Reader
from regalia.web.sessions import SESSION_COOKIE
from regalia.web.sign_in import door_ways
from regalia.web.visit import Visit
from regalia.words import PSEUDO, words_of
from world import World

if TYPE_CHECKING:
    from console.conftest import Scene
    from regalia.web.answers import Answer
    from regalia.web.pool import Pools

NOBODY = Reader(language=PSEUDO)
"""Whoever speaks the language that is none."""
PLACE = re.compile(r"%\([a-z]+\)s")
DATA = frozenset({"title", "article", "bdi", "code", "pre", "time", "kbd", "script", "style", "option", "textarea"})
"""What stands in these is somebody's data, or the name of a thing in every language."""
PROPER = re.compile(
    r"[\W\d]*|CN|DNS|\d.+ \u2013 .+\d|[A-Z]+-\d+|SCEP ·|SHA-(1|256)|CRL|CSV|JSON|Regalia|Ctrl K|English|Deutsch"
    r"|alice.*|admin"
    r"|\d+ [A-Z][a-z]{2}"  # a day below a chart
    r"|A|[a-z0-9_.:@-]+( v\d+)?"
)
"""What is called so in every language, and names of things that the scene has."""


@pytest.mark.parametrize("language", CATALOGUES)
def test_a_catalogue_is_complete(language: str) -> None:
    """Every text is translated, with the same places for values; `python -m tools.words` names those that are not."""
    path = CATALOGUES[language]
    catalogue = updated(language, said())
    assert missing(catalogue) == []
    assert written(catalogue) == path.read_bytes()
    with path.open("rb") as file:
        for message in read_po(file, locale=language):
            texts = message.id if isinstance(message.id, tuple) else (message.id,)
            told = message.string if isinstance(message.string, tuple) else (message.string,)
            for text, said_so in zip(texts, told, strict=True):
                assert sorted(PLACE.findall(str(text))) == sorted(PLACE.findall(str(said_so))), text
                assert str(text).count("`") == str(said_so).count("`"), text


def test_german_is_spoken() -> None:
    """Words, numbers of things and times are those of the language."""
    words = words_of("de")
    assert words("Certificates") == "Zertifikate"
    assert words.ngettext("%(num)s event", "%(num)s events", 1) == "%(num)s Ereignis"
    assert words.ngettext("%(num)s event", "%(num)s events", 2) == "%(num)s Ereignisse"
    assert words.number(1_234_567) == "1\u202f234\u202f567"


NAMED = ("/certificates/{serial}", "/groups/default", "/endpoints/default", "/endpoints/default/setup")


class _Read(HTMLParser):
    """Gathers what a reader sees or hears of a page, and is nobody's data."""

    def __init__(self) -> None:
        super().__init__()
        self.inside: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in {"input", "meta", "link", "br", "img", "use", "path", "circle", "rect", "line"}:
            self.inside.append(tag)
        self.texts += [value for name, value in attrs if name in {"aria-label", "placeholder", "data-label"} and value]

    def handle_endtag(self, tag: str) -> None:
        while self.inside and self.inside.pop() != tag:
            continue

    def handle_data(self, data: str) -> None:
        if data.strip() and not DATA.intersection(self.inside):
            self.texts.append(data.strip())


@pytest.mark.parametrize("path", [*PLAIN, *NAMED])
def test_every_word_goes_through_the_catalogues(scene: Scene, path: str) -> None:
    """In the language that is none, whatever a page says of itself stands in brackets: nothing is left in English."""
    ways = PageDesk(scene.door.backing, Frame("pki.example.test", frozenset(ROUTES))).ways(ROUTES)
    pattern = path if path in ways else re.sub("/default(?=/|$)", "/{name}", path)
    serial = f"{scene.certificate.serial:x}"
    session = scene.alice.cookies[SESSION_COOKIE]
    place = {"serial": serial, "name": "default"}
    visit = Visit("GET", path.format(serial=serial), "192.0.2.1", (), place=place, session=session, reader=NOBODY)
    answer = ways[pattern]["GET"].answer(visit, scene.door.sessions.known(session))
    if b"text/html" not in dict(answer.headers)[b"content-type"]:
        return  # a file
    assert in_english(answer) == []


def in_english(answer: Answer) -> list[str]:
    """List what a page says in no brackets."""
    reader = _Read()
    reader.feed(answer.body.decode())
    return [text for text in reader.texts if not {"⟦", "⟧"}.intersection(text) and not PROPER.fullmatch(text)]


DOOR = {
    "set-up": ("GET", "/set-up", {}),
    "a wrong code": ("POST", "/set-up", {"code": "wrong"}),
    "the first administrator": ("POST", "/set-up", {"code": "{first}"}),
    "who comes back": ("POST", "/set-up", {"code": "{back}"}),
    "a wrong name": ("POST", "/set-up/factor", {"code": "{first}", "account": "Not So"}),
    "a factor": ("POST", "/set-up/factor", {"code": "{back}"}),
    "sign-in": ("GET", "/sign-in", {}),
    "a wrong password": ("POST", "/sign-in/password", {"account": "alice", "password": "x", "code": "1"}),
    "an unknown provider": ("GET", "/sign-in/oidc/{provider}/arrive", {}),
}
"""What the door is asked, by method, path and form."""


@pytest.mark.parametrize("case", DOOR)
def test_the_door_speaks_it_too(pools: Pools, case: str) -> None:
    """Before anybody is signed in every word goes through the catalogues as well, and so does what was wrong."""
    door = Door(World(), pools)
    first = door.link()
    if "{first}" not in DOOR[case][2].values():
        door.with_passkey("alice")
    codes = {"first": first, "back": door.link("alice") if "{back}" in DOOR[case][2].values() else ""}
    method, path, fields = DOOR[case]
    form = {name: value.format(**codes) for name, value in fields.items()}
    visit = Visit(method, path, "192.0.2.1", (), form=form, place={"provider": "none"}, door="a door", reader=NOBODY)
    answer = door_ways(door.backing)[path][method].answer(visit, None)
    assert b"\xe2\x9f\xa6" in answer.body
    assert in_english(answer) == []


def test_the_door_speaks_the_browsers_language(pools: Pools) -> None:
    """A browser that asks for German is answered in German, its script too, and English where we have no other."""
    door = Door(World(), pools)
    german, other = door.browser(), door.browser()
    german.language, other.language = "de-AT, en;q=0.5", "fi"
    page = german.get("/sign-in").text
    assert '<html lang="de">' in page
    assert "Bei Regalia anmelden" in page
    assert "Der Passkey wurde nicht benutzt." in unescape(page)
    refused = german.call("/sign-in/passkey", answer={})
    assert refused.json["problem"]["what"].startswith("Die Antwort des Passkeys")
    assert '<html lang="en">' in other.get("/sign-in").text
