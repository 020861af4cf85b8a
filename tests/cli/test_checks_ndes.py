"""What doctor finds where MDMs fetch challenges from a page."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from regalia.app import build
from regalia.cli.check import Level
from regalia.cli.checks_ndes import ndes_checks
from regalia.config import load_config
from regalia.config.settings import Address
from regalia.model import Actor, ActorKind
from regalia.ra.ndes_pages import NdesOptions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cli.scene import Scene
    from regalia.app import App

ADMIN = Actor(ActorKind.ADMIN, "os:tester")


@pytest.fixture
def app(scene: Scene) -> Iterator[App]:
    """Open a home that has a page."""
    opened = build(load_config({}, home=scene.home))
    options = NdesOptions(user="svc-ndes", password="4f0c9a7e15b2d3866f")
    opened.ndes_pages.set("default", options, actor=ADMIN)
    yield opened
    opened.close()


def _over_https(app: App) -> App:
    server = app.config.server.model_copy(update={"listen_tls": Address("127.0.0.1", 8444)})
    return replace(app, config=replace(app.config, server=server))


def test_a_page_that_nobody_can_reach_is_worth_a_look(app: App) -> None:
    """A page without anything that answers over https hands nothing out."""
    (found,) = ndes_checks(app)
    assert (found.name, found.level) == ("ndes", Level.WARN)
    assert "https" in found.finding
    assert "server.listen_tls" in found.remedy


def test_a_page_for_everybody_is_worth_a_look(app: App) -> None:
    """CHA-5: a page that may be asked from anywhere is named, with the way to bound it."""
    (found,) = ndes_checks(_over_https(app))
    assert (found.level, "from anywhere" in found.finding) == (Level.WARN, True)
    assert "--network" in found.remedy


def test_a_page_for_some_networks_is_fine(app: App) -> None:
    """A page that some networks may ask is told with them; a closed or disabled one is not told at all."""
    app.ndes_pages.set("default", NdesOptions(networks=("192.0.2.0/24",)), actor=ADMIN)
    (found,) = ndes_checks(_over_https(app))
    assert (found.level, found.finding) == (Level.OK, "the page of endpoint default is for 192.0.2.0/24")
    app.registry.disable_endpoint("default", actor=ADMIN)
    assert list(ndes_checks(_over_https(app))) == []
