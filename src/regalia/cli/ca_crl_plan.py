"""`regalia ca crl-plan`: how many CRLs an authority has, and whether there are deltas."""

from enum import StrEnum
from typing import Annotated

import typer

from regalia.ca.crl_plan import MAX_SHARDS
from regalia.cli.context import agreed, reached
from regalia.cli.options import DryRun, Home, Json, Yes, examples
from regalia.cli.output import print_answer
from regalia.verbs import authority as verbs

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
    with reached(home) as door:
        if (shards, delta, full, fleet) == (None, None, None, None):
            print_answer(door.ask(verbs.PLAN, verbs.ShowCrlPlan(name=name)), as_json=as_json)
            return
        asked = verbs.ChangeCrlPlan(name=name, shards=shards, delta=_is_on(delta), full=_is_on(full), fleet=fleet)
        if agreed(door.plan(verbs.CHANGE_PLAN, asked).would, yes=yes, dry_run=dry_run, as_json=as_json):
            print_answer(door.ask(verbs.CHANGE_PLAN, asked), as_json=as_json)


def _is_on(switch: Switch | None) -> bool | None:
    return None if switch is None else switch is Switch.ON
