"""Groups, profiles, endpoints, and the door made of them: rows ⇄ values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, func, select, update

from regalia.ca.profile import read_profile
from regalia.ca.profile_safety import EVERYTHING
from regalia.errors import InvariantError
from regalia.model import Authoriser, AuthorityKind, AuthorityState, Door, Endpoint, Group, Profile
from regalia.store.authorities import read_authority, read_credential
from regalia.store.session import LostError, Noun, Row, Statement, Transaction, inserting
from regalia.store.tables import authority, credential, endpoint, group, profile
from regalia.store.values import from_millis, millis, optional_millis, plain, storable, time_or_none

if TYPE_CHECKING:
    from collections.abc import Sequence

    from regalia.model import Authority, EventDraft
    from regalia.store.session import Columns

__all__ = ["SqlCatalogue"]

_GROUP = Statement(select(group).where(group.c.name == bindparam("name")))
_GROUPS = Statement(select(group).order_by(group.c.created_at, group.c.name))
_ADD_GROUP = inserting(group)
_SET_FOLLOW = Statement(update(group).where(group.c.name == bindparam("which")).values(follow=bindparam("rules")))

_PROFILE = Statement(
    select(profile).where(profile.c.name == bindparam("name"), profile.c.version == bindparam("version"))
)
_NEWEST_PROFILE = Statement(
    select(profile).where(profile.c.name == bindparam("name")).order_by(profile.c.version.desc()).limit(1)
)
_newest = select(profile.c.name, func.max(profile.c.version).label("version")).group_by(profile.c.name).subquery()
_PROFILES = Statement(
    select(profile)
    .join(_newest, (profile.c.name == _newest.c.name) & (profile.c.version == _newest.c.version))
    .order_by(profile.c.name)
)
_ADD_PROFILE = inserting(profile)

_ENDPOINT = Statement(select(endpoint).where(endpoint.c.name == bindparam("name")))
_ENDPOINTS = Statement(select(endpoint).order_by(endpoint.c.created_at, endpoint.c.name))
_ADD_ENDPOINT = inserting(endpoint)
_DISABLE = Statement(
    update(endpoint)
    .where(endpoint.c.name == bindparam("which"), endpoint.c.enabled == 1)
    .values(enabled=bindparam("switch"))
)
_CHANGE_ENDPOINT = Statement(
    update(endpoint)
    .where(
        endpoint.c.name == bindparam("which"),
        endpoint.c.enabled == bindparam("was_enabled"),
        endpoint.c.authoriser == bindparam("was_authoriser"),
        func.coalesce(endpoint.c.connector, "") == bindparam("was_connector"),
    )
    .values(authoriser=bindparam("new_authoriser"), connector=bindparam("new_connector"))
)
"""Nothing else of an endpoint ever changes."""

_AUTHORITY = Statement(select(authority).where(authority.c.name == bindparam("name")))
_OF_GROUP = Statement(
    select(authority)
    .where(authority.c.group == bindparam("group"))
    .order_by(authority.c.created_at.desc(), authority.c.name)
)
_RA_CREDENTIALS = Statement(
    select(credential)
    .where(credential.c.group == bindparam("group"), credential.c.purpose == "ra", credential.c.ended_at.is_(None))
    .order_by(credential.c.id.desc())
)

_SERVING = frozenset({AuthorityState.ACTIVE, AuthorityState.RETIRING})
_CHAIN_LIMIT = 8
"""Longer than any chain that is accepted; a loop in the database must not be one here (RES-4)."""


class SqlCatalogue(Noun):
    """See `ports.Catalogue`."""

    def group(self, name: str) -> Group | None:
        """Return one group."""
        row = self._database.row(_GROUP, {"name": name}) if storable(name) else None
        return None if row is None else _read_group(row)

    def groups(self) -> tuple[Group, ...]:
        """Return all, in the order of their creation."""
        return tuple(_read_group(row) for row in self._database.rows(_GROUPS, {}))

    def add_group(self, group: Group, events: Sequence[EventDraft]) -> bool:
        """Return False where the name is taken."""
        columns: Columns = {
            "name": group.name,
            "authority": group.authority,
            "debug": int(group.debug),
            "created_at": millis(group.created_at),
            "suspended_at": optional_millis(group.suspended_at),
            "suspended_why": plain(group.suspended_why),
            "follow": group.follow,
        }
        return self._add_to_catalogue(events, f"group:{group.name}", _ADD_GROUP, columns)

    def set_follow(self, group: str, follow: str, events: Sequence[EventDraft]) -> bool:
        """Return False where there is no such group."""

        def unit(transaction: Transaction) -> None:
            if not transaction.run(_SET_FOLLOW, {"which": group, "rules": follow}):
                raise LostError

        return self._change_catalogue(events, f"group:{group}", unit)

    def profile(self, name: str, version: int | None = None) -> Profile | None:
        """Return one version, or the newest."""
        if not storable(name):
            return None
        if version is None:
            row = self._database.row(_NEWEST_PROFILE, {"name": name})
        else:
            row = self._database.row(_PROFILE, {"name": name, "version": version})
        return None if row is None else _read_profile(row)

    def profiles(self) -> tuple[Profile, ...]:
        """Return the newest version of each, by name."""
        return tuple(_read_profile(row) for row in self._database.rows(_PROFILES, {}))

    def add_profile(self, profile: Profile, events: Sequence[EventDraft]) -> bool:
        """Return False where this version exists already (two administrators raced)."""
        columns: Columns = {
            "name": profile.name,
            "version": profile.version,
            "group": profile.group,
            "document": profile.document,
            "created_at": millis(profile.created_at),
        }
        return self._add_to_catalogue(events, f"profile:{profile.name}", _ADD_PROFILE, columns)

    def endpoint(self, name: str) -> Endpoint | None:
        """Return one endpoint."""
        row = self._database.row(_ENDPOINT, {"name": name}) if storable(name) else None
        return None if row is None else _read_endpoint(row)

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return all, in the order of their creation."""
        return tuple(_read_endpoint(row) for row in self._database.rows(_ENDPOINTS, {}))

    def add_endpoint(self, endpoint: Endpoint, events: Sequence[EventDraft]) -> bool:
        """Return False where the name is taken."""
        columns: Columns = {
            "name": endpoint.name,
            "group": endpoint.group,
            "protocol": endpoint.protocol,
            "profile": endpoint.profile,
            "authoriser": str(endpoint.authoriser),
            "enabled": int(endpoint.enabled),
            "include_root": int(endpoint.include_root),
            "check_signing_time": int(endpoint.check_signing_time),
            "created_at": millis(endpoint.created_at),
            "legacy": int(endpoint.legacy),
            "non_rsa": int(endpoint.non_rsa),
            "connector": endpoint.connector,
        }
        return self._add_to_catalogue(events, f"endpoint:{endpoint.name}", _ADD_ENDPOINT, columns)

    def change_endpoint(self, before: Endpoint, after: Endpoint, events: Sequence[EventDraft]) -> bool:
        """Return False where it is not `before` any more."""
        values: Columns = {
            "which": before.name,
            "was_enabled": int(before.enabled),
            "was_authoriser": str(before.authoriser),
            "was_connector": before.connector or "",
            "new_authoriser": str(after.authoriser),
            "new_connector": after.connector,
        }

        def unit(transaction: Transaction) -> None:
            if not transaction.run(_CHANGE_ENDPOINT, values):
                raise LostError

        return self._change_catalogue(events, f"endpoint:{before.name}", unit)

    def disable_endpoint(self, name: str, events: Sequence[EventDraft]) -> bool:
        """Return False where it is unknown or disabled already."""

        def unit(transaction: Transaction) -> None:
            if not transaction.run(_DISABLE, {"which": name, "switch": 0}):
                raise LostError

        return self._change_catalogue(events, f"endpoint:{name}", unit)

    def door(self, endpoint: str) -> Door | None:
        """Return one consistent view of an endpoint; from memory until the catalogue changes.

        None also where its group has no authority or no RA credential yet: such a door does not open.
        """
        return self._remembered.get(f"door {endpoint}", lambda: self._load_door(endpoint))

    def _load_door(self, name: str) -> Door | None:
        return self._database.read(lambda transaction: _door(transaction, name)) if storable(name) else None


