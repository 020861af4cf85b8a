"""Wrapping: a private key as a row that only the master key opens, and only in its own place (SEC-1).

A row's blob is nonce ‖ AES-256-GCM(PKCS#8 DER). The associated data is everything else that the row says of the key:
id, kind, scope and public key. A blob that is moved to another row, another group or another purpose does not open.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from regalia import reasons
from regalia.errors import AdminError, InvariantError
from regalia.model import KeyKind
from regalia.ports import WrappedKey

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import utils

    from regalia.keys.master import MasterKey, Ring
    from regalia.ports import Entropy

__all__ = [
    "Keypair",
    "Wrapping",
    "make_keypair",
    "sign_with",
    "spki",
]

Keypair = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

_NONCE_OCTETS = 12
_RSA_BITS = {KeyKind.RSA_2048: 2048, KeyKind.RSA_3072: 3072, KeyKind.RSA_4096: 4096}


def make_keypair(kind: KeyKind) -> Keypair:
    """Generate a key. The randomness is OpenSSL's own, which takes no other source."""
    if kind is KeyKind.P256:
        return ec.generate_private_key(ec.SECP256R1())
    if kind is KeyKind.P384:
        return ec.generate_private_key(ec.SECP384R1())
    return rsa.generate_private_key(public_exponent=65537, key_size=_RSA_BITS[kind])


def spki(key: Keypair) -> bytes:
    """Encode the public half as DER SubjectPublicKeyInfo."""
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def sign_with(key: Keypair, data: bytes, algorithm: hashes.HashAlgorithm | utils.Prehashed) -> bytes:
    """Sign with RSA PKCS#1 v1.5 or deterministic ECDSA: the same data gives the same octets (ISS-2)."""
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, padding.PKCS1v15(), algorithm)
    return key.sign(data, ec.ECDSA(algorithm, deterministic_signing=True))


class Wrapping:
    """Wraps private keys under the current master key, and unwraps them under any that rows may still be under."""

    def __init__(self, master: Ring, entropy: Entropy) -> None:
        self._master = master
        self._entropy = entropy
        self._ciphers: dict[MasterKey, AESGCM] = {}

    def wrap(self, key: Keypair, *, key_id: UUID, kind: KeyKind, scope: str, at: datetime) -> WrappedKey:
        """Wrap a key into the row that stands for it. Raises `AdminError` ADM-010, ADM-011 for the master key."""
        public_key = spki(key)
        plain = key.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        row = WrappedKey(key_id, kind, scope, public_key, b"", at)
        # Rare enough to look whether it is still the one: a key of its own for the signer may have been made since.
        self._master.keys(anew=True)
        return self._sealed(row, plain)

    def unwrap(self, row: WrappedKey) -> Keypair:
        """Open a row. Raises AdminError ADM-010 where the master key is another one or the row was altered."""
        return _load(self._opened(row)[0])

    def rewrapped(self, row: WrappedKey) -> WrappedKey | None:
        """Wrap a row's key under the current master key; None where it is already. Raises what `unwrap` raises."""
        plain, key = self._opened(row)
        return None if key == self._master.current() else self._sealed(row, plain)

    def _sealed(self, row: WrappedKey, plain: bytes) -> WrappedKey:
        nonce = self._entropy.octets(_NONCE_OCTETS)
        data = _associated_data(row.id, row.kind, row.scope, row.public_key)
        return replace(row, blob=nonce + self._cipher(self._master.current()).encrypt(nonce, plain, data))

    def _opened(self, row: WrappedKey) -> tuple[bytes, MasterKey]:
        nonce, sealed = row.blob[:_NONCE_OCTETS], row.blob[_NONCE_OCTETS:]
        data = _associated_data(row.id, row.kind, row.scope, row.public_key)
        tried: set[MasterKey] = set()
        # A row may have been wrapped anew by a rotation since the files were read.
        for anew in (False, True):
            for key in self._master.keys(anew=anew):
                if key in tried:
                    continue
                tried.add(key)
                with suppress(InvalidTag, ValueError):  # ValueError: a blob cut to less than a nonce
                    return self._cipher(key).decrypt(nonce, sealed, data), key
        raise AdminError(
            reasons.MASTER_KEY_REFUSED,
            f"the master key in {self._master.current().path} does not open key {row.id} ({row.scope}): "
            "it is another one, or the key's row was altered",
        )

    def _cipher(self, key: MasterKey) -> AESGCM:
        cipher = self._ciphers.get(key)
        if cipher is None:
            cipher = self._ciphers[key] = AESGCM(key.wrapping_key())
        return cipher


def _associated_data(key_id: UUID, kind: KeyKind, scope: str, public_key: bytes) -> bytes:
    # Unambiguous: the id has 16 octets, kind and scope end with an octet that neither can hold.
    return b"\x00".join((key_id.bytes + kind.encode(), scope.encode(), public_key))


def _load(plain: bytes) -> Keypair:
    # OpenSSL's check of an RSA key's numbers takes 40 to 80 ms and would be paid by each process for each key. What it
    # would find cannot be: the GCM tag has just shown that these are the octets that we wrote after generating it.
    key = serialization.load_der_private_key(plain, password=None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise InvariantError(f"a wrapped key of type {type(key).__name__}")
    return key
