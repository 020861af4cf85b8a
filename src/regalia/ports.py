"""What the core needs from the outside, as few and small protocols. Adapters live in `store`, `keys` and `app`.

Every method is plain `def`, safe to call from several threads, and each method that writes is exactly one durable
transaction that includes the events it is given (AUD-1): it returns after the commit or raises. A method raises
`UnavailableError` where the database or the key cannot be reached; a lost race is a return value, never an exception.
Every port has its fake in `tests/fakes.py`; adapter and fake pass the same contract tests in `tests/store`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime
    from pathlib import Path
    from uuid import UUID

    from regalia.model import (
        Authority,
        AuthorityState,
        Certificate,
        CertificateIntent,
        CertificateKind,
        Challenge,
        Change,
        ConversationKey,
        Credential,
        CredentialPurpose,
        CrlIntent,
        CrlRecord,
        Door,
        Endpoint,
        Enrolment,
        EnrolmentState,
        Event,
        EventDraft,
        Group,
        KeyKind,
        Known,
        Profile,
        Revocation,
        RevokedEntry,
        SigningIntent,
        StageNote,
    )

__all__ = [
    "Authorities",
    "Begun",
    "Catalogue",
    "CertificateFilter",
    "Certificates",
    "Challenges",
    "ChangeFeed",
    "Clock",
    "CrlFiles",
    "Crls",
    "EnrolmentFilter",
    "Enrolments",
    "Entropy",
    "EventFilter",
    "Events",
    "IntentSigner",
    "Intents",
    "Issuance",
    "JobStatus",
    "Jobs",
    "KeyStore",
    "KeyVault",
    "NewKey",
    "PrivateKey",
    "PublishedCrl",
    "ReservedCrl",
    "SerialStatus",
    "Store",
    "StreamedFile",
    "WrappedKey",
]


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """Now, aware UTC, cut to milliseconds."""


class Entropy(Protocol):
    """The one source of randomness."""

    def octets(self, count: int) -> bytes:
        """`count` octets fit for keys, serials, nonces and challenges."""


# --- keys -----------------------------------------------------------------------------------------------------------


class PrivateKey(Protocol):
    """A private key that stays where it is. Raises `UnavailableError` when it cannot be reached."""

    @property
    def public_key(self) -> bytes:
        """DER SubjectPublicKeyInfo."""

    def sign(self, data: bytes, digest: str) -> bytes:
        """Sign with RSA PKCS#1 v1.5 or deterministic ECDSA (RFC 6979, ISS-2); `digest` is `sha256|sha384|sha512`.

        ECDSA signatures are DER (RFC 3279 §2.2.3).
        """

    def decrypt(self, ciphertext: bytes) -> bytes:
        """RSA PKCS#1 v1.5 with implicit rejection: never raises for what the ciphertext holds (ENV-1)."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just generated."""

    id: UUID
    public_key: bytes
    """DER SubjectPublicKeyInfo."""


class KeyStore(Protocol):
    """Private keys by id: RA and OCSP keys to use, all keys to generate. CA signatures go through `IntentSigner`."""

    def generate(
        self, kind: KeyKind, scope: str, told: Callable[[NewKey], Sequence[EventDraft]] = lambda _: ()
    ) -> NewKey:
        """Make and keep a key. `scope` is bound into its encryption (SEC-1) and says what it is for.

        `told` writes the events of the change, which are committed with the key (AUD-1).
        """

    def open(self, key_id: UUID) -> PrivateKey:
        """Use a key. Raises `UnavailableError` (CA-010) where it is not on this machine."""

    def holds(self, key_id: UUID) -> bool:
        """Whether the key is on this machine."""

    def move_out(self, key_id: UUID, directory: Path, events: Sequence[EventDraft] = ()) -> Path:
        """Write the key, still wrapped, into `directory`, read it back, then destroy our copy. Returns the file.

        The events are committed with the destruction.
        """


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """A private key under the master key."""

    id: UUID
    kind: KeyKind
    scope: str
    public_key: bytes
    blob: bytes
    """nonce ‖ AES-256-GCM ciphertext; associated data binds id, kind and scope."""
    created_at: datetime


class KeyVault(Protocol):
    """Where wrapped keys lie."""

    def put_key(self, key: WrappedKey, events: Sequence[EventDraft] = ()) -> None:
        """Keep a new wrapped key."""

    def get_key(self, key_id: UUID) -> WrappedKey | None:
        """The wrapped key, if it lies here."""

    def destroy_key(self, key_id: UUID, events: Sequence[EventDraft] = ()) -> bool:
        """Forget a wrapped key; False, and no events, where there was none."""


