"""An administrator's release, where what follows from a device's state counts as well (REV-1).

His word ends his own share of a hold, and no cause: what would be held again by the next run stays on hold, without a
moment between. Whoever has no share in it is told what holds it instead of being undone half a minute later.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from regalia import reasons
from regalia.ca.revoke import is_final, release
from regalia.errors import AdminError
from regalia.model import Hold
from regalia.ports.fleet import FOLLOWED, FOLLOWING, Bearer
from regalia.ra.follow_rules import FollowRules
from regalia.ra.follow_run import SYSTEM, FollowStore
from regalia.ra.following import explain, follow
from regalia.ra.standings import rules_of_groups, standings_of

if TYPE_CHECKING:
    from datetime import datetime

    from regalia.model import Actor, Certificate
    from regalia.ports import Clock

__all__ = ["release_share", "still_held"]


def release_share(store: FollowStore, clock: Clock, certificate: Certificate, *, actor: Actor, note: str) -> None:
    """End an administrator's hold; what follows may hold the certificate all the same.

    Raises `AdminError`: ADM-052 where it is not on hold, CON-069 where nobody but what follows holds it.
    """
    now, held = clock.now(), certificate.revocation
    if held is None or is_final(certificate):
        release(store, clock, certificate, actor=actor, note=note)
        return
    why = still_held(store, certificate, now)
    shared = any(each.cause is None and each.ended_at is None for each in store.causes_of([certificate.id]))
    if why and not shared:
        raise AdminError(reasons.CERTIFICATE_FOLLOWS, f"serial {certificate.serial:x}: {'; '.join(why)}")
    first = bool(why) and held.cause not in FOLLOWED
    instead = Hold(certificate.id, FOLLOWING, SYSTEM.id, now, "; ".join(why)) if first else None
    release(store, clock, certificate, actor=actor, note=note, still=why, instead=instead)


def still_held(store: FollowStore, certificate: Certificate, now: datetime) -> tuple[str, ...]:
    """Say for what a certificate would be held or revoked now if it were good; empty where it would stay good.

    Raises `UnavailableError` where a group's rules do not open.
    """
    intent = certificate.intent
    if intent.device_id is None and intent.user_id is None:
        return ()
    bearer = Bearer(intent.device_id, None if intent.device_id is not None else intent.user_id)
    rules = rules_of_groups(store)
    for standing in standings_of(store, (bearer,), now):
        for live in (each for each in standing.certificates if each.id == certificate.id):
            freed = replace(live, held_at=None, held_by_others=False)
            steps = follow(replace(standing, certificates=(freed,)), rules, now)
            causes = next((step.causes for step in steps if step.ends_trust), ())
            return explain(replace(freed, kept=causes), rules.get(live.group, FollowRules()), now)[1:]
    return ()
