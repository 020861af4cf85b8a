"""What ends a certificate, or suspends it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from regalia import reasons
from regalia.ca.revoke import block_key, certificates_of_key, hold, is_final, revoke
from regalia.errors import AdminError
from regalia.model import CertificateKind, RevocationReason, Right
from regalia.ra.releasing import release_share
from regalia.verbs.certificate import (
    CertificateRecord,
    Serial,
    certificate_fields,
    certificate_record,
    found_certificate,
)
from regalia.verbs.certificate_causes import beside_certificates
from regalia.verbs.fields import Note, ReasonName, is_empty, revocation_reason
from regalia.verbs.verb import Asked, Desk, Page, Verb
from regalia.verbs.wording import utc

if TYPE_CHECKING:
    from regalia.model import Certificate

__all__ = [
    "HOLD",
    "RELEASE",
    "REVOKE",
    "CertificateReleased",
    "HoldCertificate",
    "ReleaseCertificate",
    "RevokeCertificate",
]

_MANY = 100
"""More certificates than this end by the word of two (AUTHZ-5)."""


class HoldCertificate(Asked):
    """Which one, and why."""

    serial: Serial
    note: Note = ""


class ReleaseCertificate(Asked):
    """Which one, and why."""

    serial: Serial
    note: Note = ""


class RevokeCertificate(Asked):
    """Which one, and why; with `key-compromise` all that have its key."""

    serial: Serial
    reason: Annotated[ReasonName, Field(description="What CRL and OCSP will say.")]
    note: Note = ""


class CertificateReleased(CertificateRecord):
    """How it stands after a release."""

    explained: Annotated[
        tuple[str, ...],
        Field(exclude_if=is_empty, description="What holds it all the same: it follows from its device or user."),
    ] = ()


def hold_certificate(desk: Desk, asked: HoldCertificate) -> CertificateRecord:
    """Suspend it."""
    certificate = found_certificate(desk, asked.serial)
    hold(desk.services.store, desk.services.clock, certificate, actor=desk.actor, note=asked.note)
    return _told(desk, certificate)


def plan_hold(desk: Desk, asked: HoldCertificate) -> tuple[str, ...]:
    """Say whom it concerns."""
    certificate = found_certificate(desk, asked.serial)
    return (f"put 1 certificate on hold: {_named(certificate)}, {_holder(certificate)} until it is released",)


def release_certificate(desk: Desk, asked: ReleaseCertificate) -> CertificateReleased:
    """End an administrator's hold. Raises `AdminError` ADM-052, CON-069: see `release_share`."""
    certificate, services = found_certificate(desk, asked.serial), desk.services
    release_share(services.store, services.clock, certificate, actor=desk.actor, note=asked.note)
    after = services.store.certificate(certificate.id) or certificate
    explained = beside_certificates(desk, (after,))[after.id].explained if after.revocation is not None else ()
    return CertificateReleased(**certificate_fields(after, desk.now()), explained=explained)


def revoke_certificate(desk: Desk, asked: RevokeCertificate) -> Page[CertificateRecord]:
    """Revoke it, or all that have its key; tells how these stand now."""
    certificate = found_certificate(desk, asked.serial)
    if asked.reason is ReasonName.KEY_COMPROMISE:
        _check_key(desk, certificate)
        return Page(items=_revoke_key(desk, certificate, asked.note))
    _check_revocable(certificate)
    store, clock = desk.services.store, desk.services.clock
    cause = revocation_reason(asked.reason)
    revoke(store, clock, certificate, reason=cause, actor=desk.actor, note=asked.note)
    return Page(items=(_told(desk, certificate),))


def plan_revoke(desk: Desk, asked: RevokeCertificate) -> tuple[str, ...]:
    """Say what a revocation costs."""
    certificate = found_certificate(desk, asked.serial)
    if asked.reason is not ReasonName.KEY_COMPROMISE:
        _check_revocable(certificate)
        return (f"revoke 1 certificate for good: {_named(certificate)}, {_holder(certificate)}",)
    found = _check_key(desk, certificate)
    count = f"revoke {len(found)} certificate{'' if len(found) == 1 else 's'} of one key for good"
    named = [f"revoke {_named(each)} for good, {_holder(each)}" for each in found]
    return (f"{count}, and never certify that key again: {certificate.intent.key_sha256.hex()}", *named)


