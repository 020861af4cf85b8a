"""Alerts in memory: what is told to whom, how often, and what becomes of messages that nobody takes."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from fakes import MemorySealer
from regalia import reasons
from regalia.errors import AdminError, UnavailableError
from regalia.model import (
    Action,
    AlertCondition,
    AlertTarget,
    DeliveryState,
    Finding,
    Occasion,
    Outcome,
    Severity,
    TargetKind,
)
from regalia.ports import AlertFilter
from regalia.ra.alerts import AlertDesk, is_of_node
from world import ADMIN, World

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
LATE = Finding(AlertCondition.CRL_LATE, "crl:default", Severity.WARNING, "it is late", "Publish it.", "default")
DISK = Finding(AlertCondition.DISK_LOW, "node:one/disk", Severity.WARNING, "it is full", "Make room.")


@pytest.fixture
def world() -> World:
    """Return a system with one target."""
    made = World()
    made.alerts.create_target("on-call", TargetKind.MAIL, "pki@example.org", ADMIN)
    return made


def target(world: World) -> AlertTarget:
    """Return the target."""
    return world.store.targets()[0]


def look(world: World, *found: Finding) -> None:
    """Let the cluster's job look, and deliver what it has to tell."""
    world.alerts.look(found, world.clock.now(), lambda alert: not is_of_node(alert))
    world.alerts.deliver(world.clock.now())


def told(world: World) -> list[Occasion]:
    """Return what was told so far."""
    return [delivery.occasion for _, delivery in world.told.sent]


def test_an_alert_opens_once_is_repeated_daily_and_closes(world: World) -> None:
    """What lasts is told when it begins, once a day while it lasts, and when it is over."""
    for _ in range(3):
        look(world, LATE)
        world.clock.advance(MINUTE)
    assert told(world) == [Occasion.OPENED]
    world.clock.advance(DAY)
    look(world, LATE)
    look(world, LATE)
    assert told(world) == [Occasion.OPENED, Occasion.REPEATED]
    look(world)
    look(world)
    assert told(world) == [Occasion.OPENED, Occasion.REPEATED, Occasion.CLOSED]
    (alert,) = world.store.alerts(AlertFilter())
    assert (alert.closed_at, alert.note) == (world.clock.now(), "It is over: the check finds nothing any more.")
    actions = [event.draft.action for event in world.store.log if event.draft.object.startswith("alert:")]
    assert actions == [Action.ALERT_OPENED, Action.ALERT_CLOSED]


def test_what_gets_worse_is_told_at_once(world: World) -> None:
    """An alert that becomes critical is told again without waiting for the day, also if somebody looks after it."""
    look(world, LATE)
    (alert,) = world.store.alerts(AlertFilter())
    world.alerts.acknowledge(alert, ADMIN)
    look(world, replace(LATE, severity=Severity.CRITICAL))
    look(world, LATE)
    assert told(world) == [Occasion.OPENED, Occasion.REPEATED]


def test_who_acknowledges_is_not_told_again(world: World) -> None:
    """An alert that somebody looks after is not repeated; its end is told. A closed one cannot be acknowledged."""
    look(world, LATE)
    (alert,) = world.store.alerts(AlertFilter())
    assert world.alerts.acknowledge(alert, ADMIN).acknowledged_by == "admin os:tester"
    with pytest.raises(AdminError) as raced:
        world.alerts.acknowledge(alert, ADMIN)
    assert raced.value.reason is reasons.ALERT_STATE
    world.clock.advance(2 * DAY)
    look(world, LATE)
    assert told(world) == [Occasion.OPENED]
    look(world)
    assert told(world) == [Occasion.OPENED, Occasion.CLOSED]
    with pytest.raises(AdminError) as refused:
        world.alerts.acknowledge(world.store.alerts(AlertFilter())[0], ADMIN)
    assert refused.value.reason is reasons.ALERT_STATE


def test_each_looks_at_its_own(world: World) -> None:
    """What a node found is not closed by the job that looks at what all share, until the node is silent for a day."""
    world.alerts.look((DISK,), world.clock.now(), lambda alert: alert.finding.object.startswith("node:one/"))
    look(world)
    world.alerts.close_forsaken(world.clock.now())
    assert [alert.closed_at for alert in world.store.alerts(AlertFilter())] == [None]
    (alert,) = world.store.alerts(AlertFilter())
    world.alerts.acknowledge(alert, ADMIN)
    world.clock.advance(DAY)
    world.alerts.look((DISK,), world.clock.now(), lambda alert: alert.finding.object.startswith("node:one/"))
    world.clock.advance(DAY)
    world.alerts.close_forsaken(world.clock.now())
    assert len(world.store.alerts(AlertFilter(open=True))) == 1
    world.clock.advance(DAY)
    world.alerts.close_forsaken(world.clock.now())
    (alert,) = world.store.alerts(AlertFilter())
    assert alert.note == "Its node has not said anything for a day."


