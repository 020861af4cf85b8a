"""Checkpoints of the audit log as octets: one canonical form, which is what is signed (AUD-3).

The form is that of records (`wire.event`): JSON with sorted keys, without white space, in UTF-8. A checkpoint also
travels in one line together with its signature and the key's public half, so that it can be verified alone.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode, b64encode
from datetime import datetime
from itertools import pairwise
from typing import Any, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_public_key,
)

from regalia.model import Checkpoint, SignedCheckpoint, StreamHead
from regalia.wire.event import RecordError, time_text

__all__ = [
    "checkpoint_line",
    "checkpoint_record",
    "key_from_pem",
    "key_pem",
    "read_checkpoint",
    "read_checkpoint_line",
    "signed_by",
]

_HASH_OCTETS: Final = 32
_FIRST: Final = bytes(_HASH_OCTETS)


def checkpoint_record(checkpoint: Checkpoint) -> bytes:
    """Encode what is signed."""
    fields = {
        "at": time_text(checkpoint.at),
        "by": checkpoint.by,
        "checkpoint": checkpoint.number,
        "key": checkpoint.key.hex(),
        "previous": checkpoint.previous.hex(),
        "streams": [[head.stream, head.sequence, head.hash.hex()] for head in checkpoint.heads],
        "successor": None if checkpoint.successor is None else b64encode(checkpoint.successor).decode(),
    }
    return json.dumps(fields, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def read_checkpoint(record: bytes) -> Checkpoint:
    """Read what `checkpoint_record` wrote; anything else raises `RecordError`."""
    try:
        checkpoint = _read(json.loads(record))
        again = checkpoint_record(checkpoint)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise RecordError(f"not a checkpoint: {type(error).__name__}") from None
    hashes_read = (checkpoint.key, checkpoint.previous, *(head.hash for head in checkpoint.heads))
    if again != record or any(len(each) != _HASH_OCTETS for each in hashes_read) or not _counts(checkpoint):
        raise RecordError("not a checkpoint in canonical form")
    return checkpoint


def _read(fields: dict[str, Any]) -> Checkpoint:
    successor = fields["successor"]
    return Checkpoint(
        number=fields["checkpoint"],
        at=datetime.fromisoformat(fields["at"]),
        previous=bytes.fromhex(fields["previous"]),
        by=fields["by"],
        key=bytes.fromhex(fields["key"]),
        heads=tuple(StreamHead(name, sequence, bytes.fromhex(last)) for name, sequence, last in fields["streams"]),
        successor=None if successor is None else b64decode(successor, validate=True),
    )


def _counts(checkpoint: Checkpoint) -> bool:
    numbers = (checkpoint.number, *(head.sequence for head in checkpoint.heads))
    names = [head.stream for head in checkpoint.heads]
    return (
        all(type(number) is int and number > 0 for number in numbers)
        and all(isinstance(name, str) for name in (checkpoint.by, *names))
        and all(before < after for before, after in pairwise(names))
        and (checkpoint.number == 1) == (checkpoint.previous == _FIRST)
    )


# --- with signature and key -----------------------------------------------------------------------------------------


def checkpoint_line(signed: SignedCheckpoint, public_key: bytes) -> str:
    """Write a checkpoint with all that it takes to verify it in one line of JSON."""
    fields = {
        "checkpoint": signed.number,
        "record": signed.record.decode(),
        "signature": b64encode(signed.signature).decode(),
        "public_key": b64encode(public_key).decode(),
    }
    return json.dumps(fields, ensure_ascii=False)


def read_checkpoint_line(line: str | bytes) -> tuple[SignedCheckpoint, bytes]:
    """Read what `checkpoint_line` wrote: the checkpoint, and DER SubjectPublicKeyInfo. Raises `RecordError`."""
    try:
        fields = json.loads(line)
        record = fields["record"].encode()
        signature, key = (b64decode(fields[name], validate=True) for name in ("signature", "public_key"))
        number = read_checkpoint(record).number
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise RecordError(f"not a signed checkpoint: {type(error).__name__}") from None
    return SignedCheckpoint(number, record, hashlib.sha256(record).digest(), signature), key


def signed_by(signed: SignedCheckpoint, public_key: bytes) -> bool:
    """Whether the signature is that of this key (DER SubjectPublicKeyInfo, P-256) over the record."""
    try:
        key = load_der_public_key(public_key)
    except (ValueError, UnsupportedAlgorithm):
        return False
    if not isinstance(key, ec.EllipticCurvePublicKey):
        return False
    try:
        key.verify(signed.signature, signed.record, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def key_pem(public_key: bytes) -> bytes:
    """Turn DER SubjectPublicKeyInfo into PEM."""
    return load_der_public_key(public_key).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def key_from_pem(pem: bytes) -> bytes:
    """Read PEM to DER SubjectPublicKeyInfo. Raises `RecordError` for what is no public key."""
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise RecordError("not a public key in PEM") from None
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
