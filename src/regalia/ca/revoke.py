"""Revoking, holding, releasing: durable before anybody is told, and one event each (REV-1).

good → held → good, good → revoked, held → revoked; nothing leads away from revoked, also not to a graver reason. A key
that turns out to be compromised after its certificate was revoked for something else is blocked, which is what is left
to do: relying parties refuse the certificate already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from regalia import reasons
from regalia.ca.issue import certificate_event
from regalia.errors import AdminError
from regalia.model import (
    Action,
    Actor,
    ActorKind,
    CertificateKind,
    CertificateState,
    EventDraft,
    Hold,
    Outcome,
    Revocation,
    RevocationReason,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from regalia.model import Certificate, JsonValue
    from regalia.ports import Certificates, Clock

__all__ = ["block_key", "certificates_of_key", "hold", "is_final", "release", "revoke"]

_ADMINISTRATOR = "administrator"


def is_final(certificate: Certificate) -> bool:
    """Whether a certificate is revoked for good."""
    end = certificate.revocation
    return end is not None and end.reason is not RevocationReason.CERTIFICATE_HOLD


def revoke(
    certificates: Certificates,
    clock: Clock,
    certificate: Certificate,
    *,
    reason: RevocationReason,
    actor: Actor,
    note: str = "",
    cause: str = _ADMINISTRATOR,
    since: datetime | None = None,
) -> Revocation:
    """Revoke a certificate for good, held or not. OCSP follows at once, the CRL within a minute (REV-3).

    `since` is when its issuer did so, where that was earlier and elsewhere.
    Raises `AdminError` ADM-008 where it is revoked already, ADM-004 where it was never issued, ADM-052 for a hold,
    which is no revocation.
    """
    if certificate.state is CertificateState.INTENT:
        raise AdminError(reasons.NOT_FOUND, f"serial {certificate.serial:x} is not issued yet")
    if reason is RevocationReason.CERTIFICATE_HOLD:
        raise AdminError(reasons.CERTIFICATE_STATE, "a hold does not revoke")
    now = clock.now()
    revocation = Revocation(certificate.id, reason, cause, actor.id, since or now, note)
    event = certificate_event(
        Action.CERTIFICATE_REVOKED,
        certificate.intent,
        actor,
        now,
        details={"reason": reason.name.lower(), "cause": cause, "note": note},
    )
    if not certificates.revoke(revocation, (event,)):
        raise AdminError(reasons.ALREADY_REVOKED, f"serial {certificate.serial:x}")
    return revocation


def hold(certificates: Certificates, clock: Clock, certificate: Certificate, *, actor: Actor, note: str = "") -> Hold:
    """Suspend a device's certificate until it is released or revoked.

    Raises `AdminError` ADM-052 where it is not good, or not a device's.
    """
    serial, now = f"serial {certificate.serial:x}", clock.now()
    if certificate.intent.kind is not CertificateKind.LEAF:
        raise AdminError(reasons.CERTIFICATE_STATE, f"{serial} is {certificate.intent.kind}: devices' ones are held")
    if certificate.state is not CertificateState.ISSUED or certificate.intent.not_after <= now:
        raise AdminError(reasons.CERTIFICATE_STATE, f"{serial} is not valid")
    held = Hold(certificate.id, _ADMINISTRATOR, actor.id, now, note)
    details: dict[str, JsonValue] = {"cause": held.cause, "note": note}
    event = certificate_event(Action.CERTIFICATE_HELD, certificate.intent, actor, now, details=details)
    if not certificates.hold_certificate(held, (event,)):
        raise AdminError(reasons.CERTIFICATE_STATE, f"{serial} is {_standing(certificates, certificate)}")
    return held


def release(
    certificates: Certificates,
    clock: Clock,
    certificate: Certificate,
    *,
    actor: Actor,
    note: str = "",
    still: Sequence[str] = (),
    instead: Hold | None = None,
) -> datetime:
    """End a hold: the certificate is good again. Returns when. Raises `AdminError` ADM-052 where it is not held.

    `still`: for what else it is held, in words, so that it is not good all the same. `instead` takes the hold's place.
    """
    now = clock.now()
    details: dict[str, JsonValue] = {"note": note, **({"still": [*still]} if still else {})}
    events = [certificate_event(Action.CERTIFICATE_RELEASED, certificate.intent, actor, now, details=details)]
    if instead is not None:
        details = {"cause": instead.cause, "note": instead.note}
        system = Actor(ActorKind.SYSTEM, instead.actor)
        events.append(certificate_event(Action.CERTIFICATE_HELD, certificate.intent, system, now, details=details))
    if not certificates.release_certificate(certificate.id, now, actor.id, note, events, instead=instead):
        detail = f"serial {certificate.serial:x} is {_standing(certificates, certificate)}"
        raise AdminError(reasons.CERTIFICATE_STATE, detail)
    return now


def _standing(certificates: Certificates, certificate: Certificate) -> str:
    """Say how it stands now: somebody may have been faster."""
    found = certificates.certificate(certificate.id)
    if found is None or found.revocation is None:
        return "not on hold"
    return "revoked for good" if is_final(found) else "on hold already"


# --- compromised keys -------------------------------------------------------------------------------------------------


def certificates_of_key(certificates: Certificates, certificate: Certificate) -> tuple[Certificate, ...]:
    """Find every certificate with the key of this one that can still be revoked, newest first."""
    found = certificates.certificates_by_key(certificate.intent.key_sha256)
    return tuple(each for each in found if each.state is not CertificateState.INTENT and not is_final(each))


def block_key(certificates: Certificates, clock: Clock, certificate: Certificate, *, actor: Actor, note: str) -> bool:
    """See that no certificate is ever issued for this key again (KEY-2). False where that was so already."""
    now, key = clock.now(), certificate.intent.key_sha256
    event = EventDraft(
        at=now,
        actor=actor,
        action=Action.KEY_COMPROMISED,
        object=f"key:{key.hex()}",
        outcome=Outcome.OK,
        group=certificate.intent.group,
        serial=f"{certificate.serial:x}",
        security=True,
        details={"note": note},
    )
    return certificates.compromise_key(key, now, actor.id, note, (event,))
