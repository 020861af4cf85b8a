"""Why a certificate will probably end without a successor, from what is known here: nothing is asked of anybody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from regalia import reasons
from regalia.model.fleet import PendingAction

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from regalia.model import Certificate, Endpoint, Enrolment, Group, Profile
    from regalia.model.connector import Connector
    from regalia.model.fleet import Device

__all__ = ["Prospects", "renewal_from", "why_unrenewed"]

_SHARE: Final = 3
"""Without a rule of the profile, clients renew in about the last third of a certificate's life."""
_PERCENT: Final = 100


@dataclass(frozen=True, slots=True)
class Prospects:
    """What a renewal would depend on. None: there is no such thing any more, or there never was."""

    certificate: Certificate
    endpoint: Endpoint | None
    """Where it was enrolled."""
    by_hand: bool
    """Whether an administrator ordered it."""
    group: Group | None
    profile: Profile | None
    """Its newest version."""
    connector: Connector | None
    """Of the endpoint."""
    device: Device | None
    refused: Enrolment | None = None
    """The newest request for the same names since it could be renewed, where that was refused."""


def renewal_from(certificate: Certificate, profile: Profile | None) -> datetime:
    """Say from when on it is expected to be renewed."""
    intent = certificate.intent
    life = intent.not_after - intent.not_before
    rule = profile.renewal if profile is not None else None
    window = life / _SHARE
    if rule is not None and rule.window is not None:
        window = min(window, rule.window)
    elif rule is not None and rule.share is not None:
        window = min(window, life * rule.share / _PERCENT)
    return intent.not_after - window


def why_unrenewed(prospects: Prospects, now: datetime) -> tuple[str, ...]:
    """Say everything that stands against a renewal; nothing where it can be expected."""
    return (*_of_the_door(prospects), *_of_the_device(prospects.device), *_of_time(prospects, now))


def _of_the_door(prospects: Prospects) -> Iterator[str]:
    endpoint, connector, group = prospects.endpoint, prospects.connector, prospects.group
    if prospects.by_hand:
        yield "an administrator ordered it: no device renews it"
    elif endpoint is None or not endpoint.enabled:
        yield f"endpoint {endpoint.name} is disabled" if endpoint is not None else "its endpoint is gone"
    if connector is not None and connector.disabled_at is not None:
        yield f"connector {connector.name} is disabled"
    if group is not None and group.suspended_at is not None:
        yield f"group {group.name} is suspended"


def _of_the_device(device: Device | None) -> Iterator[str]:
    if device is None:
        return
    state = device.state
    if not state.present:
        yield f"device {device.name} is no longer in the inventory"
    if state.pending is not PendingAction.NONE:
        yield f"device {device.name}: {state.pending} is under way"
    if state.managed is False:
        yield f"device {device.name} is managed no more"
    if state.enabled is False:
        yield f"device {device.name} is disabled"


def _of_time(prospects: Prospects, now: datetime) -> Iterator[str]:
    """Say that a request was refused, or that none came although half of the time for it is over."""
    begins, ends = renewal_from(prospects.certificate, prospects.profile), prospects.certificate.intent.not_after
    refused = prospects.refused
    reason = None if refused is None else reasons.by_id(refused.reason_id or "")
    if refused is not None and reason is not None:
        yield f"a request for it was refused {refused.created_at:%Y-%m-%d}: {reason}, enrolment {refused.id}"
    elif now - begins > ends - now:
        yield f"it could be renewed since {begins:%Y-%m-%d}, nobody asked, and more than half of that time is over"