class IntentSigner(Protocol):
    """The only way to a CA signature (R8)."""

    def sign_intent(self, row_id: UUID) -> bytes:
        """Sign what the committed row with this id holds: a certificate's bytes, or a CRL's file after hashing it.

        Returns the signature octets. Signing the same row twice gives the same octets with software keys.
        Raises `UnavailableError`: CA-010 where the key is elsewhere, CA-013 where there is no such intent (any more:
        who settles an intent races with others); `InvariantError` where the file is not the one that the row describes.
        """


class Intents(Protocol):
    """What a signer may read: committed intents, nothing else."""

    def signing_intent(self, row_id: UUID) -> SigningIntent | None:
        """The committed intent of a certificate or CRL; None where it is not (or no longer) one."""


# --- the catalogue: what administrators set up ----------------------------------------------------------------------


class Authorities(Protocol):
    """Authorities and credentials."""

    def authority(self, name: str) -> Authority | None: ...
    def authorities(self) -> tuple[Authority, ...]: ...
    def add_authority(self, authority: Authority, events: Sequence[EventDraft]) -> bool:
        """False where the name is taken."""

    def set_authority_state(self, name: str, state: AuthorityState, events: Sequence[EventDraft]) -> None: ...
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

    def disable_endpoint(self, name: str, events: Sequence[EventDraft]) -> bool:
        """False where it is unknown or disabled already."""

    def door(self, endpoint: str) -> Door | None:
        """One consistent view of an enabled or disabled endpoint; served from memory until a change notice."""


class Challenges(Protocol):
    """One-time and static challenges."""

    def challenge(self, mac: bytes) -> Challenge | None: ...
    def challenge_by_id(self, challenge_id: UUID) -> Challenge | None: ...
    def challenges(self, endpoint: str | None = None) -> tuple[Challenge, ...]:
        """Newest first."""

    def add_challenge(self, challenge: Challenge, events: Sequence[EventDraft]) -> None: ...
    def rotate_challenge(self, challenge: Challenge, until: datetime, events: Sequence[EventDraft]) -> None:
        """Add a static challenge of its endpoint; the one in use so far ends at `until` at the latest.

        Every other one is revoked at `challenge.created_at`, and that one too where `until` is not later: never more
        than two are good at a time (CHA-2).
        """

    def revoke_challenge(self, challenge_id: UUID, at: datetime, events: Sequence[EventDraft]) -> bool:
        """False where it is unknown, used or revoked already."""


# --- enrolments and issuance ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EnrolmentFilter:
    """Which enrolments to list, newest first."""

    state: EnrolmentState | None = None
    endpoint: str | None = None
    limit: int = 50


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
    def conversation_of(self, endpoint: str, transaction_id: bytes, key_sha256: bytes) -> Enrolment | None:
        """The newest open NEW-signer conversation of this transaction and key: what a CertPoll asks for (MSG-3)."""

    def hold(self, enrolment: Enrolment, events: Sequence[EventDraft], *, closes: UUID | None = None) -> Begun:
        """Insert a pending enrolment. `closes` and the outcomes are those of `Issuance.begin`."""

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
    ) -> Begun:
        """TX1. Insert the intent and, with an enrolment, that too; all or nothing.

        `consume`: id of the one-time challenge to consume; it must be open and unexpired at `intent.created_at`,
        else CHALLENGE_TAKEN. `closes`: an older enrolment of the same conversation key that is closed first.
        `resumes`: the abandoned certificate that `enrolment`, already stored, still points to; the row is moved to
        the new certificate, else CONVERSATION_TAKEN. `approves`: `enrolment` is stored and still pending; the row is
        moved to INTENT with this certificate, else CONVERSATION_TAKEN. A second open enrolment of one conversation
        key gives CONVERSATION_TAKEN; R3's rule on transactionIDs, checked again here for a NEW signer,
        TRANSACTION_TAKEN; a predecessor that was revoked since it was looked at, SIGNER_REVOKED.
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
    """Which certificates to list, newest first."""

    kind: CertificateKind | None = None
    group: str | None = None
    authority: str | None = None
    revoked: bool | None = None
    limit: int = 50


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
        """False where it is revoked already, or unknown."""


# --- CRLs -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReservedCrl:
    """A number and the snapshot it stands for."""

    id: UUID
    number: int
    snapshot: int


class Crls(Protocol):
    """The record of CRLs (REV-2)."""

    def reserve_crl(self, crl_id: UUID, authority: str, at: datetime) -> ReservedCrl:
        """Allocate number = max(last + 1, Unix nanoseconds of `at`) and fix the snapshot, in one transaction."""

    def revoked_entries(self, authority: str, snapshot: int, expiring_after: datetime) -> Iterator[RevokedEntry]:
        """The revoked serials of the snapshot whose notAfter is later than `expiring_after`, by serial. Streamed."""

    def begin_crl(self, intent: CrlIntent) -> None:
        """Commit what is about to be signed."""

    def finish_crl(
        self, crl_id: UUID, record: CrlRecord, octets: Iterable[bytes], events: Sequence[EventDraft]
    ) -> bool:
        """Publish: the record and the signed CRL's octets in one transaction; older octets of the authority go.

        False where a CRL of a higher number is published already.
        """

    def crl_octets(self, record: CrlRecord) -> Iterator[bytes]:
        """The published CRL in chunks, so that each node can serve a copy. Ends early where a newer one came."""

    def last_crl(self, authority: str) -> CrlRecord | None:
        """The published CRL with the highest number."""

    def revocation_count(self, authority: str) -> int:
        """The authority's revocation counter; above `CrlRecord.snapshot` means that a new CRL is due."""


