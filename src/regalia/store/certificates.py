"""Certificates and their end: rows ⇄ values."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import UUID

from sqlalchemy import and_, bindparam, case, func, literal_column, or_, select

from regalia.errors import InvariantError
from regalia.model import (
    Certificate,
    CertificateIntent,
    CertificateKind,
    CertificateState,
    Hold,
    Revocation,
    RevocationReason,
)
from regalia.ports import SerialStatus
from regalia.store.ends import IS_OPEN, record_hold, record_release, record_revocation
from regalia.store.session import LostError, Noun, Row, Statement, Transaction, inserting
from regalia.store.tables import (
    certificate,
    certificate_der,
    certificate_tbs,
    compromised_key,
    enrolment,
    hold,
    revocation,
)
from regalia.store.values import (
    from_millis,
    id_or_none,
    millis,
    names_text,
    octets_or_none,
    plain,
    read_names,
    serial_octets,
    serial_or_none,
    storable,
    time_or_none,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Select

    from regalia.model import EventDraft
    from regalia.ports import CertificateFilter
    from regalia.store.session import Columns

__all__ = [
    "ADD_CERTIFICATE",
    "ADD_TBS",
    "BY_KEY",
    "SqlCertificates",
    "certificate_columns",
    "certificate_rows",
    "read_certificate_row",
]

ADD_CERTIFICATE = inserting(certificate)
ADD_TBS = inserting(certificate_tbs)


_HELD = and_(hold.c.certificate_id == certificate.c.id, IS_OPEN)
_END = (
    func.coalesce(
        revocation.c.reason,
        case((hold.c.certificate_id.is_not(None), literal_column(str(int(RevocationReason.CERTIFICATE_HOLD))))),
    ).label("reason"),
    *(func.coalesce(revocation.c[name], hold.c[name]).label(name) for name in ("cause", "actor", "at", "note")),
)
"""What ended a certificate or, failing that, what suspends it."""


def certificate_rows() -> Select[tuple[object, ...]]:
    """Select whole certificates: the row, its octets, its revocation if any."""
    return (
        select(
            certificate,
            certificate_tbs.c.tbs,
            certificate_der.c.der,
            *_END,
        )
        .join(certificate_tbs, certificate_tbs.c.certificate_id == certificate.c.id)
        .outerjoin(certificate_der, certificate_der.c.certificate_id == certificate.c.id)
        .outerjoin(revocation, revocation.c.certificate_id == certificate.c.id)
        .outerjoin(hold, _HELD)
    )


_BY_ID = Statement(certificate_rows().where(certificate.c.id == bindparam("id")))
_BY_SERIAL = Statement(
    certificate_rows().where(
        certificate.c.serial == bindparam("serial"), certificate.c.authority == bindparam("authority")
    )
)
_ALL_OF_SERIAL = Statement(
    certificate_rows().where(certificate.c.serial == bindparam("serial")).order_by(certificate.c.id)
)
BY_KEY = Statement(
    certificate_rows().where(certificate.c.key_sha256 == bindparam("key_sha256")).order_by(certificate.c.id.desc())
)
_NEWEST_GENERATION = Statement(
    select(func.max(enrolment.c.generation).label("newest")).where(
        enrolment.c.chain == bindparam("first"),
        enrolment.c.generation > literal_column("0"),
        enrolment.c.state == "issued",
    )
)
_WITHDRAWN_SINCE = Statement(
    select(revocation.c.at)
    .join(enrolment, enrolment.c.certificate_id == revocation.c.certificate_id)
    .where(
        enrolment.c.chain == bindparam("first"),
        enrolment.c.generation > literal_column("0"),
        enrolment.c.generation >= bindparam("generation"),
        enrolment.c.state == "issued",
        revocation.c.cause != "abandoned",
        revocation.c.reason != int(RevocationReason.SUPERSEDED),
    )
    .limit(1)
)
_HELD_SINCE = Statement(
    select(hold.c.at)
    .join(enrolment, enrolment.c.certificate_id == hold.c.certificate_id)
    .where(
        enrolment.c.chain == bindparam("first"),
        enrolment.c.generation > literal_column("0"),
        enrolment.c.generation >= bindparam("generation"),
        enrolment.c.state == "issued",
        IS_OPEN,
    )
    .limit(1)
)
_counted = (certificate.c.created_at >= bindparam("since"), certificate.c.state != "abandoned")
_BEGUN_FOR_DEVICE = Statement(
    select(func.count().label("begun"))
    .select_from(certificate)
    .where(certificate.c.device == bindparam("device"), certificate.c.kind == "leaf", *_counted)
)
# A chain's beginning is the enrolment that the chain is named after. Of an enrolment's certificates all but the last
# one are abandoned.
_BEGUN_IN_CHAIN = Statement(
    select(func.count().label("begun"))
    .select_from(enrolment)
    .join(certificate, certificate.c.id == enrolment.c.certificate_id)
    .where(
        or_(
            enrolment.c.id == bindparam("chain"),
            and_(enrolment.c.chain == bindparam("chain"), enrolment.c.generation > literal_column("0")),
        ),
        *_counted,
    )
)
_STATUS = Statement(
    select(
        certificate.c.id,
        certificate.c.state,
        *_END,
    )
    .outerjoin(revocation, revocation.c.certificate_id == certificate.c.id)
    .outerjoin(hold, _HELD)
    .where(certificate.c.serial == bindparam("serial"), certificate.c.authority == bindparam("authority"))
)
_ADD_COMPROMISED = inserting(compromised_key)
_COMPROMISED = Statement(select(compromised_key.c.at).where(compromised_key.c.key_sha256 == bindparam("key_sha256")))
_HOLDS = Statement(select(hold).where(hold.c.certificate_id == bindparam("id")).order_by(hold.c.position))
_LIVE_BY_LIST = Statement(
    select(certificate.c.shard, func.count().label("live"))
    .where(certificate.c.authority == bindparam("authority"), certificate.c.not_after > bindparam("now"))
    .group_by(certificate.c.shard)
)


class SqlCertificates(Noun):
    """See `ports.Certificates`."""

    def certificate(self, certificate_id: UUID) -> Certificate | None:
        """Find by id."""
        row = self._database.row(_BY_ID, {"id": certificate_id.bytes})
        return None if row is None else read_certificate_row(row)

    def certificate_by_serial(self, authority: str, serial: int) -> Certificate | None:
        """Find by issuer and serial."""
        octets = serial_or_none(serial)
        if octets is None or not storable(authority):
            return None
        row = self._database.row(_BY_SERIAL, {"serial": octets, "authority": authority})
        return None if row is None else read_certificate_row(row)

    def certificates_by_key(self, key_sha256: bytes) -> tuple[Certificate, ...]:
        """Return every certificate that was ever begun for this key, newest first."""
        return tuple(read_certificate_row(row) for row in self._database.rows(BY_KEY, {"key_sha256": key_sha256}))

    def certificates(self, wanted: CertificateFilter) -> tuple[Certificate, ...]:
        """Return those that match, newest first; of what has expired, what expired last first."""
        found = self._listed(wanted, held=False)
        if not wanted.revoked:
            return found
        # Among few revoked ones the newest are found by walking over the revocations, and over the holds.
        both = (*found, *self._listed(wanted, held=True))
        return tuple(sorted(both, key=lambda found: found.id, reverse=True)[: wanted.limit])

    def _listed(self, wanted: CertificateFilter, *, held: bool) -> tuple[Certificate, ...]:
        values = _values(wanted)
        asked = tuple(name for name, value in values.items() if value is not None)
        shape = _Shape(asked, own=wanted.kind not in (None, CertificateKind.LEAF), revoked=wanted.revoked, held=held)
        rows = self._database.rows(_listing(shape), {name: values[name] for name in asked})
        return tuple(read_certificate_row(row) for row in rows)

    def find_serial(self, serial: int) -> tuple[Certificate, ...]:
        """Return the certificates of all authorities with this serial."""
        octets = serial_or_none(serial)
        rows = self._database.rows(_ALL_OF_SERIAL, {"serial": octets}) if octets is not None else ()
        return tuple(read_certificate_row(row) for row in rows)

    def newest_generation(self, first: UUID) -> int:
        """Return the highest generation issued in the chain that this enrolment began; 0 where none was."""
        row = self._database.row(_NEWEST_GENERATION, {"first": first.bytes})
        return 0 if row is None or row["newest"] is None else int(row["newest"])

    def withdrawn_since(self, first: UUID, generation: int) -> bool:
        """Return whether trust in a certificate of this or a later generation was withdrawn.

        Generation 0 is one certificate, whose own revocation its holder meets anyway.
        """
        values: Columns = {"first": first.bytes, "generation": generation}
        withdrawn = self._database.row(_WITHDRAWN_SINCE, values) or self._database.row(_HELD_SINCE, values)
        return withdrawn is not None

    def begun_since(self, since: datetime, *, device: str | None = None, chain: UUID | None = None) -> int:
        """Count the leaves begun since then for a device or in a chain, without the abandoned ones (RES-5)."""
        if (device is None) == (chain is None):
            raise InvariantError("a device or a chain, not both")
        if chain is not None:
            row = self._database.row(_BEGUN_IN_CHAIN, {"chain": chain.bytes, "since": millis(since)})
        else:
            row = self._database.row(_BEGUN_FOR_DEVICE, {"device": plain(device or ""), "since": millis(since)})
        return 0 if row is None else int(row["begun"])

    def serial_status(self, authority: str, serial: int) -> SerialStatus | None:
        """Return what OCSP says of a serial; None where it was never assigned."""
        octets = serial_or_none(serial)
        if octets is None or not storable(authority):
            return None
        row = self._database.row(_STATUS, {"serial": octets, "authority": authority})
        if row is None:
            return None
        state = CertificateState(row["state"])
        return SerialStatus(
            issued=state is CertificateState.ISSUED,
            abandoned=state is CertificateState.ABANDONED,
            revocation=_read_revocation(row),
        )

    def revoke(self, revocation: Revocation, events: Sequence[EventDraft]) -> bool:
        """Return False where it is revoked already, or unknown."""
        return self._ended(lambda transaction: record_revocation(transaction, revocation), events)

    def hold_certificate(self, hold: Hold, events: Sequence[EventDraft]) -> bool:
        """Return False where it is held or revoked already, or unknown; beside a hold that followed it goes on."""
        return self._ended(lambda transaction: record_hold(transaction, hold), events)

    def release_certificate(
        self,
        certificate_id: UUID,
        at: datetime,
        by: str,
        note: str,
        events: Sequence[EventDraft],
        *,
        instead: Hold | None = None,
    ) -> bool:
        """Return False where it is not on hold; a hold that followed as well goes on without the administrator's."""

        def change(transaction: Transaction) -> bool:
            released = record_release(transaction, certificate_id, at, by, note)
            return released and (instead is None or record_hold(transaction, instead))

        return self._ended(change, events)

    def _ended(self, change: Callable[[Transaction], bool], events: Sequence[EventDraft]) -> bool:
        def unit(transaction: Transaction) -> None:
            if not change(transaction):
                raise LostError
            transaction.record(events)

        return self._won(unit)

    def compromise_key(self, key_sha256: bytes, at: datetime, by: str, note: str, events: Sequence[EventDraft]) -> bool:
        """Return False where it is blocked already."""
        columns: Columns = {"key_sha256": key_sha256, "actor": plain(by), "at": millis(at), "note": plain(note)}

        def unit(transaction: Transaction) -> None:
            transaction.run(_ADD_COMPROMISED, columns)
            transaction.record(events)

        return self._won(unit)

    def is_compromised(self, key_sha256: bytes) -> bool:
        """Return whether this key is blocked."""
        return self._database.row(_COMPROMISED, {"key_sha256": key_sha256}) is not None

    def holds(self, certificate_id: UUID) -> tuple[Hold, ...]:
        """Return every time that it was on hold, oldest first."""
        return tuple(_read_hold(row) for row in self._database.rows(_HOLDS, {"id": certificate_id.bytes}))

    def live_by_list(self, authority: str, now: datetime) -> Mapping[int, int]:
        """Count the certificates that have not expired, by the list that would tell of them."""
        rows = self._database.rows(_LIVE_BY_LIST, {"authority": authority, "now": millis(now)})
        return {row["shard"]: row["live"] for row in rows}


