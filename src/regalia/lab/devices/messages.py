"""The CMS of SCEP as a device writes and reads it (RFC 8894 §3): requests in, CertReps out."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import padding as blocks
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.serialization import Encoding

from regalia.lab.der import DerError, Element, only
from regalia.lab.devices.encoding import (
    ANY_SET,
    CONTENT,
    NULL,
    OCTETS,
    PRINTABLE,
    SEQUENCE,
    SET,
    UTC_TIME,
    element,
    integer,
    oid,
    open_ended,
    set_of,
)
from regalia.lab.devices.reports import DeviceError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "CERT_POLL",
    "PKCS_REQ",
    "Envelope",
    "Reply",
    "Sent",
    "Signer",
    "certificates_in",
    "enveloped",
    "read_reply",
    "signed",
]

PKCS_REQ: Final = 19
CERT_POLL: Final = 20
_CERT_REP: Final = "3"
_PENDING: Final = "3"
_SUCCESS: Final = "0"
_DATA: Final = oid("1.2.840.113549.1.7.1")
_SIGNED: Final = oid("1.2.840.113549.1.7.2")
_ENVELOPED: Final = oid("1.2.840.113549.1.7.3")
_CONTENT_TYPE: Final = oid("1.2.840.113549.1.9.3")
_MESSAGE_DIGEST: Final = oid("1.2.840.113549.1.9.4")
_SIGNING_TIME: Final = oid("1.2.840.113549.1.9.5")
_MESSAGE_TYPE: Final = oid("2.16.840.1.113733.1.9.2")
_STATUS: Final = oid("2.16.840.1.113733.1.9.3")
_FAIL_INFO: Final = oid("2.16.840.1.113733.1.9.4")
_SENDER_NONCE: Final = oid("2.16.840.1.113733.1.9.5")
_RECIPIENT_NONCE: Final = oid("2.16.840.1.113733.1.9.6")
_TRANSACTION: Final = oid("2.16.840.1.113733.1.9.7")
_FAIL_TEXT: Final = oid("1.3.6.1.5.5.7.24.1")
_RSA: Final = element(SEQUENCE, oid("1.2.840.113549.1.1.1"), NULL)
_OAEP: Final = element(SEQUENCE, oid("1.2.840.113549.1.1.7"), element(SEQUENCE))
_AES: Final = oid("2.16.840.1.101.3.4.1.2")
_DES3: Final = oid("1.2.840.113549.3.7")
_HASHES: Final[dict[str, tuple[bytes, hashes.HashAlgorithm]]] = {
    "sha1": (oid("1.3.14.3.2.26"), hashes.SHA1()),  # noqa: S303 - where a server offers nothing else
    "sha256": (oid("2.16.840.1.101.3.4.2.1"), hashes.SHA256()),
    "sha512": (oid("2.16.840.1.101.3.4.2.3"), hashes.SHA512()),
}
_CHUNK: Final = 1024
_FAILURES: Final = ("badAlg", "badMessageCheck", "badRequest", "badTime", "badCertId")


@dataclass(frozen=True, slots=True)
class Envelope:
    """How the content is encrypted."""

    recipient: x509.Certificate
    aes: bool = True
    """AES-128-CBC; else triple DES."""
    oaep: bool = False
    indefinite: bool = False


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signs, and with which digest: `sha1`, `sha256` or `sha512`."""

    key: rsa.RSAPrivateKey
    certificate: x509.Certificate
    digest: str


@dataclass(frozen=True, slots=True)
class Sent:
    """What was said of a request, and the reply must say again."""

    transaction: str
    nonce: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """A CertRep that is the server's."""

    pending: bool
    certificates: tuple[x509.Certificate, ...] = ()
    """In the order that they came."""


def _issuer_and_serial(certificate: x509.Certificate) -> bytes:
    return element(SEQUENCE, certificate.issuer.public_bytes(), integer(certificate.serial_number))


def _cipher(key: bytes, iv: bytes, *, aes: bool) -> Cipher[modes.CBC]:
    return Cipher(algorithms.AES(key) if aes else TripleDES(key), modes.CBC(iv))


