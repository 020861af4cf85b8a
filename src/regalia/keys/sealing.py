"""Secrets that must be read again: AES-256-GCM under a key of their own, derived from the master key.

A blob is nonce ‖ ciphertext. Its scope is associated data, so what was sealed for one row does not open in another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from regalia import reasons
from regalia.errors import AdminError

if TYPE_CHECKING:
    from regalia.keys.master import MasterKey
    from regalia.ports import Entropy

__all__ = ["MasterSealer"]

_NONCE_OCTETS = 12


class MasterSealer:
    """See `ports.Sealer`."""

    def __init__(self, master: MasterKey, entropy: Entropy) -> None:
        self._cipher = AESGCM(master.sealing_key())
        self._entropy = entropy

    def seal(self, scope: str, secret: bytes) -> bytes:
        """Encrypt a secret for one scope."""
        nonce = self._entropy.octets(_NONCE_OCTETS)
        return nonce + self._cipher.encrypt(nonce, secret, scope.encode())

    def unseal(self, scope: str, sealed: bytes) -> bytes:
        """Decrypt it. Raises `AdminError` ADM-010 where it does not open."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE_OCTETS], sealed[_NONCE_OCTETS:], scope.encode())
        except (InvalidTag, ValueError) as error:  # ValueError: a blob cut to less than a nonce
            raise AdminError(
                reasons.MASTER_KEY_REFUSED, f"{scope} does not open: another master key, or an altered row"
            ) from error
