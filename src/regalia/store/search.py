"""Searching: what is looked into, how it gets there, and how a page of a search is found.

What is written is not indexed with it: one row more in an index of trigrams costs a quarter of an enrolment where it is
added alone, and a hundredth where it is added with some hundred others (decision 0042). A job adds what has come; until
it has, the newest rows are looked at one by one. A page of a search has the newest first, in the order of indexing.

SQLite's index gives what it finds in that order and as far as it is asked. PostgreSQL's does not: there the newest rows
are looked at without it, and it is asked where they do not fill the page.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from regalia.model import new_id
from regalia.ports import COUNTED
from regalia.store.listing import FIRST, NEAR, Found, Question, Source, group_columns, in_groups, walk
from regalia.store.session import Noun, Row, Statement, Transaction
from regalia.store.sqlite import SqliteDatabase
from regalia.store.trigrams import SAMPLE, is_common, telling
from regalia.store.values import plain, read_names
from regalia.wire.search_text import BETWEEN, Words, beginnings, needles, remainders

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from regalia.model import Names
    from regalia.store.session import Columns, Database, Values

__all__ = ["CERTIFICATES", "CHALLENGES", "ENROLMENTS", "Searched", "SqlSearch", "Wanted", "purge_words"]

_BATCH: Final = 500
"""Rows that are added in one transaction."""
_AT_ONCE: Final = 20
"""Of these so many in one statement."""
_SWEPT: Final = 5_000
"""Rows among which a run of the job looks for stragglers."""
_TAIL: Final = 2_000
"""Rows that are not indexed yet and are looked at one by one, at most."""
_SETTLED: Final = timedelta(seconds=5)
"""Rows younger than this may have elder ones to come: their transactions are open."""
_TOGETHER: Final = 50
"""Of these so many are asked for in one query."""
_LOOKED_AT: Final = COUNTED + 1
_NEWEST: Final = 10_000
"""Of PostgreSQL's rows so many are looked at without its index."""
_DENSE: Final = 1_000
"""Where so many of these match, the index would be slower than looking further."""
_FURTHER: Final = 110_000
_FEW: Final = 5_000
"""Of the few that a condition leaves so many are looked at."""
_LAST: Final = 2**62
_NAMED_GROUPS: Final = 8
_LOCK: Final = b"search"
"""The triggers that forget take the same (see the migration)."""


@dataclass(frozen=True, slots=True)
class Searched:
    """What is searched of one noun."""

    noun: str
    rows: str
    """Query of all that is looked into, of the rows `c` and whether each is `settled`; conditions can follow."""
    words: Callable[[Row], Words]


def _id_text(octets: bytes) -> str:
    digits = octets.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _parts(names: Names) -> list[str | None]:
    return [names.cn, names.sid, *(value for _, value in names.rdns), *(san.value for san in sorted(names.sans))]


def _of_certificate(row: Row) -> Words:
    serial = int.from_bytes(row["serial"], "big")
    fingerprint = None if row["der"] is None else hashlib.sha256(row["der"]).hexdigest()
    transaction = row["transaction_id"]
    return Words(
        (
            row["subject"],
            row["device"],
            row["group"],
            row["authority"],
            row["profile"],
            *_parts(read_names(row["names"])),
        ),
        (
            f"{serial:x}",
            fingerprint,
            row["key_sha256"].hex(),
            None if transaction is None else transaction.decode("ascii", "replace"),
        ),
    )


def _of_enrolment(row: Row) -> Words:
    lineage = json.loads(row["lineage"]) if row["lineage"] else {}
    return Words(
        (
            row["endpoint"],
            row["group"],
            row["profile"],
            row["source"],
            lineage.get("device"),
            *_parts(read_names(row["asked"])),
            *_parts(read_names(row["allowed"])),
        ),
        (_id_text(row["id"]), row["transaction_id"].decode("ascii", "replace"), row["key_sha256"].hex()),
    )


def _of_challenge(row: Row) -> Words:
    short = (row["endpoint"], row["group"], row["device"], row["created_by"], *_parts(read_names(row["binding"])))
    return Words(short, (_id_text(row["id"]),))


