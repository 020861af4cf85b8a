"""CRLs in the database and as files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime
    from uuid import UUID

    from regalia.model import (
        CrlIntent,
        CrlRecord,
        EventDraft,
    )

__all__ = [
    "CrlFiles",
    "Crls",
    "PublishedCrl",
    "ReservedCrl",
    "StreamedFile",
]


@dataclass(frozen=True, slots=True)
class ReservedCrl:
    """A number and the snapshot it stands for."""

    id: UUID
    number: int
    snapshot: int


class Crls(Protocol):
    """The record of CRLs (REV-2)."""

    def reserve_crl(self, crl_id: UUID, authority: str, at: datetime, *, shard: int = 0) -> ReservedCrl:
        """Allocate number = max(last + 1, Unix nanoseconds of `at`) and fix the snapshot, in one transaction.

        All lists of an authority take their numbers from one counter: each list's own rise (RFC 5280 §5.2.3).
        """

    def reserve_delta(self, crl_id: UUID, complete: CrlRecord, base: int, at: datetime) -> ReservedCrl:
        """Number and snapshot of a delta CRL: those of the complete CRL that it accompanies (RFC 5280 §5.2.4)."""

    def crl_entries(
        self, authority: str, shards: range, snapshot: int, expiring_after: datetime
    ) -> Iterator[Sequence[bytes]]:
        """What these lists say at a snapshot: DER of each entry whose notAfter is later than `expiring_after`.

        Streamed in pages: revoked by list and serial, then held.
        """

    def crl_changes(
        self, authority: str, shards: range, snapshot: int, expiring_after: datetime, since: int
    ) -> Iterator[Sequence[bytes]]:
        """What changed in these lists after the snapshot `since`; removeFromCRL for what was held and released."""

    def crl_changed(self, authority: str, shards: range, snapshot: int) -> bool:
        """Whether a certificate of these lists was revoked, held or released after a snapshot."""

    def delta_base(self, complete: CrlRecord, now: datetime) -> CrlRecord:
        """The oldest published CRL of the same name and scope whose nextUpdate is to come: what a delta begins from.

        Whoever still holds a CRL that is good can then combine it with the newest delta. `complete` if there is none.
        """

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

    def last_crl(self, name: str) -> CrlRecord | None:
        """The published CRL of this name (`model.crl_name`) with the highest number."""

    def revocation_count(self, authority: str) -> int:
        """How often a certificate was revoked, held or released; `CrlRecord.snapshot` is this at its time."""


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
