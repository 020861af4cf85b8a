"""What is wrong now: each condition with what makes it so, and what does not yet."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from regalia import reasons
from regalia.model import (
    Action,
    Actor,
    ActorKind,
    AlertCondition,
    CredentialPurpose,
    DeliveryState,
    EventDraft,
    Occasion,
    Outcome,
    Severity,
    TargetKind,
    new_id,
)
from regalia.ra.checkpoints import CheckpointDesk
from regalia.ra.findings import Bounds, NodeState, found_in_cluster, found_on_node
from regalia.wire.certificate import read_certificate
from world import ADMIN, Device, World, names

if TYPE_CHECKING:
    from datetime import datetime

    from regalia.errors import Reason
    from regalia.model import Finding, JsonValue

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


@pytest.fixture
def world() -> World:
    """Return a system whose lists and checkpoint are published, as a server that runs leaves it."""
    made = World()
    for authority in made.store.authorities():
        made.crls.publish(authority.name, ADMIN)
    desk(made).make(ADMIN)
    return made


def desk(world: World) -> CheckpointDesk:
    """Return who makes checkpoints."""
    return CheckpointDesk(world.store, world.keys, world.clock)


def found(world: World, bounds: Bounds | None = None) -> dict[tuple[AlertCondition, str], Finding]:
    """Look at what all nodes share."""
    findings = found_in_cluster(world.store, desk(world), world.links, world.clock.now(), bounds or Bounds())
    return {(each.condition, each.object): each for each in findings}


def until(world: World, end: datetime, before: timedelta) -> None:
    """Let time pass until so long before an end."""
    world.clock.advance(end - before - world.clock.now())


def refuse(world: World, reason: Reason, count: int = 1, group: str = "default") -> None:
    """Record refusals."""
    device = Actor(ActorKind.DEVICE, "192.0.2.1", "192.0.2.1")
    now = world.clock.now()
    draft = EventDraft(
        now, device, Action.ENROLMENT_REFUSED, f"endpoint:{group}", Outcome.REFUSED, group, reason_id=reason.id
    )
    world.store.record([draft] * count)


def test_nothing_is_wrong_with_what_was_just_made(world: World) -> None:
    """A system that was just set up has no alerts."""
    assert found(world) == {}


def test_an_authority_near_its_end(world: World) -> None:
    """An authority that ends within 90 days is a warning of its group, within 10 and afterwards it is critical."""
    authority = next(each for each in world.store.authorities() if each.group == "default")
    end = read_certificate(authority.certificate_der).not_after
    key = (AlertCondition.AUTHORITY_ENDS, f"authority:{authority.name}")
    until(world, end, 90 * DAY)
    assert key not in found(world)
    until(world, end, 90 * DAY - MINUTE)
    assert (found(world)[key].severity, found(world)[key].group) == (Severity.WARNING, authority.group)
    assert key not in found(world, Bounds(authority=30 * DAY))
    until(world, end, 9 * DAY)
    assert found(world)[key].severity is Severity.CRITICAL
    until(world, end, -DAY)
    assert "ended on" in found(world)[key].summary


@pytest.mark.parametrize(("purpose", "share"), [(CredentialPurpose.RA, 6), (CredentialPurpose.OCSP, 4)])
def test_a_credential_that_nobody_renews(world: World, purpose: CredentialPurpose, share: int) -> None:
    """A renewal is due long before; that it was not made in half of its time is an alert."""
    authority = world.store.groups()[0].authority
    (credential, *_) = world.store.credentials(purpose, authority)
    key = (AlertCondition.CREDENTIAL_ENDS, f"credential:{purpose.value}/{authority}")
    life = credential.not_after - credential.not_before
    until(world, credential.not_after, life / share + MINUTE)
    assert key not in found(world)
    until(world, credential.not_after, life / share - MINUTE)
    assert found(world)[key].severity is Severity.WARNING
    until(world, credential.not_after, MINUTE)
    assert found(world)[key].severity is Severity.CRITICAL


def test_a_crl_near_its_end_or_late(world: World) -> None:
    """A list in its last quarter is a warning, one that ended is critical; a root's is asked for 30 days before."""
    authority = world.store.groups()[0].authority
    last = world.store.last_crl(authority)
    assert last is not None
    key = (AlertCondition.CRL_LATE, f"crl:{authority}")
    quarter = (last.next_update - last.this_update) / 4
    until(world, last.next_update, quarter)
    assert key not in found(world)
    until(world, last.next_update, quarter - MINUTE)
    assert (found(world)[key].severity, found(world)[key].group) == (Severity.WARNING, "default")
    until(world, last.next_update, timedelta(0))
    assert found(world)[key].severity is Severity.CRITICAL
    root = world.store.last_crl("root")
    assert root is not None
    until(world, root.next_update, 30 * DAY - MINUTE)
    assert found(world)[AlertCondition.CRL_LATE, "crl:root"].group is None


def test_a_job_that_fails(world: World) -> None:
    """A failure is left to the next runs; one that lasts, or a job that does not run at all, is an alert."""
    key = (AlertCondition.JOB_FAILING, "job:recover")
    now = world.clock.now
    world.store.finished("recover", "a", now(), "", every=MINUTE)
    world.store.finished("copy-crls@one", "a", now(), "", every=MINUTE)
    world.clock.advance(9 * MINUTE)
    world.store.finished("recover", "a", now(), "disk full", every=MINUTE)
    assert key not in found(world)
    world.clock.advance(2 * MINUTE)
    world.store.finished("recover", "a", now(), "disk full", every=MINUTE)
    assert "disk full" in found(world)[key].summary
    world.store.finished("recover", "a", now(), "", every=MINUTE)
    assert key not in found(world)
    world.clock.advance(11 * MINUTE)
    assert "has not run" in found(world)[key].summary
    world.store.finished("new", "a", now(), "never worked", every=MINUTE)
    assert (AlertCondition.JOB_FAILING, "job:new") in found(world)
    # A node may be gone for good; what it did not do says nothing of the others.
    assert (AlertCondition.JOB_FAILING, "job:copy-crls@one") not in found(world)
    world.clock.advance(2 * DAY)
    assert key not in found(world)


