"""Values of fleets to store: complete, valid and distinct, made from a number."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from regalia.model import Hold, Revocation, RevocationReason
from regalia.model.connector import Connector
from regalia.model.fleet import Device, DeviceState, PendingAction, Platform, User, UserState
from regalia.ports.fleet import FOLLOWING, Notice, Stopped, Sweep
from store.samples import MINUTE, NOW, an_id, an_intent, octets

if TYPE_CHECKING:
    from uuid import UUID

    from regalia.ports import Store

__all__ = [
    "LATER",
    "a_connector",
    "a_device",
    "a_followed_hold",
    "a_followed_revocation",
    "a_notice",
    "a_stop",
    "a_sweep",
    "a_user",
    "issue",
]

LATER = NOW + MINUTE


def a_connector(number: int = 1, name: str = "intune") -> Connector:
    """Return a connector with settings and no secret."""
    return Connector(
        an_id("connector", number), name, "intune", {"tenant": "t", "scopes": ["a", "ä"], "every": 15}, NOW
    )


def a_device(number: int = 1, **changes: object) -> Device:
    """Return a device of which everything is known."""
    device = Device(
        id=an_id("device", number),
        connector="intune",
        external_id=f"mdm-{number}",
        group="staff",
        name=f"Laptop-{number:03}",
        platform=Platform.WINDOWS,
        state=DeviceState(managed=True, enabled=True, compliant=False, pending=PendingAction.RETIRE, risk="low"),
        state_since=NOW,
        first_seen_at=NOW,
        seen_at=NOW,
        serial=f"SN{number}",
        aliases=(("entra", f"entra-{number}"), ("imei", f"35{number}")),
        user="u-1",
        sid="S-1-5-21-1",
        dns=("laptop.example.org",),
        memberships=frozenset({"g2", "g1"}),
        memberships_known=True,
        evidence={"source": "graph", "complianceState": "noncompliant", "score": 5, "none": None},
        missed_sweeps=1,
    )
    return replace(device, **changes)  # type: ignore[arg-type]  # of any field


def a_user(number: int = 1, **changes: object) -> User:
    """Return a user of whom everything is known."""
    user = User(
        id=an_id("user", number),
        connector="intune",
        external_id=f"u-{number}",
        name=f"Person {number:03}",
        upn=f"p{number}@example.org",
        state=UserState(enabled=True, licensed=False, risk="high"),
        state_since=NOW,
        first_seen_at=NOW,
        seen_at=NOW,
        email=(f"p{number}@example.org", f"other{number}@example.org"),
        sid=f"S-1-5-21-{number}",
        sam_account=f"p{number}",
        memberships=frozenset({"g1"}),
        memberships_known=True,
        evidence={"source": "graph"},
        missed_sweeps=0,
    )
    return replace(user, **changes)  # type: ignore[arg-type]  # of any field


def a_sweep(number: int = 1, connector: str = "intune") -> Sweep:
    """Return a sweep that has begun."""
    return Sweep(an_id("sweep", number), connector, full=True, began_at=NOW, cursor=None, seen=7, seen_users=3)


def a_stop(number: int = 1, digest: str = "d1") -> Stopped:
    """Return a run that the brake stopped."""
    shown = frozenset(octets(f"step {number} {each}") for each in range(3))
    return Stopped(an_id("stop", number), digest, NOW, {"staff": 3}, {"staff": 10, "": 1}, "too many\nof staff", shown)


def a_notice(number: int = 1, certificate: UUID | None = None) -> Notice:
    """Return a notice that is due."""
    return Notice(an_id("notice", number), "intune", an_id("enrolment", number), certificate, b"sealed", NOW)


def issue(
    store: Store, number: int, *, device: UUID | None = None, user: UUID | None = None, **changes: object
) -> UUID:
    """Issue a certificate that is bound to records."""
    intent = replace(an_intent(number), serial=number, device_id=device, user_id=user)
    intent = replace(intent, **changes)  # type: ignore[arg-type]  # of any field
    store.begin(intent, ())
    assert store.finish(intent.id, b"der", NOW, ())
    return intent.id


def a_followed_hold(certificate_id: UUID) -> Hold:
    """Return a hold that follows."""
    return Hold(certificate_id, FOLLOWING, FOLLOWING, NOW, "lost")


def a_followed_revocation(certificate_id: UUID) -> Revocation:
    """Return a revocation that follows."""
    return Revocation(
        certificate_id, RevocationReason.CESSATION_OF_OPERATION, FOLLOWING, FOLLOWING, LATER, "it was wiped"
    )
