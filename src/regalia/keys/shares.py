"""A root's key under a secret that several persons share: some of them together open it, fewer learn nothing.

The secret is 32 fresh octets, split by SLIP-39 into shares of 33 words each; it is written nowhere else. The key's file
is JSON: what says whose key it is in the clear, and its PKCS #8 under AES-256-GCM with a key derived from the secret.
All that stands in the clear is associated data, so that nothing of it can be changed.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID

import shamir_mnemonic  # type: ignore[import-untyped]
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from regalia import reasons
from regalia.errors import AdminError, InvariantError
from regalia.keys.private_files import create_private
from regalia.keys.wrapping import spki
from regalia.model import KeyKind

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from regalia.keys.wrapping import Keypair
    from regalia.ports import Entropy, WrappedKey

__all__ = ["SharedKey", "Split", "combine", "open_shared", "read_shared", "shared_path", "split", "write_shared"]

_FORMAT: Final = "regalia shared key 1"
_LABEL: Final = b"regalia shared key v1"
_SECRET_OCTETS: Final = 32
_NONCE_OCTETS: Final = 12
_MOST_SHARES: Final = 16
"""What SLIP-39 has numbers for."""
_ROUNDS: Final = 0
"""Stretching is for passphrases that people choose; the secret is random."""
_MAX_FILE: Final = 65_536


@dataclass(frozen=True, slots=True)
class Split:
    """A fresh secret in shares."""

    secret: bytes
    needed: int
    shares: tuple[str, ...]
    """SLIP-39 mnemonics, each for another person."""
    identifier: int
    """What all shares of one secret have in common."""


@dataclass(frozen=True, slots=True)
class SharedKey:
    """A key's file: everything but the key."""

    id: UUID
    kind: KeyKind
    scope: str
    public_key: bytes
    created_at: datetime
    needed: int
    of: int
    identifier: int
    sealed: bytes


def split(entropy: Entropy, needed: int, of: int) -> Split:
    """Draw a secret and split it, so that `needed` of `of` shares give it back.

    Raises `AdminError` ADM-018 for numbers that make no sense: one share alone would be a password on paper.
    """
    if not 2 <= needed <= of <= _MOST_SHARES:
        raise AdminError(reasons.USAGE, f"{needed}-of-{of}: at least 2 are needed, of at most {_MOST_SHARES}")
    secret = entropy.octets(_SECRET_OCTETS)
    (shares,) = shamir_mnemonic.generate_mnemonics(1, [(needed, of)], secret, iteration_exponent=_ROUNDS)
    return Split(secret, needed, tuple(shares), shamir_mnemonic.Share.from_mnemonic(shares[0]).identifier)


def combine(shared: SharedKey, shares: Sequence[str]) -> bytes:
    """Make the secret of shares again. Raises `AdminError` ADM-035 that says which share is wrong, or how many lack."""
    numbers: dict[int, str] = {}
    for place, text in enumerate(shares, start=1):
        words = " ".join(text.lower().split())
        try:
            share = shamir_mnemonic.Share.from_mnemonic(words)
        except (shamir_mnemonic.MnemonicError, ValueError) as error:
            raise _refused(f"share {place} is not as it was written: {error}") from error
        if share.identifier != shared.identifier:
            raise _refused(f"share {place} is of another key: its first words differ from those of this one's")
        numbers.setdefault(share.index, words)
    if len(numbers) < shared.needed:
        raise _refused(f"{len(numbers)} different shares are here, {shared.needed} of {shared.of} are needed")
    try:
        return bytes(shamir_mnemonic.combine_mnemonics(list(numbers.values())[: shared.needed]))
    except (shamir_mnemonic.MnemonicError, ValueError) as error:
        raise _refused(f"together they give nothing: {error}") from error


def shared_path(directory: Path, key_id: UUID) -> Path:
    """Where the file of a shared key lies."""
    return directory / f"{key_id}.shared"


def write_shared(directory: Path, row: WrappedKey, key: Keypair, parts: Split, entropy: Entropy) -> Path:
    """Write a key's file, and prove that the shares open it. Raises `AdminError` ADM-020 where it cannot be written."""
    document = _document(row, parts.needed, len(parts.shares), parts.identifier)
    nonce = entropy.octets(_NONCE_OCTETS)
    plain = key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    sealed = nonce + _cipher(parts.secret).encrypt(nonce, plain, _bound(document))
    path = shared_path(directory, row.id)
    written = json.dumps(document | {"sealed": base64.b64encode(sealed).decode("ascii")}, indent=2).encode() + b"\n"
    try:
        create_private(path, written)
    except FileExistsError:
        raise AdminError(reasons.FILE_REFUSED, f"{path} exists: nothing is written over it") from None
    except OSError as error:
        raise AdminError(reasons.FILE_REFUSED, f"{path}: {error.strerror}") from error
    shared = read_shared(path)
    # The last shares, so that not only the first ones are tried.
    if spki(open_shared(shared, combine(shared, parts.shares[-parts.needed :]))) != row.public_key:
        raise InvariantError(f"{path} does not hold key {row.id}")
    return path


def read_shared(path: Path) -> SharedKey:
    """Read a key's file. Raises `AdminError` ADM-020 where it cannot be read or is none."""
    try:
        with path.open("rb") as file:
            document = json.loads(file.read(_MAX_FILE))
        if document["format"] != _FORMAT:
            raise AdminError(reasons.FILE_REFUSED, f"{path} is not a file of a shared key")
        return SharedKey(
            id=UUID(str(document["id"])),
            kind=KeyKind(document["kind"]),
            scope=str(document["scope"]),
            public_key=base64.b64decode(document["public_key"], validate=True),
            created_at=datetime.fromisoformat(document["created_at"]),
            needed=int(document["needed"]),
            of=int(document["of"]),
            identifier=int(document["identifier"]),
            sealed=base64.b64decode(document["sealed"], validate=True),
        )
    except OSError as error:
        raise AdminError(reasons.FILE_REFUSED, f"{path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise AdminError(reasons.FILE_REFUSED, f"{path} is not a file of a shared key") from error


def open_shared(shared: SharedKey, secret: bytes) -> Keypair:
    """Open the key. Raises `AdminError` ADM-035 where the secret is another one or the file was altered."""
    nonce, sealed = shared.sealed[:_NONCE_OCTETS], shared.sealed[_NONCE_OCTETS:]
    try:
        document = _document(shared, shared.needed, shared.of, shared.identifier)
        plain = _cipher(secret).decrypt(nonce, sealed, _bound(document))
    except (InvalidTag, ValueError, OverflowError) as error:
        raise _refused("the file does not open: it was altered, or the shares are of an earlier split") from error
    key = serialization.load_der_private_key(plain, password=None)
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise InvariantError(f"a shared key of type {type(key).__name__}")
    return key


def _document(key: WrappedKey | SharedKey, needed: int, of: int, identifier: int) -> dict[str, object]:
    """What stands in the clear."""
    return {
        "format": _FORMAT,
        "id": str(key.id),
        "kind": key.kind.value,
        "scope": key.scope,
        "created_at": key.created_at.astimezone(UTC).isoformat(),
        "public_key": base64.b64encode(key.public_key).decode("ascii"),
        "needed": needed,
        "of": of,
        "identifier": identifier,
    }


def _cipher(secret: bytes) -> AESGCM:
    return AESGCM(HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=_LABEL).derive(secret))


def _bound(document: dict[str, object]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _refused(detail: str) -> AdminError:
    return AdminError(reasons.SHARES_REFUSED, detail)
