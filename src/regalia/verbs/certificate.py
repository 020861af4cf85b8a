"""Certificates: looking at them, and having them as files."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from regalia import reasons
from regalia.ca.revoke import is_final
from regalia.errors import AdminError
from regalia.model import CertificateKind, CertificateState, Right
from regalia.ports import CertificateFilter
from regalia.ra.figures import begin_of
from regalia.verbs.certificate_causes import CauseRecord, beside_certificates
from regalia.verbs.content import certificates_text
from regalia.verbs.fields import Day, Days, Id, Name, Source, is_empty
from regalia.verbs.finding import endpoints_of, found_authority, found_device, found_group
from regalia.verbs.paging import ListAsked, page_of, place_after
from regalia.verbs.verb import Asked, Desk, Page, Record, Time, Verb
from regalia.verbs.wording import fingerprints, utc

if TYPE_CHECKING:
    from datetime import datetime

    from regalia.model import Certificate

__all__ = [
    "EXPORT",
    "LIST",
    "SHOW",
    "CertificateContent",
    "CertificateRecord",
    "CertificateShown",
    "ExportCertificate",
    "KindAsked",
    "ListCertificates",
    "Serial",
    "ShowCertificate",
    "certificate_fields",
    "certificate_record",
    "chain_above",
    "found_certificate",
]

_SERIAL_BITS = 160
"""RFC 5280 §4.1.2.2: at most 20 octets."""
_MOST_ABOVE = 8
"""A chain is shorter, and one that goes in a circle ends."""

Serial = Annotated[
    str,
    Field(
        min_length=1,
        max_length=200,
        description="Its serial, hexadecimal; as OpenSSL prints it, too.",
        examples=["1f3a5b"],
    ),
]
_Value = Annotated[str, Field(max_length=1_024)]


class KindAsked(StrEnum):
    """What a certificate is for."""

    LEAF = "leaf"
    RA = "ra"
    OCSP = "ocsp"
    TLS = "tls"
    ISSUING = "issuing"
    ROOT = "root"
    ALL = "all"


class ListCertificates(ListAsked):
    """Which ones; of devices, issued and not expired where nothing else is said."""

    group: Annotated[Name | None, Field(description="Only of this group.")] = None
    authority: Annotated[Name | None, Field(description="Only of this issuer.")] = None
    kind: Annotated[KindAsked, Field(description="Devices have leaves; the others are our own.")] = KindAsked.LEAF
    revoked: Annotated[bool | None, Field(description="Only those that are revoked or on hold, or only others.")] = None
    subject: Annotated[_Value | None, Field(description="Only with this whole subject.", examples=["CN=lap1"])] = None
    device: Annotated[_Value | None, Field(description="Only of this device.")] = None
    device_id: Annotated[Id | None, Field(description="Only bound to this record of a device.")] = None
    state: Annotated[CertificateState | None, Field(description="Only in this state, expired or not.")] = None
    expired: Annotated[bool, Field(description="Those that have expired, the last one first.")] = False
    source: Annotated[Source | None, Field(description="Only what came by this way.")] = None
    issued_from: Annotated[Day | None, Field(description="Only issued on this day (UTC) or later.")] = None
    issued_to: Annotated[Day | None, Field(description="Only issued on this day (UTC) or earlier.")] = None
    ends_within: Annotated[int | None, Days, Field(description="Only what ends within so many days.")] = None
    ends_beyond: Annotated[int | None, Days, Field(description="Only what does not end within so many days.")] = None
    expired_within: Annotated[int | None, Days, Field(description="Of what has expired, only of so many days.")] = None
    followed: Annotated[
        bool | None,
        Field(description="Only what another one of its chain or of its device came after, or only what none did."),
    ] = None
    ended_within: Annotated[
        int | None, Days, Field(description="Only revoked in so many days, or on hold since less than that.")
    ] = None
    cause: Annotated[
        Name | None, Field(description="Only ended for this cause.", examples=["wiped", "administrator"])
    ] = None
    all: Annotated[bool, Field(description="Live and expired ones, and those that were never issued.")] = False
    sort: Annotated[
        Literal["newest", "expiry"], Field(description="The newest first, or what expires first first.")
    ] = "newest"


class ShowCertificate(Asked):
    """Which one."""

    serial: Serial


class ExportCertificate(Asked):
    """Which one, and with what."""

    serial: Serial
    chain: Annotated[bool, Field(description="Its issuers behind it, the root last.")] = False


class CertificateRecord(Record):
    """What a certificate is, and how it stands."""

    serial: str
    status: str
    """`valid`, `expired`, `revoked`, `on hold`; of what was not issued its state."""
    kind: CertificateKind
    subject: str
    names: tuple[str, ...]
    unverified: bool
    device: str | None
    group: str | None
    authority: str
    not_before: Time
    not_after: Time
    revoked_at: Time | None
    revocation_reason: str | None
    revoked_by: str | None
    revocation_note: str | None


class CertificateShown(CertificateRecord):
    """A certificate with where it came from."""

    profile: str | None
    enrolment: UUID | None
    generation: int
    issued_at: Time | None
    key_sha256: str
    sha256: Annotated[str | None, Field(exclude_if=is_empty)] = None
    """Of the certificate itself; left out for what was never signed."""
    sha1: Annotated[str | None, Field(exclude_if=is_empty)] = None
    device_record: Annotated[UUID | None, Field(exclude_if=is_empty)] = None
    """Id of the device's record that it is bound to: `device.show`."""
    user_record: Annotated[UUID | None, Field(exclude_if=is_empty)] = None
    """The same of the user."""
    holds: Annotated[tuple[str, ...], Field(exclude_if=is_empty)] = ()
    causes: Annotated[
        tuple[CauseRecord, ...],
        Field(exclude_if=is_empty, description="What is kept beside it, oldest first, also what ended."),
    ] = ()
    explained: Annotated[
        tuple[str, ...],
        Field(exclude_if=is_empty, description="How it stands, and what each cause has to do with it."),
    ] = ()
    """Each time that it was on hold, in words; left out where it never was."""


