"""Records of users: rows ⇄ values."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from regalia.model.fleet import User, UserState
from regalia.store.fleet_records import Keys, Records, folded, record_text
from regalia.store.session import Noun
from regalia.store.tables import fleet_user, fleet_user_key
from regalia.store.values import from_millis, millis, plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from regalia.model import EventDraft
    from regalia.ports import Listed
    from regalia.ports.fleet import UserFilter
    from regalia.store.session import Columns, Row, Transaction

__all__ = ["SqlFleetUsers"]

_FLAGS: Final = ("enabled", "licensed", "risk")


class SqlFleetUsers(Noun):
    """See `ports.fleet.Users`, and `ports.fleet.Sweeps` for whom a sweep did not see."""

    def user(self, user_id: UUID) -> User | None:
        """Find by our id."""
        return _RECORDS.one(self._database, user_id)

    def users(self, user_ids: Sequence[UUID]) -> Mapping[UUID, User]:
        """Find several at once."""
        return _RECORDS.several(self._database, user_ids)

    def users_of(self, connector: str, external_ids: Sequence[str]) -> Mapping[str, User]:
        """Find several at once by their system's ids."""
        return _RECORDS.several_named(self._database, connector, external_ids)

    def user_of(self, connector: str, external_id: str) -> User | None:
        """Find by its system's id."""
        return _RECORDS.named(self._database, connector, external_id)

    def users_by(self, connector: str, kind: str, value: str) -> tuple[User, ...]:
        """Find by `upn`, `email`, `sid` or `sam`."""
        return _RECORDS.by_key(self._database, connector, kind, value)

    def user_page(self, wanted: UserFilter) -> Listed[User]:
        """Find one page, by name."""
        where: dict[str, str] = {}
        values: Columns = {}
        if wanted.connector is not None:
            where["connector"], values["connector"] = "c.connector = :connector", plain(wanted.connector)
        if wanted.present is not None:
            where["present"], values["present"] = "c.present = :present", int(wanted.present)
        return _RECORDS.page(
            self._database, where, values, search=wanted.search, limit=wanted.limit, after=wanted.after
        )

    def put_users(self, users: Sequence[tuple[User | None, User]], events: Sequence[EventDraft]) -> bool:
        """Add and change; False, and nothing done, where one has changed."""

        def unit(transaction: Transaction) -> None:
            _RECORDS.put(transaction, users, events)
            transaction.record(events)

        return self._won(unit)

    def unseen_users(self, connector: str, since: datetime, after: UUID | None, limit: int) -> tuple[User, ...]:
        """Return those that are present and that nothing was said of since then."""
        return _RECORDS.unseen(self._database, connector, since, after, limit)


def _keys(value: User) -> Keys:
    one = (("upn", value.upn), ("sid", value.sid), ("sam", value.sam_account))
    return frozenset((kind, text) for kind, text in one if text is not None) | {("email", each) for each in value.email}


def _columns(value: User) -> Columns:
    return {
        "id": value.id.bytes,
        "connector": value.connector,
        "external_id": value.external_id,
        "name": plain(value.name),
        "folded": folded(value.name),
        "present": int(value.state.present),
        "facts": record_text(_facts(value)),
        "evidence": record_text(value.evidence),
        "state_since": millis(value.state_since),
        "first_seen_at": millis(value.first_seen_at),
        "seen_at": millis(value.seen_at),
        "missed_sweeps": value.missed_sweeps,
    }


def _facts(value: User) -> dict[str, object]:
    """What is known; what nobody said is left out."""
    facts: dict[str, object] = {name: getattr(value.state, name) for name in _FLAGS}
    facts |= {
        "upn": value.upn,
        "sid": value.sid,
        "sam_account": value.sam_account,
        "email": list(value.email) or None,
        "memberships": sorted(value.memberships) or None,
        "memberships_known": value.memberships_known or None,
    }
    return {name: fact for name, fact in facts.items() if fact is not None}


def _read(row: Row) -> User:
    facts: dict[str, Any] = json.loads(row["facts"])
    return User(
        id=UUID(bytes=row["id"]),
        connector=row["connector"],
        external_id=row["external_id"],
        name=row["name"],
        upn=facts.get("upn"),
        state=UserState(present=bool(row["present"]), **{name: facts.get(name) for name in _FLAGS}),
        state_since=from_millis(row["state_since"]),
        first_seen_at=from_millis(row["first_seen_at"]),
        seen_at=from_millis(row["seen_at"]),
        email=tuple(facts.get("email", ())),
        sid=facts.get("sid"),
        sam_account=facts.get("sam_account"),
        memberships=frozenset(facts.get("memberships", ())),
        memberships_known=facts.get("memberships_known", False),
        evidence=json.loads(row["evidence"]),
        missed_sweeps=row["missed_sweeps"],
    )


_RECORDS: Final = Records(fleet_user, fleet_user_key, _columns, _read, _keys)
