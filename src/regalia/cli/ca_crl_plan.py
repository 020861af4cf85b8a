"""`regalia ca crl-plan`: how many CRLs an authority has, and whether there are deltas."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from regalia.ca.crl_plan import MAX_SHARDS, Plan, adopt_plan, check_plan, lists_of, make_lists, worst_sizes
from regalia.cli.authorities import found_authority
from regalia.cli.context import administrator, agreed, opened
from regalia.cli.options import DryRun, Home, Json, Yes, examples
from regalia.cli.output import print_record
from regalia.cli.publish import publish
from regalia.model import crl_name

if TYPE_CHECKING:
    from regalia.app import App
    from regalia.model import Authority

__all__ = ["CRL_PLAN_EXAMPLES", "crl_plan"]

CRL_PLAN_EXAMPLES = examples("ca crl-plan staff-ca-1", "ca crl-plan staff-ca-1 --shards 8 --full off --fleet 1000000")


class Switch(StrEnum):
    """On or off."""

    ON = "on"
    OFF = "off"


def crl_plan(
    *,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the authority.", show_default=False)],
    shards: Annotated[
        int | None,
        typer.Option("--shards", metavar="N", min=0, max=MAX_SHARDS, help="Spread new certificates among N CRLs."),
    ] = None,
    delta: Annotated[
        Switch | None, typer.Option("--delta", help="Publish a delta CRL beside each CRL.", show_default=False)
    ] = None,
    full: Annotated[
        Switch | None,
        typer.Option("--full", help="Keep all in the full CRL, too; off: only what points to it.", show_default=False),
    ] = None,
    fleet: Annotated[
        int | None,
        typer.Option("--fleet", metavar="N", min=1, help="Certificates that will live at a time.", show_default=False),
    ] = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Show how an authority's CRLs are divided, or change it for new certificates. Sizes are checked first."""
    with opened(home) as regalia:
        authority = found_authority(regalia, name)
        if (shards, delta, full, fleet) != (None, None, None, None):
            plan = Plan(
                shards=authority.crl_shards if shards is None else shards,
                delta=authority.crl_delta if delta is None else delta is Switch.ON,
                full=authority.crl_full if full is None else full is Switch.ON,
                fleet=max(fleet or 0, _live(regalia, authority)),
            )
            check_plan(regalia.store, authority, plan, regalia.config.crl.largest_octets)
            if not agreed(_steps(authority, plan), yes=yes, dry_run=dry_run, as_json=as_json):
                return
            make_lists(regalia.store, authority, plan)
            publish(regalia, name)
            authority = adopt_plan(regalia.store, regalia.clock, authority, plan, actor=administrator())
        print_record(_told(regalia, authority), as_json=as_json)


def _live(regalia: "App", authority: "Authority") -> int:
    return sum(regalia.store.live_by_list(authority.name, regalia.clock.now()).values())


def _steps(authority: "Authority", plan: Plan) -> list[str]:
    crls = f"one of {plan.shards} partial CRLs" if plan.shards else "the full CRL"
    steps = [f"have new certificates of {authority.name} point to {crls}"]
    lists = max(plan.shards, authority.crl_lists)
    if plan.full != authority.crl_full and lists:
        what = "everything" if plan.full else "only certificates that point to it, and say so in a critical extension"
        steps.append(f"have the full CRL list {what}")
    if plan.delta != authority.crl_delta:
        steps.append("publish deltas, and have CRLs and new certificates name them" if plan.delta else "end deltas")
    return steps


def _told(regalia: "App", authority: "Authority") -> dict[str, object]:
    live = regalia.store.live_by_list(authority.name, regalia.clock.now())
    sizes = worst_sizes(authority, live)
    files = [regalia.crl_files.published(name) for name in _names(authority)]
    return {
        "authority": authority.name,
        "shards": authority.crl_shards,
        "lists": len(lists_of(authority)),
        "delta": "on" if authority.crl_delta else "off",
        "full": "on" if authority.crl_full else "off",
        "live_certificates": sum(live.values()),
        "largest_now": max((file.length for file in files if file is not None), default=0),
        "largest_possible": max(sizes.values()),
        "limit": regalia.config.crl.largest_octets,
    }


def _names(authority: "Authority") -> list[str]:
    return [crl_name(authority.name, shard) for shard in lists_of(authority)]
