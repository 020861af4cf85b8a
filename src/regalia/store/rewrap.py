"""Every secret that lies under a master key, for a rotation to wrap anew: private keys and sealed secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import bindparam, func, literal_column, select, update

from regalia.model import KeyKind, TargetKind
from regalia.ports import SealedSecret, WrappedKey
from regalia.store.pseudonyms import pseudonym_scope
from regalia.store.session import Noun, Statement
from regalia.store.tables import (
    administrator,
    alert_target,
    connector,
    connector_notice,
    pseudonym_key,
    sealed_challenge,
    wrapped_key,
)
from regalia.store.values import from_millis

if TYPE_CHECKING:
    from collections.abc import Iterator

    from regalia.store.session import Transaction

__all__ = ["SqlWrapped"]

_BATCH = 500

_KEYS = Statement(
    select(wrapped_key).where(wrapped_key.c.id > bindparam("after")).order_by(wrapped_key.c.id).limit(_BATCH)
)
_CHALLENGES = Statement(
    select(sealed_challenge)
    .where(sealed_challenge.c.enrolment_id > bindparam("after"))
    .order_by(sealed_challenge.c.enrolment_id)
    .limit(_BATCH)
)
_PSEUDONYMS = Statement(
    select(pseudonym_key.c.number, pseudonym_key.c.sealed)
    .where(pseudonym_key.c.sealed.is_not(None))
    .order_by(pseudonym_key.c.number)
)
_AUTHENTICATORS = Statement(
    select(administrator.c.id, administrator.c.totp_sealed)
    .where(administrator.c.totp_sealed.is_not(None))
    .order_by(administrator.c.id)
)
# Each only where nobody changed or destroyed it meanwhile.
_TO_KEY = Statement(
    update(wrapped_key)
    .where(wrapped_key.c.id == bindparam("which"), wrapped_key.c.blob == bindparam("former"))
    .values(blob=bindparam("fresh"))
)
_TO_CHALLENGE = Statement(
    update(sealed_challenge)
    .where(sealed_challenge.c.enrolment_id == bindparam("which"), sealed_challenge.c.sealed == bindparam("former"))
    .values(sealed=bindparam("fresh"))
)
_TO_PSEUDONYM = Statement(
    update(pseudonym_key)
    .where(pseudonym_key.c.number == bindparam("which"), pseudonym_key.c.sealed == bindparam("former"))
    .values(sealed=bindparam("fresh"))
)
_TO_AUTHENTICATOR = Statement(
    update(administrator)
    .where(administrator.c.id == bindparam("which"), administrator.c.totp_sealed == bindparam("former"))
    .values(totp_sealed=bindparam("fresh"))
)
_TARGETS = Statement(
    select(alert_target.c.id, alert_target.c.sealed).where(alert_target.c.kind == TargetKind.WEB_HOOK.value)
)
_TO_TARGET = Statement(
    update(alert_target)
    .where(alert_target.c.id == bindparam("which"), alert_target.c.sealed == bindparam("former"))
    .values(sealed=bindparam("fresh"))
)
_CONNECTORS = Statement(
    select(connector.c.id, connector.c.sealed).where(connector.c.sealed.is_not(None)).order_by(connector.c.id)
)
_TO_CONNECTOR = Statement(
    update(connector)
    .where(connector.c.id == bindparam("which"), connector.c.sealed == bindparam("former"))
    .values(sealed=bindparam("fresh"))
)
_NOTICES = Statement(
    select(connector_notice.c.id, connector_notice.c.sealed)
    # Nothing is left to tell in one that was told.
    .where(connector_notice.c.id > bindparam("after"), func.length(connector_notice.c.sealed) > literal_column("0"))
    .order_by(connector_notice.c.id)
    .limit(_BATCH)
)
_TO_NOTICE = Statement(
    update(connector_notice)
    .where(connector_notice.c.id == bindparam("which"), connector_notice.c.sealed == bindparam("former"))
    .values(sealed=bindparam("fresh"))
)
_TARGET = "alert-target:"
"""What the scopes of web hooks' secrets begin with."""
_ADMINISTRATOR = "administrator:"
"""What the scopes of administrators' secrets begin with."""
_CONNECTOR = "connector:"
"""What the scopes of connectors' secrets begin with."""
_NOTICE = "notice:"
"""What the scopes of notices to connectors begin with."""
_PLACES = {
    _ADMINISTRATOR: _TO_AUTHENTICATOR,
    _TARGET: _TO_TARGET,
    _CONNECTOR: _TO_CONNECTOR,
    _NOTICE: _TO_NOTICE,
}


class SqlWrapped(Noun):
    """See `ports.Wrapped`."""

    def wrapped_keys(self) -> Iterator[WrappedKey]:
        """Return every wrapped key, the oldest first."""
        after = b""
        while rows := self._database.rows(_KEYS, {"after": after}):
            for row in rows:
                yield WrappedKey(
                    UUID(bytes=row["id"]),
                    KeyKind(row["kind"]),
                    row["scope"],
                    row["public_key"],
                    row["blob"],
                    from_millis(row["created_at"]),
                )
            after = rows[-1]["id"]

    def replace_wrapped(self, former: WrappedKey, fresh: WrappedKey) -> bool:
        """Put a key's new blob into the place of the old one; False where that is not there any more."""
        return self._replace(_TO_KEY, former.id.bytes, former.blob, fresh.blob)

    def sealed_secrets(self) -> Iterator[SealedSecret]:
        """Return every sealed secret."""
        after = b""
        while rows := self._database.rows(_CHALLENGES, {"after": after}):
            for row in rows:
                yield SealedSecret(f"enrolment:{UUID(bytes=row['enrolment_id'])}", row["enrolment_id"], row["sealed"])
            after = rows[-1]["enrolment_id"]
        for row in self._database.rows(_PSEUDONYMS, {}):
            yield SealedSecret(pseudonym_scope(row["number"]), row["number"], row["sealed"])
        for row in self._database.rows(_AUTHENTICATORS, {}):
            yield SealedSecret(f"{_ADMINISTRATOR}{UUID(bytes=row['id'])}", row["id"], row["totp_sealed"])
        for row in self._database.rows(_TARGETS, {}):
            yield SealedSecret(f"{_TARGET}{UUID(bytes=row['id'])}", row["id"], row["sealed"])
        for row in self._database.rows(_CONNECTORS, {}):
            yield SealedSecret(f"{_CONNECTOR}{UUID(bytes=row['id'])}", row["id"], row["sealed"])
        after = b""
        while rows := self._database.rows(_NOTICES, {"after": after}):
            for row in rows:
                yield SealedSecret(f"{_NOTICE}{UUID(bytes=row['id'])}", row["id"], row["sealed"])
            after = rows[-1]["id"]

    def replace_sealed(self, former: SealedSecret, fresh: bytes) -> bool:
        """Put a new seal into the place of the old one; False where that is not there any more."""
        statement = _TO_PSEUDONYM if isinstance(former.which, int) else _TO_CHALLENGE
        for begin, place in _PLACES.items():
            if former.scope.startswith(begin):
                statement = place
        return self._replace(statement, former.which, former.sealed, fresh)

    def _replace(self, statement: Statement, which: bytes | int, former: bytes, fresh: bytes) -> bool:
        def unit(transaction: Transaction) -> bool:
            return bool(transaction.run(statement, {"which": which, "former": former, "fresh": fresh}))

        return self._database.write(unit)
