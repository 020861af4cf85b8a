"""Verbs about alerts, targets and deliveries: what they tell, to whom, and what they refuse."""

from __future__ import annotations

import pytest

from fakes import MemoryOutgoing, MemorySealer
from regalia import reasons
from regalia.errors import AdminError, UnavailableError
from regalia.model import AlertCondition, DeliveryState, Finding, Grant, Occasion, Reach, Role, Severity
from regalia.net.mail import MailSender
from regalia.net.web_hook import TargetSender, WebHookSender
from regalia.ra.alerts import AlertDesk
from regalia.ra.roles import EVERYTHING
from regalia.verbs import Caller, LocalDoor
from regalia.verbs import alert as verbs
from world import ADMIN, World

OURS = Finding(AlertCondition.CRL_LATE, "crl:default", Severity.WARNING, "ours is late", "Publish it.", "default")
THEIRS = Finding(AlertCondition.CRL_LATE, "crl:other", Severity.WARNING, "theirs is late", "Publish it.", "other")
WHOLE = Finding(AlertCondition.CHECKPOINT_LATE, "log:checkpoint", Severity.WARNING, "it is late", "Make one.")


@pytest.fixture
def world() -> World:
    """Return a system with an alert of each of two groups, and one of the whole."""
    made = World()
    made.alerts.look((OURS, THEIRS, WHOLE), made.clock.now(), lambda _: True)
    return made


@pytest.fixture
def door(world: World) -> LocalDoor:
    """Return the door of somebody who may do everything."""
    return LocalDoor(world, Caller(ADMIN, EVERYTHING))


def of_group(world: World, role: Role, group: str = "default") -> LocalDoor:
    """Return the door of somebody whose role counts in one group."""
    return LocalDoor(world, Caller(ADMIN, (Grant(role, Reach(frozenset({group}))),)))


def summaries(door: LocalDoor, **asked: object) -> set[str]:
    """List alerts."""
    return {each.summary for each in door.ask(verbs.LIST, verbs.ListAlerts(**asked)).items}  # type: ignore[arg-type]


def id_of(door: LocalDoor, summary: str) -> str:
    """Find an alert's id."""
    return next(each.id for each in door.ask(verbs.LIST, verbs.ListAlerts()).items if each.summary == summary)


def test_alerts_are_seen_by_reach(world: World, door: LocalDoor) -> None:
    """AUTHZ-4: who sees one group sees its alerts; those of others and of the whole are not there for them."""
    assert summaries(door) == {"ours is late", "theirs is late", "it is late"}
    helpdesk = of_group(world, Role.HELPDESK)
    assert summaries(helpdesk) == {"ours is late"}
    assert helpdesk.ask(verbs.SHOW, verbs.ShowAlert(id=id_of(door, "ours is late"))).group == "default"
    for hidden in ("theirs is late", "it is late"):
        told = set()
        for wanted in (id_of(door, hidden), "019ca8a0-0000-7000-8000-000000000000"):
            with pytest.raises(AdminError) as refused:
                helpdesk.ask(verbs.SHOW, verbs.ShowAlert(id=wanted))
            told.add((refused.value.reason, refused.value.detail.replace(wanted, "")))
        assert told == {(reasons.NOT_FOUND, "alert ")}


def test_a_list_is_searched_and_filtered(world: World, door: LocalDoor) -> None:
    """Alerts are found by their words, and by whether they last."""
    assert summaries(door, q="theirs") == {"theirs is late"}
    world.alerts.look((), world.clock.now(), lambda alert: alert.finding == OURS)
    assert summaries(door, state=verbs.AlertState.CLOSED) == {"ours is late"}
    assert summaries(door, state=verbs.AlertState.OPEN) == {"theirs is late", "it is late"}
    page = door.ask(verbs.LIST, verbs.ListAlerts(limit=2))
    assert page.total == "3"
    rest = door.ask(verbs.LIST, verbs.ListAlerts(limit=2, after=page.next))
    assert len({each.id for each in (*page.items, *rest.items)}) == 3


