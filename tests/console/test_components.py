"""The page of components: complete, so that whoever makes a page finds each part on it."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from console.conftest import Scene

PAGES = files("regalia.console").joinpath("pages")
OF_THE_FRAME = {"sprite"}
"""What stands once on every page."""


def source(name: str) -> str:
    """Read a template."""
    return PAGES.joinpath(name).read_text("utf-8")


@pytest.mark.parametrize("parts", ["parts.html", "charts.html"])
def test_every_part_is_shown(parts: str) -> None:
    """Each macro that pages share is called by the page of components."""
    names = set(re.findall(r"{% macro (\w+)\(", source(parts))) - OF_THE_FRAME
    page = source("components.html")
    alias = dict(re.findall(r"(\w+) as (\w+)", page))
    assert len(names) > 3
    called = {name for name in names if re.search(rf"(?:{{{{|call) {alias.get(name, name)}\(", page)}
    assert names - called == set()


def test_every_colour_and_icon_is_shown(scene: Scene) -> None:
    """The names come from the style sheet and the sprite, so none is missing, and each is drawn."""
    heard = scene.alice.get("/components").text
    sheet = PAGES.joinpath("static", "console.css").read_text("utf-8")
    colours = {name for name in re.findall(r"--([a-z0-9-]+): light-dark\(", sheet) if name != "float"}
    assert len(colours) > 30
    assert {name for name in colours if f'fill="var(--{name})"' not in heard} == set()
    icons = set(re.findall(r'id="i-([a-z]+)"', heard)) - {"crown"}
    shown = heard.partition("<main")[2].partition("</main>")[0]
    assert len(icons) > 30
    assert {name for name in icons if f'href="#i-{name}"' not in shown} == set()
    assert 'href="/components"' in scene.alice.get("/docs").text
