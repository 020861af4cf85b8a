"""Runs that the brake stopped (REV-7), and readings of inventories: rows ⇄ values."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final
from uuid import UUID

from sqlalchemy import bindparam, literal_column, select, update

from regalia.ports.fleet import Stopped, Sweep
from regalia.store.administration_values import json_text
from regalia.store.session import LostError, Noun, Statement, inserting
from regalia.store.tables import stopped_run, sweep
from regalia.store.values import from_millis, millis, optional_millis, plain, storable, time_or_none

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from regalia.model import EventDraft
    from regalia.store.session import Columns, Row, Transaction

__all__ = ["SqlBrakes", "SqlSweeps"]

_FINGERPRINT: Final = 32

_ADD_STOP = inserting(stopped_run)
_STOP = Statement(select(stopped_run).where(stopped_run.c.id == bindparam("which")))
_IS_OPEN = stopped_run.c.closed_at.is_(None)
_newest = (stopped_run.c.at.desc(), stopped_run.c.id.desc())
_OF_DIGEST = Statement(
    select(stopped_run).where(stopped_run.c.digest == bindparam("digest"), _IS_OPEN).order_by(*_newest).limit(1)
)
_OPEN_STOPS = Statement(select(stopped_run).where(_IS_OPEN).order_by(*_newest))
_CHANGE_STOP = Statement(
    update(stopped_run)
    .where(stopped_run.c.id == bindparam("which"), stopped_run.c.version == bindparam("was"))
    .values({name: bindparam(f"new_{name}") for name in stopped_run.c.keys() if name != "id"})  # noqa: SIM118 - columns are no mapping
)
_CLOSE_OTHERS = Statement(
    update(stopped_run)
    .where(_IS_OPEN)
    .values(closed_at=bindparam("until"), version=stopped_run.c.version + literal_column("1"))
)


class SqlBrakes(Noun):
    """See `ports.fleet.Brakes`."""

    def stopped(self, digest: str) -> Stopped | None:
        """Find one that is not closed."""
        row = self._database.row(_OF_DIGEST, {"digest": digest}) if storable(digest) else None
        return None if row is None else _read_stop(row)

    def open_stops(self) -> tuple[Stopped, ...]:
        """Return those that are not closed, newest first."""
        return tuple(_read_stop(row) for row in self._database.rows(_OPEN_STOPS, {}))

    def put_stopped(self, before: Stopped | None, after: Stopped, events: Sequence[EventDraft]) -> bool:
        """Keep, let go or close one, and close all other open ones where it is new; False where it has changed."""
        columns = _stop_columns(after)

        def unit(transaction: Transaction) -> None:
            if before is None:
                # Of two that stop at once one closes the other's.
                transaction.one_at_a_time(b"stopped runs")
                transaction.run(_CLOSE_OTHERS, {"until": millis(after.at)})
                transaction.run(_ADD_STOP, {**columns, "version": 0})
            else:
                row = transaction.row(_STOP, {"which": before.id.bytes})
                if row is None or _read_stop(row) != _read_stop(_stop_columns(before)):
                    raise LostError
                changed = _changed(columns, row["version"])
                if not transaction.run(_CHANGE_STOP, changed):
                    raise LostError
            transaction.record(events)

        return self._won(unit)


def _changed(columns: Columns, version: int) -> Columns:
    """Make the parameters of a change of a row that is at this version."""
    values: Columns = {f"new_{name}": value for name, value in columns.items() if name != "id"}
    return values | {"which": columns["id"], "was": version, "new_version": version + 1}


def _stop_columns(value: Stopped) -> Columns:
    return {
        "id": value.id.bytes,
        "digest": value.digest,
        "at": millis(value.at),
        "ends": _counts_text(value.ends),
        "live": _counts_text(value.live),
        "why": plain(value.why),
        "shown": b"".join(sorted(value.shown)),
        "let_go_at": optional_millis(value.let_go_at),
        "let_go_by": json_text(list(value.let_go_by)),
        "closed_at": optional_millis(value.closed_at),
    }


def _counts_text(counts: Mapping[str, int]) -> str:
    return json_text({name: counts[name] for name in sorted(counts)})


def _read_stop(row: Row) -> Stopped:
    shown = row["shown"]
    return Stopped(
        id=UUID(bytes=row["id"]),
        digest=row["digest"],
        at=from_millis(row["at"]),
        ends=json.loads(row["ends"]),
        live=json.loads(row["live"]),
        why=row["why"],
        shown=frozenset(shown[first : first + _FINGERPRINT] for first in range(0, len(shown), _FINGERPRINT)),
        let_go_at=time_or_none(row["let_go_at"]),
        let_go_by=tuple(json.loads(row["let_go_by"])),
        closed_at=time_or_none(row["closed_at"]),
    )


# --- readings of inventories ----------------------------------------------------------------------------------------

_ADD_SWEEP = inserting(sweep)
_SWEEP = Statement(select(sweep).where(sweep.c.id == bindparam("which")))
_OPEN_SWEEP = Statement(select(sweep).where(sweep.c.connector == bindparam("of"), sweep.c.ended_at.is_(None)))
_ended = (sweep.c.connector == bindparam("of"), sweep.c.ended_at.is_not(None))
_last = (sweep.c.ended_at.desc(), sweep.c.id.desc())
_LAST = Statement(
    select(sweep)
    .where(*_ended, sweep.c.complete >= bindparam("complete"), sweep.c.is_full >= bindparam("full"))
    .order_by(*_last)
    .limit(1)
)
_CHANGE_SWEEP = Statement(
    update(sweep)
    .where(sweep.c.id == bindparam("which"), sweep.c.version == bindparam("was"))
    .values({name: bindparam(f"new_{name}") for name in sweep.c.keys() if name != "id"})  # noqa: SIM118 - columns are no mapping
)


class SqlSweeps(Noun):
    """See `ports.fleet.Sweeps`, but for whom a sweep did not see."""

    def open_sweep(self, connector: str) -> Sweep | None:
        """Return the one that is under way."""
        row = self._database.row(_OPEN_SWEEP, {"of": connector}) if storable(connector) else None
        return None if row is None else _read_sweep(row)

    def last_sweep(self, connector: str, *, complete: bool = True, full: bool = False) -> Sweep | None:
        """Return the one that ended last; of the complete ones, and of the full ones alone, where that is asked."""
        values: Columns = {"of": connector, "complete": int(complete), "full": int(full)}
        row = self._database.row(_LAST, values) if storable(connector) else None
        return None if row is None else _read_sweep(row)

    def put_sweep(self, before: Sweep | None, after: Sweep, events: Sequence[EventDraft]) -> bool:
        """Begin, go on or end; False where it is not `before` any more, or another one of the connector is open."""
        columns = _sweep_columns(after)

        def unit(transaction: Transaction) -> None:
            if before is None:
                transaction.run(_ADD_SWEEP, {**columns, "version": 0})
            else:
                row = transaction.row(_SWEEP, {"which": before.id.bytes})
                if row is None or _read_sweep(row) != _read_sweep(_sweep_columns(before)):
                    raise LostError
                if not transaction.run(_CHANGE_SWEEP, _changed(columns, row["version"])):
                    raise LostError
            transaction.record(events)

        return self._won(unit)


def _sweep_columns(value: Sweep) -> Columns:
    return {
        "id": value.id.bytes,
        "connector": value.connector,
        "is_full": int(value.full),
        "began_at": millis(value.began_at),
        "place": value.cursor,
        "seen": value.seen,
        "seen_users": value.seen_users,
        "ended_at": optional_millis(value.ended_at),
        "complete": int(value.complete),
        "next_delta": value.next_delta,
        "why": plain(value.why),
    }


def _read_sweep(row: Row) -> Sweep:
    return Sweep(
        id=UUID(bytes=row["id"]),
        connector=row["connector"],
        full=bool(row["is_full"]),
        began_at=from_millis(row["began_at"]),
        cursor=row["place"],
        seen=row["seen"],
        seen_users=row["seen_users"],
        ended_at=time_or_none(row["ended_at"]),
        complete=bool(row["complete"]),
        next_delta=row["next_delta"],
        why=row["why"],
    )
