"""CA keys on a PKCS #11 token: made there, recorded here, used by whoever signs committed intents."""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes

from regalia import reasons
from regalia.ca.scopes import is_ca_scope
from regalia.errors import AdminError, InvariantError, UnavailableError
from regalia.keys.pkcs11_uri import SCHEME, KeyUri
from regalia.model import KeyKind, new_id
from regalia.ports import KeyRecord, NewKey
from regalia.wire.certificate import signature_algorithm_for

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from regalia.keys.pkcs11 import Token, TokenKey
    from regalia.model import EventDraft
    from regalia.ports import CaKey, Clock, Entropy, KeyRecords

__all__ = ["TokenCaKey", "TokenCaKeys", "TokenKeys", "on_token"]


def on_token(record: KeyRecord | None) -> bool:
    """Whether a key lies on a token, ours or another."""
    return record is not None and record.location.startswith(SCHEME)


class TokenCaKey:
    """A CA's key on a token; see `ports.CaKey`. Nothing is asked of the token before it signs."""

    def __init__(self, token: Token, uri: KeyUri, kind: KeyKind) -> None:
        self._token = token
        self._uri = uri
        self._kind = kind
        self._algorithm = signature_algorithm_for(kind).hash

    @property
    def kind(self) -> KeyKind:
        """What it is."""
        return self._kind

    @property
    def repeatable(self) -> bool:
        """RSA PKCS #1 v1.5 has no randomness; a token's ECDSA does, and nothing of RFC 6979."""
        return self._kind not in {KeyKind.P256, KeyKind.P384}

    def sign(self, data: bytes) -> bytes:
        """Sign octets with the kind's algorithm. Raises `UnavailableError` CA-010, CA-020, CA-021."""
        digest = hashes.Hash(self._algorithm)
        digest.update(data)
        return self.sign_digest(digest.finalize())

    def sign_digest(self, digest: bytes) -> bytes:
        """Sign what was hashed already. Raises what `sign` raises."""
        return self._token.sign(self._uri, self._kind, digest)


class TokenCaKeys:
    """`CaKeys` on one token, over the inventory that says where each key lies."""

    def __init__(self, records: KeyRecords, token: Token) -> None:
        self._records = records
        self._token = token
        self._opened: dict[UUID, TokenCaKey] = {}
        self._lock = threading.Lock()

    def ca_key(self, key_id: UUID) -> CaKey:
        """Open a CA's key.

        Raises `UnavailableError` CA-010 where it is not on this token, `InvariantError` for a key that is no CA's.
        """
        opened = self._opened.get(key_id)
        if opened is not None:
            return opened
        record = self._records.key_record(key_id)
        if record is None or record.destroyed_at is not None or not on_token(record):
            raise UnavailableError(reasons.ISSUER_UNAVAILABLE, f"key {key_id} is not on token {self._token.label}")
        if not is_ca_scope(record.scope):
            raise InvariantError(f"key {key_id} ({record.scope}) is no CA's")
        uri = KeyUri.parse(record.location)
        if uri.token != self._token.label:
            raise UnavailableError(reasons.ISSUER_UNAVAILABLE, f"key {key_id} is on token {uri.token}")
        with self._lock:
            return self._opened.setdefault(key_id, TokenCaKey(self._token, uri, record.kind))


class TokenKeys:
    """Makes, adopts, proves and destroys keys on one token."""

    def __init__(self, token: Token, records: KeyRecords, clock: Clock, entropy: Entropy) -> None:
        self._token = token
        self._records = records
        self._clock = clock
        self._entropy = entropy

    def reaches(self, record: KeyRecord) -> bool:
        """Whether a key lies on this token, as its record says; the token is not asked."""
        return on_token(record) and KeyUri.parse(record.location).token == self._token.label

    def generate(self, kind: KeyKind, scope: str, told: Callable[[NewKey], Sequence[EventDraft]]) -> NewKey:
        """Make a key on the token and record it, with the events that `told` writes.

        Raises `AdminError` CA-022 where the token made one that is not fit; `UnavailableError` CA-020, CA-021.
        """
        key_id = new_id(self._clock.now(), self._entropy.octets(10))
        made = self._token.generate(kind, key_id.bytes, scope)
        try:
            return self._recorded(key_id, made, scope, told)
        except BaseException:
            # What is not on record must not lie on the token either.
            self._token.destroy(self._uri(made))
            raise

    def find(self, text: str) -> TokenKey:
        """Look up the key that a PKCS #11 URI names, and see that it is fit to be a CA's.

        Raises `AdminError` ADM-018 for the URI, ADM-004 where there is no such key, CA-022 where it is not fit;
        `UnavailableError` CA-020, CA-021.
        """
        return self._token.check(self._ours(text))

    def adopt(self, text: str, scope: str, told: Callable[[NewKey], Sequence[EventDraft]]) -> NewKey:
        """Record a key that somebody made on the token. Raises what `find` raises."""
        found = self._token.check(self._ours(text))
        return self._recorded(new_id(self._clock.now(), self._entropy.octets(10)), found, scope, told)

    def prove(self, record: KeyRecord) -> None:
        """See that the recorded key is on the token, cannot leave it, and signs. Raises what `find` raises."""
        found = self._token.check(KeyUri.parse(record.location))
        if hashlib.sha256(found.public_key).digest() != record.key_sha256:
            raise AdminError(reasons.TOKEN_KEY_REFUSED, f"{record.location} is another key than key {record.id}")

    def destroy(self, record: KeyRecord, events: Sequence[EventDraft]) -> bool:
        """Destroy the key on the token, then record that.

        Interrupted in between, it can be called again: what is gone from the token is then only recorded.
        """
        self._token.destroy(KeyUri.parse(record.location))
        return self._records.end_key(record.id, events)

    def _ours(self, text: str) -> KeyUri:
        uri = KeyUri.parse(text)
        if uri.token != self._token.label:
            raise AdminError(reasons.USAGE, f"{text!r}: `keys.pkcs11_token` is {self._token.label}")
        return uri

    def _uri(self, key: TokenKey) -> KeyUri:
        return KeyUri(self._token.label, key.id or None, key.label)

    def _recorded(
        self, key_id: UUID, key: TokenKey, scope: str, told: Callable[[NewKey], Sequence[EventDraft]]
    ) -> NewKey:
        new = NewKey(key_id, key.public_key)
        digest = hashlib.sha256(key.public_key).digest()
        record = KeyRecord(key_id, key.kind, scope, str(self._uri(key)), digest, self._clock.now())
        self._records.add_token_key(record, told(new))
        return new