def test_an_operator_acknowledges(world: World, door: LocalDoor) -> None:
    """Who decides in a group looks after its alerts; a helpdesk does not, nor does anybody for a closed one."""
    wanted = verbs.AcknowledgeAlert(id=id_of(door, "ours is late"))
    with pytest.raises(AdminError) as refused:
        of_group(world, Role.HELPDESK).ask(verbs.ACKNOWLEDGE, wanted)
    assert refused.value.reason is reasons.RIGHT_MISSING
    operator = of_group(world, Role.OPERATOR)
    assert operator.ask(verbs.ACKNOWLEDGE, wanted).acknowledged_by == "admin os:tester"
    with pytest.raises(AdminError) as foreign:
        operator.ask(verbs.ACKNOWLEDGE, verbs.AcknowledgeAlert(id=id_of(door, "theirs is late")))
    assert foreign.value.reason is reasons.NOT_FOUND
    world.alerts.look((), world.clock.now(), lambda _: True)
    with pytest.raises(AdminError) as closed:
        operator.ask(verbs.ACKNOWLEDGE, wanted)
    assert closed.value.reason is reasons.ALERT_STATE


def test_targets_concern_the_whole(world: World) -> None:
    """Whose right counts in some groups only neither sees nor makes targets, and sees no deliveries."""
    admin = of_group(world, Role.ADMIN)
    refusals = []
    with pytest.raises(AdminError) as refused:
        admin.ask(verbs.TARGETS, verbs.ListTargets())
    refusals.append(refused.value.reason)
    with pytest.raises(AdminError) as refused:
        admin.ask(verbs.CREATE_TARGET, verbs.CreateTarget(name="x", email="a@example.org"))
    refusals.append(refused.value.reason)
    with pytest.raises(AdminError) as refused:
        admin.ask(verbs.DELIVERIES, verbs.ListDeliveries())
    refusals.append(refused.value.reason)
    assert refusals == [reasons.RIGHT_MISSING] * 3


def test_a_target_from_its_making_to_its_end(world: World, door: LocalDoor) -> None:
    """A target is made, tested, told, shown without its secret, and removed with what waits for it."""
    made = door.ask(verbs.CREATE_TARGET, verbs.CreateTarget(name="on-call", url="https://hooks.example.org/x"))
    assert made.secret is not None
    shown = door.ask(verbs.SHOW_TARGET, verbs.ShowTarget(name="on-call"))
    assert made.secret not in shown.model_dump_json()
    assert door.ask(verbs.TEST_TARGET, verbs.TestTarget(name="on-call")).state is DeliveryState.DELIVERED
    world.alerts.look((), world.clock.now(), lambda alert: alert.finding == OURS)
    assert door.ask(verbs.SHOW_TARGET, verbs.ShowTarget(name="on-call")).waiting == 1
    planned = door.plan(verbs.REMOVE_TARGET, verbs.RemoveTarget(name="on-call")).would
    assert planned[1] == "give up what waits for it: 1"
    assert door.ask(verbs.REMOVE_TARGET, verbs.RemoveTarget(name="on-call")).name == "on-call"
    (dead,) = door.ask(verbs.DELIVERIES, verbs.ListDeliveries(state=DeliveryState.DEAD)).items
    assert (dead.occasion, dead.state, dead.error) == (Occasion.CLOSED, DeliveryState.DEAD, "the target was removed")
    with pytest.raises(AdminError) as gone:
        door.ask(verbs.SHOW_TARGET, verbs.ShowTarget(name="on-call"))
    assert gone.value.reason is reasons.NOT_FOUND
    with pytest.raises(AdminError) as late:
        door.ask(verbs.REPLAY, verbs.ReplayDelivery(id=dead.id))
    assert late.value.reason is reasons.DELIVERY_STATE


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (verbs.CreateTarget(name="x"), reasons.TARGET_REFUSED),
        (verbs.CreateTarget(name="x", email="a@b.test", url="https://b.test/"), reasons.TARGET_REFUSED),
        (verbs.CreateTarget(name="x", email="a@b.test\r\nBcc: c@d.test"), reasons.TARGET_REFUSED),
        (verbs.CreateTarget(name="x", email="a@b.test, c@d.test"), reasons.TARGET_REFUSED),
        (verbs.CreateTarget(name="x", url="ftp://b.test/"), reasons.OUTGOING_REFUSED),
        (verbs.CreateTarget(name="x", url="https://2130706433/"), reasons.OUTGOING_REFUSED),
        (verbs.CreateTarget(name="x", url="https://user:pass@b.test/"), reasons.OUTGOING_REFUSED),
        (verbs.CreateTarget(name="Not a name", email="a@b.test"), reasons.NAME_REFUSED),
    ],
)
def test_targets_that_are_refused(door: LocalDoor, asked: verbs.CreateTarget, reason: object) -> None:
    """A target is one plain address or one URL that can mean one thing only."""
    with pytest.raises(AdminError) as refused:
        door.ask(verbs.CREATE_TARGET, asked)
    assert refused.value.reason is reason


