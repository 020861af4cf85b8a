"""All keys of a home, software and token, behind one `KeyStore`: each is used where it lies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from regalia import reasons
from regalia.ca.scopes import is_ca_scope, opens_for_faces
from regalia.errors import AdminError, UnavailableError
from regalia.keys.token_keys import on_token

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from uuid import UUID

    from regalia.keys.pkcs11 import TokenKey
    from regalia.keys.shares import SharedKey, Split
    from regalia.keys.software import SoftwareKeys
    from regalia.keys.token_keys import TokenCaKeys, TokenKeys
    from regalia.keys.wrapping import Keypair
    from regalia.model import EventDraft, KeyKind
    from regalia.ports import CaKey, CaKeys, KeyRecord, KeyRecords, NewKey, PrivateKey

__all__ = ["HomeCaKeys", "HomeKeys"]


class HomeKeys:
    """`KeyStore` of a home. CA keys are made on the token where `to_token` says so, all others in software (R10)."""

    def __init__(
        self, software: SoftwareKeys, records: KeyRecords, token: TokenKeys | None = None, *, to_token: bool = False
    ) -> None:
        self._software = software
        self._records = records
        self._token = token
        self._to_token = to_token

    def generate(
        self, kind: KeyKind, scope: str, told: Callable[[NewKey], Sequence[EventDraft]] = lambda _: ()
    ) -> NewKey:
        """Make a key and keep it where keys of this scope belong, with the events that `told` writes."""
        # An authority that is its own RA decrypts with its key: that one is in software (R2).
        if self._to_token and is_ca_scope(scope) and not opens_for_faces(scope):
            return self._reached().generate(kind, scope, told)
        return self._software.generate(kind, scope, told)

    def open(self, key_id: UUID) -> PrivateKey:
        """Use an RA, OCSP or TLS key; they are in software. See `SoftwareKeys.open`."""
        return self._software.open(key_id)

    def holds(self, key_id: UUID) -> bool:
        """Whether the key is on this machine, on the medium that was named, or recorded on the token of the settings.

        The token is not asked: a worker has no session with it.
        """
        if self._software.holds(key_id):
            return True
        record = self._records.key_record(key_id)
        return (
            record is not None
            and record.destroyed_at is None
            and self._token is not None
            and self._token.reaches(record)
        )

    def prove(self, key_id: UUID) -> None:
        """See that a key can be used: that the master key opens it, or that it is on the token and signs.

        Raises `AdminError` ADM-010, ADM-004, CA-022; `UnavailableError` CA-010, CA-020, CA-021.
        """
        record = self._records.key_record(key_id)
        if record is not None and on_token(record):
            self._reached(record).prove(record)
        else:
            self._software.prove(key_id)

    def proves_master_key(self, key_id: UUID) -> bool:
        """Whether this key's opening would show that the master key is the right one: a token's knows nothing of it."""
        return self._software.holds(key_id)

    def move_out(self, key_id: UUID, directory: Path, events: Sequence[EventDraft] = ()) -> Path:
        """Move a software key to a medium. Raises `AdminError` CA-023 for a key on a token, which cannot move."""
        record = self._records.key_record(key_id)
        if record is not None and on_token(record):
            raise AdminError(reasons.KEY_BOUND, f"key {key_id} is {record.location}")
        return self._software.move_out(key_id, directory, events)

    def move_out_shared(
        self,
        key_id: UUID,
        directory: Path,
        parts: Split,
        confirm: Callable[[], None],
        events: Sequence[EventDraft] = (),
    ) -> Path:
        """Move a software key to a medium, under a secret in shares. Raises what `move_out` raises."""
        record = self._records.key_record(key_id)
        if record is not None and on_token(record):
            raise AdminError(reasons.KEY_BOUND, f"key {key_id} is {record.location}")
        return self._software.move_out_shared(key_id, directory, parts, confirm, events)

    def carry(self, shared: SharedKey, secret: bytes, directory: Path) -> Path:
        """Write a shared key as the file of a medium; see `SoftwareKeys.carry`."""
        return self._software.carry(shared, secret, directory)

    def destroy(self, key_id: UUID, events: Sequence[EventDraft]) -> bool:
        """Destroy a key for good; its record stays. See `ports.KeyStore`.

        Raises `AdminError` ADM-009 for a key on a medium, `UnavailableError` CA-020, CA-021 for a token.
        """
        record = self._records.key_record(key_id)
        if record is None or record.destroyed_at is not None:
            return False
        if on_token(record):
            return self._reached(record).destroy(record, events)
        ended = self._records.end_key(key_id, events)
        self._software.forget(key_id)
        return ended

    def find_by_uri(self, uri: str) -> TokenKey:
        """Look up a key on the token that is fit to be a CA's; see `TokenKeys.find`."""
        return self._reached().find(uri)

    def adopt(self, uri: str, scope: str, told: Callable[[NewKey], Sequence[EventDraft]] = lambda _: ()) -> NewKey:
        """Record a key that somebody made on the token; see `TokenKeys.adopt`."""
        return self._reached().adopt(uri, scope, told)

    def keep(
        self,
        keypair: Keypair,
        kind: KeyKind,
        scope: str,
        told: Callable[[NewKey], Sequence[EventDraft]] = lambda _: (),
    ) -> NewKey:
        """Keep a key that was made elsewhere, in software; see `SoftwareKeys.keep`."""
        return self._software.keep(keypair, kind, scope, told)

    def self_test(self) -> None:
        """Prove ENV-1 of this machine's OpenSSL. Raises `UnavailableError` CA-010."""
        self._software.self_test()

    def _reached(self, record: KeyRecord | None = None) -> TokenKeys:
        if self._token is None:
            told = "no token is set: keys.pkcs11_module, keys.pkcs11_token and keys.pkcs11_pin_file name it"
            raise AdminError(reasons.CONFIG_REFUSED, told)
        if record is not None and not self._token.reaches(record):
            raise UnavailableError(reasons.ISSUER_UNAVAILABLE, f"key {record.id} is {record.location}")
        return self._token


class HomeCaKeys:
    """`CaKeys` of a home: each key is opened where its record says that it lies."""

    def __init__(self, software: CaKeys, records: KeyRecords, token: TokenCaKeys | None = None) -> None:
        self._software = software
        self._records = records
        self._token = token
        self._lies_on_token: dict[UUID, bool] = {}

    def ca_key(self, key_id: UUID) -> CaKey:
        """Open a CA's key; raises what `SoftwareCaKeys` and `TokenCaKeys` raise."""
        # No key changes between token and software, so that it is looked up once per process.
        lies = self._lies_on_token.get(key_id)
        if lies is None:
            lies = self._lies_on_token[key_id] = on_token(self._records.key_record(key_id))
        if not lies:
            return self._software.ca_key(key_id)
        if self._token is None:
            raise UnavailableError(reasons.ISSUER_UNAVAILABLE, f"key {key_id} is on a token, and `[keys]` names none")
        return self._token.ca_key(key_id)
