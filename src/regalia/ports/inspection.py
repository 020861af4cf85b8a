"""Reading again all that was issued, page by page, with what the log says of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from regalia.model import Certificate, Event

__all__ = ["Inspection", "IssuedRecord"]


class IssuedRecord(NamedTuple):
    """One record that a certificate was issued."""

    position: int
    """Its place in the order of writing."""
    serial: int


class Inspection(Protocol):
    """What an audit of certificates reads."""

    def certificates_after(self, after: UUID | None, limit: int) -> tuple[Certificate, ...]:
        """Return the next ones behind an id, oldest first; None for those from the beginning.

        Ids lie in the order of their making, so an id made of a time stands for that time.
        """

    def events_about(self, objects: Sequence[str]) -> tuple[tuple[Event, ...], ...]:
        """Return what the log says of each object (`certificate:SERIAL`, `authority:NAME`), oldest first.

        A record that was altered is left out.
        """

    def issued_on_record(self, after: int, limit: int) -> tuple[IssuedRecord, ...]:
        """Return the next records of issued certificates behind a position, in the order of writing."""

    def missing_serials(self, serials: Sequence[int]) -> tuple[int, ...]:
        """Return those of the serials that no certificate has."""
