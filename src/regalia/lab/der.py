"""Enough DER to take a SignedData apart and to verify it; what it holds is read elsewhere."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["DerError", "Signed", "is_intact", "signed_data"]

_SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")
_MESSAGE_DIGEST = bytes.fromhex("06092a864886f70d010904")


class DerError(Exception):
    """These octets are not what they should be."""


@dataclass(frozen=True, slots=True)
class _Element:
    tag: int
    content: bytes
    whole: bytes

    def inside(self) -> list[_Element]:
        return list(_elements(self.content))


@dataclass(frozen=True, slots=True)
class Signed:
    """A SignedData with one signer."""

    content: bytes
    certificate: x509.Certificate
    """The signer's, which only its name here vouches for."""
    attributes: bytes
    """Signed attributes, as the SET that is signed."""
    digest: bytes
    signature: bytes


def _elements(octets: bytes) -> Iterator[_Element]:
    at = 0
    while at < len(octets):
        if at + 2 > len(octets):
            raise DerError("cut off")
        tag, length, start = octets[at], octets[at + 1], at + 2
        if length & 0x80:
            more = length & 0x7F
            if not 1 <= more <= 4:
                raise DerError("a length of no known form")
            length, start = int.from_bytes(octets[start : start + more], "big"), start + more
        end = start + length
        if end > len(octets):
            raise DerError("cut off")
        yield _Element(tag, octets[start:end], octets[at:end])
        at = end


def _only(octets: bytes) -> _Element:
    found = list(_elements(octets))
    if len(found) != 1:
        raise DerError("not one element")
    return found[0]


def signed_data(octets: bytes) -> Signed:
    """Take a ContentInfo with a SignedData apart; `DerError` where it is none with one signer and attributes."""
    try:
        kind, explicit = _only(octets).inside()
        if kind.whole != _SIGNED_DATA:
            raise DerError("no SignedData")
        parts = _only(explicit.content).inside()
        encapsulated = parts[2].inside()
        content = _only(encapsulated[1].content).content
        certificates = [one.whole for part in parts[3:] if part.tag == 0xA0 for one in part.inside()]
        (signer,) = parts[-1].inside()
        issuer_and_serial, attributes, signature = _signer(signer)
        certificate = _named(certificates, issuer_and_serial)
        return Signed(content, certificate, b"\x31" + attributes.whole[1:], _digest(attributes), signature)
    except (ValueError, IndexError) as error:
        raise DerError(str(error)) from error


def _signer(signer: _Element) -> tuple[bytes, _Element, bytes]:
    _, name, _, attributes, _, signature = signer.inside()[:6]
    if attributes.tag != 0xA0:
        raise DerError("no signed attributes")
    return name.content, attributes, signature.content


def _named(certificates: list[bytes], issuer_and_serial: bytes) -> x509.Certificate:
    for der in certificates:
        certificate = x509.load_der_x509_certificate(der)
        length = certificate.serial_number.bit_length() // 8 + 1
        serial = bytes((2, length)) + certificate.serial_number.to_bytes(length, "big")
        if issuer_and_serial == certificate.issuer.public_bytes() + serial:
            return certificate
    raise DerError("the signer's certificate is not there")


def _digest(attributes: _Element) -> bytes:
    for attribute in attributes.inside():
        kind, values = attribute.inside()
        if kind.whole == _MESSAGE_DIGEST:
            return _only(values.content).content
    raise DerError("no messageDigest")


def is_intact(signed: Signed) -> bool:
    """Verify content and attributes with the key of the certificate: ECDSA with SHA-256, as the service signs."""
    key = signed.certificate.public_key()
    if hashlib.sha256(signed.content).digest() != signed.digest or not isinstance(key, ec.EllipticCurvePublicKey):
        return False
    try:
        key.verify(signed.signature, signed.attributes, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True
