"""Challenges: one-time ones minted, static ones rotated, both revoked (CHA-1, CHA-2).

A secret is told once and kept only as a keyed hash under the master key. For static ones CHA-2 would also allow a slow
hash or encryption; this keeps strictly less, and without the master key it cannot be guessed offline at all.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from regalia import reasons
from regalia.errors import AdminError, PeerError
from regalia.model import Action, Authoriser, Challenge, EventDraft, Names, Outcome, new_id
from regalia.ports import Catalogue, Challenges
from regalia.wire.event import time_text
from regalia.wire.names import check_names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from uuid import UUID

    from regalia.model import Actor, Endpoint, JsonValue
    from regalia.ports import Clock, Entropy

__all__ = [
    "MAX_OVERLAP",
    "MAX_TTL",
    "NO_EXPIRY",
    "OVERLAP",
    "ChallengeDesk",
    "ChallengeStore",
    "Minted",
    "challenge_created",
]

_SECRET_OCTETS = 20
"""160 bits, more than CHA-1's 128, and exactly 32 base32 letters: no ambiguity, no shell or XML escaping."""
MAX_TTL = timedelta(days=30)

OVERLAP = timedelta(days=7)
"""How long the former static challenge stays good after a rotation, unless said otherwise."""
MAX_OVERLAP = timedelta(days=30)
NO_EXPIRY = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""When a static challenge expires that no rotation ends: RFC 5280 §4.1.2.5's way to say never."""
_SECRET_LENGTH = range(20, 129)
_SECRET_VARIETY = 8


class ChallengeStore(Catalogue, Challenges, Protocol):
    """What the desk needs."""


@dataclass(frozen=True, slots=True)
class Minted:
    """A new challenge with its secret, which nobody can learn again."""

    challenge: Challenge
    secret: str


