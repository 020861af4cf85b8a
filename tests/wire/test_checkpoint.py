"""Checkpoints as octets: one canonical form, and a line that verifies alone."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from regalia.model import Checkpoint, SignedCheckpoint, StreamHead
from regalia.wire.checkpoint import (
    checkpoint_line,
    checkpoint_record,
    key_from_pem,
    key_pem,
    read_checkpoint,
    read_checkpoint_line,
    signed_by,
)
from regalia.wire.event import RecordError

KEY = ec.derive_private_key(7, ec.SECP256R1())
SPKI = KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
CHECKPOINT = Checkpoint(
    number=2,
    at=datetime(2026, 3, 1, 9, tzinfo=UTC),
    previous=b"\x01" * 32,
    by="system checkpoint",
    key=hashlib.sha256(SPKI).digest(),
    heads=(StreamHead("a/0", 3, b"\x02" * 32), StreamHead("b/0", 1, b"\x03" * 32)),
)


def signed(checkpoint: Checkpoint = CHECKPOINT) -> SignedCheckpoint:
    """Sign one."""
    record = checkpoint_record(checkpoint)
    signature = KEY.sign(record, ec.ECDSA(hashes.SHA256()))
    return SignedCheckpoint(checkpoint.number, record, hashlib.sha256(record).digest(), signature)


def test_aud3_the_canonical_form_is_fixed() -> None:
    """AUD-3: sorted keys, no white space, milliseconds, hashes in hexadecimal; each stream by name."""
    assert checkpoint_record(replace(CHECKPOINT, successor=b"key")).decode() == (
        '{"at":"2026-03-01T09:00:00.000Z","by":"system checkpoint","checkpoint":2,"key":"' + CHECKPOINT.key.hex() + '"'
        ',"previous":"' + "01" * 32 + '","streams":[["a/0",3,"' + "02" * 32 + '"],["b/0",1,"' + "03" * 32 + '"]]'
        ',"successor":"a2V5"}'
    )
    assert CHECKPOINT.records == 4


@pytest.mark.parametrize(
    "checkpoint", [CHECKPOINT, replace(CHECKPOINT, successor=SPKI), replace(CHECKPOINT, number=1, previous=bytes(32))]
)
def test_what_was_written_is_read(checkpoint: Checkpoint) -> None:
    """A checkpoint is read as it was written."""
    assert read_checkpoint(checkpoint_record(checkpoint)) == checkpoint


@pytest.mark.parametrize(
    "checkpoint",
    [
        replace(CHECKPOINT, number=0),
        replace(CHECKPOINT, number=1),
        replace(CHECKPOINT, previous=bytes(32)),
        replace(CHECKPOINT, previous=b"\x01"),
        replace(CHECKPOINT, key=b""),
        replace(CHECKPOINT, heads=CHECKPOINT.heads[::-1]),
        replace(CHECKPOINT, heads=(*CHECKPOINT.heads, CHECKPOINT.heads[1])),
        replace(CHECKPOINT, heads=(StreamHead("a/0", 0, bytes(32)),)),
        replace(CHECKPOINT, heads=(StreamHead("a/0", 1, b"short"),)),
    ],
    ids=range(9),
)
def test_what_cannot_be_is_no_checkpoint(checkpoint: Checkpoint) -> None:
    """Numbers from 1, whole hashes, each stream once and in order: anything else is refused though it was signed."""
    with pytest.raises(RecordError):
        read_checkpoint(checkpoint_record(checkpoint))


@pytest.mark.parametrize("octets", [b"", b"{}", b"[]", b"\xff", b'{"checkpoint":2}', b"[" * 2000, b"null"])
def test_other_octets_are_no_checkpoint(octets: bytes) -> None:
    """What is not such JSON is refused."""
    with pytest.raises(RecordError):
        read_checkpoint(octets)
    with pytest.raises(RecordError):
        read_checkpoint_line(octets)


def test_another_spelling_is_no_checkpoint() -> None:
    """Only the one form is read: a blank more is another text, and would have another hash."""
    with pytest.raises(RecordError):
        read_checkpoint(checkpoint_record(CHECKPOINT).replace(b":2,", b": 2,"))


def test_a_line_holds_all_that_verifies_it() -> None:
    """What is printed for the paper or the SIEM has record, signature and key."""
    one = signed()
    line = checkpoint_line(one, SPKI)
    assert "\n" not in line
    again, key = read_checkpoint_line(line)
    assert (again, key) == (one, SPKI)
    assert signed_by(again, key)


def test_a_signature_is_of_one_key_over_one_record() -> None:
    """Another record, another key, another kind of key or no key at all: not signed."""
    one = signed()
    other = ec.derive_private_key(8, ec.SECP256R1()).public_key()
    edwards = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()
    assert signed_by(one, SPKI)
    assert not signed_by(replace(one, record=one.record + b" "), SPKI)
    for key in (other, edwards):
        assert not signed_by(one, key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    assert not signed_by(one, b"no key")
    assert not signed_by(replace(one, signature=b"no signature"), SPKI)


def test_keys_travel_as_pem() -> None:
    """A public key is read from the PEM that was written; what is none is refused."""
    assert key_from_pem(key_pem(SPKI)) == SPKI
    with pytest.raises(RecordError):
        key_from_pem(b"-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n")


def test_a_key_of_an_unknown_curve_signed_nothing() -> None:
    """What is no key that we can use makes a signature wrong, and no error of ours."""
    curve = bytes.fromhex("302a06052b6570032100") + bytes(32)
    for der in (curve, curve.replace(b"\x65\x70", b"\x65\x7f"), b"\x30\x00"):
        assert not signed_by(signed(), der)
    pem = (
        b"-----BEGIN PUBLIC KEY-----\n"
        + b64encode(curve.replace(b"\x65\x70", b"\x65\x7f"))
        + b"\n-----END PUBLIC KEY-----\n"
    )
    with pytest.raises(RecordError):
        key_from_pem(pem)
