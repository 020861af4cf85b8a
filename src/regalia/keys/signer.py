"""The signer: the one way to a CA signature (R8). It is told a row's id and nothing else.

It reads the committed row itself, so whoever calls it cannot have anything signed that is not on record, and looks
at the octets before it signs them (`signer_rules`). It opens CA
keys by a way of its own (`ports.CaKeys`); `software.SoftwareKeys` refuses them.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, Protocol

from cryptography.hazmat.primitives import hashes

from regalia import reasons
from regalia.errors import InvariantError, UnavailableError
from regalia.keys.signer_rules import SignerRules
from regalia.wire.certificate import signature_algorithm_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from regalia.keys.signer_rules import SignerStore
    from regalia.model import SigningIntent
    from regalia.ports import CaKeys
    from regalia.wire.certificate import SignatureAlgorithm

__all__ = ["LocalSigner", "TbsFiles"]

_HEAD: Final = 16_384
"""Octets of a CRL's file that its issuer surely stands in."""


class TbsFiles(Protocol):
    """Where the octets of a CRL's file come from: `ports.CrlFiles`, or whoever wants it signed."""

    def read(self, path: str) -> Iterator[bytes]:
        """Read it in chunks, under the name that the row has for it."""


class LocalSigner:
    """`IntentSigner` in this process, over committed intents and the CA keys that can be opened here."""

    def __init__(self, store: SignerStore, files: TbsFiles, ca_keys: CaKeys, rules: SignerRules | None = None) -> None:
        """`rules`: those of the store, where they are shared with other signers."""
        self._store = store
        self._files = files
        self._ca_keys = ca_keys
        self._rules = rules or SignerRules(store)

    def sign_intent(self, row_id: UUID) -> bytes:
        """Sign the committed certificate or CRL of this row; a repeatable key gives the same octets again (ISS-2).

        Raises `UnavailableError` CA-010 where the key is elsewhere, CA-013 where no such intent is committed (any
        more: another worker settled it first), `AdminError` ADM-010 where the master key does not open it,
        `InvariantError` where the CRL's file is not the recorded one, or the octets are not for this key to sign.
        """
        intent = self._store.signing_intent(row_id)
        if intent is None:
            raise UnavailableError(reasons.IN_PROGRESS, f"no open intent {row_id}")
        key = self._ca_keys.ca_key(intent.key_id)
        if intent.tbs is not None:
            self._rules.check_octets(intent)
            return key.sign(intent.tbs)
        return key.sign_digest(self._file_digest(intent, signature_algorithm_for(key.kind)))

    def repeats(self, key_id: UUID) -> bool:
        """Whether signing a row of this key again gives the same octets (ISS-2).

        Raises `UnavailableError` CA-010 where the key is elsewhere.
        """
        return self._ca_keys.ca_key(key_id).repeatable

    def _file_digest(self, intent: SigningIntent, algorithm: SignatureAlgorithm) -> bytes:
        if intent.tbs_path is None:
            raise InvariantError(f"intent {intent.id} has neither octets nor a file")
        recorded, signed, head = hashlib.sha256(), hashes.Hash(algorithm.hash), b""
        for chunk in self._files.read(intent.tbs_path):
            recorded.update(chunk)
            signed.update(chunk)
            if len(head) < _HEAD:
                head += chunk[:_HEAD]
        if recorded.digest() != intent.tbs_sha256:
            raise InvariantError(f"the file of intent {intent.id} is not the one that was recorded")
        self._rules.check_list(intent, head, algorithm)
        return signed.finalize()
