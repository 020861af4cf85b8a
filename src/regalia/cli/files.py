"""Files that administrators carry between machines: read whole, written once and never over another one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from regalia import reasons
from regalia.errors import AdminError
from regalia.verbs.content import http_url
from regalia.wire.der import DerError
from regalia.wire.pem import CERTIFICATE, CRL, REQUEST, read_pem, write_pem

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "certificates_pem",
    "crl_pem",
    "http_url",
    "read_certificates",
    "read_crl_file",
    "read_file",
    "request_pem",
    "write_new",
]

_MAX_FILE = 64 * 1024 * 1024
"""A CRL of a million entries has 40 MB."""
_PUBLIC = 0o644


def read_file(path: Path | str, limit: int = _MAX_FILE) -> bytes:
    """Read a file. Raises `AdminError` ADM-020, also where it is longer than `limit`."""
    try:
        with Path(path).open("rb") as file:
            octets = file.read(limit + 1)
    except OSError as error:
        raise AdminError(reasons.FILE_REFUSED, f"{path}: {error.strerror}") from error
    if len(octets) > limit:
        raise AdminError(reasons.FILE_REFUSED, f"{path} is longer than {limit} octets")
    return octets


def read_certificates(path: Path | str) -> tuple[bytes, ...]:
    """Read the certificates of a file, DER: PEM, one in DER, or PKCS #7 (.p7b, .p7c). Raises `AdminError` ADM-020."""
    octets = read_file(path)
    try:
        found = _of_pkcs7(octets) or read_pem(octets, CERTIFICATE)
        for der in found:
            x509.load_der_x509_certificate(der)
    except (DerError, ValueError, x509.InvalidVersion) as error:
        raise AdminError(reasons.FILE_REFUSED, f"{path} holds no certificate that can be read: {error}") from error
    return found


def _of_pkcs7(octets: bytes) -> tuple[bytes, ...]:
    """The certificates of a PKCS #7 file; none where it is something else."""
    try:
        if b"-----BEGIN PKCS7-----" in octets:
            certificates = pkcs7.load_pem_pkcs7_certificates(octets)
        elif octets[:1] == b"\x30":
            certificates = pkcs7.load_der_pkcs7_certificates(octets)
        else:
            return ()
    except ValueError:
        return ()
    return tuple(certificate.public_bytes(Encoding.DER) for certificate in certificates)


def read_crl_file(path: Path | str) -> bytes:
    """Read a CRL, PEM or DER, as DER. Raises `AdminError` ADM-020."""
    try:
        return read_pem(read_file(path), CRL)[0]
    except DerError as error:
        raise AdminError(reasons.FILE_REFUSED, f"{path}: {error}") from error


def write_new(path: Path, octets: bytes, mode: int = _PUBLIC) -> Path:
    """Write a new file durably and return its path. Raises `AdminError` ADM-020, also where one is there."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except FileExistsError:
        raise AdminError(reasons.FILE_REFUSED, f"{path} exists: nothing is written over it") from None
    except OSError as error:
        raise AdminError(reasons.FILE_REFUSED, f"{path}: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(octets)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        path.unlink(missing_ok=True)
        raise AdminError(reasons.FILE_REFUSED, f"{path}: {error.strerror}") from error
    return path


def certificates_pem(certificates: Sequence[bytes]) -> bytes:
    """Write DER certificates as PEM, one after the other."""
    return b"".join(write_pem(der, CERTIFICATE) for der in certificates)


def request_pem(csr: bytes) -> bytes:
    """Write a DER request as PEM."""
    return write_pem(csr, REQUEST)


def crl_pem(crl: bytes) -> bytes:
    """Write a DER CRL as PEM."""
    return write_pem(crl, CRL)
