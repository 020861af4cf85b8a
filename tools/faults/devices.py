"""What devices say to a server and make of its answers: a conversation that can be sent again until it ends."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import padding

from regalia.wire.algorithms import Cipher, Digest
from regalia.wire.certificate import SignatureAlgorithm
from regalia.wire.csr import build_csr
from regalia.wire.scep import MessageType, Transaction
from regalia.wire.scep_client import build_request, read_reply
from tools.bench.devices import self_signed

if TYPE_CHECKING:
    from regalia.model import Names
    from regalia.wire.scep_client import Reply
    from tools.bench.devices import Device, Server

__all__ = ["Conversation", "enrolment", "renewal"]


@dataclass(slots=True)
class Conversation:
    """One transaction of a device, from its CSR to its end."""

    kind: str
    """`enrol` or `renew`."""
    device: Device
    server: Server
    csr: bytes
    signer: bytes
    """Certificate of the key that signs the messages, DER: self-signed, or the one to be renewed."""
    transaction: Transaction
    challenge: str
    """Empty in a renewal."""
    message: bytes = b""
    _nonces: list[bytes] = field(default_factory=list)

    def compose(self) -> bytes:
        """Make the message anew: same transaction, signer and CSR, another nonce and content key."""
        nonce = os.urandom(16)
        self._nonces.append(nonce)
        self.message = build_request(
            message_type=MessageType.RENEWAL_REQ if self.kind == "renew" else MessageType.PKCS_REQ,
            transaction=self.transaction,
            sender_nonce=nonce,
            message_data=self.csr,
            recipient=self.server.recipient,
            signer=self.signer,
            digest=Digest.SHA256,
            cipher=Cipher.AES128_CBC,
            content_key=os.urandom(16),
            iv=os.urandom(16),
            sign=self.device.sign,
        )
        return self.message

    def read(self, body: bytes) -> Reply:
        """Verify and open the answer to the newest message. Raises `PeerError`."""
        return read_reply(
            body,
            transaction=self.transaction,
            sender_nonce=self._nonces[-1],
            ra_certificates=(self.server.recipient,),
            decrypt=lambda octets: self.device.key.decrypt(octets, padding.PKCS1v15()),
            recipient=self.signer,
        )


def enrolment(
    device: Device, server: Server, challenge: str, *, names: Names | None = None, transaction: bytes | None = None
) -> Conversation:
    """Begin to enrol. `names` are those asked for where they are not the device's own."""
    made = _conversation("enrol", device, server, self_signed(device), challenge, names or device.names)
    if transaction is not None:
        made.transaction = Transaction(transaction)
    made.compose()
    return made


def renewal(device: Device, server: Server, certificate: bytes) -> Conversation:
    """Begin to renew with the device's key and its certificate."""
    made = _conversation("renew", device, server, certificate, "", device.names)
    made.compose()
    return made


def _conversation(
    kind: str, device: Device, server: Server, signer: bytes, challenge: str, names: Names
) -> Conversation:
    csr = build_csr(
        cn=names.cn,
        sans=names.sans,
        public_key=device.public_key,
        challenge=challenge or None,
        sign=device.sign,
        signature=SignatureAlgorithm.RSA_SHA256,
    )
    return Conversation(kind, device, server, csr, signer, Transaction(os.urandom(16).hex().encode()), challenge)
