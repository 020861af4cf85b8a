"""Who administers: people, programs, what they may do, and how they prove who they are."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from regalia.model.event import JsonValue

__all__ = [
    "EVERYWHERE",
    "Administrator",
    "AdministratorState",
    "ApiToken",
    "Grant",
    "OidcSubject",
    "Passkey",
    "Password",
    "Proposal",
    "ProposalState",
    "Reach",
    "Right",
    "Role",
    "Session",
    "SetupLink",
    "SignInKind",
]


class Right(StrEnum):
    """What a verb does, as far as roles care: `ra/roles.py` says which role has which."""

    READ = "read"
    """Look at what a group has: endpoints, profiles, certificates, enrolments."""
    READ_LOG = "read-log"
    READ_ACCESS = "read-access"
    """Who may do what, and when it was last done."""
    OPEN_DOOR = "open-door"
    """Challenges: what lets one device in."""
    DECIDE = "decide"
    """Approve and deny what waits."""
    REVOKE = "revoke"
    """Revoke, hold and release certificates."""
    ISSUE = "issue"
    """Order certificates that no device asks for."""
    ARRANGE = "arrange"
    """Endpoints and profiles of a group."""
    CONTAIN = "contain"
    """Suspend and resume a group."""
    RULE = "rule"
    """Groups, authorities, keys, alerts and settings of the whole."""
    GRANT = "grant"
    """Administrators, tokens of others, roles."""
    OWN = "own"
    """One's own tokens, sessions and credentials."""


class Role(StrEnum):
    """What an administrator is. A read-only twin sees what its twin sees, and changes nothing."""

    ADMIN = "admin"
    ADMIN_READ_ONLY = "admin-read-only"
    OPERATOR = "operator"
    OPERATOR_READ_ONLY = "operator-read-only"
    AUDITOR = "auditor"
    HELPDESK = "helpdesk"
    HELPDESK_READ_ONLY = "helpdesk-read-only"


@dataclass(frozen=True, slots=True)
class Reach:
    """The groups that something counts in; None is everywhere, also for what belongs to no group."""

    groups: frozenset[str] | None

    def __contains__(self, group: str | None) -> bool:
        """Whether a group is within it; None stands for what belongs to no group."""
        return self.groups is None or group in self.groups

    def __or__(self, other: Reach) -> Reach:
        """Both together."""
        if self.groups is None or other.groups is None:
            return EVERYWHERE
        return Reach(self.groups | other.groups)

    def __and__(self, other: Reach) -> Reach:
        """What both have in common."""
        if self.groups is None:
            return other
        return self if other.groups is None else Reach(self.groups & other.groups)

    def __le__(self, other: Reach) -> bool:
        """Whether it lies within another."""
        return other.groups is None or (self.groups is not None and self.groups <= other.groups)


EVERYWHERE = Reach(None)


@dataclass(frozen=True, slots=True)
class Grant:
    """One role, and where."""

    role: Role
    reach: Reach = EVERYWHERE


@dataclass(frozen=True, slots=True)
class Passkey:
    """A WebAuthn credential."""

    credential_id: bytes
    public_key: bytes
    """COSE key as it was registered."""
    sign_count: int
    label: str
    created_at: datetime
    last_used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class OidcSubject:
    """Who somebody is at an identity provider: issuer and sub, never an e-mail address (CON-2)."""

    issuer: str
    subject: str
    linked_at: datetime


@dataclass(frozen=True, slots=True)
class Password:
    """A break-glass password with its second factor (WEB-6)."""

    hash: str
    """argon2id, in its encoded form."""
    totp_sealed: bytes
    """The secret of RFC 6238, sealed under the master key; its scope is `administrator:` and the id."""
    totp_last_step: int
    """The newest time step that was used; none is good twice."""
    set_at: datetime


class AdministratorState(StrEnum):
    """Whether somebody may sign in."""

    ENABLED = "enabled"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class Administrator:
    """Somebody who signs in."""

    id: UUID
    name: str
    """Immutable and unique; what the log says: `user:NAME`."""
    display: str
    state: AdministratorState
    created_at: datetime
    created_by: str
    grants: tuple[Grant, ...] = ()
    passkeys: tuple[Passkey, ...] = ()
    subjects: tuple[OidcSubject, ...] = ()
    password: Password | None = None
    last_seen_at: datetime | None = None


class SignInKind(StrEnum):
    """How somebody proved who they are."""

    SETUP = "setup"
    PASSKEY = "passkey"
    OIDC = "oidc"
    PASSWORD = "password"  # noqa: S105 - a kind, no secret


@dataclass(frozen=True, slots=True)
class Session:
    """A browser that somebody signed in with. Its identifier is known to the browser alone; here is its SHA-256."""

    id: UUID
    """To name it in lists; opens nothing."""
    secret_sha256: bytes
    administrator: UUID
    kind: SignInKind
    source: str
    created_at: datetime
    seen_at: datetime
    authenticated_at: datetime
    """When they last proved who they are, for what asks for that anew (WEB-4)."""
    ends_at: datetime
    ended_at: datetime | None = None
    granted: tuple[Grant, ...] | None = None
    """What an identity provider's claims said at this sign-in; None where the administrator's own grants count."""


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A program's credential: shown once, here is its SHA-256 (AUTHZ-7)."""

    id: UUID
    name: str
    secret_sha256: bytes
    owner: UUID | None
    """The administrator whose grants bound it; None for one that the rescue command made."""
    grants: tuple[Grant, ...]
    created_at: datetime
    created_by: str
    expires_at: datetime
    last_used_at: datetime | None = None
    last_source: str = ""
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SetupLink:
    """What makes the first administrator, or lets one back in; good once (stack.md §7)."""

    secret_sha256: bytes
    administrator: UUID | None
    """Whom it is for; None: whoever opens it becomes the first administrator."""
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None = None


class ProposalState(StrEnum):
    """What became of a proposal."""

    OPEN = "open"
    APPROVED = "approved"
    """Agreed to and at work; whoever did it may have been interrupted."""
    DONE = "done"
    FAILED = "failed"
    """Agreed to, and then it could not be done: `note` says why."""
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Proposal:
    """What one administrator asked for and another must agree to (AUTHZ-5)."""

    id: UUID
    verb: str
    asked: Mapping[str, JsonValue]
    summary: tuple[str, ...]
    """What will happen, in sentences that go on after "This will"."""
    group: str | None
    proposed_by: str
    proposer: UUID | None
    """The administrator behind who proposed it; None where that is nobody's token."""
    proposed_at: datetime
    expires_at: datetime
    state: ProposalState = ProposalState.OPEN
    decided_by: str = ""
    decided_at: datetime | None = None
    note: str = ""
    outcome: Mapping[str, JsonValue] = field(default_factory=dict)
    """The record that the verb gave; empty where it holds what is shown once."""
