"""Who administers: administrators, sessions, tokens, set-up links, proposals; and answers kept for repeats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from regalia.model import (
        Administrator,
        ApiToken,
        EventDraft,
        Proposal,
        ProposalState,
        Session,
        SetupLink,
    )

__all__ = ["Administrators", "ApiTokens", "KeptAnswer", "KeptAnswers", "Proposals", "Sessions"]


class Administrators(Protocol):
    """Administrators and set-up links."""

    def administrator(self, administrator_id: UUID) -> Administrator | None: ...
    def administrator_named(self, name: str) -> Administrator | None: ...
    def administrator_of_subject(self, issuer: str, subject: str) -> Administrator | None: ...
    def administrator_of_passkey(self, credential_id: bytes) -> Administrator | None: ...
    def administrators(self) -> tuple[Administrator, ...]:
        """By name."""

    def add_administrator(self, administrator: Administrator, events: Sequence[EventDraft]) -> bool:
        """False where the name is taken."""

    def change_administrator(
        self,
        before: Administrator,
        after: Administrator,
        events: Sequence[EventDraft],
        *,
        still: Sequence[Administrator] = (),
    ) -> bool:
        """Replace one by what it became; its id and name stay.

        False where it is not `before` any more, or one of `still` is not what it is here (two raced), or a passkey or
        subject of `after` is somebody else's. When somebody was last seen does not count.
        """

    def seen(self, administrator_id: UUID, at: datetime) -> None:
        """Note that somebody was here; at most once a minute, and no event."""

    def add_setup_link(self, link: SetupLink, events: Sequence[EventDraft]) -> None: ...
    def setup_link(self, secret_sha256: bytes) -> SetupLink | None: ...
    def use_setup_link(self, secret_sha256: bytes, at: datetime, events: Sequence[EventDraft]) -> bool:
        """False where it is unknown, used or expired: of two who use it at once, one is told True."""

    def close_setup_links(self, administrator: UUID | None, at: datetime, events: Sequence[EventDraft]) -> int:
        """Use up those for an administrator, or for the first one, that are open; no events where none is."""


class Sessions(Protocol):
    """Browsers that are signed in (WEB-4)."""

    def add_session(self, session: Session, events: Sequence[EventDraft]) -> None: ...
    def session(self, secret_sha256: bytes) -> Session | None: ...
    def sessions(self, administrator: UUID | None = None) -> tuple[Session, ...]:
        """Those that have not ended, newest first."""

    def session_seen(self, session_id: UUID, at: datetime) -> None:
        """Note its use; at most once a minute."""

    def session_proved(self, session_id: UUID, at: datetime, secret_sha256: bytes) -> None:
        """Note that its administrator has just proved anew who they are; from now on it has another secret."""

    def end_sessions(self, ids: Sequence[UUID], at: datetime, events: Sequence[EventDraft]) -> None: ...
    def forget_sessions(self, before: datetime) -> int:
        """Delete those that ended, or would have, before then."""


class ApiTokens(Protocol):
    """Programs' credentials (AUTHZ-7)."""

    def add_token(self, token: ApiToken, events: Sequence[EventDraft]) -> bool:
        """False where one that was not revoked has this name: the log calls a token by it."""

    def token(self, secret_sha256: bytes) -> ApiToken | None: ...
    def tokens(self) -> tuple[ApiToken, ...]:
        """Newest first, also those that ended."""

    def token_used(self, token_id: UUID, at: datetime, source: str) -> None:
        """Note its use; at most once a minute."""

    def revoke_token(self, token_id: UUID, at: datetime, events: Sequence[EventDraft]) -> bool:
        """False where it is unknown or revoked already."""

    def forget_token_sources(self, before: datetime) -> int:
        """Forget from where tokens were used that were last used before then (PRIV-1)."""


class Proposals(Protocol):
    """What waits for a second administrator (AUTHZ-5)."""

    def add_proposal(self, proposal: Proposal, events: Sequence[EventDraft]) -> None: ...
    def proposal(self, proposal_id: UUID) -> Proposal | None: ...
    def proposals(self, state: ProposalState | None = None) -> tuple[Proposal, ...]:
        """Newest first."""

    def decide_proposal(self, before: Proposal, after: Proposal, events: Sequence[EventDraft]) -> bool:
        """False where it is not `before` any more: of two who decide at once, one is told True."""


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """What a request with an `Idempotency-Key` was answered, for whoever repeats it."""

    request_sha256: bytes
    status: int
    body: bytes


class KeptAnswers(Protocol):
    """Answers kept for repeats; a day long."""

    def begin_answer(self, caller: str, key: str, request_sha256: bytes, at: datetime) -> KeptAnswer | None:
        """Take the key for this request, or return what it has; status 0 while its first request is at work."""

    def keep_answer(self, caller: str, key: str, answer: KeptAnswer) -> None: ...
    def drop_answer(self, caller: str, key: str) -> None:
        """Forget a key whose request came to nothing, so that it can be repeated."""

    def forget_answers(self, before: datetime) -> None: ...
