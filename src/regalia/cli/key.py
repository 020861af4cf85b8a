"""`regalia key`: every key that there ever was."""

from typing import TYPE_CHECKING, Annotated

import typer

from regalia import reasons
from regalia.ca.key_events import key_destroyed
from regalia.ca.key_uses import KeyUse, uses_of_keys, what_needs
from regalia.cli import key_master
from regalia.cli.context import administrator, agreed, opened
from regalia.cli.lookup import by_prefix
from regalia.cli.options import DryRun, Home, Json, Yes, examples, noun_app
from regalia.cli.output import print_record, print_table, say
from regalia.errors import AdminError
from regalia.ports import ELSEWHERE, KeyRecord

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from regalia.app import App

__all__ = ["app"]

app = noun_app("Keys: every private key that there ever was, where it lies, and what it is for.")
key_master.register(app)

Id = Annotated[str, typer.Argument(metavar="ID", help="Its id, or the beginning of it.", show_default=False)]


@app.command("list", epilog=examples("key list --here", "key list --scope ca:root --quiet"))
def list_(
    *,
    here: Annotated[bool, typer.Option("--here", help="Leave out those that were destroyed.")] = False,
    scope: Annotated[
        str | None, typer.Option("--scope", metavar="SCOPE", help="Only those of this scope.", show_default=False)
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the ids and nothing else.")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """List the keys, oldest first: also those that were destroyed."""
    with opened(home) as regalia:
        uses = uses_of_keys(regalia.store, regalia.clock.now())
        found = [
            record
            for record in regalia.store.key_records()
            if not (here and record.destroyed_at is not None) and scope in (None, record.scope)
        ]
        if quiet:
            for record in found:
                say(str(record.id))
            return
        rows = [_row(record, uses) for record in found]
        columns = ("id", "kind", "scope", "place", "used_by", "created_at", "destroyed_at")
        print_table(rows, columns, as_json=as_json)


@app.command(epilog=examples("key show 0192f0c4", "key show 0192f0c4-7c1e-7d3a-9a51-0a2b3c4d5e6f --json"))
def show(*, key_id: Id, home: Home = None, as_json: Json = False) -> None:
    """Show a key: its public half's hash, where it lies, what uses it, and its end."""
    with opened(home) as regalia:
        record = _found(regalia, key_id)
        print_record(_row(record, uses_of_keys(regalia.store, regalia.clock.now())), as_json=as_json)


@app.command(epilog=examples("key destroy 0192f0c4 --why 'the contract ended'", "key destroy 0192f0c4 --dry-run"))
def destroy(
    *,
    key_id: Id,
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="For the audit log.")] = "",
    although_needed: Annotated[
        bool, typer.Option("--although-needed", help="Also where an authority or a credential stops without it.")
    ] = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Destroy a key for good, in the database or on its token. The inventory keeps its row."""
    with opened(home) as regalia:
        record = _found(regalia, key_id)
        if record.destroyed_at is not None:
            print_record(_row(record, {}), as_json=as_json)
            return
        uses = uses_of_keys(regalia.store, regalia.clock.now())
        needed = what_needs(record, uses.get(record.id, []))
        if needed and not although_needed:
            raise AdminError(reasons.KEY_NEEDED, f"without key {record.id}: " + ", ".join(needed))
        plan = [_plan(record), *(f"stop {what}" for what in needed)]
        if not agreed(plan, yes=yes, dry_run=dry_run, as_json=as_json):
            return
        event = key_destroyed(record.id, at=regalia.clock.now(), actor=administrator(), why=why)
        regalia.keys.destroy(record.id, (event,))
        print_record(_row(_found(regalia, str(record.id)), uses), as_json=as_json)
        if record.location != ELSEWHERE and not as_json:
            say("A server that runs uses what it opened until it is restarted; backups may hold the key, encrypted.")


def _plan(record: KeyRecord) -> str:
    if record.location == ELSEWHERE:
        return f"record that key {record.id} ({record.scope}) is destroyed: its medium is yours to destroy"
    return f"destroy key {record.id} ({record.scope}, {_place(record)}) for good"


def _found(regalia: "App", key_id: str) -> KeyRecord:
    store = regalia.store
    return by_prefix(key_id, "key", store.key_record, lambda: reversed(store.key_records()))


def _row(record: KeyRecord, uses: "Mapping[UUID, list[KeyUse]]") -> dict[str, object]:
    using = uses.get(record.id, [])
    return {
        "id": record.id,
        "kind": record.kind,
        "scope": record.scope,
        "place": _place(record),
        "location": record.location,
        "key_sha256": record.key_sha256.hex(),
        "created_at": record.created_at,
        "used_by": [use.what for use in using],
        "needed_by": what_needs(record, using),
        "destroyed_at": record.destroyed_at,
        "destroyed_by": record.destroyed_by,
    }


def _place(record: KeyRecord) -> str:
    """Say where a key lies, in a word or two: a URI is long."""
    if record.destroyed_at is not None:
        return "destroyed"
    token = record.token
    return record.location if token is None else f"token {token}"
