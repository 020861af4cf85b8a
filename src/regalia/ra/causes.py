"""Which causes hold: from what connectors said of a device and its user, and what a group's rules ask for.

Each fact has three answers. It is a cause, it is none, or nobody said; from the last nothing follows, neither a hold
nor its end (CON-5).
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from regalia.model.fleet import Cause, FoundCause, PendingAction
from regalia.ra.said import SAID_AT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from regalia.model.fleet import Device, User
    from regalia.ra.follow_rules import FollowRules

__all__ = ["USER_CAUSES", "Findings", "causes_of", "judge"]

Findings = dict[Cause, FoundCause | None]
"""By cause what was found; None where it does not hold. What nobody said is missing."""

USER_CAUSES: Final = frozenset({Cause.USER_DISABLED, Cause.USER_ABSENT, Cause.USER_RISK})
"""They concern a user's certificates, and a device's only where the group's rules say so."""

_PENDING: Final = (
    (PendingAction.WIPE, Cause.WIPED),
    (PendingAction.RETIRE, Cause.RETIRED),
    (PendingAction.DELETE, Cause.DELETED),
)
_NO_RISK_SAID: Final = frozenset({"", "unknown", "hidden", "unknownfuturevalue"})
"""Words by which systems say that they do not say."""
_SPELLED: Final[Mapping[Cause, tuple[str, ...]]] = MappingProxyType(
    {
        Cause.WIPED: ("managementState", "pendingAction"),
        Cause.RETIRED: ("managementState", "pendingAction"),
        Cause.DELETED: ("managementState", "pendingAction"),
        Cause.UNMANAGED: ("deviceRegistrationState", "isManaged", "managed", "status"),
        Cause.LOST: ("lostModeState", "lostModeEnabled", "state"),
        Cause.DISABLED: ("accountEnabled", "status", "state"),
        Cause.NON_COMPLIANT: ("complianceState", "isCompliant", "jailBreakDetected"),
        Cause.RISK: ("riskLevel",),
        Cause.USER_DISABLED: ("accountEnabled", "suspended", "archived"),
        Cause.USER_RISK: ("riskLevel",),
    }
)
"""What the systems call the facts, so that the words of a cause can show what was said."""
_SHOWN: Final = 80
"""Characters of what a system said that stand in words."""


def causes_of(
    device: Device | None, user: User | None, rules: FollowRules, now: datetime, *, group: str | None = None
) -> tuple[FoundCause, ...]:
    """List what holds now, in the order of `Cause`. `group`: that of the certificate in question."""
    found = judge(device, user, rules, now, group=group)
    return tuple(cause for kind in Cause if (cause := found.get(kind)) is not None)


def judge(
    device: Device | None, user: User | None, rules: FollowRules, now: datetime, *, group: str | None = None
) -> Findings:
    """Look at each fact: a cause, none, or (missing) not said."""
    found: Findings = {}
    if device is not None:
        found.update(_device_state(device, rules, now))
        if group is not None and device.group is not None:
            why = f"the device belongs to group {device.group}, the certificate to {group}"
            moved = device.group != group
            # Nobody says when it moved: its time counts from when it was first found, which is kept.
            found[Cause.MOVED] = FoundCause(Cause.MOVED, now, why) if moved else None
    if user is not None:
        found.update(_user_state(user, rules))
    found.update(_required(device, user, rules, now))
    return found


