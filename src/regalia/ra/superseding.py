"""One device's several certificates under one profile: which key is a renewal's, and which certificate has outlived it.

Where a request carries a verdict of its own (a connector's about this very request, a one-time challenge, a live
certificate that signed it), a new key is a renewal: both certificates stay valid for a while, then the older one is
superseded. Without one, whoever knows the secret could be anybody: a second key waits for a person.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from uuid import UUID

    from regalia.ra.following import LiveCertificate

__all__ = ["KeyDecision", "KeyVerdict", "Outlived", "SupersedeRules", "judge_key", "supersede"]


@dataclass(frozen=True, slots=True)
class SupersedeRules:
    """What a profile says of a device's certificates beside each other."""

    live: int = 3
    """At a time, the newest; at least 1."""
    overlap: timedelta = timedelta(days=7)
    """How long an older one stays valid beside its successor."""

    def __post_init__(self) -> None:
        if self.live < 1 or self.overlap < timedelta(0):
            raise ValueError("a device keeps its newest certificate, and an overlap is not negative")


class KeyVerdict(StrEnum):
    """What becomes of a request, as far as its key is concerned."""

    FIRST = "first"
    """There is no live certificate beside it."""
    SAME_KEY = "same-key"
    RENEWAL = "renewal"
    """A new key, and a verdict that it is the device's."""
    HELD = "held"
    """A second key, and nobody who vouches for it: it waits for a person, and is a security event."""


@dataclass(frozen=True, slots=True)
class KeyDecision:
    """The verdict on a key, and why."""

    verdict: KeyVerdict
    why: str

    @property
    def security(self) -> bool:
        """Whether it is a security event."""
        return self.verdict is KeyVerdict.HELD


@dataclass(frozen=True, slots=True)
class Outlived:
    """A certificate to be revoked as superseded; it has a successor, so no brake counts it."""

    certificate_id: UUID
    serial: int
    group: str
    successor: UUID
    why: str


def judge_key(
    certificates: Iterable[LiveCertificate],
    key_sha256: bytes,
    *,
    group: str,
    profile: str,
    own_verdict: bool,
    now: datetime,
) -> KeyDecision:
    """Judge the key of a device's request beside the device's certificates.

    One that is on hold counts as well: a stolen device's key is not replaced while it is looked for.
    """
    beside = [each for each in certificates if (each.group, each.profile) == (group, profile) and each.is_live(now)]
    if not beside:
        return KeyDecision(KeyVerdict.FIRST, f"the device has no live certificate of profile {profile}")
    other = [each for each in beside if each.key_sha256 != key_sha256]
    if not other:
        return KeyDecision(KeyVerdict.SAME_KEY, f"certificate {beside[0].serial:x} has this key")
    serials = ", ".join(f"{each.serial:x}" for each in other[:3])
    if own_verdict:
        return KeyDecision(KeyVerdict.RENEWAL, f"a new key beside {serials}, and a verdict on this very request")
    return KeyDecision(KeyVerdict.HELD, f"a second key beside {serials}, and no verdict on this very request")


def supersede(certificates: Iterable[LiveCertificate], rules: SupersedeRules, now: datetime) -> tuple[Outlived, ...]:
    """Name a device's certificates that have outlived their successors, oldest first within a profile."""
    by_profile: dict[tuple[str, str, bool], list[LiveCertificate]] = defaultdict(list)
    for each in certificates:
        if each.is_live(now):
            by_profile[each.group, each.profile, each.of_user].append(each)
    found: list[Outlived] = []
    for _, beside in sorted(by_profile.items()):
        beside.sort(key=lambda each: (each.issued_at, each.serial))
        for place, each in enumerate(beside):
            newer = [other for other in beside[place + 1 :] if _succeeds(other, each, now)]
            why = _why(newer, rules, now)
            if why:
                found.append(Outlived(each.id, each.serial, each.group, newer[-1].id, why))
    return tuple(found)


def _succeeds(newer: LiveCertificate, older: LiveCertificate, now: datetime) -> bool:
    """Whether one takes another's place.

    One that is held for somebody to look at does not, nor one with another key that just anybody could have asked for.
    """
    return newer.is_good(now) and (newer.own_verdict or newer.key_sha256 == older.key_sha256)


def _why(newer: Sequence[LiveCertificate], rules: SupersedeRules, now: datetime) -> str:
    if not newer:
        return ""
    unvouched = next((each for each in newer if not each.own_verdict), None)
    if unvouched is not None:
        return f"{unvouched.serial:x} has its key, and a device has one without a verdict on the request"
    if len(newer) >= rules.live:
        return f"{len(newer)} newer ones live, where the profile allows {rules.live} in all"
    if newer[0].issued_at + rules.overlap > now:
        return ""
    return f"its successor {newer[0].serial:x} was issued {newer[0].issued_at:%Y-%m-%d %H:%M} UTC"
