"""Contract of alerts, their targets and their outbox."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier
from typing import TYPE_CHECKING

from regalia.model import (
    Action,
    Actor,
    ActorKind,
    Alert,
    AlertCondition,
    AlertTarget,
    Delivery,
    DeliveryState,
    EventDraft,
    Finding,
    Occasion,
    Outcome,
    Severity,
    TargetKind,
)
from regalia.ports import AlertFilter, EventFilter
from store.samples import MINUTE, NOW
from store.samples import an_id as _an_id

if TYPE_CHECKING:
    from uuid import UUID

    from regalia.ports import Store

FINDING = Finding(AlertCondition.CRL_LATE, "crl:default", Severity.CRITICAL, "it is late", "Publish it.", "default")
TOLD = EventDraft(NOW, Actor(ActorKind.SYSTEM, "alerts"), Action.ALERT_OPENED, "alert:x", Outcome.OK)


def an_id(number: int) -> UUID:
    """Return an id that sorts by `number`."""
    return _an_id("alert", number)


def an_alert(number: int = 1, finding: Finding = FINDING) -> Alert:
    """Make an open alert."""
    return Alert(an_id(number), finding, NOW, NOW)


def a_target(number: int = 50, name: str = "on-call") -> AlertTarget:
    """Make a web hook."""
    return AlertTarget(an_id(number), name, TargetKind.WEB_HOOK, "https://x.test/", b"sealed", NOW, "os:root")


def a_delivery(number: int = 100, target: int = 50) -> Delivery:
    """Make one that is due."""
    return Delivery(an_id(number), an_id(target), "on-call", an_id(1), Occasion.OPENED, "{}", NOW, NOW)


def test_an_alert_and_its_messages_are_one(store: Store) -> None:
    """An alert is kept with its messages and events in one transaction, and reads as it was written."""
    assert store.open_alert(an_alert(), (a_delivery(),), (TOLD,))
    assert store.alert(an_id(1)) == an_alert()
    assert store.delivery(an_id(100)) == a_delivery()
    assert [event.draft for event in store.events(EventFilter(action=Action.ALERT_OPENED))] == [TOLD]
    assert store.alert(an_id(2)) is None
    assert store.delivery(an_id(2)) is None


def test_what_is_wrong_is_open_once(store: Store) -> None:
    """Of one condition and object one alert is open; when it is closed the next one can be opened."""
    assert store.open_alert(an_alert(), (), ())
    assert not store.open_alert(an_alert(2), (a_delivery(),), (TOLD,))
    assert store.deliveries() == ()
    assert store.events(EventFilter(action=Action.ALERT_OPENED)) == ()
    assert store.open_alert(an_alert(3, replace(FINDING, object="crl:other", group=None)), (), ())
    closed = replace(an_alert(), closed_at=NOW + MINUTE, note="over")
    assert store.change_alert(an_alert(), closed, (), ())
    assert store.open_alert(an_alert(4), (), ())
    assert [alert.id for alert in store.alerts(AlertFilter())] == [an_id(4), an_id(3), an_id(1)]
    assert [alert.id for alert in store.alerts(AlertFilter(open=False))] == [an_id(1)]
    assert [alert.id for alert in store.alerts(AlertFilter(open=True))] == [an_id(4), an_id(3)]
    assert [alert.id for alert in store.alerts(AlertFilter(limit=1))] == [an_id(4)]


def test_alerts_of_groups(store: Store) -> None:
    """AUTHZ-4: who sees some groups is given their alerts alone; those of no group are not theirs."""
    store.open_alert(an_alert(1), (), ())
    store.open_alert(an_alert(2, replace(FINDING, object="crl:root", group=None)), (), ())
    assert [alert.id for alert in store.alerts(AlertFilter(groups=frozenset({"default", "x"})))] == [an_id(1)]
    assert store.alerts(AlertFilter(groups=frozenset({"x"}))) == ()
    assert store.alerts(AlertFilter(groups=frozenset())) == ()


def test_of_two_who_change_an_alert_one_does(store: Store) -> None:
    """A change counts only for what was read: who comes second is told so, and tells nobody."""
    store.open_alert(an_alert(), (), ())
    acknowledged = replace(an_alert(), acknowledged_at=NOW, acknowledged_by="os:root")
    assert store.change_alert(an_alert(), acknowledged, (), (TOLD,))
    assert not store.change_alert(an_alert(), replace(an_alert(), told_at=NOW + MINUTE), (a_delivery(),), ())
    assert store.change_alert(acknowledged, replace(acknowledged, told_at=NOW + MINUTE), (), ())
    assert not store.change_alert(acknowledged, replace(acknowledged, closed_at=NOW + MINUTE), (), ())
    assert store.deliveries() == ()
    last = replace(acknowledged, told_at=NOW + MINUTE)
    assert store.alert(an_id(1)) == last
    assert store.change_alert(last, replace(last, closed_at=NOW), (), ())
    assert not store.change_alert(replace(last, closed_at=NOW), last, (), ())


def test_a_target_is_named_once_and_goes_with_what_waits_for_it(store: Store) -> None:
    """Removing a target forgets its secret, and ends what waits for it; what was delivered stays on record."""
    assert store.add_target(a_target(), (TOLD,))
    assert not store.add_target(a_target(51), (TOLD,))
    assert store.add_target(a_target(52, "archive"), ())
    assert [target.name for target in store.targets()] == ["archive", "on-call"]
    assert store.target("on-call") == a_target()
    assert store.target("nobody") is None
    store.open_alert(an_alert(), (a_delivery(100), a_delivery(101, target=52)), ())
    assert store.remove_target(an_id(50), NOW, (TOLD,))
    assert not store.remove_target(an_id(50), NOW, (TOLD,))
    assert store.target("on-call") is None
    ended, waiting = store.delivery(an_id(100)), store.delivery(an_id(101))
    assert ended is not None
    assert (ended.state, ended.last_error) == (DeliveryState.DEAD, "the target was removed")
    assert waiting == a_delivery(101, target=52)
    assert len(store.events(EventFilter(action=Action.ALERT_OPENED))) == 2


def test_one_attempt_at_a_time(store: Store) -> None:
    """Of several nodes that deliver one message at a time, one does; another one can when its time is over."""
    store.add_delivery(a_delivery(), (TOLD,))
    (due,) = store.due_deliveries(NOW, 10)
    start = Barrier(6)

    def claim(_: int) -> Delivery | None:
        start.wait()
        return store.claim_delivery(due, NOW, NOW + MINUTE)

    with ThreadPoolExecutor(6) as pool:
        claims = [claim for claim in pool.map(claim, range(6)) if claim is not None]
    assert claims == [replace(a_delivery(), attempts=1, next_at=NOW + MINUTE, last_at=NOW)]
    assert store.due_deliveries(NOW + MINUTE - timedelta(milliseconds=1), 10) == ()
    (again,) = store.due_deliveries(NOW + MINUTE, 10)
    second = store.claim_delivery(again, NOW + MINUTE, NOW + 2 * MINUTE)
    assert second is not None
    assert (second.id, second.body, second.attempts) == (again.id, again.body, 2)
    # Who was thought dead comes back late: its word does not count any more.
    assert not store.conclude_delivery(claims[0], replace(claims[0], state=DeliveryState.DEAD), (TOLD,))
    assert store.conclude_delivery(second, replace(second, state=DeliveryState.DELIVERED), ())
    assert store.due_deliveries(NOW + 10 * MINUTE, 10) == ()
    assert store.claim_delivery(replace(second, state=DeliveryState.DELIVERED), NOW + 10 * MINUTE, NOW) is None


def test_what_ended_can_be_told_again(store: Store) -> None:
    """A replay has the same id and octets, its attempts counted anew; what still waits is not replayed."""
    store.add_delivery(a_delivery(), ())
    assert not store.replay_delivery(a_delivery(), NOW, (TOLD,))
    claimed = store.claim_delivery(a_delivery(), NOW, NOW + MINUTE)
    assert claimed is not None
    dead = replace(claimed, state=DeliveryState.DEAD, last_error="nobody answers")
    assert store.conclude_delivery(claimed, dead, ())
    assert store.deliveries(state=DeliveryState.DEAD, target="on-call") == (dead,)
    assert store.deliveries(state=DeliveryState.WAITING) == ()
    assert store.deliveries(target="other") == ()
    assert store.replay_delivery(dead, NOW + MINUTE, (TOLD,))
    assert not store.replay_delivery(dead, NOW + MINUTE, (TOLD,))
    assert store.due_deliveries(NOW + MINUTE, 10) == (
        replace(dead, state=DeliveryState.WAITING, attempts=0, next_at=NOW + MINUTE),
    )


def test_deliveries_come_in_the_order_of_their_time(store: Store) -> None:
    """What is due longest comes first, as many as are asked for; lists show the newest first."""
    for number, minutes in ((101, 2), (102, 1), (103, 3)):
        store.add_delivery(replace(a_delivery(number), next_at=NOW + minutes * MINUTE), ())
    assert [each.id for each in store.due_deliveries(NOW + 2 * MINUTE, 10)] == [an_id(102), an_id(101)]
    assert [each.id for each in store.due_deliveries(NOW + 3 * MINUTE, 1)] == [an_id(102)]
    assert [each.id for each in store.deliveries(limit=2)] == [an_id(103), an_id(102)]


def test_a_target_that_takes_nothing_fills_nobodys_place(store: Store) -> None:
    """However much waits for one target, what is due for another one is found beside it."""
    for number in range(101, 106):
        store.add_delivery(a_delivery(number), ())
    store.add_delivery(replace(a_delivery(106, target=51), next_at=NOW + MINUTE), ())
    assert [each.id for each in store.due_deliveries(NOW + MINUTE, 2)] == [an_id(101), an_id(102), an_id(106)]


def test_what_ended_long_ago_is_forgotten(store: Store) -> None:
    """Closed alerts and ended messages go after their time; what is open or waits stays, however old."""
    store.open_alert(an_alert(1), (a_delivery(100),), ())
    ended = replace(a_delivery(101), state=DeliveryState.DELIVERED)
    store.add_delivery(ended, ())
    store.open_alert(an_alert(2, replace(FINDING, object="crl:x")), (), ())
    store.change_alert(store.alerts(AlertFilter())[0], replace(an_alert(2), closed_at=NOW), (), ())
    assert store.forget_alerts(NOW) == 0
    assert store.forget_alerts(NOW + MINUTE) == 2
    assert [alert.id for alert in store.alerts(AlertFilter())] == [an_id(1)]
    assert [each.id for each in store.deliveries()] == [an_id(100)]


def test_secrets_of_targets_go_with_a_rotation(store: Store) -> None:
    """What signs web hooks lies under the master key, and is sealed anew with everything else under it."""
    store.add_target(a_target(), ())
    store.add_target(replace(a_target(51, "mail"), kind=TargetKind.MAIL, sealed=b""), ())
    (sealed,) = store.sealed_secrets()
    assert (sealed.scope, sealed.which, sealed.sealed) == (a_target().scope, an_id(50).bytes, b"sealed")
    assert store.replace_sealed(sealed, b"anew")
    assert not store.replace_sealed(sealed, b"twice")
    assert store.target("on-call") == replace(a_target(), sealed=b"anew")


def test_what_was_refused_lately(store: Store) -> None:
    """What was refused since a time is found, newest first and as many as asked for; what was allowed is not."""
    device = Actor(ActorKind.DEVICE, "192.0.2.1", "192.0.2.1")
    drafts = [
        EventDraft(NOW + minute * MINUTE, device, Action.ENROLMENT_REFUSED, "endpoint:x", outcome, "default")
        for minute, outcome in ((0, Outcome.REFUSED), (1, Outcome.REFUSED), (2, Outcome.OK), (3, Outcome.REFUSED))
    ]
    store.record(drafts)
    assert [event.draft for event in store.refused_since(NOW + MINUTE, 10)] == [drafts[3], drafts[1]]
    assert [event.draft for event in store.refused_since(NOW, 1)] == [drafts[3]]
