"""Another organisation's PKI, made by `cryptography` alone: roots, CAs between, issuing CAs, their keys and CRLs."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs7, pkcs12
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["NOW", "ForeignCa", "Shape", "get_ca_cert_without_encipherment", "write_former"]

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
"""When the fake clock stands still."""
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Shape:
    """What a CA certificate says; as it stands, all is in order."""

    ca: bool = True
    path_length: int | None = None
    usage: tuple[str, ...] = ("key_cert_sign", "crl_sign")
    purposes: tuple[x509.ObjectIdentifier, ...] = ()
    ski: bool = True
    not_before: datetime = NOW - timedelta(days=1)
    not_after: datetime = NOW + timedelta(days=3650)
    hash: hashes.SHA256 | hashes.SHA384 = field(default_factory=hashes.SHA256)
    critical: x509.ObjectIdentifier | None = None
    """An extension that nobody knows, critical."""


class ForeignCa:
    """A CA with its key."""

    def __init__(
        self, cn: str, parent: ForeignCa | None = None, *, shape: Shape | None = None, key: Key | None = None
    ) -> None:
        self.key = key or ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cn)])
        self.parent = parent
        issuer = parent or self
        self.certificate = issuer.certify(self.name, self.key.public_key(), shape or Shape())

    @property
    def der(self) -> bytes:
        """Its certificate."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def spki(self) -> bytes:
        """Its public key, DER."""
        return self.key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def certify(
        self, name: x509.Name, key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey, shape: Shape
    ) -> x509.Certificate:
        """Sign a certificate of this shape."""
        usage = {
            name: name in shape.usage
            for name in (
                *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
                *("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
            )
        }
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self.name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(shape.not_before)
            .not_valid_after(shape.not_after)
            .add_extension(x509.BasicConstraints(shape.ca, shape.path_length), critical=True)
            .add_extension(x509.KeyUsage(**usage), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )
        if shape.ski:
            builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        if shape.purposes:
            builder = builder.add_extension(x509.ExtendedKeyUsage(shape.purposes), critical=False)
        if shape.critical is not None:
            builder = builder.add_extension(x509.UnrecognizedExtension(shape.critical, b"\x05\x00"), critical=True)
        return builder.sign(self.key, shape.hash)

    def certify_request(self, csr: bytes, shape: Shape | None = None) -> bytes:
        """Sign a request, DER to DER."""
        request = x509.load_der_x509_csr(csr)
        key = request.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey)
        certificate = self.certify(request.subject, key, shape or Shape(path_length=0))
        return certificate.public_bytes(serialization.Encoding.DER)

    def crl(
        self,
        number: int | None,
        revoked: Iterable[tuple[int, x509.ReasonFlags]] = (),
        *,
        at: datetime = NOW,
        days: int = 30,
        extension: x509.ExtensionType | None = None,
    ) -> bytes:
        """Make a CRL, DER."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.name)
            .last_update(at)
            .next_update(at + timedelta(days=days))
        )
        if number is not None:
            builder = builder.add_extension(x509.CRLNumber(number), critical=False)
        if extension is not None:
            builder = builder.add_extension(extension, critical=True)
        for serial, reason in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(at)
            builder = builder.add_revoked_certificate(
                entry.add_extension(x509.CRLReason(reason), critical=False).build()
            )
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def get_ca_cert_without_encipherment(now: datetime | None = None) -> bytes:
    """Answer GetCACert as a server does whose RA certificate can sign and not encrypt keys."""
    at = now or datetime.now(UTC)
    root = ForeignCa("corp-root", shape=Shape(not_before=at - timedelta(days=1), not_after=at + timedelta(days=30)))
    shape = Shape(
        ca=False, usage=("digital_signature",), not_before=at - timedelta(days=1), not_after=at + timedelta(1)
    )
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    ra = root.certify(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "corp-ra")]), key.public_key(), shape)
    return pkcs7.serialize_certificates([ra, root.certificate], serialization.Encoding.DER)


def write_former(directory: Path) -> None:
    """Write a PKI that is to be moved: old-ca under corp-root, two more roots, keys and a CRL; good today."""
    today = datetime.now(UTC)

    def shape(path_length: int | None = None) -> Shape:
        begin, end = today - timedelta(days=9), today + timedelta(days=999)
        return Shape(path_length=path_length, not_before=begin, not_after=end)

    root = ForeignCa("Corp Root", shape=shape())
    policy = ForeignCa("Corp Policy CA", root, shape=shape(1))
    old = ForeignCa("Old Issuing CA", policy, shape=shape(0))
    lone, boxed = ForeignCa("Lone Root", shape=shape()), ForeignCa("Boxed Root", shape=shape())
    crl = old.crl(77, [(0xA01, x509.ReasonFlags.key_compromise)], at=today - timedelta(hours=1))
    pem, none = serialization.Encoding.PEM, serialization.NoEncryption()
    locked = serialization.BestAvailableEncryption(b"correct horse")
    files = {
        "boxed-root.p12": pkcs12.serialize_key_and_certificates(b"ca", boxed.key, boxed.certificate, None, locked),
        "corp-root.pem": root.certificate.public_bytes(pem),
        "corp-root.key": root.key.private_bytes(pem, serialization.PrivateFormat.PKCS8, none),
        "corp-chain.pem": root.certificate.public_bytes(pem) + policy.certificate.public_bytes(pem),
        "lone-root.pem": lone.certificate.public_bytes(pem),
        "lone-root.key": lone.key.private_bytes(pem, serialization.PrivateFormat.PKCS8, none),
        "old-ca.pem": old.certificate.public_bytes(pem),
        "old-ca.key": old.key.private_bytes(pem, serialization.PrivateFormat.PKCS8, locked),
        "old-ca.crl": crl,
        "passphrase": b"correct horse\n",
    }
    for name, octets in files.items():
        (directory / name).write_bytes(octets)