class CertificateContent(Record):
    """A certificate itself."""

    serial: str
    content: str
    """PEM; with its issuers behind it where they were asked for."""


def list_certificates(desk: Desk, asked: ListCertificates) -> Page[CertificateRecord]:
    """Those of the groups that the caller sees."""
    if asked.expired and asked.all:
        raise AdminError(reasons.USAGE, "all has the expired ones among it: ask for one of them")
    if asked.sort == "expiry" and (asked.q or asked.expired):
        raise AdminError(reasons.USAGE, "a search has the newest first, and what expired is in the order of its end")
    if asked.group is not None:
        found_group(desk, asked.group)
    if asked.authority is not None:
        found_authority(desk, asked.authority)
    if asked.expired_within is not None and not asked.expired:
        raise AdminError(reasons.USAGE, "expired-within is about those that have expired: ask for them")
    wanted = _wanted(desk, asked, desk.now())
    found = desk.services.store.certificate_page(wanted)
    return page_of(asked, LIST.name, found, partial(certificate_record, now=desk.now()))


def _wanted(desk: Desk, asked: ListCertificates, now: datetime) -> CertificateFilter:
    beyond = _ago(now, asked.expired_within) if asked.expired_within is not None else _ahead(now, asked.ends_beyond)
    return CertificateFilter(
        kind=None if asked.kind is KindAsked.ALL else CertificateKind(asked.kind),
        group=asked.group,
        authority=asked.authority,
        revoked=asked.revoked,
        subject=asked.subject,
        device=asked.device,
        device_id=found_device(desk, asked.device_id).id if asked.device_id is not None else None,
        state=asked.state,
        live_at=None if asked.expired or asked.all or asked.state is not None else now,
        expired_at=now if asked.expired else None,
        limit=asked.limit,
        groups=desk.reach.groups,
        search=asked.q or "",
        by_end=asked.sort == "expiry",
        after=place_after(asked, LIST.name),
        endpoints=None if asked.source is None else endpoints_of(desk, asked.source),
        begun_from=None if asked.issued_from is None else begin_of(asked.issued_from),
        begun_before=None if asked.issued_to is None else begin_of(asked.issued_to + timedelta(days=1)),
        ends_after=beyond,
        ends_by=_ahead(now, asked.ends_within),
        followed=asked.followed,
        ended_from=_ago(now, asked.ended_within),
        cause=asked.cause,
    )


def _ahead(now: datetime, days: int | None) -> datetime | None:
    return None if days is None else now + timedelta(days=days)


def _ago(now: datetime, days: int | None) -> datetime | None:
    return None if days is None else now - timedelta(days=days)


def show_certificate(desk: Desk, asked: ShowCertificate) -> CertificateShown:
    """One certificate."""
    certificate = found_certificate(desk, asked.serial)
    intent = certificate.intent
    profile = f"{intent.profile} v{intent.profile_version}" if intent.profile is not None else None
    hashes: dict[str, Any] = {} if certificate.der is None else dict(fingerprints(certificate.der))
    beside = beside_certificates(desk, (certificate,))[certificate.id]
    return CertificateShown(
        **certificate_fields(certificate, desk.now()),
        profile=profile,
        enrolment=intent.enrolment_id,
        generation=intent.generation,
        issued_at=certificate.issued_at,
        key_sha256=intent.key_sha256.hex(),
        **hashes,
        device_record=intent.device_id,
        user_record=intent.user_id,
        causes=beside.causes,
        # Of one that nothing is kept beside there is no more to say than its status.
        explained=beside.explained if beside.causes else (),
        holds=tuple(
            f"{utc(held.at)} to {utc(held.ended_at) if held.ended_at is not None else 'now'} by {held.actor}"
            + (f": {held.note}" if held.note else "")
            for held in desk.services.store.holds(certificate.id)
        ),
    )


