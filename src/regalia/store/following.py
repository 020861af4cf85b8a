"""What followed for certificates, cause by cause, and whom certificates are bound to: rows ⇄ values."""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from typing import TYPE_CHECKING, Final
from uuid import UUID

from sqlalchemy import bindparam, distinct, func, literal_column, null, select, tuple_, update
from sqlalchemy.sql import exists

from regalia.errors import InvariantError
from regalia.model import Hold, Revocation
from regalia.model.fleet import Cause
from regalia.ports.fleet import AGREED, FOLLOWED, FOLLOWING, Bearer, KeptCause
from regalia.store.certificates import certificate_rows, read_certificate_row
from regalia.store.ends import (
    ADD_CAUSE,
    ADMINISTRATOR,
    END_CAUSE,
    IS_OPEN,
    cause_id,
    record_hold,
    record_release,
    record_revocation,
)
from regalia.store.session import LostError, Noun, Statement, inserting
from regalia.store.several import in_parts, keys, marks
from regalia.store.tables import (
    certificate,
    certificate_cause,
    device,
    fleet_user,
    followed_end,
    hold,
    revocation,
)
from regalia.store.values import from_millis, id_or_none, millis, plain, time_or_none

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import BindParameter, ColumnElement

    from regalia.model import Certificate, EventDraft
    from regalia.model.fleet import FoundCause
    from regalia.store.session import Call, Columns, Row, Transaction

__all__ = ["SqlFollowing"]

_AGAIN = Statement(
    update(certificate_cause)
    .where(
        certificate_cause.c.certificate_id == bindparam("which"),
        certificate_cause.c.cause == bindparam("what"),
        certificate_cause.c.ended_at.is_(None),
    )
    .values(since=bindparam("new_since"), why=bindparam("new_why"))
)
_ADD_END = inserting(followed_end)
_GROUP = Statement(select(certificate.c.group).where(certificate.c.id == bindparam("id")))
_ENDED_SINCE = Statement(
    select(followed_end.c.group, func.count(distinct(followed_end.c.certificate_id)).label("ended"))
    .where(followed_end.c.at >= bindparam("since"))
    .group_by(followed_end.c.group)
)

_LIVE: Final[tuple[ColumnElement[bool], ...]] = (
    certificate.c.state == literal_column("'issued'"),
    certificate.c.not_after > bindparam("now"),
    # Correlated by name: the statement also selects from revocations.
    ~exists().where(revocation.c.certificate_id == certificate.c.id).correlate(certificate),
)
"""Neither expired nor revoked for good; it may be on hold."""
_NO_DEVICE = certificate.c.device_id.is_(None)

_DEVICES = Statement(
    select(certificate.c.device_id.label("id"))
    .where(certificate.c.device_id > bindparam("after"), *_LIVE)
    .distinct()
    .order_by(certificate.c.device_id)
    .limit(bindparam("most"))
)
# Only as far as the devices of the page go: what stands behind them is looked at with the next page.
_USERS = Statement(
    select(certificate.c.user_id.label("id"))
    .where(certificate.c.user_id > bindparam("after"), certificate.c.user_id <= bindparam("until"), _NO_DEVICE, *_LIVE)
    .distinct()
    .order_by(certificate.c.user_id)
    .limit(bindparam("most"))
)
_BOUND: Final = (certificate.c.device_id, certificate.c.user_id)
_NOBODY: Final = null().label("user_id")
_SINCE: Final[BindParameter[int]] = bindparam("since")
# Ids of certificates and causes begin with the time when they were made.
_FIRST: Final[BindParameter[bytes]] = bindparam("first")
CHANGED: Final = tuple(
    Statement(each.limit(bindparam("most")))
    for each in (
        select(device.c.id.label("device_id"), _NOBODY).where(device.c.changed_at >= _SINCE),
        select(device.c.id.label("device_id"), _NOBODY).where(
            device.c.owner.is_not(None),
            tuple_(device.c.connector, device.c.owner).in_(
                select(fleet_user.c.connector, fleet_user.c.external_id).where(fleet_user.c.changed_at >= _SINCE)
            ),
        ),
        select(*_BOUND).where(
            certificate.c.user_id.in_(select(fleet_user.c.id).where(fleet_user.c.changed_at >= _SINCE))
        ),
        select(*_BOUND).where(certificate.c.id >= _FIRST, certificate.c.device_id.is_not(None)),
        select(*_BOUND).where(certificate.c.id >= _FIRST, _NO_DEVICE, certificate.c.user_id.is_not(None)),
        select(*_BOUND)
        .join(certificate_cause, certificate_cause.c.certificate_id == certificate.c.id)
        .where(certificate_cause.c.id >= _FIRST, func.coalesce(*_BOUND).is_not(None)),
    )
)
"""What `changed_bearers` asks."""
# Neither through the index of groups nor through that of ends, which lead to every certificate there is: those that are
# bound have an index of their own.
_BY_GROUP = certificate.c.group.op("||")(literal_column("''"))
_COUNTED: Final = (certificate.c.not_after + literal_column("0") > bindparam("now"), *_LIVE[::2])
_DEVICES_LIVE = Statement(
    select(_BY_GROUP.label("group"), func.count().label("live"))
    .where(certificate.c.device_id > bindparam("after"), *_COUNTED)
    .group_by(_BY_GROUP)
)
_USERS_LIVE = Statement(
    select(_BY_GROUP.label("group"), func.count().label("live"))
    .where(certificate.c.user_id > bindparam("after"), _NO_DEVICE, *_COUNTED)
    .group_by(_BY_GROUP)
)
_BEHIND_ALL: Final = b"\xff" * 17