def enveloped(content: bytes, how: Envelope) -> bytes:
    """Encrypt to the recipient: a ContentInfo with an EnvelopedData."""
    key, iv = os.urandom(16 if how.aes else 24), os.urandom(16 if how.aes else 8)
    padder = blocks.PKCS7(len(iv) * 8).padder()
    encryptor = _cipher(key, iv, aes=how.aes).encryptor()
    octets = encryptor.update(padder.update(content) + padder.finalize()) + encryptor.finalize()
    public = how.recipient.public_key()
    if not isinstance(public, rsa.RSAPublicKey):
        raise DeviceError("unsupported recipient", "the certificate to encrypt to has no RSA key")
    sha1 = hashes.SHA1()  # noqa: S303 - the default of RSAES-OAEP, which is what these clients send
    way = padding.OAEP(padding.MGF1(sha1), sha1, None) if how.oaep else padding.PKCS1v15()
    transport = element(
        SEQUENCE,
        integer(0),
        _issuer_and_serial(how.recipient),
        _OAEP if how.oaep else _RSA,
        element(OCTETS, public.encrypt(key, way)),
    )
    algorithm = element(SEQUENCE, _AES if how.aes else _DES3, element(OCTETS, iv))
    build = open_ended if how.indefinite else element
    pieces = [element(OCTETS, octets[at : at + _CHUNK]) for at in range(0, len(octets), _CHUNK)]
    encrypted = open_ended(ANY_SET, *pieces) if how.indefinite else element(CONTENT, octets)
    inner = build(SEQUENCE, _DATA, algorithm, encrypted)
    return build(SEQUENCE, _ENVELOPED, build(ANY_SET, build(SEQUENCE, integer(0), element(SET, transport), inner)))


def _attribute(kind: bytes, value: bytes) -> bytes:
    return element(SEQUENCE, kind, element(SET, value))


def signed(content: bytes, kind: int, sent: Sent, signer: Signer, now: datetime) -> bytes:
    """Sign an envelope with the attributes of SCEP: a pkiMessage."""
    digest, algorithm = _HASHES[signer.digest]
    digest_algorithm = element(SEQUENCE, digest, NULL)
    at = now.astimezone(UTC).strftime("%y%m%d%H%M%SZ").encode()
    attributes = (
        _attribute(_CONTENT_TYPE, _DATA),
        _attribute(_MESSAGE_DIGEST, element(OCTETS, hashlib.new(signer.digest, content).digest())),
        _attribute(_SIGNING_TIME, element(UTC_TIME, at)),
        _attribute(_MESSAGE_TYPE, element(PRINTABLE, str(kind).encode())),
        _attribute(_SENDER_NONCE, element(OCTETS, sent.nonce)),
        _attribute(_TRANSACTION, element(PRINTABLE, sent.transaction.encode())),
    )
    signature = signer.key.sign(set_of(*attributes), padding.PKCS1v15(), algorithm)
    signer_info = element(
        SEQUENCE,
        integer(1),
        _issuer_and_serial(signer.certificate),
        digest_algorithm,
        set_of(*attributes, tag=ANY_SET),
        _RSA,
        element(OCTETS, signature),
    )
    body = element(
        SEQUENCE,
        integer(1),
        element(SET, digest_algorithm),
        element(SEQUENCE, _DATA, element(ANY_SET, element(OCTETS, content))),
        element(ANY_SET, signer.certificate.public_bytes(Encoding.DER)),
        element(SET, signer_info),
    )
    return element(SEQUENCE, _SIGNED, element(ANY_SET, body))


# --- replies --------------------------------------------------------------------------------------------------------


def read_reply(octets: bytes, sent: Sent, known: Sequence[x509.Certificate], own: Signer) -> Reply:
    """Verify a CertRep and open it; a `DeviceError` where it is a FAILURE, or nothing to be believed."""
    try:
        content, signer_info = _parts(octets)
        attributes = _verified(signer_info, content, known)
        said = {kind: only(value).content for kind, value in attributes.items()}
        _same_conversation(said, sent)
        status = said[_STATUS].decode()
        if status == _PENDING:
            return Reply(pending=True)
        if status != _SUCCESS:
            raise _failure(said)
        return Reply(pending=False, certificates=certificates_in(_opened(content, own)))
    except (DerError, KeyError, IndexError, ValueError, StopIteration) as error:
        raise DeviceError("unreadable reply", f"this is no CertRep: {error!r}") from error


