"""What doctor finds where people are concerned."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from regalia.app import build
from regalia.cli.check import Level
from regalia.cli.checks_access import access_checks
from regalia.config import load_config
from regalia.model import (
    Administrator,
    AdministratorState,
    Alert,
    AlertCondition,
    AlertTarget,
    Finding,
    Grant,
    OidcSubject,
    Passkey,
    Role,
    Severity,
    TargetKind,
    new_id,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cli.scene import Scene
    from regalia.app import App


@pytest.fixture
def app(scene: Scene) -> Iterator[App]:
    """Open the home."""
    opened = build(load_config({}, home=scene.home))
    yield opened
    opened.close()


def _found(app: App, name: str) -> list[tuple[Level, str]]:
    return [(check.level, f"{check.finding} {check.remedy}") for check in access_checks(app) if check.name == name]


def _alice(app: App, changed: Callable[[Administrator], Administrator] = lambda alice: alice) -> Administrator:
    """Make an administrator with one passkey, but for what is changed."""
    now = app.clock.now()
    alice = Administrator(
        id=new_id(now, app.entropy.octets(10)),
        name="alice",
        display="Alice",
        state=AdministratorState.ENABLED,
        created_at=now,
        created_by="os:tester",
        grants=(Grant(Role.ADMIN),),
        passkeys=(Passkey(b"one", b"key", 0, "One", now),),
    )
    made = changed(alice)
    assert app.store.add_administrator(made, ())
    return made


def test_that_nobody_administers_is_told_with_the_way_to_change_it(app: App) -> None:
    """A home without an administrator is worth a look, and the command for the first link is named."""
    ((level, told),) = _found(app, "access")
    assert (level, "regalia admin setup-link" in told) == (Level.WARN, True)


@pytest.mark.parametrize(
    "lost",
    [
        lambda alice: replace(alice, passkeys=()),
        lambda alice: replace(alice, state=AdministratorState.DISABLED),
        lambda alice: replace(alice, grants=()),
    ],
    ids=["no-passkey", "disabled", "no-role"],
)
def test_that_nobody_gets_in_is_told_with_the_rescue(app: App, lost: Callable[[Administrator], Administrator]) -> None:
    """Where no administrator can sign in and give roles, doctor names the command that lets one in again."""
    _alice(app, lost)
    ((level, told),) = _found(app, "access")
    assert (level, "regalia admin rescue" in told) == (Level.WARN, True)


def test_one_way_in_is_worth_a_look_and_two_are_fine(app: App) -> None:
    """The only way in of the only administrator is one that can be lost; a linked identity beside it is enough."""
    alice = _alice(app)
    ((level, told),) = _found(app, "access")
    assert (level, told.startswith("alice alone administers")) == (Level.WARN, True)
    linked = replace(alice, subjects=(OidcSubject("https://login.example.test", "0815", app.clock.now()),))
    assert app.store.change_administrator(alice, linked, ())
    assert _found(app, "access") == [(Level.OK, "alice can sign in and administer ")]


def test_alerts_that_nobody_is_told_of_are_worth_a_look(app: App) -> None:
    """Without a target nobody is told of alerts; an open one that nobody acknowledged is worth a look besides."""
    assert [level for level, _ in _found(app, "alerts")] == [Level.WARN]
    now = app.clock.now()
    target = AlertTarget(new_id(now, app.entropy.octets(10)), "mail", TargetKind.MAIL, "pki@example.test", b"", now, "")
    assert app.store.add_target(target, ())
    assert _found(app, "alerts") == []
    finding = Finding(AlertCondition.DISK_LOW, "node:a/disk", Severity.WARNING, "the disk is full", "Make room.")
    alert = Alert(new_id(now, app.entropy.octets(10)), finding, now, now)
    assert app.store.open_alert(alert, (), ())
    ((level, told),) = _found(app, "alerts")
    assert (level, "1 of the alerts" in told, "--state open" in told) == (Level.WARN, True, True)
    assert app.store.change_alert(alert, replace(alert, acknowledged_at=now), (), ())
    assert _found(app, "alerts") == []
