"""Counting certificates and enrolments, and keeping what was counted.

The statements are text, as those of lists: what a list is narrowed by and what is counted are the same words, so that a
number and the list behind it agree. No index is there for a count alone: each walks over one day's ids, over what was
revoked, or over all certificates, which a job does now and then and no request.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, time
from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from regalia.model.figures import Counted, Figure, Subject
from regalia.ports.figures import HORIZONS
from regalia.ports.fleet import FOLLOWED, FOLLOWING
from regalia.store.listing import group_columns, in_groups
from regalia.store.session import Noun, Statement, inserting
from regalia.store.tables import OPEN, figure, figure_count
from regalia.store.values import from_millis, millis

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from regalia.store.session import Columns, Row, Transaction, Values

__all__ = ["ENDED_CAUSE", "NOT_FOLLOWED", "SqlFigures", "first_id"]

# --- the words that lists share -------------------------------------------------------------------------------------


def _earliest_cause(of: str, at: str) -> str:
    """Return the query for the id of the cause that held at a time beside a certificate, the earliest of several."""
    return (
        f"SELECT j.id FROM certificate_cause j WHERE j.certificate_id = {of} AND j.cause <> '' AND j.kept_at <= {at}"  # noqa: S608 - words of ours, no values
        f" AND (j.ended_at IS NULL OR j.ended_at > {at}) ORDER BY j.since, j.id LIMIT 1"
    )


_FOLLOWED: Final = ", ".join(f"'{each}'" for each in FOLLOWED)

_CAUSE_KEPT: Final = (
    "(SELECT f.cause FROM certificate_cause f WHERE f.id = ("  # noqa: S608 - words of ours, no values
    + _earliest_cause("c.id", "coalesce(r.at, h.at)")
    + "))"
)
ENDED_CAUSE: Final = (
    f"CASE WHEN coalesce(r.cause, h.cause) NOT IN ({_FOLLOWED}) THEN coalesce(r.cause, h.cause)"
    f" ELSE coalesce({_CAUSE_KEPT}, '{FOLLOWING}') END"
)
"""What ended certificate `c`, with revocation `r` and open hold `h`."""

# Not through the index of groups, each of which has as many as there are.
_LATER: Final = "n.id > c.id AND n.state = 'issued' AND n.\"group\" || '' = c.\"group\""
NOT_FOLLOWED: Final = (
    "(NOT EXISTS (SELECT 1 FROM enrolment e JOIN enrolment n ON n.chain = e.chain"  # noqa: S608 - words of ours, no values
    " WHERE e.id = c.enrolment_id AND n.generation > 0 AND n.generation > e.generation AND n.state = 'issued')"
    f" AND NOT EXISTS (SELECT 1 FROM certificate n WHERE n.device_id = c.device_id AND {_LATER})"
    f" AND NOT EXISTS (SELECT 1 FROM certificate n WHERE n.device = c.device AND {_LATER}))"
)
"""Whether nothing came after certificate `c`: no renewal, and no new beginning of the same device in its group."""


def first_id(at: datetime) -> bytes:
    """Return what stands before all ids of what was begun at a time or later."""
    return millis(at).to_bytes(6) + bytes(10)


# --- counting -------------------------------------------------------------------------------------------------------

_GROUP: Final = "coalesce(c.\"group\", '') AS of_group"
_LEAF: Final = "c.kind = 'leaf' AND c.state = 'issued'"
_NOT_ENDED: Final = (
    "NOT EXISTS (SELECT 1 FROM revocation v WHERE v.certificate_id = c.id)"  # noqa: S608 - words of ours, no values
    f" AND NOT EXISTS (SELECT 1 FROM hold o WHERE o.certificate_id = c.id AND o.ended_position = {OPEN})"
)
# Not through the index of ends, which leads to nearly all there are, one by one.
_LIVE: Final = f"{_LEAF} AND c.not_after + 0 > :now AND {_NOT_ENDED}"


def _counting(sql: str) -> Statement:
    return Statement(text(sql))


_FIRST = _counting("SELECT c.created_at AS at FROM certificate c WHERE c.kind = 'leaf' ORDER BY c.id LIMIT 1")
_ISSUED = _counting(
    f"SELECT {_GROUP}, e.endpoint AS part, '' AS what, count(*) AS number FROM certificate c"  # noqa: S608 - words of ours, no values
    f" JOIN enrolment e ON e.id = c.enrolment_id WHERE c.id >= :first AND c.id < :behind AND {_LEAF}"
    " GROUP BY of_group, part"
)
_REFUSED = _counting(
    f"SELECT {_GROUP}, c.endpoint AS part, coalesce(c.reason_id, '?') AS what, count(*) AS number FROM enrolment c"  # noqa: S608 - words of ours, no values
    " WHERE c.state = 'refused' AND c.updated_at >= :begin AND c.updated_at < :end GROUP BY of_group, part, what"
)
_WITHIN: Final = " ".join(f"WHEN c.not_after <= :in_{days} THEN '{days}'" for days in HORIZONS)
_STANDING = _counting(
    f"SELECT {_GROUP}, c.authority AS part, CASE {_WITHIN} ELSE '' END AS what, count(*) AS number"  # noqa: S608 - words of ours, no values
    f" FROM certificate c WHERE {_LIVE} GROUP BY of_group, part, what"
)
_DEVICES = _counting(
    "SELECT of_group, '' AS part, '' AS what, count(*) AS number FROM ("  # noqa: S608 - words of ours, no values
    f"SELECT DISTINCT {_GROUP}, c.device_id, CASE WHEN c.device_id IS NULL THEN c.device END AS named"
    f" FROM certificate c WHERE {_LIVE} AND (c.device_id IS NOT NULL OR c.device IS NOT NULL)) d GROUP BY of_group"
)
_LAPSED = _counting(
    f"SELECT {_GROUP}, '' AS part, '' AS what, count(*) AS number FROM certificate c"  # noqa: S608 - words of ours, no values
    f" WHERE c.not_after > :since AND c.not_after <= :now AND {_LEAF} AND {_NOT_ENDED} AND {NOT_FOLLOWED}"
    " GROUP BY of_group"
)
_ENDED = _counting(
    f"SELECT {_GROUP}, {ENDED_CAUSE} AS part, CASE WHEN r.at IS NULL THEN 'held' ELSE 'revoked' END AS what,"  # noqa: S608 - words of ours, no values
    " count(*) AS number FROM (SELECT certificate_id AS id FROM revocation WHERE at >= :since"
    f" UNION SELECT certificate_id FROM hold WHERE at >= :since AND ended_position = {OPEN}) d"
    " JOIN certificate c ON c.id = d.id LEFT JOIN revocation r ON r.certificate_id = c.id"
    f" LEFT JOIN hold h ON h.certificate_id = c.id AND h.ended_position = {OPEN}"
    f" WHERE {_LEAF} GROUP BY of_group, part, what"
)
_WAITS = _counting(
    f"SELECT {_GROUP}, k.cause AS part, d.at - k.since AS waited, count(*) AS number FROM ("  # noqa: S608 - words of ours, no values
    # What was held before has waited because a rule says so.
    f"SELECT certificate_id, at FROM revocation v WHERE at >= :since AND cause = '{FOLLOWING}'"
    " AND NOT EXISTS (SELECT 1 FROM hold o WHERE o.certificate_id = v.certificate_id)"
    f" UNION ALL SELECT certificate_id, at FROM hold WHERE at >= :since AND cause = '{FOLLOWING}') d"
    " JOIN certificate c ON c.id = d.certificate_id"
    f" JOIN certificate_cause k ON k.id = ({_earliest_cause('d.certificate_id', 'd.at')})"
    f" WHERE {_LEAF} GROUP BY of_group, part, waited"
)


# --- keeping --------------------------------------------------------------------------------------------------------

_WHICH: Final = "subject = :subject AND day = :day"
_DROP = (
    _counting(f"DELETE FROM figure WHERE {_WHICH}"),  # noqa: S608 - words of ours, no values
    _counting(f"DELETE FROM figure_count WHERE {_WHICH}"),  # noqa: S608 - the same
)
_ADD = inserting(figure)
_ADD_COUNT = inserting(figure_count)
_FORGET = tuple(
    _counting(f"DELETE FROM {table} WHERE day > 0 AND day < :before")  # noqa: S608 - words of ours, no values
    for table in ("figure", "figure_count")
)
_KEPT = _counting("SELECT subject, day, at FROM figure_count")
_OF_GROUP: Final = f"CASE WHEN subject = '{Subject.STANDING}' THEN \"group\" ELSE '' END"


def _shown(condition: str) -> Statement:
    return _counting(
        f"SELECT subject, day, {_OF_GROUP} AS of_group, part, what, CAST(sum(number) AS BIGINT) AS number FROM figure"  # noqa: S608 - words of ours, no values
        f" WHERE (day = 0 OR day >= :since){condition} GROUP BY subject, day, of_group, part, what"
    )


class SqlFigures(Noun):
    """See `ports.figures`."""

    def first_issued(self) -> datetime | None:
        """Return when the first one was begun."""
        row = self._database.row(_FIRST, {})
        return None if row is None else from_millis(row["at"])

    def count_outcomes(self, begin: datetime, end: datetime) -> tuple[Figure, ...]:
        """Count what was issued and refused between."""
        values: Columns = {"begin": millis(begin), "end": millis(end)}
        ids: Columns = {"first": first_id(begin), "behind": first_id(end)}
        return (*self._counted(_ISSUED, ids), *self._counted(_REFUSED, values))

    def count_standing(self, now: datetime) -> tuple[Figure, ...]:
        """Count live certificates."""
        day = 86_400_000
        return self._counted(
            _STANDING, {"now": millis(now), **{f"in_{days}": millis(now) + days * day for days in HORIZONS}}
        )

    def count_devices(self, now: datetime) -> tuple[Figure, ...]:
        """Count their devices."""
        return self._counted(_DEVICES, {"now": millis(now)})

    def count_lapsed(self, since: datetime, now: datetime) -> tuple[Figure, ...]:
        """Count what ended and nothing followed."""
        return self._counted(_LAPSED, {"since": millis(since), "now": millis(now)})

    def count_ended(self, since: datetime) -> tuple[Figure, ...]:
        """Count what was revoked or is on hold since then."""
        return self._counted(_ENDED, {"since": millis(since)})

    def count_waits(self, since: datetime) -> tuple[Figure, ...]:
        """Count how long what followed took."""
        rows = self._database.rows(_WAITS, {"since": millis(since)})
        return tuple(Figure(row["number"], row["of_group"], row["part"], str(max(0, row["waited"]))) for row in rows)

    def _counted(self, statement: Statement, values: Values) -> tuple[Figure, ...]:
        return tuple(map(_read, self._database.rows(statement, values)))

    def keep_figures(self, counted: Sequence[Counted]) -> None:
        """Replace what was kept of these."""

        def unit(transaction: Transaction) -> None:
            for each in counted:
                which: Columns = {"subject": each.subject.value, "day": _midnight(each.day)}
                for statement in _DROP:
                    transaction.run(statement, which)
                transaction.run(_ADD_COUNT, {**which, "at": millis(each.at)})
                for one in each.figures:
                    named: Columns = {"group": one.group, "part": one.part, "what": one.what, "number": one.number}
                    transaction.run(_ADD, {**which, **named})

        self._database.write(unit)

    def figures(self, since: date, groups: frozenset[str] | None) -> tuple[Counted, ...]:
        """Return all of these groups."""
        names = None if groups is None else sorted(groups)
        statement = _shown("" if names is None else " AND " + in_groups('"group"', names))
        values: Columns = {"since": _midnight(since), **({} if names is None else group_columns(names))}

        def unit(transaction: Transaction) -> tuple[Counted, ...]:
            found: defaultdict[tuple[str, int], list[Figure]] = defaultdict(list)
            for row in transaction.rows(statement, values):
                found[row["subject"], row["day"]].append(_read(row))
            return tuple(
                Counted(Subject(row["subject"]), from_millis(row["at"]), tuple(found[row["subject"], row["day"]]), day)
                for row in transaction.rows(_KEPT, {})
                if (day := _day(row["day"])) is None or day >= since
            )

        return self._database.read(unit)

    def figures_kept(self) -> Mapping[tuple[Subject, date | None], datetime]:
        """Say of what something is kept."""
        rows = self._database.rows(_KEPT, {})
        return {(Subject(row["subject"]), _day(row["day"])): from_millis(row["at"]) for row in rows}

    def forget_figures(self, before: date) -> None:
        """Delete those of earlier days."""

        def unit(transaction: Transaction) -> None:
            for statement in _FORGET:
                transaction.run(statement, {"before": _midnight(before)})

        self._database.write(unit)


def _read(row: Row) -> Figure:
    return Figure(row["number"], row["of_group"], row["part"], row["what"])


def _midnight(day: date | None) -> int:
    return 0 if day is None else millis(datetime.combine(day, time(), UTC))


def _day(at: int) -> date | None:
    return from_millis(at).date() if at else None
