"""Recovery: intents whose worker is gone are finished, or closed and revoked (ISS-2, R8)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from regalia import reasons
from regalia.ca.issue import Issuer, Prepared, certificate_event
from regalia.errors import AdminError, InvariantError, UnavailableError
from regalia.model import Action, Actor, ActorKind, AuthorityState, CertificateKind
from regalia.ports import Authorities, Certificates, Issuance, KeyRecords
from regalia.wire.certificate import read_certificate, signature_algorithm_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    from regalia.model import Certificate, CertificateIntent
    from regalia.ports import Clock

__all__ = ["Recovery", "RecoveryStore", "overdue"]

RECOVERY = Actor(ActorKind.SYSTEM, "recovery")
_BATCH = 100
_AWAY = frozenset({reasons.TOKEN_UNAVAILABLE, reasons.PIN_REFUSED, reasons.SIGNER_AWAY, reasons.SIGNER_BUSY})
"""What passes."""
_PATIENCE = timedelta(days=1)
"""How long an intent waits for the token that is to sign its successor."""


def overdue(intent: CertificateIntent, now: datetime) -> bool:
    """Whether nobody is at an intent any more.

    Its lease has ended, or it was begun so far in the future that the clock must have been set back since: that lease
    would hold its device up until the clock has caught up. Nodes whose clocks differ by less than a lease are spared.
    """
    lease = intent.lease_until - intent.created_at
    return intent.lease_until < now or intent.created_at > now + lease


class RecoveryStore(Authorities, Certificates, Issuance, KeyRecords, Protocol):
    """What recovery reads and writes."""


class Recovery:
    """Settles intents that outlived their lease."""

    def __init__(
        self,
        store: RecoveryStore,
        issuer: Issuer,
        clock: Clock,
        *,
        reaches: Callable[[UUID], None] = lambda _: None,
    ) -> None:
        """`reaches` raises `UnavailableError` where a key that does not repeat itself cannot be used now."""
        self._store = store
        self._issuer = issuer
        self._clock = clock
        self._reaches = reaches

    def run(self) -> tuple[int, int]:
        """Settle every overdue intent. Returns how many were finished and how many abandoned."""
        finished = abandoned = 0
        waiting: set[UUID] = set()
        while True:
            found = self._store.expired_intents(self._clock.now(), _BATCH + len(waiting))
            batch = [certificate for certificate in found if certificate.id not in waiting]
            for certificate in batch:
                try:
                    settled = self.settle(certificate)
                except UnavailableError as away:
                    if away.reason not in _AWAY:
                        raise
                    waiting.add(certificate.id)
                    continue
                finished += settled is not None and settled.der is not None
                abandoned += settled is not None and settled.der is None
            if len(batch) < _BATCH:
                return finished, abandoned

    def settle(self, certificate: Certificate) -> Certificate | None:
        """Sign the recorded octets again, which gives the same certificate; where that cannot be, abandon them.

        Only leaves are finished: whoever was making a certificate of our own is gone with what it was for. A key on a
        token whose signatures differ each time is not asked again: its first one may be somewhere, so the serial is
        closed, and the device's retry gets another (ISS-2). Returns the row as it then is.

        Raises `UnavailableError` CA-020, CA-021, CA-025, CA-026 while such a key cannot be reached, for a day: a new
        serial could not be signed either, and each attempt would leave one more in the CRL.
        """
        prepared = self._prepared(certificate.intent)
        why = "nobody is left to use it"
        if prepared is not None and not self._repeats(certificate.intent.key_id):
            self._await(certificate.intent)
            why = "its key signs differently each time: a second certificate of this serial would come to be"
        elif prepared is not None:
            try:
                return self._issuer.complete(prepared, actor=RECOVERY)
            except (UnavailableError, InvariantError) as failure:
                # The key is elsewhere or another one, or another worker settled it first: then abandoning is refused.
                why = str(failure)
        now = self._clock.now()
        event = certificate_event(Action.CERTIFICATE_ABANDONED, certificate.intent, RECOVERY, now, details={"why": why})
        self._store.abandon(certificate.id, now, (event,))
        return self._store.certificate(certificate.id)

    def _await(self, intent: CertificateIntent) -> None:
        if self._clock.now() - intent.created_at > _PATIENCE:
            return
        try:
            self._reaches(intent.key_id)
        except AdminError:
            return  # gone for good, or another one: nothing is worth waiting for
        except UnavailableError as away:
            if away.reason in _AWAY:
                raise

    def _repeats(self, key_id: UUID) -> bool:
        record = self._store.key_record(key_id)
        return record is None or record.repeats

    def _prepared(self, intent: CertificateIntent) -> Prepared | None:
        authority = self._store.authority(intent.authority)
        if authority is None or intent.kind is not CertificateKind.LEAF or authority.key_id != intent.key_id:
            return None
        if authority.state is AuthorityState.REVOKED:
            # Nobody would believe it. The device's retry gets one of the authority that took this one's place.
            return None
        issuer = read_certificate(authority.certificate_der)
        return Prepared(intent, signature_algorithm_for(authority.key_kind), issuer.public_key)
