"""Keys and certificates on a device's disk, as PEM, and what else has to survive a loss of power.

A key is written once and never over another one; what stands under its name is always whole and private (SEC-3). A
certificate is replaced atomically, and only by a caller that has verified the new one.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from regalia import reasons
from regalia.client.keys import MIN_RSA_BITS, device_key
from regalia.errors import AdminError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from regalia.client.keys import DeviceKey

__all__ = [
    "check_writable",
    "crl_pem",
    "is_there",
    "load_certificate",
    "load_key",
    "pem",
    "read_file",
    "remove_state",
    "save_certificates",
    "save_key",
    "save_public",
    "save_state",
]

_MAX_FILE: Final = 1 << 20
_PRIVATE: Final = 0o600
_PUBLIC: Final = 0o644


def load_key(path: Path) -> DeviceKey:
    """Read an unencrypted private key of a kind that a device may have. Raises `AdminError` CLI-009."""
    octets = read_file(path)
    try:
        loaded = serialization.load_pem_private_key(octets, password=None)
    except TypeError as fault:
        raise _unusable(f"{path} is encrypted; decrypt it with `openssl pkey`") from fault
    except (ValueError, UnsupportedAlgorithm) as fault:
        raise _unusable(f"{path} is not a private key in PEM") from fault
    key = device_key(loaded)
    if key is None:
        kinds = f"RSA of at least {MIN_RSA_BITS} bits, P-256, P-384, Ed25519 and ML-DSA"
        raise _unusable(f"{path} is not a key of a kind that can be used: {kinds}")
    return key


def load_certificate(path: Path) -> bytes:
    """Read the first certificate of a PEM file as DER. Raises `AdminError` CLI-009."""
    try:
        certificate = x509.load_pem_x509_certificate(read_file(path))
    except ValueError as fault:
        raise _unusable(f"{path} holds no certificate in PEM") from fault
    return certificate.public_bytes(serialization.Encoding.DER)


def pem(certificates: Sequence[bytes]) -> bytes:
    """Write DER certificates as PEM, one after the other."""
    return b"".join(
        x509.load_der_x509_certificate(certificate).public_bytes(serialization.Encoding.PEM)
        for certificate in certificates
    )


def crl_pem(crl: bytes) -> bytes:
    """Write a DER CRL as PEM."""
    return x509.load_der_x509_crl(crl).public_bytes(serialization.Encoding.PEM)


def save_key(path: Path, key: DeviceKey) -> None:
    """Write a new private key (PKCS #8, mode 0600). Raises `AdminError` CLI-009, also where something is there."""
    octets = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with _complete(path, octets, _PRIVATE) as fresh:
        # A link, unlike a rename, fails where the name is taken: there is no moment to overwrite somebody's key.
        os.link(fresh, path)


def save_certificates(path: Path, certificates: Sequence[bytes], *, replace: bool = False) -> None:
    """Write DER certificates as PEM (mode 0644), over an older file only with `replace`. Raises CLI-009."""
    save_public(path, pem(certificates), replace=replace)


def save_public(path: Path, octets: bytes, *, replace: bool = False) -> None:
    """Write a file for all to read (mode 0644), over an older one only with `replace`. Raises `AdminError` CLI-009."""
    with _complete(path, octets, _PUBLIC) as fresh:
        if replace:
            fresh.rename(path)
        else:
            os.link(fresh, path)


def save_state(path: Path, octets: bytes) -> None:
    """Write a new file (mode 0600) that is whole and on the disk when this returns. Raises `AdminError` CLI-009."""
    with _complete(path, octets, _PRIVATE) as fresh:
        os.link(fresh, path)


def remove_state(path: Path) -> None:
    """Remove what `save_state` wrote, where it is still there. Raises `AdminError` CLI-009."""
    try:
        path.unlink(missing_ok=True)
    except OSError as fault:
        raise _unusable(f"{path} cannot be removed: {fault.strerror}") from fault


def is_there(path: Path) -> bool:
    """Whether a name leads to anything. Raises `AdminError` CLI-009 in a directory that this user may not enter."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as fault:
        raise _unusable(f"{path} cannot be read: {fault.strerror}") from fault
    return True


def check_writable(path: Path) -> None:
    """Raise `AdminError` CLI-009 unless a new file can be made at `path`: asked before a challenge is spent."""
    if is_there(path):
        raise _unusable(f"{path} is there already and is not overwritten")
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}."):
            pass
    except OSError as fault:
        raise _unusable(f"no file can be made in {path.parent}: {fault.strerror}") from fault


@contextmanager
def _complete(path: Path, content: bytes, mode: int) -> Iterator[Path]:
    """Give a complete, synced temporary file beside `path`; it is gone afterwards unless it was renamed."""
    fresh: Path | None = None
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        fresh = Path(name)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield fresh
        _sync(path.parent)
    except FileExistsError as fault:
        raise _unusable(f"{path} is there already and is not overwritten") from fault
    except OSError as fault:
        raise _unusable(f"{path} cannot be written: {fault.strerror}") from fault
    finally:
        if fresh is not None:
            fresh.unlink(missing_ok=True)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_file(path: Path) -> bytes:
    """Read a file, at most its first MiB. Raises `AdminError` CLI-009."""
    try:
        with path.open("rb") as file:
            return file.read(_MAX_FILE)
    except OSError as fault:
        raise _unusable(f"{path} cannot be read: {fault.strerror}") from fault


def _unusable(detail: str) -> AdminError:
    return AdminError(reasons.CLIENT_FILE, detail)