def export_certificate(desk: Desk, asked: ExportCertificate) -> CertificateContent:
    """The certificate as PEM."""
    certificate = found_certificate(desk, asked.serial)
    if certificate.der is None:
        raise AdminError(reasons.NOT_FOUND, f"serial {certificate.serial:x} was never signed")
    ders = [certificate.der, *(chain_above(desk, certificate) if asked.chain else ())]
    return CertificateContent(serial=f"{certificate.serial:x}", content=certificates_text(ders))


def found_certificate(desk: Desk, text: str) -> Certificate:
    """Find by serial. Raises `AdminError` ADM-018 where it is none, ADM-004 where the caller sees nobody who has it."""
    # `openssl x509 -serial` prints serial=HEX, and its -text colons.
    digits = text.strip().lower().removeprefix("serial=").removeprefix("0x").replace(":", "")
    try:
        serial = int(digits, 16)
    except ValueError:
        raise AdminError(reasons.USAGE, f"{text} is not a serial: give hexadecimal digits") from None
    if serial.bit_length() > _SERIAL_BITS:
        told = "is longer than a serial can be; is it a fingerprint? `openssl x509 -noout -serial` prints the serial"
        raise AdminError(reasons.USAGE, f"{text} {told}")
    for found in desk.services.store.find_serial(serial):
        if found.intent.group in desk.reach:
            return found
    raise AdminError(reasons.NOT_FOUND, f"certificate {digits}")


def chain_above(desk: Desk, certificate: Certificate) -> list[bytes]:
    """Climb from a certificate to its root; a root has nobody above it."""
    chain: list[bytes] = []
    store = desk.services.store
    authority = store.authority(certificate.intent.authority)
    while authority is not None and authority.certificate_id != certificate.id and len(chain) < _MOST_ABOVE:
        chain.append(authority.certificate_der)
        authority = store.authority(authority.parent) if authority.parent is not None else None
    return chain


def certificate_record(certificate: Certificate, now: datetime) -> CertificateRecord:
    """Say what a certificate is and how it stands."""
    return CertificateRecord(**certificate_fields(certificate, now))


def certificate_fields(certificate: Certificate, now: datetime) -> dict[str, Any]:
    """Return what every record of a certificate has."""
    intent, end = certificate.intent, certificate.revocation
    return {
        "serial": f"{intent.serial:x}",
        "status": _status(certificate, now),
        "kind": intent.kind,
        "subject": intent.subject,
        "names": intent.names.listed(),
        "unverified": intent.unverified,
        "device": intent.device,
        "group": intent.group,
        "authority": intent.authority,
        "not_before": intent.not_before,
        "not_after": intent.not_after,
        "revoked_at": end.at if end is not None else None,
        "revocation_reason": end.reason.name.lower().replace("_", "-") if end is not None else None,
        "revoked_by": end.actor if end is not None else None,
        "revocation_note": end.note if end is not None else None,
    }


def _status(certificate: Certificate, now: datetime) -> str:
    """Say in one word how a certificate stands, as OCSP sees it, or that its time is over."""
    if certificate.revocation is not None:
        return "revoked" if is_final(certificate) else "on hold"
    if certificate.state is not CertificateState.ISSUED:
        return certificate.state.value
    return "expired" if certificate.intent.not_after <= now else "valid"


LIST = Verb(
    "cert.list",
    "GET",
    "/certificates",
    Right.READ,
    ListCertificates,
    Page[CertificateRecord],
    list_certificates,
    "List certificates, newest first: those of devices that have not expired, where nothing else is asked.",
)
SHOW = Verb(
    "cert.show",
    "GET",
    "/certificates/{serial}",
    Right.READ,
    ShowCertificate,
    CertificateShown,
    show_certificate,
    "Show a certificate: its status, its names and who vouched for them, where it came from.",
)
EXPORT = Verb(
    "cert.export",
    "GET",
    "/certificates/{serial}/content",
    Right.READ,
    ExportCertificate,
    CertificateContent,
    export_certificate,
    "Give a certificate, alone or with its chain.",
)

VERBS = (LIST, SHOW, EXPORT)
