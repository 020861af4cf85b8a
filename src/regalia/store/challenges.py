"""Challenges, one-time and static: rows ⇄ values."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import bindparam, literal_column, select, update

from regalia.model import Challenge
from regalia.store.session import LostError, Noun, Row, Statement, Transaction, inserting
from regalia.store.tables import challenge
from regalia.store.values import from_millis, id_or_none, millis, names_text, optional_millis, read_names, time_or_none

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from regalia.model import EventDraft
    from regalia.store.session import Columns

__all__ = ["ADD_CHALLENGE", "BY_MAC", "CONSUME", "SqlChallenges", "challenge_columns", "read_challenge_row"]

BY_MAC = Statement(select(challenge).where(challenge.c.mac == bindparam("mac")))
_BY_ID = Statement(select(challenge).where(challenge.c.id == bindparam("id")))
_ALL = Statement(select(challenge).order_by(challenge.c.id.desc()))
_OF_ENDPOINT = Statement(
    select(challenge).where(challenge.c.endpoint == bindparam("endpoint")).order_by(challenge.c.id.desc())
)
ADD_CHALLENGE = inserting(challenge)
_REVOKE = Statement(
    update(challenge)
    .where(
        challenge.c.id == bindparam("which"),
        challenge.c.consumed_at.is_(None),
        challenge.c.revoked_at.is_(None),
    )
    .values(revoked_at=bindparam("at"))
)
CONSUME = Statement(
    update(challenge)
    .where(
        challenge.c.id == bindparam("which"),
        challenge.c.consumed_at.is_(None),
        challenge.c.revoked_at.is_(None),
        challenge.c.expires_at > bindparam("at"),
        challenge.c.reusable == literal_column("0"),
    )
    .values(
        consumed_at=bindparam("at"),
        consumed_by=bindparam("by"),
        consumed_key=bindparam("key"),
        consumed_source=bindparam("source"),
    )
)
"""Use up an open challenge; no row is changed where it is not open any more, or is a static one (ISS-4, CHA-2)."""

_GOOD_STATIC = Statement(
    select(challenge.c.id, challenge.c.expires_at)
    .where(
        challenge.c.endpoint == bindparam("endpoint"),
        challenge.c.reusable == literal_column("1"),
        challenge.c.revoked_at.is_(None),
        challenge.c.expires_at > bindparam("at"),
    )
    # By how long they last: the one in use has no end yet, whatever a clock that was set back says of its age.
    .order_by(challenge.c.expires_at.desc(), challenge.c.id.desc())
)
_SHORTEN = Statement(
    update(challenge).where(challenge.c.id == bindparam("which")).values(expires_at=bindparam("until"))
)


class SqlChallenges(Noun):
    """See `ports.Challenges`."""

    def challenge(self, mac: bytes) -> Challenge | None:
        """Find by keyed hash."""
        row = self._database.row(BY_MAC, {"mac": mac})
        return None if row is None else read_challenge_row(row)

    def challenge_by_id(self, challenge_id: UUID) -> Challenge | None:
        """Find by id."""
        row = self._database.row(_BY_ID, {"id": challenge_id.bytes})
        return None if row is None else read_challenge_row(row)

    def challenges(self, endpoint: str | None = None) -> tuple[Challenge, ...]:
        """Return all, or those of one endpoint, newest first."""
        if endpoint is None:
            rows = self._database.rows(_ALL, {})
        else:
            rows = self._database.rows(_OF_ENDPOINT, {"endpoint": endpoint})
        return tuple(read_challenge_row(row) for row in rows)

    def add_challenge(self, challenge: Challenge, events: Sequence[EventDraft]) -> None:
        """Keep a new challenge."""
        columns = challenge_columns(challenge)

        def unit(transaction: Transaction) -> None:
            transaction.run(ADD_CHALLENGE, columns)
            transaction.record(events)

        self._database.write(unit)

    def rotate_challenge(self, challenge: Challenge, until: datetime, events: Sequence[EventDraft]) -> None:
        """Keep a new static challenge of its endpoint; of those that are good the one in use ends at `until`.

        The others are revoked; so is that one where `until` is now: an expiry would come back with a clock set back.
        """
        columns = challenge_columns(challenge)
        at, last = millis(challenge.created_at), millis(until)

        def unit(transaction: Transaction) -> None:
            # Two that rotate at once take turns: the second one meets the first one's.
            transaction.one_at_a_time(b"rotation\0" + challenge.endpoint.encode())
            good = transaction.rows(_GOOD_STATIC, {"endpoint": challenge.endpoint, "at": at})
            kept = 1 if last > at else 0
            for row in good[:kept]:
                transaction.run(_SHORTEN, {"which": row["id"], "until": min(row["expires_at"], last)})
            for row in good[kept:]:
                transaction.run(_REVOKE, {"which": row["id"], "at": at})
            transaction.run(ADD_CHALLENGE, columns)
            transaction.record(events)

        self._database.write(unit)

    def revoke_challenge(self, challenge_id: UUID, at: datetime, events: Sequence[EventDraft]) -> bool:
        """Return False where it is unknown, used or revoked already."""

        def unit(transaction: Transaction) -> None:
            if not transaction.run(_REVOKE, {"which": challenge_id.bytes, "at": millis(at)}):
                raise LostError
            transaction.record(events)

        return self._won(unit)


def read_challenge_row(row: Row) -> Challenge:
    """Make the value of a row."""
    return Challenge(
        id=UUID(bytes=row["id"]),
        endpoint=row["endpoint"],
        mac=row["mac"],
        binding=read_names(row["binding"]),
        device=row["device"],
        created_at=from_millis(row["created_at"]),
        created_by=row["created_by"],
        expires_at=from_millis(row["expires_at"]),
        revoked_at=time_or_none(row["revoked_at"]),
        consumed_at=time_or_none(row["consumed_at"]),
        consumed_by=id_or_none(row["consumed_by"]),
        consumed_key=row["consumed_key"],
        consumed_source=row["consumed_source"],
        reusable=bool(row["reusable"]),
    )


def challenge_columns(value: Challenge) -> Columns:
    """Make the row of a value."""
    return {
        "id": value.id.bytes,
        "endpoint": value.endpoint,
        "mac": value.mac,
        "binding": names_text(value.binding),
        "device": value.device,
        "created_at": millis(value.created_at),
        "created_by": value.created_by,
        "expires_at": millis(value.expires_at),
        "revoked_at": optional_millis(value.revoked_at),
        "consumed_at": optional_millis(value.consumed_at),
        "consumed_by": None if value.consumed_by is None else value.consumed_by.bytes,
        "consumed_key": value.consumed_key,
        "consumed_source": value.consumed_source,
        "reusable": int(value.reusable),
    }