class _Shape(NamedTuple):
    """What a list asks for, without the values: lists of one shape are one statement."""

    asked: tuple[str, ...]
    own: bool
    """Only certificates of our own, which are few."""
    revoked: bool | None
    held: bool


def _values(wanted: CertificateFilter) -> dict[str, str | int | None]:
    """Return what each condition compares with; None where it is not asked for."""
    return {
        "kind": None if wanted.kind is None else wanted.kind.value,
        "group": wanted.group,
        "authority": wanted.authority,
        "subject": None if wanted.subject is None else plain(wanted.subject),
        "device": None if wanted.device is None else plain(wanted.device),
        "state": None if wanted.state is None else wanted.state.value,
        "live_at": None if wanted.live_at is None else millis(wanted.live_at),
        "expired_at": None if wanted.expired_at is None else millis(wanted.expired_at),
        "limit": wanted.limit,
    }


_ASKED: Final[dict[str, ColumnElement[bool]]] = {
    "kind": certificate.c.kind == bindparam("kind"),
    "group": certificate.c.group == bindparam("group"),
    "authority": certificate.c.authority == bindparam("authority"),
    "subject": certificate.c.subject == bindparam("subject"),
    "device": certificate.c.device == bindparam("device"),
    "state": certificate.c.state == bindparam("state"),
    "live_at": and_(certificate.c.state == literal_column("'issued'"), certificate.c.not_after > bindparam("live_at")),
    "expired_at": certificate.c.not_after <= bindparam("expired_at"),
}