@dataclass(frozen=True, slots=True)
class StreamedFile:
    """A file that was written chunk by chunk."""

    path: str
    length: int
    sha256: bytes


@dataclass(frozen=True, slots=True)
class PublishedCrl:
    """A CRL file as served."""

    path: str
    length: int
    modified: datetime


class CrlFiles(Protocol):
    """CRL files: a spool for work, and the published ones."""

    def write(self, chunks: Iterable[bytes]) -> StreamedFile:
        """Write a new spool file."""

    def read(self, path: str) -> Iterator[bytes]:
        """Read a spool file, or the path of one that is served, in chunks."""

    def discard(self, path: str) -> None:
        """Remove a spool file; gone already is fine."""

    def publish(self, authority: str, path: str) -> PublishedCrl:
        """Put a finished spool file in the place of the authority's CRL, atomically and durably."""

    def published(self, authority: str) -> PublishedCrl | None:
        """The CRL that is served now."""

    def digest(self, authority: str) -> bytes | None:
        """SHA-256 of the CRL that is served now; read anew only where the file changed."""

    def one_at_a_time(self) -> AbstractContextManager[None]:
        """Keep other threads and processes from this block until it is left."""


# --- events, changes, jobs ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events to show, newest last."""

    action: str | None = None
    object: str | None = None
    group: str | None = None
    security: bool | None = None
    limit: int = 50


class Events(Protocol):
    """The audit log (AUD-1, AUD-2)."""

    def record(self, events: Sequence[EventDraft]) -> None:
        """Append events that belong to no other change."""

    def events(self, wanted: EventFilter) -> tuple[Event, ...]:
        """The newest that match, oldest of them first."""

    def streams(self) -> tuple[tuple[str, int, bytes], ...]:
        """Each stream's name, last sequence number and last hash as its head says."""

    def stream(self, name: str) -> Iterator[tuple[int, bytes, bytes, str, bool]]:
        """A stream in order of its rows.

        Each: sequence, previous hash, hash, canonical record text, whether the columns that queries use agree with it.
        """


class ChangeFeed(Protocol):
    """Notices of what other processes changed (R9)."""

    def wait(self, timeout: float) -> tuple[Change, ...] | None:
        """Changes since the last call, after at most `timeout` seconds; None while the channel is down."""


@dataclass(frozen=True, slots=True)
class JobStatus:
    """When a job last ran, and how it ended."""

    name: str
    last_run: datetime | None
    last_error: str


class Jobs(Protocol):
    """Leases, so that each job runs once in a cluster."""

    def lease(self, job: str, holder: str, now: datetime, until: datetime) -> bool:
        """Take or extend the lease; False while another holder has it.

        A lease that ends more than a minute after `until` holds nobody up: the clock has been set back since.
        """

    def finished(self, job: str, holder: str, at: datetime, error: str) -> None:
        """Give the lease back and note the outcome; an empty error means success."""

    def job_status(self) -> tuple[JobStatus, ...]: ...


class Store(
    Authorities,
    Catalogue,
    Challenges,
    Enrolments,
    Issuance,
    Certificates,
    Crls,
    Events,
    Jobs,
    KeyVault,
    Intents,
    Protocol,
):
    """All of the above over one database. Take the smallest port that you need; only `app` names this one."""

    def check(self) -> str:
        """Raise `UnavailableError` where the database does not answer; else its kind and version, for people."""
