"""Keys in software: generated here, kept wrapped in a vault, used from memory.

What a face may do with a key is in `SoftwareKeys`: RA and OCSP keys, never a CA's. CA keys are `signer.LocalSigner`'s.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from regalia import reasons
from regalia.ca.scopes import is_ca_scope, opens_for_faces
from regalia.errors import InvariantError, UnavailableError
from regalia.keys.carried_key import prove_pair
from regalia.keys.medium import write_key_file
from regalia.keys.shares import open_shared, write_shared
from regalia.keys.wrapping import Keypair, Wrapping, make_keypair, sign_with, spki
from regalia.model import KeyKind, new_id
from regalia.ports import NewKey

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from uuid import UUID

    from regalia.keys.master import Ring
    from regalia.keys.shares import SharedKey, Split
    from regalia.model import EventDraft
    from regalia.ports import Clock, Entropy, KeyVault, PrivateKey, WrappedKey
    from regalia.wire.algorithms import Oaep

__all__ = [
    "SoftwareKey",
    "SoftwareKeys",
    "require_implicit_rejection",
]

_DIGESTS: dict[str, hashes.HashAlgorithm] = {
    "sha1": hashes.SHA1(),  # noqa: S303 - replies of legacy endpoints mirror the request's digest (SIG-5)
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


_TEST_KEY_OCTETS = 256


class SoftwareKey:
    """An opened private key."""

    def __init__(self, key: Keypair) -> None:
        self._key = key
        self._public_key = spki(key)
        # Worked out once: each ciphertext is compared with it.
        self._modulus = key.public_key().public_numbers().n if isinstance(key, rsa.RSAPrivateKey) else 0

    @property
    def public_key(self) -> bytes:
        """DER SubjectPublicKeyInfo."""
        return self._public_key

    def sign(self, data: bytes, digest: str) -> bytes:
        """Sign with RSA PKCS#1 v1.5 or deterministic ECDSA; `digest` is sha256, sha384, sha512, sha1 for RSA alone."""
        algorithm = _DIGESTS.get(digest)
        if algorithm is None or (digest == "sha1" and not isinstance(self._key, rsa.RSAPrivateKey)):
            raise InvariantError(f"no key signs with digest {digest}")
        return sign_with(self._key, data, algorithm)

    def decrypt(self, ciphertext: bytes, oaep: Oaep | None = None) -> bytes:
        """Decrypt RSA PKCS#1 v1.5 with implicit rejection; empty where the octets cannot be a ciphertext at all.

        OpenSSL refuses two things aloud: octets not as long as the modulus, and a number not below it. Both can be
        seen in the clear, so saying so tells nobody anything; no cipher's key has zero octets, so the caller goes on
        with a random one (ENV-2). Bad padding is never said: it yields octets that look like any others (ENV-1).
        """
        if not isinstance(self._key, rsa.RSAPrivateKey):
            raise InvariantError("only RSA keys decrypt")
        if len(ciphertext) != (self._modulus.bit_length() + 7) // 8:
            return b""
        if int.from_bytes(ciphertext, "big") >= self._modulus:
            return b""
        if oaep is None:
            return self._key.decrypt(ciphertext, padding.PKCS1v15())
        mask = padding.MGF1(oaep.mask_digest.hash())
        try:
            return self._key.decrypt(ciphertext, padding.OAEP(mask, oaep.digest.hash(), None))
        except ValueError:
            return b""


