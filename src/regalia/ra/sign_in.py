"""Who is signed in: browsers' sessions from their first to their last request (WEB-3, WEB-4).

How somebody proves who they are is decided elsewhere: `ra.passkeys`, `ra.break_glass`, `ra.oidc`, `ra.setting_up`.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol

from regalia import reasons
from regalia.errors import AdminError
from regalia.model import (
    Action,
    Actor,
    ActorKind,
    AdministratorState,
    Denied,
    EventDraft,
    Outcome,
    Session,
    SignInKind,
    new_id,
)
from regalia.ports import Administrators, Events, Sessions, SignIns
from regalia.ra.refusals import Refused
from regalia.wire.event import time_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from regalia.errors import Reason
    from regalia.model import Administrator, Grant, JsonValue
    from regalia.ports import Clock, Entropy
    from regalia.ra.refusals import Refusals

__all__ = [
    "DEFAULT_RULES",
    "SECRET_OCTETS",
    "Doorkeeper",
    "Known",
    "Opened",
    "Proof",
    "SessionDesk",
    "SessionRules",
    "SignInStore",
    "acting",
    "secret_text",
    "sha256_of",
]

SECRET_OCTETS: Final = 32


class SignInStore(Administrators, Sessions, SignIns, Events, Protocol):
    """What sign-in stands on."""


@dataclass(frozen=True, slots=True)
class SessionRules:
    """How long a session lasts."""

    idle: timedelta = timedelta(minutes=15)
    """Without a request."""
    whole: timedelta = timedelta(hours=8)
    fresh: timedelta = timedelta(minutes=5)
    """How long somebody counts as having just proved who they are."""


DEFAULT_RULES: Final = SessionRules()


@dataclass(frozen=True, slots=True)
class Proof:
    """Somebody proved who they are."""

    administrator: Administrator
    kind: SignInKind
    authenticated_at: datetime
    """When they did: an identity provider may remember them from before."""
    granted: tuple[Grant, ...] | None = None
    """What a provider's claims give for this session; None where their own grants count."""
    provider: str = ""


@dataclass(frozen=True, slots=True)
class Opened:
    """A session, and the secret that its browser keeps."""

    session: Session
    secret: str


@dataclass(frozen=True, slots=True)
class Known:
    """Somebody who is signed in."""

    administrator: Administrator
    session: Session
    grants: tuple[Grant, ...]
    fresh: bool

    def actor(self, source: str) -> Actor:
        """Name them for the log."""
        return acting(self.administrator.name, source)


def acting(name: str, source: str) -> Actor:
    """Name an administrator for the log."""
    return Actor(ActorKind.ADMIN, f"user:{name}", source)


