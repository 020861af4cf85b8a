"""Verbs about one certificate: what others are told of it now, and its life."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import Field

from regalia.ca.revoke import is_final
from regalia.ca.told import crls_say, ocsp_says
from regalia.errors import Stage
from regalia.model import CertificateState, Right
from regalia.ports import CertificateFilter
from regalia.verbs.certificate import Serial, found_certificate
from regalia.verbs.verb import Asked, Record, Time, Verb

if TYPE_CHECKING:
    from collections.abc import Iterator

    from regalia.ca.told import CrlTold, OcspTold
    from regalia.model import Certificate, Enrolment, RevocationReason
    from regalia.verbs.verb import Desk

__all__ = [
    "LIFE",
    "STATUS",
    "VERBS",
    "CertificateLife",
    "CertificateStatus",
    "CrlSays",
    "HappeningRecord",
    "OcspSays",
    "What",
]

_LOOKED_AT: Final = 50
"""Newer certificates of the same device or subject, among which the renewal is."""


class OneCertificate(Asked):
    """Which one."""

    serial: Serial


class OcspSays(Record):
    """What OCSP answers here."""

    answer: Annotated[
        str, Field(description="`good`, `revoked`, `unknown`; or an error of RFC 6960: `try_later`, `unauthorized`.")
    ]
    reason: str | None
    since: Annotated[Time | None, Field(description="When it was revoked or held.")]
    this_update: Time | None
    next_update: Annotated[Time | None, Field(description="Until when a client may go by this answer.")]


class CrlSays(Record):
    """What a published CRL says."""

    name: str
    delta: Annotated[bool, Field(description="Whether it tells only what changed since an earlier one.")]
    number: Annotated[str, Field(description="CRL number, decimal.")]
    this_update: Time
    next_update: Time
    listed: bool
    reason: str | None
    since: Time | None


class CertificateStatus(Record):
    """What relying parties are told now, by the answers themselves."""

    serial: str
    asked_at: Time
    ocsp: Annotated[OcspSays | None, Field(description="Null: its issuer is a root, of which OCSP does not speak.")]
    crls: Annotated[tuple[CrlSays, ...], Field(description="That which it names, and its delta; empty: none yet.")]


class What(StrEnum):
    """What happens to a certificate."""

    REQUESTED = "requested"
    VALIDATED = "validated"
    ISSUED = "issued"
    DELIVERED = "delivered"
    RENEWED = "renewed"
    HELD = "held"
    RELEASED = "released"
    REVOKED = "revoked"
    ENDED = "ended"


class HappeningRecord(Record):
    """Something that happened."""

    at: Time
    what: What
    note: Annotated[str, Field(description="By whom or why, in words.")]
    serial: Annotated[str | None, Field(description="Of the certificate before or after it.")] = None


class CertificateLife(Record):
    """What happened, the newest first."""

    serial: str
    life: tuple[HappeningRecord, ...]


# --- what others are told -------------------------------------------------------------------------------------------


def show_status(desk: Desk, asked: OneCertificate) -> CertificateStatus:
    """Ask OCSP and look into the CRL. Raises `AdminError` ADM-004, and `UnavailableError` where one does not answer."""
    certificate, services = found_certificate(desk, asked.serial), desk.services
    issuer = services.store.authority(certificate.intent.authority)
    told = ocsp_says(services.ocsp, issuer, certificate.serial) if issuer is not None else None
    return CertificateStatus(
        serial=f"{certificate.serial:x}",
        asked_at=desk.now(),
        ocsp=_ocsp(told) if told is not None else None,
        crls=tuple(_crl(each) for each in crls_say(services.store, services.crl_files, certificate)),
    )


def _ocsp(told: OcspTold) -> OcspSays:
    return OcspSays(
        answer=told.answer,
        reason=_reason(told.reason),
        since=told.since,
        this_update=told.this_update,
        next_update=told.next_update,
    )


def _crl(told: CrlTold) -> CrlSays:
    return CrlSays(
        name=told.name,
        delta=told.delta,
        number=str(told.number),
        this_update=told.this_update,
        next_update=told.next_update,
        listed=told.listed,
        reason=_reason(told.reason),
        since=told.since,
    )


def _reason(reason: RevocationReason | None) -> str | None:
    return None if reason is None else reason.name.lower().replace("_", "-")


# --- its life -------------------------------------------------------------------------------------------------------


def show_life(desk: Desk, asked: OneCertificate) -> CertificateLife:
    """Tell what happened to it. Raises `AdminError` ADM-004."""
    certificate = found_certificate(desk, asked.serial)
    order = list(What)
    happened = sorted(_life(desk, certificate), key=lambda each: (each.at, order.index(each.what)), reverse=True)
    return CertificateLife(serial=f"{certificate.serial:x}", life=tuple(happened))


def _life(desk: Desk, certificate: Certificate) -> Iterator[HappeningRecord]:
    store, intent = desk.services.store, certificate.intent
    enrolment = store.enrolment(intent.enrolment_id) if intent.enrolment_id is not None else None
    if enrolment is not None:
        yield from _asked(desk, enrolment)
    if certificate.issued_at is not None:
        profile = f", profile {intent.profile} v{intent.profile_version}" if intent.profile else ""
        yield HappeningRecord(at=certificate.issued_at, what=What.ISSUED, note=f"by {intent.authority}{profile}")
    after = _renewal(desk, certificate)
    if after is not None and after.issued_at is not None:
        yield HappeningRecord(at=after.issued_at, what=What.RENEWED, note="", serial=f"{after.serial:x}")
    yield from _ends(desk, certificate)


def _asked(desk: Desk, enrolment: Enrolment) -> Iterator[HappeningRecord]:
    store, link = desk.services.store, enrolment.lineage
    before = store.certificate(link.predecessor) if link is not None and link.predecessor is not None else None
    note = f"from {enrolment.source} at endpoint {enrolment.key.endpoint}"
    former = f"{before.serial:x}" if before is not None else None
    yield HappeningRecord(at=enrolment.created_at, what=What.REQUESTED, note=note, serial=former)
    for step in enrolment.stages:
        if step.stage is Stage.EVIDENCE and step.ok:
            yield HappeningRecord(at=step.at, what=What.VALIDATED, note=step.note)
    notice = store.notice_of(enrolment.id)
    if notice is not None and notice.told_at is not None and not notice.refused:
        yield HappeningRecord(at=notice.told_at, what=What.DELIVERED, note=f"{notice.connector} took note of it")


def _renewal(desk: Desk, certificate: Certificate) -> Certificate | None:
    """Find the certificate that a renewal of this one gave; the first one of several."""
    intent, store = certificate.intent, desk.services.store
    wanted = CertificateFilter(
        device=intent.device,
        # Renewals keep their names where they belong to no device.
        subject=intent.subject if intent.device is None else None,
        group=intent.group,
        state=CertificateState.ISSUED,
        limit=_LOOKED_AT,
    )
    for each in reversed(store.certificate_page(wanted).items):
        if each.id > certificate.id and each.intent.enrolment_id is not None:
            asked_by = store.enrolment(each.intent.enrolment_id)
            link = asked_by.lineage if asked_by is not None else None
            if link is not None and link.predecessor == certificate.id:
                return each
    return None


def _ends(desk: Desk, certificate: Certificate) -> Iterator[HappeningRecord]:
    for held in desk.services.store.holds(certificate.id):
        yield HappeningRecord(at=held.at, what=What.HELD, note=_by(held.actor, held.note))
        if held.ended_at is not None and held.released:
            yield HappeningRecord(at=held.ended_at, what=What.RELEASED, note=_by(held.ended_by or "", held.ended_note))
    end = certificate.revocation
    if end is not None and is_final(certificate):
        yield HappeningRecord(at=end.at, what=What.REVOKED, note=_by(end.actor, end.note, _reason(end.reason)))
    if certificate.state is CertificateState.ISSUED and certificate.intent.not_after <= desk.now():
        yield HappeningRecord(at=certificate.intent.not_after, what=What.ENDED, note="")


def _by(actor: str, *more: str | None) -> str:
    said = [each for each in more if each]
    return ": ".join([f"by {actor}", *said]) if actor else ": ".join(said)


STATUS = Verb(
    "cert.status",
    "GET",
    "/certificates/{serial}/status",
    Right.READ,
    OneCertificate,
    CertificateStatus,
    show_status,
    "Show what others are told of a certificate now: the answer of OCSP, and the CRL that is served.",
)
LIFE = Verb(
    "cert.life",
    "GET",
    "/certificates/{serial}/life",
    Right.READ,
    OneCertificate,
    CertificateLife,
    show_life,
    "Show what happened to a certificate: requested, validated, issued, delivered, renewed, held, revoked.",
)

VERBS = (STATUS, LIFE)
