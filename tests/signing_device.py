"""A device whose key only signs: P-256, P-384, Ed25519 or ML-DSA. Its answers are encrypted under its challenge."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa

from regalia.ca.profile import DEFAULT_DOCUMENT
from regalia.ra.registry import EndpointOptions
from regalia.ra.scep import CertRep
from regalia.wire.algorithms import Cipher, Digest
from regalia.wire.certificate import SignatureAlgorithm, TbsCertificate, assemble, encode_tbs, key_usage
from regalia.wire.csr import build_csr, read_csr
from regalia.wire.names import encode_name
from regalia.wire.scep import MessageType, Transaction
from regalia.wire.scep_client import build_request, issuer_and_subject, read_reply
from world import ADMIN

if TYPE_CHECKING:
    from collections.abc import Callable

    from regalia.model import Authoriser, Names
    from regalia.ra.scep import ScepAnswer
    from regalia.wire.scep_client import Reply
    from world import World

__all__ = ["EVERY_KEY", "SCHEMES", "SigningDevice", "open_signing_endpoint"]

SigningKey = (
    ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | mldsa.MLDSA44PrivateKey
    | mldsa.MLDSA65PrivateKey
    | mldsa.MLDSA87PrivateKey
)

EVERY_KEY = DEFAULT_DOCUMENT.replace("ed25519 = false", "ed25519 = true").replace(
    "ml-dsa = []", 'ml-dsa = ["ml-dsa-44", "ml-dsa-65", "ml-dsa-87"]'
)
"""A profile that certifies every type of key that there is."""


@dataclass(frozen=True)
class Scheme:
    """A type of key, and how it signs."""

    generate: Callable[[], SigningKey]
    algorithm: SignatureAlgorithm
    digest: Digest
    """Of the message's attributes; within the signature of ECDSA, too."""


SCHEMES = {
    "p-256": Scheme(lambda: ec.generate_private_key(ec.SECP256R1()), SignatureAlgorithm.ECDSA_SHA256, Digest.SHA256),
    "p-384": Scheme(lambda: ec.generate_private_key(ec.SECP384R1()), SignatureAlgorithm.ECDSA_SHA384, Digest.SHA384),
    "ed25519": Scheme(ed25519.Ed25519PrivateKey.generate, SignatureAlgorithm.ED25519, Digest.SHA512),
    "ml-dsa-44": Scheme(mldsa.MLDSA44PrivateKey.generate, SignatureAlgorithm.ML_DSA_44, Digest.SHA256),
    "ml-dsa-65": Scheme(mldsa.MLDSA65PrivateKey.generate, SignatureAlgorithm.ML_DSA_65, Digest.SHA384),
    "ml-dsa-87": Scheme(mldsa.MLDSA87PrivateKey.generate, SignatureAlgorithm.ML_DSA_87, Digest.SHA512),
}


def open_signing_endpoint(world: World, name: str = "signing", authoriser: Authoriser | None = None) -> None:
    """Create an endpoint that takes keys that only sign, under a profile that certifies all of them."""
    world.registry.create_profile(name, "default", EVERY_KEY, actor=ADMIN)
    wanted = {} if authoriser is None else {"authoriser": authoriser}
    world.registry.create_endpoint(
        name, group="default", profile=name, actor=ADMIN, options=EndpointOptions(non_rsa=True), **wanted
    )
    if authoriser is not None:
        world.secrets[name] = world.desk.rotate(name, actor=ADMIN).secret


