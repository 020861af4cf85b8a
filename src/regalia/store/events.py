"""The audit log: one hash-chained stream per process (AUD-1, AUD-2, R9).

A process takes a free slot of its node, extends its lease whenever it writes, and gives the slot back when it ends, so
that commands in quick succession share a stream. The lease only keeps processes out of each other's way: the head of a
stream is moved in the transaction that appends, from the very hash that the new record names, or is read there under
lock, so that two writers of one stream still make one chain without gaps.
"""

from __future__ import annotations

import itertools
import secrets
import threading
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, func, literal_column, select, text, update

from regalia import reasons
from regalia.errors import AdminError, InvariantError
from regalia.model import Event
from regalia.ports import StoredRecord
from regalia.store.pseudonyms import OpenPseudonyms, SqlPseudonymKeys
from regalia.store.session import Call, Row, Statement, Transaction, inserting
from regalia.store.tables import event, event_stream
from regalia.store.values import millis
from regalia.wire.event import capped, encode_capped, read_fields, read_record, record_hash
from regalia.wire.personal import personal_agrees, with_pseudonyms, without_pseudonyms

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import ColumnElement

    from regalia.model import EventDraft
    from regalia.ports import Clock, EventFilter, Sealer
    from regalia.store.session import Columns, Database, Values

__all__ = ["APPEND", "SqlEvents", "StreamAppender", "read_event_row"]

_LEASE_MILLISECONDS = 60_000
_FIRST_PREVIOUS = bytes(32)
_PAGE = 1_000
_BEFORE_ALL = -(2**63)

_HEAD = Statement(select(event_stream).where(event_stream.c.name == bindparam("name")).with_for_update())
_NEW_STREAM = Statement(
    text(
        "INSERT INTO event_stream (name, sequence, hash, holder, lease_until)"
        " VALUES (:name, 0, :hash, :holder, :lease_until) ON CONFLICT (name) DO NOTHING",
    ),
)
_MOVE_HEAD = Statement(
    update(event_stream)
    .where(event_stream.c.name == bindparam("stream"))
    .values(
        sequence=bindparam("last"),
        hash=bindparam("last_hash"),
        holder=bindparam("by"),
        lease_until=bindparam("until"),
    ),
)
_MOVE_KNOWN_HEAD = Statement(
    update(event_stream)
    .where(
        event_stream.c.name == bindparam("stream"),
        event_stream.c.sequence == bindparam("from_sequence"),
        event_stream.c.hash == bindparam("from_hash"),
        event_stream.c.holder == bindparam("by"),
    )
    .values(sequence=bindparam("last"), hash=bindparam("last_hash"), lease_until=bindparam("until")),
)
_GIVE_BACK = Statement(
    update(event_stream)
    .where(event_stream.c.name == bindparam("stream"), event_stream.c.holder == bindparam("by"))
    .values(lease_until=0),
)
APPEND = inserting(event, leaving_out=("position",))
_LAST_POSITION = Statement(select(func.max(event.c.position).label("position")))
_HEADS = Statement(select(event_stream))
_NEXT_NAME = Statement(select(func.min(event.c.stream).label("name")).where(event.c.stream > bindparam("after")))
_PAGE_OF_STREAM = Statement(
    select(event)
    .where(event.c.stream == bindparam("name"), event.c.sequence > bindparam("after"))
    .order_by(event.c.sequence, event.c.position)
    .limit(_PAGE),
)


@dataclass(frozen=True, slots=True)
class _Head:
    """The end of a stream."""

    stream: str
    sequence: int
    hash: bytes


