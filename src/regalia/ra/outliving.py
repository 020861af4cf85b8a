"""Certificates that have a successor: revoked as superseded once the time beside each other is over.

No brake counts them, because the device keeps a good one. Only a device's certificates succeed each other: of a user
whose devices nobody knows, two certificates may well be on two devices. What is on hold stays for whoever looks at it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from regalia.ca.issue import certificate_event
from regalia.model import Action, Revocation, RevocationReason
from regalia.ra.follow_run import SYSTEM, FollowStore
from regalia.ra.following import reason_text
from regalia.ra.standings import standings
from regalia.ra.superseding import SupersedeRules, supersede, supersede_rules

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from regalia.ra.following import Standing
    from regalia.ra.superseding import Outlived

__all__ = ["SUPERSEDED", "supersede_outlived"]

SUPERSEDED: Final = "superseded"
"""`Revocation.cause` of it."""


def supersede_outlived(store: FollowStore, now: datetime) -> int:
    """Revoke what has outlived its successor, in a transaction each; returns how many."""
    rules = {profile.name: supersede_rules(profile) for profile in store.profiles()}
    done = 0
    for standing in standings(store, now):
        for each in _outlived(standing, rules, now):
            done += _end(store, each, now)
    return done


def _outlived(standing: Standing, rules: Mapping[str, SupersedeRules], now: datetime) -> Iterator[Outlived]:
    if standing.device is None or len(standing.certificates) == 1:
        return
    held = {each.id for each in standing.certificates if each.held_at is not None}
    for profile in sorted({each.profile for each in standing.certificates}):
        beside = [each for each in standing.certificates if each.profile == profile]
        found = supersede(beside, rules.get(profile, SupersedeRules()), now)
        yield from (each for each in found if each.certificate_id not in held)


def _end(store: FollowStore, outlived: Outlived, now: datetime) -> bool:
    certificate = store.certificate(outlived.certificate_id)
    if certificate is None or certificate.revocation is not None:
        return False
    reason = RevocationReason.SUPERSEDED
    revocation = Revocation(certificate.id, reason, SUPERSEDED, SYSTEM.id, now, outlived.why)
    event = certificate_event(
        Action.CERTIFICATE_REVOKED,
        certificate.intent,
        SYSTEM,
        now,
        details={"cause": SUPERSEDED, "note": outlived.why, "reason": reason_text(reason).replace("-", "_")},
    )
    return store.revoke(revocation, (event,))
