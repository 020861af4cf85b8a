"""The jobs that look what is wrong and tell of it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from regalia import reasons
from regalia.errors import UnavailableError
from regalia.jobs.alerts import DeliverAlerts, WatchAlerts, WatchNode
from regalia.jobs.loop import JobLoop, Outcome, Scope
from regalia.model import AlertCondition, Occasion, TargetKind
from regalia.ports import AlertFilter
from regalia.ra.checkpoints import CheckpointDesk
from regalia.ra.findings import Bounds, NodeState
from world import ADMIN, World

DAY = timedelta(days=1)


@pytest.fixture
def world() -> World:
    """Return a system with one target."""
    made = World()
    made.alerts.create_target("on-call", TargetKind.MAIL, "a@example.org", ADMIN)
    return made


def watch(world: World) -> WatchAlerts:
    """Return the job that looks at what all nodes share."""
    checkpoints = CheckpointDesk(world.store, world.keys, world.clock)
    return WatchAlerts(world.alerts, world.store, checkpoints, world.links, Bounds())


def node(world: World, days: int, name: str = "one") -> WatchNode:
    """Return the job of a node whose listener's certificate ends in so many days."""
    end = world.clock.now() + days * DAY
    return WatchNode(world.alerts, lambda: NodeState(name, [("x", end)], 1, 1), Bounds())


def test_what_is_found_is_told(world: World) -> None:
    """From a job that fails to the message that says so, and to the one that says that it is over."""
    world.store.finished("recover", "a", world.clock.now(), "disk full")
    world.clock.advance(timedelta(minutes=11))
    world.store.finished("recover", "a", world.clock.now(), "disk full")
    for job in (watch(world), DeliverAlerts(world.alerts)):
        job.run(world.clock.now())
    world.store.finished("recover", "a", world.clock.now(), "")
    for job in (watch(world), DeliverAlerts(world.alerts)):
        job.run(world.clock.now())
    assert [(name, each.occasion) for name, each in world.told.sent] == [
        ("on-call", Occasion.OPENED),
        ("on-call", Occasion.CLOSED),
    ]


def test_each_node_has_its_own_alerts(world: World) -> None:
    """What one node sees is neither closed by another one nor by the job of all; each runs where it belongs."""
    node(world, 5).run(world.clock.now())
    node(world, 50, "two").run(world.clock.now())
    watch(world).run(world.clock.now())
    (alert,) = world.store.alerts(AlertFilter(open=True))
    assert (alert.finding.condition, alert.finding.object) == (AlertCondition.TLS_ENDS, "node:one/x")
    node(world, 50).run(world.clock.now())
    assert world.store.alerts(AlertFilter(open=True)) == ()
    assert (WatchAlerts.scope, WatchNode.scope, DeliverAlerts.scope) == (Scope.CLUSTER, Scope.NODE, Scope.CLUSTER)


def test_a_check_that_fails_closes_nothing(world: World) -> None:
    """Where a node cannot look, its job fails and its alerts stay as they are."""
    node(world, 5).run(world.clock.now())

    def broken() -> NodeState:
        raise UnavailableError(reasons.STORE_UNAVAILABLE)

    job = WatchNode(world.alerts, broken, Bounds())
    loop = JobLoop((job,), leases=world.store, clock=world.clock, node="one", holder="a")
    assert loop.run_once(job) is Outcome.FAILED
    assert len(world.store.alerts(AlertFilter(open=True))) == 1


def test_what_ended_long_ago_is_forgotten(world: World) -> None:
    """Alerts that are over and messages that ended go after 90 days."""
    node(world, 5).run(world.clock.now())
    DeliverAlerts(world.alerts).run(world.clock.now())
    node(world, 50).run(world.clock.now())
    DeliverAlerts(world.alerts).run(world.clock.now())
    world.clock.advance(91 * DAY)
    watch(world).run(world.clock.now())
    assert world.store.alerts(AlertFilter(open=False)) == ()
    # What the passing of time itself made wrong was opened at this look.
    assert all(each.created_at == world.clock.now() for each in world.store.deliveries())