def test_a_message_is_tried_until_it_is_taken(world: World) -> None:
    """CON-6: retries come later and later, each with the same id and octets; the log shows the last error."""
    world.told.fault = UnavailableError(reasons.WEB_HOOK_REFUSED, "it answers 503")
    look(world, LATE)
    (waiting,) = world.store.deliveries()
    assert (waiting.state, waiting.attempts) == (DeliveryState.WAITING, 1)
    assert waiting.last_error == "ALERT-006 the web hook did not answer with success: it answers 503"
    assert waiting.next_at - world.clock.now() == timedelta(seconds=30)
    world.alerts.deliver(world.clock.now())
    assert world.store.deliveries() == (waiting,)
    world.clock.advance(timedelta(seconds=30))
    world.alerts.deliver(world.clock.now())
    (again,) = world.store.deliveries()
    assert again.next_at - world.clock.now() == timedelta(seconds=60)
    world.told.fault = None
    world.clock.advance(timedelta(seconds=60))
    world.alerts.deliver(world.clock.now())
    (taken,) = world.store.deliveries()
    assert (taken.state, taken.attempts, taken.last_error) == (DeliveryState.DELIVERED, 3, "")
    assert (taken.id, taken.body) == (waiting.id, waiting.body)
    assert json.loads(taken.body)["id"] == str(taken.id)


def test_a_message_that_nobody_takes_is_dead_and_can_be_replayed(world: World) -> None:
    """After its last attempt a message is given up visibly, with an event; a replay sends it again, id and all."""
    world.told.fault = UnavailableError(reasons.MAIL_FAILED, "nobody answers there")
    look(world, LATE)
    for _ in range(5):
        world.clock.advance(timedelta(hours=6))
        world.alerts.deliver(world.clock.now())
    (dead,) = world.store.deliveries(state=DeliveryState.DEAD)
    assert dead.attempts == 3
    event = world.store.log[-1].draft
    assert (event.action, event.outcome, event.details["attempts"]) == (Action.DELIVERY_DEAD, Outcome.FAILED, 3)
    world.told.fault = None
    assert world.alerts.replay(dead, ADMIN).state is DeliveryState.WAITING
    with pytest.raises(AdminError) as refused:
        world.alerts.replay(world.store.deliveries()[0], ADMIN)
    assert refused.value.reason is reasons.DELIVERY_STATE
    world.alerts.deliver(world.clock.now())
    assert [delivery.id for _, delivery in world.told.sent] == [dead.id]


def test_a_replay_needs_its_target(world: World) -> None:
    """What was for a target that is gone is not sent to whoever has its name now."""
    look(world, LATE)
    (delivery,) = world.store.deliveries()
    world.alerts.remove_target(target(world), ADMIN)
    world.alerts.create_target("on-call", TargetKind.MAIL, "other@example.org", ADMIN)
    with pytest.raises(AdminError) as refused:
        world.alerts.replay(delivery, ADMIN)
    assert refused.value.reason is reasons.DELIVERY_STATE


def test_a_process_that_dies_after_sending_leaves_the_message_to_another(world: World) -> None:
    """At least once: what was sent and not noted is sent again when its time is over, with the same id."""

    class KilledError(BaseException):
        """SIGKILL, as far as a thread can be."""

    class Killed:
        """Takes the message, and does not live to tell."""

        def send(self, target: AlertTarget, delivery: object, at: object) -> None:
            raise KilledError(target.name, delivery, at)

    dying = AlertDesk(world.store, Killed(), MemorySealer(), world.clock, world.entropy, where="http://x", attempts=3)
    now = world.clock.now()
    dying.look((LATE,), now, lambda _: True)
    with pytest.raises(KilledError):
        dying.deliver(now)
    world.alerts.deliver(now + timedelta(minutes=1))
    assert told(world) == []
    world.clock.advance(timedelta(minutes=2))
    world.alerts.deliver(world.clock.now())
    assert told(world) == [Occasion.OPENED]
    assert world.store.deliveries()[0].attempts == 2


