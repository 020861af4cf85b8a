"""Revoking: durable before anybody is told, final, and one event each (REV-1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from regalia import reasons
from regalia.ca.issue import certificate_event
from regalia.errors import AdminError
from regalia.model import Action, CertificateState, Revocation

if TYPE_CHECKING:
    from regalia.model import Actor, Certificate, RevocationReason
    from regalia.ports import Certificates, Clock

__all__ = ["revoke"]


def revoke(
    certificates: Certificates,
    clock: Clock,
    certificate: Certificate,
    *,
    reason: RevocationReason,
    actor: Actor,
    note: str = "",
) -> Revocation:
    """Revoke an issued certificate for good. OCSP follows at once, the CRL within a minute (REV-3).

    Raises `AdminError` ADM-008 where it is revoked already, ADM-004 where it was never issued.
    """
    if certificate.state is CertificateState.INTENT:
        raise AdminError(reasons.NOT_FOUND, f"serial {certificate.serial:x} is not issued yet")
    now = clock.now()
    revocation = Revocation(certificate.id, reason, "administrator", actor.id, now, note)
    event = certificate_event(
        Action.CERTIFICATE_REVOKED,
        certificate.intent,
        actor,
        now,
        details={"reason": reason.name.lower(), "cause": revocation.cause, "note": note},
    )
    if not certificates.revoke(revocation, (event,)):
        raise AdminError(reasons.ALREADY_REVOKED, f"serial {certificate.serial:x}")
    return revocation
