"""Building CMS as DER: EnvelopedData for one recipient, SignedData with one signer, and the one around a CRL."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.ciphers import Cipher as BlockCipher
from cryptography.hazmat.primitives.ciphers.modes import CBC

from regalia.errors import InvariantError
from regalia.wire import der, oids
from regalia.wire.certificate import read_certificate
from regalia.wire.der import DerError
from regalia.wire.public_key import load_public_key
from regalia.wire.pwri import PasswordRecipient, password_recipient_info

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from regalia.wire.algorithms import Cipher, Digest
    from regalia.wire.certificate import CertificateFacts

__all__ = ["PasswordRecipient", "attribute", "build_enveloped", "build_signed", "crl_only"]

_BLOCK = 16
_RSA_ENCRYPTION = der.sequence(der.oid(oids.RSA_ENCRYPTION), der.null())
_DATA = der.oid(oids.ID_DATA)
_ENVELOPED_DATA = der.oid(oids.ID_ENVELOPED_DATA)
_SIGNED_DATA = der.oid(oids.ID_SIGNED_DATA)
_VERSION_0 = der.integer(0)
_VERSION_1 = der.integer(1)
_VERSION_3 = der.integer(3)
_EMPTY_SET = der.set_of([])


def _issuer_and_serial(certificate: CertificateFacts) -> bytes:
    return der.sequence(certificate.issuer, der.integer(certificate.serial))


@lru_cache(maxsize=64)
def _own(certificate: bytes) -> bytes:
    """IssuerAndSerialNumber of the RA's own certificate, which signs each reply."""
    return _issuer_and_serial(read_certificate(certificate))


def build_enveloped(
    plaintext: bytes, *, recipient: bytes | PasswordRecipient, cipher: Cipher, content_key: bytes, iv: bytes
) -> bytes:
    """Encrypt to the RSA key of one certificate (DER), or to a password: a ContentInfo with EnvelopedData over id-data.

    Of `content_key`, which is random, the first `cipher.key_octets` octets are used; of `iv`, which is 16 random
    octets, the first `cipher.block_octets`. The padding of PKCS #1 v1.5 takes its randomness from OpenSSL.
    Raises `DerError` where the certificate's key is not RSA. RFC 5652 §6.
    """
    key = content_key[: cipher.key_octets]
    if not cipher.fits(key) or len(iv) != _BLOCK:
        raise InvariantError("content key or IV is too short, or the key is a weak one")
    if isinstance(recipient, PasswordRecipient):
        version, recipient_info = _VERSION_3, password_recipient_info(recipient, key)
    else:
        version, recipient_info = _VERSION_0, _key_transport(recipient, key)
    block, iv = cipher.block_octets, iv[: cipher.block_octets]
    fill = block - len(plaintext) % block
    encryptor = BlockCipher(cipher.with_key(key), CBC(iv)).encryptor()
    ciphertext = encryptor.update(plaintext + bytes((fill,)) * fill) + encryptor.finalize()
    content = der.sequence(
        _DATA,
        der.sequence(der.oid(cipher.oid), der.octet_string(iv)),
        der.tlv(0x80, ciphertext),
    )
    enveloped = der.sequence(version, der.tlv(der.SET, recipient_info), content)
    return der.sequence(_ENVELOPED_DATA, der.tlv(0xA0, enveloped))


def _key_transport(certificate: bytes, key: bytes) -> bytes:
    """KeyTransRecipientInfo with RSA PKCS #1 v1.5, which every client reads (RFC 5652 §6.2.1)."""
    facts = read_certificate(certificate)
    public_key = load_public_key(facts.public_key)
    if not isinstance(public_key, RSAPublicKey):
        raise DerError("the recipient's key is not RSA")
    return der.sequence(
        _VERSION_0,
        _issuer_and_serial(facts),
        _RSA_ENCRYPTION,
        der.octet_string(public_key.encrypt(key, PKCS1v15())),
    )


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
    signature: bytes | None = None,
) -> bytes:
    """Sign `content` (id-data; empty gives a zero-length eContent): a ContentInfo with SignedData (RFC 5652 §5).

    contentType and messageDigest are added to `attributes`. `sign` gets the DER SET OF signedAttrs and returns a
    signature with `digest`; `signature` is its DER AlgorithmIdentifier. None means PKCS #1 v1.5 under the name of
    rsaEncryption: strongSwan verifies no other.
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
        signature or _RSA_ENCRYPTION,
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


def crl_only(crl: bytes) -> bytes:
    """Build the degenerate SignedData that holds one CRL (DER) and nothing else (RFC 8894 §3.4)."""
    signed_data = der.sequence(_VERSION_1, _EMPTY_SET, der.sequence(_DATA), der.tlv(0xA1, crl), _EMPTY_SET)
    return der.sequence(_SIGNED_DATA, der.tlv(0xA0, signed_data))
