"""Secrets that must be read again: AES-256-GCM under a key of their own, derived from the master key.

A blob is nonce ‖ ciphertext. Its scope is associated data, so what was sealed for one row does not open in another.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from regalia import reasons
from regalia.errors import AdminError

if TYPE_CHECKING:
    from regalia.keys.master import MasterKey, Ring
    from regalia.ports import Entropy

__all__ = ["MasterSealer"]

_NONCE_OCTETS = 12


class MasterSealer:
    """See `ports.Sealer`."""

    def __init__(self, master: Ring, entropy: Entropy) -> None:
        self._master = master
        self._entropy = entropy
        self._ciphers: dict[MasterKey, AESGCM] = {}

    def seal(self, scope: str, secret: bytes) -> bytes:
        """Encrypt a secret for one scope. Raises `AdminError` ADM-010, ADM-011 for the master key's file."""
        nonce = self._entropy.octets(_NONCE_OCTETS)
        return nonce + self._cipher(self._master.current()).encrypt(nonce, secret, scope.encode())

    def unseal(self, scope: str, sealed: bytes) -> bytes:
        """Decrypt it. Raises `AdminError` ADM-010 where it does not open."""
        return self._opened(scope, sealed)[0]

    def resealed(self, scope: str, sealed: bytes) -> bytes | None:
        """Seal it under the current master key; None where it is already. Raises what `unseal` raises."""
        secret, key = self._opened(scope, sealed)
        return None if key == self._master.current() else self.seal(scope, secret)

    def _opened(self, scope: str, sealed: bytes) -> tuple[bytes, MasterKey]:
        tried: set[MasterKey] = set()
        # It may have been sealed anew by a rotation since the files were read.
        for anew in (False, True):
            for key in self._master.keys(anew=anew):
                if key in tried:
                    continue
                tried.add(key)
                with suppress(InvalidTag, ValueError):  # ValueError: a blob cut to less than a nonce
                    plain = self._cipher(key).decrypt(sealed[:_NONCE_OCTETS], sealed[_NONCE_OCTETS:], scope.encode())
                    return plain, key
        raise AdminError(reasons.MASTER_KEY_REFUSED, f"{scope} does not open: another master key, or an altered row")

    def _cipher(self, key: MasterKey) -> AESGCM:
        cipher = self._ciphers.get(key)
        if cipher is None:
            cipher = self._ciphers[key] = AESGCM(key.sealing_key())
        return cipher
