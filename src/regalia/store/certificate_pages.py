"""Certificates a page at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam

from regalia.model import CertificateKind, CertificateState
from regalia.ports import Listed
from regalia.store.certificates import certificate_rows, read_certificate_row
from regalia.store.figures import ENDED_CAUSE, NOT_FOLLOWED, first_id
from regalia.store.listing import (
    FAR,
    FIRST,
    Found,
    Question,
    Source,
    endpoint_columns,
    group_columns,
    in_endpoints,
    in_groups,
    walk,
)
from regalia.store.search import CERTIFICATES, SqlSearch, Wanted
from regalia.store.session import Statement
from regalia.store.tables import OPEN, certificate
from regalia.store.values import millis, octets_or_none, optional_millis, plain
from regalia.wire.search_text import wanted_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from regalia.model import Certificate
    from regalia.ports import CertificateFilter, Place
    from regalia.store.session import Columns, Row, Transaction

__all__ = ["SqlCertificatePages"]

_SCATTERED: Final = 2_000
"""So many are counted of a list that is not in the order of the table."""
_BY_ID = Statement(certificate_rows().where(certificate.c.id == bindparam("id")))
_BARE: Final = "certificate c"
_WITH_END: Final = (
    "certificate c LEFT JOIN revocation r ON r.certificate_id = c.id"
    f" LEFT JOIN hold h ON h.certificate_id = c.id AND h.ended_position = {OPEN}"
)
_ENDED: Final = "(r.certificate_id IS NOT NULL OR h.certificate_id IS NOT NULL)"


def _newest(condition: str) -> Source:
    # Where it is in no index, or beside one: the planner is not to walk over all ids in search of it.
    return Source(f"SELECT id FROM certificate WHERE {condition} AND id < :after ORDER BY id DESC LIMIT :window")  # noqa: S608 - words of ours, no values


_ALL: Final = Source("SELECT id FROM certificate WHERE id < :after ORDER BY id DESC LIMIT :window")
_OWN: Final = _newest("kind <> 'leaf'")
_OF_DEVICE: Final = _newest("device = :device")
_OF_DEVICE_RECORD: Final = _newest("device_id = :device_id")
_OF_USER_RECORD: Final = _newest("user_id = :user_id")
_OF_SUBJECT: Final = _newest("subject = :subject")
_OF_GROUP: Final = _newest('"group" = :group_0')
_OF_AUTHORITY: Final = _newest('"group" = (SELECT a."group" FROM authority a WHERE a.name = :authority)')
_BEGUN: Final = Source(
    "SELECT id FROM (SELECT id FROM certificate WHERE state = 'intent' LIMIT 100000) i WHERE id < :after"
    " ORDER BY id DESC LIMIT :window"
)
_REVOKED: Final = Source(
    "SELECT certificate_id AS id FROM revocation WHERE certificate_id < :after"  # noqa: S608 - words of ours, no values
    " UNION ALL SELECT certificate_id AS id FROM hold"
    f" WHERE ended_position = {OPEN} AND certificate_id < :after"
    " AND NOT EXISTS (SELECT 1 FROM revocation v WHERE v.certificate_id = hold.certificate_id)"
    " ORDER BY id DESC LIMIT :window"
)
_SHOWN_BY_END: Final = "d.id AS id, d.not_after AS place"
_FIRST_ENDS: Final = "d.not_after, d.id"
_LAST_ENDS: Final = "d.not_after DESC, d.id DESC"


def _expired(bound: str = "") -> Source:
    return Source(
        f"SELECT id, not_after FROM certificate WHERE (not_after, id) < (:end, :after){bound}"  # noqa: S608 - words of ours, no values
        " ORDER BY not_after DESC, id DESC LIMIT :window",
        _LAST_ENDS,
        _FIRST_ENDS,
        _SHOWN_BY_END,
    )


def _ending(bound: str = "") -> Source:
    return Source(
        f"SELECT id, not_after FROM certificate WHERE (not_after, id) > (:end, :after){bound}"  # noqa: S608 - words of ours, no values
        " ORDER BY not_after, id LIMIT :window",
        _FIRST_ENDS,
        _LAST_ENDS,
        _SHOWN_BY_END,
    )


_EXPIRED: Final = _expired()
_EXPIRED_SINCE: Final = _expired(" AND not_after > :ends_after")
_ENDING: Final = _ending()
_ENDING_BY: Final = _ending(" AND not_after <= :ends_by")
_BEGUN_SINCE: Final = _newest("id >= :begun_from")
_ENDED_SINCE: Final = Source(
    "SELECT id FROM (SELECT certificate_id AS id FROM revocation WHERE at >= :ended_from"  # noqa: S608 - words of ours, no values
    f" UNION SELECT certificate_id FROM hold WHERE at >= :ended_from AND ended_position = {OPEN}) i"
    " WHERE id < :after ORDER BY id DESC LIMIT :window"
)


class SqlCertificatePages(SqlSearch):
    """See `ports.Certificates`."""

    def certificate_page(self, wanted: CertificateFilter) -> Listed[Certificate]:
        """Find one page."""
        by_time = (wanted.by_end or wanted.expired_at is not None) and not wanted.search

        def unit(transaction: Transaction) -> tuple[Found, list[Row]]:
            found = self._found(transaction, wanted)
            return found, [row for each in found.rows for row in transaction.rows(_BY_ID, {"id": each["id"]})]

        found, rows = self._database.read(unit)
        return Listed(tuple(map(read_certificate_row, rows)), _place(found.following, by_time=by_time), found.total)

    def _found(self, transaction: Transaction, wanted: CertificateFilter) -> Found:
        where, values = _conditions(wanted)
        tables = _BARE if (wanted.revoked, wanted.ended_from, wanted.cause) == (None,) * 3 else _WITH_END
        text = wanted_text(plain(wanted.search))
        if text:
            groups = _groups(wanted)
            after = FIRST if wanted.after is None else _octets(wanted.after, 0)
            few = _REVOKED if wanted.revoked else None
            asked = Wanted(
                text, groups, after, wanted.limit, tables, where, values, count=wanted.after is None, few=few
            )
            return self._search(transaction, CERTIFICATES, asked)
        source, begin = _source(wanted)
        question = Question(source, f"CROSS JOIN {tables} WHERE c.id = d.id", where)
        # The order of their ends is not that of the table: each row that is counted is another read.
        counted = _SCATTERED if wanted.by_end or wanted.expired_at is not None else FAR
        return walk(
            transaction, question, {**values, **begin}, wanted.limit, count=wanted.after is None, counted=counted
        )


def _groups(wanted: CertificateFilter) -> tuple[str, ...] | None:
    if wanted.group is not None and (wanted.groups is None or wanted.group in wanted.groups):
        return (wanted.group,)
    return None if wanted.groups is None else tuple(sorted(wanted.groups))


def _conditions(wanted: CertificateFilter) -> tuple[tuple[str, ...], Columns]:
    values: Columns = {
        "kind": None if wanted.kind is None else wanted.kind.value,
        "authority": wanted.authority,
        "subject": None if wanted.subject is None else plain(wanted.subject),
        "device": None if wanted.device is None else plain(wanted.device),
        "device_id": octets_or_none(wanted.device_id),
        "user_id": octets_or_none(wanted.user_id),
        "state": None if wanted.state is None else wanted.state.value,
        "live_at": None if wanted.live_at is None else millis(wanted.live_at),
        "expired_at": None if wanted.expired_at is None else millis(wanted.expired_at),
        "begun_from": None if wanted.begun_from is None else first_id(wanted.begun_from),
        "begun_before": None if wanted.begun_before is None else first_id(wanted.begun_before),
        "ends_after": optional_millis(wanted.ends_after),
        "ends_by": optional_millis(wanted.ends_by),
        "ended_from": optional_millis(wanted.ended_from),
        "cause": wanted.cause,
    }
    where = [_ASKED[name] for name, value in values.items() if value is not None]
    values = {name: value for name, value in values.items() if value is not None}
    if wanted.group is not None:
        where.append('c."group" = :group')
        values["group"] = wanted.group
    if wanted.groups is not None:
        # AUTHZ-4: whatever else is asked.
        names = sorted(wanted.groups)
        where.append(in_groups('c."group"', names))
        values |= group_columns(names)
    if wanted.revoked is not None:
        where.append(_ENDED if wanted.revoked else f"NOT {_ENDED}")
    if wanted.followed is not None:
        where.append(f"NOT {NOT_FOLLOWED}" if wanted.followed else NOT_FOLLOWED)
    if wanted.endpoints is not None:
        names = sorted(wanted.endpoints)
        where.append(_at_endpoints(names))
        values |= endpoint_columns(names)
    return tuple(where), values


_ASKED: Final = {
    "kind": "c.kind = :kind",
    "authority": "c.authority = :authority",
    "subject": "c.subject = :subject",
    "device": "c.device = :device",
    "device_id": "c.device_id = :device_id",
    "user_id": "c.user_id = :user_id",
    "state": "c.state = :state",
    "live_at": "c.state = 'issued' AND c.not_after > :live_at",
    "expired_at": "c.not_after <= :expired_at",
    "begun_from": "c.id >= :begun_from",
    "begun_before": "c.id < :begun_before",
    "ends_after": "c.not_after > :ends_after",
    "ends_by": "c.not_after <= :ends_by",
    "ended_from": "coalesce(r.at, h.at) >= :ended_from",
    "cause": f"{ENDED_CAUSE} = :cause",
}


def _at_endpoints(names: Sequence[str]) -> str:
    of_it = f"e.id = c.enrolment_id AND {in_endpoints('e.endpoint', names)}"
    return f"EXISTS (SELECT 1 FROM enrolment e WHERE {of_it})"  # noqa: S608 - words of ours, no values


def _source(wanted: CertificateFilter) -> tuple[Source, Columns]:
    """Choose the index that leads to what is asked by the fewest rows, and where in it the page begins."""
    if wanted.expired_at is not None:
        source = _EXPIRED if wanted.ends_after is None else _EXPIRED_SINCE
        return source, _begin_at(wanted.after, millis(wanted.expired_at) + 1, b"")
    if wanted.by_end:
        # Behind the last one that has ended by then.
        ended = max(-1 if each is None else millis(each) for each in (wanted.live_at, wanted.ends_after))
        return _ENDING if wanted.ends_by is None else _ENDING_BY, _begin_at(wanted.after, ended, FIRST)
    groups = _groups(wanted) or ()
    leaves = wanted.kind in (None, CertificateKind.LEAF)
    chosen = (
        (wanted.device_id is not None, _OF_DEVICE_RECORD),
        (wanted.user_id is not None, _OF_USER_RECORD),
        (wanted.device is not None, _OF_DEVICE),
        (wanted.subject is not None, _OF_SUBJECT),
        (not leaves, _OWN),
        (wanted.ended_from is not None, _ENDED_SINCE),
        (wanted.begun_from is not None, _BEGUN_SINCE),
        (wanted.state is CertificateState.INTENT, _BEGUN),
        (bool(wanted.revoked), _REVOKED),
        # What belongs to no group has other issuers.
        (wanted.authority is not None and wanted.kind is CertificateKind.LEAF, _OF_AUTHORITY),
        (len(groups) == 1, _OF_GROUP),
        (True, _ALL),
    )
    newest = FIRST if wanted.begun_before is None else first_id(wanted.begun_before)
    begin: Columns = {"after": newest if wanted.after is None else _octets(wanted.after, 0)}
    if len(groups) == 1:
        begin["group_0"] = groups[0]
    return next(source for fits, source in chosen if fits), begin


def _begin_at(after: Place | None, end: int, octets: bytes) -> Columns:
    if after is None:
        return {"end": end, "after": octets}
    first = after[0]
    return {"end": first if isinstance(first, int) else 0, "after": _octets(after, 1)}


def _octets(after: Place, index: int) -> bytes:
    """Read an id of a place; what is none stands before all, and nothing comes behind it."""
    try:
        return bytes.fromhex(str(after[index]))
    except (ValueError, IndexError):
        return b""


def _place(following: Row | None, *, by_time: bool) -> Place | None:
    if following is None:
        return None
    octets = bytes(following["id"]).hex()
    return (int(following["place"]), octets) if by_time else (octets,)
