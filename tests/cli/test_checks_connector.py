"""What doctor finds where systems outside vouch for devices: real homes, links of ours that say what a test wants."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from cli.test_checks import Ourselves
from fakes import FakeClock
from foreign_pki import get_ca_cert_without_encipherment
from regalia.app import build
from regalia.cli.check import Check, Level
from regalia.cli.checks import checks
from regalia.cli.checks_connector import connector_checks
from regalia.config import load_config
from regalia.model import Actor, ActorKind, Authoriser, new_id
from regalia.model.connector import Checked
from regalia.model.fleet import Device, DeviceState, Platform
from regalia.ports.fleet import Sweep
from vouching_parts import FakeInventory, FakeLink, FakeLinks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cli.scene import Scene
    from regalia.app import App
    from regalia.model.connector import Connector

ADMIN = Actor(ActorKind.ADMIN, "os:tester")
HOUR = timedelta(hours=1)
DEVICES = """
[validity]
duration = "365d"
[usage]
extended-key-usage = ["clientAuth"]
[subject]
cn = "{device.id}"
"""
USERS = DEVICES.replace("device.id", "user.upn")


@dataclass
class Checking(FakeInventory):
    """A connector whose checks end as a test says."""

    checks: tuple[Checked, ...] = ()

    def check(self) -> tuple[Checked, ...]:
        """See `ports.Link`."""
        return self.checks


@dataclass
class Hanging(FakeLink):
    """A connector that does not answer before it is let go."""

    freed: threading.Event = field(default_factory=threading.Event)

    def check(self) -> tuple[Checked, ...]:
        """Wait."""
        self.freed.wait(60)
        return ()


@pytest.fixture
def app(scene: Scene) -> Iterator[App]:
    """Open a home with a connector `mdm` that an endpoint `managed` asks."""
    opened = build(load_config({}, home=scene.home))
    settings: dict[str, Any] = {"tenant": "contoso.example", "client_id": "99999999-8888-7777-6666-555555555555"}
    opened.connectors.create("mdm", "intune", settings, "s3cret~value", actor=ADMIN)
    opened.registry.create_profile("managed", "default", DEVICES, actor=ADMIN)
    opened.registry.create_endpoint(
        "managed", group="default", profile="managed", authoriser=Authoriser.CONNECTOR, connector="mdm", actor=ADMIN
    )
    yield opened
    opened.close()


def _connector(app: App) -> Connector:
    found = app.store.connector("mdm")
    assert found is not None
    return found


def _with(app: App, link: FakeLink) -> App:
    return replace(app, links=FakeLinks(link))  # type: ignore[arg-type]


def _bad(app: App) -> list[Check]:
    return [each for each in connector_checks(app) if each.level is not Level.OK]


def _swept(app: App, ago: timedelta) -> None:
    at = app.clock.now() - ago
    sweep = Sweep(new_id(at, bytes(10)), "mdm", full=True, began_at=at, cursor=None, seen=3, ended_at=at, complete=True)
    assert app.store.put_sweep(None, sweep, ())


def test_each_thing_that_a_connector_needs_is_a_line(app: App) -> None:
    """What is missing is a problem with its remedy, what can be without is worth a look, the rest is told as good."""
    _swept(app, HOUR / 2)
    link = Checking(
        checks=(
            Checked("Graph Device.Read.All", ok=False, detail="CON-024 HTTP 403", fix="Grant it."),
            Checked("client secret", ok=False, detail="valid until 2026-12-01", fix="Make another.", optional=True),
            Checked("clock", ok=True, detail="0 seconds off"),
        )
    )
    found = list(connector_checks(_with(app, link)))
    assert [(each.level, each.finding, each.remedy) for each in found[:3]] == [
        (Level.PROBLEM, "mdm: Graph Device.Read.All: CON-024 HTTP 403", "Grant it."),
        (Level.WARN, "mdm: client secret: valid until 2026-12-01", "Make another."),
        (Level.OK, "mdm: clock: 0 seconds off", ""),
    ]
    assert [each.level for each in found[3:]] == [Level.OK]


def test_a_connector_that_hangs_holds_doctor_no_longer_than_its_patience(app: App) -> None:
    """R8: doctor says that it takes too long, and goes on."""
    link = Hanging()
    began = time.monotonic()
    found = list(connector_checks(_with(app, link), patience=0.2))
    assert time.monotonic() - began < 10
    link.freed.set()
    assert (found[0].level, "CON-020" in found[0].finding) == (Level.PROBLEM, True)
    assert "connector test mdm" in found[0].remedy


def test_a_secret_that_no_longer_opens_is_named(app: App, scene: Scene) -> None:
    """CON-3: a secret that was sealed otherwise is a problem with its id and the command that sets it anew."""
    before = _connector(app)
    assert app.store.change_connector(before, before, b"not sealed by us", ())
    again = build(load_config({}, home=scene.home))
    try:
        found = _bad(again)
    finally:
        again.close()
    assert [("CON-062" in each.finding, "set-secret" in each.remedy) for each in found] == [(True, True)]


@pytest.mark.parametrize(("ago", "level"), [(HOUR, Level.OK), (3 * HOUR, Level.WARN)])
def test_the_age_of_the_inventory_is_told(app: App, ago: timedelta, level: Level) -> None:
    """An inventory that was not read for two of its turns is worth a look."""
    _swept(app, ago)
    (found,) = connector_checks(_with(app, Checking()))
    assert (found.level, "last read to the end" in found.finding) == (level, True)


def test_an_inventory_that_was_never_read_is_worth_a_look(app: App) -> None:
    """Nothing follows from what is not known."""
    (found,) = connector_checks(_with(app, Checking()))
    assert (found.level, "never read" in found.finding) == (Level.WARN, True)


def test_an_inventory_that_cannot_be_read_is_told_with_why(app: App) -> None:
    """What the last sweep met is in the line, and after hours it is a problem."""
    at = app.clock.now()
    sweep = Sweep(new_id(at, bytes(10)), "mdm", full=True, began_at=at, cursor=None, seen=0, why="CON-020 HTTP 500")
    assert app.store.put_sweep(None, sweep, ())
    later = replace(_with(app, Checking()), clock=FakeClock(at + 7 * HOUR))
    found = [each for each in connector_checks(later) if "CON-020 HTTP 500" in each.finding]
    assert [each.level for each in found] == [Level.PROBLEM]


def test_an_endpoint_of_a_disabled_connector_lets_nobody_in(app: App) -> None:
    """The endpoint is named, with the connector and the way to enable it; the connector itself is asked nothing."""
    app.connectors.disable(_connector(app), actor=ADMIN)
    (found,) = _bad(app)
    assert (found.level, "endpoint managed" in found.finding, "CON-061" in found.finding) == (Level.PROBLEM, True, True)
    assert "connector enable" in found.remedy
    app.registry.disable_endpoint("managed", actor=ADMIN)
    assert _bad(app) == []


def test_a_profile_that_needs_what_nobody_knows_lets_nobody_in(app: App) -> None:
    """A profile whose names need a user is named where the connector reads none."""
    app.registry.create_profile("people", "default", USERS, actor=ADMIN)
    app.registry.create_endpoint(
        "people", group="default", profile="people", authoriser=Authoriser.CONNECTOR, connector="mdm", actor=ADMIN
    )
    _swept(app, HOUR)
    (found,) = _bad(_with(app, Checking()))
    assert found.level is Level.PROBLEM
    assert "endpoint people" in found.finding
    assert "user.upn" in found.finding


def test_android_needs_https(app: App) -> None:
    """An endpoint over plain HTTP is worth a look as soon as its connector knows an Android device."""
    _swept(app, HOUR)
    now = app.clock.now()
    device = Device(
        id=new_id(now, bytes(10)),
        connector="mdm",
        external_id="a-1",
        group=None,
        name="phone",
        platform=Platform.ANDROID,
        state=DeviceState(),
        state_since=now,
        first_seen_at=now,
        seen_at=now,
    )
    assert app.store.put_devices([(None, device)], ())
    (found,) = _bad(_with(app, Checking()))
    assert (found.level, "https alone" in found.finding) == (Level.WARN, True)


def test_endpoints_are_asked_as_devices_ask(app: App) -> None:
    """GetCACert of each endpoint has to hold our RA certificate, to which keys can be encrypted."""

    def told(answer: bytes) -> list[Check]:
        return [each for each in checks(app, Ourselves(app, answer)) if each.name == "scep"]

    good = told(b"")
    assert [each.level for each in good] == [Level.OK] * len(app.store.endpoints())
    bad = told(get_ca_cert_without_encipherment())[0]
    assert (bad.level, "CLI-005" in bad.finding, "keyEncipherment" in bad.finding) == (Level.PROBLEM, True, True)
    assert "0x8010002c" in bad.finding
