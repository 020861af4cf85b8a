"""What the records of devices and those of users have in common: finding, listing and changing them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from sqlalchemy import bindparam, delete, literal_column, select, update

from regalia.model.fleet import Device, User
from regalia.ports import Listed
from regalia.ports.fleet import differs
from regalia.store.listing import FAR, Found, Question, Source, walk
from regalia.store.session import LostError, Statement, inserting
from regalia.store.several import MANY, in_parts, keys, marks
from regalia.store.values import millis, plain, storable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import Table

    from regalia.model import EventDraft
    from regalia.ports import Place
    from regalia.store.session import Call, Columns, Database, Row, Transaction

__all__ = ["BY_ID", "BY_NAME", "Keys", "Records", "folded", "record_text"]

Record = TypeVar("Record", Device, User)

BY_NAME: Final = "=name"
BY_ID: Final = "=id"
"""Kinds of keys for searches alone; no system's kind of id begins like this."""

_FOLDED: Final = 200
"""Octets of a text that lists are sorted and searched by."""
_LONGEST: Final = 500
"""Characters of a key by which a record is found: an index takes no more."""
Keys = frozenset[tuple[str, str]]
"""What a record is found by: kinds and values."""


def folded(text: str) -> bytes:
    """Return what a text is sorted and searched by: without regard to case, in the order of code points."""
    return plain(text).casefold().encode()[:_FOLDED]


def record_text(value: Mapping[str, object]) -> str:
    """JSON in ASCII, so that every database holds it, and in one order, so that it is written as it was read."""
    return json.dumps(dict(value), sort_keys=True, separators=(",", ":"))


@cache
def _by_ids(table: Table, count: int) -> Statement:
    return Statement(select(table).where(table.c.id.in_(marks(count))))


@cache
def _by_names(table: Table, count: int) -> Statement:
    ours = (table.c.connector == bindparam("of"), table.c.external_id.in_(marks(count)))
    return Statement(select(table).where(*ours))


