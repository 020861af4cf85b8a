"""What the hierarchy needs of the store beyond authorities made here: requests, and what comes from outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from regalia.model import Authority, AuthorityRequest, CertificateIntent, CrlRecord, EventDraft, RevokedEntry

__all__ = ["Adopted", "Hierarchies"]


@dataclass(frozen=True, slots=True)
class Adopted:
    """An authority whose certificate was made elsewhere, and all that comes with it."""

    authority: Authority
    certificate: CertificateIntent
    """Its own certificate as a row: `id` is the authority's `certificate_id`."""
    revoked: tuple[RevokedEntry, ...] = ()
    """What it had revoked before it came here."""
    crl_number: int = 0
    """The number of its last CRL; the next ones are higher (SEC-4)."""


class Hierarchies(Protocol):
    """Requests of authorities to be, authorities and CRLs that were made elsewhere."""

    def authority_request(self, name: str) -> AuthorityRequest | None: ...
    def authority_requests(self) -> tuple[AuthorityRequest, ...]:
        """All that wait for their certificate, oldest first."""

    def add_authority_request(self, request: AuthorityRequest, events: Sequence[EventDraft]) -> bool:
        """Keep a request to be signed: an intent. False where an authority or a request has its name."""

    def sign_authority_request(self, request_id: UUID, csr: bytes, events: Sequence[EventDraft]) -> bool:
        """Keep the signed request: it is no intent any more. False where it is signed already, or unknown."""

    def drop_authority_request(self, name: str, events: Sequence[EventDraft]) -> bool:
        """Forget a request; its key stays. False where there is none."""

    def adopt_authority(self, adopted: Adopted, der: bytes, events: Sequence[EventDraft]) -> bool:
        """Keep an authority with its certificate, issued, and forget the request of its name.

        Each revoked serial that has no row gets one that is abandoned and revoked, as nobody here issued it. False
        where the name is taken, or its issuer has another certificate of this serial.
        """

    def keep_certificate(self, intent: CertificateIntent, der: bytes, events: Sequence[EventDraft]) -> bool:
        """Keep a certificate that was made elsewhere, issued. False where its issuer has another of this serial."""

    def keep_revoked(
        self, authority: Authority, until: datetime, entries: Sequence[RevokedEntry], events: Sequence[EventDraft]
    ) -> int:
        """Keep what a CRL of an authority says of serials that have no row here, each as one abandoned and revoked.

        They stay on its CRLs until `until`. Returns how many there were.
        """

    def import_crl(self, crl_id: UUID, record: CrlRecord, octets: bytes, events: Sequence[EventDraft]) -> bool:
        """Publish a CRL that was signed elsewhere. False where one of the same or a higher number is published.

        `record.snapshot` counts for nothing: it is the authority's revocation counter of this moment.
        """
