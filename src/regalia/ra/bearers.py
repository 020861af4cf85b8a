"""Whom a certificate is bound to: the records of a device and its user, and whether they may have one now.

A certificate that the group's rules would revoke or hold a minute later is not issued: what is judged here is what the
following job judges, by the same rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Protocol
from uuid import UUID

from regalia import reasons
from regalia.errors import AdminError, InvariantError, UnavailableError
from regalia.model import Denied, Reference
from regalia.ra.follow_rules import FollowRules, UsersCountFor, read_follow_rules
from regalia.ra.following import LiveCertificate, Standing, describe, follow

if TYPE_CHECKING:
    from datetime import datetime

    from regalia.model import Certificate, Group, LineageLink, Profile
    from regalia.model.connector import Allowed
    from regalia.model.fleet import Device, User
    from regalia.ra.request import EnrolmentRequest

__all__ = [
    "NOBODY",
    "Bearers",
    "Records",
    "Word",
    "bearers_of",
    "check_bearers",
    "is_of_user",
    "names_a_user",
    "refused_for",
    "users_count",
]

_NONE: Final = UUID(int=0)
_ANY: Final = timedelta(days=1)
"""How long the certificate lives that is tried; it only has to live now."""


class Records(Protocol):
    """Where records are kept."""

    def device(self, device_id: UUID) -> Device | None:
        """See `ports.Devices`."""

    def user(self, user_id: UUID) -> User | None:
        """See `ports.Users`."""

    def user_of(self, connector: str, external_id: str) -> User | None:
        """See `ports.Users`."""


@dataclass(frozen=True, slots=True)
class Bearers:
    """The records that names and conditions are made of."""

    device: Device | None = None
    user: User | None = None
    """Of whoever the certificate is for, or the device belongs to."""


NOBODY = Bearers()


@dataclass(frozen=True, slots=True)
class Word:
    """What a connector said of a request, with the records of whom it named: once, for this request alone (CON-4)."""

    connector: str
    verdict: Allowed
    bearers: Bearers
    beside: tuple[Certificate, ...]
    """The unexpired certificates of the same device, or of the user where no device is known."""
    until: float
    """By the voucher's clock, when the time for all questions of this enrolment is over (R8)."""
    notes: tuple[str, ...]
    """Who was asked, what it said, and which records these are: for the stages."""


def bearers_of(lineage: LineageLink, records: Records | None) -> Bearers:
    """Load the records that a chain is bound to; they are never deleted while one of its certificates lives."""
    if lineage.device_id is None and lineage.user_id is None:
        return NOBODY
    if records is None:
        raise InvariantError(f"enrolment {lineage.first} is bound to records, and there is no store of them")
    device = records.device(lineage.device_id) if lineage.device_id is not None else None
    user = records.user(lineage.user_id) if lineage.user_id is not None else None
    if (device is None) != (lineage.device_id is None) or (user is None) != (lineage.user_id is None):
        raise InvariantError(f"enrolment {lineage.first} is bound to a record that is gone")
    if user is None and device is not None and device.user is not None:
        user = records.user_of(device.connector, device.user)
    return Bearers(device, user)


def is_of_user(profile: Profile, bearers: Bearers) -> bool:
    """Whether certificates of a profile carry the user's names, so that they follow the user's state too."""
    return bearers.user is not None and (bearers.device is None or names_a_user(profile))


def names_a_user(profile: Profile) -> bool:
    """Whether a profile's templates take names from the user's record."""
    rules = profile.name_rules
    if rules is None:
        return False
    templates = [rule.template for rule in rules.subject] + [rule.template for rule in rules.sans]
    used = {part.name for template in templates for part in template if isinstance(part, Reference)}
    if rules.sid is not None:
        used.add(rules.sid.name)
    return any(name.startswith("user.") for name in used)


def users_count(group: Group) -> bool:
    """Whether a group's rules look at the user to whom a device belongs."""
    rules = _rules(group)
    memberships_count = bool(rules.required_memberships) or rules.required_licence
    return memberships_count or rules.users_count_for is UsersCountFor.THEIR_DEVICES


def check_bearers(request: EnrolmentRequest, bearers: Bearers, *, of_user: bool) -> Denied | None:
    """Refuse for a device of another group, and for whom the group's rules end trust at once.

    Raises `UnavailableError` where the group's rules do not open.
    """
    if bearers == NOBODY:
        return None
    device, group = bearers.device, request.door.group.name
    if device is not None and device.group is not None and device.group != group:
        return Denied(
            reasons.DEVICE_ELSEWHERE,
            f"device {device.external_id} of connector {device.connector} belongs to group {device.group}, "
            f"the endpoint to {group}",
            asked=request.csr.asked,
            security=True,
            facts={"device": device.external_id, "belongs_to": device.group},
        )
    why = refused_for(bearers, request.door.group, request.received_at, of_user=of_user)
    if why is None:
        return None
    return Denied(reasons.BEARER_UNFIT, why, asked=request.csr.asked, facts={"cause": why})


def refused_for(bearers: Bearers, group: Group, now: datetime, *, of_user: bool) -> str | None:
    """Say for what a certificate that was issued now would be revoked or held; None where it would stay good."""
    made = LiveCertificate(
        id=_NONE, serial=0, group=group.name, profile="", issued_at=now, not_after=now + _ANY, of_user=of_user
    )
    standing = Standing(bearers.device, bearers.user, (made,))
    steps = follow(standing, {group.name: _rules(group)}, now)
    ending = next((step for step in steps if step.ends_trust), None)
    return describe(ending).partition(": ")[2] if ending is not None else None


def _rules(group: Group) -> FollowRules:
    if not group.follow:
        return FollowRules()
    try:
        return _read(group.follow)
    except AdminError as error:
        # They were validated when they were kept; what does not open now is our side's fault, and no yes (CON-5).
        raise UnavailableError(error.reason, f"the rules of group {group.name}: {error.detail}") from error


@lru_cache(maxsize=256)
def _read(document: str) -> FollowRules:
    """Read them once: every request of a group looks at the same ones."""
    return read_follow_rules(document)
