"""To-be-signed certificates of our own: what stands in a root, an issuing authority, an RA, OCSP or TLS certificate.

Devices' certificates come from profiles that administrators write; these five shapes are fixed. None has an EKU
but the OCSP signer's and the listener's: one on an issuing authority would limit the EKUs of all that it issues
(pki.md §8.2).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from regalia.wire import oids
from regalia.wire.certificate import (
    Extension,
    TbsCertificate,
    authority_information_access,
    authority_key_identifier,
    basic_constraints,
    crl_distribution_points,
    extended_key_usage,
    key_identifier,
    key_usage,
    ocsp_nocheck,
    read_certificate,
    signature_algorithm_for,
    subject_alt_name,
    subject_key_identifier,
)
from regalia.wire.names import encode_name, encode_sans

if TYPE_CHECKING:
    from datetime import datetime

    from regalia.ca.urls import Urls
    from regalia.model import Authority, KeyKind, San

__all__ = [
    "BACKDATE",
    "CROSS_LIFETIME",
    "ISSUING_LIFETIME",
    "OCSP_LIFETIME",
    "RA_LIFETIME",
    "ROOT_LIFETIME",
    "TLS_LIFETIME",
    "Subject",
    "cross_tbs",
    "issuing_tbs",
    "ocsp_tbs",
    "ra_tbs",
    "root_tbs",
    "subordinate_tbs",
    "tls_tbs",
]

ROOT_LIFETIME = timedelta(days=7305)
"""20 years."""
ISSUING_LIFETIME = timedelta(days=2922)
"""8 years."""
CROSS_LIFETIME = timedelta(days=3653)
"""10 years: longer than it takes until devices and servers know the new root."""
RA_LIFETIME = timedelta(days=365)
OCSP_LIFETIME = timedelta(days=30)
"""Short, because nobody can ask whether an OCSP signer's certificate is revoked (RFC 6960 §4.2.2.2.1)."""
TLS_LIFETIME = timedelta(days=90)
BACKDATE = timedelta(minutes=5)
"""For peers whose clocks run behind."""
_RA_USAGES = ("digitalSignature", "keyEncipherment")


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a certificate is about, and when it is made."""

    cn: str
    organisation: str | None
    public_key: bytes
    """DER SubjectPublicKeyInfo."""
    serial: int
    now: datetime
    written: bytes | None = None
    """The whole DER Name, where somebody else chose it: a request, or the root that is cross-certified."""

    @property
    def name(self) -> bytes:
        """The DER Name."""
        return self.written if self.written is not None else encode_name(cn=self.cn, organisation=self.organisation)

    @property
    def not_before(self) -> datetime:
        """The time it is made, back-dated, in whole seconds as certificates know them."""
        return (self.now - BACKDATE).replace(microsecond=0)


def root_tbs(key_kind: KeyKind, subject: Subject) -> TbsCertificate:
    """Describe a self-signed root (RFC 5280 §3.2): no path length, no CDP or AIA, for nothing stands above it.

    It names its own key as its issuer's. RFC 5280 §4.2.1.1 lets a self-signed certificate leave that out, but the
    linter sees a specimen that another key signed.
    """
    identifier = key_identifier(subject.public_key)
    return TbsCertificate(
        serial=subject.serial,
        signature=signature_algorithm_for(key_kind),
        issuer=subject.name,
        not_before=subject.not_before,
        not_after=subject.not_before + ROOT_LIFETIME,
        subject=subject.name,
        public_key=subject.public_key,
        extensions=(
            basic_constraints(ca=True),
            key_usage(("keyCertSign", "cRLSign")),
            subject_key_identifier(identifier),
            authority_key_identifier(identifier),
        ),
    )


def issuing_tbs(root: Authority, subject: Subject, urls: Urls, *, is_ra: bool = False) -> TbsCertificate:
    """Describe an issuing authority under a root. The root's status comes by CRL alone, so AIA names no OCSP.

    One that is its own RA has the key usages of both (RFC 8894 §2.1.2).
    """
    return subordinate_tbs(root, subject, crl=urls.crl(root.name), issuer=urls.issuer(root.name), is_ra=is_ra)


def subordinate_tbs(
    root: Authority,
    subject: Subject,
    *,
    crl: str,
    issuer: str,
    lifetime: timedelta = ISSUING_LIFETIME,
    is_ra: bool = False,
) -> TbsCertificate:
    """Describe an issuing authority whose root is served elsewhere: `crl` and `issuer` are the URLs there."""
    return _issued(
        root,
        subject,
        lifetime,
        basic_constraints(ca=True, path_length=0),
        key_usage((*(_RA_USAGES if is_ra else ()), "keyCertSign", "cRLSign")),
        crl_distribution_points(crl),
        authority_information_access(ca_issuers=issuer),
    )


def cross_tbs(issuer: Authority, other: Authority, subject: Subject, urls: Urls) -> TbsCertificate:
    """Describe another root's name and key under this one, for as long as both live (RFC 5280 §3.2).

    The key identifier is copied from the other's own certificate, so that what it issued chains through either.
    """
    facts = read_certificate(other.certificate_der)
    tbs = _issued(
        issuer,
        subject,
        CROSS_LIFETIME,
        basic_constraints(ca=True),
        key_usage(("keyCertSign", "cRLSign")),
        crl_distribution_points(urls.crl(issuer.name)),
        authority_information_access(ca_issuers=urls.issuer(issuer.name)),
        ski=facts.ski,
    )
    return replace(tbs, not_after=min(tbs.not_after, facts.not_after))


def ra_tbs(authority: Authority, subject: Subject, urls: Urls) -> TbsCertificate:
    """Describe an RA credential. Apple's client uses an RA certificate only if it has both of these key usages."""
    return _issued(
        authority,
        subject,
        RA_LIFETIME,
        basic_constraints(ca=False),
        key_usage(_RA_USAGES),
        crl_distribution_points(urls.crl(authority.name)),
        authority_information_access(ocsp=urls.ocsp(authority.name), ca_issuers=urls.issuer(authority.name)),
    )