def _door(transaction: Transaction, name: str) -> Door | None:
    endpoint_row = transaction.row(_ENDPOINT, {"name": name})
    if endpoint_row is None:
        return None
    group_row = transaction.row(_GROUP, {"name": endpoint_row["group"]})
    profile_row = transaction.row(_NEWEST_PROFILE, {"name": endpoint_row["profile"]})
    if group_row is None or profile_row is None:
        raise InvariantError(f"endpoint {name} without its group or profile")
    of_group = {row["name"]: row for row in transaction.rows(_OF_GROUP, {"group": group_row["name"]})}
    authority_row = of_group.get(group_row["authority"])
    above = _above(transaction, authority_row)
    if authority_row is None or not above or above[-1].kind is not AuthorityKind.ROOT:
        return None
    credentials = transaction.rows(_RA_CREDENTIALS, {"group": group_row["name"]})
    current = _newest_of(credentials, authority_row)
    if current is None:
        return None
    following = next((row for row in of_group.values() if row["state"] == AuthorityState.NEXT), None)
    successor_ra = _newest_of(credentials, following)
    # A revoked authority vouches for no RA: whoever holds its key may have made the one that a device encrypts to.
    serving = {name for name, row in of_group.items() if row["state"] in _SERVING}
    former = [row for row in credentials if row is not current and row["authority"] in serving]
    return Door(
        endpoint=_read_endpoint(endpoint_row),
        group=_read_group(group_row),
        profile=_read_profile(profile_row),
        authority=read_authority(authority_row),
        root=above[-1],
        ra=read_credential(current),
        former_ras=tuple(read_credential(row) for row in former),
        between=above[:-1],
        former=tuple(read_authority(row) for row in of_group.values() if row["state"] == AuthorityState.RETIRING),
        successor=read_authority(following) if following is not None and successor_ra is not None else None,
        successor_ra=read_credential(successor_ra) if successor_ra is not None else None,
    )


