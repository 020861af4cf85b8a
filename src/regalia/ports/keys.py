"""Private keys, and the one way to a CA signature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import unquote

from regalia.model import KeyKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime
    from pathlib import Path
    from uuid import UUID

    from regalia.model import (
        EventDraft,
        SigningIntent,
    )
    from regalia.wire.algorithms import Oaep

__all__ = [
    "ELSEWHERE",
    "SOFTWARE",
    "CaKey",
    "CaKeys",
    "IntentSigner",
    "Intents",
    "KeyRecord",
    "KeyRecords",
    "KeyStore",
    "KeyVault",
    "NewKey",
    "PrivateKey",
    "SealedSecret",
    "Sealer",
    "Wrapped",
    "WrappedKey",
]

SOFTWARE: Final = "software"
"""Location of a key that lies wrapped in the database."""
ELSEWHERE: Final = "elsewhere"
"""Location of a key that was moved out, to a medium of an administrator."""


class PrivateKey(Protocol):
    """A private key that stays where it is. Raises `UnavailableError` when it cannot be reached."""

    @property
    def public_key(self) -> bytes:
        """DER SubjectPublicKeyInfo."""

    def sign(self, data: bytes, digest: str) -> bytes:
        """Sign with RSA PKCS#1 v1.5 or deterministic ECDSA (RFC 6979, ISS-2); `digest` is `sha256|sha384|sha512`.

        An RA key also signs with `sha1`, in answer to a device of a legacy endpoint that did (SIG-5).
        ECDSA signatures are DER (RFC 3279 §2.2.3).
        """

    def decrypt(self, ciphertext: bytes, oaep: Oaep | None = None) -> bytes:
        """RSA PKCS#1 v1.5 with implicit rejection, or OAEP: never raises for what the ciphertext holds (ENV-1).

        Empty octets where OAEP finds no message; the caller goes on with a random key (ENV-2).
        """


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just generated."""

    id: UUID
    public_key: bytes
    """DER SubjectPublicKeyInfo."""


class KeyStore(Protocol):
    """Private keys by id: RA and OCSP keys to use, all keys to generate. CA signatures go through `IntentSigner`."""

    def generate(
        self, kind: KeyKind, scope: str, told: Callable[[NewKey], Sequence[EventDraft]] = lambda _: ()
    ) -> NewKey:
        """Make and keep a key. `scope` is bound into its encryption (SEC-1) and says what it is for.

        `told` writes the events of the change, which are committed with the key (AUD-1).
        """

    def open(self, key_id: UUID) -> PrivateKey:
        """Use a key. Raises `UnavailableError` (CA-010) where it is not on this machine."""

    def holds(self, key_id: UUID) -> bool:
        """Whether the key is on this machine."""

    def move_out(self, key_id: UUID, directory: Path, events: Sequence[EventDraft] = ()) -> Path:
        """Write the key, still wrapped, into `directory`, read it back, then destroy our copy. Returns the file.

        The events are committed with the destruction.
        """

    def destroy(self, key_id: UUID, events: Sequence[EventDraft]) -> bool:
        """Destroy a key for good, wherever we reach it; its record stays and says when and by whom.

        The first event says both (`ca.key_events.key_destroyed`); all are committed with the destruction. False, and no
        events, where there is no such key or it was destroyed before. Whether anything needs it is the caller's to see.
        Raises `UnavailableError` where the key lies on a token that cannot be reached.
        """


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """A private key under the master key."""

    id: UUID
    kind: KeyKind
    scope: str
    public_key: bytes
    blob: bytes
    """nonce ‖ AES-256-GCM ciphertext; associated data binds id, kind and scope."""
    created_at: datetime


class KeyVault(Protocol):
    """Where wrapped keys lie."""

    def put_key(self, key: WrappedKey, events: Sequence[EventDraft] = ()) -> None:
        """Keep a new wrapped key."""

    def get_key(self, key_id: UUID) -> WrappedKey | None:
        """The wrapped key, if it lies here."""

    def destroy_key(self, key_id: UUID, events: Sequence[EventDraft] = ()) -> bool:
        """Forget a wrapped key; False, and no events, where there was none."""


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key in the inventory; the record outlives the key."""

    id: UUID
    kind: KeyKind
    scope: str
    location: str
    """`SOFTWARE`, `ELSEWHERE`, or the PKCS #11 URI of a key on a token (RFC 7512)."""
    key_sha256: bytes
    """SHA-256 of its SubjectPublicKeyInfo."""
    created_at: datetime
    destroyed_at: datetime | None = None
    destroyed_by: str | None = None
    """Kind and id of the actor."""

    @property
    def token(self) -> str | None:
        """Label of the token that it lies on, if it lies on one."""
        _, found, rest = self.location.partition("token=")
        return unquote(rest.partition(";")[0]) if found else None

    @property
    def repeats(self) -> bool:
        """Whether signing the same octets again gives the same signature (ISS-2); a token's ECDSA is randomised."""
        return self.token is None or self.kind not in {KeyKind.P256, KeyKind.P384}


