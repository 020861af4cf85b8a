"""How an authority's CRLs are divided: which lists there are, which one tells of a certificate, how large each may get.

A certificate names its list for ever (CRLDistributionPoints): a plan concerns new certificates alone, and a list that
was ever planned goes on. List 0 is the one without a number, which all certificates from before a plan point to.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from regalia import reasons
from regalia.errors import AdminError
from regalia.model import Action, AuthorityKind, EventDraft, Outcome, crl_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from regalia.ca.urls import Urls
    from regalia.model import Actor, Authority
    from regalia.ports import Authorities, Clock

__all__ = [
    "LONGEST_ENTRY",
    "MAX_SHARDS",
    "Plan",
    "adopt_plan",
    "check_name",
    "check_plan",
    "check_size",
    "covered",
    "is_partial",
    "lists_of",
    "make_lists",
    "shard_of",
    "shards_needed",
    "status_addresses",
    "worst_sizes",
]

MAX_SHARDS: Final = 256
LONGEST_ENTRY: Final = 53
"""Octets of an entry with a serial of 20 octets, a UTCTime and a reason."""
_HEAD: Final = 2_048
"""Octets of a CRL beside its entries, generously."""
_SPREAD: Final = 1.05
"""Random serials fill lists unevenly; among lists large enough to matter, by less than this."""


def shard_of(serial: int, shards: int) -> int:
    """Choose the list of a new certificate; 0 where there is one list only."""
    return serial % shards + 1 if shards else 0


def lists_of(authority: Authority) -> range:
    """Numbers of the lists that an authority publishes."""
    return range(max(authority.crl_shards, authority.crl_lists) + 1)


def covered(authority: Authority, shard: int) -> range:
    """Numbers of the lists whose certificates a CRL tells of: its own, or all where it has no scope."""
    return range(shard, shard + 1) if is_partial(authority, shard) else lists_of(authority)


def is_partial(authority: Authority, shard: int) -> bool:
    """Whether a CRL leaves out certificates of the authority, and has to say so (RFC 5280 §5.2.5)."""
    return shard > 0 or (len(lists_of(authority)) > 1 and not authority.crl_full)


def status_addresses(authority: Authority, serial: int, urls: Urls) -> tuple[str, ...]:
    """Where a new certificate's CRL is and, where the authority has deltas, the delta beside it."""
    shard = shard_of(serial, authority.crl_shards)
    crl = urls.crl(authority.name, shard)
    return (crl, urls.crl(authority.name, shard, delta=True)) if authority.crl_delta else (crl,)


# --- sizes ------------------------------------------------------------------------------------------------------------


def worst_sizes(authority: Authority, live: Mapping[int, int]) -> dict[int, int]:
    """Octets of each list if everything that lives were revoked; `live` counts certificates by list."""
    return {
        shard: _HEAD + LONGEST_ENTRY * sum(live.get(each, 0) for each in covered(authority, shard))
        for shard in lists_of(authority)
    }


def shards_needed(certificates: int, limit: int) -> int:
    """Smallest number of lists that keeps each below `limit` octets with so many certificates; 0 for one full CRL."""
    if _HEAD + certificates * LONGEST_ENTRY <= limit:
        return 0
    return math.ceil(certificates * LONGEST_ENTRY * _SPREAD / (limit - _HEAD))


@dataclass(frozen=True, slots=True)
class Plan:
    """How new certificates are spread, and for how many it has to do."""

    shards: int
    delta: bool
    full: bool
    """Whether the CRL without a scope goes on listing everything."""
    fleet: int
    """Certificates that live at the same time, those that live now at the least."""


def check_size(plan: Plan, limit: int) -> None:
    """See that no list gets larger than `limit` octets if all that lives were revoked (REV-5).

    Certificates that point to a list already stay on it whatever is planned. Raises `AdminError` ADM-050 with the
    number that would do.
    """
    needed = shards_needed(plan.fleet, limit)
    whole = plan.full or not plan.shards
    if not needed or (not whole and plan.shards >= needed):
        return
    octets = _HEAD + plan.fleet * LONGEST_ENTRY // (1 if whole else plan.shards)
    raise AdminError(
        reasons.CRL_PLAN_TOO_LARGE,
        f"{plan.fleet} certificates, all revoked, make a CRL of {octets} octets where {limit} are allowed:"
        f" --shards {max(needed, plan.shards)} --full off",
    )


# --- names and the plan -----------------------------------------------------------------------------------------------


def check_name(name: str, authorities: Iterable[Authority]) -> None:
    """See that a new authority is not called as a list of another one. Raises `AdminError` ADM-051."""
    for other in authorities:
        shard = re.fullmatch(re.escape(other.name) + r"(?:-([1-9][0-9]{0,2}))?(-delta)?", name)
        if shard is None or name == other.name:
            continue
        if shard[2] is not None or int(shard[1]) in lists_of(other):
            raise AdminError(reasons.CRL_NAME_TAKEN, f"{name} would be a CRL of authority {other.name}")


def check_plan(store: Authorities, authority: Authority, plan: Plan, limit: int) -> None:
    """See that a plan can be kept.

    Raises `AdminError` ADM-017 for a root, ADM-050 for a CRL that could outgrow `limit` octets, ADM-051 where an
    authority is called as one of the lists would be.
    """
    if authority.kind is not AuthorityKind.ISSUING:
        raise AdminError(reasons.AUTHORITY_STATE, f"{authority.name} is {authority.kind}: it has one full CRL")
    check_size(plan, limit)
    taken = {other.name for other in store.authorities()} - {authority.name}
    for shard in range(plan.shards + 1):
        for name in (crl_name(authority.name, shard), crl_name(authority.name, shard, delta=True)):
            if name in taken:
                raise AdminError(reasons.CRL_NAME_TAKEN, f"{name} is an authority")


def make_lists(store: Authorities, authority: Authority, plan: Plan) -> Authority:
    """Let the lists of a plan be, so that they are published before the first certificate points to them."""
    shards, lists = authority.crl_shards, plan.shards
    # Deltas begin at once: who finds no delta yet uses the complete list, which is all that is needed.
    store.set_crl_plan(authority.name, shards, (), lists=lists, delta=plan.delta, full=plan.full)
    return store.authority(authority.name) or authority


def adopt_plan(store: Authorities, clock: Clock, authority: Authority, plan: Plan, *, actor: Actor) -> Authority:
    """Have new certificates point to the lists of a plan."""
    event = EventDraft(
        at=clock.now(),
        actor=actor,
        action=Action.CRL_PLANNED,
        object=f"authority:{authority.name}",
        outcome=Outcome.OK,
        group=authority.group,
        details={"shards": plan.shards, "delta": plan.delta, "full": plan.full, "fleet": plan.fleet},
    )
    store.set_crl_plan(authority.name, plan.shards, (event,), lists=plan.shards, delta=plan.delta, full=plan.full)
    return store.authority(authority.name) or authority
