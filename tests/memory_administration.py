"""The part of the store's fake that knows who administers. See `memory_store`."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from regalia.ports import KeptAnswer, SealedSecret

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Sequence
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

__all__ = ["MemoryAdministration"]

_MINUTE = timedelta(minutes=1)


class MemoryAdministration:
    """Administrators, sessions, tokens, set-up links, proposals, kept answers."""

    _lock: threading.RLock

    if TYPE_CHECKING:

        def record(self, events: Sequence[EventDraft]) -> None:
            """Append events: the whole store does."""

    def __init__(self) -> None:
        super().__init__()
        self._people: dict[UUID, Administrator] = {}
        self._links: dict[bytes, SetupLink] = {}
        self._browsers: dict[UUID, Session] = {}
        self._tokens: dict[UUID, ApiToken] = {}
        self._proposals: dict[UUID, Proposal] = {}
        self._answers: dict[tuple[str, str], tuple[KeptAnswer, datetime]] = {}

    # administrators

    def administrator(self, administrator_id: UUID) -> Administrator | None:
        """See the port."""
        return self._people.get(administrator_id)

    def administrator_named(self, name: str) -> Administrator | None:
        """See the port."""
        return next((each for each in self._people.values() if each.name == name), None)

    def administrator_of_subject(self, issuer: str, subject: str) -> Administrator | None:
        """See the port."""
        return next((each for each in self._people.values() if (issuer, subject) in _subjects(each)), None)

    def administrator_of_passkey(self, credential_id: bytes) -> Administrator | None:
        """See the port."""
        return next((each for each in self._people.values() if credential_id in _passkeys(each)), None)

    def administrators(self) -> tuple[Administrator, ...]:
        """See the port."""
        return tuple(sorted(self._people.values(), key=lambda each: each.name))

    def _clashes(self, wanted: Administrator) -> bool:
        others = [each for each in self._people.values() if each.id != wanted.id]
        return any(
            each.name == wanted.name or _passkeys(each) & _passkeys(wanted) or _subjects(each) & _subjects(wanted)
            for each in others
        )

    def add_administrator(self, administrator: Administrator, events: Sequence[EventDraft]) -> bool:
        """See the port."""
        with self._lock:
            if self._clashes(administrator):
                return False
            self._people[administrator.id] = administrator
            self.record(events)
            return True

    def change_administrator(
        self,
        before: Administrator,
        after: Administrator,
        events: Sequence[EventDraft],
        *,
        still: Sequence[Administrator] = (),
    ) -> bool:
        """See the port."""
        with self._lock:
            for expected in (before, *still):
                found = self._people.get(expected.id)
                if found is None or _unseen(found) != _unseen(expected):
                    return False
            kept = self._people[before.id]
            changed = replace(
                after,
                id=kept.id,
                name=kept.name,
                created_at=kept.created_at,
                created_by=kept.created_by,
                last_seen_at=kept.last_seen_at,
            )
            if self._clashes(changed):
                return False
            self._people[before.id] = changed
            self.record(events)
            return True

    def seen(self, administrator_id: UUID, at: datetime) -> None:
        """See the port."""
        with self._lock:
            found = self._people.get(administrator_id)
            if found is not None and (found.last_seen_at is None or found.last_seen_at < at - _MINUTE):
                self._people[administrator_id] = replace(found, last_seen_at=at)

    def sealed_authenticators(self) -> Iterator[SealedSecret]:
        """Return the sealed secrets of second factors, for the port `Wrapped`."""
        for each in sorted(self._people.values(), key=lambda person: person.id):
            if each.password is not None:
                yield SealedSecret(f"administrator:{each.id}", each.id.bytes, each.password.totp_sealed)

    def reseal_authenticator(self, former: SealedSecret, fresh: bytes) -> bool:
        """Put a new seal into the place of the old one."""
        for each in self._people.values():
            found = each.password
            if each.id.bytes == former.which and found is not None and found.totp_sealed == former.sealed:
                self._people[each.id] = replace(each, password=replace(found, totp_sealed=fresh))
                return True
        return False

    def add_setup_link(self, link: SetupLink, events: Sequence[EventDraft]) -> None:
        """See the port."""
        with self._lock:
            self._links[link.secret_sha256] = link
            self.record(events)

    def setup_link(self, secret_sha256: bytes) -> SetupLink | None:
        """See the port."""
        return self._links.get(secret_sha256)

    def use_setup_link(self, secret_sha256: bytes, at: datetime, events: Sequence[EventDraft]) -> bool:
        """See the port."""
        with self._lock:
            link = self._links.get(secret_sha256)
            if link is None or link.used_at is not None or link.expires_at <= at:
                return False
            self._links[secret_sha256] = replace(link, used_at=at)
            self.record(events)
            return True

    def close_setup_links(self, administrator: UUID | None, at: datetime, events: Sequence[EventDraft]) -> int:
        """See the port."""
        with self._lock:
            found = [
                link
                for link in self._links.values()
                if link.administrator == administrator and link.used_at is None and link.expires_at > at
            ]
            for link in found:
                self._links[link.secret_sha256] = replace(link, used_at=at)
            if found:
                self.record(events)
            return len(found)

    # sessions

    def add_session(self, session: Session, events: Sequence[EventDraft]) -> None:
        """See the port."""
        with self._lock:
            self._browsers[session.id] = session
            self.record(events)

    def session(self, secret_sha256: bytes) -> Session | None:
        """See the port."""
        return next((each for each in self._browsers.values() if each.secret_sha256 == secret_sha256), None)

    def sessions(self, administrator: UUID | None = None) -> tuple[Session, ...]:
        """See the port."""
        found = [
            each
            for each in self._browsers.values()
            if each.ended_at is None and administrator in (None, each.administrator)
        ]
        return tuple(sorted(found, key=lambda each: each.id, reverse=True))

    def session_seen(self, session_id: UUID, at: datetime) -> None:
        """See the port."""
        with self._lock:
            found = self._browsers.get(session_id)
            if found is not None and found.seen_at < at - _MINUTE:
                self._browsers[session_id] = replace(found, seen_at=at)

    def session_proved(self, session_id: UUID, at: datetime, secret_sha256: bytes) -> None:
        """See the port."""
        with self._lock:
            found = self._browsers.get(session_id)
            if found is not None and found.ended_at is None:
                self._browsers[session_id] = replace(
                    found, authenticated_at=at, seen_at=at, secret_sha256=secret_sha256
                )

    def end_sessions(self, ids: Sequence[UUID], at: datetime, events: Sequence[EventDraft]) -> None:
        """See the port."""
        with self._lock:
            for each in ids:
                found = self._browsers.get(each)
                if found is not None and found.ended_at is None:
                    self._browsers[each] = replace(found, ended_at=at)
            self.record(events)

    def forget_sessions(self, before: datetime) -> int:
        """See the port."""
        with self._lock:
            over = [
                each.id
                for each in self._browsers.values()
                if each.ends_at < before or (each.ended_at is not None and each.ended_at < before)
            ]
            for each in over:
                del self._browsers[each]
            return len(over)

    # tokens

    def add_token(self, token: ApiToken, events: Sequence[EventDraft]) -> bool:
        """See the port."""
        with self._lock:
            if any(each.name == token.name and each.revoked_at is None for each in self._tokens.values()):
                return False
            self._tokens[token.id] = token
            self.record(events)
            return True

    def token(self, secret_sha256: bytes) -> ApiToken | None:
        """See the port."""
        return next((each for each in self._tokens.values() if each.secret_sha256 == secret_sha256), None)

    def tokens(self) -> tuple[ApiToken, ...]:
        """See the port."""
        return tuple(sorted(self._tokens.values(), key=lambda each: each.id, reverse=True))

    def token_used(self, token_id: UUID, at: datetime, source: str) -> None:
        """See the port."""
        with self._lock:
            found = self._tokens.get(token_id)
            if found is not None and (found.last_used_at is None or found.last_used_at < at - _MINUTE):
                self._tokens[token_id] = replace(found, last_used_at=at, last_source=source)

    def revoke_token(self, token_id: UUID, at: datetime, events: Sequence[EventDraft]) -> bool:
        """See the port."""
        with self._lock:
            found = self._tokens.get(token_id)
            if found is None or found.revoked_at is not None:
                return False
            self._tokens[token_id] = replace(found, revoked_at=at)
            self.record(events)
            return True

    def forget_token_sources(self, before: datetime) -> int:
        """See the port."""
        with self._lock:
            old = [
                each
                for each in self._tokens.values()
                if each.last_source and each.last_used_at is not None and each.last_used_at < before
            ]
            for each in old:
                self._tokens[each.id] = replace(each, last_source="")
            return len(old)

    # proposals

    def add_proposal(self, proposal: Proposal, events: Sequence[EventDraft]) -> None:
        """See the port."""
        with self._lock:
            self._proposals[proposal.id] = proposal
            self.record(events)

    def proposal(self, proposal_id: UUID) -> Proposal | None:
        """See the port."""
        return self._proposals.get(proposal_id)

    def proposals(self, state: ProposalState | None = None) -> tuple[Proposal, ...]:
        """See the port."""
        found = [each for each in self._proposals.values() if state in (None, each.state)]
        return tuple(sorted(found, key=lambda each: each.id, reverse=True))

    def decide_proposal(self, before: Proposal, after: Proposal, events: Sequence[EventDraft]) -> bool:
        """See the port."""
        with self._lock:
            found = self._proposals.get(before.id)
            if found is None or (found.state, found.decided_by) != (before.state, before.decided_by):
                return False
            self._proposals[before.id] = replace(
                found,
                state=after.state,
                decided_by=after.decided_by,
                decided_at=after.decided_at,
                note=after.note,
                outcome=after.outcome,
            )
            self.record(events)
            return True

    # answers

    def begin_answer(self, caller: str, key: str, request_sha256: bytes, at: datetime) -> KeptAnswer | None:
        """See the port."""
        with self._lock:
            found = self._answers.get((caller, key))
            if found is not None:
                return found[0]
            self._answers[caller, key] = KeptAnswer(request_sha256, 0, b""), at
            return None

    def keep_answer(self, caller: str, key: str, answer: KeptAnswer) -> None:
        """See the port."""
        with self._lock:
            found = self._answers.get((caller, key))
            if found is not None and (found[0].request_sha256, found[0].status) == (answer.request_sha256, 0):
                self._answers[caller, key] = answer, found[1]

    def drop_answer(self, caller: str, key: str) -> None:
        """See the port."""
        with self._lock:
            found = self._answers.get((caller, key))
            if found is not None and found[0].status == 0:
                del self._answers[caller, key]

    def forget_answers(self, before: datetime) -> None:
        """See the port."""
        with self._lock:
            self._answers = {key: kept for key, kept in self._answers.items() if kept[1] >= before}


def _unseen(person: Administrator) -> Administrator:
    return replace(person, last_seen_at=None)


def _passkeys(person: Administrator) -> set[bytes]:
    return {each.credential_id for each in person.passkeys}


def _subjects(person: Administrator) -> set[tuple[str, str]]:
    return {(each.issuer, each.subject) for each in person.subjects}