def _device_state(device: Device, rules: FollowRules, now: datetime) -> Iterator[tuple[Cause, FoundCause | None]]:
    state = device.state

    def cause(kind: Cause, said: str) -> FoundCause:
        return FoundCause(kind, device.state_since, said + _spelling(kind, device.evidence))

    absent = None if state.present else cause(Cause.ABSENT, "the device is in the inventory no more")
    yield Cause.ABSENT, absent
    for pending, kind in _PENDING:
        yield kind, cause(kind, f"pending action is {pending}") if state.pending is pending else None
    flags = (
        (Cause.UNMANAGED, "managed", state.managed, False),
        (Cause.LOST, "lost", state.lost, True),
        (Cause.DISABLED, "enabled", state.enabled, False),
    )
    for kind, name, value, bad in flags:
        if value is not None:
            yield kind, cause(kind, f"{name} is {_bool(value)}") if value is bad else None
    if state.compliant is not None:
        # A fresh device has not had the time to comply.
        bad = not state.compliant and now >= device.first_seen_at + rules.compliance_grace
        yield Cause.NON_COMPLIANT, cause(Cause.NON_COMPLIANT, "compliant is false") if bad else None
    yield from _risk(Cause.RISK, state.risk, rules, cause)


def _user_state(user: User, rules: FollowRules) -> Iterator[tuple[Cause, FoundCause | None]]:
    state = user.state

    def cause(kind: Cause, said: str) -> FoundCause:
        return FoundCause(kind, user.state_since, said + _spelling(kind, user.evidence))

    absent = None if state.present else cause(Cause.USER_ABSENT, "the user is in the directory no more")
    yield Cause.USER_ABSENT, absent
    if state.enabled is not None:
        yield Cause.USER_DISABLED, None if state.enabled else cause(Cause.USER_DISABLED, "the user's enabled is false")
    yield from _risk(Cause.USER_RISK, state.risk, rules, cause)
    if rules.required_licence and state.licensed is not None:
        yield Cause.UNLICENSED, None if state.licensed else cause(Cause.UNLICENSED, "the user's licensed is false")


def _risk(
    kind: Cause, level: str | None, rules: FollowRules, cause: Callable[[Cause, str], FoundCause]
) -> Iterator[tuple[Cause, FoundCause | None]]:
    said = level.casefold().strip() if level is not None else ""
    if said not in _NO_RISK_SAID:
        yield kind, None if said in rules.tolerated_risk else cause(kind, f"risk is {said[:_SHOWN]}")


def _required(
    device: Device | None, user: User | None, rules: FollowRules, now: datetime
) -> Iterator[tuple[Cause, FoundCause | None]]:
    """Ask for memberships: left only where all who could be a member were asked for theirs, and none is."""
    if not rules.required_licence:
        yield Cause.UNLICENSED, None
    if not rules.required_memberships:
        yield Cause.GROUP_LEFT, None
        return
    members = [each for each in (device, user) if each is not None]
    if any(each.memberships & rules.required_memberships for each in members):
        yield Cause.GROUP_LEFT, None
        return
    user_is_missing = device is not None and device.user is not None and user is None
    if members and not user_is_missing and all(each.memberships_known for each in members):
        asked = ", ".join(sorted(rules.required_memberships)[:3])
        since = min(*(each.seen_at for each in members), now)
        yield Cause.GROUP_LEFT, FoundCause(Cause.GROUP_LEFT, since, f"neither device nor user is in {asked}")


def _spelling(kind: Cause, evidence: Mapping[str, object]) -> str:
    """What the system itself said, word by word, cut short; the whole of it stays with the record."""
    facts = _raw_facts(evidence)
    said = [f"{name} is {_word(facts[name])}" for name in _SPELLED.get(kind, ()) if _is_plain(facts.get(name))]
    return f" ({', '.join(said)})" if said else ""


def _raw_facts(evidence: Mapping[str, object]) -> Mapping[str, object]:
    """Look into the objects that a system gave, as Graph's managed device: the facts are theirs."""
    facts: dict[str, object] = {}
    for name, value in evidence.items():
        # What was said in our own form has our own names, which stand before.
        if isinstance(value, dict) and name not in {"said", SAID_AT}:
            facts |= value
    return {**facts, **evidence}


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int | float)


def _word(value: object) -> str:
    text = _bool(value) if isinstance(value, bool) else str(value)
    return "".join(char if char.isprintable() else "?" for char in text[:_SHOWN])


def _bool(value: bool) -> str:  # noqa: FBT001 - the fact itself, to be spelled
    return "true" if value else "false"