@cache
def _of_devices(count: int) -> Statement:
    """Make the statement that reads the live certificates of so many devices."""
    these = certificate.c.device_id.in_(marks(count))
    return Statement(certificate_rows().where(these, *_LIVE).order_by(certificate.c.id))


@cache
def _of_users(count: int) -> Statement:
    """The same of users without a device."""
    these = certificate.c.user_id.in_(marks(count))
    return Statement(certificate_rows().where(these, _NO_DEVICE, *_LIVE).order_by(certificate.c.id))


@cache
def _causes(count: int) -> tuple[Statement, Statement]:
    """Make the statements that read the causes beside so many certificates, and the holds of administrators."""
    kept = select(certificate_cause).where(certificate_cause.c.certificate_id.in_(marks(count)))
    held = select(hold.c.certificate_id, hold.c.at, hold.c.note).where(
        hold.c.certificate_id.in_(marks(count)),
        IS_OPEN,
        *(hold.c.cause != literal_column(f"'{each}'") for each in FOLLOWED),
    )
    return Statement(kept), Statement(held)


class SqlFollowing(Noun):
    """See `ports.fleet.Following`."""

    def causes_of(self, certificate_ids: Sequence[UUID]) -> tuple[KeptCause, ...]:
        """Return all causes, also those that ended, oldest first; an administrator's hold is one of them."""
        found: list[KeptCause] = []
        for part in in_parts([each.bytes for each in certificate_ids]):
            values = keys(part)
            kept, held = self._database.look_up([(statement, values) for statement in _causes(len(values))])
            found += [_read_cause(row) for row in kept]
            found += [_read_share(row) for row in held]
        return tuple(sorted(found, key=lambda each: (each.kept_at, each.cause or "")))

    def follow(
        self,
        certificate_id: UUID,
        *,
        causes: Sequence[FoundCause],
        ended: Sequence[Cause],
        status: Revocation | Hold | None,
        release: bool,
        at: datetime,
        events: Sequence[EventDraft],
    ) -> bool:
        """Keep causes, end others, and revoke, hold or release, in one transaction."""
        if status is not None and (status.cause not in FOLLOWED or status.certificate_id != certificate_id or release):
            raise InvariantError("what follows says so, of one certificate, and holds or releases it")

        def unit(transaction: Transaction) -> None:
            if status is not None:
                _end(transaction, status, at)
            if release and not record_release(transaction, certificate_id, at, FOLLOWING, "", followed=True):
                raise LostError
            _keep(transaction, certificate_id, causes, at)
            for each in ended:
                transaction.run(END_CAUSE, {"which": certificate_id.bytes, "what": each.value, "until": millis(at)})
            transaction.record(events)

        return self._won(unit)

    def bearers(self, now: datetime, after: UUID | None, limit: int) -> tuple[Bearer, ...]:
        """Return whom live certificates are bound to, by id behind this one."""
        values: Columns = {"now": millis(now), "after": b"" if after is None else after.bytes, "most": limit}

        def unit(transaction: Transaction) -> tuple[Bearer, ...]:
            devices = [UUID(bytes=row["id"]) for row in transaction.rows(_DEVICES, values)]
            until = devices[-1].bytes if len(devices) == limit else _BEHIND_ALL
            users = [UUID(bytes=row["id"]) for row in transaction.rows(_USERS, {**values, "until": until})]
            both = (*(Bearer(each, None) for each in devices), *(Bearer(None, each) for each in users))
            return tuple(sorted(both, key=lambda each: each.id)[:limit])

        return self._database.read(unit)

    def changed_bearers(self, since: datetime, most: int) -> tuple[Bearer, ...]:
        """Name those of whom something was said since then; as many as `most`: there are more."""
        values: Columns = {"since": millis(since), "most": most, "first": millis(since).to_bytes(6) + bytes(10)}
        found: set[Bearer] = set()
        for rows in self._database.look_up([(statement, values) for statement in CHANGED]):
            for row in rows:
                device, user = id_or_none(row["device_id"]), id_or_none(row["user_id"])
                found.add(Bearer(device, None if device is not None else user))
        return tuple(found)[:most]

    def live_certificates(self, bearers: Sequence[Bearer], now: datetime) -> Mapping[Bearer, Sequence[Certificate]]:
        """Return these certificates of some bearers, each one's oldest first; of whoever has none there is nothing."""
        devices = [each.id.bytes for each in bearers if each.device_id is not None]
        users = [each.id.bytes for each in bearers if each.device_id is None]
        calls: list[Call] = []
        for statement, which in ((_of_devices, devices), (_of_users, users)):
            for part in in_parts(which):
                values = keys(part)
                calls.append((statement(len(values)), {**values, "now": millis(now)}))
        found: defaultdict[Bearer, list[Certificate]] = defaultdict(list)
        for rows in self._database.look_up(calls):
            for row in map(read_certificate_row, rows):
                device, user = row.intent.device_id, row.intent.user_id
                found[Bearer(device, None if device is not None else user)].append(row)
        return found

    def live_count(self, now: datetime) -> Mapping[str, int]:
        """Count them by group."""
        values: Columns = {"now": millis(now), "after": b""}
        return _sums(self._database.look_up([(_DEVICES_LIVE, values), (_USERS_LIVE, values)]))

    def ended_since(self, since: datetime) -> Mapping[str, int]:
        """Count by group the certificates that following revoked or held since then."""
        rows = self._database.rows(_ENDED_SINCE, {"since": millis(since)})
        return {row["group"]: row["ended"] for row in rows}