@cache
def _listing(shape: _Shape) -> Statement:
    """Make the statement of a shape: to compile one takes PostgreSQL's driver longer than the database to answer it."""
    conditions = [condition for name, condition in _ASKED.items() if name in shape.asked]
    order: list[ColumnElement[object]] = [certificate.c.id.desc()]
    if shape.own:
        # Spelled out for the partial index: our own certificates are few among the devices'.
        conditions.append(certificate.c.kind != literal_column("'leaf'"))
    if shape.held:
        conditions.append(hold.c.certificate_id.is_not(None))
        order = [hold.c.certificate_id.desc()]
    elif shape.revoked:
        conditions.append(revocation.c.certificate_id.is_not(None))
        order = [revocation.c.certificate_id.desc()]
    elif shape.revoked is not None:
        conditions += [revocation.c.certificate_id.is_(None), hold.c.certificate_id.is_(None)]
    if "expired_at" in shape.asked and not shape.revoked:
        # From the index of ends: among a million that live the newest that expired lies far down.
        order = [certificate.c.not_after.desc(), certificate.c.id.desc()]
    return Statement(certificate_rows().where(*conditions).order_by(*order).limit(bindparam("limit")))


def read_certificate_row(row: Row) -> Certificate:
    """Make the value of a row of `certificate_rows`."""
    intent = CertificateIntent(
        id=UUID(bytes=row["id"]),
        kind=CertificateKind(row["kind"]),
        authority=row["authority"],
        key_id=UUID(bytes=row["key_id"]),
        serial=int.from_bytes(row["serial"], "big"),
        tbs=row["tbs"],
        group=row["group"],
        profile=row["profile"],
        profile_version=row["profile_version"],
        subject=row["subject"],
        names=read_names(row["names"]),
        device=row["device"],
        unverified=bool(row["unverified"]),
        key_sha256=row["key_sha256"],
        not_before=from_millis(row["not_before"]),
        not_after=from_millis(row["not_after"]),
        enrolment_id=id_or_none(row["enrolment_id"]),
        generation=row["generation"],
        lease_until=from_millis(row["lease_until"]),
        created_at=from_millis(row["created_at"]),
        shard=row["shard"],
        device_id=id_or_none(row["device_id"]),
        user_id=id_or_none(row["user_id"]),
    )
    return Certificate(
        intent=intent,
        state=CertificateState(row["state"]),
        der=row["der"],
        issued_at=time_or_none(row["issued_at"]),
        revocation=_read_revocation(row),
    )


