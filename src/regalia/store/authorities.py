"""Authorities and our own credentials: rows ⇄ values."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import bindparam, case, select, union, update

from regalia import reasons
from regalia.errors import AdminError, InvariantError
from regalia.model import Authority, AuthorityKind, AuthorityState, Credential, CredentialPurpose, KeyKind
from regalia.store.session import Noun, Row, Statement, Transaction, inserting
from regalia.store.tables import authority, certificate, credential, own_key
from regalia.store.values import from_millis, millis, optional_millis, storable, time_or_none

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from regalia.model import EventDraft
    from regalia.store.session import Columns

__all__ = ["ADD_AUTHORITY", "SqlAuthorities", "authority_columns", "read_authority", "read_credential"]

_ONE = Statement(select(authority).where(authority.c.name == bindparam("name")))
_ALL = Statement(select(authority).order_by(authority.c.created_at, authority.c.name))
ADD_AUTHORITY = inserting(authority)
_SET_STATE = Statement(
    update(authority)
    .where(authority.c.name == bindparam("which"))
    .values(state=bindparam("new_state"), state_since=bindparam("at"))
)
_SET_CRL_PLAN = Statement(
    update(authority)
    .where(authority.c.name == bindparam("which"))
    .values(
        crl_shards=bindparam("shards"),
        # Certificates point to the lists that there were: their number never falls.
        crl_lists=case((authority.c.crl_lists < bindparam("lists"), bindparam("lists")), else_=authority.c.crl_lists),
        crl_delta=bindparam("delta"),
        crl_full=bindparam("full"),
    )
)
_CREDENTIALS = Statement(
    select(credential)
    .where(credential.c.purpose == bindparam("purpose"), credential.c.authority == bindparam("authority"))
    .order_by(credential.c.id.desc())
)
_ADD_CREDENTIAL = inserting(credential)
_OWN_KEYS = Statement(
    select(certificate.c.key_sha256).where(
        certificate.c.id.in_(union(select(authority.c.certificate_id), select(credential.c.certificate_id)))
    )
)
_LISTENERS_KEYS = Statement(select(own_key.c.key_sha256))


class SqlAuthorities(Noun):
    """See `ports.Authorities`."""

    def authority(self, name: str) -> Authority | None:
        """Return one authority."""
        row = self._database.row(_ONE, {"name": name}) if storable(name) else None
        return None if row is None else read_authority(row)

    def authorities(self) -> tuple[Authority, ...]:
        """Return all, in the order of their creation."""
        return tuple(read_authority(row) for row in self._database.rows(_ALL, {}))

    def add_authority(self, authority: Authority, events: Sequence[EventDraft]) -> bool:
        """Return False where the name is taken."""
        columns = authority_columns(authority)
        return self._add_to_catalogue(events, f"authority:{authority.name}", ADD_AUTHORITY, columns)

    def set_authority_state(
        self, name: str, state: AuthorityState, events: Sequence[EventDraft], *, at: datetime | None = None
    ) -> None:
        """Set the state; raises `AdminError` ADM-004 where there is no such authority."""

        def unit(transaction: Transaction) -> None:
            values: Columns = {"which": name, "new_state": state.value, "at": optional_millis(at)}
            if not transaction.run(_SET_STATE, values):
                raise AdminError(reasons.NOT_FOUND, f"authority {name}")

        self._change_catalogue(events, f"authority:{name}", unit)

    def set_crl_plan(
        self, name: str, shards: int, events: Sequence[EventDraft], *, lists: int, delta: bool, full: bool
    ) -> None:
        """Set how an authority's CRLs are made; raises `AdminError` ADM-004 where there is no such authority."""
        values: Columns = {
            "which": name,
            "shards": shards,
            "lists": max(shards, lists),
            "delta": int(delta),
            "full": int(full),
        }

        def unit(transaction: Transaction) -> None:
            if not transaction.run(_SET_CRL_PLAN, values):
                raise AdminError(reasons.NOT_FOUND, f"authority {name}")

        self._change_catalogue(events, f"authority:{name}", unit)

    def credentials(self, purpose: CredentialPurpose, authority: str) -> tuple[Credential, ...]:
        """Return those of one issuing authority, newest first."""
        rows = self._database.rows(_CREDENTIALS, {"purpose": purpose.value, "authority": authority})
        return tuple(read_credential(row) for row in rows)

    def add_credential(self, credential: Credential, events: Sequence[EventDraft]) -> None:
        """Keep a new credential."""
        columns = _credential_columns(credential)
        if not self._add_to_catalogue(events, f"credential:{credential.id}", _ADD_CREDENTIAL, columns):
            raise InvariantError(f"credential {credential.id} exists already")

    def own_keys(self) -> frozenset[bytes]:
        """Return the key hashes of every authority and credential; from memory until the catalogue changes."""
        return self._remembered.get("own keys", self._load_own_keys)

    def _load_own_keys(self) -> frozenset[bytes]:
        rows = [*self._database.rows(_OWN_KEYS, {}), *self._database.rows(_LISTENERS_KEYS, {})]
        return frozenset(row["key_sha256"] for row in rows)


