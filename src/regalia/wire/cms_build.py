"""Building CMS: EnvelopedData for one recipient and SignedData with one signer, both as DER."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.ciphers import Cipher as BlockCipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

from regalia.errors import InvariantError
from regalia.wire import der, oids
from regalia.wire.certificate import read_certificate
from regalia.wire.der import DerError
from regalia.wire.public_key import load_public_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from regalia.wire.algorithms import Cipher, Digest
    from regalia.wire.certificate import CertificateFacts

__all__ = ["PasswordRecipient", "attribute", "build_enveloped", "build_signed"]

_BLOCK = 16
_RSA_ENCRYPTION = der.sequence(der.oid(oids.RSA_ENCRYPTION), der.null())
_DATA = der.oid(oids.ID_DATA)
_ENVELOPED_DATA = der.oid(oids.ID_ENVELOPED_DATA)
_SIGNED_DATA = der.oid(oids.ID_SIGNED_DATA)
_VERSION_0 = der.integer(0)
_VERSION_1 = der.integer(1)


def _issuer_and_serial(certificate: CertificateFacts) -> bytes:
    return der.sequence(certificate.issuer, der.integer(certificate.serial))


@lru_cache(maxsize=64)
def _own(certificate: bytes) -> bytes:
    """IssuerAndSerialNumber of the RA's own certificate, which signs each reply."""
    return _issuer_and_serial(read_certificate(certificate))


@dataclass(frozen=True, slots=True)
class PasswordRecipient:
    """A recipient without a key that decrypts: the content key is wrapped under a secret (RFC 5652 §6.2.4)."""

    secret: str
    """The challengePassword; its octets are UTF-8."""
    salt: bytes
    """16 random octets."""
    iv: bytes
    """16 random octets, for the key wrap."""
    iterations: int = 100_000


def build_enveloped(
    plaintext: bytes, *, recipient: bytes | PasswordRecipient, cipher: Cipher, content_key: bytes, iv: bytes
) -> bytes:
    """Encrypt to the RSA key of one certificate (DER): a ContentInfo with EnvelopedData over id-data (RFC 5652 §6).

    Of `content_key`, which is random, the first `cipher.key_octets` octets are used; `iv` is 16 random octets.
    The padding of PKCS #1 v1.5 takes its randomness from OpenSSL. Raises `DerError` where the key is not RSA.
    """
    if isinstance(recipient, PasswordRecipient):
        raise InvariantError("no password recipient yet")
    facts = read_certificate(recipient)
    public_key = load_public_key(facts.public_key)
    if not isinstance(public_key, RSAPublicKey):
        raise DerError("the recipient's key is not RSA")
    key = content_key[: cipher.key_octets]
    if len(key) != cipher.key_octets or len(iv) != _BLOCK:
        raise InvariantError("content key or IV is too short")
    fill = _BLOCK - len(plaintext) % _BLOCK
    encryptor = BlockCipher(AES(key), CBC(iv)).encryptor()
    ciphertext = encryptor.update(plaintext + bytes((fill,)) * fill) + encryptor.finalize()
    recipient_info = der.sequence(
        _VERSION_0,
        _issuer_and_serial(facts),
        _RSA_ENCRYPTION,
        der.octet_string(public_key.encrypt(key, PKCS1v15())),
    )
    content = der.sequence(
        _DATA,
        der.sequence(der.oid(cipher.oid), der.octet_string(iv)),
        der.tlv(0x80, ciphertext),
    )
    enveloped = der.sequence(_VERSION_0, der.tlv(der.SET, recipient_info), content)
    return der.sequence(_ENVELOPED_DATA, der.tlv(0xA0, enveloped))


def attribute(oid: str, value: bytes) -> bytes:
    """Encode an Attribute with one value."""
    return der.sequence(der.oid(oid), der.tlv(der.SET, value))


_DATA_CONTENT = attribute(oids.CONTENT_TYPE, _DATA)


def build_signed(
    content: bytes,
    *,
    attributes: Iterable[bytes],
    digest: Digest,
    certificate: bytes,
    sign: Callable[[bytes], bytes],
) -> bytes:
    """Sign `content` (id-data; empty gives a zero-length eContent): a ContentInfo with SignedData (RFC 5652 §5).

    contentType and messageDigest are added to `attributes`. `sign` gets the DER SET OF signedAttrs and returns a
    PKCS #1 v1.5 signature with `digest`. signatureAlgorithm is rsaEncryption: strongSwan verifies no other.
    """
    signed_attributes = der.set_of(
        [
            _DATA_CONTENT,
            attribute(oids.MESSAGE_DIGEST, der.octet_string(digest.of(content))),
            *attributes,
        ]
    )
    signer_info = der.sequence(
        _VERSION_1,
        _own(certificate),
        digest.identifier,
        b"\xa0" + signed_attributes[1:],
        _RSA_ENCRYPTION,
        der.octet_string(sign(signed_attributes)),
    )
    signed_data = der.sequence(
        _VERSION_1,
        der.tlv(der.SET, digest.identifier),
        der.sequence(_DATA, der.tlv(0xA0, der.octet_string(content))),
        der.tlv(0xA0, certificate),
        der.tlv(der.SET, signer_info),
    )
    return der.sequence(_SIGNED_DATA, der.tlv(0xA0, signed_data))
