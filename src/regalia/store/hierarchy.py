"""Requests of authorities to be, and authorities and CRLs that were made elsewhere: rows ⇄ values."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import bindparam, delete, insert, select, text, update

from regalia.errors import InvariantError
from regalia.model import (
    NO_NAMES,
    AuthorityRequest,
    CertificateIntent,
    CertificateKind,
    Change,
    KeyKind,
    Revocation,
    RevocationReason,
    new_id,
)
from regalia.store.authorities import ADD_AUTHORITY, authority_columns
from regalia.store.certificates import ADD_CERTIFICATE, ADD_TBS, certificate_columns
from regalia.store.ends import record_revocation
from regalia.store.session import LostError, Noun, Row, Statement, Transaction, inserting
from regalia.store.tables import (
    authority,
    authority_request,
    certificate,
    certificate_der,
    crl,
    crl_chunk,
)
from regalia.store.values import from_millis, millis, storable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from regalia.model import Authority, CrlRecord, EventDraft, RevokedEntry
    from regalia.ports import Adopted
    from regalia.store.session import Columns

__all__ = ["REQUEST_INTENT", "SqlHierarchies"]

_CHUNK_OCTETS = 256 * 1024

_ONE = Statement(select(authority_request).where(authority_request.c.name == bindparam("name")))
_ALL = Statement(select(authority_request).order_by(authority_request.c.created_at, authority_request.c.name))
_ADD = inserting(authority_request)
_TAKEN = Statement(select(authority.c.name).where(authority.c.name == bindparam("name")))
_SIGN = Statement(
    update(authority_request)
    .where(authority_request.c.id == bindparam("which"), authority_request.c.csr.is_(None))
    .values(csr=bindparam("signed"))
)
_DROP = Statement(delete(authority_request).where(authority_request.c.name == bindparam("name")))
REQUEST_INTENT = Statement(
    select(authority_request.c.key_id, authority_request.c.info).where(
        authority_request.c.id == bindparam("which"), authority_request.c.csr.is_(None)
    )
)
"""What a signer may read of a request: while it is not signed."""

_ADD_DER = inserting(certificate_der)
_SERIAL_TAKEN = Statement(
    select(certificate.c.id).where(
        certificate.c.authority == bindparam("authority"), certificate.c.serial == bindparam("serial")
    )
)
_ISSUED = Statement(
    update(certificate)
    .where(certificate.c.id == bindparam("which"))
    .values(state=bindparam("new_state"), issued_at=bindparam("at"))
)
# The row of REV-2's lock. The number never falls, and the snapshot is the one of this moment.
_RAISE_NUMBER = Statement(
    text(
        "INSERT INTO authority_counter (authority, revocations, crl_number) VALUES (:authority, 0, :number)"
        " ON CONFLICT (authority) DO UPDATE SET crl_number ="
        " CASE WHEN authority_counter.crl_number < excluded.crl_number THEN excluded.crl_number"
        " ELSE authority_counter.crl_number END"
        " RETURNING crl_number, revocations"
    )
)
_NOT_OLDER = Statement(
    select(crl.c.id)
    .where(
        crl.c.authority == bindparam("authority"),
        crl.c.number >= bindparam("number"),
        crl.c.published_at.is_not(None),
    )
    .limit(1)
)
_PUBLISHED = (
    *("id", "authority", "number", "snapshot", "reserved_at", "this_update", "next_update", "entries", "created_at"),
    *("sha256", "published_at"),
)
_ADD_CRL = Statement(insert(crl).values({name: bindparam(name) for name in _PUBLISHED}).inline())
_FORGET_CHUNKS = Statement(
    delete(crl_chunk).where(crl_chunk.c.crl_id.in_(select(crl.c.id).where(crl.c.authority == bindparam("authority"))))
)
_ADD_CHUNK = inserting(crl_chunk)


class SqlHierarchies(Noun):
    """See `ports.Hierarchies`."""

    def authority_request(self, name: str) -> AuthorityRequest | None:
        """Return one request."""
        row = self._database.row(_ONE, {"name": name}) if storable(name) else None
        return None if row is None else _read(row)

    def authority_requests(self) -> tuple[AuthorityRequest, ...]:
        """Return all, oldest first."""
        return tuple(_read(row) for row in self._database.rows(_ALL, {}))

    def add_authority_request(self, request: AuthorityRequest, events: Sequence[EventDraft]) -> bool:
        """Return False where an authority or a request has its name."""

        def unit(transaction: Transaction) -> None:
            if transaction.row(_TAKEN, {"name": request.name}) is not None:
                raise LostError
            transaction.run(_ADD, _columns(request))

        return self._change_catalogue(events, f"request:{request.name}", unit)

    def sign_authority_request(self, request_id: UUID, csr: bytes, events: Sequence[EventDraft]) -> bool:
        """Return False where it is signed already, or unknown."""

        def unit(transaction: Transaction) -> None:
            if not transaction.run(_SIGN, {"which": request_id.bytes, "signed": csr}):
                raise LostError
            transaction.record(events)

        return self._won(unit)

    def drop_authority_request(self, name: str, events: Sequence[EventDraft]) -> bool:
        """Return False where there is none."""

        def unit(transaction: Transaction) -> None:
            if not transaction.run(_DROP, {"name": name}):
                raise LostError
            transaction.record(events)

        return self._won(unit)

    def adopt_authority(self, adopted: Adopted, der: bytes, events: Sequence[EventDraft]) -> bool:
        """Keep authority, certificate and what it had revoked, in one transaction."""
        made = adopted.authority

        def unit(transaction: Transaction) -> None:
            transaction.run(_DROP, {"name": made.name})
            transaction.run(ADD_AUTHORITY, authority_columns(made))
            _add_certificate(transaction, adopted.certificate, der)
            if adopted.crl_number:
                transaction.row(_RAISE_NUMBER, {"authority": made.name, "number": adopted.crl_number})
            for entry in adopted.revoked:
                _add_revoked(transaction, made, adopted.certificate.not_after, entry)

        return self._change_catalogue(events, f"authority:{made.name}", unit)

    def keep_certificate(self, intent: CertificateIntent, der: bytes, events: Sequence[EventDraft]) -> bool:
        """Return False where its issuer has another certificate of this serial."""

        def unit(transaction: Transaction) -> None:
            _add_certificate(transaction, intent, der)
            transaction.record(events)

        return self._won(unit)

    def keep_revoked(
        self, authority: Authority, until: datetime, entries: Sequence[RevokedEntry], events: Sequence[EventDraft]
    ) -> int:
        """Return how many had no row."""

        def unit(transaction: Transaction) -> int:
            added = sum(_add_revoked(transaction, authority, until, entry) for entry in entries)
            transaction.record(events)
            return added

        return self._database.write(unit)

    def import_crl(self, crl_id: UUID, record: CrlRecord, octets: bytes, events: Sequence[EventDraft]) -> bool:
        """Publish it, unless one of the same or a higher number is published."""

        def unit(transaction: Transaction) -> None:
            which: Columns = {"authority": record.authority, "number": record.number}
            counter = transaction.row(_RAISE_NUMBER, which)
            if counter is None:
                raise InvariantError(f"authority {record.authority} does not count")
            if transaction.row(_NOT_OLDER, which) is not None:
                raise LostError
            transaction.run(_FORGET_CHUNKS, {"authority": record.authority})
            transaction.run(_ADD_CRL, _crl_columns(crl_id, record, counter["revocations"]))
            for position, start in enumerate(range(0, len(octets), _CHUNK_OCTETS)):
                piece = octets[start : start + _CHUNK_OCTETS]
                transaction.run(_ADD_CHUNK, {"crl_id": crl_id.bytes, "position": position, "octets": piece})
            transaction.record(events)
            transaction.notify(Change("crl", record.authority))

        return self._won(unit)


def _add_certificate(transaction: Transaction, intent: CertificateIntent, der: bytes) -> None:
    transaction.run(ADD_CERTIFICATE, certificate_columns(intent))
    transaction.run(ADD_TBS, {"certificate_id": intent.id.bytes, "tbs": intent.tbs})
    transaction.run(_ADD_DER, {"certificate_id": intent.id.bytes, "der": der})
    _settle(transaction, intent, "issued")


def _settle(transaction: Transaction, intent: CertificateIntent, state: str) -> None:
    at = millis(intent.created_at) if state == "issued" else None
    transaction.run(_ISSUED, {"which": intent.id.bytes, "new_state": state, "at": at})


def _add_revoked(transaction: Transaction, issuer: Authority, until: datetime, entry: RevokedEntry) -> bool:
    """Give a revoked serial that nobody here issued a row of its own: OCSP, CRL and `cert show` read it there."""
    columns: Columns = {"authority": issuer.name, "serial": entry.serial}
    if transaction.row(_SERIAL_TAKEN, columns) is not None:
        return False
    at = from_millis(entry.at)
    serial = int.from_bytes(entry.serial, "big")
    intent = CertificateIntent(
        # Made of issuer and serial: a store has no randomness of its own, and what runs again makes the same row.
        id=new_id(issuer.created_at, hashlib.sha256(issuer.certificate_id.bytes + entry.serial).digest()[:10]),
        kind=CertificateKind.LEAF,
        authority=issuer.name,
        key_id=issuer.key_id,
        serial=serial,
        tbs=b"",
        group=issuer.group,
        profile=None,
        profile_version=None,
        subject="",
        names=NO_NAMES,
        device=None,
        unverified=True,
        key_sha256=bytes(32),
        not_before=at,
        not_after=until,
        enrolment_id=None,
        generation=0,
        lease_until=issuer.created_at,
        created_at=issuer.created_at,
    )
    transaction.run(ADD_CERTIFICATE, certificate_columns(intent))
    transaction.run(ADD_TBS, {"certificate_id": intent.id.bytes, "tbs": b""})
    _settle(transaction, intent, "abandoned")
    reason = RevocationReason(entry.reason)
    if reason is RevocationReason.CERTIFICATE_HOLD:
        # Its row here is no certificate that could be good again: what was suspended elsewhere stays out.
        reason = RevocationReason.UNSPECIFIED
    revocation = Revocation(intent.id, reason, "imported", "system", at, "from a CRL that its issuer had published")
    return record_revocation(transaction, revocation)


def _read(row: Row) -> AuthorityRequest:
    return AuthorityRequest(
        id=UUID(bytes=row["id"]),
        name=row["name"],
        group=row["group"],
        parent=row["parent"],
        key_id=UUID(bytes=row["key_id"]),
        key_kind=KeyKind(row["key_kind"]),
        info=row["info"],
        csr=row["csr"],
        created_at=from_millis(row["created_at"]),
    )


def _columns(value: AuthorityRequest) -> Columns:
    return {
        "name": value.name,
        "id": value.id.bytes,
        "group": value.group,
        "parent": value.parent,
        "key_id": value.key_id.bytes,
        "key_kind": value.key_kind.value,
        "info": value.info,
        "csr": value.csr,
        "created_at": millis(value.created_at),
    }


def _crl_columns(crl_id: UUID, record: CrlRecord, snapshot: int) -> Columns:
    at = millis(record.published_at)
    return {
        "id": crl_id.bytes,
        "authority": record.authority,
        "number": record.number,
        "snapshot": snapshot,
        "reserved_at": at,
        "this_update": millis(record.this_update),
        "next_update": millis(record.next_update),
        "entries": record.entries,
        "created_at": at,
        "sha256": record.sha256,
        "published_at": at,
    }
