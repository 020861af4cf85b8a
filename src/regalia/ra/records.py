"""From what a system reports of a device or a user to the record that is kept of it.

Whoever reports less than before takes nothing away: a name, an id or a membership that is not said this time stays as
it was said (CON-5), and so does one of which something newer was said. `state_since` moves only where the state itself
differs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from regalia.model.fleet import Device, DeviceState, User, UserState
from regalia.ra.said import PRESENT, evidence_with, facts_said, newer_facts

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from regalia.model import JsonValue
    from regalia.model.connector import ReportedDevice, ReportedUser

__all__ = ["absent_record", "device_record", "state_text", "user_record"]

S = TypeVar("S", DeviceState, UserState)
R = TypeVar("R", "ReportedDevice", "ReportedUser")
D = TypeVar("D", Device, User)


def state_text(state: DeviceState | UserState) -> str:
    """Say a state in a line, without what nobody said."""
    facts = {name: getattr(state, name) for name in state.__slots__}
    return ", ".join(f"{name} {_word(value)}" for name, value in facts.items() if value is not None)


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def device_record(
    before: Device | None,
    report: ReportedDevice,
    *,
    connector: str,
    record_id: UUID,
    at: datetime,
    said_at: datetime | None = None,
) -> Device:
    """Make the record of a device, or bring the one before up to date. `record_id` is that of a new one.

    `said_at`: when it was so, for a message that may be late; None: now. Where something newer is known of all that it
    says, the record before is returned as it is.
    """
    if before is None:
        return _new_device(report, connector, record_id, at, _evidence(None, report, said_at or at))
    fresh = _fresh(before, report, said_at)
    return before if fresh is None else _changed_device(before, fresh, at, _evidence(before, fresh, said_at or at))


def _changed_device(before: Device, fresh: ReportedDevice, at: datetime, evidence: Mapping[str, JsonValue]) -> Device:
    state = _kept(before.state, fresh.state, fresh.said)
    return replace(
        before,
        group=fresh.group or before.group,
        name=fresh.name or before.name,
        platform=before.platform if fresh.said is not None and "platform" not in fresh.said else fresh.platform,
        state=state,
        state_since=before.state_since if state == before.state else at,
        seen_at=at,
        serial=fresh.serial or before.serial,
        aliases=tuple(sorted(fresh.aliases)) or before.aliases,
        user=fresh.user or before.user,
        sid=fresh.sid or before.sid,
        dns=tuple(sorted(fresh.dns)) or before.dns,
        memberships=fresh.memberships if fresh.memberships_known else before.memberships,
        memberships_known=fresh.memberships_known or before.memberships_known,
        evidence=evidence,
        missed_sweeps=0,
    )


def _new_device(
    report: ReportedDevice, connector: str, record_id: UUID, at: datetime, evidence: Mapping[str, JsonValue]
) -> Device:
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
        evidence=evidence,
    )


def user_record(
    before: User | None,
    report: ReportedUser,
    *,
    connector: str,
    record_id: UUID,
    at: datetime,
    said_at: datetime | None = None,
) -> User:
    """The same of a user; one that is deleted softly comes without names, and keeps those that it had."""
    if before is None:
        return _new_user(report, connector, record_id, at, _evidence(None, report, said_at or at))
    fresh = _fresh(before, report, said_at)
    return before if fresh is None else _changed_user(before, fresh, at, _evidence(before, fresh, said_at or at))


def _changed_user(before: User, fresh: ReportedUser, at: datetime, evidence: Mapping[str, JsonValue]) -> User:
    state = _kept(before.state, fresh.state, fresh.said)
    return replace(
        before,
        name=fresh.name or before.name,
        upn=fresh.upn or before.upn,
        state=state,
        state_since=before.state_since if state == before.state else at,
        seen_at=at,
        email=tuple(sorted(fresh.email)) or before.email,
        sid=fresh.sid or before.sid,
        sam_account=fresh.sam_account or before.sam_account,
        memberships=fresh.memberships if fresh.memberships_known else before.memberships,
        memberships_known=fresh.memberships_known or before.memberships_known,
        evidence=evidence,
        missed_sweeps=0,
    )


def _new_user(
    report: ReportedUser, connector: str, record_id: UUID, at: datetime, evidence: Mapping[str, JsonValue]
) -> User:
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
        evidence=evidence,
    )


def absent_record(before: D, *, at: datetime, said_at: datetime | None = None) -> D:
    """Note that its system says it is gone for good; the record before where it was named since, or is absent."""
    late = said_at is not None and newer_facts(before, frozenset({PRESENT}), said_at)
    if late or not before.state.present:
        return before
    evidence = evidence_with(before, {}, frozenset({PRESENT}), said_at or at)
    gone = replace(before.state, present=False)
    return replace(before, state=gone, state_since=at, seen_at=at, evidence=evidence)


# --- what is newest ---------------------------------------------------------------------------------------------------


def _fresh(before: Device | User, report: R, said_at: datetime | None) -> R | None:
    """Leave out of a report what newer things are known of; None where nothing is left of it.

    What says no time is never late: clocks of two nodes may differ, and what comes last was said last.
    """
    if report.said is None:
        return report
    facts = facts_said(report.said)
    late = frozenset[str]() if said_at is None else newer_facts(before, facts, said_at)
    if late == facts:
        return None
    unsaid: dict[str, object] = {name: value for name, value in _UNSAID.items() if name in late}
    if "memberships" in late:
        unsaid["memberships_known"] = False
    return replace(report, said=facts - late, **unsaid)  # type: ignore[arg-type]  # each is what its field has unsaid


_UNSAID: Mapping[str, object] = {
    "name": "",
    "serial": None,
    "user": None,
    "group": None,
    "sid": None,
    "upn": None,
    "sam_account": None,
    "dns": (),
    "email": (),
    "aliases": (),
    "memberships": frozenset(),
}
"""What fields have that were not said; those of a state are kept by their names."""


def _evidence(before: Device | User | None, report: R, at: datetime) -> Mapping[str, JsonValue]:
    if report.said is None:
        return report.evidence
    facts = facts_said(report.said) if before is None else report.said
    return evidence_with(before, report.evidence, facts, at)


def _kept(before: S, reported: S, said: frozenset[str] | None) -> S:
    """Take the facts of a state that were said, and leave the others; whoever is reported at all is present."""
    if said is None:
        return reported
    return replace(before, **{name: getattr(reported, name) for name in before.__slots__ if name in said})
