"""From what a system reports of a device or a user to the record that is kept of it.

Whoever reports less than before takes nothing away: a name, an id or a membership that is not said this time stays as
it was said (CON-5). `state_since` moves only where the state itself differs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from regalia.model.fleet import Device, DeviceState, User, UserState

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from regalia.model.connector import ReportedDevice, ReportedUser

__all__ = ["device_record", "state_text", "user_record"]

S = TypeVar("S", DeviceState, UserState)


def state_text(state: DeviceState | UserState) -> str:
    """Say a state in a line, without what nobody said."""
    facts = {name: getattr(state, name) for name in state.__slots__}
    return ", ".join(f"{name} {_word(value)}" for name, value in facts.items() if value is not None)


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def device_record(
    before: Device | None, report: ReportedDevice, *, connector: str, record_id: UUID, at: datetime
) -> Device:
    """Make the record of a device, or bring the one before up to date. `record_id` is that of a new one."""
    if before is None:
        return Device(
            id=record_id,
            connector=connector,
            external_id=report.external_id,
            group=report.group,
            name=report.name,
            platform=report.platform,
            state=report.state,
            state_since=at,
            first_seen_at=at,
            seen_at=at,
            serial=report.serial,
            aliases=tuple(sorted(report.aliases)),
            user=report.user,
            sid=report.sid,
            dns=tuple(sorted(report.dns)),
            memberships=report.memberships,
            memberships_known=report.memberships_known,
            evidence=report.evidence,
        )
    state = _kept(before.state, report.state, report.said)
    return replace(
        before,
        group=report.group or before.group,
        name=report.name or before.name,
        platform=before.platform if report.said is not None and "platform" not in report.said else report.platform,
        state=state,
        state_since=before.state_since if state == before.state else at,
        seen_at=at,
        serial=report.serial or before.serial,
        aliases=tuple(sorted(report.aliases)) or before.aliases,
        user=report.user or before.user,
        sid=report.sid or before.sid,
        dns=tuple(sorted(report.dns)) or before.dns,
        memberships=report.memberships if report.memberships_known else before.memberships,
        memberships_known=report.memberships_known or before.memberships_known,
        evidence=report.evidence,
        missed_sweeps=0,
    )


def _kept(before: S, reported: S, said: frozenset[str] | None) -> S:
    """Take the facts of a state that were said, and leave the others; whoever is reported at all is present."""
    if said is None:
        return reported
    facts = {name: getattr(reported, name) for name in before.__slots__ if name in said}
    return replace(before, present=reported.present, **facts)


def user_record(before: User | None, report: ReportedUser, *, connector: str, record_id: UUID, at: datetime) -> User:
    """The same of a user; one that is deleted softly comes without names, and keeps those that it had."""
    if before is None:
        return User(
            id=record_id,
            connector=connector,
            external_id=report.external_id,
            name=report.name,
            upn=report.upn,
            state=report.state,
            state_since=at,
            first_seen_at=at,
            seen_at=at,
            email=tuple(sorted(report.email)),
            sid=report.sid,
            sam_account=report.sam_account,
            memberships=report.memberships,
            memberships_known=report.memberships_known,
            evidence=report.evidence,
        )
    state = _kept(before.state, report.state, report.said)
    return replace(
        before,
        name=report.name or before.name,
        upn=report.upn or before.upn,
        state=state,
        state_since=before.state_since if state == before.state else at,
        seen_at=at,
        email=tuple(sorted(report.email)) or before.email,
        sid=report.sid or before.sid,
        sam_account=report.sam_account or before.sam_account,
        memberships=report.memberships if report.memberships_known else before.memberships,
        memberships_known=report.memberships_known or before.memberships_known,
        evidence=report.evidence,
        missed_sweeps=0,
    )