def _read_revocation(row: Row) -> Revocation | None:
    if row["at"] is None:
        return None
    return Revocation(
        certificate_id=UUID(bytes=row["id"]),
        reason=RevocationReason(row["reason"]),
        cause=row["cause"],
        actor=row["actor"],
        at=from_millis(row["at"]),
        note=row["note"],
    )


def _read_hold(row: Row) -> Hold:
    return Hold(
        certificate_id=UUID(bytes=row["certificate_id"]),
        cause=row["cause"],
        actor=row["actor"],
        at=from_millis(row["at"]),
        note=row["note"],
        released=bool(row["released"]),
        ended_by=row["ended_by"],
        ended_at=time_or_none(row["ended_at"]),
        ended_note=row["ended_note"] or "",
    )


def certificate_columns(value: CertificateIntent) -> Columns:
    """Make the row of an intent; its to-be-signed octets go to `certificate_tbs`."""
    return {
        "id": value.id.bytes,
        "kind": value.kind.value,
        "authority": value.authority,
        "key_id": value.key_id.bytes,
        "serial": serial_octets(value.serial),
        "group": value.group,
        "profile": value.profile,
        "profile_version": value.profile_version,
        "subject": plain(value.subject),
        "names": names_text(value.names),
        "device": None if value.device is None else plain(value.device),
        "unverified": int(value.unverified),
        "key_sha256": value.key_sha256,
        "not_before": millis(value.not_before),
        "not_after": millis(value.not_after),
        "enrolment_id": None if value.enrolment_id is None else value.enrolment_id.bytes,
        "generation": value.generation,
        "lease_until": millis(value.lease_until),
        "created_at": millis(value.created_at),
        "shard": value.shard,
        "device_id": octets_or_none(value.device_id),
        "user_id": octets_or_none(value.user_id),
        "state": CertificateState.INTENT.value,
        "issued_at": None,
    }