CERTIFICATES: Final = Searched(
    "certificate",
    'SELECT c.id, c.serial, c.subject, c.names, c.device, c."group", c.authority, c.profile, c.key_sha256, o.der,'
    " e.transaction_id, CASE WHEN c.state = 'intent' THEN 0 ELSE 1 END AS settled FROM certificate c"
    " LEFT JOIN certificate_der o ON o.certificate_id = c.id LEFT JOIN enrolment e ON e.id = c.enrolment_id",
    _of_certificate,
)
ENROLMENTS: Final = Searched(
    "enrolment",
    'SELECT c.id, c.endpoint, c."group", c.profile, c.source, c.lineage, c.asked, c.allowed, c.transaction_id,'
    " c.key_sha256, 1 AS settled FROM enrolment c",
    _of_enrolment,
)
CHALLENGES: Final = Searched(
    "challenge",
    'SELECT c.id, c.endpoint, e."group", c.device, c.created_by, c.binding, 1 AS settled FROM challenge c'
    " LEFT JOIN endpoint e ON e.name = c.endpoint",
    _of_challenge,
)


@dataclass(frozen=True, slots=True)
class _Statements:
    """What keeps and asks the index of one noun."""

    next: Statement
    passed: Statement
    sweep_end: Statement
    add: Statement
    tail: Statement
    place: Statement
    place_below: Statement


def _statements(searched: Searched) -> _Statements:
    noun, rows = searched.noun, searched.rows
    absent = f"NOT EXISTS (SELECT 1 FROM {noun}_text x WHERE x.id = c.id)"  # noqa: S608 - names of ours, as below

    def statement(sql: str) -> Statement:
        return Statement(text(sql))

    return _Statements(
        statement(f"{rows} WHERE c.id > :after AND c.id < :bound ORDER BY c.id LIMIT {_BATCH}"),
        statement(f"{rows} WHERE c.id > :after AND c.id <= :bound AND {absent} ORDER BY c.id LIMIT {_BATCH}"),
        statement(
            f"SELECT id FROM (SELECT id FROM {noun} WHERE id > :after AND id <= :bound ORDER BY id LIMIT {_SWEPT}) s"  # noqa: S608
            " ORDER BY id DESC LIMIT 1"
        ),
        statement(
            f'INSERT INTO {noun}_text (id, "group", text, whole) VALUES '  # noqa: S608
            + ", ".join(f"(:id_{n}, :group_{n}, :text_{n}, :whole_{n})" for n in range(_AT_ONCE))
            + " ON CONFLICT (id) DO NOTHING"
        ),
        statement(f"{rows} WHERE c.id > :done AND c.id < :after ORDER BY c.id DESC LIMIT {_TAIL}"),
        statement(f"SELECT position FROM {noun}_text WHERE id = :after"),  # noqa: S608
        statement(f"SELECT position FROM {noun}_text WHERE id < :after ORDER BY id DESC LIMIT 1"),  # noqa: S608
    )