def test_a_finding_of_the_audit(world: World) -> None:
    """What the audit of certificates finds is critical from its first run on."""
    world.store.finished("audit-certificates", "a", world.clock.now(), f"{reasons.AUDIT_FOUND}: 1a: no row")
    finding = found(world)[AlertCondition.AUDIT_FINDING, "job:audit-certificates"]
    assert finding.severity is Severity.CRITICAL
    assert "1a: no row" in finding.summary


def test_many_refusals(world: World) -> None:
    """As many refusals in a quarter of an hour as the setting says are an alert of their group while it lasts."""
    key = (AlertCondition.REFUSALS, "group:default")
    refuse(world, reasons.CHALLENGE_UNKNOWN, 99)
    refuse(world, reasons.CHALLENGE_UNKNOWN, 50, group="other")
    assert key not in found(world)
    refuse(world, reasons.CHALLENGE_UNKNOWN)
    assert found(world)[key].group == "default"
    assert (AlertCondition.REFUSALS, "group:other") not in found(world)
    assert (AlertCondition.REFUSALS, "group:other") in found(world, Bounds(refusals=50))
    world.clock.advance(16 * MINUTE)
    assert key not in found(world)


def test_refusals_that_were_folded_count(world: World) -> None:
    """What a flood from one source was folded into counts as often as it says."""
    source = Actor(ActorKind.DEVICE, "192.0.2.1", "192.0.2.1")
    details: dict[str, JsonValue] = {"count": 200, "reasons": {reasons.CHALLENGE_REPLAYED.id: 200}}
    world.store.record(
        [
            EventDraft(
                world.clock.now(), source, Action.REFUSALS_FOLDED, "source:192.0.2.1", Outcome.REFUSED, details=details
            )
        ]
    )
    assert found(world)[AlertCondition.REFUSALS, "group:none"].group is None
    assert (AlertCondition.CHALLENGE_REPLAYED, "source:192.0.2.1") in found(world)


def test_a_challenge_that_is_shown_again(world: World) -> None:
    """A used challenge with another key is critical for an hour; a device that repeats itself is not."""
    secret = world.mint("laptop-1")
    Device(world).enrol(names("laptop-1"), secret)
    key = (AlertCondition.CHALLENGE_REPLAYED, "endpoint:default")
    assert key not in found(world)
    refuse(world, reasons.CHALLENGE_USED)
    assert key not in found(world)
    refuse(world, reasons.CHALLENGE_REPLAYED, 3)
    assert (found(world)[key].severity, found(world)[key].group) == (Severity.CRITICAL, "default")
    world.clock.advance(61 * MINUTE)
    assert key not in found(world)


def test_a_checkpoint_that_is_late(world: World) -> None:
    """Where the log grew and no checkpoint was made in half an hour, somebody should know."""
    key = (AlertCondition.CHECKPOINT_LATE, "log:checkpoint")
    refuse(world, reasons.CHALLENGE_UNKNOWN)
    world.clock.advance(30 * MINUTE)
    assert key not in found(world)
    world.clock.advance(MINUTE)
    assert key in found(world)
    desk(world).make(ADMIN)
    assert key not in found(world)


def test_a_target_that_is_not_reached(world: World) -> None:
    """Messages that were given up are an alert for a day; tests that failed, and targets that are gone, are none."""
    target = world.alerts.create_target("on-call", TargetKind.MAIL, "a@example.org", ADMIN).target
    key = (AlertCondition.DELIVERY_DEAD, "target:on-call")
    world.told.closed = {"on-call"}
    world.alerts.test(target, ADMIN)
    assert key not in found(world)
    (test,) = world.store.deliveries()
    last = world.clock.now()
    given_up = replace(
        test,
        id=new_id(last, bytes(10)),
        occasion=Occasion.OPENED,
        state=DeliveryState.DEAD,
        last_at=last,
    )
    world.store.add_delivery(given_up, ())
    assert key in found(world)
    world.clock.advance(DAY)
    assert key not in found(world)


def test_what_a_node_sees() -> None:
    """Each node looks at its listeners' certificates and its disk."""
    now = World().clock.now()
    good = NodeState("one", [("the admin listener", now + 22 * DAY)], 50, 1_000)
    assert list(found_on_node(good, now, Bounds())) == []
    bad = replace(good, certificates=[("the admin listener", now + 20 * DAY), ("x", now + DAY)], disk_free=49)
    told = {each.object: (each.condition, each.severity, each.group) for each in found_on_node(bad, now, Bounds())}
    assert told == {
        "node:one/the admin listener": (AlertCondition.TLS_ENDS, Severity.WARNING, None),
        "node:one/x": (AlertCondition.TLS_ENDS, Severity.CRITICAL, None),
        "node:one/disk": (AlertCondition.DISK_LOW, Severity.WARNING, None),
    }
    (full,) = found_on_node(replace(good, disk_free=9), now, Bounds())
    assert full.severity is Severity.CRITICAL
