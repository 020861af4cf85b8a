"""`regalia db`: the database's schema."""

from pathlib import Path

from regalia import reasons
from regalia.app.build import SystemClock, node_name
from regalia.cli.context import administrator
from regalia.cli.faults import FoundError
from regalia.cli.options import DryRun, Home, Json, examples, noun_app
from regalia.cli.output import print_record
from regalia.config import Config, load_config
from regalia.errors import AdminError
from regalia.model import Action, EventDraft, Outcome
from regalia.store.migrations import SchemaStatus
from regalia.store.migrations import check as check_schema
from regalia.store.migrations import upgrade as upgrade_schema
from regalia.store.store import open_store

__all__ = ["app", "schema_problem"]

app = noun_app("The database's schema.")


@app.command(epilog=examples("db upgrade", "db upgrade --dry-run --json"))
def upgrade(*, dry_run: DryRun = False, home: Home = None, as_json: Json = False) -> None:
    """Bring the schema to what this version needs, in one transaction. Make a backup first."""
    config, node = _used_home(home)
    url = config.database.connection_url()
    before = check_schema(url)
    if before.current is not None and before.current > before.needed:
        raise AdminError(reasons.SCHEMA_OLD, f"{schema_problem(before)}: install the version that wrote it")
    if not dry_run and not before.ready:
        upgrade_schema(url)
        _record(config, node, before)
    after = check_schema(url)
    record = {"before": before.current, "after": after.current, "needed": after.needed, "changed": before != after}
    print_record(record | ({"dry_run": True} if dry_run else {}), as_json=as_json)


@app.command(epilog=examples("db check", "db check --json"))
def check(*, home: Home = None, as_json: Json = False) -> None:
    """Check that the database answers and has the schema that this version needs. Exit code 3 if it has not."""
    config, node = _used_home(home)
    url = config.database.connection_url()
    status = check_schema(url)
    if not status.ready:
        raise FoundError(reasons.SCHEMA_OLD, schema_problem(status))
    store = open_store(url, node=node, clock=SystemClock())
    try:
        record = {"database": store.check(), "url": config.database.url, "schema": status.current}
    finally:
        store.close()
    print_record(record, as_json=as_json)


def schema_problem(status: SchemaStatus) -> str:
    """Say how a schema differs from what this version needs."""
    return f"the schema is at {status.current or 'nothing'}, this version needs {status.needed}"


def _used_home(home: Path | None) -> tuple[Config, str]:
    config = load_config(home=home)
    return config, node_name(config.home)


def _record(config: Config, node: str, before: SchemaStatus) -> None:
    """Write the event. The log is in the database, so there is no writing it before the upgrade."""
    clock = SystemClock()
    event = EventDraft(
        at=clock.now(),
        actor=administrator(),
        action=Action.DATABASE_UPGRADED,
        object="database:main",
        outcome=Outcome.OK,
        details={"before": before.current, "after": before.needed},
    )
    store = open_store(config.database.connection_url(), node=node, clock=clock)
    try:
        store.record((event,))
    finally:
        store.close()