def _newest_of(credentials: Sequence[Row], authority_row: Row | None) -> Row | None:
    """Find an authority's newest credential; None where there is none, or no authority."""
    if authority_row is None:
        return None
    return next((row for row in credentials if row["authority"] == authority_row["name"]), None)


def _above(transaction: Transaction, row: Row | None) -> tuple[Authority, ...]:
    """From an authority's parent to its root."""
    above: list[Authority] = []
    while row is not None and row["parent"] is not None and len(above) < _CHAIN_LIMIT:
        row = transaction.row(_AUTHORITY, {"name": row["parent"]})
        if row is not None:
            above.append(read_authority(row))
    return tuple(above)


def _read_group(row: Row) -> Group:
    return Group(
        name=row["name"],
        authority=row["authority"],
        created_at=from_millis(row["created_at"]),
        debug=bool(row["debug"]),
        suspended_at=time_or_none(row["suspended_at"]),
        suspended_why=row["suspended_why"],
        follow=row["follow"],
    )


def _read_profile(row: Row) -> Profile:
    """Judge the stored document again: a `Profile` in hand is always one that `ca.profile` made."""
    return read_profile(
        row["document"],
        name=row["name"],
        version=row["version"],
        group=row["group"],
        now=from_millis(row["created_at"]),
        acknowledged=EVERYTHING,
    )


def _read_endpoint(row: Row) -> Endpoint:
    return Endpoint(
        name=row["name"],
        group=row["group"],
        protocol=row["protocol"],
        profile=row["profile"],
        authoriser=Authoriser(row["authoriser"]),
        enabled=bool(row["enabled"]),
        include_root=bool(row["include_root"]),
        check_signing_time=bool(row["check_signing_time"]),
        created_at=from_millis(row["created_at"]),
        legacy=bool(row["legacy"]),
        non_rsa=bool(row["non_rsa"]),
        connector=row["connector"],
    )
