"""What must be true of every certificate that a live client has obtained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from interop.openssl import read_certificate
from interop.programs import wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from interop.openssl import RelyingParty
    from interop.server import Server

__all__ = ["check_certificate", "check_revocation", "names", "public_key"]

OCSP_SECONDS = 6
"""Thrice the 2 s within which OCSP tells of a revocation."""
CRL_SECONDS = 180
"""Thrice the 60 s within which a CRL is published."""


def check_certificate(path: Path, *, server: Server, relying_party: RelyingParty) -> x509.Certificate:
    """Check that the file is what the store has, octet by octet, and that OpenSSL accepts chain, CRL and OCSP."""
    certificate = read_certificate(path)
    assert certificate.public_bytes(Encoding.DER) == server.certificate(certificate.serial_number)
    assert relying_party.accepts_chain(path)
    assert relying_party.accepts_with_crl(path)
    assert relying_party.ocsp_status(path) == "good"
    return certificate


def check_revocation(path: Path, *, server: Server, relying_party: RelyingParty) -> None:
    """Revoke, and check that OCSP and the CRL say so in time, while the chain itself still holds."""
    server.revoke(read_certificate(path).serial_number)
    wait_for("OCSP", lambda: relying_party.ocsp_status(path) == "revoked" or None, seconds=OCSP_SECONDS)
    wait_for("the CRL", lambda: not relying_party.accepts_with_crl(path) or None, seconds=CRL_SECONDS)
    assert relying_party.accepts_chain(path)


def names(certificate: x509.Certificate) -> tuple[str, list[str]]:
    """Return the subject as text and the DNS names."""
    extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return certificate.subject.rfc4514_string(), extension.get_values_for_type(x509.DNSName)


def public_key(certificate: x509.Certificate) -> bytes:
    """Return the SubjectPublicKeyInfo, DER."""
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
