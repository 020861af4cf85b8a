"""Every page of the console, asked as a browser without a script asks: what it shows, to whom, and what it refuses."""

from __future__ import annotations

import re
from datetime import timedelta
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from regalia.console.registry import ROUTES
from regalia.model import Authoriser, Grant, Role
from world import Device, names, rsa_key

if TYPE_CHECKING:
    from console.conftest import Scene
    from door_parts import Heard

PLAIN = sorted(path for path, methods in ROUTES.items() if "GET" in methods and "{" not in path)


class _Links(HTMLParser):
    """Gathers the addresses of ours that a page leads to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        href = dict(attrs).get("href")
        if tag == "a" and href is not None and href.startswith("/"):
            self.found.add(href.partition("#")[0])


def links(heard: Heard) -> set[str]:
    """List where a page leads."""
    parser = _Links()
    parser.feed(heard.text)
    return parser.found


@pytest.mark.parametrize("path", PLAIN)
def test_a_page_answers(scene: Scene, path: str) -> None:
    """Each page without a name in its path answers somebody who may see it, and holds no style attribute (WEB-2)."""
    heard = scene.alice.get(path)
    assert heard.status == 200, heard.text
    assert not re.search(r"<[^>]+ style=|<style|<script>|javascript:", heard.text)


def test_every_link_leads_somewhere(scene: Scene) -> None:
    """Whatever page a page leads to, and whatever that leads to, answers; nothing is a dead end."""
    seen: set[str] = set()
    waiting = ["/"]
    while waiting:
        path = waiting.pop()
        if path in seen or path.startswith(("/api/", "/static/", "/sign-in")):
            continue
        seen.add(path)
        scene.world.clock.advance(timedelta(seconds=1))  # nobody clicks faster than the limit of requests
        heard = scene.alice.get(path)
        assert heard.status in {200, 303}, (path, heard.text)
        if heard.header("content-type").startswith("text/html"):
            waiting += links(heard)
    assert f"/certificates/{scene.certificate.serial:x}" in seen
    assert len(seen) > 40


def test_what_waits_is_counted_in_the_navigation(scene: Scene) -> None:
    """Whoever may decide sees on every page how many wait for it; the page itself names each one."""
    assert 'class="nav__count"' not in scene.alice.get("/groups").text
    secret = scene.world.open_endpoint("held", Authoriser.APPROVAL)
    tablet = Device(scene.world, rsa_key(3), endpoint="held").fresh("transaction-3")
    scene.world.send(tablet.message(tablet.csr(names("tablet-1"), secret)), "held")
    assert '<span class="nav__count">1<span' in scene.alice.get("/groups").text
    assert "Approve …" in scene.alice.get("/approvals").text
    reader = scene.join("reader", Grant(Role.OPERATOR_READ_ONLY))
    assert 'class="nav__count"' not in reader.get("/groups").text