_ALL: Final = {searched.noun: (searched, _statements(searched)) for searched in (CERTIFICATES, ENROLMENTS, CHALLENGES)}
_PROGRESS = Statement(text("SELECT done FROM search_progress WHERE noun = :noun"))
_NOTE = Statement(
    text(
        "INSERT INTO search_progress (noun, done) VALUES (:noun, :done)"
        " ON CONFLICT (noun) DO UPDATE SET done = excluded.done"
    )
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A page of a search."""

    text: str
    """As `wanted_text` spells it."""
    groups: tuple[str, ...] | None
    after: bytes
    limit: int
    tables: str
    """The noun's table as `c`, and what conditions need beside it."""
    where: tuple[str, ...]
    values: Values
    count: bool
    few: Source | None = None
    """Where one condition leaves few: the rows that it leaves, newest first. They are looked at, not the index."""


class SqlSearch(Noun):
    """See `ports.SearchIndex`."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._swept: dict[str, bytes] = {}

    def index_more(self, now: datetime) -> int:
        """Take up some rows of each noun, each in a transaction of its own; and some that were passed over before.

        These are of transactions that took long, of clocks that go wrong, or were forgotten in part.
        """
        bound = new_id(now - _SETTLED, bytes(10)).bytes
        return sum(self._index(noun, bound) + self._sweep(noun) for noun in _ALL)

    def _index(self, noun: str, bound: bytes) -> int:
        searched, statements = _ALL[noun]
        values = {"after": self._database.read(lambda transaction: _done(transaction, noun)), "bound": bound}
        if self._database.row(statements.next, values) is None:
            return 0

        def unit(transaction: Transaction) -> int:
            transaction.one_at_a_time(_LOCK)
            rows = transaction.rows(statements.next, values | {"after": _done(transaction, noun)})
            if rows:
                transaction.run(_NOTE, {"noun": noun, "done": rows[-1]["id"]})
            return _add(transaction, searched, statements.add, rows)

        return self._database.write(unit)

    def _sweep(self, noun: str) -> int:
        searched, statements = _ALL[noun]

        def look(transaction: Transaction) -> tuple[bytes, bytes, bool]:
            begin, done = self._swept.get(noun, b""), _done(transaction, noun)
            end = transaction.row(statements.sweep_end, {"after": begin, "bound": done})
            upper = done if end is None else bytes(end["id"])
            late = transaction.row(statements.passed, {"after": begin, "bound": upper})
            return begin, upper, late is not None

        begin, upper, late = self._database.read(look)
        if not late:
            # At the end it begins anew: nothing is between an id and itself.
            self._swept[noun] = b"" if upper == begin else upper
            return 0

        def unit(transaction: Transaction) -> int:
            transaction.one_at_a_time(_LOCK)
            rows = transaction.rows(statements.passed, {"after": begin, "bound": upper})
            return _add(transaction, searched, statements.add, rows)

        added = self._database.write(unit)
        # Where nothing could be added, what waits there is not settled yet.
        self._swept[noun] = begin if added else upper
        return added

    def _search(self, transaction: Transaction, searched: Searched, wanted: Wanted) -> Found:
        """Find a page of what holds the text: first among what is not in the index yet. Rows have `id`."""
        _, statements = _ALL[searched.noun]
        done, after = _done(transaction, searched.noun), wanted.after
        fresh: list[Row] = []
        if after > done:
            fresh = _kept(transaction, wanted, _tail(transaction, searched, statements, wanted, done))
        left = wanted.limit - len(fresh)
        if left < 0:
            return Found(tuple(fresh[: wanted.limit]), fresh[wanted.limit - 1], None)
        below = _below(transaction, statements, after) if after <= done else _LAST
        found = self._indexed(transaction, searched, replace(wanted, limit=max(left, 1)), below)
        total = None if found.total is None else min(found.total + len(fresh), COUNTED + 1)
        if not left:
            return Found(tuple(fresh), fresh[-1] if found.rows or found.following else None, total)
        return Found((*fresh, *found.rows), found.following, total)

    def _indexed(self, transaction: Transaction, searched: Searched, wanted: Wanted, below: int) -> Found:
        if wanted.few is not None:
            after = FIRST if below == _LAST else wanted.after
            position = "instr" if isinstance(self._database, SqliteDatabase) else "strpos"
            return _among_few(transaction, searched.noun, wanted, wanted.few, after, position)
        if isinstance(self._database, SqliteDatabase):
            return _by_words(transaction, searched.noun, wanted, below)
        return _by_trigrams(transaction, searched.noun, wanted, below)


def _done(transaction: Transaction, noun: str) -> bytes:
    row = transaction.row(_PROGRESS, {"noun": noun})
    return b"" if row is None else bytes(row["done"])


def _add(transaction: Transaction, searched: Searched, statement: Statement, rows: Sequence[Row]) -> int:
    settled = [row for row in rows if row["settled"]]
    for first in range(0, len(settled), _AT_ONCE):
        some = settled[first : first + _AT_ONCE]
        columns: Columns = {}
        # The last ones once more, where there are too few: a row that is there already is left as it is.
        for number, row in enumerate(some + some[-1:] * (_AT_ONCE - len(some))):
            words = searched.words(row)
            columns[f"id_{number}"] = row["id"]
            columns[f"group_{number}"] = row["group"]
            columns[f"text_{number}"] = plain(words.text())
            columns[f"whole_{number}"] = plain(words.whole())
        transaction.run(statement, columns)
    return len(settled)


# --- what is not in the index yet -----------------------------------------------------------------------------------


def _tail(
    transaction: Transaction, searched: Searched, statements: _Statements, wanted: Wanted, done: bytes
) -> list[bytes]:
    rows = transaction.rows(statements.tail, {"done": done, "after": wanted.after})
    groups = wanted.groups
    seen = (row for row in rows if groups is None or row["group"] in groups)
    return [bytes(row["id"]) for row in seen if searched.words(row).match(wanted.text)]


@cache
def _some(tables: str, where: tuple[str, ...]) -> Statement:
    some = ", ".join(f":id_{number}" for number in range(_TOGETHER))
    conditions = " AND ".join((f"c.id IN ({some})", *where))
    return Statement(text(f"SELECT c.id AS id FROM {tables} WHERE {conditions}"))  # noqa: S608 - words of ours, no values


def _kept(transaction: Transaction, wanted: Wanted, ids: Sequence[bytes]) -> list[Row]:
    """Return those that the other conditions let through, in their order; at least one more than a page has."""
    kept: list[Row] = []
    for first in range(0, len(ids), _TOGETHER):
        some = list(ids[first : first + _TOGETHER])
        padded = some + some[-1:] * (_TOGETHER - len(some))
        columns: Columns = {f"id_{number}": each for number, each in enumerate(padded)}
        rows = transaction.rows(_some(wanted.tables, wanted.where), {**wanted.values, **columns})
        found = {bytes(row["id"]): row for row in rows}
        kept += [found[each] for each in some if each in found]
        if len(kept) > wanted.limit:
            break
    return kept


def _below(transaction: Transaction, statements: _Statements, after: bytes) -> int:
    """Return the position behind which the page begins, also where the row it began at was forgotten meanwhile."""
    row = transaction.row(statements.place, {"after": after})
    if row is not None:
        return int(row["position"])
    row = transaction.row(statements.place_below, {"after": after})
    return 0 if row is None else int(row["position"]) + 1


# --- what is --------------------------------------------------------------------------------------------------------


@cache
def _newest_texts(noun: str) -> Statement:
    return Statement(text(f"SELECT text, whole FROM {noun}_text ORDER BY position DESC LIMIT {SAMPLE}"))  # noqa: S608 - the same


def _sample(transaction: Transaction, noun: str) -> Sequence[Row]:
    return transaction.rows(_newest_texts(noun), {})


def _holds(row: Row, wanted: Wanted) -> bool:
    text, whole = row["text"], row["whole"]
    if wanted.groups is not None and not any(each in text for each in _group_fields(wanted.groups)):
        return False
    return any(each in text for each in needles(wanted.text)) or any(each in whole for each in remainders(wanted.text))


def _newest_first(sql: str) -> Source:
    return Source(sql, order="d.place DESC", back="d.place", shown="d.id AS id, d.place AS place")


def _question(source: Source, wanted: Wanted, *more: str) -> Question:
    return Question(source, f"CROSS JOIN {wanted.tables} WHERE c.id = d.id", (*more, *wanted.where))


def _among_few(transaction: Transaction, noun: str, wanted: Wanted, few: Source, after: bytes, position: str) -> Found:
    inside, columns = _either(f"{position}(t.text, :{{}}) > 0", "needle", needles(wanted.text))
    whole, columns_whole = _either(f"{position}(t.whole, :{{}}) > 0", "rest", remainders(wanted.text))
    question = Question(
        few,
        f"CROSS JOIN {wanted.tables} CROSS JOIN {noun}_text t WHERE c.id = d.id AND t.id = d.id",
        (f"({inside} OR {whole})" if whole else f"({inside})", *wanted.where),
    )
    values = {**wanted.values, **columns, **columns_whole, "after": after}
    return walk(transaction, question, values, wanted.limit, count=wanted.count, windows=(wanted.limit + NEAR, _FEW))


def _by_words(transaction: Transaction, noun: str, wanted: Wanted, below: int) -> Found:
    """SQLite: the index gives the newest first."""
    source = _newest_first(
        "SELECT t.id AS id, f.place AS place, t.text AS text, t.whole AS whole"  # noqa: S608 - a noun of ours
        f" FROM (SELECT rowid AS place FROM {noun}_words WHERE {noun}_words MATCH :words AND rowid < :below"
        f" ORDER BY rowid DESC LIMIT :window) f CROSS JOIN {noun}_text t WHERE t.position = f.place"
    )
    sample = _sample(transaction, noun)
    inside, columns = _either("instr(d.text, :{}) > 0", "needle", needles(wanted.text))
    whole, columns_whole = _either("instr(d.whole, :{}) > 0", "rest", remainders(wanted.text))
    condition = f"({inside} OR {whole})" if whole else f"({inside})"
    return walk(
        transaction,
        _question(source, wanted, condition),
        {**wanted.values, **columns, **columns_whole, "words": _expression(wanted, sample), "below": below},
        wanted.limit,
        count=wanted.count,
        windows=(wanted.limit + NEAR, _LOOKED_AT),
    )


def _expression(wanted: Wanted, sample: Sequence[Row]) -> str:
    """Write what FTS5 is asked: phrases, in quotation marks of their own, so that nothing in them is an operator."""
    texts = [row["text"] for row in sample]
    expression = _any(telling(each, texts) for each in (*needles(wanted.text), *beginnings(wanted.text)))
    if wanted.groups and len(wanted.groups) <= _NAMED_GROUPS:
        # So that it finds the few of one group among the many of others; the condition on the rows decides.
        groups = [telling(each, texts) for each in _group_fields(wanted.groups)]
        if not any(is_common(group, texts) for group in groups):
            expression = f"({expression}) AND ({_any(groups)})"
    return expression


def _group_fields(groups: Sequence[str]) -> list[str]:
    return [f"{BETWEEN}{group.lower()}{BETWEEN}" for group in groups]


def _any(alternatives: Iterable[Sequence[str]]) -> str:
    return " OR ".join(f"({' AND '.join(map(_phrase, each))})" for each in alternatives)


def _phrase(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _either(condition: str, name: str, texts: Sequence[str]) -> tuple[str, Columns]:
    """Make a condition for each text, one of which has to hold, and the parameters."""
    columns: Columns = {f"{name}_{number}": each for number, each in enumerate(texts)}
    return " OR ".join(condition.format(each) for each in columns), columns


def _by_trigrams(transaction: Transaction, noun: str, wanted: Wanted, below: int) -> Found:
    """PostgreSQL: the newest rows one by one, where there is hope, and the index where they are not enough."""
    inside, columns = _either("strpos(d.text, :{}) > 0", "needle", needles(wanted.text))
    whole, columns_whole = _either("strpos(d.whole, :{}) > 0", "rest", remainders(wanted.text))
    if whole:
        inside += f" OR {whole}"
    values = {**wanted.values, **columns, **columns_whole, "below": below}
    sample = _sample(transaction, noun)
    found = None
    newest = _question(_newest_first(_NEWEST_SQL.format(noun=noun)), wanted, f"({inside})")
    if any(_holds(row, wanted) for row in sample):
        near = (wanted.limit + NEAR, _NEWEST)
        found = walk(transaction, newest, values, wanted.limit, count=wanted.count, windows=near)
        if found.complete or (len(found.rows) == wanted.limit and not wanted.count):
            return found
        if len(found.rows) == wanted.limit and found.following is not None and found.matching >= _DENSE:
            # As far as there will be enough to count, if the rows go on as they began.
            enough = min(_LOOKED_AT * _NEWEST // found.matching * 11 // 10, _FURTHER)
            further = walk(transaction, newest, values, 0, count=True, windows=(enough,))
            return replace(found, total=further.total)
    indexed, more = _by_index(noun, wanted, sample, inside)
    far = walk(transaction, indexed, {**values, **more}, wanted.limit, count=wanted.count, windows=(_LOOKED_AT,))
    if far.complete:
        return far
    if found is None:
        found = walk(transaction, newest, values, wanted.limit, count=wanted.count, windows=(_NEWEST,))
    return replace(found, total=far.total) if len(found.rows) == wanted.limit else found


def _by_index(noun: str, wanted: Wanted, sample: Sequence[Row], inside: str) -> tuple[Question, Columns]:
    """Ask the index for what tells most, and its rows, before they are counted, for the text itself."""
    texts = [row["text"] for row in sample]
    words = [telling(each, texts, words=True) for each in (*needles(wanted.text), *beginnings(wanted.text))]
    alternatives, columns = _all_of("telling", words)
    conditions = [f"({alternatives})", f"({inside.replace('d.', '')})"]
    if wanted.groups:
        conditions.append(in_groups('"group"', wanted.groups))
        columns |= group_columns(wanted.groups)
        groups = [telling(each, texts, words=True) for each in _group_fields(wanted.groups)]
        if len(groups) <= _NAMED_GROUPS and not any(is_common(group, texts) for group in groups):
            few, columns_few = _all_of("group_word", groups)
            conditions.append(f"({few})")
            columns |= columns_few
    return _question(_newest_first(_INDEXED_SQL.format(noun=noun, where=" AND ".join(conditions))), wanted), columns


def _all_of(name: str, alternatives: Sequence[Sequence[str]]) -> tuple[str, Columns]:
    """Make a condition that a text has all the words of one of the alternatives, and the parameters."""
    columns: Columns = {}
    conditions = []
    for number, words in enumerate(alternatives):
        some = dict(zip((f"{name}_{number}_{place}" for place in range(len(words))), _patterns(words), strict=True))
        conditions.append(" AND ".join(f"text LIKE :{each}" for each in some))
        columns |= some
    return " OR ".join(f"({each})" for each in conditions), columns


_NEWEST_SQL: Final = (
    "SELECT position AS place, id, text, whole FROM {noun}_text WHERE position < :below"
    " ORDER BY position DESC LIMIT :window"
)
_INDEXED_SQL: Final = "SELECT position AS place, id FROM {noun}_text WHERE {where} AND position < :below LIMIT :window"


def _patterns(texts: Sequence[str]) -> tuple[str, ...]:
    r"""Make patterns of LIKE, in which nothing but the ends stands for anything (`\` is its escape character)."""
    escape = str.maketrans({each: f"\\{each}" for each in "\\%_"})
    return tuple(f"%{each.translate(escape)}%" for each in texts)


# --- what was forgotten ---------------------------------------------------------------------------------------------

_FORGETTING: Final = (ENROLMENTS.noun, CHALLENGES.noun)
_MERGED_PAGES: Final = 500
_CHANGES = Statement(text("SELECT total_changes() AS changes"))


def purge_words(database: Database) -> None:
    """Write SQLite's index anew, some pages at a time: what left it is marked as gone there until then (PRIV-1).

    PostgreSQL does so when it vacuums, as with all rows.
    """
    if not isinstance(database, SqliteDatabase):
        return
    for noun in _FORGETTING:
        begin, go_on = (_merging(noun, pages) for pages in (-_MERGED_PAGES, _MERGED_PAGES))
        database.write(lambda transaction, step=begin: _merged(transaction, step))  # type: ignore[misc]  # of its default
        while database.write(lambda transaction, step=go_on: _merged(transaction, step)):  # type: ignore[misc]  # the same
            continue


@cache
def _merging(noun: str, pages: int) -> Statement:
    return Statement(text(f"INSERT INTO {noun}_words ({noun}_words, rank) VALUES ('merge', {pages})"))  # noqa: S608 - the same


def _merged(transaction: Transaction, step: Statement) -> bool:
    """Merge some; False where nothing was left to do, which shows in how little it changed (FTS5's own sign)."""
    before = transaction.row(_CHANGES, {})
    transaction.run(step, {})
    after = transaction.row(_CHANGES, {})
    return before is not None and after is not None and after["changes"] - before["changes"] > 1