@dataclass
class SigningDevice:
    """A device with such a key that speaks SCEP."""

    world: World
    kind: str = "p-256"
    endpoint: str = "signing"
    transaction: Transaction = field(default_factory=lambda: Transaction(b"transaction-1"))
    certificate: bytes | None = None
    source: str = "192.0.2.1"
    key: SigningKey | None = None
    """One of its kind where none is given."""
    secret: str | None = None
    """What it believes its next answer to be encrypted under."""

    def __post_init__(self) -> None:
        if self.key is None:
            self.key = SCHEMES[self.kind].generate()

    @property
    def private_key(self) -> SigningKey:
        """The key, known to be there."""
        assert self.key is not None
        return self.key

    @property
    def scheme(self) -> Scheme:
        """How it signs."""
        return SCHEMES[self.kind]

    def public_key(self) -> bytes:
        """DER SubjectPublicKeyInfo of its key."""
        return self.private_key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def sign(self, data: bytes) -> bytes:
        """Sign with its key."""
        key = self.private_key
        if isinstance(key, ec.EllipticCurvePrivateKey):
            return key.sign(data, ec.ECDSA(self.scheme.digest.hash()))
        return key.sign(data)

    def self_signed(self) -> bytes:
        """Make the certificate that signs a first enrolment."""
        name, now = encode_name(cn="SCEP signer"), self.world.clock.now()
        tbs = encode_tbs(
            TbsCertificate(
                serial=1,
                signature=self.scheme.algorithm,
                issuer=name,
                not_before=now - timedelta(days=1),
                not_after=now + timedelta(days=2),
                subject=name,
                public_key=self.public_key(),
                extensions=(key_usage(("digitalSignature",)),),
            )
        )
        return assemble(tbs, self.scheme.algorithm, self.sign(tbs))

    def csr(self, wanted: Names, challenge: str | None) -> bytes:
        """Make a PKCS #10 request."""
        return build_csr(
            cn=wanted.cn,
            sans=wanted.sans,
            public_key=self.public_key(),
            challenge=challenge,
            sign=self.sign,
            signature=self.scheme.algorithm,
        )

    def message(
        self, message_data: bytes, message_type: MessageType = MessageType.PKCS_REQ, signer: bytes | None = None
    ) -> bytes:
        """Wrap what a message carries."""
        door = self.world.store.door(self.endpoint)
        assert door is not None
        return build_request(
            message_type=message_type,
            transaction=self.transaction,
            sender_nonce=_nonce(message_data),
            message_data=message_data,
            recipient=door.ra.certificate_der,
            signer=signer or self.certificate or self.self_signed(),
            digest=self.scheme.digest,
            cipher=Cipher.AES256_CBC,
            content_key=bytes(range(32)),
            iv=bytes(16),
            sign=self.sign,
            signature=self.scheme.algorithm.identifier,
        )

    def open(self, answer: ScepAnswer, message_data: bytes, secret: str | None) -> Reply:
        """Verify and open an answer as a client does; `secret` is what it should be encrypted under."""
        door = self.world.store.door(self.endpoint)
        assert door is not None
        return read_reply(
            _octets(answer),
            transaction=self.transaction,
            sender_nonce=_nonce(message_data),
            ra_certificates=(door.ra.certificate_der,),
            decrypt=None,
            secret=secret,
        )

    def enrol(self, wanted: Names, challenge: str | None, message_type: MessageType = MessageType.PKCS_REQ) -> Reply:
        """Enrol, or renew where it has a certificate; keep the certificate that comes back."""
        csr = self.csr(wanted, challenge)
        self.secret = read_csr(csr).challenge
        answer = self.world.send(self.message(csr, message_type), self.endpoint, self.source)
        return self._kept(self.open(answer, csr, self.secret))

    def poll(self) -> Reply:
        """Ask what became of its enrolment; keep the certificate that comes back."""
        door = self.world.store.door(self.endpoint)
        assert door is not None
        content = issuer_and_subject(encode_name(cn=door.authority.name), encode_name(cn="whatever it asked for"))
        message = self.message(content, MessageType.CERT_POLL, self.self_signed())
        return self._kept(self.open(self.world.send(message, self.endpoint, self.source), content, self.secret))

    def _kept(self, reply: Reply) -> Reply:
        if reply.certificates:
            self.certificate = reply.certificates[0]
        return reply


def _octets(answer: ScepAnswer) -> bytes:
    assert isinstance(answer, CertRep), answer
    return answer.der


def _nonce(message_data: bytes) -> bytes:
    return hashlib.sha256(message_data).digest()[:16]
