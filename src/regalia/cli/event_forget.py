"""`regalia event forget`: remove personal data before its time."""

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from regalia import reasons
from regalia.cli.context import administrator, agreed, opened
from regalia.cli.options import DryRun, Home, Json, Yes
from regalia.cli.output import print_record
from regalia.errors import AdminError

if TYPE_CHECKING:
    from regalia.ports import Forgotten

__all__ = ["forget"]


def forget(
    *,
    older_than: Annotated[
        str | None,
        typer.Option(
            "--older-than", metavar="DAYSd", show_default=False, help="[audit] personal_days if not given, as in 400d."
        ),
    ] = None,
    destroy_keys: Annotated[
        bool,
        typer.Option("--destroy-keys", help="Destroy the keys of what is older, too: guesses cannot be tried then."),
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Remove addresses and names of users and devices that are older; the log keeps pseudonyms, and still verifies."""
    with opened(home) as regalia:
        days = regalia.config.audit.personal_days if older_than is None else _days(older_than)
        before = regalia.clock.now() - timedelta(days=days)
        found = regalia.personal.count(before)
        keys = regalia.personal.keys_to_destroy(before) if destroy_keys else ()
        if dry_run:
            print_record(_record(found, len(keys), days) | {"dry_run": True}, as_json=as_json)
            return
        plan = [f"remove what names users and devices from {found.events} events older than {days} days"]
        if destroy_keys:
            plan.append(f"destroy {len(keys)} keys of pseudonyms")
        if not agreed(plan, yes=yes, dry_run=False, as_json=as_json):
            return
        forgotten = regalia.personal.forget(before, administrator())
        destroyed = regalia.personal.destroy_keys(before, administrator()) if destroy_keys else ()
    print_record(_record(forgotten, len(destroyed), days), as_json=as_json)


def _days(text: str) -> int:
    match = re.fullmatch(r"([0-9]{1,5})d?", text)
    if match is None or int(match[1]) < 1:
        raise AdminError(reasons.USAGE, f"--older-than {text}: write days, as in 400d")
    return int(match[1])


def _record(found: "Forgotten", keys: int, days: int) -> dict[str, object]:
    return {
        "older_than_days": days,
        "events": found.events,
        "enrolments": max(found.enrolments, found.sources),
        "challenges": found.challenges,
        "keys_destroyed": keys,
    }
