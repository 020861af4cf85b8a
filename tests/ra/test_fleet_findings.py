"""What is wrong with connectors and with what follows: told once it has lasted, and over by itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from ra.test_follow_run import WIPED, Fleet, let_go
from regalia import reasons
from regalia.model import AlertCondition, Finding, Severity
from regalia.model.connector import NotAsked
from regalia.ports.fleet import Sweep
from regalia.ra.fleet_findings import found_in_fleet
from vouching_parts import FakeLink, FakeLinks


def looked(fleet: Fleet, *shut: str) -> tuple[Finding, ...]:
    """Look; these connectors cannot be asked."""
    links = FakeLinks(FakeLink("intune"))
    links.links |= {name: NotAsked(reasons.CONNECTOR_UNREADABLE, name) for name in shut}
    return tuple(found_in_fleet(fleet.store, links, fleet.clock.now()))


def found(fleet: Fleet) -> list[tuple[AlertCondition, str, Severity]]:
    """Look."""
    return [(each.condition, each.object, each.severity) for each in looked(fleet)]


def test_a_connector_that_does_not_answer() -> None:
    """A reading that stands still is told after a quarter of an hour, is critical after six hours, over at its end."""
    fleet = Fleet()
    began = fleet.clock.now()
    sweep = Sweep(UUID(int=5), "intune", full=True, began_at=began, cursor=None, seen=3, why="CON-020 HTTP 500")
    assert fleet.store.put_sweep(None, sweep, ())
    assert found(fleet) == []
    fleet.clock.advance(timedelta(minutes=16))
    assert found(fleet) == [(AlertCondition.CONNECTOR_AWAY, "connector:intune", Severity.WARNING)]
    fleet.clock.advance(timedelta(hours=6))
    assert found(fleet) == [(AlertCondition.CONNECTOR_AWAY, "connector:intune", Severity.CRITICAL)]
    (told,) = looked(fleet)
    assert "CON-020 HTTP 500" in told.summary
    assert fleet.store.put_sweep(sweep, replace(sweep, ended_at=fleet.clock.now(), complete=True, why=""), ())
    assert found(fleet) == []


def test_one_that_is_disabled_is_not_missed() -> None:
    """Nobody is told of a connector that an administrator disabled."""
    fleet = Fleet()
    now = fleet.clock.now()
    broken = Sweep(UUID(int=5), "intune", full=True, began_at=now, cursor=None, seen=0, ended_at=now, why="broken off")
    assert fleet.store.put_sweep(None, broken, ())
    fleet.clock.advance(timedelta(hours=1))
    assert [each[0] for each in found(fleet)] == [AlertCondition.CONNECTOR_AWAY]
    connector = fleet.store.connector("intune")
    assert connector is not None
    assert fleet.store.change_connector(connector, replace(connector, disabled_at=now), None, ())
    assert found(fleet) == []


def test_one_that_cannot_be_asked_at_all() -> None:
    """A connector whose secret does not open any more is critical at once, whatever its last reading was."""
    fleet = Fleet()
    (told,) = looked(fleet, "intune")
    assert (told.condition, told.object) == (AlertCondition.CONNECTOR_AWAY, "connector:intune")
    assert told.severity is Severity.CRITICAL
    assert reasons.CONNECTOR_UNREADABLE.id in told.summary
    assert told.remedy == reasons.CONNECTOR_UNREADABLE.remedy
    assert looked(fleet) == ()


def test_a_run_that_the_brake_stopped() -> None:
    """REV-7: a stopped run is critical at once, until it was let go."""
    fleet = Fleet(60)
    fleet.become(WIPED, *range(1, 31))
    stopped = fleet.run().stopped
    assert stopped is not None
    assert found(fleet) == [(AlertCondition.FOLLOW_STOPPED, f"run:{stopped.digest}", Severity.CRITICAL)]
    (told,) = looked(fleet)
    assert told.summary.startswith("30 certificates would be revoked or held")
    let_go(fleet, stopped)
    assert found(fleet) == []
