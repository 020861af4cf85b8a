"""What doctor finds as time passes and things go missing: a real home, a clock that moves, a URL that answers."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from fakes import FakeClock
from regalia import reasons
from regalia.app import build
from regalia.cli.checks import Check, Level, checks
from regalia.client.transport import HttpAnswer
from regalia.config import load_config
from regalia.errors import AdminError, UnavailableError
from regalia.keys.admin_tls import CERTIFICATE_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cli.scene import Scene
    from regalia.app import App

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Ourselves:
    """A URL that leads to us; at endpoints to somebody else where `get_ca_cert` is given."""

    app: App
    get_ca_cert: bytes = b""

    def exchange(self, url: str, body: bytes | None) -> HttpAnswer:
        """Answer as `/ca/NAME.cer` and GetCACert do."""
        assert body is None
        for authority in self.app.store.authorities():
            if url == self.app.urls.issuer(authority.name):
                return HttpAnswer(200, authority.certificate_der)
        for endpoint in self.app.store.endpoints():
            door = self.app.scep.door(endpoint.name)
            if door is not None and url == f"{self.app.urls.endpoint('scep', endpoint.name)}?operation=GetCACert":
                return HttpAnswer(200, self.get_ca_cert or self.app.scep.ca_certificates(door))
        return HttpAnswer(404, b"")


@dataclass(frozen=True, slots=True)
class Somebody:
    """A URL that leads elsewhere."""

    status: int

    def exchange(self, url: str, body: bytes | None) -> HttpAnswer:
        """Answer whatever."""
        del url, body
        return HttpAnswer(self.status, b"It works!")


class Nobody:
    """A URL that leads nowhere."""

    def exchange(self, url: str, body: bytes | None) -> HttpAnswer:
        """Refuse the connection."""
        del body
        raise UnavailableError(reasons.CLIENT_UNREACHABLE, f"{url}: connection refused")


@pytest.fixture
def app(scene: Scene) -> Iterator[App]:
    """Open the home."""
    opened = build(load_config({}, home=scene.home))
    yield opened
    opened.close()


def _after(app: App, span: timedelta) -> App:
    """Give the same home at a later time."""
    return replace(app, clock=FakeClock(app.clock.now() + span))


def _found(app: App, name: str) -> list[Check]:
    return [check for check in checks(app, Ourselves(app)) if check.name == name]


def _levels(app: App, name: str) -> list[Level]:
    return [check.level for check in _found(app, name)]


def test_a_new_home_has_no_problem(app: App) -> None:
    """Nothing is a problem where init has just been, and every other level comes with a remedy."""
    found = list(checks(app, Ourselves(app)))
    assert [check for check in found if check.level is Level.PROBLEM] == []
    assert all(bool(check.remedy) == (check.level is not Level.OK) for check in found)


@pytest.mark.parametrize(
    ("transport", "told"),
    [(Somebody(404), "answers 404"), (Somebody(200), "answers 200 with another certificate"), (Nobody(), "refused")],
    ids=["404", "200", "nobody"],
)
def test_the_url_must_lead_to_us(app: App, transport: Somebody | Nobody, told: str) -> None:
    """Whatever answers with anything but our own certificate is a problem (R11)."""
    (found,) = [check for check in checks(app, transport) if check.name == "url"]
    assert found.level is Level.PROBLEM
    assert told in found.finding


@pytest.mark.parametrize(
    ("name", "span", "levels"),
    [
        ("crl", 1 * DAY, [Level.OK, Level.OK]),
        ("crl", 6 * DAY, [Level.OK, Level.WARN]),
        ("crl", 8 * DAY, [Level.OK, Level.PROBLEM]),
        ("crl", 350 * DAY, [Level.WARN, Level.PROBLEM]),
        ("crl", 367 * DAY, [Level.PROBLEM, Level.PROBLEM]),
        ("credential", 1 * DAY, [Level.OK, Level.OK]),
        ("credential", 20 * DAY, [Level.OK, Level.WARN]),
        ("credential", 31 * DAY, [Level.OK, Level.PROBLEM]),
        ("credential", 300 * DAY, [Level.WARN, Level.PROBLEM]),
        ("credential", 366 * DAY, [Level.PROBLEM, Level.PROBLEM]),
        ("admin tls", 300 * DAY, [Level.OK]),
        ("admin tls", 380 * DAY, [Level.WARN]),
        ("admin tls", 398 * DAY, [Level.PROBLEM]),
        ("authority", 365 * DAY, [Level.OK, Level.OK]),
        ("authority", 8 * 365 * DAY - 30 * DAY, [Level.OK, Level.WARN]),
        ("authority", 8 * 366 * DAY, [Level.OK, Level.PROBLEM]),
        ("authority", 20 * 366 * DAY, [Level.PROBLEM, Level.PROBLEM]),
    ],
)
def test_whatever_ends_is_told_in_time(app: App, name: str, span: timedelta, levels: list[Level]) -> None:
    """Root first, then issuing CA; RA first, then OCSP: a warning before the end and a problem after it."""
    assert _levels(_after(app, span), name) == levels


def test_a_missing_key_is_a_problem(app: App) -> None:
    """An issuing CA or a credential whose key is gone is a problem; a root whose key is offline is as it should be."""
    for authority in app.store.authorities():
        app.store.destroy_key(authority.key_id)
    master, root, issuing = _found(app, "keys")
    assert (master.level, root.level, issuing.level) == (Level.WARN, Level.OK, Level.PROBLEM)
    assert "offline" in root.finding
    assert "--root-key DIR" in next(check for check in _found(_after(app, 350 * DAY), "crl")).remedy


def test_a_credential_without_its_key_is_a_problem(app: App) -> None:
    """A certificate alone answers nobody."""
    door = app.store.door("default")
    assert door is not None
    app.store.destroy_key(door.ra.key_id)
    assert _levels(app, "credential") == [Level.PROBLEM, Level.OK]


def test_a_master_key_elsewhere_is_fine(scene: Scene, tmp_path: Path) -> None:
    """The remark about keys and lock in one place ends when the master key is moved (R10)."""
    elsewhere = tmp_path / "elsewhere.key"
    (scene.home / "master.key").rename(elsewhere)
    app = build(load_config({"REGALIA_MASTER_KEY_FILE": str(elsewhere)}, home=scene.home))
    try:
        assert _found(app, "keys")[0].level is Level.OK
    finally:
        app.close()


def test_another_homes_master_key_opens_nothing(scene: Scene) -> None:
    """A home refuses a master key that opens none of its keys, before a challenge is made under it (ADM-010)."""
    (scene.home / "master.key").write_text("5a" * 32 + "\n")
    with pytest.raises(AdminError) as caught:
        build(load_config({}, home=scene.home))
    assert caught.value.reason is reasons.MASTER_KEY_REFUSED


def test_an_altered_key_is_a_problem_of_its_own(app: App, scene: Scene) -> None:
    """A home with one altered key opens for the sake of the others, and doctor names that key's authority."""
    issuing = app.store.authorities()[1]
    with closing(sqlite3.connect(scene.home / "regalia.db", isolation_level=None)) as database:
        statement = "UPDATE wrapped_key SET blob = zeroblob(length(blob)) WHERE id = ?"
        assert database.execute(statement, (issuing.key_id.bytes,)).rowcount == 1
    again = build(load_config({}, home=scene.home))
    try:
        found = _found(again, "keys")[-1]
    finally:
        again.close()
    assert (found.level, issuing.name in found.finding) == (Level.PROBLEM, True)
    assert "altered" in found.finding


def test_an_unusable_admin_certificate_is_a_problem(app: App, scene: Scene) -> None:
    """Administrators would meet a listener that cannot open."""
    (scene.home / CERTIFICATE_FILE).unlink()
    assert _levels(app, "admin tls") == [Level.PROBLEM]


def test_a_failed_job_is_worth_a_look(app: App) -> None:
    """A job that failed is told with its error until it succeeds again."""
    now = app.clock.now()
    app.store.lease("recovery", "node/1", now, now + DAY)
    app.store.finished("recovery", "node/1", now, "the disk is full")
    (failed,) = _found(app, "jobs")
    assert (failed.level, failed.finding) == (Level.WARN, "recovery failed: the disk is full")
    app.store.lease("recovery", "node/1", now, now + DAY)
    app.store.finished("recovery", "node/1", now, "")
    assert _levels(app, "jobs") == [Level.OK]
