"""What travels through this room: a request that a protocol has read and verified, and the evidence for it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from regalia.model import Actor, ActorKind, ConversationKey

if TYPE_CHECKING:
    from datetime import datetime

    from regalia.model import Authorisation, Certificate, Door, LineageLink, Names
    from regalia.wire.csr import Csr

__all__ = ["EnrolmentRequest", "Evidence"]


@dataclass(frozen=True, slots=True)
class EnrolmentRequest:
    """A request whose message is verified, whose CSR is read and whose key is proven: steps 1 to 7 are behind it."""

    door: Door
    transaction_id: bytes
    csr: Csr
    signer: Certificate | None
    """The live certificate that signed it, or None for a NEW signer (security.md §3 step 6)."""
    challenge_mac: bytes | None
    """Keyed hash of the challenge in the CSR; the challenge itself goes no further than this."""
    source: str
    """The socket peer's address."""
    received_at: datetime
    described: str
    """The message in a few words, for the stages: type, size, algorithms."""

    @property
    def key_sha256(self) -> bytes:
        """SHA-256 of the requested SubjectPublicKeyInfo."""
        return hashlib.sha256(self.csr.public_key).digest()

    @property
    def conversation(self) -> ConversationKey:
        """What makes a retransmission of this request recognisable (R3)."""
        return ConversationKey(
            endpoint=self.door.endpoint.name,
            transaction_id=self.transaction_id,
            key_sha256=self.key_sha256,
            signer_serial=self.signer.serial if self.signer is not None else None,
            challenge_mac=self.challenge_mac,
        )

    @property
    def actor(self) -> Actor:
        """Who asks, as far as anybody knows: a device at an address."""
        return Actor(ActorKind.DEVICE, self.source, self.source)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why this request may be granted, and what it may be granted at most."""

    authorisation: Authorisation
    lineage: LineageLink
    names: Names | None
    """The names that the evidence fixes; None where it fixes none (a bearer challenge)."""
    described: str
    """In a few words, for the stages."""
