"""What administrators set up: authorities, groups, profiles, endpoints, challenges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from regalia.model import (
        Authority,
        AuthorityState,
        Challenge,
        Credential,
        CredentialPurpose,
        Door,
        Endpoint,
        EventDraft,
        Group,
        Profile,
    )
    from regalia.ports.lists import Listed, Place

__all__ = [
    "Authorities",
    "Catalogue",
    "ChallengeFilter",
    "Challenges",
]


class Authorities(Protocol):
    """Authorities and credentials."""

    def authority(self, name: str) -> Authority | None: ...
    def authorities(self) -> tuple[Authority, ...]: ...
    def add_authority(self, authority: Authority, events: Sequence[EventDraft]) -> bool:
        """False where the name is taken."""

    def set_authority_state(
        self, name: str, state: AuthorityState, events: Sequence[EventDraft], *, at: datetime | None = None
    ) -> None:
        """`at` is when it came into the state. Raises `AdminError` ADM-004 where there is no such authority."""

    def set_crl_plan(
        self, name: str, shards: int, events: Sequence[EventDraft], *, lists: int, delta: bool, full: bool
    ) -> None:
        """Set how CRLs are made: `Authority.crl_shards`, `crl_delta`, `crl_full`; `crl_lists` never falls."""

    def credentials(self, purpose: CredentialPurpose, authority: str) -> tuple[Credential, ...]:
        """Of one issuing authority, newest first."""

    def add_credential(self, credential: Credential, events: Sequence[EventDraft]) -> None: ...
    def own_keys(self) -> frozenset[bytes]:
        """SHA-256 of the SubjectPublicKeyInfo of every authority and credential there ever was (SIG-4, KEY-2)."""


class Catalogue(Protocol):
    """Groups, profiles, endpoints."""

    def group(self, name: str) -> Group | None: ...
    def groups(self) -> tuple[Group, ...]: ...
    def add_group(self, group: Group, events: Sequence[EventDraft]) -> bool:
        """False where the name is taken."""

    def set_follow(self, group: str, follow: str, events: Sequence[EventDraft]) -> bool:
        """Set `Group.follow`; False where there is no such group."""

    def profile(self, name: str, version: int | None = None) -> Profile | None:
        """One version, or the newest."""

    def profiles(self) -> tuple[Profile, ...]:
        """The newest version of each."""

    def add_profile(self, profile: Profile, events: Sequence[EventDraft]) -> bool:
        """False where this version exists already (two administrators raced)."""

    def endpoint(self, name: str) -> Endpoint | None: ...
    def endpoints(self) -> tuple[Endpoint, ...]: ...
    def add_endpoint(self, endpoint: Endpoint, events: Sequence[EventDraft]) -> bool:
        """False where the name is taken."""

    def change_endpoint(self, before: Endpoint, after: Endpoint, events: Sequence[EventDraft]) -> bool:
        """Set its authoriser and connector; False where it is not `before` any more."""

    def disable_endpoint(self, name: str, events: Sequence[EventDraft]) -> bool:
        """False where it is unknown or disabled already."""

    def door(self, endpoint: str) -> Door | None:
        """One consistent view of an enabled or disabled endpoint; served from memory until a change notice."""


@dataclass(frozen=True, slots=True)
class ChallengeFilter:
    """Which challenges to list, a page at a time, newest first."""

    endpoint: str | None = None
    limit: int = 50
    groups: frozenset[str] | None = None
    """Only of endpoints of these groups; None for all (AUTHZ-4)."""
    search: str = ""
    """Text that id, endpoint, names, device or maker begin with, or hold where it has three characters or more."""
    after: Place | None = None


class Challenges(Protocol):
    """One-time and static challenges."""

    def challenge(self, mac: bytes) -> Challenge | None: ...
    def challenge_by_id(self, challenge_id: UUID) -> Challenge | None: ...
    def challenges(self, endpoint: str | None = None) -> tuple[Challenge, ...]:
        """Newest first."""

    def challenge_page(self, wanted: ChallengeFilter) -> Listed[Challenge]:
        """One page of them."""

    def add_challenge(self, challenge: Challenge, events: Sequence[EventDraft]) -> None: ...
    def rotate_challenge(self, challenge: Challenge, until: datetime, events: Sequence[EventDraft]) -> None:
        """Add a static challenge of its endpoint; the one in use so far ends at `until` at the latest.

        Every other one is revoked at `challenge.created_at`, and that one too where `until` is not later: never more
        than two are good at a time (CHA-2).
        """

    def revoke_challenge(self, challenge_id: UUID, at: datetime, events: Sequence[EventDraft]) -> bool:
        """False where it is unknown, used or revoked already."""