class SoftwareKeys:
    """`KeyStore` over a vault of wrapped keys. Each key is unwrapped once per process."""

    def __init__(self, vault: KeyVault, clock: Clock, entropy: Entropy, master: Ring) -> None:
        self._vault = vault
        self._clock = clock
        self._entropy = entropy
        self._wrapping = Wrapping(master, entropy)
        self._opened: dict[UUID, SoftwareKey] = {}
        self._lock = threading.Lock()

    def generate(
        self, kind: KeyKind, scope: str, told: Callable[[NewKey], Sequence[EventDraft]] = lambda _: ()
    ) -> NewKey:
        """Make a key and keep it, wrapped for this scope, with the events that `told` writes."""
        now = self._clock.now()
        key_id = new_id(now, self._entropy.octets(10))
        keypair = make_keypair(kind)
        if is_ca_scope(scope):
            # What a CA signs outlives whatever went wrong here: the two halves are tried before anything depends on it.
            prove_pair(keypair)
        row = self._wrapping.wrap(keypair, key_id=key_id, kind=kind, scope=scope, at=now)
        key = NewKey(key_id, row.public_key)
        self._vault.put_key(row, told(key))
        return key

    def keep(
        self,
        keypair: Keypair,
        kind: KeyKind,
        scope: str,
        told: Callable[[NewKey], Sequence[EventDraft]] = lambda _: (),
    ) -> NewKey:
        """Keep a key that was made elsewhere, wrapped for this scope, with the events that `told` writes."""
        now = self._clock.now()
        key_id = new_id(now, self._entropy.octets(10))
        row = self._wrapping.wrap(keypair, key_id=key_id, kind=kind, scope=scope, at=now)
        key = NewKey(key_id, row.public_key)
        self._vault.put_key(row, told(key))
        return key

    def open(self, key_id: UUID) -> PrivateKey:
        """Use an RA or OCSP key, or that of an authority that is its own RA (R2).

        Raises `UnavailableError` CA-010 where it is not here, `AdminError` ADM-010 where the master key does not
        open it, `InvariantError` for a CA's key, which signs committed intents alone (R8).
        """
        opened = self._opened.get(key_id)
        if opened is not None:
            return opened
        with self._lock:
            return self._opened.setdefault(key_id, SoftwareKey(self._wrapping.unwrap(self._row(key_id))))

    def let_go(self) -> None:
        """Forget the opened keys: whoever needs one opens it again, if it still lies in the vault."""
        with self._lock:
            self._opened.clear()

    def _row(self, key_id: UUID) -> WrappedKey:
        row = self._vault.get_key(key_id)
        if row is None:
            raise UnavailableError(reasons.ISSUER_UNAVAILABLE, f"key {key_id} is not on this machine")
        if not opens_for_faces(row.scope):
            raise InvariantError(f"key {key_id} is a CA's ({row.scope}): it signs committed intents alone")
        return row

    def holds(self, key_id: UUID) -> bool:
        """Whether the key is on this machine, or on the medium that was named."""
        return self._vault.get_key(key_id) is not None

    def prove(self, key_id: UUID) -> None:
        """See that the master key opens this key, whatever it is for, and let go of it.

        Raises `AdminError` ADM-010 where it does not, `UnavailableError` CA-010 where the key is not here.
        """
        row = self._vault.get_key(key_id)
        if row is None:
            raise UnavailableError(reasons.ISSUER_UNAVAILABLE, f"key {key_id} is not on this machine")
        self._wrapping.unwrap(row)

    def move_out(self, key_id: UUID, directory: Path, events: Sequence[EventDraft] = ()) -> Path:
        """Write the key, still wrapped, into `directory`, prove that the file opens, then destroy our copy.

        Returns the file. Interrupted anywhere, it can be called again. Raises `UnavailableError` CA-010 where the
        key is not here, `AdminError` ADM-020 where the file cannot be written.
        """
        row = self._vault.get_key(key_id)
        if row is None:
            raise UnavailableError(reasons.ISSUER_UNAVAILABLE, f"key {key_id} is not on this machine")
        self._wrapping.unwrap(
            row
        )  # what opens from our copy opens from the file: `write_key_file` compares every octet
        path = write_key_file(row, directory)
        self._vault.destroy_key(key_id, events)
        with self._lock:
            self._opened.pop(key_id, None)
        return path

    def move_out_shared(
        self,
        key_id: UUID,
        directory: Path,
        parts: Split,
        confirm: Callable[[], None],
        events: Sequence[EventDraft] = (),
    ) -> Path:
        """Write the key into `directory` under a shared secret, prove that the shares open it, destroy our copy.

        `confirm` is called in between and ends it by raising: the file is removed then and the key stays. Raises
        `UnavailableError` CA-010 where the key is not here, `AdminError` ADM-020 where the file cannot be written.
        """
        row = self._vault.get_key(key_id)
        if row is None:
            raise UnavailableError(reasons.ISSUER_UNAVAILABLE, f"key {key_id} is not on this machine")
        path = write_shared(directory, row, self._wrapping.unwrap(row), parts, self._entropy)
        try:
            confirm()
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        self._vault.destroy_key(key_id, events)
        self.forget(key_id)
        return path

    def carry(self, shared: SharedKey, secret: bytes, directory: Path) -> Path:
        """Write a shared key as the file of a medium, wrapped for this home: what `--root-key` reads.

        Raises `AdminError` ADM-035 where the secret does not open it, ADM-020 where the file cannot be written.
        """
        keypair = open_shared(shared, secret)
        row = self._wrapping.wrap(keypair, key_id=shared.id, kind=shared.kind, scope=shared.scope, at=shared.created_at)
        return write_key_file(row, directory)

    def forget(self, key_id: UUID) -> None:
        """Let go of an opened key that was destroyed. Other processes that opened it use it until they end."""
        with self._lock:
            self._opened.pop(key_id, None)

    def self_test(self) -> None:
        """Prove ENV-1 of this machine's OpenSSL with a key made for it (0.1 s). Raises `UnavailableError` CA-010."""
        block = b"\x00" + self._entropy.octets(_TEST_KEY_OCTETS - 1)  # the zero keeps it below the modulus
        require_implicit_rejection(SoftwareKey(make_keypair(KeyKind.RSA_2048)).decrypt, block)


def require_implicit_rejection(decrypt: Callable[[bytes], bytes], block: bytes) -> None:
    """Decrypt a random block twice: no exception and equal answers, or raise `UnavailableError` CA-010.

    The chance that the block has valid padding is below 2⁻¹⁶, and then too it decrypts to the same octets twice.
    """
    try:
        held = decrypt(block) == decrypt(block)
    except ValueError:
        held = False
    if not held:
        raise UnavailableError(
            reasons.ISSUER_UNAVAILABLE,
            "RSA decryption here lacks implicit rejection, and answers would help an attacker to decrypt (ENV-1)",
        )
