"""What happens to a group's authorities and credentials between their making and their end, and to whom they served."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from regalia.model import Credential, CredentialPurpose, EventDraft

__all__ = ["Holder", "Successions"]


@dataclass(frozen=True, slots=True)
class Holder:
    """Somebody whose certificate a revoked authority issued, and who has no other one since."""

    device: str | None
    """The device of the challenge's binding; where there is none, `subject` is all that is known."""
    subject: str
    """RFC 4514 text."""
    unverified: bool
    endpoint: str | None
    """Where it enrolled; None for a certificate that no device asked for."""
    authority: str
    serial: int
    """Of the newest of its certificates that count; as are the following."""
    not_after: datetime
    certificates: int
    """How many count."""


class Successions(Protocol):
    """Authorities that follow one another, credentials that end, groups that are suspended."""

    def activate_authority(
        self, name: str, group: str, replaces: str, at: datetime, events: Sequence[EventDraft], *, resumes: bool = False
    ) -> bool:
        """NEXT → ACTIVE, in one transaction with all that follows from it.

        The group names it from then on; `replaces`, which it named so far, is RETIRING where it was ACTIVE. `resumes`
        ends the group's suspension, too. False where it is not NEXT, or the group names another one, any more.
        """

    def suspend_group(self, name: str, at: datetime, why: str, events: Sequence[EventDraft]) -> bool:
        """False where it is unknown or suspended already."""

    def resume_group(self, name: str, events: Sequence[EventDraft]) -> bool:
        """False where it is unknown or not suspended."""

    def group_credentials(self, purpose: CredentialPurpose, group: str) -> tuple[Credential, ...]:
        """Of all authorities of a group, newest first; ended ones, too."""

    def end_credential(self, credential_id: UUID, at: datetime, events: Sequence[EventDraft]) -> bool:
        """Use it no more from this moment on; its key can be destroyed then. False where it has ended already."""

    def lives_on(self, authority: str, now: datetime) -> bool:
        """Whether a certificate that it issued to a device, a listener or a person is not expired yet.

        Of what an imported authority issued before there is no list: it lives on until its own certificate ends.
        """

    def holders(self, group: str, now: datetime) -> tuple[Holder, ...]:
        """Whoever has to enrol anew because the authority of their certificate was revoked.

        For each unexpired, unrevoked certificate that a revoked authority of the group issued: its device, else its
        subject, unless a later certificate of the group that is unrevoked, and whose authority is, was issued for the
        same. By device and subject.
        """
