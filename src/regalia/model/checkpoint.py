"""Checkpoints of the audit log: what the log held at a time, signed (AUD-3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

__all__ = ["Checkpoint", "CheckpointKey", "SignedCheckpoint", "StreamHead"]


@dataclass(frozen=True, slots=True)
class StreamHead:
    """The last record of a stream."""

    stream: str
    sequence: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The heads of all streams at a time."""

    number: int
    """From 1, without gaps."""
    at: datetime
    previous: bytes
    """SHA-256 of the record of the checkpoint before it; 32 zero octets for the first."""
    by: str
    """Who had it made: `system checkpoint`, `admin os:root`."""
    key: bytes
    """SHA-256 of the SubjectPublicKeyInfo of the key that signs it."""
    heads: tuple[StreamHead, ...]
    """By name; streams without a record are not among them."""
    successor: bytes | None = None
    """SubjectPublicKeyInfo of the key that signs from the next one on, where that is another."""

    @property
    def records(self) -> int:
        """How many records it covers."""
        return sum(head.sequence for head in self.heads)


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A checkpoint as it is kept: the octets that were signed, and the signature."""

    number: int
    record: bytes
    hash: bytes
    """SHA-256 of the record."""
    signature: bytes
    """ECDSA with SHA-256 in DER (RFC 3279 §2.2.3), over the record."""


@dataclass(frozen=True, slots=True)
class CheckpointKey:
    """A key that signs, or signed, checkpoints."""

    number: int
    """From 1; the highest is the one in use."""
    key_id: UUID
    public_key: bytes
    """DER SubjectPublicKeyInfo."""
    created_at: datetime
