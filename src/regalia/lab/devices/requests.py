"""What a device puts into its messages: the PKCS #10 request, and the certificate that signs the first one."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import AttributeOID

from regalia.lab.devices.encoding import element
from regalia.lab.names import UPN

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric import rsa

    from regalia.lab.devices.delivery import Delivery
    from regalia.lab.devices.platforms import Platform

__all__ = ["request", "self_signed"]

_USAGES = {
    "digitalSignature": "digital_signature",
    "nonRepudiation": "content_commitment",
    "keyEncipherment": "key_encipherment",
    "dataEncipherment": "data_encipherment",
    "keyAgreement": "key_agreement",
}
_OTHERS = ("key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
_SIGNER_DAYS = 365


def _usage(names: tuple[str, ...]) -> x509.KeyUsage:
    wanted = {_USAGES[name] for name in names}
    return x509.KeyUsage(**{name: name in wanted for name in (*_USAGES.values(), *_OTHERS)})


def _subject(delivery: Delivery) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.ObjectIdentifier(oid), value) for oid, value in delivery.subject])


def _name(kind: str, value: str) -> x509.GeneralName:
    match kind:
        case "DNS":
            return x509.DNSName(value)
        case "Email":
            return x509.RFC822Name(value)
        case "URI":
            return x509.UniformResourceIdentifier(value)
        case "UPN":
            return x509.OtherName(UPN, element(0x0C, value.encode()))
        case _:
            raise ValueError(kind)


def request(delivery: Delivery, key: rsa.RSAPrivateKey) -> x509.CertificateSigningRequest:
    """Make the request: what the profile says, and the challenge in `challengePassword`.

    It is signed with SHA-256 even where the messages have SHA-1: nothing that is left makes others.
    """
    builder = x509.CertificateSigningRequestBuilder().subject_name(_subject(delivery))
    if delivery.challenge is not None:
        builder = builder.add_attribute(AttributeOID.CHALLENGE_PASSWORD, delivery.challenge.encode())
    if delivery.sans:
        names = x509.SubjectAlternativeName([_name(kind, value) for kind, value in delivery.sans])
        # Alone they name the holder, and are critical then (RFC 5280 §4.2.1.6).
        builder = builder.add_extension(names, critical=not delivery.subject)
    if delivery.key_usage:
        builder = builder.add_extension(_usage(delivery.key_usage), critical=True)
    if delivery.ekus:
        purposes = [x509.ObjectIdentifier(one) for one in delivery.ekus]
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    return builder.sign(key, hashes.SHA256())


def self_signed(delivery: Delivery, key: rsa.RSAPrivateKey, platform: Platform, now: datetime) -> x509.Certificate:
    """Make the certificate that signs a first message (RFC 8894 §2.3)."""
    subject = _subject(delivery)
    public = key.public_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=_SIGNER_DAYS))
        .add_extension(_usage(("digitalSignature", "keyEncipherment")), critical=True)
    )
    if platform.critical_authority_key:
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(public)
        builder = builder.add_extension(identifier, critical=True)
    return builder.sign(key, hashes.SHA256())