class StreamAppender:
    """Gives the events of this process their place; see `session.EventAppender`."""

    def __init__(self, node: str, clock: Clock, sealer: Sealer | None = None) -> None:
        """`sealer` opens the keys of pseudonyms; without it records hold personal data in clear."""
        self.opened = OpenPseudonyms(sealer)
        self._node = node
        self._clock = clock
        self._holder = secrets.token_bytes(16)
        self._slot = 0
        self._wrote = False
        self._lock = threading.Lock()
        self._known: _Head | None = None

    def expected(self, events: Sequence[EventDraft]) -> tuple[Call, list[Call]] | None:
        """Say where the events go if nobody else moved the head that this process knows; see `EventAppender`.

        Who uses it knows by the row count of the first call whether that was so: a head that was remembered of a
        transaction that failed, or that another process took over meanwhile, is found out there.
        """
        with self._lock:
            head = self._known
            if head is None or self.opened.stale(millis(self._clock.now())):
                return None
            moved, rows = self._chain(head, events)
        before: Columns = {"from_sequence": head.sequence, "from_hash": head.hash}
        return (_MOVE_KNOWN_HEAD, moved | before), [(APPEND, row) for row in rows]

    def append(self, transaction: Transaction, events: Sequence[EventDraft]) -> None:
        """Lock the head of the stream and append."""
        now = millis(self._clock.now())
        if self.opened.stale(now):
            self.opened.renew(transaction, now)
        row = self._own_head(transaction, now)
        with self._lock:
            moved, rows = self._chain(_Head(row["name"], row["sequence"], row["hash"]), events)
        for columns in rows:
            transaction.run(APPEND, columns)
        transaction.run(_MOVE_HEAD, moved)

    def _chain(self, head: _Head, events: Sequence[EventDraft]) -> tuple[Columns, list[Columns]]:
        """Make the rows of events behind a head, and the head's new values; remember it."""
        stream, sequence, previous = head.stream, head.sequence, head.hash
        rows: list[Columns] = []
        pseudonyms = self.opened.current()
        for event_draft in events:
            sequence += 1
            draft = capped(event_draft)
            named = None if pseudonyms is None else with_pseudonyms(draft, pseudonyms)
            shown, personal = (None, None) if named is None else named
            record = encode_capped(stream, sequence, previous, draft, shown)
            columns = _columns(draft)
            if shown is not None:
                columns["object"] = shown.object
            columns.update(
                stream=stream,
                sequence=sequence,
                previous=previous,
                record=record.decode(),
                personal=personal,
            )
            columns["hash"] = previous = record_hash(record)
            rows.append(columns)
        self._known = _Head(stream, sequence, previous)
        self._wrote = True
        until = millis(self._clock.now()) + _LEASE_MILLISECONDS
        return {"stream": stream, "last": sequence, "last_hash": previous, "by": self._holder, "until": until}, rows

    def give_back(self, database: Database) -> None:
        """Let the next process have the slot at once; nothing is written for a process that recorded nothing."""
        if not self._wrote:
            return
        self._wrote = False
        values: Values = {"stream": f"{self._node}/{self._slot}", "by": self._holder}
        database.write(lambda transaction: transaction.run(_GIVE_BACK, values))

    def _own_head(self, transaction: Transaction, now: int) -> Row:
        """Lock the head of our slot; if another process took it after our lease had ended, of the next free one."""
        for slot in self._slots():
            head = self._locked(transaction, f"{self._node}/{slot}", now)
            if head["holder"] == self._holder or head["lease_until"] <= now:
                self._slot = slot
                return head
        raise InvariantError("there is no end of slots")

    def _slots(self) -> Iterator[int]:
        yield self._slot
        yield from (slot for slot in itertools.count() if slot != self._slot)

    def _locked(self, transaction: Transaction, name: str, now: int) -> Row:
        head = transaction.row(_HEAD, {"name": name})
        if head is None:
            new: Columns = {"name": name, "hash": _FIRST_PREVIOUS, "holder": self._holder, "lease_until": now}
            transaction.run(_NEW_STREAM, new)
            head = transaction.row(_HEAD, {"name": name})
        if head is None:
            raise InvariantError(f"the stream {name} vanished")
        return head


def _columns(draft: EventDraft) -> Columns:
    """What queries ask for, beside the canonical text, and cut to size as it is there."""
    return {
        "at": millis(draft.at),
        "action": draft.action.value,
        "object": draft.object,
        "group": draft.group,
        "outcome": draft.outcome.value,
        "security": int(draft.security),
        "serial": draft.serial,
        "transaction_id": draft.transaction_id,
    }