@dataclass(frozen=True)
class Records(Generic[Record]):
    """The records of one noun."""

    table: Table
    keys: Table
    columns: Callable[[Record], Columns]
    """Without `version`."""
    read: Callable[[Row], Record]
    found_by: Callable[[Record], Keys]

    # --- one, or few --------------------------------------------------------------------------------------------------

    @cached_property
    def _by_id(self) -> Statement:
        return Statement(select(self.table).where(self.table.c.id == bindparam("id")))

    @cached_property
    def _named(self) -> Statement:
        ours = (self.table.c.connector == bindparam("of"), self.table.c.external_id == bindparam("name"))
        return Statement(select(self.table).where(*ours))

    @cached_property
    def _by_key(self) -> Statement:
        key = self.keys.c
        ours = (key.connector == bindparam("of"), key.kind == bindparam("kind"), key.value == bindparam("value"))
        found = select(self.table).join(self.keys, key[self.table.name] == self.table.c.id)
        return Statement(found.where(*ours).order_by(self.table.c.id))

    @cached_property
    def _unseen(self) -> Statement:
        row = self.table.c
        return Statement(
            select(self.table)
            .where(
                row.connector == bindparam("of"),
                # Spelled out for the partial index.
                row.present == literal_column("1"),
                row.id > bindparam("after"),
                row.seen_at < bindparam("since"),
            )
            .order_by(row.id)
            .limit(bindparam("most"))
        )

    def one(self, database: Database, record_id: UUID) -> Record | None:
        """Find by our id."""
        row = database.row(self._by_id, {"id": record_id.bytes})
        return None if row is None else self.read(row)

    def named(self, database: Database, connector: str, external_id: str) -> Record | None:
        """Find by its system's id."""
        if not (storable(connector) and storable(external_id)):
            return None
        row = database.row(self._named, {"of": connector, "name": external_id})
        return None if row is None else self.read(row)

    def several(self, database: Database, record_ids: Sequence[UUID]) -> dict[UUID, Record]:
        """Find those that there are, by our ids."""
        calls: list[Call] = []
        for part in in_parts([each.bytes for each in record_ids]):
            values = keys(part)
            calls.append((_by_ids(self.table, len(values)), values))
        found = (self.read(row) for rows in database.look_up(calls) for row in rows)
        return {record.id: record for record in found}

    def several_named(self, database: Database, connector: str, external_ids: Sequence[str]) -> dict[str, Record]:
        """Find those that there are, by their system's ids."""
        calls: list[Call] = []
        for part in in_parts([each for each in external_ids if storable(each)] if storable(connector) else []):
            values = keys(part)
            calls.append((_by_names(self.table, len(values)), {**values, "of": connector}))
        found = (self.read(row) for rows in database.look_up(calls) for row in rows)
        return {record.external_id: record for record in found}

    def by_key(self, database: Database, connector: str, kind: str, value: str) -> tuple[Record, ...]:
        """Find by something else that its system knows it by."""
        if not all(map(storable, (connector, kind, value))):
            return ()
        return tuple(map(self.read, database.rows(self._by_key, {"of": connector, "kind": kind, "value": value})))

    def unseen(
        self, database: Database, connector: str, since: datetime, after: UUID | None, limit: int
    ) -> tuple[Record, ...]:
        """Find those that are present and that nothing was said of since then, by id."""
        if not storable(connector):
            return ()
        begin = b"" if after is None else after.bytes
        values: Columns = {"of": connector, "since": millis(since), "after": begin, "most": limit}
        return tuple(map(self.read, database.rows(self._unseen, values)))

    # --- a page -------------------------------------------------------------------------------------------------------

    def page(
        self,
        database: Database,
        where: Mapping[str, str],
        values: Columns,
        *,
        search: str,
        limit: int,
        after: Place | None,
    ) -> Listed[Record]:
        """List by name those that meet conditions, each named after its column, and begin with a text."""
        begin = _begin(after)
        source = self._source(where, search)
        if search:
            values = {**values, "low": folded(search), "high": folded(search) + b"\xff"}
        question = Question(source, f"CROSS JOIN {self.table.name} c WHERE c.id = d.id", tuple(where.values()))

        def unit(transaction: Transaction) -> tuple[Found, list[Row]]:
            # What a text finds is found as a whole before it is in order: not twice, for its number.
            counted = 0 if search else FAR
            found = walk(transaction, question, {**values, **begin}, limit, count=after is None, counted=counted)
            return found, [row for each in found.rows for row in transaction.rows(self._by_id, {"id": each["id"]})]

        found, rows = database.read(unit)
        following = found.following
        place = None if following is None else (bytes(following["place"]).hex(), bytes(following["id"]).hex())
        return Listed(tuple(map(self.read, rows)), place, found.total)

    def _source(self, where: Mapping[str, str], search: str) -> Source:
        """Choose the index that leads to what is asked by the fewest rows."""
        name, behind = self.table.name, "(folded, id) > (:end, :after)"
        order = "ORDER BY folded, id LIMIT :window"
        if search:
            found = f"SELECT DISTINCT {name} AS id FROM {name}_key WHERE folded >= :low AND folded < :high"  # noqa: S608 - words of ours, no values
            sql = (
                f"SELECT w.id, w.folded FROM ({found}) k CROSS JOIN {name} w"  # noqa: S608 - the same
                " WHERE w.id = k.id AND (w.folded, w.id) > (:end, :after) ORDER BY w.folded, w.id LIMIT :window"
            )
        else:
            # Groups are mostly smaller than connectors.
            column = next((each for each in ("group", "connector") if each in where), None)
            one = "" if column is None else where[column].replace("c.", "") + " AND "
            sql = f"SELECT id, folded FROM {name} WHERE {one}{behind} {order}"  # noqa: S608 - the same
        return Source(
            sql,
            order="d.folded, d.id",
            back="d.folded DESC, d.id DESC",
            shown="d.id AS id, d.folded AS place",
        )

    # --- changes ------------------------------------------------------------------------------------------------------

    @cached_property
    def _add(self) -> Statement:
        return inserting(self.table)

    @cached_property
    def _change(self) -> Statement:
        names = [column.name for column in self.table.columns if column.name != "id"]
        row = self.table.c
        return Statement(
            update(self.table)
            .where(row.id == bindparam("which"), row.version == bindparam("was"))
            .values({name: bindparam(f"new_{name}") for name in names})
        )

    @cached_property
    def _add_key(self) -> Statement:
        return inserting(self.keys)

    @cached_property
    def _remove_key(self) -> Statement:
        key = self.keys.c
        return Statement(
            delete(self.keys).where(
                key[self.table.name] == bindparam("which"),
                key.kind == bindparam("what"),
                key.value == bindparam("former"),
            )
        )

    def put(
        self, transaction: Transaction, records: Sequence[tuple[Record | None, Record]], events: Sequence[EventDraft]
    ) -> None:
        """Add those without a former record, change the others. Raises `LostError` where one has changed.

        `events` are those of the change, which may be all that says when it was.
        """
        told = [each.at for each in events]
        calls: list[Call] = []
        for first in range(0, len(records), MANY):
            part = records[first : first + MANY]
            found = self._found(transaction, [after.id for _, after in part])
            for before, after in part:
                changed_at = millis(max(after.seen_at, after.state_since, *told))
                calls += self._calls(before, after, found.get(after.id.bytes), changed_at)
        one = frozenset({self._add, self._change})
        transaction.conclude(calls, [1 if statement in one else None for statement, _ in calls])

    def _found(self, transaction: Transaction, ids: Sequence[UUID]) -> dict[bytes, Row]:
        values = keys([each.bytes for each in ids])
        return {bytes(row["id"]): row for row in transaction.rows(_by_ids(self.table, len(values)), values)}

    def _calls(self, before: Record | None, after: Record, row: Row | None, changed_at: int) -> Iterator[Call]:
        columns = self.columns(after)
        if before is None and row is None:
            yield self._add, {**columns, "version": 0, "changed_at": changed_at}
            former: Keys = frozenset()
        elif before is not None and row is not None and self.read(row) == self.read(self.columns(before)):
            values: Columns = {f"new_{name}": value for name, value in columns.items() if name != "id"}
            version = row["version"]
            values["new_changed_at"] = changed_at if differs(before, after) else row["changed_at"]
            yield self._change, {**values, "new_version": version + 1, "which": columns["id"], "was": version}
            former = self._keys_of(before)
        else:
            raise LostError
        now = self._keys_of(after)
        for kind, value in sorted(former - now):
            yield self._remove_key, {"which": columns["id"], "what": kind, "former": value}
        for kind, value in sorted(now - former):
            key: Columns = {self.table.name: columns["id"], "kind": kind, "value": value}
            yield self._add_key, {**key, "connector": after.connector, "folded": folded(value)}

    def _keys_of(self, record: Record) -> Keys:
        known = self.found_by(record) | {(BY_NAME, record.name), (BY_ID, record.external_id)}
        # Lists look at names in one case; whoever has a longer one is found by the rest of what is known.
        return frozenset((kind, plain(value)) for kind, value in known if value and len(value) <= _LONGEST)


def _begin(after: Place | None) -> Columns:
    """Return where a page begins; what is no place stands behind all, and nothing comes behind it."""
    if after is None:
        return {"end": b"", "after": b""}
    try:
        return {"end": bytes.fromhex(str(after[0])), "after": bytes.fromhex(str(after[1]))}
    except (ValueError, IndexError):
        return {"end": b"\xff" * (_FOLDED + 1), "after": b""}