def _same_conversation(said: dict[bytes, bytes], sent: Sent) -> None:
    if said[_MESSAGE_TYPE].decode() != _CERT_REP:
        raise DeviceError("foreign reply", "it is no CertRep")
    if said[_TRANSACTION].decode() != sent.transaction:
        raise DeviceError("foreign reply", "it is of another transaction")
    if said[_RECIPIENT_NONCE] != sent.nonce:
        raise DeviceError("foreign reply", "its nonce is not what was sent")


def _failure(said: dict[bytes, bytes]) -> DeviceError:
    number = said[_FAIL_INFO].decode()
    name = _FAILURES[int(number)] if number.isdigit() and int(number) < len(_FAILURES) else number
    text = said.get(_FAIL_TEXT, b"").decode("utf-8", "replace")
    return DeviceError(name, f"the server refused{': ' + text if text else ''}")


def _parts(octets: bytes) -> tuple[bytes, Element]:
    """Content and SignerInfo of a SignedData; no content where it is left out or empty."""
    kind, explicit = only(octets).inside()
    if kind.whole != _SIGNED:
        raise DerError("no SignedData")
    parts = only(explicit.content).inside()
    encapsulated = parts[2].inside()
    content = only(encapsulated[1].content).content if len(encapsulated) > 1 else b""
    (signer_info,) = parts[-1].inside()
    return content, signer_info


def _verified(signer_info: Element, content: bytes, known: Sequence[x509.Certificate]) -> dict[bytes, bytes]:
    """Return the attributes by their kind, once the signature is of a certificate that GetCACert named."""
    _, sid, digest_algorithm, attributes, _, signature = signer_info.inside()[:6]
    name = next(name for name, (kind, _) in _HASHES.items() if digest_algorithm.content.startswith(kind))
    found = {kind.whole: values.content for kind, values in (one.inside() for one in attributes.inside())}
    if only(found[_MESSAGE_DIGEST]).content != hashlib.new(name, content).digest():
        raise DeviceError("forged reply", "the content is not what was signed")
    signers = [one for one in known if _issuer_and_serial(one) == sid.whole]
    public = signers[0].public_key() if signers else None
    if not isinstance(public, rsa.RSAPublicKey):
        raise DeviceError("forged reply", "the signer is none of the certificates of GetCACert")
    try:
        public.verify(signature.content, b"\x31" + attributes.whole[1:], padding.PKCS1v15(), _HASHES[name][1])
    except InvalidSignature:
        raise DeviceError("forged reply", "the signature does not hold") from None
    return found


def _opened(content: bytes, own: Signer) -> bytes:
    kind, explicit = only(content).inside()
    if kind.whole != _ENVELOPED:
        raise DerError("no EnvelopedData")
    _, recipients, encrypted = only(explicit.content).inside()[:3]
    (recipient,) = recipients.inside()
    _, rid, _, encrypted_key = recipient.inside()
    if rid.whole != _issuer_and_serial(own.certificate):
        raise DeviceError("foreign reply", "it is encrypted to somebody else")
    key = own.key.decrypt(encrypted_key.content, padding.PKCS1v15())
    _, algorithm, octets = encrypted.inside()
    cipher, iv = algorithm.inside()
    decryptor = _cipher(key, iv.content, aes=cipher.whole == _AES).decryptor()
    unpadder = blocks.PKCS7(len(iv.content) * 8).unpadder()
    padded = decryptor.update(octets.content) + decryptor.finalize()
    return unpadder.update(padded) + unpadder.finalize()


def certificates_in(octets: bytes) -> tuple[x509.Certificate, ...]:
    """Read a certs-only SignedData, in its order."""
    kind, explicit = only(octets).inside()
    if kind.whole != _SIGNED:
        raise DerError("no SignedData")
    parts = only(explicit.content).inside()
    bags = [part for part in parts[3:] if part.tag == ANY_SET]
    return tuple(x509.load_der_x509_certificate(one.whole) for bag in bags for one in bag.inside())
