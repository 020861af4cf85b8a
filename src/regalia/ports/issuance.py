"""Enrolments, issuance and what was issued."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from regalia.model import (
        Certificate,
        CertificateIntent,
        CertificateKind,
        CertificateState,
        ConversationKey,
        Enrolment,
        EnrolmentState,
        EventDraft,
        Hold,
        Known,
        Revocation,
        StageNote,
    )
    from regalia.ports.fleet import Notice
    from regalia.ports.lists import Listed, Place

__all__ = [
    "Begun",
    "CertificateFilter",
    "Certificates",
    "EnrolmentFilter",
    "Enrolments",
    "Issuance",
    "SerialStatus",
]


@dataclass(frozen=True, slots=True)
class EnrolmentFilter:
    """Which enrolments to list, newest first."""

    state: EnrolmentState | None = None
    endpoint: str | None = None
    limit: int = 50
    groups: frozenset[str] | None = None
    """Only of these groups; None for all (AUTHZ-4). For pages, as what follows."""
    search: str = ""
    """Text that a field begins with, or holds where it has three characters or more."""
    after: Place | None = None
    reason: str | None = None
    """Only what was refused for this reason; for pages, as what follows."""
    endpoints: frozenset[str] | None = None
    """Only what came by one of these."""
    changed_from: datetime | None = None
    """Only what got into its state then or later."""
    changed_before: datetime | None = None


class Enrolments(Protocol):
    """Conversations."""

    def known(self, key: ConversationKey, since: datetime) -> Known:
        """What a request with this conversation key meets, in one round trip.

        The open conversation is neither refused nor closed. A transactionID belongs to a NEW-signer conversation while
        that has no certificate yet, or was created at or after `since` (R3). Nothing holds it still: what must not
        change until TX1 is looked at there again.
        """

    def enrolment(self, enrolment_id: UUID) -> Enrolment | None: ...
    def enrolments(self, wanted: EnrolmentFilter) -> tuple[Enrolment, ...]: ...
    def enrolment_page(self, wanted: EnrolmentFilter) -> Listed[Enrolment]:
        """One page, newest first; `search` looks into id, transactionID, endpoint, group, profile, names and source."""

    def conversation_of(self, endpoint: str, transaction_id: bytes, key_sha256: bytes) -> Enrolment | None:
        """The newest open NEW-signer conversation of this transaction and key: what a CertPoll asks for (MSG-3)."""

    def hold(
        self,
        enrolment: Enrolment,
        events: Sequence[EventDraft],
        *,
        closes: UUID | None = None,
        sealed_challenge: bytes | None = None,
    ) -> Begun:
        """Insert a pending enrolment. `closes` and the outcomes are those of `Issuance.begin`.

        `sealed_challenge` (`Sealer`) is kept for a device that cannot decrypt: it keys the answer to its polls.
        """

    def sealed_challenge(self, enrolment_id: UUID) -> bytes | None:
        """What `hold` was given, until it is forgotten."""

    def forget_sealed_challenges(self, before: datetime) -> int:
        """Delete those of enrolments that are no longer pending since this time. Returns how many."""

    def dismiss(
        self, enrolment_id: UUID, at: datetime, reason_id: str, detail: str, events: Sequence[EventDraft]
    ) -> bool:
        """PENDING → REFUSED, which closes the conversation. False where it is not pending (any more)."""

    def pending_count(self, group: str) -> int:
        """How many enrolments of a group wait for a decision (RES-5)."""

    def pending_since(self, before: datetime, limit: int) -> tuple[Enrolment, ...]:
        """Pending enrolments that were created earlier, oldest first."""

    def record_refusal(self, enrolment: Enrolment, events: Sequence[EventDraft]) -> None: ...
    def forget_refusals(self, before: datetime) -> int:
        """Delete refused enrolments older than this (R13: 30 days). Returns how many."""


class Begun(StrEnum):
    """How TX1 ended."""

    BEGUN = "begun"
    CHALLENGE_TAKEN = "challenge-taken"
    CONVERSATION_TAKEN = "conversation-taken"
    TRANSACTION_TAKEN = "transaction-taken"
    SIGNER_REVOKED = "signer-revoked"
    GROUP_SUSPENDED = "group-suspended"
    AUTHORITY_ENDED = "authority-ended"


class Issuance(Protocol):
    """The two-phase record of each certificate (security.md §6)."""

    def begin(
        self,
        intent: CertificateIntent,
        events: Sequence[EventDraft],
        *,
        enrolment: Enrolment | None = None,
        consume: UUID | None = None,
        closes: UUID | None = None,
        resumes: UUID | None = None,
        approves: bool = False,
        notice: Notice | None = None,
    ) -> Begun:
        """TX1. Insert the intent and, with an enrolment, that too; all or nothing.

        `notice` is what a connector is to be told of the certificate (R8); it takes the place of an earlier one of the
        same enrolment.

        `consume`: id of the one-time challenge to consume; it must be open and unexpired at `intent.created_at`,
        else CHALLENGE_TAKEN. `closes`: an older enrolment of the same conversation key that is closed first.
        `resumes`: the abandoned certificate that `enrolment`, already stored, still points to; the row is moved to
        the new certificate, else CONVERSATION_TAKEN. `approves`: `enrolment` is stored and still pending; the row is
        moved to INTENT with this certificate, else CONVERSATION_TAKEN. A second open enrolment of one conversation
        key gives CONVERSATION_TAKEN; R3's rule on transactionIDs, checked again here for a NEW signer,
        TRANSACTION_TAKEN; a predecessor that was revoked since it was looked at, SIGNER_REVOKED. For a device's
        certificate a group that is suspended by now gives GROUP_SUSPENDED, an authority that is revoked or retired
        AUTHORITY_ENDED: whoever decided may have read of them before.
        """

    def finish(
        self,
        certificate_id: UUID,
        der: bytes,
        at: datetime,
        events: Sequence[EventDraft],
        stages: Sequence[StageNote] = (),
    ) -> bool:
        """TX2. INTENT → ISSUED, and its enrolment with it, whose stages grow by `stages`.

        False where it is no longer an INTENT.
        """

    def abandon(self, certificate_id: UUID, at: datetime, events: Sequence[EventDraft]) -> bool:
        """INTENT → ABANDONED, revoked in the same transaction (ISS-2). False where it is no longer an INTENT."""

    def expired_intents(self, now: datetime, limit: int) -> tuple[Certificate, ...]:
        """Intents whose lease ended before `now`, oldest first.

        Also those begun more than a lease after `now`: the clock has been set back since.
        """


@dataclass(frozen=True, slots=True)
class CertificateFilter:
    """Which certificates to list, newest first unless said otherwise."""

    kind: CertificateKind | None = None
    group: str | None = None
    authority: str | None = None
    revoked: bool | None = None
    subject: str | None = None
    """The whole subject, as RFC 4514 text."""
    device: str | None = None
    state: CertificateState | None = None
    live_at: datetime | None = None
    """Only what is issued and ends later; whether it was revoked is asked by `revoked`."""
    expired_at: datetime | None = None
    """Only what has ended by then, what ended last first."""
    limit: int = 50
    groups: frozenset[str] | None = None
    """Only of these groups; None for all, and for what belongs to none (AUTHZ-4). For pages, as what follows."""
    search: str = ""
    """Text that a field begins with, or holds where it has three characters or more."""
    by_end: bool = False
    """What ends first comes first, instead of the newest. Not with `search` or `expired_at`."""
    after: Place | None = None
    device_id: UUID | None = None
    """Only what is bound to this record of a device; for pages, as what follows."""
    user_id: UUID | None = None
    """Only what is bound to this record of a user."""
    endpoints: frozenset[str] | None = None
    """Only what was enrolled at one of these."""
    begun_from: datetime | None = None
    begun_before: datetime | None = None
    ends_after: datetime | None = None
    ends_by: datetime | None = None
    followed: bool | None = None
    """Only what another one of its chain, or of its device in its group, came after; or only what none did."""
    ended_from: datetime | None = None
    """Only what was revoked then or later, or is on hold since."""
    cause: str | None = None
    """Only what ended for this cause, as `Counting.count_ended` names it."""


@dataclass(frozen=True, slots=True)
class SerialStatus:
    """All that OCSP needs to know of a serial."""

    issued: bool
    abandoned: bool
    revocation: Revocation | None


class Certificates(Protocol):
    """Issued certificates and their end."""

    def certificate(self, certificate_id: UUID) -> Certificate | None: ...
    def certificate_by_serial(self, authority: str, serial: int) -> Certificate | None: ...
    def certificates_by_key(self, key_sha256: bytes) -> tuple[Certificate, ...]:
        """Every certificate that was ever begun for this key, newest first."""

    def certificates(self, wanted: CertificateFilter) -> tuple[Certificate, ...]: ...
    def certificate_page(self, wanted: CertificateFilter) -> Listed[Certificate]:
        """One page, in the order of `certificates` or as `by_end` says.

        `search` looks into serial, fingerprint, SHA-256 of the key, transactionID, subject, names, device, group,
        authority and profile.
        """

    def find_serial(self, serial: int) -> tuple[Certificate, ...]:
        """Certificates of all authorities with this serial: none or one, unless somebody imports."""

    def newest_generation(self, first: UUID) -> int:
        """Highest generation issued in the chain of renewals that this enrolment began."""

    def withdrawn_since(self, first: UUID, generation: int) -> bool:
        """Whether a certificate of this or a later generation in the chain was revoked because trust ended.

        Not counted: superseded ones, and intents that were abandoned.
        """

    def begun_since(self, since: datetime, *, device: str | None = None, chain: UUID | None = None) -> int:
        """How many leaves were begun since then for a device, or in a chain of renewals; exactly one is given (RES-5).

        An abandoned one counts no more.
        """

    def serial_status(self, authority: str, serial: int) -> SerialStatus | None: ...
    def revoke(self, revocation: Revocation, events: Sequence[EventDraft]) -> bool:
        """End a certificate for good, and with it a hold. False where it is revoked for good already, or unknown."""

    def hold_certificate(self, hold: Hold, events: Sequence[EventDraft]) -> bool:
        """Suspend an issued certificate until it is released or revoked. False where it is held or revoked already."""

    def release_certificate(
        self,
        certificate_id: UUID,
        at: datetime,
        by: str,
        note: str,
        events: Sequence[EventDraft],
        *,
        instead: Hold | None = None,
    ) -> bool:
        """End its hold, or have another one take its place. False where it is not on hold (REV-1)."""

    def compromise_key(self, key_sha256: bytes, at: datetime, by: str, note: str, events: Sequence[EventDraft]) -> bool:
        """Block a key for ever (KEY-2). False where it is blocked already."""

    def is_compromised(self, key_sha256: bytes) -> bool:
        """Whether `compromise_key` was told of it."""

    def holds(self, certificate_id: UUID) -> tuple[Hold, ...]:
        """Every time that it was on hold, oldest first."""

    def live_by_list(self, authority: str, now: datetime) -> Mapping[int, int]:
        """How many certificates of an authority have not expired, by `CertificateIntent.shard`."""
