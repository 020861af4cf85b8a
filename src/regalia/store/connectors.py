"""Configured external systems: rows ⇄ values."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import bindparam, func, select, update

from regalia.model.connector import Connector
from regalia.store.fleet_records import record_text
from regalia.store.session import LostError, Noun, Statement, inserting
from regalia.store.tables import connector
from regalia.store.values import from_millis, millis, optional_millis, storable, time_or_none

if TYPE_CHECKING:
    from collections.abc import Sequence

    from regalia.model import EventDraft
    from regalia.store.session import Columns, Row, Transaction

__all__ = ["SqlConnectors"]

_ADD = inserting(connector)
_ONE = Statement(select(connector).where(connector.c.id == bindparam("which")))
_NAMED = Statement(select(connector).where(connector.c.name == bindparam("name")))
_ALL = Statement(select(connector).order_by(connector.c.name))
_SECRET = Statement(select(connector.c.sealed).where(connector.c.id == bindparam("which")))
_CHANGE = Statement(
    update(connector)
    .where(connector.c.id == bindparam("which"), connector.c.version == bindparam("was"))
    .values(
        {
            **{
                name: bindparam(f"new_{name}")
                for name in ("name", "kind", "settings", "created_at", "secret_set_at", "disabled_at", "version")
            },
            "sealed": func.coalesce(bindparam("new_sealed", type_=connector.c.sealed.type), connector.c.sealed),
        }
    )
)


class SqlConnectors(Noun):
    """See `ports.fleet.Connectors`."""

    def add_connector(self, connector: Connector, sealed: bytes | None, events: Sequence[EventDraft]) -> bool:
        """Return False where the name is taken."""
        columns = {**_columns(connector), "sealed": sealed, "version": 0}
        return self._add_to_catalogue(events, f"connector:{connector.name}", _ADD, columns)

    def connector(self, name: str) -> Connector | None:
        """Return one."""
        row = self._database.row(_NAMED, {"name": name}) if storable(name) else None
        return None if row is None else _read(row)

    def connectors(self) -> tuple[Connector, ...]:
        """Return all, by name."""
        return tuple(map(_read, self._database.rows(_ALL, {})))

    def connector_secret(self, connector_id: UUID) -> bytes | None:
        """Return its sealed secret."""
        row = self._database.row(_SECRET, {"which": connector_id.bytes})
        return None if row is None else row["sealed"]

    def change_connector(
        self, before: Connector, after: Connector, sealed: bytes | None, events: Sequence[EventDraft]
    ) -> bool:
        """Replace it, and its secret where one is given; False where it is not `before` any more.

        What was overwritten is overwritten in the database's files, too, where they are ours.
        """
        columns = _columns(after)
        values: Columns = {f"new_{name}": value for name, value in columns.items() if name != "id"}
        values |= {"which": before.id.bytes, "new_sealed": sealed}

        def unit(transaction: Transaction) -> None:
            row = transaction.row(_ONE, {"which": before.id.bytes})
            if row is None or _read(row) != _read(_columns(before)):
                raise LostError
            if not transaction.run(_CHANGE, {**values, "was": row["version"], "new_version": row["version"] + 1}):
                raise LostError

        won = self._change_catalogue(events, f"connector:{after.name}", unit)
        if won and sealed is not None:
            self._database.erase()
        return won


def _columns(value: Connector) -> Columns:
    return {
        "id": value.id.bytes,
        "name": value.name,
        "kind": value.kind,
        "settings": record_text(value.settings),
        "created_at": millis(value.created_at),
        "secret_set_at": optional_millis(value.secret_set_at),
        "disabled_at": optional_millis(value.disabled_at),
    }


def _read(row: Row) -> Connector:
    return Connector(
        id=UUID(bytes=row["id"]),
        name=row["name"],
        kind=row["kind"],
        settings=json.loads(row["settings"]),
        created_at=from_millis(row["created_at"]),
        secret_set_at=time_or_none(row["secret_set_at"]),
        disabled_at=time_or_none(row["disabled_at"]),
    )
