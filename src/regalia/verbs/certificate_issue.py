"""Certificates that no device asks for, and the audit of what was issued."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from regalia import reasons
from regalia.ca.audit import Auditor, audit_events
from regalia.ca.issue import Prepared
from regalia.errors import AdminError
from regalia.model import Right
from regalia.ra.order import Order
from regalia.verbs.certificate import chain_above
from regalia.verbs.content import certificates_text, request_from
from regalia.verbs.fields import Name, Pem, span_of
from regalia.verbs.finding import found_group
from regalia.verbs.names import NamesAsked, names_of
from regalia.verbs.verb import Asked, Desk, Record, Time, Verb
from regalia.verbs.wording import certificate_text
from regalia.wire.certificate import assemble

if TYPE_CHECKING:
    from regalia.ca.audit import Doubt

__all__ = [
    "AUDIT",
    "ISSUE",
    "PREVIEW",
    "AuditCertificates",
    "AuditedRecord",
    "CertificateIssued",
    "CertificatePreview",
    "DoubtRecord",
    "IssueCertificate",
    "PreviewCertificate",
]

_SHOWN_SIGNATURE = bytes.fromhex("3006020101020101")
"""Stands for the signature where a certificate is shown that nobody signed."""
_MOST_SHOWN = 1_000


class IssueCertificate(Asked):
    """What to issue, and to whom."""

    group: Annotated[Name, Field(description="Whose authority issues.")]
    profile: Annotated[Name, Field(description="What the certificate looks like.")]
    csr: Annotated[Pem, Field(description="The request, PKCS #10: it brings the key. What it names is a wish.")]
    names: Annotated[
        NamesAsked | None,
        Field(description="The names that the caller answers for; null for those that the request has."),
    ] = None
    device: Annotated[
        Annotated[str, Field(max_length=1_024)] | None, Field(description="Whose it is, in the caller's inventory.")
    ] = None


class PreviewCertificate(IssueCertificate):
    """What would be issued."""


class CertificateIssued(Record):
    """A certificate that was issued."""

    serial: str
    subject: str
    names: tuple[str, ...]
    device: str | None
    group: str | None
    authority: str
    profile: str
    not_before: Time
    not_after: Time
    repeated: bool
    """Whether the very same order was placed less than 24 hours ago, and this is its certificate again."""
    content: str
    """PEM."""
    chain: str
    """Its issuers, PEM, the root last."""


class CertificatePreview(Record):
    """A certificate as it would be."""

    would: tuple[str, ...]
    """What it says, a line each."""
    repeated: bool
    """Whether it is there already, by the very same order."""
    issued_at: Time | None


class AuditCertificates(Asked):
    """What to read."""

    since: Annotated[
        Annotated[str, Field(max_length=40)] | None,
        Field(description="Only what was issued since: 8h, 7d or 2026-03-01.", examples=["7d"]),
    ] = None
    sample: Annotated[
        int, Field(ge=0, le=1_000_000_000, description="Give every Nth leaf to pkilint as well; 0 for none.")
    ] = 100


class DoubtRecord(Record):
    """One thing that is not as it must be."""

    serial: str
    rule: str
    kind: str
    group: str | None
    authority: str
    subject: str
    finding: str


class AuditedRecord(Record):
    """What was found."""

    certificates: int
    findings: int
    by_rule: dict[str, int]
    read_by_pkilint: int
    with_another_url: int
    doubts: tuple[DoubtRecord, ...]
    """The first thousand."""


def issue_certificate(desk: Desk, asked: IssueCertificate) -> CertificateIssued:
    """Issue it."""
    order = _order(desk, asked)
    _check_names(desk, order)
    placed = desk.services.orders.place(order, desk.actor)
    certificate, intent = placed.certificate, placed.certificate.intent
    return CertificateIssued(
        serial=f"{intent.serial:x}",
        subject=intent.subject,
        names=intent.names.listed(),
        device=intent.device,
        group=intent.group,
        authority=intent.authority,
        profile=f"{intent.profile} v{intent.profile_version}",
        not_before=intent.not_before,
        not_after=intent.not_after,
        repeated=placed.repeated,
        content=certificates_text([certificate.der or b""]),
        chain=certificates_text(chain_above(desk, certificate)),
    )


def plan_issue(desk: Desk, asked: IssueCertificate) -> tuple[str, ...]:
    """Say for which names, and whose they are."""
    order = _order(desk, asked)
    names = _check_names(desk, order)
    if order.names is None:
        return (f"issue a certificate for the names in the request: {', '.join(names)}",)
    named = ", ".join(names) or f"the names that the profile makes of device {order.device}"
    return (f"issue a certificate for {named}",)


def preview_certificate(desk: Desk, asked: PreviewCertificate) -> CertificatePreview:
    """Say what it would say, or give the one that is there already."""
    found = desk.services.orders.preview(_order(desk, asked), desk.actor)
    if isinstance(found, Prepared):
        text = certificate_text(assemble(found.intent.tbs, found.algorithm, _SHOWN_SIGNATURE))
        return CertificatePreview(would=tuple(text), repeated=False, issued_at=None)
    text = certificate_text(found.der or b"")
    return CertificatePreview(would=tuple(text), repeated=True, issued_at=found.intent.created_at)


def audit_certificates(desk: Desk, asked: AuditCertificates) -> AuditedRecord:
    """Read again what was issued, and record that it was read."""
    now, services = desk.now(), desk.services
    begin = _begin(asked.since, now)
    audited = Auditor(services.store, services.urls, now).run(since=begin, sample=asked.sample)
    services.store.record(audit_events(audited, desk.actor, now, since=begin))
    return AuditedRecord(
        certificates=audited.certificates,
        findings=len(audited.doubts),
        by_rule=dict(sorted(Counter(doubt.rule.value for doubt in audited.doubts).items())),
        read_by_pkilint=audited.sampled,
        with_another_url=audited.elsewhere,
        doubts=tuple(map(_doubt, audited.doubts[:_MOST_SHOWN])),
    )


def _order(desk: Desk, asked: IssueCertificate) -> Order:
    group = found_group(desk, asked.group)
    given = asked.names is not None or asked.device is not None
    names = names_of(asked.names or NamesAsked()) if given else None
    return Order(group.name, asked.profile, request_from(asked.csr), names, asked.device)


def _check_names(desk: Desk, order: Order) -> tuple[str, ...]:
    """Return the names that somebody answers for. Raises `AdminError` where there are none."""
    if order.names is not None:
        return order.names.listed()
    asked = desk.services.orders.asked(order.csr)
    if not asked:
        raise AdminError(reasons.NO_NAMES, "the request names nobody, and no --cn, --dns … was given")
    return asked.listed()


def _begin(since: str | None, now: datetime) -> datetime | None:
    if since is None:
        return None
    try:
        day = datetime.fromisoformat(since)
    except ValueError:
        return now - span_of(since, "--since")
    begin = day if day.tzinfo is not None else day.replace(tzinfo=UTC)
    if begin > now + timedelta(days=1):
        raise AdminError(reasons.USAGE, f"--since {since} lies ahead")
    return begin


def _doubt(doubt: Doubt) -> DoubtRecord:
    return DoubtRecord(
        serial=f"{doubt.serial:x}",
        rule=doubt.rule.value,
        kind=doubt.kind,
        group=doubt.group,
        authority=doubt.authority,
        subject=doubt.subject,
        finding=doubt.text,
    )


ISSUE = Verb(
    "cert.issue",
    "POST",
    "/certificates",
    Right.ISSUE,
    IssueCertificate,
    CertificateIssued,
    issue_certificate,
    "Issue a certificate that no device asks for; the caller answers for its names.",
    plan=plan_issue,
)
PREVIEW = Verb(
    "cert.preview",
    "POST",
    "/certificate-preview",
    Right.ISSUE,
    PreviewCertificate,
    CertificatePreview,
    preview_certificate,
    "Say what a certificate would say that is ordered so; nothing is issued.",
)
AUDIT = Verb(
    "cert.audit",
    "POST",
    "/certificate-audit",
    Right.READ_LOG,
    AuditCertificates,
    AuditedRecord,
    audit_certificates,
    "Read again what was issued; test row, signature, profile, lint, key, log and CRL.",
    everywhere=True,
)

VERBS = (ISSUE, PREVIEW, AUDIT)