def ocsp_tbs(authority: Authority, subject: Subject) -> TbsCertificate:
    """Describe a delegated OCSP signer (RFC 6960 §4.2.2.2): nobody asks for its status, so it names no place to."""
    return _issued(
        authority,
        subject,
        OCSP_LIFETIME,
        basic_constraints(ca=False),
        key_usage(("digitalSignature",)),
        extended_key_usage((oids.KP_OCSP_SIGNING,)),
        ocsp_nocheck(),
    )


def tls_tbs(authority: Authority, subject: Subject, sans: frozenset[San], urls: Urls) -> TbsCertificate:
    """Describe the device listener's certificate (RFC 9325 §7): who connects compares the SANs, never the subject."""
    return _issued(
        authority,
        subject,
        TLS_LIFETIME,
        basic_constraints(ca=False),
        key_usage(("digitalSignature",)),
        extended_key_usage((oids.KP_SERVER_AUTH,)),
        subject_alt_name(encode_sans(sans)),
        crl_distribution_points(urls.crl(authority.name)),
        authority_information_access(ocsp=urls.ocsp(authority.name), ca_issuers=urls.issuer(authority.name)),
    )


def _issued(
    issuer: Authority, subject: Subject, lifetime: timedelta, *extensions: Extension, ski: bytes | None = None
) -> TbsCertificate:
    """Fill in what follows from the issuer: name, key identifier, and no life outside its own (POL-7)."""
    above = read_certificate(issuer.certificate_der)
    not_before = max(subject.not_before, above.not_before)
    return TbsCertificate(
        serial=subject.serial,
        signature=signature_algorithm_for(issuer.key_kind),
        issuer=above.subject,
        not_before=not_before,
        not_after=min(not_before + lifetime, above.not_after),
        subject=subject.name,
        public_key=subject.public_key,
        extensions=(
            *extensions,
            subject_key_identifier(ski if ski is not None else key_identifier(subject.public_key)),
            # The issuer's own identifier, copied: an imported issuer may have computed it in another way.
            authority_key_identifier(above.ski if above.ski is not None else key_identifier(above.public_key)),
        ),
    )
