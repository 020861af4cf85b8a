"""Revocation that follows: from how things stand with a device and its user to what is to be done to certificates.

Nothing here reads or writes anything: `follow` takes one device's standing and gives its steps, so that a plan of any
size is a stream, and what is printed by a dry run is what is done.

Each cause is kept by itself beside the certificate, also one from which nothing follows yet: its time counts from when
it was first found. The gravest consequence wins. A hold of ours ends with its last cause, and never one that an
administrator placed; nothing leads away from revoked (REV-1). A cause of which nobody says anything any more stays as
it is: it neither ends nor becomes worse (CON-5).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from regalia.model.certificate import RevocationReason
from regalia.model.fleet import Cause, Consequence, FoundCause, Step, StepKind
from regalia.ra.causes import USER_CAUSES, judge
from regalia.ra.follow_rules import FollowRules, UsersCountFor

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime
    from uuid import UUID

    from regalia.model.fleet import Device, FollowRule, User
    from regalia.ra.causes import Findings

__all__ = ["LiveCertificate", "Standing", "describe", "explain", "follow", "plan", "reason_text"]

_GRAVEST: Final = (
    RevocationReason.KEY_COMPROMISE,
    RevocationReason.PRIVILEGE_WITHDRAWN,
    RevocationReason.CESSATION_OF_OPERATION,
    RevocationReason.AFFILIATION_CHANGED,
)
"""Which of several reasons a revocation gets; what is not named here comes last."""
_BY_DEFAULT: Final = FollowRules()


@dataclass(frozen=True, slots=True)
class LiveCertificate:
    """A certificate as rules look at it, with what is kept beside it."""

    id: UUID
    serial: int
    group: str
    profile: str
    issued_at: datetime
    not_after: datetime
    key_sha256: bytes = b""
    of_user: bool = False
    """Whether its names are a user's."""
    own_verdict: bool = True
    """Whether its request carried a verdict of its own: of a connector, a one-time challenge, a live certificate, or an
    administrator's approval."""
    kept: tuple[FoundCause, ...] = ()
    """What was found before and has not ended."""
    held_at: datetime | None = None
    """Since when it is on hold, whoever placed it."""
    held_by_others: bool = False
    """Whether an administrator holds it, alone or beside us."""
    revoked: bool = False
    """For good."""
    requested: FoundCause | None = None
    """That the connector's system asked for its end."""

    def is_live(self, now: datetime) -> bool:
        """Whether it is neither revoked nor expired; it may be on hold."""
        return not self.revoked and self.not_after > now

    def is_good(self, now: datetime) -> bool:
        """Whether it can be used."""
        return self.is_live(now) and self.held_at is None


@dataclass(frozen=True, slots=True)
class Standing:
    """How things stand with one device, or with one user's certificates that no device is known of."""

    device: Device | None
    """Its absence is a fact of its record. None: nothing is known of a device, so nothing follows from it."""
    user: User | None
    """Whose names the certificates carry, or to whom the device belongs."""
    certificates: tuple[LiveCertificate, ...]
    reachable: bool = True
    """Whether the connector answers. While it does not, what it last said is no ground for anything (CON-5)."""


def plan(standings: Iterable[Standing], rules: Mapping[str, FollowRules], now: datetime) -> Iterator[Step]:
    """Follow one standing after another; nothing of them stays in memory."""
    for standing in standings:
        yield from follow(standing, rules, now)


def follow(standing: Standing, rules: Mapping[str, FollowRules], now: datetime) -> tuple[Step, ...]:
    """Say what is to be done now. `rules` by group; one that is not among them has the defaults."""
    if not standing.reachable:
        return ()
    steps = (
        _step(standing, each, rules.get(each.group, _BY_DEFAULT), now)
        for each in standing.certificates
        if each.is_live(now)
    )
    return tuple(step for step in steps if step is not None)


def _step(standing: Standing, certificate: LiveCertificate, rules: FollowRules, now: datetime) -> Step | None:
    found = _findings(standing, certificate, rules, now)
    causes, ended = _merged(certificate, found)
    if not causes and not ended:
        return None
    replaced = Cause.MOVED in found and _has_replacement(standing, certificate, now)
    revoking: list[RevocationReason] = []
    holds = False
    for cause in causes:
        rule = rules.rule(cause.cause)
        due = now if replaced and cause.cause is Cause.MOVED else cause.since + rule.after
        consequence = _consequence(rule, due, certificate.held_at, now)
        said = found.get(cause.cause) is not None
        if consequence is Consequence.REVOKE and said:
            revoking.append(rule.reason)
        elif consequence is not Consequence.NOTHING:
            # What nobody says any more keeps a hold, and makes none.
            holds = holds or said or certificate.held_at is not None
    kind = _kind(certificate, revokes=bool(revoking), holds=holds)
    if kind is StepKind.NOTE and not ended and set(causes) == set(certificate.kept):
        return None
    return Step(
        kind=kind,
        certificate_id=certificate.id,
        serial=certificate.serial,
        group=certificate.group,
        device=_record_of(standing),
        causes=causes,
        ended=ended,
        reason=min(revoking, key=_gravity) if revoking else None,
    )


