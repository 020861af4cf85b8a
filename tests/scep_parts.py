"""SCEP requests made by hand, part by part, so that a test can change one part and leave the rest right.

The product's own builders write only what is allowed; these write anything, BER included.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP, PSS, PKCS1v15
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from regalia.wire import der, oids
from regalia.wire.algorithms import Cipher, Digest
from regalia.wire.certificate import SignatureAlgorithm
from regalia.wire.cms_build import build_enveloped
from regalia.wire.csr import build_csr

if TYPE_CHECKING:
    from collections.abc import Callable

    from regalia.wire.algorithms import Oaep

__all__ = [
    "DEVICE",
    "NON_RSA",
    "RA",
    "Identity",
    "Request",
    "algorithm",
    "attribute",
    "ec_identity",
    "identity",
    "issuer_and_serial",
    "key_identity",
    "make_csr",
    "nest",
    "pss",
]

NOW = datetime(2026, 6, 1, tzinfo=UTC)
CONTENT_KEY = bytes(range(32))
IV = bytes(range(100, 116))
NONCE = bytes(range(16))
TRANSACTION = "4F3A"


PureKey = ed25519.Ed25519PrivateKey | mldsa.MLDSA44PrivateKey | mldsa.MLDSA65PrivateKey | mldsa.MLDSA87PrivateKey
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | PureKey


@dataclass(frozen=True)
class Identity:
    """A key with a certificate that it signed itself."""

    key: Key
    certificate: bytes

    @property
    def rsa(self) -> rsa.RSAPrivateKey:
        """The key, known to be RSA."""
        assert isinstance(self.key, rsa.RSAPrivateKey)
        return self.key

    @property
    def spki(self) -> bytes:
        """DER SubjectPublicKeyInfo."""
        return self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def signer(self, digest: Digest) -> Callable[[bytes], bytes]:
        """RSA PKCS #1 v1.5 with `digest`."""
        return lambda octets: self.rsa.sign(octets, PKCS1v15(), digest.hash())

    def sign(self, octets: bytes, digest: Digest) -> bytes:
        """Whatever the key does: PKCS #1 v1.5 or ECDSA with `digest`, or the octets themselves."""
        if isinstance(self.key, rsa.RSAPrivateKey):
            return self.signer(digest)(octets)
        if isinstance(self.key, ec.EllipticCurvePrivateKey):
            return self.key.sign(octets, ec.ECDSA(digest.hash()))
        return self.key.sign(octets)

    def decrypt(self, ciphertext: bytes, oaep: Oaep | None = None) -> bytes:
        """RSA PKCS #1 v1.5 with implicit rejection, or OAEP."""
        if oaep is not None:
            return self.rsa.decrypt(ciphertext, OAEP(MGF1(oaep.mask_digest.hash()), oaep.digest.hash(), None))
        return self.rsa.decrypt(ciphertext, PKCS1v15())


def _self_signed(name: str, key: Key, serial: int) -> Identity:
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=365))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    digest = None if isinstance(key, PureKey) else hashes.SHA256()
    return Identity(key, builder.sign(key, digest).public_bytes(Encoding.DER))


@cache
def identity(name: str, bits: int = 2048) -> Identity:
    """An RSA identity, made once per run and name."""
    return _self_signed(name, rsa.generate_private_key(65537, bits), 1000 + len(name))


@cache
def ec_identity(name: str) -> Identity:
    """A P-256 identity, made once per run and name."""
    return _self_signed(name, ec.generate_private_key(ec.SECP256R1()), 2000 + len(name))


NON_RSA: dict[str, tuple[Callable[[], Key], str, Digest]] = {
    "p-256": (lambda: ec.generate_private_key(ec.SECP256R1()), oids.ECDSA_WITH_SHA256, Digest.SHA256),
    "p-384": (lambda: ec.generate_private_key(ec.SECP384R1()), oids.ECDSA_WITH_SHA384, Digest.SHA384),
    "ed25519": (ed25519.Ed25519PrivateKey.generate, oids.ED25519, Digest.SHA512),
    "ml-dsa-44": (mldsa.MLDSA44PrivateKey.generate, oids.ML_DSA_44, Digest.SHA512),
    "ml-dsa-65": (mldsa.MLDSA65PrivateKey.generate, oids.ML_DSA_65, Digest.SHA512),
    "ml-dsa-87": (mldsa.MLDSA87PrivateKey.generate, oids.ML_DSA_87, Digest.SHA512),
}
"""Keys that cannot decrypt: how to make one, the signature algorithm that suits it, and the digest beside that."""


@cache
def key_identity(kind: str) -> Identity:
    """An identity with a key of `NON_RSA`, made once per run and kind."""
    return _self_signed(kind, NON_RSA[kind][0](), 3000 + list(NON_RSA).index(kind))


def pss(
    owner: Identity, digest: Digest, mask: Digest | None = None, salt: int | None = None
) -> Callable[[bytes], bytes]:
    """RSASSA-PSS with an RSA key; the mask's digest and the salt's length are the digest's unless given."""
    mgf = MGF1((mask or digest).hash())
    padding = PSS(mgf, digest.hash().digest_size if salt is None else salt)
    return lambda octets: owner.rsa.sign(octets, padding, digest.hash())


