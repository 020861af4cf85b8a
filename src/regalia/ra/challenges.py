"""One-time challenges: minted, listed, revoked. The secret is told once and kept only as a keyed hash (CHA-1)."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from regalia import reasons
from regalia.errors import AdminError, PeerError
from regalia.model import Action, Challenge, EventDraft, Names, Outcome, new_id
from regalia.ports import Catalogue, Challenges
from regalia.wire.event import time_text
from regalia.wire.names import check_names

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from regalia.model import Actor, JsonValue
    from regalia.ports import Clock, Entropy

__all__ = ["MAX_TTL", "ChallengeDesk", "ChallengeStore", "Minted"]

_SECRET_OCTETS = 20
"""160 bits, more than CHA-1's 128, and exactly 32 base32 letters: no ambiguity, no shell or XML escaping."""
MAX_TTL = timedelta(days=30)


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
        if found is None or not found.enabled or found.authoriser != "one-time":
            raise AdminError(reasons.NOT_FOUND, f"no enabled endpoint {endpoint!r} with one-time challenges")
        if not timedelta(seconds=1) <= ttl <= MAX_TTL:
            raise AdminError(reasons.USAGE, "--ttl must lie between 1 second and 30 days")
        try:
            check_names(binding)
        except PeerError as fault:
            raise AdminError(reasons.BINDING_REFUSED, fault.detail) from fault
        now = self._clock.now()
        secret = base64.b32encode(self._entropy.octets(_SECRET_OCTETS)).decode("ascii")
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
        details: dict[str, JsonValue] = {
            "endpoint": endpoint,
            "binding": list(binding.listed()),
            "expires_at": time_text(challenge.expires_at),
        }
        if device is not None:
            details["device"] = device
        event = EventDraft(
            now, actor, Action.CHALLENGE_CREATED, f"challenge:{challenge.id}", Outcome.OK, found.group, details=details
        )
        self._store.add_challenge(challenge, (event,))
        return Minted(challenge, secret)

    def revoke(self, challenge_id: UUID, actor: Actor) -> Challenge:
        """Withdraw an open challenge. Raises `AdminError`: ADM-004 unknown, ADM-014 used or revoked already."""
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