class ChallengeDesk:
    """Hands out challenges for administrators."""

    def __init__(
        self, store: ChallengeStore, clock: Clock, entropy: Entropy, challenge_mac: Callable[[str], bytes]
    ) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._challenge_mac = challenge_mac

    def mint(self, endpoint: str, *, binding: Names, device: str | None, ttl: timedelta, actor: Actor) -> Minted:
        """Make a one-time challenge. An empty binding makes a bearer challenge (R5.4).

        Raises `AdminError`: ADM-004 no such enabled endpoint, ADM-015 a name that no certificate may carry,
        ADM-018 a ttl that is not between a second and 30 days.
        """
        found = self._store.endpoint(endpoint)
        if found is None or not found.enabled or found.authoriser is not Authoriser.ONE_TIME:
            raise AdminError(reasons.NOT_FOUND, f"no enabled endpoint {endpoint!r} with one-time challenges")
        if not timedelta(seconds=1) <= ttl <= MAX_TTL:
            raise AdminError(reasons.USAGE, "--ttl must lie between 1 second and 30 days")
        try:
            check_names(binding)
        except PeerError as fault:
            raise AdminError(reasons.BINDING_REFUSED, fault.detail) from fault
        now = self._clock.now()
        secret = self._random_secret()
        challenge = Challenge(
            id=new_id(now, self._entropy.octets(10)),
            endpoint=endpoint,
            mac=self._challenge_mac(secret),
            binding=binding,
            device=device,
            created_at=now,
            created_by=actor.id,
            expires_at=now + ttl,
        )
        self._store.add_challenge(challenge, (challenge_created(challenge, found.group, actor),))
        return Minted(challenge, secret)

    def rotate(self, endpoint: str, *, secret: str | None = None, overlap: timedelta = OVERLAP, actor: Actor) -> Minted:
        """Give a static or approval endpoint a new static challenge: `secret`, or a random one.

        The one so far stays good for `overlap`, which devices have to learn the new one; an older one ends now. For
        the endpoint's first challenge nothing ends. Raises `AdminError`: ADM-004 no such enabled endpoint, ADM-018 an
        overlap that is not between 0 and 30 days, ADM-024 a secret that is too short or too simple, or was used before.
        """
        found = self._store.endpoint(endpoint)
        if found is None or not found.enabled or found.authoriser not in (Authoriser.STATIC, Authoriser.APPROVAL):
            raise AdminError(reasons.NOT_FOUND, f"no enabled endpoint {endpoint!r} with static challenges")
        if not timedelta(0) <= overlap <= MAX_OVERLAP:
            raise AdminError(reasons.USAGE, "--overlap must lie between 0 and 30 days")
        told = self.checked(secret) if secret is not None else self._random_secret()
        now = self._clock.now()
        challenge = Challenge(
            id=new_id(now, self._entropy.octets(10)),
            endpoint=endpoint,
            mac=self._challenge_mac(told),
            binding=Names(),
            device=None,
            created_at=now,
            created_by=actor.id,
            expires_at=NO_EXPIRY,
            reusable=True,
        )
        event = _rotated(found, challenge, actor, now + overlap, chosen=secret is not None)
        self._store.rotate_challenge(challenge, now + overlap, (event,))
        return Minted(challenge, told)

    def _random_secret(self) -> str:
        return base64.b32encode(self._entropy.octets(_SECRET_OCTETS)).decode("ascii")

    def checked(self, secret: str) -> str:
        """Return it, or raise `AdminError` ADM-024 for a static challenge that anybody could guess (CHA-2).

        Refused as well: what is easily mistyped on its way into a profile, and what is known already.
        """
        if len(secret) not in _SECRET_LENGTH or not (secret.isascii() and secret.isprintable()):
            raise AdminError(reasons.SECRET_REFUSED, "it must have 20 to 128 printable ASCII characters")
        if secret != secret.strip():
            raise AdminError(reasons.SECRET_REFUSED, "it begins or ends with a space")
        if len(set(secret)) < _SECRET_VARIETY:
            raise AdminError(reasons.SECRET_REFUSED, f"fewer than {_SECRET_VARIETY} of its characters differ")
        if self._store.challenge(self._challenge_mac(secret)) is not None:
            raise AdminError(reasons.SECRET_REFUSED, "it was used before, here or at another endpoint")
        return secret

    def revoke(self, challenge_id: UUID, actor: Actor) -> Challenge:
        """Withdraw an open challenge, one-time or static.

        Raises `AdminError`: ADM-004 unknown, ADM-014 used or revoked already.
        """
        challenge = self._store.challenge_by_id(challenge_id)
        if challenge is None:
            raise AdminError(reasons.NOT_FOUND, f"challenge {challenge_id}")
        now = self._clock.now()
        endpoint = self._store.endpoint(challenge.endpoint)
        event = EventDraft(
            now,
            actor,
            Action.CHALLENGE_REVOKED,
            f"challenge:{challenge_id}",
            Outcome.OK,
            endpoint.group if endpoint is not None else None,
        )
        if not self._store.revoke_challenge(challenge_id, now, (event,)):
            raise AdminError(reasons.CHALLENGE_NOT_OPEN, f"challenge {challenge_id}")
        return challenge


def challenge_created(
    challenge: Challenge, group: str, actor: Actor, facts: Mapping[str, JsonValue] = {}
) -> EventDraft:
    """Say that a one-time challenge was handed out, to whom it is bound, and what else is to be known."""
    details: dict[str, JsonValue] = {
        "endpoint": challenge.endpoint,
        "binding": list(challenge.binding.listed()),
        "expires_at": time_text(challenge.expires_at),
    }
    if challenge.device is not None:
        details["device"] = challenge.device
    return EventDraft(
        challenge.created_at,
        actor,
        Action.CHALLENGE_CREATED,
        f"challenge:{challenge.id}",
        Outcome.OK,
        group,
        details={**details, **(facts or {})},
    )


def _rotated(endpoint: Endpoint, challenge: Challenge, actor: Actor, until: datetime, *, chosen: bool) -> EventDraft:
    return EventDraft(
        challenge.created_at,
        actor,
        Action.ENDPOINT_SECRET_ROTATED,
        f"endpoint:{endpoint.name}",
        Outcome.OK,
        endpoint.group,
        details={
            "challenge": str(challenge.id),
            "secret": "given by the administrator" if chosen else "random",
            "former_until": time_text(until),
        },
    )
