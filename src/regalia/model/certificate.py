"""Certificates, revocations and CRLs, before and after they are signed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from regalia.model.names import Names

__all__ = [
    "Certificate",
    "CertificateIntent",
    "CertificateKind",
    "CertificateState",
    "CrlIntent",
    "CrlRecord",
    "Hold",
    "Revocation",
    "RevocationReason",
    "RevokedEntry",
    "SigningIntent",
    "crl_name",
]


class CertificateKind(StrEnum):
    """What a certificate is for; LEAF is the only kind that devices get."""

    ROOT = "root"
    ISSUING = "issuing"
    RA = "ra"
    OCSP = "ocsp"
    TLS = "tls"
    CROSS = "cross"
    """A CA's name and key certified by another CA, so that trust in either reaches it (RFC 5280 §3.2)."""
    LEAF = "leaf"


class CertificateState(StrEnum):
    """INTENT → ISSUED or ABANDONED; both final (ISS-2). Revocation is beside it, not in it."""

    INTENT = "intent"
    ISSUED = "issued"
    ABANDONED = "abandoned"


class RevocationReason(IntEnum):
    """CRLReason of RFC 5280 §5.3.1. All but CERTIFICATE_HOLD end a certificate for good (REV-1)."""

    UNSPECIFIED = 0
    KEY_COMPROMISE = 1
    CA_COMPROMISE = 2
    AFFILIATION_CHANGED = 3
    SUPERSEDED = 4
    CESSATION_OF_OPERATION = 5
    CERTIFICATE_HOLD = 6
    PRIVILEGE_WITHDRAWN = 9


@dataclass(frozen=True, slots=True)
class Revocation:
    """What ended a certificate, and why; with CERTIFICATE_HOLD what suspends it for now."""

    certificate_id: UUID
    reason: RevocationReason
    cause: str
    """`administrator`, `abandoned`, `imported` with its authority, or `crl`: one from elsewhere says so."""
    actor: str
    at: datetime
    note: str = ""


@dataclass(frozen=True, slots=True)
class Hold:
    """One time that a certificate was on hold; it may be held again after a release, and never after its end."""

    certificate_id: UUID
    cause: str
    """`administrator`."""
    actor: str
    at: datetime
    note: str = ""
    released: bool = False
    """Whether it ended by a release; it ends by a final revocation as well."""
    ended_by: str | None = None
    ended_at: datetime | None = None
    """None while it lasts."""
    ended_note: str = ""


@dataclass(frozen=True, slots=True)
class CertificateIntent:
    """A certificate about to be signed: the row of TX1 (security.md §6 step 4)."""

    id: UUID
    kind: CertificateKind
    authority: str
    """Name of the signing authority; a root names itself."""
    key_id: UUID
    """The signing key."""
    serial: int
    tbs: bytes
    """DER of the TBSCertificate, exactly what will be signed."""
    group: str | None
    profile: str | None
    profile_version: int | None
    subject: str
    """RFC 4514 text."""
    names: Names
    device: str | None
    unverified: bool
    key_sha256: bytes
    not_before: datetime
    not_after: datetime
    enrolment_id: UUID | None
    generation: int
    lease_until: datetime
    created_at: datetime
    shard: int = 0
    """Which partial CRL tells of it, from 1; 0: the full one. Chosen when it is issued, for ever."""
    device_id: UUID | None = None
    """Of the device's record that it is bound to; whatever happens to that device follows it."""
    user_id: UUID | None = None
    """Of the user's record, the same."""

    def records(self) -> dict[str, UUID]:
        """Name the records that it is bound to."""
        found = {"device_id": self.device_id, "user_id": self.user_id}
        return {name: record for name, record in found.items() if record is not None}


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate row as read: an intent, what became of it, and its revocation if any."""

    intent: CertificateIntent
    state: CertificateState
    der: bytes | None
    """None until issued."""
    issued_at: datetime | None
    revocation: Revocation | None

    @property
    def id(self) -> UUID:
        """The row's id."""
        return self.intent.id

    @property
    def serial(self) -> int:
        """The serial number."""
        return self.intent.serial


class RevokedEntry(NamedTuple):
    """What a CRL says about one serial, as it is stored: a list of a million has no time to make more of it."""

    serial: bytes
    """Big-endian, leading zeros or none."""
    at: int
    """Milliseconds since 1970."""
    reason: int
    """A `RevocationReason`."""


def crl_name(authority: str, shard: int = 0, *, delta: bool = False) -> str:
    """Name one CRL of an authority: what its file, its record and its address are called.

    Nothing else of ours is called so: `ca.crl_plan` keeps the names of authorities apart from these.
    """
    return authority + (f"-{shard}" if shard else "") + ("-delta" if delta else "")


@dataclass(frozen=True, slots=True)
class CrlIntent:
    """A CRL about to be signed: number, snapshot and the hash of the file the signer must find (R8)."""

    id: UUID
    authority: str
    key_id: UUID
    number: int
    this_update: datetime
    next_update: datetime
    entries: int
    tbs_sha256: bytes
    tbs_path: str
    """Where the streamed TBSCertList waits; the signer reads and hashes it itself."""
    created_at: datetime
    shard: int = 0
    base: int | None = None
    """In a delta CRL the number of the CRL that it begins from."""

    @property
    def name(self) -> str:
        """What the CRL is called."""
        return crl_name(self.authority, self.shard, delta=self.base is not None)


@dataclass(frozen=True, slots=True)
class CrlRecord:
    """A published CRL."""

    authority: str
    number: int
    this_update: datetime
    next_update: datetime
    entries: int
    snapshot: int
    """The authority's revocation counter at the time of the snapshot: a higher one means the CRL is outdated."""
    sha256: bytes
    published_at: datetime
    shard: int = 0
    base: int | None = None
    """In a delta CRL the number of the CRL that it begins from."""
    partial: bool = False
    """Whether it names its scope (IssuingDistributionPoint), since it does not list everything."""

    @property
    def name(self) -> str:
        """What the CRL is called."""
        return crl_name(self.authority, self.shard, delta=self.base is not None)


@dataclass(frozen=True, slots=True)
class SigningIntent:
    """What the signer loads by row id: the key and either the bytes or the file to sign."""

    id: UUID
    key_id: UUID
    tbs: bytes | None
    tbs_path: str | None
    tbs_sha256: bytes | None
    kind: CertificateKind | None = None
    """Of a certificate; None for a CRL and for the request of an authority to be."""