def read_authority(row: Row) -> Authority:
    """Make the value of a row."""
    return Authority(
        name=row["name"],
        kind=AuthorityKind(row["kind"]),
        parent=row["parent"],
        group=row["group"],
        state=AuthorityState(row["state"]),
        key_id=UUID(bytes=row["key_id"]),
        key_kind=KeyKind(row["key_kind"]),
        certificate_id=UUID(bytes=row["certificate_id"]),
        certificate_der=row["certificate_der"],
        created_at=from_millis(row["created_at"]),
        state_since=time_or_none(row["state_since"]),
        activates_at=time_or_none(row["activates_at"]),
        crl_shards=row["crl_shards"],
        crl_lists=row["crl_lists"],
        crl_delta=bool(row["crl_delta"]),
        crl_full=bool(row["crl_full"]),
    )


def authority_columns(value: Authority) -> Columns:
    """Make the row of a value."""
    return {
        "name": value.name,
        "kind": value.kind.value,
        "parent": value.parent,
        "group": value.group,
        "state": value.state.value,
        "key_id": value.key_id.bytes,
        "key_kind": value.key_kind.value,
        "certificate_id": value.certificate_id.bytes,
        "certificate_der": value.certificate_der,
        "created_at": millis(value.created_at),
        "state_since": optional_millis(value.state_since),
        "activates_at": optional_millis(value.activates_at),
        "crl_shards": value.crl_shards,
        "crl_lists": max(value.crl_shards, value.crl_lists),
        "crl_delta": int(value.crl_delta),
        "crl_full": int(value.crl_full),
    }


def read_credential(row: Row) -> Credential:
    """Make the value of a row."""
    return Credential(
        id=UUID(bytes=row["id"]),
        purpose=CredentialPurpose(row["purpose"]),
        group=row["group"],
        authority=row["authority"],
        key_id=UUID(bytes=row["key_id"]),
        certificate_id=UUID(bytes=row["certificate_id"]),
        certificate_der=row["certificate_der"],
        not_before=from_millis(row["not_before"]),
        not_after=from_millis(row["not_after"]),
        created_at=from_millis(row["created_at"]),
        ended_at=time_or_none(row["ended_at"]),
    )


def _credential_columns(value: Credential) -> Columns:
    return {
        "id": value.id.bytes,
        "purpose": value.purpose.value,
        "group": value.group,
        "authority": value.authority,
        "key_id": value.key_id.bytes,
        "certificate_id": value.certificate_id.bytes,
        "certificate_der": value.certificate_der,
        "not_before": millis(value.not_before),
        "not_after": millis(value.not_after),
        "created_at": millis(value.created_at),
        "ended_at": optional_millis(value.ended_at),
    }