def test_a_message_that_ends_every_process_is_dead_one_day(world: World) -> None:
    """An attempt counts when it begins: whatever ends each process that sends it is not sent for ever."""
    look(world, LATE)
    (delivery,) = world.store.deliveries()
    world.alerts.replay(delivery, ADMIN)
    for _ in range(3):
        (waiting,) = world.store.due_deliveries(world.clock.now(), 1)
        assert world.store.claim_delivery(waiting, world.clock.now(), world.clock.now() + MINUTE)
        world.clock.advance(MINUTE)
    sent = len(world.told.sent)
    world.alerts.deliver(world.clock.now())
    (dead,) = world.store.deliveries()
    assert (dead.state, dead.last_error) == (DeliveryState.DEAD, "none of its attempts came to an end")
    assert len(world.told.sent) == sent


def test_one_target_holds_up_no_other(world: World) -> None:
    """A target that takes nothing is tried once in a round; the others get everything that is theirs."""
    world.alerts.create_target("archive", TargetKind.MAIL, "archive@example.org", ADMIN)
    world.told.closed = {"archive"}
    look(world, LATE, DISK)
    assert [name for name, _ in world.told.sent] == ["on-call", "on-call"]
    attempts = [each.attempts for each in world.store.deliveries(target="archive")]
    assert sorted(attempts) == [0, 1]


def test_that_a_target_is_dead_is_told_to_the_others(world: World) -> None:
    """A target that cannot be reached is not told so, or each such message would be the reason for the next."""
    world.alerts.create_target("archive", TargetKind.MAIL, "archive@example.org", ADMIN)
    dead = Finding(AlertCondition.DELIVERY_DEAD, "target:archive", Severity.WARNING, "it is dead", "See to it.")
    look(world, dead)
    assert [name for name, _ in world.told.sent] == ["on-call"]


def test_a_test_is_sent_at_once_and_once(world: World) -> None:
    """The test button tells what became of it, records it, and is never tried again."""
    taken = world.alerts.test(target(world), ADMIN)
    assert (taken.state, taken.occasion, taken.attempts) == (DeliveryState.DELIVERED, Occasion.TEST, 1)
    world.told.fault = AdminError(reasons.MAIL_NOT_SET, "no server")
    refused = world.alerts.test(target(world), ADMIN)
    assert refused.state is DeliveryState.DEAD
    assert refused.last_error.startswith("ALERT-003")
    event = world.store.log[-1].draft
    assert (event.action, event.outcome) == (Action.ALERT_TARGET_TESTED, Outcome.FAILED)
    world.told.fault = None
    world.clock.advance(DAY)
    world.alerts.deliver(world.clock.now())
    assert told(world) == [Occasion.TEST]
    assert set(world.store.deliveries()) == {refused, taken}


def test_the_secret_of_a_web_hook_is_shown_once_and_kept_sealed(world: World) -> None:
    """CON-6: each web hook has a secret of its own of 256 bits; the store has it sealed for this target alone."""
    one = world.alerts.create_target("one", TargetKind.WEB_HOOK, "https://x.test/", ADMIN)
    two = world.alerts.create_target("two", TargetKind.WEB_HOOK, "https://x.test/", ADMIN)
    assert one.secret is not None
    assert len(bytes.fromhex(one.secret)) == 32
    assert one.secret != two.secret
    kept = world.store.target("one")
    assert kept is not None
    assert one.secret.encode() not in kept.sealed
    assert kept.scope == f"alert-target:{kept.id}"
    assert one.secret not in str([event.draft for event in world.store.log])
    with pytest.raises(AdminError) as taken:
        world.alerts.create_target("one", TargetKind.MAIL, "a@example.org", ADMIN)
    assert taken.value.reason is reasons.NAME_TAKEN


def test_two_who_look_at_once_tell_once(world: World) -> None:
    """Two processes that see the same at the same time open one alert, and its message is there once."""
    now = world.clock.now()
    before = world.store.alerts(AlertFilter(open=True))
    assert before == ()
    world.alerts.look((LATE,), now, lambda _: True)
    # The other one read before the first one wrote: to it nothing is open.
    world.alerts.look((LATE,), now, lambda _: False)
    assert len(world.store.deliveries()) == 1


def test_more_alerts_than_a_list_shows_are_all_closed(world: World) -> None:
    """However much is wrong at a time, each alert is closed when it is over."""
    many = [replace(LATE, object=f"crl:group-{number}") for number in range(1_001)]
    world.alerts.look(many, world.clock.now(), lambda _: True)
    world.alerts.look((), world.clock.now(), lambda _: True)
    assert world.store.alerts(AlertFilter(open=True)) == ()
