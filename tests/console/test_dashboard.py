"""The first page: problems, figures and charts, of what was counted; each number is a link to what it counts."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from history import write_history
from regalia.jobs.figures import CountFigures
from regalia.model import Authoriser, Grant, Reach, Role
from store.samples import a_group, a_profile, an_endpoint
from world import Device, names, rsa_key

if TYPE_CHECKING:
    from console.conftest import Scene

NUMBER = re.compile(r"([\d\u202f]+)( issued| refused| in 30 days| within 90 days)?")
LISTS = ("/certificates?", "/enrolments?")


class _Numbers(HTMLParser):
    """Gathers each number that stands in a link to a list, or beside it in its line, with the address."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, int]] = []
        self._href = ""
        self._last = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "a":
            self._href = self._last = given.get("href") or ""
        if tag == "span" and given.get("class") == "num":
            self._href = self._last

    def handle_data(self, data: str) -> None:
        number = NUMBER.fullmatch(data.strip())
        if number is not None and self._href.startswith(LISTS):
            self.found.append((self._href, int(number[1].replace("\u202f", ""))))

    def handle_endtag(self, tag: str) -> None:
        if tag in {"a", "span"}:
            self._href = ""


@pytest.fixture
def past(scene: Scene) -> Scene:
    """Forty days of two groups, counted."""
    store, now = scene.world.store, scene.world.clock.now()
    issuing = next(each for each in store.authorities() if each.group == "default")
    store.add_endpoint(replace(an_endpoint("static-a"), group="a", authoriser=Authoriser.STATIC), ())
    store.add_endpoint(replace(an_endpoint("default-b"), group="b"), ())
    vouched = replace(an_endpoint("intune-a"), group="a", authoriser=Authoriser.CONNECTOR, connector="intune")
    store.add_endpoint(vouched, ())
    for group in ("a", "b"):
        store.add_group(a_group(group), ())
        for number in (1, 2):
            store.add_authority(replace(issuing, name=f"ca-{group}-{number}", group=group), ())
    store.add_profile(replace(a_profile(), group="b"), ())
    write_history(store, seed=8, now=now)
    CountFigures(store, scene.world.clock).run(now)
    return scene


def rows(scene: Scene, address: str) -> int:
    """Count what a list has, as its file has it."""
    path, _, query = address.partition("?")
    scene.world.clock.advance(timedelta(milliseconds=400))  # within the limit of requests
    heard = scene.alice.get(f"{path}.csv?{query}")
    assert heard.status == 200, heard.text
    return max(0, len(heard.text.splitlines()) - 1)


def test_each_number_is_a_link_to_its_list(past: Scene) -> None:
    """Whatever stands in figures, legends, bars and the table below the chart is the length of the list behind it."""
    reader = _Numbers()
    reader.feed(past.alice.get("/").text)
    assert len(reader.found) > 100
    assert len({href for href, number in reader.found if number}) > 40
    for href, number in dict.fromkeys(reader.found):
        assert rows(past, href) == number, href


def test_before_anything_is_counted(scene: Scene) -> None:
    """The first page of a server whose job has not run says so, and each card what will be there."""
    text = scene.alice.get("/").text
    assert "Not counted yet" in text
    for said in (
        "Each day on which one does has a column here.",
        "None ends within 90 days.",
        "No certificate is live",
    ):
        assert said in text
    CountFigures(scene.world.store, scene.world.clock).run(scene.world.clock.now())
    text = scene.alice.get("/").text
    assert "Not counted yet" not in text
    assert '<svg height="' in text


def test_problems_come_first_and_the_worst_of_them(scene: Scene) -> None:
    """Refusals beyond what is usual stand before what waits for somebody, each with a way to the fix."""
    secret = scene.world.open_endpoint("held", Authoriser.APPROVAL)
    tablet = Device(scene.world, rsa_key(3), endpoint="held").fresh("transaction-3")
    scene.world.send(tablet.message(tablet.csr(names("tablet-1"), secret)), "held")
    for number in range(6):
        intruder = Device(scene.world, rsa_key(1)).fresh(f"transaction-{10 + number}")
        scene.world.send(intruder.message(intruder.csr(names("intruder"), scene.world.mint(f"laptop-{9 + number}"))))
    CountFigures(scene.world.store, scene.world.clock).run(scene.world.clock.now())
    text = scene.alice.get("/").text
    assert "7 enrolments were refused today, all for one reason" in text
    assert "1 enrolment waits for approval" in text
    assert text.index("7 enrolments were refused") < text.index("1 enrolment waits") < text.index("figures")
    (address,) = set(re.findall(r'btn--primary" href="(/enrolments[^"]+)"', text))
    assert rows(scene, address.replace("&amp;", "&")) == 7


def test_one_line_where_nothing_is_wrong(scene: Scene) -> None:
    """Where nothing needs anybody, the first card is one line with the time of the look."""
    assert "Nothing needs you. Last checked" in scene.alice.get("/").text


def test_figures_are_cut_to_ones_groups(past: Scene) -> None:
    """AUTHZ-4: somebody of one group reads figures of that group, and no name of another."""
    text = past.join("bob", Grant(Role.ADMIN, Reach(frozenset({"b"})))).get("/").text
    assert "group=b" in text or ">b</bdi>" in text
    assert "group=a" not in text
    assert past.alice.get("/").text.count("group=a") > 0


def test_names_of_others_are_shown_as_text(scene: Scene) -> None:
    """WEB-1: a connector with a hostile name cannot write into the page."""
    hostile = replace(an_endpoint("static-a"), group="a", authoriser=Authoriser.CONNECTOR, connector='"><script>x')
    scene.world.store.add_endpoint(hostile, ())
    write_history(scene.world.store, seed=3, now=scene.world.clock.now())
    CountFigures(scene.world.store, scene.world.clock).run(scene.world.clock.now())
    text = scene.alice.get("/").text
    assert "<script>x" not in text
    assert "&lt;script&gt;x" in text
