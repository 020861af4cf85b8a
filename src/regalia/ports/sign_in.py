"""What sign-in must not forget between two requests, in any process of the cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["NO_TRIES", "SignIns", "Tries"]


@dataclass(frozen=True, slots=True)
class Tries:
    """How often somebody tried a password since it was right for the last time."""

    count: int
    last_at: datetime | None
    """None where the count is 0."""


NO_TRIES = Tries(0, None)


class SignIns(Protocol):
    """Tries that are counted, and what is good once."""

    def tries(self, subject: str) -> Tries:
        """Return the tries of a subject; a subject is a word of ours that names nobody."""

    def count_try(self, subject: str, before: Tries, at: datetime) -> bool:
        """Count one more; False where the count is not `before` any more (two raced)."""

    def forget_tries(self, subject: str) -> None:
        """Begin anew: it was right."""

    def spend(self, digest: bytes, until: datetime) -> bool:
        """Use up what is good once, and is good until then anyway; of two who do at once, one is told True."""

    def is_spent(self, digest: bytes) -> bool:
        """Whether it was used up, and is not forgotten yet."""

    def forget_sign_ins(self, spent_before: datetime, tried_before: datetime) -> None:
        """Forget what has ended by itself before the first time, and tries whose last was before the second."""