def DEVICE() -> Identity:  # noqa: N802 - reads as the constant that it is; made on first use to keep collection fast
    """The device that sends the requests."""
    return identity("device")


def RA() -> Identity:  # noqa: N802 - as above
    """The RA that they are encrypted to."""
    return identity("ra")


def make_csr(*, cn: str | None = "device-1", challenge: str | None = "hunter2") -> bytes:
    """A request for the device's own key."""
    return build_csr(
        cn=cn,
        sans=frozenset(),
        public_key=DEVICE().spki,
        challenge=challenge,
        sign=DEVICE().signer(Digest.SHA256),
        signature=SignatureAlgorithm.RSA_SHA256,
    )


def attribute(oid: str, *values: bytes) -> bytes:
    """An Attribute with any number of values, in the given order."""
    return der.sequence(der.oid(oid), der.tlv(der.SET, *values))


def algorithm(oid: str, parameters: bytes = b"\x05\x00") -> bytes:
    """An AlgorithmIdentifier."""
    return der.sequence(der.oid(oid), parameters)


def issuer_and_serial(certificate: bytes) -> bytes:
    """The IssuerAndSerialNumber of a certificate."""
    loaded = x509.load_der_x509_certificate(certificate)
    return der.sequence(loaded.issuer.public_bytes(), der.integer(loaded.serial_number))


def nest(depth: int) -> bytes:
    """SEQUENCEs within SEQUENCEs, `depth` of them."""
    encoded = b""
    for _ in range(depth):
        encoded = der.sequence(encoded)
    return encoded


def _scep_attributes() -> dict[str, bytes]:
    return {
        oids.CONTENT_TYPE: der.oid(oids.ID_DATA),
        oids.MESSAGE_TYPE: der.printable_string("19"),
        oids.TRANSACTION_ID: der.printable_string(TRANSACTION),
        oids.SENDER_NONCE: der.octet_string(NONCE),
        oids.SIGNING_TIME: der.time(NOW),
    }


@dataclass
class Request:
    """All parts of a PKCSReq; set one before `build`."""

    content: bytes | None = None
    """eContent's octets; None for an envelope around a good CSR."""
    envelope_cipher: Cipher = Cipher.AES128_CBC
    outer_type: str = oids.ID_SIGNED_DATA
    content_type: str = oids.ID_DATA
    digest: Digest = Digest.SHA256
    digest_algorithm: bytes | None = None
    signature_algorithm: bytes = field(default_factory=lambda: algorithm(oids.RSA_ENCRYPTION))
    signer: Identity = field(default_factory=DEVICE)
    sid: bytes | None = None
    certificates: list[bytes] | None = None
    values: dict[str, bytes] = field(default_factory=_scep_attributes)
    extra_attributes: list[bytes] = field(default_factory=list)
    message_digest: bytes | None = None
    sort_attributes: bool = True
    signed_as: str = "sent"
    """`sent`: the signature covers the attributes as sent; `sorted`: their DER order; `content`: no attributes."""
    signature: bytes | None = None
    sign: Callable[[bytes], bytes] | None = None
    """Signs in the place of the signer's key."""
    unsigned_attributes: bytes = b""
    signers: int = 1

    def envelope(self) -> bytes:
        """The eContent."""
        if self.content is not None:
            return self.content
        return build_enveloped(
            make_csr(),
            recipient=RA().certificate,
            cipher=self.envelope_cipher,
            content_key=CONTENT_KEY,
            iv=IV,
        )

    def _attributes(self, content: bytes) -> list[bytes]:
        digest = self.digest.of(content) if self.message_digest is None else self.message_digest
        values = {**self.values, oids.MESSAGE_DIGEST: self.values.get(oids.MESSAGE_DIGEST, der.octet_string(digest))}
        attributes = [attribute(oid, value) for oid, value in values.items() if value] + self.extra_attributes
        return sorted(attributes) if self.sort_attributes else sorted(attributes, reverse=True)

    def _sign(self, attributes: list[bytes], content: bytes) -> bytes:
        if self.signature is not None:
            return self.signature
        covered = {
            "sent": der.tlv(der.SET, *attributes),
            "sorted": der.set_of(attributes),
            "content": content,
        }[self.signed_as]
        return self.sign(covered) if self.sign is not None else self.signer.sign(covered, self.digest)

    def signer_info(self, content: bytes) -> bytes:
        """One SignerInfo."""
        attributes = self._attributes(content)
        return der.sequence(
            der.integer(1),
            issuer_and_serial(self.signer.certificate) if self.sid is None else self.sid,
            self.digest_algorithm or self.digest.identifier,
            b"" if self.signed_as == "content" else der.context(0, *attributes),
            self.signature_algorithm,
            der.octet_string(self._sign(attributes, content)),
            self.unsigned_attributes,
        )

    def build(self) -> bytes:
        """The whole message."""
        content = self.envelope()
        certificates = [self.signer.certificate] if self.certificates is None else self.certificates
        signed_data = der.sequence(
            der.integer(1),
            der.set_of([self.digest_algorithm or self.digest.identifier]),
            der.sequence(der.oid(self.content_type), der.context(0, der.octet_string(content))),
            der.context(0, *certificates) if certificates else b"",
            der.tlv(der.SET, *[self.signer_info(content)] * self.signers),
        )
        return der.sequence(der.oid(self.outer_type), der.context(0, signed_data))
