"""Who uses a key, and needs it still: authorities and credentials by the key that they sign or decrypt with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from regalia.ca.scopes import AUDIT_SCOPE, is_ca_scope
from regalia.model import AuthorityState, CredentialPurpose
from regalia.ports import Authorities, Hierarchies

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from regalia.ports import KeyRecord

__all__ = ["KeyUse", "UsesStore", "uses_of_keys", "what_needs"]

_OVER = frozenset({AuthorityState.REVOKED, AuthorityState.RETIRED})


class UsesStore(Authorities, Hierarchies, Protocol):
    """Where the users of keys are."""


@dataclass(frozen=True, slots=True)
class KeyUse:
    """One that uses a key."""

    what: str
    """`authority root`, `RA credential of default-ca-1`."""
    needed: bool
    """Whether something stops without the key."""


def uses_of_keys(store: UsesStore, now: datetime) -> dict[UUID, list[KeyUse]]:
    """Tell for each key what it belongs to, authorities first."""
    found: dict[UUID, list[KeyUse]] = {}
    for authority in store.authorities():
        use = KeyUse(f"authority {authority.name}", authority.state not in _OVER)
        found.setdefault(authority.key_id, []).append(use)
        for purpose in CredentialPurpose:
            for credential in store.credentials(purpose, authority.name):
                use = KeyUse(f"{purpose.upper()} credential of {authority.name}", credential.not_after > now)
                found.setdefault(credential.key_id, []).append(use)
    for request in store.authority_requests():
        found.setdefault(request.key_id, []).append(KeyUse(f"request for authority {request.name}", needed=True))
    return found


def what_needs(record: KeyRecord, uses: list[KeyUse]) -> list[str]:
    """Name what stops without this key; nothing for one that ended."""
    if record.destroyed_at is not None:
        return []
    if record.scope == AUDIT_SCOPE:
        # Its record does not say whether it is the one that signs now, and a checkpoint cannot be made up for.
        return ["checkpoints of the audit log"]
    if not uses and is_ca_scope(record.scope):
        return ["an authority that is being made, unless making it failed"]
    return [use.what for use in uses if use.needed]