@pytest.mark.parametrize(
    "fault",
    [
        AdminError(reasons.OUTGOING_REFUSED, "the host has an address that is not public"),
        UnavailableError(reasons.OUTGOING_FAILED, "nobody answers there"),
        UnavailableError(reasons.OUTGOING_UNTRUSTED, "its certificate is not accepted: self-signed certificate"),
        AdminError(reasons.MAIL_NOT_SET, "no server"),
        UnavailableError(reasons.MAIL_FAILED, "it answers 554"),
        UnavailableError(reasons.WEB_HOOK_REFUSED, "it answers 500"),
    ],
)
def test_a_test_tells_why_it_was_not_taken(world: World, door: LocalDoor, fault: AdminError | UnavailableError) -> None:
    """The test button says with the reason's id why nothing arrived; it is an answer, not a failure of the command."""
    door.ask(verbs.CREATE_TARGET, verbs.CreateTarget(name="x", email="a@example.org"))
    world.told.fault = fault
    tried = door.ask(verbs.TEST_TARGET, verbs.TestTarget(name="x"))
    assert (tried.state, tried.error) == (DeliveryState.DEAD, str(fault))


def test_what_was_given_up_is_replayed(world: World, door: LocalDoor) -> None:
    """A delivery that is dead is found by its state and target, and waits again after a replay."""
    door.ask(verbs.CREATE_TARGET, verbs.CreateTarget(name="x", email="a@example.org"))
    world.told.fault = UnavailableError(reasons.MAIL_FAILED, "nobody answers there")
    door.ask(verbs.TEST_TARGET, verbs.TestTarget(name="x"))
    world.told.fault = None
    (dead,) = door.ask(verbs.DELIVERIES, verbs.ListDeliveries(state=DeliveryState.DEAD, target="x")).items
    assert door.ask(verbs.REPLAY, verbs.ReplayDelivery(id=dead.id[:8])).state is DeliveryState.WAITING
    with pytest.raises(AdminError) as refused:
        door.ask(verbs.REPLAY, verbs.ReplayDelivery(id=dead.id))
    assert refused.value.reason is reasons.DELIVERY_STATE
    world.alerts.deliver(world.clock.now())
    assert [delivery.occasion for _, delivery in world.told.sent] == [Occasion.TEST]
    with pytest.raises(AdminError) as unknown:
        door.ask(verbs.REPLAY, verbs.ReplayDelivery(id="019ca8a0-0000-7000-8000-000000000000"))
    assert unknown.value.reason is reasons.NOT_FOUND


def test_the_records_say_nothing_of_the_other_side(world: World, door: LocalDoor) -> None:
    """SSRF-5: what a web hook answered is not in any record; its status alone is."""
    sealer, outgoing = MemorySealer(), MemoryOutgoing()
    sender = TargetSender(MailSender(None), WebHookSender(outgoing, sealer))
    world.alerts = AlertDesk(world.store, sender, sealer, world.clock, world.entropy, where="http://x")
    door.ask(verbs.CREATE_TARGET, verbs.CreateTarget(name="x", url="https://x.test/"))
    outgoing.status = 418
    tried = door.ask(verbs.TEST_TARGET, verbs.TestTarget(name="x"))
    assert tried.error == f"{reasons.WEB_HOOK_REFUSED}: it answers 418"
