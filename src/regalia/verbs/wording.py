"""Certificates and keys in words: fingerprints to compare, and what a certificate says, line by line."""

from __future__ import annotations

import hashlib
from datetime import UTC
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from regalia.wire import der, oids
from regalia.wire.certificate import read_certificate
from regalia.wire.names import name_text, read_sans
from regalia.wire.public_key import key_algorithm

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

__all__ = ["certificate_text", "fingerprints", "key_text", "utc"]


def utc(at: datetime, timespec: str = "seconds") -> str:
    """Write a time as `2026-03-01T09:00:00Z`."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec=timespec) + "Z"


def fingerprints(certificate: bytes) -> dict[str, str]:
    """Hash a DER certificate both ways: SHA-256 to compare, SHA-1 because MDM consoles ask for it."""
    sha1 = hashlib.sha1(certificate, usedforsecurity=False)
    return {"sha256": hashlib.sha256(certificate).hexdigest(), "sha1": sha1.hexdigest()}


def key_text(spki: bytes) -> str:
    """Name the kind of a DER SubjectPublicKeyInfo: `RSA-2048`, `P-256`, `Ed25519`, `ML-DSA-65`."""
    algorithm = key_algorithm(spki)
    if algorithm.oid == oids.RSA_ENCRYPTION:
        key = load_der_public_key(spki)
        return f"RSA-{key.key_size}" if isinstance(key, RSAPublicKey) else "RSA"
    curve = algorithm.parameters
    if algorithm.oid == oids.EC_PUBLIC_KEY and curve is not None and curve.tag == der.OID:
        return oids.describe(curve.as_oid())
    return oids.describe(algorithm.oid)


_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
)


def certificate_text(der: bytes) -> list[str]:
    """Say what a certificate of ours says, a line each; extensions in their order."""
    certificate = x509.load_der_x509_certificate(der)
    lines = [
        f"Issuer:      {name_text(certificate.issuer.public_bytes())}",
        f"Subject:     {name_text(certificate.subject.public_bytes()) or '(empty)'}",
        f"Serial:      {certificate.serial_number:x}",
        f"Not before:  {utc(certificate.not_valid_before_utc)}",
        f"Not after:   {utc(certificate.not_valid_after_utc)}",
        f"Key:         {key_text(read_certificate(der).public_key)}",
        f"Signature:   {oids.describe(certificate.signature_algorithm_oid.dotted_string)}",
        "Extensions:",
    ]
    for extension in certificate.extensions:
        critical = ", critical" if extension.critical else ""
        lines.append(f"  {oids.describe(extension.oid.dotted_string)}{critical}")
        lines += [f"    {line}" for line in _values(extension.value)]
    return lines


def _values(value: x509.ExtensionType) -> Iterator[str]:
    match value:
        case x509.BasicConstraints():
            yield "CA" if value.ca else "not a CA"
        case x509.KeyUsage():
            yield ", ".join(usage.replace("_", " ") for usage in _USAGES if getattr(value, usage))
        case x509.ExtendedKeyUsage():
            yield ", ".join(oids.describe(purpose.dotted_string) for purpose in value)
        case x509.SubjectKeyIdentifier():
            yield value.digest.hex()
        case x509.AuthorityKeyIdentifier():
            yield (value.key_identifier or b"").hex()
        case x509.SubjectAlternativeName():
            yield from (str(san) for san in sorted(read_sans(value.public_bytes())))
        case x509.CRLDistributionPoints():
            yield from (str(name.value) for point in value for name in point.full_name or ())
        case x509.AuthorityInformationAccess():
            for access in value:
                yield f"{oids.describe(access.access_method.dotted_string)}: {access.access_location.value}"
        case _:
            yield from _rare(value)


def _rare(value: x509.ExtensionType) -> Iterator[str]:
    """What only some profiles write."""
    match value:
        case x509.CertificatePolicies():
            yield from (policy.policy_identifier.dotted_string for policy in value)
        case x509.MSCertificateTemplate():
            yield f"{value.template_id.dotted_string} {value.major_version}.{value.minor_version}"
        case x509.UnrecognizedExtension() if value.oid.dotted_string == oids.MS_NTDS_CA_SECURITY:
            yield _sid(value.value)
        case _:
            yield value.public_bytes().hex()


def _sid(octets: bytes) -> str:
    """Read what `wire.certificate.microsoft_sid` writes."""
    name = der.read_one(octets, der.SEQUENCE).children()[0]
    return der.read_one(name.children()[1].content, der.OCTET_STRING).content.decode("ascii", "replace")