class KeyRecords(Protocol):
    """Every key that there ever was. `KeyVault` writes the records of wrapped keys itself."""

    def add_token_key(self, record: KeyRecord, events: Sequence[EventDraft]) -> None:
        """Record a key that lies on a token."""

    def key_record(self, key_id: UUID) -> KeyRecord | None:
        """One record."""

    def key_records(self) -> tuple[KeyRecord, ...]:
        """All, oldest first."""

    def end_key(self, key_id: UUID, events: Sequence[EventDraft]) -> bool:
        """Forget a key's wrapped octets, if any lie here, and record its end by the first event's time and actor.

        False, and no events, where there is no such record or it has ended before.
        """


@dataclass(frozen=True, slots=True)
class SealedSecret:
    """A secret that `Sealer` sealed, where it lies."""

    scope: str
    which: bytes | int
    """What its row is found by."""
    sealed: bytes


class Wrapped(Protocol):
    """All that lies under master keys, for their rotation."""

    def wrapped_keys(self) -> Iterator[WrappedKey]:
        """Every wrapped key, the oldest first."""

    def replace_wrapped(self, former: WrappedKey, fresh: WrappedKey) -> bool:
        """Put a key's new blob into the place of the old one; False where that is not there any more."""

    def sealed_secrets(self) -> Iterator[SealedSecret]:
        """Every sealed secret."""

    def replace_sealed(self, former: SealedSecret, fresh: bytes) -> bool:
        """Put a new seal into the place of the old one; False where that is not there any more."""


class Sealer(Protocol):
    """Keeps a secret that must be read again, under the master key; what cannot be opened was altered or moved."""

    def seal(self, scope: str, secret: bytes) -> bytes:
        """Encrypt; `scope` says whose secret it is, and only with the same scope it opens."""

    def unseal(self, scope: str, sealed: bytes) -> bytes:
        """Decrypt. Raises `AdminError` ADM-010 where scope, octets or master key are not those of `seal`."""


class CaKey(Protocol):
    """A CA's private key, where it lies. Only a signer of committed intents holds one (R8)."""

    @property
    def kind(self) -> KeyKind:
        """What it is; its signature algorithm follows (`wire.certificate.signature_algorithm_for`)."""

    @property
    def repeatable(self) -> bool:
        """Whether signing the same octets again gives the same signature (ISS-2); no token's ECDSA does."""

    def sign(self, data: bytes) -> bytes:
        """Sign octets with the kind's algorithm; ECDSA as DER (RFC 3279 §2.2.3)."""

    def sign_digest(self, digest: bytes) -> bytes:
        """Sign what was hashed already with the kind's hash: a CRL's file."""


class CaKeys(Protocol):
    """Opens CA keys, software or on a token."""

    def ca_key(self, key_id: UUID) -> CaKey:
        """Open a CA's key.

        Raises `UnavailableError` CA-010 where it is not here, `AdminError` ADM-010 where the master key does not open
        it, `InvariantError` for a key that is no CA's.
        """


class IntentSigner(Protocol):
    """The only way to a CA signature (R8)."""

    def sign_intent(self, row_id: UUID) -> bytes:
        """Sign what the committed row with this id holds: a certificate's bytes, or a CRL's file after hashing it.

        Returns the signature octets. Signing the same row twice gives the same octets with software keys.
        Raises `UnavailableError`: CA-010 where the key is elsewhere, CA-013 where there is no such intent (any more:
        who settles an intent races with others); `InvariantError` where the file is not the one that the row describes.
        """


class Intents(Protocol):
    """What a signer may read: committed intents, nothing else."""

    def signing_intent(self, row_id: UUID) -> SigningIntent | None:
        """The committed intent of a certificate or CRL; None where it is not (or no longer) one."""