def _sums(parts: Sequence[Sequence[Row]]) -> Mapping[str, int]:
    sums: dict[str, int] = {}
    for rows in parts:
        for row in rows:
            group = row["group"] or ""
            sums[group] = sums.get(group, 0) + row["live"]
    return sums


def _end(transaction: Transaction, status: Revocation | Hold, at: datetime) -> None:
    recorded = (
        record_revocation(transaction, status) if isinstance(status, Revocation) else record_hold(transaction, status)
    )
    row = transaction.row(_GROUP, {"id": status.certificate_id.bytes})
    if not recorded or row is None:
        raise LostError
    if status.cause == AGREED:
        # The brake adds up what ended by itself.
        return
    columns: Columns = {"certificate_id": status.certificate_id.bytes, "group": row["group"] or "", "at": millis(at)}
    transaction.run(_ADD_END, {**columns, "id": cause_id(millis(at))})


def _keep(transaction: Transaction, certificate_id: UUID, causes: Sequence[FoundCause], at: datetime) -> None:
    for each in causes:
        since, why = millis(each.since), plain(each.why)
        cause: Columns = {"which": certificate_id.bytes, "what": each.cause.value}
        if transaction.run(_AGAIN, {**cause, "new_since": since, "new_why": why}):
            continue
        columns: Columns = {"certificate_id": certificate_id.bytes, "cause": each.cause.value, "since": since}
        transaction.run(ADD_CAUSE, {**columns, "id": cause_id(millis(at)), "why": why, "kept_at": millis(at)})


def _read_cause(row: Row) -> KeptCause:
    return KeptCause(
        certificate_id=UUID(bytes=row["certificate_id"]),
        cause=None if row["cause"] == ADMINISTRATOR else Cause(row["cause"]),
        since=from_millis(row["since"]),
        why=row["why"],
        kept_at=from_millis(row["kept_at"]),
        ended_at=time_or_none(row["ended_at"]),
    )


def _read_share(row: Row) -> KeptCause:
    at = from_millis(row["at"])
    return KeptCause(UUID(bytes=row["certificate_id"]), None, at, row["note"], at)
