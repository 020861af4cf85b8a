"""What `doctor` looks at in CRLs: each list of an authority, how old it is, how large it is and may get."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from regalia.ca.crl_plan import lists_of, shards_needed, worst_sizes
from regalia.cli.authorities import serves_crl
from regalia.cli.check import Check, Level, left
from regalia.cli.custody import ELSEWHERE, custody
from regalia.model import AuthorityKind, crl_name
from regalia.ra.findings import crl_is_near_end

if TYPE_CHECKING:
    from collections.abc import Iterator

    from regalia.app import App
    from regalia.model import Authority

__all__ = ["crl_checks"]


def crl_checks(regalia: App, authority: Authority) -> Iterator[Check]:
    """Check an authority's CRLs; what another PKI serves, or another machine, is not looked at."""
    if not serves_crl(regalia, authority):
        return
    for shard in lists_of(authority):
        yield _crl(regalia, authority, crl_name(authority.name, shard))
        if authority.crl_delta:
            yield _crl(regalia, authority, crl_name(authority.name, shard, delta=True))
    if authority.kind is AuthorityKind.ISSUING:
        yield from _sizes(regalia, authority)


def _crl(regalia: App, authority: Authority, name: str) -> Check:
    offline = custody(regalia, authority.key_id) == ELSEWHERE
    remedy = f"Run `regalia ca crl {authority.name}" + (
        " --root-key DIR` with the medium, or bring it from the root's own machine with `--import FILE`."
        if offline
        else "`."
    )
    last, file = regalia.store.last_crl(name), regalia.crl_files.published(name)
    if last is None or file is None:
        return Check("crl", Level.PROBLEM, f"{name} has published no CRL", remedy)
    now = regalia.clock.now()
    finding = f"CRL {last.number} of {name} {left(now, last.next_update)}"
    if last.next_update <= now:
        return Check("crl", Level.PROBLEM, finding, remedy)
    if regalia.crls.due(authority.name, last.shard) and regalia.store.revocation_count(authority.name) > last.snapshot:
        return Check("crl", Level.WARN, f"{finding}, but something was revoked since", remedy)
    if crl_is_near_end(authority.kind, last.this_update, last.next_update, now):
        return Check("crl", Level.WARN, f"{finding}: a new one is due", remedy)
    alert = regalia.config.crl.alert_octets
    if file.length > alert:
        return Check("crl", Level.WARN, f"{finding}, but has {file.length} octets, more than {alert}", _SPREAD)
    return Check("crl", Level.OK, finding)


_SPREAD: Final = "Spread new certificates among partial CRLs: `regalia ca crl-plan`."


def _sizes(regalia: App, authority: Authority) -> Iterator[Check]:
    """Warn where the fleet has outgrown the plan that was made for it (REV-5)."""
    live = regalia.store.live_by_list(authority.name, regalia.clock.now())
    limit = regalia.config.crl.largest_octets
    for shard, octets in worst_sizes(authority, live).items():
        if octets > limit:
            shards = max(shards_needed(sum(live.values()), limit), authority.crl_shards)
            finding = (
                f"{crl_name(authority.name, shard)} would have {octets} octets with all of its certificates revoked"
            )
            remedy = f"Run `regalia ca crl-plan {authority.name} --shards {shards} --full off`; old certificates stay."
            yield Check("crl size", Level.WARN, f"{finding}, more than {limit}", remedy)
