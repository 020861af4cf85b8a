"""Tokens of programs: what they look like, who bears one, how they are made and revoked (AUTHZ-7).

A token is `rgl_`, 256 random bits and a checksum, in base32: a scanner for secrets finds it, and what was mistyped is
told from it without a look at the database. The store knows its SHA-256 only, and finds it by that: how long that
takes tells nothing about the secret.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import zlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol

from regalia import reasons
from regalia.errors import AdminError
from regalia.model import (
    Action,
    Actor,
    ActorKind,
    AdministratorState,
    ApiToken,
    EventDraft,
    Outcome,
    new_id,
)
from regalia.ports import Administrators, ApiTokens, Events
from regalia.ra.registry import check_name
from regalia.ra.roles import covers, grant_texts, within
from regalia.wire.event import time_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from regalia.model import Administrator, Grant, JsonValue
    from regalia.ports import Clock, Entropy

__all__ = [
    "LONGEST",
    "TOKEN_FORM",
    "Bearer",
    "MadeToken",
    "NewToken",
    "TokenDesk",
    "TokenStore",
    "bearer_of_calendar",
    "bearer_of_token",
    "standing_of",
    "token_text",
]

_FORM: Final = r"[a-z2-7]{52}[a-z2-7]{7}"
TOKEN_FORM: Final = re.compile(f"rgl_{_FORM}")
"""What a scanner for secrets looks for."""
_CALENDAR_FORM: Final = re.compile(f"rgc_{_FORM}")
"""The same of what opens a calendar, and nothing else: it stands in addresses, which programs write into logs."""
LONGEST: Final = timedelta(days=366)
_SECRET_OCTETS: Final = 32
_PREFIX: Final = "rgl_"
_CALENDAR_PREFIX: Final = "rgc_"
_NOTED: Final = timedelta(minutes=1)


class TokenStore(Administrators, ApiTokens, Events, Protocol):
    """What tokens stand on."""


@dataclass(frozen=True, slots=True)
class Bearer:
    """Who a token speaks for, and what it may do at this moment."""

    actor: Actor
    grants: tuple[Grant, ...]
    administrator: UUID | None


@dataclass(frozen=True, slots=True)
class NewToken:
    """What a token is to be."""

    name: str
    grants: tuple[Grant, ...]
    life: timedelta
    owner: UUID | None
    """The administrator whom it speaks for; None: nobody, only on the machine itself."""
    calendar: bool = False
    """Whether it opens a calendar instead of the API."""


@dataclass(frozen=True, slots=True)
class MadeToken:
    """A token, and what its bearer shows; that is known to nobody else from now on."""

    token: ApiToken
    secret: str


def token_text(octets: bytes, prefix: str = _PREFIX) -> str:
    """Write 32 random octets as a token."""
    return f"{prefix}{_base32(octets)}{_checksum(octets, prefix)}"


def _base32(octets: bytes) -> str:
    return base64.b32encode(octets).rstrip(b"=").decode().lower()


def _checksum(octets: bytes, prefix: str) -> str:
    return _base32(zlib.crc32(prefix.encode() + octets).to_bytes(4, "big"))


def _secret_sha256(text: str, form: re.Pattern[str]) -> bytes | None:
    """Hash a token as it is kept; None for what never was one."""
    if not form.fullmatch(text):
        return None
    octets = base64.b32decode(text[4:56].upper() + "====")
    # The last characters of base32 have bits to spare: only the one spelling that was handed out is a token.
    return _sha256(text) if hmac.compare_digest(token_text(octets, text[:4]), text) else None


def _sha256(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def bearer_of_token(store: TokenStore, secret: str, *, now: datetime, source: str) -> Bearer:
    """Say who bears a token, and note its use.

    Raises `AdminError` API-001, the same for what is no token, unknown, revoked, expired, or of somebody disabled; the
    log says which where there is a token. `UnavailableError` where the store does not answer.
    """
    return _bearer(store, _secret_sha256(secret, TOKEN_FORM), now=now, source=source)


def bearer_of_calendar(store: TokenStore, secret: str, *, now: datetime, source: str) -> Bearer:
    """Say whose calendar an address opens, and note its use. Raises what `bearer_of_token` does."""
    return _bearer(store, _secret_sha256(secret, _CALENDAR_FORM), now=now, source=source)


def _bearer(store: TokenStore, digest: bytes | None, *, now: datetime, source: str) -> Bearer:
    token = None if digest is None else store.token(digest)
    if token is None or digest is None or not hmac.compare_digest(token.secret_sha256, digest):
        raise AdminError(reasons.CREDENTIALS_REFUSED)
    owner = None if token.owner is None else store.administrator(token.owner)
    actor = Actor(ActorKind.ADMIN, f"token:{token.name}", source)
    ended = standing_of(token, owner, now)
    if ended:
        store.record((_refusal(token, actor, ended, now),))
        raise AdminError(reasons.CREDENTIALS_REFUSED)
    if token.last_used_at is None or now - token.last_used_at > _NOTED or now < token.last_used_at:
        store.token_used(token.id, now, source)
    grants = token.grants if owner is None else within(token.grants, owner.grants)
    return Bearer(actor, grants, token.owner)


def standing_of(token: ApiToken, owner: Administrator | None, now: datetime) -> str:
    """Say why a token is good no more; nothing where it is good."""
    if token.revoked_at is not None:
        return "revoked"
    if token.expires_at <= now:
        return "expired"
    if token.owner is None:
        return ""
    if owner is None or owner.state is not AdministratorState.ENABLED:
        return "its owner is disabled"
    return ""


def _refusal(token: ApiToken, actor: Actor, why: str, now: datetime) -> EventDraft:
    return EventDraft(
        now,
        actor,
        Action.TOKEN_REFUSED,
        f"token:{token.name}",
        Outcome.REFUSED,
        reason_id=reasons.CREDENTIALS_REFUSED.id,
        security=True,
        details={"id": str(token.id), "title": why},
    )


class TokenDesk:
    """Makes and revokes tokens."""

    def __init__(self, store: TokenStore, clock: Clock, entropy: Entropy) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy

    def _secret(self, wanted: NewToken) -> str:
        return token_text(self._entropy.octets(_SECRET_OCTETS), _CALENDAR_PREFIX if wanted.calendar else _PREFIX)

    def create(self, wanted: NewToken, *, actor: Actor, bound: Sequence[Grant]) -> MadeToken:
        """Make a token. `bound` is what whoever asks may do: nobody hands out more.

        Raises `AdminError`: ADM-003 the name is taken, ADM-005 the name, ADM-071 more than they have, ADM-072 how long.
        """
        check_name(wanted.name)
        if not timedelta(minutes=1) <= wanted.life <= LONGEST:
            raise AdminError(reasons.TOKEN_LIFE, f"at most {LONGEST.days} days")
        if not wanted.grants or not covers(bound, wanted.grants):
            raise AdminError(reasons.GRANT_TOO_MUCH, ", ".join(grant_texts(wanted.grants)) or "no role at all")
        now, secret = self._clock.now(), self._secret(wanted)
        token = ApiToken(
            id=new_id(now, self._entropy.octets(10)),
            name=wanted.name,
            secret_sha256=_sha256(secret),
            owner=wanted.owner,
            grants=wanted.grants,
            created_at=now,
            created_by=actor.id,
            expires_at=now + wanted.life,
        )
        if not self._store.add_token(token, (self._made(token, actor),)):
            raise AdminError(reasons.NAME_TAKEN, f"token {wanted.name}")
        return MadeToken(token, secret)

    def _made(self, token: ApiToken, actor: Actor) -> EventDraft:
        details = self._details(token)
        details["grants"] = [*grant_texts(token.grants)]
        details["expires_at"] = time_text(token.expires_at)
        return EventDraft(
            token.created_at, actor, Action.TOKEN_CREATED, f"token:{token.name}", Outcome.OK, details=details
        )

    def revoke(self, token: ApiToken, *, actor: Actor) -> ApiToken:
        """Revoke a token and those that it made; their next requests are refused.

        Raises `AdminError` ADM-074 where it was revoked already.
        """
        if not self._revoke(token, actor):
            raise AdminError(reasons.ADMINISTRATION_STATE, f"token {token.name} is revoked already")
        # First the maker, then what it made: what it makes meanwhile finds it revoked, or is found here.
        makers = [token]
        while makers:
            made = self._made_directly(makers.pop())
            for each in made:
                self._revoke(each, actor)
            makers += made
        return next(each for each in self._store.tokens() if each.id == token.id)

    def _revoke(self, token: ApiToken, actor: Actor) -> bool:
        now = self._clock.now()
        event = EventDraft(
            now, actor, Action.TOKEN_REVOKED, f"token:{token.name}", Outcome.OK, details=self._details(token)
        )
        return self._store.revoke_token(token.id, now, (event,))

    def made_by(self, token: ApiToken) -> tuple[ApiToken, ...]:
        """List the good tokens that a token made, and those that these made: who found it may have kept one."""
        found: list[ApiToken] = []
        makers = [token]
        while makers:
            made = [each for each in self._made_directly(makers.pop()) if each not in found]
            found += made
            makers += made
        return tuple(found)

    def _made_directly(self, maker: ApiToken) -> list[ApiToken]:
        return [
            each
            for each in self._store.tokens()
            if each.revoked_at is None
            and each.id != maker.id
            and each.created_by == f"token:{maker.name}"
            and each.created_at >= maker.created_at
        ]

    def _details(self, token: ApiToken) -> dict[str, JsonValue]:
        owner = None if token.owner is None else self._store.administrator(token.owner)
        return {"id": str(token.id), "owner": owner.name if owner is not None else None}
