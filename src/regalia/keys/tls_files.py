"""Certificate and key of a listener in two PEM files, and what is to be said of them (SEC-3)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from regalia import reasons
from regalia.ca.server_certificate import names_of
from regalia.errors import AdminError, PeerError
from regalia.keys.private_files import GROUP_AND_OTHERS, read_private

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from regalia.model import San

__all__ = ["Presented", "TlsFiles"]

_MAX_FILE_OCTETS: Final = 262_144
"""A chain of a dozen certificates has a tenth of it."""


@dataclass(frozen=True, slots=True)
class Presented:
    """What a listener shows of itself."""

    sha256: str
    """Of the certificate, as 64 lower-case hexadecimal digits."""
    not_after: datetime
    names: frozenset[San]


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Two files; a `web.tls.TlsSource`."""

    certificate: Path
    """The certificate first, then those above it, the root left out."""
    key: Path
    forbidden: int = GROUP_AND_OTHERS
    """Permission bits of the key's file that are too many."""

    def look(self) -> object:
        """Return what changes when the files do. Raises `OSError`."""
        facts = [path.stat() for path in (self.certificate, self.key)]
        return tuple((fact.st_mtime_ns, fact.st_ctime_ns, fact.st_size, fact.st_ino) for fact in facts)

    def read(self) -> bytes:
        """Return both as PEM. Raises `OSError`; `AdminError` ADM-011 where others may read the key (SEC-3)."""
        certificate, key = self._both()
        return certificate + b"\n" + key

    def check(self) -> Presented:
        """Read them as the listener will, and say what they present.

        Raises `AdminError` ADM-020 where a file is missing, not readable, or the two do not belong together; ADM-011
        where others may read the key (SEC-3).
        """
        try:
            certificate_pem, key_pem = self._both()
            certificate = x509.load_pem_x509_certificate(certificate_pem)
            key = serialization.load_pem_private_key(key_pem, password=None)
            names = names_of(certificate.public_bytes(serialization.Encoding.DER))
        except OSError as error:
            raise AdminError(reasons.FILE_REFUSED, f"{error.filename}: {error.strerror}") from error
        except (ValueError, TypeError, UnsupportedAlgorithm, PeerError) as error:
            told = f"{self.certificate} or {self.key.name} is not readable PEM without a password"
            raise AdminError(reasons.FILE_REFUSED, told) from error
        if key.public_key() != certificate.public_key():
            raise AdminError(reasons.FILE_REFUSED, f"{self.certificate} and {self.key.name} do not belong together")
        digest = hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()
        return Presented(digest, certificate.not_valid_after_utc, names)

    def key_sha256(self) -> bytes:
        """Return the SHA-256 of the certificate's SubjectPublicKeyInfo. Raises `AdminError` ADM-020."""
        try:
            certificate = x509.load_pem_x509_certificate(self.certificate.read_bytes()[:_MAX_FILE_OCTETS])
        except OSError as error:
            raise AdminError(reasons.FILE_REFUSED, f"{error.filename}: {error.strerror}") from error
        except ValueError as error:
            raise AdminError(reasons.FILE_REFUSED, f"{self.certificate} is not readable PEM") from error
        spki = certificate.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return hashlib.sha256(spki).digest()

    def _both(self) -> tuple[bytes, bytes]:
        return self.certificate.read_bytes()[:_MAX_FILE_OCTETS], read_private(
            self.key, _MAX_FILE_OCTETS, self.forbidden
        )
