"""What travels through this room: requests that a protocol has read and verified, and the evidence for them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from regalia.errors import InvariantError
from regalia.model import Actor, ActorKind, ConversationKey
from regalia.wire.csr import read_csr

if TYPE_CHECKING:
    from datetime import datetime

    from regalia.model import Authorisation, Certificate, Door, Enrolment, LineageLink, Names
    from regalia.ra.bearers import Bearers
    from regalia.wire.csr import Csr
    from regalia.wire.scep_data import IssuerAndSerial

__all__ = ["EnrolmentRequest", "Evidence", "PollRequest", "RetrievalRequest", "Vouched", "stored_request"]


@dataclass(frozen=True, slots=True)
class Vouched:
    """What an administrator answers for who orders a certificate that no device asks for."""

    names: Names
    device: str | None
    actor: Actor


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
    keyed_by_challenge: bool = False
    """Whether its sender cannot decrypt, so that the answer is encrypted under its challenge (RFC 8894 §3.1)."""
    legacy: tuple[str, ...] = ()
    """What of the message only the endpoint's `legacy` switch let in (SIG-5)."""
    vouched: Vouched | None = None
    """An administrator's word, where no device asks (`ra.order`)."""

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
        """Who asks, as far as anybody knows: a device at an address, or the administrator who orders."""
        if self.vouched is not None:
            return self.vouched.actor
        return Actor(ActorKind.DEVICE, self.source, self.source)


@dataclass(frozen=True, slots=True)
class PollRequest:
    """A verified CertPoll: what became of my enrolment? (RFC 8894 §3.3.3)."""

    door: Door
    transaction_id: bytes
    key_sha256: bytes
    """SHA-256 of the SubjectPublicKeyInfo of whoever signed the poll: only the enrolment's own key may ask (MSG-3)."""
    source: str
    """The socket peer's address."""
    received_at: datetime
    described: str
    """The message in a few words, as for a request."""
    keyed_by_challenge: bool = False
    """As for a request; here it is the challenge of the request that is polled for."""
    legacy: tuple[str, ...] = ()
    """As for a request."""


@dataclass(frozen=True, slots=True)
class RetrievalRequest:
    """A verified GetCert or GetCRL (RFC 8894 §3.3.4)."""

    door: Door
    transaction_id: bytes
    wanted: IssuerAndSerial
    """The certificate that is asked for, or whose issuer's CRL is."""
    signer: Certificate | None
    """The live certificate that signed it, or None for a NEW signer."""
    key_sha256: bytes
    """SHA-256 of the SubjectPublicKeyInfo of whoever signed it."""
    source: str
    """The socket peer's address."""
    received_at: datetime
    described: str
    """The message in a few words, as for a request."""
    legacy: tuple[str, ...] = ()
    """As for a request."""


def stored_request(enrolment: Enrolment, door: Door, *, source: str, at: datetime, described: str) -> EnrolmentRequest:
    """Make the request of a NEW-signer conversation again from what is stored of it, as if it came at `at`.

    Its message was verified when it came. What may have changed since, the door and the time, are the caller's.
    """
    csr = read_csr(enrolment.csr)
    request = EnrolmentRequest(
        door=door,
        transaction_id=enrolment.key.transaction_id,
        csr=csr,
        signer=None,
        challenge_mac=enrolment.key.challenge_mac,
        source=source,
        received_at=at,
        described=described,
    )
    if request.conversation != enrolment.key or csr.asked != enrolment.asked:
        raise InvariantError(f"the stored request of enrolment {enrolment.id} is not the one that it describes")
    return request


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why this request may be granted, and what it may be granted at most."""

    authorisation: Authorisation | None
    """None where nobody has said yes so far: an administrator is to be asked."""
    lineage: LineageLink
    names: Names | None
    """The names that the evidence fixes; None where it fixes none (a bearer challenge, a static one)."""
    described: str
    """In a few words, for the stages."""
    bearers: Bearers | None = None
    """The records of whom it is for, where they were judged; None: as its lineage says, and still to be judged."""
    second_key: str = ""
    """Why the key waits for a person, where that is why nobody has said yes."""
