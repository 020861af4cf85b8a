"""What the audit log needs beside its records: checkpoints, and the forgetting of personal data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from regalia.model import CheckpointKey, EventDraft, SignedCheckpoint

__all__ = [
    "AuditLog",
    "CheckpointArchive",
    "CheckpointCopy",
    "Checkpoints",
    "Forgotten",
    "PersonalData",
    "PseudonymKey",
    "StoredRecord",
]


class Checkpoints(Protocol):
    """Signed checkpoints, and the public halves of the keys that signed them (AUD-3). Neither is changed or removed."""

    def add_checkpoint(
        self,
        signed: SignedCheckpoint,
        at: datetime,
        key_number: int,
        successor: CheckpointKey | None = None,
        events: Sequence[EventDraft] = (),
    ) -> bool:
        """Keep a checkpoint, and the key that signs from the next one on; False where the number is taken."""

    def last_checkpoint(self) -> SignedCheckpoint | None:
        """The one with the highest number."""

    def checkpoints(self, after: int = 0) -> Iterator[SignedCheckpoint]:
        """All with higher numbers, in order."""

    def add_checkpoint_key(self, key: CheckpointKey) -> bool:
        """Keep the first key; False where its number is taken."""

    def checkpoint_keys(self) -> tuple[CheckpointKey, ...]:
        """All, the first one first."""


class CheckpointCopy(Protocol):
    """A copy of the checkpoints where whoever can change the database cannot change them."""

    @property
    def place(self) -> str:
        """Where it is, for people."""

    def keep(self, signed: SignedCheckpoint) -> None:
        """Write one; kept already is fine. Raises `UnavailableError` where it cannot be written."""

    def keep_key(self, public_key: bytes) -> None:
        """Write the public half of a key; kept already is fine."""

    def names(self) -> frozenset[str]:
        """What `name` gives for those that are kept."""

    def name(self, signed: SignedCheckpoint) -> str:
        """How the copy names a checkpoint: two with the same number and other contents lie side by side."""


class CheckpointArchive(CheckpointCopy, Protocol):
    """A copy that can also be read again, to compare the log with it."""

    def contents(self) -> tuple[tuple[SignedCheckpoint, ...], tuple[bytes, ...]]:
        """All that it holds by number, and the public keys beside them; nothing of it has been verified.

        Raises `AdminError` ADM-056 for what is no checkpoint, ADM-020 where it cannot be read.
        """


@dataclass(frozen=True, slots=True)
class PseudonymKey:
    """A key that made pseudonyms of personal data in the log (PRIV-1)."""

    number: int
    created_at: datetime
    until: datetime
    """When the next one is made."""
    destroyed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Forgotten:
    """How many rows of each kind lost their personal data, or would."""

    events: int = 0
    sources: int = 0
    """Enrolments that lost the address of their sender."""
    enrolments: int = 0
    """Enrolments that lost request, names and what was noted of them."""
    challenges: int = 0

    @property
    def any(self) -> bool:
        """Whether there was anything to forget."""
        return bool(self.events or self.sources or self.enrolments or self.challenges)

    def __add__(self, other: Forgotten) -> Forgotten:
        return Forgotten(
            self.events + other.events,
            self.sources + other.sources,
            self.enrolments + other.enrolments,
            self.challenges + other.challenges,
        )


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record of the log as it lies in the database."""

    position: int
    hash: bytes
    record: str
    """The canonical text, whose hash it is."""
    personal: str | None
    """JSON of what its pseudonyms stand for, until that is forgotten."""


class AuditLog(Protocol):
    """The log as it was written."""

    def stored_records(
        self,
        *,
        after: int = 0,
        since: datetime | None = None,
        until: datetime | None = None,
        group: str | None = None,
    ) -> Iterator[StoredRecord]:
        """Walk over it in the order of its writing, from behind a position.

        `since` counts from then on, `until` up to before then.
        """


class PersonalData(Protocol):
    """Personal data that has its retention (PRIV-1)."""

    def count_personal(self, before: datetime) -> Forgotten:
        """Count the rows that `forget_personal` would change, in all."""

    def forget_personal(self, before: datetime, told: Callable[[Forgotten], Sequence[EventDraft]]) -> Forgotten:
        """Remove all that is older, some thousand rows a transaction, with the events that `told` writes of them.

        The records of the log stay, with pseudonyms.
        """

    def pseudonym_keys(self) -> tuple[PseudonymKey, ...]:
        """All, the first one first."""

    def add_pseudonym_key(
        self, number: int, created_at: datetime, until: datetime, sealed: bytes, events: Sequence[EventDraft]
    ) -> bool:
        """Keep a new key, under the master key; False where its number is taken."""

    def destroy_pseudonym_key(self, number: int, at: datetime, events: Sequence[EventDraft]) -> bool:
        """Destroy a key for good: what it made can be told from nothing any more. False where it was, or never was."""