def _findings(standing: Standing, certificate: LiveCertificate, rules: FollowRules, now: datetime) -> Findings:
    """What was found, as far as it concerns this certificate."""
    found = judge(standing.device, standing.user, rules, now, group=certificate.group)
    if not certificate.of_user and not _counts_for_device(standing, rules):
        found.update(dict.fromkeys(USER_CAUSES))
    if certificate.requested is not None:
        found[Cause.REQUESTED] = certificate.requested
    return found


def _counts_for_device(standing: Standing, rules: FollowRules) -> bool:
    device, user = standing.device, standing.user
    if rules.users_count_for is not UsersCountFor.THEIR_DEVICES or device is None or device.user is None:
        return False
    return user is None or (device.connector, device.user) == (user.connector, user.external_id)


def _merged(certificate: LiveCertificate, found: Findings) -> tuple[tuple[FoundCause, ...], tuple[Cause, ...]]:
    """Put what is found beside what was kept: the causes that are to be kept from now on, and those that ended."""
    kept = {each.cause: each for each in certificate.kept}
    causes: list[FoundCause] = []
    ended: list[Cause] = []
    for kind in Cause:
        before, now = kept.get(kind), found.get(kind)
        if now is not None:
            # `state_since` is of all facts together: another one that changed does not set this one's clock back.
            causes.append(now if before is None else replace(now, since=min(before.since, now.since)))
        elif before is not None and kind in found:
            ended.append(kind)
        elif before is not None:
            causes.append(before)
    return tuple(causes), tuple(ended)


def _consequence(rule: FollowRule, due: datetime, held_at: datetime | None, now: datetime) -> Consequence:
    """What follows now. A hold becomes a revocation after its time on hold: nobody is revoked for it unwarned."""
    if rule.consequence is Consequence.NOTHING or due > now:
        return Consequence.NOTHING
    if rule.consequence is Consequence.REVOKE:
        return Consequence.REVOKE
    if rule.revoke_after is not None and now >= max(held_at or now, due) + rule.revoke_after:
        return Consequence.REVOKE
    return Consequence.HOLD


def _kind(certificate: LiveCertificate, *, revokes: bool, holds: bool) -> StepKind:
    if revokes:
        return StepKind.REVOKE
    if holds:
        return StepKind.HOLD if certificate.held_at is None else StepKind.NOTE
    ours = certificate.held_at is not None and not certificate.held_by_others and certificate.kept
    return StepKind.RELEASE if ours else StepKind.NOTE


def _has_replacement(standing: Standing, certificate: LiveCertificate, now: datetime) -> bool:
    """Whether the group that the device belongs to now has issued what takes this certificate's place."""
    group = standing.device.group if standing.device is not None else None
    if group is None or group == certificate.group:
        return False
    return any(
        each.group == group and each.of_user == certificate.of_user and each.is_good(now)
        for each in standing.certificates
    )


def _record_of(standing: Standing) -> str:
    record = standing.device or standing.user
    return str(record.id) if record is not None else ""


def _gravity(reason: RevocationReason) -> tuple[int, int]:
    return (_GRAVEST.index(reason) if reason in _GRAVEST else len(_GRAVEST), reason)


# --- in words ---------------------------------------------------------------------------------------------------------


def reason_text(reason: RevocationReason) -> str:
    """Spell a reason as commands take it."""
    return reason.name.lower().replace("_", "-")


def describe(step: Step) -> str:
    """Say a step in a line."""
    parts = [_cause_text(each) for each in step.causes]
    parts += [f"no longer {each}" for each in step.ended]
    if step.reason is not None:
        parts.append(f"reason {reason_text(step.reason)}")
    where = f"group {step.group}" + (f", record {step.device}" if step.device else "")
    return f"{step.kind} {step.serial:x} ({where}): {'; '.join(parts)}"


def explain(certificate: LiveCertificate, rules: FollowRules, now: datetime) -> tuple[str, ...]:
    """Say how a certificate stands, and what each cause that is kept has to do with it; a line each."""
    effects = (
        f"{_cause_text(cause)}: {_effect_text(cause, certificate, rules.rule(cause.cause), now)}"
        for cause in certificate.kept
    )
    return (_status_text(certificate, now), *effects)


def _status_text(certificate: LiveCertificate, now: datetime) -> str:
    if certificate.revoked:
        return "revoked for good"
    if certificate.not_after <= now:
        return f"expired {_time(certificate.not_after)}"
    if certificate.held_at is None:
        return "good"
    if certificate.held_by_others:
        return f"on hold since {_time(certificate.held_at)}, by an administrator, until a person releases it"
    return f"on hold since {_time(certificate.held_at)}, until its causes end"


def _effect_text(cause: FoundCause, certificate: LiveCertificate, rule: FollowRule, now: datetime) -> str:
    due = cause.since + rule.after
    if rule.consequence is Consequence.NOTHING:
        return "nothing follows in this group"
    if certificate.revoked:
        return "kept as it was when the certificate was revoked"
    earlier = ", or once its new group has issued" if cause.cause is Cause.MOVED else ""
    if rule.consequence is Consequence.REVOKE:
        return f"revokes it from {_time(due)}{earlier}" if due > now else "revokes it"
    text = f"holds it from {_time(due)}" if due > now else "holds it"
    if rule.revoke_after is None:
        return text
    ends = max(certificate.held_at or now, due) + rule.revoke_after
    return f"{text}, and revokes it from {_time(ends)} if it lasts"


def _cause_text(cause: FoundCause) -> str:
    return f"{cause.cause} since {_time(cause.since)}, {cause.why}"


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
