"""Devices for the load: keys, requests of which no two are alike, and the judgement of what came back.

The requests are made by our client-side wire code, the way our own client makes them: a self-signed signer
certificate, SHA-256, AES-128-CBC, key transport by PKCS#1 v1.5.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from regalia.client.authorities import issued_by
from regalia.errors import PeerError
from regalia.keys.wrapping import spki
from regalia.model import Names, San, SanKind
from regalia.wire.algorithms import Cipher, Digest
from regalia.wire.certificate import SignatureAlgorithm, TbsCertificate, assemble, encode_tbs, key_usage
from regalia.wire.certificate import read_certificate as read_facts
from regalia.wire.csr import build_csr
from regalia.wire.der import DerError
from regalia.wire.names import encode_name, read_sans
from regalia.wire.oids import CE_SUBJECT_ALT_NAME
from regalia.wire.scep import MessageType, PkiStatus, Transaction
from regalia.wire.scep_client import build_request, read_reply
from tools.bench.measure import VoidRunError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "Device",
    "Sent",
    "Server",
    "distinct",
    "garbage",
    "judge",
    "judge_leaf",
    "make_devices",
    "request",
    "self_signed",
]


@dataclass(frozen=True, slots=True)
class Device:
    """A device: a key of its own and names of its own."""

    key: rsa.RSAPrivateKey
    names: Names
    public_key: bytes
    """DER SubjectPublicKeyInfo."""

    def sign(self, data: bytes) -> bytes:
        """Sign with PKCS#1 v1.5 and SHA-256."""
        return self.key.sign(data, padding.PKCS1v15(), hashes.SHA256())


@dataclass(frozen=True, slots=True)
class Server:
    """What a device knows of the server that it enrols with, all DER."""

    recipient: bytes
    """To whom the request is encrypted, and who signs the reply."""
    issuer: bytes
    """The CA that is to sign the certificate."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A request, and what is needed to judge its answer."""

    device: Device
    server: Server
    transaction: Transaction
    nonce: bytes
    csr: bytes
    signer: bytes
    """The self-signed certificate that the reply is encrypted to, DER."""
    message: bytes


def make_devices(count: int) -> list[Device]:
    """Make so many devices, each with a new RSA-2048 key: 40 ms each."""
    return [_device(number) for number in range(count)]


def _device(number: int) -> Device:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = f"laptop-{number:06}.example.org"
    return Device(key, Names(name, frozenset({San(SanKind.DNS, name)})), spki(key))


def request(device: Device, server: Server, challenge: str) -> Sent:
    """Make the PKCSReq of a device, with a fresh transaction, nonce, content key and signer certificate."""
    csr = build_csr(
        cn=device.names.cn,
        sans=device.names.sans,
        public_key=device.public_key,
        challenge=challenge,
        sign=device.sign,
        signature=SignatureAlgorithm.RSA_SHA256,
    )
    return _sent(device, server, csr)


def garbage(device: Device, server: Server) -> Sent:
    """Make a PKCSReq that is right in all that stands in clear, and whose content is no request."""
    return _sent(device, server, os.urandom(900))


def _sent(device: Device, server: Server, csr: bytes) -> Sent:
    transaction, nonce = Transaction(os.urandom(16).hex().encode()), os.urandom(16)
    signer = self_signed(device)
    message = build_request(
        message_type=MessageType.PKCS_REQ,
        transaction=transaction,
        sender_nonce=nonce,
        message_data=csr,
        recipient=server.recipient,
        signer=signer,
        digest=Digest.SHA256,
        cipher=Cipher.AES128_CBC,
        content_key=os.urandom(16),
        iv=os.urandom(16),
        sign=device.sign,
    )
    return Sent(device, server, transaction, nonce, csr, signer, message)


def self_signed(device: Device) -> bytes:
    """Make the signer certificate of a device that has none of a CA, DER."""
    name = encode_name(cn=device.names.cn)
    now = datetime.now(UTC).replace(microsecond=0)
    tbs = encode_tbs(
        TbsCertificate(
            serial=int.from_bytes(b"\x40" + os.urandom(15), "big"),
            signature=SignatureAlgorithm.RSA_SHA256,
            issuer=name,
            not_before=now - timedelta(days=1),
            not_after=now + timedelta(days=1),
            subject=name,
            public_key=device.public_key,
            extensions=(key_usage(("digitalSignature", "keyEncipherment")),),
        )
    )
    return assemble(tbs, SignatureAlgorithm.RSA_SHA256, device.sign(tbs))


# --- answers ----------------------------------------------------------------------------------------------------------


def judge(answers: Iterable[tuple[Sent, bytes]]) -> int:
    """Open and verify every CertRep; return how many there were. Raises `VoidRunError` at the first bad one."""
    serials = [_open(sent, reply) for sent, reply in answers]
    return distinct(serials)


def distinct(serials: Sequence[int]) -> int:
    """Count certificates of which no two may be the same one."""
    if len(set(serials)) != len(serials):
        raise VoidRunError("two requests got the same certificate")
    return len(serials)


def _open(sent: Sent, reply: bytes) -> int:
    try:
        opened = read_reply(
            reply,
            transaction=sent.transaction,
            sender_nonce=sent.nonce,
            ra_certificates=(sent.server.recipient,),
            decrypt=lambda octets: sent.device.key.decrypt(octets, padding.PKCS1v15()),
            recipient=sent.signer,
        )
    except PeerError as fault:
        raise VoidRunError(f"{sent.transaction.text}: {fault}") from fault
    if opened.status is not PkiStatus.SUCCESS:
        raise VoidRunError(f"{sent.transaction.text}: refused, {opened.fail_info!r}")
    if len(opened.certificates) != 1:
        raise VoidRunError(f"{sent.transaction.text}: {len(opened.certificates)} certificates")
    return judge_leaf(sent, opened.certificates[0])


def judge_leaf(sent: Sent, leaf: bytes) -> int:
    """Check that a certificate is the device's: its key, its names, its CA's signature. Returns the serial."""
    try:
        facts = read_facts(leaf)
        sans = facts.extension(CE_SUBJECT_ALT_NAME)
        named = read_sans(sans.value) if sans is not None else frozenset()
    except DerError as fault:
        raise VoidRunError(f"{sent.transaction.text}: {fault}") from fault
    if facts.public_key != sent.device.public_key or named != sent.device.names.sans:
        raise VoidRunError(f"{sent.transaction.text}: the certificate is somebody else's")
    if not issued_by(leaf, sent.server.issuer):
        raise VoidRunError(f"{sent.transaction.text}: the certificate is not signed by its CA")
    return facts.serial