class SqlEvents(SqlPseudonymKeys):
    """See `ports.Events`."""

    def record(self, events: Sequence[EventDraft]) -> None:
        """Append events that belong to no other change."""
        if events:
            self._database.write(lambda transaction: transaction.record(events))

    def events(self, wanted: EventFilter) -> tuple[Event, ...]:
        """Return the newest that match, oldest of them first. Raises `AdminError` ADM-016 for an altered record."""
        statement = select(event).where(*_conditions(wanted)).order_by(event.c.position.desc()).limit(wanted.limit)
        rows = self._database.rows(Statement(statement), {})
        return tuple(read_event_row(row) for row in reversed(rows))

    def streams(self) -> tuple[tuple[str, int, bytes], ...]:
        """Return each stream's name, last sequence number and last hash as its head says, by name.

        A stream whose head somebody removed has records all the same: it is told with a head of nothing.
        """
        return self._database.read(_streams)

    def stream(self, name: str, after: int | None = None) -> Iterator[tuple[int, bytes, bytes, str, bool]]:
        """Walk over a stream in order of its rows, a page at a time; from behind a sequence number if one is given."""
        after = _BEFORE_ALL if after is None else after
        while rows := self._database.rows(_PAGE_OF_STREAM, {"name": name, "after": after}):
            for row in rows:
                yield row["sequence"], row["previous"], row["hash"], row["record"], self._agrees(row)
            after = rows[-1]["sequence"]

    def stored_records(
        self,
        *,
        after: int = 0,
        since: datetime | None = None,
        until: datetime | None = None,
        group: str | None = None,
    ) -> Iterator[StoredRecord]:
        """Walk over the log in the order of its writing, behind a position, a page at a time.

        What is written meanwhile is not among it.
        """
        last = self._database.row(_LAST_POSITION, {})
        conditions = [event.c.position > bindparam("after"), event.c.position <= bindparam("last")]
        if since is not None:
            conditions.append(event.c.at >= millis(since))
        if until is not None:
            conditions.append(event.c.at < millis(until))
        if group is not None:
            conditions.append(event.c.group == group)
        page = Statement(select(event).where(*conditions).order_by(event.c.position).limit(_PAGE))
        end = 0 if last is None or last["position"] is None else last["position"]
        while rows := self._database.rows(page, {"after": after, "last": end}):
            for row in rows:
                yield StoredRecord(row["position"], row["hash"], row["record"], row["personal"])
            after = rows[-1]["position"]

    def _agrees(self, row: Row) -> bool:
        """Whether the columns are those of the record, and what lies beside it is what its pseudonyms stand for."""
        fields = read_fields(row["record"])
        if fields is None or not _same(row, fields):
            return False
        personal = row["personal"]
        if personal is None:
            return True
        number = fields.get("pseudonyms")
        if type(number) is not int:
            return False
        pseudonyms = self._pseudonyms(number)
        return pseudonyms is None or personal_agrees(fields, personal, pseudonyms)


def _streams(transaction: Transaction) -> tuple[tuple[str, int, bytes], ...]:
    heads = {row["name"]: (row["sequence"], row["hash"]) for row in transaction.rows(_HEADS, {})}
    # From name to name through the index: the records themselves are many.
    written: set[str] = set()
    name = ""
    while (row := transaction.row(_NEXT_NAME, {"after": name})) is not None and row["name"] is not None:
        name = row["name"]
        written.add(name)
    told = written | {name for name, (sequence, _) in heads.items() if sequence}
    return tuple((name, *heads.get(name, (0, _FIRST_PREVIOUS))) for name in sorted(told))


def _conditions(wanted: EventFilter) -> Iterator[ColumnElement[bool]]:
    if wanted.action is not None:
        yield event.c.action == wanted.action
    if wanted.object is not None:
        yield event.c.object == wanted.object
    if wanted.group is not None:
        yield event.c.group == wanted.group
    if wanted.security is not None:
        # Spelled out, not a parameter: the partial index holds what is 1.
        yield event.c.security == literal_column("1" if wanted.security else "0")


def read_event_row(row: Row) -> Event:
    """Make the value of a row. Raises `AdminError` ADM-016 for an altered record."""
    try:
        stream, sequence, previous, draft = read_record(row["record"].encode())
        draft = without_pseudonyms(draft, row["personal"])
    except ValueError as error:
        raise AdminError(reasons.CHAIN_BROKEN, f"record {row['sequence']} of stream {row['stream']}") from error
    return Event(stream, sequence, previous, row["hash"], draft)


def _same(row: Row, fields: dict[str, Any]) -> bool:
    """Compare the columns that queries use with the fields of the record."""
    try:
        return bool(
            row["stream"] == fields["stream"]
            and row["sequence"] == fields["sequence"]
            and row["previous"].hex() == fields["previous"]
            and row["at"] == millis(datetime.fromisoformat(fields["at"]))
            and row["action"] == fields["action"]
            and row["object"] == fields["object"]
            and row["group"] == fields["group"]
            and row["outcome"] == fields["outcome"]
            and row["security"] == int(fields["security"])
            and row["serial"] == fields["serial"]
            and row["transaction_id"] == fields["transaction"],
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return False