def _needs_two(desk: Desk, asked: RevokeCertificate) -> bool:
    if asked.reason is not ReasonName.KEY_COMPROMISE:
        return False
    return len(_of_key(desk, found_certificate(desk, asked.serial))) > _MANY


def _told(desk: Desk, certificate: Certificate) -> CertificateRecord:
    return certificate_record(desk.services.store.certificate(certificate.id) or certificate, desk.now())


def _of_key(desk: Desk, certificate: Certificate) -> tuple[Certificate, ...]:
    """Find those of its key that can still be revoked, as far as the caller sees them (AUTHZ-4)."""
    found = certificates_of_key(desk.services.store, certificate)
    return tuple(each for each in found if each.intent.group in desk.reach)


def _check_key(desk: Desk, certificate: Certificate) -> tuple[Certificate, ...]:
    """Refuse what cannot be done; a key is blocked even where all is revoked for something else."""
    _check_kind(certificate)
    found = _of_key(desk, certificate)
    if not found and desk.services.store.is_compromised(certificate.intent.key_sha256):
        raise AdminError(reasons.ALREADY_REVOKED, f"all that has the key of serial {certificate.serial:x}")
    for each in found:
        _check_kind(each)
    return found


def _revoke_key(desk: Desk, certificate: Certificate, note: str) -> tuple[CertificateRecord, ...]:
    store, clock = desk.services.store, desk.services.clock
    # The key first: what is enrolled with it meanwhile would be missed.
    block_key(store, clock, certificate, actor=desk.actor, note=note)
    for each in _of_key(desk, certificate):
        revoke(store, clock, each, reason=RevocationReason.KEY_COMPROMISE, actor=desk.actor, note=note)
    now = desk.now()
    same_key = store.certificates_by_key(certificate.intent.key_sha256)
    return tuple(certificate_record(each, now) for each in same_key if each.intent.group in desk.reach)


def _named(certificate: Certificate) -> str:
    names = ", ".join(certificate.intent.names.listed()) or certificate.intent.subject
    return f"{certificate.serial:x}, {names}" + (" (unverified)" if certificate.intent.unverified else "")


def _check_kind(certificate: Certificate) -> None:
    """Refuse what has its own way. Device certificates and former credentials are revoked here."""
    serial = f"serial {certificate.serial:x}"
    if certificate.intent.kind is CertificateKind.ROOT:
        raise AdminError(reasons.AUTHORITY_STATE, f"{serial} is a root: remove it where it is trusted instead")
    if certificate.intent.kind is CertificateKind.ISSUING:
        raise AdminError(reasons.AUTHORITY_STATE, f"{serial} is an issuing CA: use `regalia ca revoke`")


def _check_revocable(certificate: Certificate) -> None:
    _check_kind(certificate)
    if certificate.revocation is not None and is_final(certificate):
        raise AdminError(reasons.ALREADY_REVOKED, f"serial {certificate.serial:x}, {utc(certificate.revocation.at)}")


def _holder(certificate: Certificate) -> str:
    intent = certificate.intent
    if intent.kind is not CertificateKind.LEAF:
        return f"the {intent.kind.upper()} credential of group {intent.group}, which `serve` then replaces"
    return f"one device of group {intent.group} loses access"


HOLD = Verb(
    "cert.hold",
    "POST",
    "/certificates/{serial}/hold",
    Right.REVOKE,
    HoldCertificate,
    CertificateRecord,
    hold_certificate,
    "Suspend a device's certificate until it is released or revoked. OCSP says so at once, the CRL within a minute.",
    plan=plan_hold,
)
RELEASE = Verb(
    "cert.release",
    "POST",
    "/certificates/{serial}/release",
    Right.REVOKE,
    ReleaseCertificate,
    CertificateReleased,
    release_certificate,
    "End an administrator's hold: the certificate is good again, unless what follows from its device holds it, too.",
)
REVOKE = Verb(
    "cert.revoke",
    "POST",
    "/certificates/{serial}/revoke",
    Right.REVOKE,
    RevokeCertificate,
    Page[CertificateRecord],
    revoke_certificate,
    "Revoke a device's certificate for good; with key-compromise every certificate of its key.",
    plan=plan_revoke,
    two_persons=_needs_two,
)

VERBS = (HOLD, RELEASE, REVOKE)
