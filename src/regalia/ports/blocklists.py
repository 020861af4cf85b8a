"""Lists of keys whose private half is known, or may be: whoever holds such a key proves nothing (KEY-2)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from regalia.model import EventDraft

__all__ = ["BLOCKED_OCTETS", "Blocklist", "Blocklists", "KeyHash"]

BLOCKED_OCTETS: Final = 8
"""How much of a SHA-256 is kept: of a list of four million, one lookup in 10^12 hits by chance."""


class KeyHash(StrEnum):
    """What of a key was hashed."""

    SPKI = "spki"
    """The DER SubjectPublicKeyInfo."""
    NUMBER = "number"
    """The one number that makes the key, big-endian without leading zeros: modulus, x coordinate, Edwards point."""


@dataclass(frozen=True, slots=True)
class Blocklist:
    """One imported list."""

    id: UUID
    name: str
    hashed: KeyHash
    keys: int
    source_sha256: bytes
    """Of the file that was imported."""
    imported_at: datetime
    imported_by: str


class Blocklists(Protocol):
    """The imported lists, and what they hold."""

    def blocklists(self) -> tuple[Blocklist, ...]:
        """All of them, by name; from memory until a change notice."""

    def is_listed(self, blocklist: Blocklist, digest: bytes) -> bool:
        """Whether a list holds this SHA-256. What was once looked at is answered from memory."""

    def put_blocklist(self, blocklist: Blocklist, pieces: Sequence[bytes], events: Sequence[EventDraft]) -> None:
        """Keep a list in place of the one of its name.

        `pieces`: the first `BLOCKED_OCTETS` of each hash, in ascending order, each piece a whole number of them.
        """

    def remove_blocklist(self, name: str, events: Sequence[EventDraft]) -> bool:
        """False where there is none."""

    def add_own_key(self, key_sha256: bytes, purpose: str, at: datetime) -> None:
        """Remember the key of a listener of ours, which `Authorities.own_keys` then holds, for ever. Idempotent."""