def secret_text(octets: bytes) -> str:
    """Write a secret so that it stands in cookies, URLs and fields as it is."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def sha256_of(secret: str) -> bytes:
    """Hash a secret as it is kept."""
    return hashlib.sha256(secret.encode()).digest()


class Doorkeeper:
    """Refuses, and sees to it that each refusal is on record; a flood from one address folds (R13)."""

    def __init__(self, refusals: Refusals, clock: Clock) -> None:
        self._refusals = refusals
        self._clock = clock

    def refusal(
        self, reason: Reason, source: str, detail: str = "", *, about: str = "", alarm: bool = False
    ) -> AdminError:
        """Record a refusal and return the error to raise.

        `about` is an administrator's name where it is known whose account it is; what a stranger typed is never
        recorded, for it may be a password. `alarm` marks what somebody should look at.
        """
        refused = Refused(
            at=self._clock.now(),
            source=source,
            endpoint="",
            denied=Denied(reason, detail, security=alarm),
            action=Action.SIGN_IN_REFUSED,
            actor=Actor(ActorKind.SYSTEM, "sign-in", source),
            object=f"administrator:{about}" if about else "sign-in",
        )
        self._refusals.record(refused)
        return AdminError(reason, detail)


class SessionDesk:
    """Begins, knows and ends sessions."""

    def __init__(self, store: SignInStore, clock: Clock, entropy: Entropy, rules: SessionRules = DEFAULT_RULES) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._rules = rules

    def open(self, proof: Proof, source: str, *, before: str = "") -> Opened:
        """Sign somebody in, with an identifier that no browser had before; `before` is the session that it had.

        Raises `AdminError` AUTH-009 where the account is disabled.
        """
        if proof.administrator.state is not AdministratorState.ENABLED:
            raise AdminError(reasons.ACCOUNT_DISABLED, proof.administrator.name)
        now, secret = self._clock.now(), secret_text(self._entropy.octets(SECRET_OCTETS))
        session = Session(
            id=new_id(now, self._entropy.octets(10)),
            secret_sha256=sha256_of(secret),
            administrator=proof.administrator.id,
            kind=proof.kind,
            source=source,
            created_at=now,
            seen_at=now,
            authenticated_at=min(proof.authenticated_at, now),
            ends_at=now + self._rules.whole,
            granted=proof.granted,
        )
        self._end_former(before, proof.administrator, source)
        self._store.add_session(session, (_started(session, proof, source),))
        self._store.seen(proof.administrator.id, now)
        return Opened(session, secret)

    def known(self, secret: str) -> Known:
        """Say who has a session with this secret, and note that it was used.

        Raises `AdminError` AUTH-002 where it is unknown, has ended or ends now, or its administrator is disabled.
        """
        session = self._store.session(sha256_of(secret))
        if session is None or session.ended_at is not None:
            raise AdminError(reasons.SESSION_OVER)
        administrator = self._store.administrator(session.administrator)
        now = self._clock.now()
        why = self._ended_by(session, administrator, now)
        if why or administrator is None:
            name = administrator.name if administrator is not None else str(session.administrator)
            self._store.end_sessions((session.id,), now, (_ended(session, name, why, acting(name, ""), now),))
            raise AdminError(reasons.SESSION_OVER, why)
        self._store.session_seen(session.id, now)
        self._store.seen(administrator.id, now)
        grants = administrator.grants if session.granted is None else session.granted
        fresh = timedelta(0) <= now - session.authenticated_at <= self._rules.fresh
        return Known(administrator, session, grants, fresh)

    def prove(self, known: Known, proof: Proof, source: str) -> Opened:
        """Note that who is signed in has just proved it anew; from now on the session has another secret (WEB-4).

        Raises `AdminError` AUTH-001 where it was somebody else, or their provider did not ask them now; AUTH-002 where
        it gives them other roles than this session has, which ends with that.
        """
        now = self._clock.now()
        if proof.administrator.id != known.administrator.id or now - proof.authenticated_at > self._rules.fresh:
            raise AdminError(reasons.SIGN_IN_FAILED, "somebody else, or not now")
        if proof.kind is SignInKind.OIDC and known.session.granted not in (None, proof.granted):
            self.end(known, known.session.id, source, "roles changed")
            raise AdminError(reasons.SESSION_OVER, "the provider gives other roles by now")
        secret = secret_text(self._entropy.octets(SECRET_OCTETS))
        details: dict[str, JsonValue] = {"kind": proof.kind.value, "session": str(known.session.id)}
        name = known.administrator.name
        self._store.record((_event(Action.SIGNED_IN_AGAIN, name, known.actor(source), now, details),))
        self._store.session_proved(known.session.id, now, sha256_of(secret))
        after = replace(known.session, secret_sha256=sha256_of(secret), authenticated_at=now)
        return Opened(after, secret)

    def sessions(self, known: Known) -> tuple[Session, ...]:
        """List the sessions of who is signed in that have not ended, newest first."""
        now = self._clock.now()
        mine = self._store.sessions(known.administrator.id)
        return tuple(each for each in mine if not self._ended_by(each, known.administrator, now))

    def end(self, known: Known, session_id: UUID, source: str, why: str) -> bool:
        """End one of their own sessions; False where it is not theirs or has ended."""
        for session in self._store.sessions(known.administrator.id):
            if session.id == session_id:
                now = self._clock.now()
                event = _ended(session, known.administrator.name, why, known.actor(source), now)
                self._store.end_sessions((session.id,), now, (event,))
                return True
        return False

    def end_all(self, administrator: Administrator, actor: Actor, why: str) -> None:
        """End every session of an administrator."""
        now = self._clock.now()
        sessions = self._store.sessions(administrator.id)
        if sessions:
            events = [_ended(session, administrator.name, why, actor, now) for session in sessions]
            self._store.end_sessions([session.id for session in sessions], now, events)

    def _end_former(self, secret: str, administrator: Administrator, source: str) -> None:
        session = self._store.session(sha256_of(secret)) if secret else None
        if session is None or session.ended_at is not None:
            return
        holder = self._store.administrator(session.administrator)
        name = holder.name if holder is not None else str(session.administrator)
        now = self._clock.now()
        event = _ended(session, name, "signed in again", acting(administrator.name, source), now)
        self._store.end_sessions((session.id,), now, (event,))

    def _ended_by(self, session: Session, administrator: Administrator | None, now: datetime) -> str:
        """Say what has ended a session; nothing where it lives."""
        if administrator is None or administrator.state is not AdministratorState.ENABLED:
            return "account disabled"
        if now >= session.ends_at:
            return "eight hours are over"
        return "not used" if now - session.seen_at >= self._rules.idle else ""


def _event(action: Action, name: str, actor: Actor, at: datetime, details: Mapping[str, JsonValue]) -> EventDraft:
    return EventDraft(at, actor, action, f"administrator:{name}", Outcome.OK, details=details)


def _started(session: Session, proof: Proof, source: str) -> EventDraft:
    details: dict[str, JsonValue] = {
        "kind": session.kind.value,
        "session": str(session.id),
        "ends_at": time_text(session.ends_at),
    }
    if proof.provider:
        details["provider"] = proof.provider
    if session.granted is not None:
        details["claimed"] = [*sorted(grant.role.value for grant in session.granted)]
    name = proof.administrator.name
    # The emergency account is one that somebody should look at whenever it is used.
    emergency = proof.kind in {SignInKind.PASSWORD, SignInKind.SETUP}
    started = _event(Action.SIGNED_IN, name, acting(name, source), session.created_at, details)
    return replace(started, security=emergency)


def _ended(session: Session, name: str, why: str, actor: Actor, at: datetime) -> EventDraft:
    return _event(Action.SIGNED_OUT, name, actor, at, {"session": str(session.id), "why": why})
