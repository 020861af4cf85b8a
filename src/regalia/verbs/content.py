"""What is given to verbs as PEM, and what they give as PEM."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cryptography import x509

from regalia import reasons
from regalia.errors import AdminError
from regalia.wire.certificate import read_certificate
from regalia.wire.der import DerError
from regalia.wire.names import name_text
from regalia.wire.pem import CERTIFICATE, CRL, REQUEST, read_pem, write_pem

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "certificates_from",
    "certificates_text",
    "crl_from",
    "crl_text",
    "http_url",
    "request_from",
    "request_text",
]


def certificates_from(text: str) -> tuple[bytes, ...]:
    """Read certificates, DER, in their order. Raises `AdminError` ADM-083 for what is none."""
    try:
        found = read_pem(_octets(text), CERTIFICATE)
        for der in found:
            x509.load_der_x509_certificate(der)
            name_text(read_certificate(der).subject)
    except (DerError, ValueError, x509.InvalidVersion) as error:
        raise AdminError(reasons.CONTENT_REFUSED, f"there is no certificate that can be read: {error}") from error
    return found


def request_from(text: str) -> bytes:
    """Read a request, DER; what it holds is not looked at. Raises `AdminError` ADM-083."""
    return _one(text, REQUEST)


def crl_from(text: str) -> bytes:
    """Read a CRL, DER; what it holds is not looked at. Raises `AdminError` ADM-083."""
    return _one(text, CRL)


def certificates_text(certificates: Iterable[bytes]) -> str:
    """Write certificates, one after the other."""
    return "".join(write_pem(der, CERTIFICATE).decode("ascii") for der in certificates)


def request_text(csr: bytes) -> str:
    """Write a request."""
    return write_pem(csr, REQUEST).decode("ascii")


def crl_text(crl: bytes) -> str:
    """Write a CRL."""
    return write_pem(crl, CRL).decode("ascii")


def http_url(called: str, text: str) -> str:
    """Read the URL of a system, without what would follow its host. Raises `AdminError` ADM-018 that names it."""
    try:
        parts = urlsplit(text)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.path.strip("/") or parts.query:
        raise AdminError(reasons.USAGE, f"{called} {text} is no URL of the form http://HOST:PORT")
    return text.rstrip("/")


def _one(text: str, label: str) -> bytes:
    try:
        return read_pem(_octets(text), label)[0]
    except DerError as error:
        raise AdminError(reasons.CONTENT_REFUSED, str(error)) from error


def _octets(text: str) -> bytes:
    try:
        return text.encode("ascii")
    except UnicodeEncodeError:
        raise AdminError(reasons.CONTENT_REFUSED, "it is no PEM: there are other characters in it than ASCII") from None
