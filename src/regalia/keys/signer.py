"""The signer: the one way to a CA signature (R8). It is told a row's id and nothing else.

It reads the committed row itself, so whoever calls it cannot have anything signed that is not on record. It opens CA
keys by a way of its own; `software.SoftwareKeys` refuses them, and this class refuses all others.
"""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import utils

from regalia import reasons
from regalia.ca.scopes import ROOT_SCOPE, is_ca_scope
from regalia.errors import InvariantError, UnavailableError
from regalia.keys.wrapping import Keypair, Wrapping, sign_with
from regalia.wire.certificate import signature_algorithm_for

if TYPE_CHECKING:
    from uuid import UUID

    from regalia.keys.master import MasterKey
    from regalia.model import SigningIntent
    from regalia.ports import CrlFiles, Entropy, Intents, KeyVault

__all__ = ["LocalSigner"]


class LocalSigner:
    """`IntentSigner` in this process, over committed intents and a vault of wrapped keys."""

    def __init__(self, intents: Intents, files: CrlFiles, vault: KeyVault, master: MasterKey, entropy: Entropy) -> None:
        self._intents = intents
        self._files = files
        self._vault = vault
        self._wrapping = Wrapping(master, entropy)
        self._opened: dict[UUID, tuple[Keypair, hashes.HashAlgorithm]] = {}
        self._lock = threading.Lock()

    def sign_intent(self, row_id: UUID) -> bytes:
        """Sign the committed certificate or CRL of this row; the same row gives the same octets (ISS-2).

        Raises `UnavailableError` CA-010 where the key is elsewhere, CA-013 where no such intent is committed (any
        more: another worker settled it first), `AdminError` ADM-010 where the master key does not open it,
        `InvariantError` where the CRL's file is not the recorded one.
        """
        intent = self._intents.signing_intent(row_id)
        if intent is None:
            raise UnavailableError(reasons.IN_PROGRESS, f"no open intent {row_id}")
        key, algorithm = self._ca_key(intent.key_id)
        if intent.tbs is not None:
            return sign_with(key, intent.tbs, algorithm)
        return sign_with(key, self._file_digest(intent, algorithm), utils.Prehashed(algorithm))

    def _ca_key(self, key_id: UUID) -> tuple[Keypair, hashes.HashAlgorithm]:
        opened = self._opened.get(key_id)
        if opened is not None:
            return opened
        with self._lock:
            row = self._vault.get_key(key_id)
            if row is None:
                raise UnavailableError(reasons.ISSUER_UNAVAILABLE, f"key {key_id} is not on this machine")
            if not is_ca_scope(row.scope):
                raise InvariantError(f"key {key_id} ({row.scope}) is no CA's")
            opened = self._wrapping.unwrap(row), signature_algorithm_for(row.kind).hash
            # A root's key is opened for one signature and let go, so that moving it out ends its use in every process.
            if row.scope != ROOT_SCOPE:
                self._opened[key_id] = opened
            return opened

    def _file_digest(self, intent: SigningIntent, algorithm: hashes.HashAlgorithm) -> bytes:
        if intent.tbs_path is None:
            raise InvariantError(f"intent {intent.id} has neither octets nor a file")
        recorded, signed = hashlib.sha256(), hashes.Hash(algorithm)
        for chunk in self._files.read(intent.tbs_path):
            recorded.update(chunk)
            signed.update(chunk)
        if recorded.digest() != intent.tbs_sha256:
            raise InvariantError(f"the file of intent {intent.id} is not the one that was recorded")
        return signed.finalize()
