"""Revoking, holding and releasing a certificate, inside whatever transaction it belongs to (REV-1).

A certificate has one hold at a time, whoever wants it held. Where it follows from the state of a device and an
administrator wants it as well, or the other way round, it lasts until neither does: the administrator's share of a
hold that followed is a row of `certificate_cause` without a cause.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, literal_column, select, text, update

from regalia.errors import InvariantError
from regalia.model import Change, Hold, Revocation, RevocationReason, RevokedEntry, new_id
from regalia.ports.fleet import FOLLOWED
from regalia.store.session import Row, Statement, Transaction, inserting
from regalia.store.tables import OPEN, certificate, certificate_cause, hold, revocation
from regalia.store.values import from_millis, millis, plain
from regalia.wire.crl import encode_entry

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from regalia.store.session import Columns

__all__ = [
    "ADD_CAUSE",
    "ADMINISTRATOR",
    "END_CAUSE",
    "IS_OPEN",
    "cause_id",
    "follows",
    "record_hold",
    "record_release",
    "record_revocation",
]

# Spelled out for the partial index.
IS_OPEN = hold.c.ended_position == literal_column(str(OPEN))
"""A hold that lasts."""

ADMINISTRATOR = ""
"""In the place of a cause: an administrator holds it."""

_ADD_REVOCATION = inserting(revocation)
_TO_REVOKE = Statement(
    select(certificate.c.authority, certificate.c.shard, certificate.c.serial, certificate.c.not_after).where(
        certificate.c.id == bindparam("id")
    )
)
# The authority's counter is locked until the commit, so positions become visible in their order: a CRL snapshot that
# reads the counter sees every revocation up to it.
_NEXT_POSITION = Statement(
    text(
        "INSERT INTO authority_counter (authority, revocations, crl_number) VALUES (:authority, 1, 0)"
        " ON CONFLICT (authority) DO UPDATE SET revocations = authority_counter.revocations + 1 RETURNING revocations"
    )
)
_IS_REVOKED = Statement(select(revocation.c.at).where(revocation.c.certificate_id == bindparam("id")))
_ADD_HOLD = inserting(hold, leaving_out=("ended_position", "released", "ended_by", "ended_at", "ended_note"))
_RELEASE = Statement(
    update(hold)
    .where(hold.c.certificate_id == bindparam("which"), IS_OPEN)
    .values(
        ended_position=bindparam("ended"),
        released=literal_column("1"),
        ended_by=bindparam("by"),
        ended_at=bindparam("until"),
        ended_note=bindparam("why"),
    )
)
_OPEN_HOLD = Statement(select(hold.c.cause).where(hold.c.certificate_id == bindparam("id"), IS_OPEN))

ADD_CAUSE = inserting(certificate_cause, leaving_out=("ended_at",))
END_CAUSE = Statement(
    update(certificate_cause)
    .where(
        certificate_cause.c.certificate_id == bindparam("which"),
        certificate_cause.c.cause == bindparam("what"),
        certificate_cause.c.ended_at.is_(None),
    )
    .values(ended_at=bindparam("until"))
)
_OPEN_CAUSES = Statement(
    select(certificate_cause.c.cause).where(
        certificate_cause.c.certificate_id == bindparam("id"), certificate_cause.c.ended_at.is_(None)
    )
)


def record_revocation(transaction: Transaction, value: Revocation) -> bool:
    """Write a revocation, count it and tell other processes; False where there is no such certificate.

    Raises `ConflictError` where it is revoked already.
    """
    row = transaction.row(_TO_REVOKE, {"id": value.certificate_id.bytes})
    if row is None:
        return False
    columns = _end_columns(row, value, _next_position(transaction, row), value.reason)
    # A hold that lasts is ended by the database itself.
    transaction.run(_ADD_REVOCATION, columns | {"reason": int(value.reason)})
    _notify(transaction, row)
    return True


def record_hold(transaction: Transaction, value: Hold) -> bool:
    """Write a hold; an administrator's beside one that followed becomes a share of it.

    False where there is no such certificate, or where it is revoked or held already.
    """
    which: Columns = {"id": value.certificate_id.bytes}
    row = transaction.row(_TO_REVOKE, which)
    if row is None:
        return False
    # The counter is the lock: nobody revokes or holds meanwhile.
    position = _next_position(transaction, row)
    if transaction.row(_IS_REVOKED, which) is not None:
        return False
    before = transaction.row(_OPEN_HOLD, which)
    if before is None:
        transaction.run(_ADD_HOLD, _end_columns(row, value, position, RevocationReason.CERTIFICATE_HOLD))
        _notify(transaction, row)
        return True
    if before["cause"] not in FOLLOWED or value.cause in FOLLOWED:
        return False
    if ADMINISTRATOR in follows(transaction, value.certificate_id):
        return False
    at = millis(value.at)
    share: Columns = {"certificate_id": value.certificate_id.bytes, "cause": ADMINISTRATOR, "since": at, "kept_at": at}
    transaction.run(ADD_CAUSE, {**share, "id": cause_id(at), "why": plain(value.note)})
    return True


def record_release(
    transaction: Transaction, certificate_id: UUID, at: datetime, by: str, note: str, *, followed: bool = False
) -> bool:
    """End a hold; an administrator's share alone where it follows from something as well.

    False where it is not on hold and, where the release follows (`followed`), where an administrator wants it held.
    """
    row = transaction.row(_TO_REVOKE, {"id": certificate_id.bytes})
    if row is None:
        return False
    position = _next_position(transaction, row)
    before = transaction.row(_OPEN_HOLD, {"id": certificate_id.bytes})
    if before is None:
        return False
    kept = follows(transaction, certificate_id)
    if followed and (before["cause"] not in FOLLOWED or ADMINISTRATOR in kept):
        return False
    if ADMINISTRATOR in kept:
        transaction.run(END_CAUSE, {"which": certificate_id.bytes, "what": ADMINISTRATOR, "until": millis(at)})
        if kept != {ADMINISTRATOR}:
            return True
    values: Columns = {"ended": position, "by": plain(by), "until": millis(at), "why": plain(note)}
    transaction.run(_RELEASE, values | {"which": certificate_id.bytes})
    _notify(transaction, row)
    return True


def follows(transaction: Transaction, certificate_id: UUID) -> frozenset[str]:
    """Return the causes beside a certificate that hold."""
    return frozenset(row["cause"] for row in transaction.rows(_OPEN_CAUSES, {"id": certificate_id.bytes}))


def cause_id(at: int) -> bytes:
    """Make the id of a row that nobody names."""
    return new_id(from_millis(at), secrets.token_bytes(10)).bytes


def _next_position(transaction: Transaction, row: Row) -> int:
    counter = transaction.row(_NEXT_POSITION, {"authority": row["authority"]})
    if counter is None:
        raise InvariantError(f"authority {row['authority']} does not count")
    return int(counter["revocations"])


def _end_columns(row: Row, value: Revocation | Hold, position: int, reason: RevocationReason) -> Columns:
    """Make what a revocation and a hold have in common; what a CRL will say is written down at once."""
    at = millis(value.at)
    return {
        "certificate_id": value.certificate_id.bytes,
        "authority": row["authority"],
        "shard": row["shard"],
        "serial": row["serial"],
        "not_after": row["not_after"],
        "position": position,
        "entry": encode_entry(RevokedEntry(row["serial"], at, reason)),
        "cause": value.cause,
        "actor": plain(value.actor),
        "at": at,
        "note": plain(value.note),
    }


def _notify(transaction: Transaction, row: Row) -> None:
    serial = int.from_bytes(row["serial"], "big")
    transaction.notify(Change("revocation", f"{row['authority']}/{serial:x}"))
