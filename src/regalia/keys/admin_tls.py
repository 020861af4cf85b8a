"""The admin listener's own certificate: self-signed, in two files of the home, renewed before it expires (R11).

Administrators compare its SHA-256 fingerprint with what `init` printed, until they put one of their own in its place.
"""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from regalia import reasons
from regalia.ca.serial import new_serial
from regalia.errors import AdminError
from regalia.keys.private_files import replace_private
from regalia.keys.tls_files import TlsFiles

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from regalia.ports import Entropy

__all__ = [
    "CERTIFICATE_FILE",
    "KEY_FILE",
    "LIFETIME",
    "AdminTls",
    "make_admin_tls",
    "needs_renewal",
    "read_admin_tls",
]

CERTIFICATE_FILE = "admin.crt"
KEY_FILE = "admin.key"

LIFETIME = timedelta(days=397)
"""What browsers accept of a server certificate at most is 398 days."""

_RENEW_BEFORE = timedelta(days=60)
_BACKDATE = timedelta(minutes=5)
_COMMON_NAME_LIMIT = 64
_ALWAYS: tuple[x509.GeneralName, ...] = (
    x509.DNSName("localhost"),
    x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    x509.IPAddress(ipaddress.ip_address("::1")),
)


@dataclass(frozen=True, slots=True)
class AdminTls:
    """The files of the admin listener's certificate, and what an administrator compares."""

    certificate: Path
    key: Path
    sha256: str
    """Of the certificate, as 64 lower-case hexadecimal digits."""
    not_after: datetime


def make_admin_tls(home: Path, host: str, *, now: datetime, entropy: Entropy) -> AdminTls:
    """Make a new key and certificate for `host`, in the place of the old ones if there are any.

    The certificate file changes last: a process that starts in between finds files that do not belong together, and
    `needs_renewal` says so. Raises AdminError ADM-020 where a file cannot be written.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _certificate(key, host, now, new_serial(entropy, now))
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    try:
        replace_private(home / KEY_FILE, key_pem)
        replace_private(home / CERTIFICATE_FILE, certificate.public_bytes(serialization.Encoding.PEM), mode=0o644)
    except OSError as error:
        raise AdminError(reasons.FILE_REFUSED, f"{error.filename}: {error.strerror}") from error
    return _described(home, certificate)


def read_admin_tls(home: Path) -> AdminTls:
    """Describe what is there.

    Raises AdminError ADM-020 where a file is missing, not readable, or the two do not belong together; ADM-011 where
    others may read the key (SEC-3).
    """
    files = TlsFiles(home / CERTIFICATE_FILE, home / KEY_FILE)
    presented = files.check()
    return AdminTls(files.certificate, files.key, presented.sha256, presented.not_after)


def needs_renewal(home: Path, now: datetime) -> bool:
    """Whether the files are missing, unusable, or end within 60 days. Raises AdminError ADM-011 (SEC-3)."""
    try:
        present = read_admin_tls(home)
    except AdminError as error:
        if error.reason is reasons.PERMISSIONS_REFUSED:
            raise
        return True
    return present.not_after - now < _RENEW_BEFORE


def _described(home: Path, certificate: x509.Certificate) -> AdminTls:
    digest = hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()
    return AdminTls(home / CERTIFICATE_FILE, home / KEY_FILE, digest, certificate.not_valid_after_utc)


def _certificate(key: ec.EllipticCurvePrivateKey, host: str, now: datetime, serial: int) -> x509.Certificate:
    # A host name may be longer than a common name; the names that count are the SANs anyway.
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host[:_COMMON_NAME_LIMIT])])
    public_key = key.public_key()
    return (
        x509.CertificateBuilder(name, name, public_key, serial)
        .not_valid_before(now - _BACKDATE)
        .not_valid_after(now - _BACKDATE + LIFETIME)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_digital_signature(), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(_names(host)), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .sign(key, hashes.SHA256())
    )


def _names(host: str) -> list[x509.GeneralName]:
    try:
        own: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        own = x509.DNSName(host)
    return [own, *(name for name in _ALWAYS if name != own)]


def _digital_signature() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
