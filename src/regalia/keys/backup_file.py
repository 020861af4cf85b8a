r"""The file of a backup: encrypted to a public key, so that whoever makes backups every night cannot read them.

A fresh AES-256 key is encrypted by HPKE (RFC 9180: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM), and under it
the content in chunks, each AES-256-GCM. A chunk's nonce is its number and whether it is the last (the STREAM
construction of Hoang, Reyhanitabar, Rogaway and Vizár, 2015): none can be changed, moved, left out or cut off.

    "regalia backup 1\n" ‖ uint16 length ‖ HPKE ciphertext ‖ (uint32 length ‖ chunk) …
"""

from __future__ import annotations

import hashlib
import struct
from typing import TYPE_CHECKING, BinaryIO, Final

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hpke, serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from regalia import reasons
from regalia.errors import AdminError
from regalia.keys.private_files import create_private, read_private

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from regalia.ports import Entropy

__all__ = [
    "BackupWriter",
    "make_backup_key",
    "read_backup",
    "read_backup_key",
    "read_recipient",
    "recipient_sha256",
]

_MAGIC: Final = b"regalia backup 1\n"
_CHUNK: Final = 1024 * 1024
_TAG: Final = 16
_KEY_OCTETS: Final = 32
_MAX_PEM: Final = 16_384
_NONCE_COUNTER: Final = 11
_SUITE: Final = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


def make_backup_key(private: Path, public: Path) -> str:
    """Make an X25519 key pair, PKCS #8 and SubjectPublicKeyInfo as PEM; returns the public key's SHA-256.

    Raises `AdminError` ADM-020 where a file is there already or cannot be written.
    """
    key = X25519PrivateKey.generate()
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    told = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    for path, content in ((private, secret), (public, told)):
        try:
            create_private(path, content)
        except OSError as error:
            raise AdminError(reasons.FILE_REFUSED, f"{path}: {error.strerror}") from error
    return recipient_sha256(key.public_key())


def recipient_sha256(recipient: X25519PublicKey) -> str:
    """Name a recipient: SHA-256 of the SubjectPublicKeyInfo, hexadecimal."""
    spki = recipient.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).hexdigest()


def read_recipient(path: Path) -> X25519PublicKey:
    """Read the public key that a backup is encrypted to. Raises `AdminError` ADM-020, ADM-061."""
    try:
        with path.open("rb") as file:
            key = serialization.load_pem_public_key(file.read(_MAX_PEM))
    except OSError as error:
        raise AdminError(reasons.FILE_REFUSED, f"{path}: {error.strerror}") from error
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, X25519PublicKey):
        raise AdminError(reasons.BACKUP_KEY_REFUSED, f"{path} is no X25519 public key in PEM")
    return key


def read_backup_key(path: Path) -> X25519PrivateKey:
    """Read the private key that opens backups. Raises `AdminError` ADM-020, ADM-011, ADM-061."""
    try:
        key = serialization.load_pem_private_key(read_private(path, _MAX_PEM), password=None)
    except OSError as error:
        raise AdminError(reasons.FILE_REFUSED, f"{path}: {error.strerror}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, X25519PrivateKey):
        raise AdminError(reasons.BACKUP_KEY_REFUSED, f"{path} is no X25519 private key in PEM")
    return key


class BackupWriter:
    """Encrypts what is written, chunk by chunk, into an open file. `close` writes the last chunk."""

    def __init__(self, file: BinaryIO, recipient: X25519PublicKey, entropy: Entropy) -> None:
        key = entropy.octets(_KEY_OCTETS)
        wrapped = _SUITE.encrypt(key, recipient, _MAGIC)
        self._file = file
        self._aead = AESGCM(key)
        self._held = bytearray()
        self._number = 0
        file.write(_MAGIC + struct.pack(">H", len(wrapped)) + wrapped)

    def write(self, octets: bytes) -> None:
        """Take octets; whole chunks go out."""
        self._held += octets
        # One chunk more than full is waited for: the last one must be known when it is sealed.
        while len(self._held) > _CHUNK:
            self._seal(bytes(self._held[:_CHUNK]), last=False)
            del self._held[:_CHUNK]

    def close(self) -> None:
        """Seal what is left as the last chunk."""
        self._seal(bytes(self._held), last=True)

    def _seal(self, octets: bytes, *, last: bool) -> None:
        sealed = self._aead.encrypt(_nonce(self._number, last=last), octets, None)
        self._file.write(struct.pack(">I", len(sealed)) + sealed)
        self._number += 1


def read_backup(file: BinaryIO, key: X25519PrivateKey) -> Iterator[bytes]:
    """Decrypt a backup in chunks. Raises `AdminError` ADM-060 at the first octet that is not what was written.

    What was yielded before is genuine, and the end of the iteration says that nothing is missing.
    """
    if file.read(len(_MAGIC)) != _MAGIC:
        raise AdminError(reasons.BACKUP_REFUSED, "it does not begin as a backup does")
    wrapped = _exactly(file, int.from_bytes(_exactly(file, 2), "big"))
    try:
        aead = AESGCM(_SUITE.decrypt(wrapped, key, _MAGIC))
    except (InvalidTag, ValueError):
        raise AdminError(reasons.BACKUP_REFUSED, "it was encrypted to another key, or altered") from None
    number, header = 0, _exactly(file, 4)
    while header:
        sealed = _exactly(file, _length(header))
        header = file.read(4)
        try:
            yield aead.decrypt(_nonce(number, last=not header), sealed, None)
        except InvalidTag:
            raise AdminError(
                reasons.BACKUP_REFUSED, f"chunk {number} was altered, or what follows it is gone"
            ) from None
        number += 1


def _length(header: bytes) -> int:
    length = int.from_bytes(header, "big")
    if len(header) != 4 or not _TAG <= length <= _CHUNK + _TAG:
        raise AdminError(reasons.BACKUP_REFUSED, "it has a chunk of a length that is never written")
    return length


def _exactly(file: BinaryIO, count: int) -> bytes:
    octets = file.read(count)
    if len(octets) != count:
        raise AdminError(reasons.BACKUP_REFUSED, "it ends too early")
    return octets


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(_NONCE_COUNTER, "big") + bytes([last])
