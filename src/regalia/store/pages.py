"""Enrolments, challenges and events a page at a time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, TypeVar

from sqlalchemy import bindparam, select

from regalia.model import EnrolmentState
from regalia.ports import Listed
from regalia.store.challenges import read_challenge_row
from regalia.store.enrolments import read_enrolment_row
from regalia.store.events import read_event_row
from regalia.store.listing import (
    FIRST,
    NEAR,
    Found,
    Question,
    Source,
    endpoint_columns,
    group_columns,
    in_endpoints,
    in_groups,
    walk,
)
from regalia.store.search import CHALLENGES, ENROLMENTS, SqlSearch, Wanted
from regalia.store.session import Statement
from regalia.store.sqlite import SqliteDatabase
from regalia.store.tables import challenge, enrolment, event
from regalia.store.values import optional_millis, plain
from regalia.wire.search_text import wanted_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from regalia.model import Challenge, Enrolment, Event
    from regalia.ports import ChallengeFilter, EnrolmentFilter, EventFilter, Place
    from regalia.store.search import Searched
    from regalia.store.session import Columns, Row, Transaction

__all__ = ["SqlPages"]

T = TypeVar("T")

_ENROLMENT = Statement(select(enrolment).where(enrolment.c.id == bindparam("id")))
_CHALLENGE = Statement(select(challenge).where(challenge.c.id == bindparam("id")))
_EVENT = Statement(select(event).where(event.c.position == bindparam("id")))
_READ: Final = 10_000
"""Events that a search reads through, at most: they are in no index of words."""
_INSIDE: Final = 3
"""Characters that are looked for anywhere in an event."""


def _newest(table: str, condition: str) -> Source:
    return Source(f"SELECT id FROM {table} WHERE {condition} AND id < :after ORDER BY id DESC LIMIT :window")  # noqa: S608 - words of ours, no values


def _among(table: str, condition: str, *means: str) -> Source:
    # First those in the partial index, then in order: otherwise the planner might walk over all ids.
    return Source(
        f"SELECT id FROM (SELECT id FROM {table} WHERE {condition} LIMIT 100000) i WHERE id < :after"  # noqa: S608 - words of ours, no values
        " ORDER BY id DESC LIMIT :window",
        means=frozenset(means),
    )


_ENROLMENTS: Final = Source("SELECT id FROM enrolment WHERE id < :after ORDER BY id DESC LIMIT :window")
_OF_ENDPOINT: Final = _newest("enrolment", '"group" = (SELECT p."group" FROM endpoint p WHERE p.name = :endpoint)')
_OF_GROUP: Final = _newest("enrolment", '"group" = :group_0')
_IN_STATE: Final = {
    EnrolmentState.PENDING: _among("enrolment", "state = 'pending'", "c.state = :state"),
    EnrolmentState.REFUSED: _among("enrolment", "state = 'refused'", "c.state = :state"),
}
_REFUSED_SINCE: Final = _among(
    "enrolment",
    "state = 'refused' AND updated_at >= :changed_from",
    "c.state = :state",
    "c.updated_at >= :changed_from",
)
_CHALLENGES: Final = Source("SELECT id FROM challenge WHERE id < :after ORDER BY id DESC LIMIT :window")
_CHALLENGES_OF_ENDPOINT: Final = _newest("challenge", "endpoint = :endpoint")
_MOST: Final = 2**62


def _events(condition: str) -> Source:
    return Source(
        f"SELECT position AS id FROM event WHERE {condition}position < :after ORDER BY position DESC LIMIT :window"  # noqa: S608 - words of ours, no values
    )


_EVENTS: Final = _events("")
_OF_OBJECT: Final = _events("object = :object AND ")
_SECURITY: Final = _events("security = 1 AND ")


class SqlPages(SqlSearch):
    """See `ports.Enrolments`, `ports.Challenges`, `ports.Events`."""

    def enrolment_page(self, wanted: EnrolmentFilter) -> Listed[Enrolment]:
        """Find one page of enrolments."""
        where, values = _enrolments_wanted(wanted)
        groups = None if wanted.groups is None else tuple(sorted(wanted.groups))
        asked = _wanted(wanted, groups, "enrolment c", where, values)
        return self._paged(asked, ENROLMENTS, _enrolment_source(wanted), _ENROLMENT, read_enrolment_row)

    def challenge_page(self, wanted: ChallengeFilter) -> Listed[Challenge]:
        """Find one page of challenges."""
        groups = None if wanted.groups is None else tuple(sorted(wanted.groups))
        where, values = _reach(wanted.groups, 'p."group"')
        source = _CHALLENGES
        if where:
            where = (f"EXISTS (SELECT 1 FROM endpoint p WHERE p.name = c.endpoint AND {where[0]})",)  # noqa: S608 - words of ours, no values
        if wanted.endpoint is not None:
            source = _CHALLENGES_OF_ENDPOINT
            where, values = (*where, "c.endpoint = :endpoint"), values | {"endpoint": wanted.endpoint}
        asked = _wanted(wanted, groups, "challenge c", where, values)
        return self._paged(asked, CHALLENGES, source, _CHALLENGE, read_challenge_row)

    def event_page(self, wanted: EventFilter) -> Listed[Event]:
        """Find one page of events. Raises `AdminError` ADM-016 for an altered record."""
        where, values = _reach(wanted.groups, 'c."group"')
        for name in ("action", "object", "group"):
            value = getattr(wanted, name)
            if value is not None:
                where, values = (*where, f'c."{name}" = :{name}'), values | {name: value}
        if wanted.security is not None:
            where = (*where, f"c.security = {int(wanted.security)}")
        text = wanted_text(plain(wanted.search))
        if text:
            sqlite = isinstance(self._database, SqliteDatabase)
            where, values = (*where, _holds(text, sqlite=sqlite)), values | _held(text)
        source = _OF_OBJECT if wanted.object is not None else _SECURITY if wanted.security else _EVENTS
        after = wanted.after[0] if wanted.after else _MOST
        values |= {"after": after if isinstance(after, int) else 0}
        question = Question(source, "CROSS JOIN event c WHERE c.position = d.id", where)

        def unit(transaction: Transaction) -> tuple[Found, list[Row]]:
            windows = (wanted.limit + NEAR, _READ) if text else ()
            found = walk(transaction, question, values, wanted.limit, count=wanted.after is None, windows=windows)
            return found, [row for each in found.rows for row in transaction.rows(_EVENT, {"id": each["id"]})]

        found, rows = self._database.read(unit)
        following = None if found.following is None else (int(found.following["id"]),)
        return Listed(tuple(map(read_event_row, rows)), following, found.total)

    def _paged(
        self,
        asked: Wanted,
        searched: Searched,
        source: Source,
        by_id: Statement,
        read: Callable[[Row], T],
    ) -> Listed[T]:
        def unit(transaction: Transaction) -> tuple[Found, list[Row]]:
            if asked.text:
                found = self._search(transaction, searched, asked)
            else:
                question = Question(source, f"CROSS JOIN {asked.tables} WHERE c.id = d.id", asked.where)
                values = {**asked.values, "after": asked.after}
                found = walk(transaction, question, values, asked.limit, count=asked.count)
            return found, [row for each in found.rows for row in transaction.rows(by_id, {"id": each["id"]})]

        found, rows = self._database.read(unit)
        following = None if found.following is None else (bytes(found.following["id"]).hex(),)
        return Listed(tuple(map(read, rows)), following, found.total)


_OF_ENROLMENTS: Final = {
    "state": "c.state = :state",
    "endpoint": "c.endpoint = :endpoint",
    "reason": "c.reason_id = :reason",
    "changed_from": "c.updated_at >= :changed_from",
    "changed_before": "c.updated_at < :changed_before",
}


def _enrolments_wanted(wanted: EnrolmentFilter) -> tuple[tuple[str, ...], Columns]:
    where, values = _reach(wanted.groups, 'c."group"')
    asked: Columns = {
        "state": None if wanted.state is None else wanted.state.value,
        "endpoint": wanted.endpoint,
        "reason": wanted.reason,
        "changed_from": optional_millis(wanted.changed_from),
        "changed_before": optional_millis(wanted.changed_before),
    }
    given: Columns = {name: value for name, value in asked.items() if value is not None}
    where, values = (*where, *(_OF_ENROLMENTS[name] for name in given)), values | given
    if wanted.endpoints is not None:
        names = sorted(wanted.endpoints)
        where, values = (*where, in_endpoints("c.endpoint", names)), {**values, **endpoint_columns(names)}
    return where, values


def _enrolment_source(wanted: EnrolmentFilter) -> Source:
    if wanted.state is EnrolmentState.REFUSED and wanted.changed_from is not None:
        return _REFUSED_SINCE
    if wanted.state in _IN_STATE:
        return _IN_STATE[wanted.state]
    if wanted.endpoint is not None:
        return _OF_ENDPOINT
    return _OF_GROUP if wanted.groups is not None and len(wanted.groups) == 1 else _ENROLMENTS


def _wanted(
    wanted: EnrolmentFilter | ChallengeFilter,
    groups: tuple[str, ...] | None,
    tables: str,
    where: tuple[str, ...],
    values: Columns,
) -> Wanted:
    text = wanted_text(plain(wanted.search))
    after = FIRST if wanted.after is None else _octets(wanted.after)
    return Wanted(text, groups, after, wanted.limit, tables, where, values, count=wanted.after is None)


def _reach(groups: frozenset[str] | None, column: str) -> tuple[tuple[str, ...], Columns]:
    """Return the condition that holds a list to some groups (AUTHZ-4)."""
    if groups is None:
        return (), {}
    names = sorted(groups)
    return (in_groups(column, names),), dict(group_columns(names))


def _holds(text: str, *, sqlite: bool) -> str:
    """Return the condition that an event has a text: a short one begins a column, a longer one stands anywhere.

    Upper and lower case are the same in ASCII. What the columns have stands in the record, too.
    """
    # PostgreSQL's own lower() goes over letters of all scripts, and takes 50 µs for a record.
    collation, position = ("", "instr") if sqlite else (' COLLATE "C"', "strpos")
    if len(text) < _INSIDE:
        columns = ("c.object", "c.action", "c.serial", "c.transaction_id", 'c."group"')
        begins = [f"lower({column}{collation}) LIKE :begins ESCAPE '\\'" for column in columns]
        return f"({' OR '.join(begins)})"
    inside = [f"{position}(lower({column}{collation}), :inside) > 0" for column in ("c.record", "c.personal")]
    return f"({' OR '.join(inside)})"


def _held(text: str) -> Columns:
    if len(text) < _INSIDE:
        escape = str.maketrans({each: f"\\{each}" for each in "\\%_"})
        return {"begins": f"{text.translate(escape)}%"}
    return {"inside": json.dumps(text, ensure_ascii=False)[1:-1]}  # as the record spells it


def _octets(after: Place) -> bytes:
    """Read the id of a place; what is none stands before all, and nothing comes behind it."""
    try:
        return bytes.fromhex(str(after[-1]))
    except (ValueError, IndexError):
        return b""
