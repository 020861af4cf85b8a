"""CA keys in software: opened from a vault of wrapped keys for whoever signs committed intents, and for nobody else.

`software.SoftwareKeys` refuses a CA's key; this module refuses all others.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import utils

from regalia import reasons
from regalia.ca.scopes import ROOT_SCOPE, is_ca_scope
from regalia.errors import InvariantError, UnavailableError
from regalia.keys.wrapping import Keypair, Wrapping, sign_with
from regalia.wire.certificate import signature_algorithm_for

if TYPE_CHECKING:
    from uuid import UUID

    from regalia.keys.master import Ring
    from regalia.model import KeyKind
    from regalia.ports import CaKey, Entropy, KeyVault

__all__ = ["SoftwareCaKey", "SoftwareCaKeys"]


class SoftwareCaKey:
    """A CA's key in this process's memory; see `ports.CaKey`."""

    def __init__(self, key: Keypair, kind: KeyKind) -> None:
        self._key = key
        self._kind = kind
        self._algorithm = signature_algorithm_for(kind).hash
        self._prehashed = utils.Prehashed(self._algorithm)

    @property
    def kind(self) -> KeyKind:
        """What it is."""
        return self._kind

    @property
    def repeatable(self) -> bool:
        """Software keys sign the same octets alike: RSA PKCS#1 v1.5, or ECDSA after RFC 6979."""
        return True

    def sign(self, data: bytes) -> bytes:
        """Sign octets with the kind's algorithm."""
        return sign_with(self._key, data, self._algorithm)

    def sign_digest(self, digest: bytes) -> bytes:
        """Sign what was hashed already with the kind's hash."""
        return sign_with(self._key, digest, self._prehashed)


class SoftwareCaKeys:
    """`CaKeys` over a vault of wrapped keys. Each issuing key is unwrapped once per process."""

    def __init__(self, vault: KeyVault, master: Ring, entropy: Entropy) -> None:
        self._vault = vault
        self._wrapping = Wrapping(master, entropy)
        self._opened: dict[UUID, SoftwareCaKey] = {}
        self._lock = threading.Lock()

    def ca_key(self, key_id: UUID) -> CaKey:
        """Open a CA's key.

        Raises `UnavailableError` CA-010 where it is elsewhere, `AdminError` ADM-010 where the master key does not open
        it, `InvariantError` for a key that is no CA's.
        """
        opened = self._opened.get(key_id)
        if opened is not None:
            return opened
        with self._lock:
            row = self._vault.get_key(key_id)
            if row is None:
                raise UnavailableError(reasons.ISSUER_UNAVAILABLE, f"key {key_id} is not on this machine")
            if not is_ca_scope(row.scope):
                raise InvariantError(f"key {key_id} ({row.scope}) is no CA's")
            opened = SoftwareCaKey(self._wrapping.unwrap(row), row.kind)
            # A root's key is opened for one signature and let go, so that moving it out ends its use in every process.
            if row.scope != ROOT_SCOPE:
                self._opened[key_id] = opened
            return opened
