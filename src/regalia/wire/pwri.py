"""A content key under a password: PasswordRecipientInfo (RFC 5652 §6.2.4), for keys that cannot decrypt.

RFC 8894 §3.1 encrypts the reply to such a key with the challengePassword and says no more. What we write:

* password: the UTF-8 octets of the challengePassword as it stands in the request;
* key derivation: PBKDF2 (RFC 8018 §5.2) with HMAC-SHA256 named explicitly, 16 octets of salt, 100 000 iterations,
  keyLength left out because the cipher of the key says it;
* key encryption: id-alg-PWRI-KEK (RFC 3211 §2.3) with AES in CBC mode, as many key octets as the content key has.

RFC 3211 pads with random octets. Ours come from the key-encryption key by HMAC, so that no more randomness is needed:
nobody without the password can tell, and nobody with it looks at them.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.ciphers import Cipher as BlockCipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

from regalia.errors import InvariantError
from regalia.wire import der, oids
from regalia.wire.algorithms import Cipher, Digest, read_algorithm
from regalia.wire.der import DerError

if TYPE_CHECKING:
    from regalia.wire.algorithms import AlgorithmIdentifier

__all__ = ["ITERATIONS", "MAX_ITERATIONS", "PasswordRecipient", "open_password_recipient", "password_recipient_info"]

ITERATIONS: Final = 100_000
"""What we write: 40 ms. A one-time challenge has 160 random bits and needs no more; a static one may be shorter."""
MAX_ITERATIONS: Final = 1_000_000
"""What we read: 0.4 s."""

_MIN_ITERATIONS: Final = 1_000
"""RFC 8018 §4.2."""
_SALT_OCTETS: Final = 16
_MIN_SALT_OCTETS: Final = 8
"""RFC 8018 §4.1."""
_BLOCK: Final = 16
_CHECK: Final = 4
"""Octets before the key: its length and three that check the password (RFC 3211 §2.3.1)."""
_PWRI: Final = 0xA3
_DERIVATION: Final = 0xA0

_PRFS: Final = {
    oids.HMAC_WITH_SHA1: Digest.SHA1,  # the default, which OpenSSL 3 writes by leaving it out
    oids.HMAC_WITH_SHA256: Digest.SHA256,
    oids.HMAC_WITH_SHA384: Digest.SHA384,
    oids.HMAC_WITH_SHA512: Digest.SHA512,
}
_KEK_OIDS: Final = {16: oids.AES128_CBC, 24: oids.AES192_CBC, 32: oids.AES256_CBC}
_KEK_OCTETS: Final = {oid: octets for octets, oid in _KEK_OIDS.items()}
_PRF: Final = der.sequence(der.oid(oids.HMAC_WITH_SHA256), der.null())


@dataclass(frozen=True, slots=True)
class PasswordRecipient:
    """A recipient without a key that decrypts: the content key is wrapped under a secret."""

    secret: str
    """The challengePassword."""
    salt: bytes
    """16 octets, others for each conversation."""
    iv: bytes
    """16 random octets, for the key wrap."""
    iterations: int = ITERATIONS


def password_recipient_info(recipient: PasswordRecipient, content_key: bytes) -> bytes:
    """Write the RecipientInfo for a content key of 16, 24 or 32 octets."""
    if len(recipient.salt) != _SALT_OCTETS or len(recipient.iv) != _BLOCK or not recipient.secret:
        raise InvariantError("a password recipient lacks its secret, salt or IV")
    size = len(content_key)
    kek = _derive(recipient.secret, recipient.salt, recipient.iterations, Digest.SHA256, size)
    parameters = der.sequence(der.octet_string(recipient.salt), der.integer(recipient.iterations), _PRF)
    cipher = der.sequence(der.oid(_KEK_OIDS[size]), der.octet_string(recipient.iv))
    return der.tlv(
        _PWRI,
        der.integer(0),
        der.tlv(_DERIVATION, der.oid(oids.PBKDF2), parameters),
        der.sequence(der.oid(oids.PWRI_KEK), cipher),
        der.octet_string(_wrap(kek, recipient.iv, content_key)),
    )


@lru_cache(maxsize=64)
def _derive(secret: str, salt: bytes, iterations: int, prf: Digest, size: int) -> bytes:
    # Remembered for who asks again: the answer to the same conversation has the same salt.
    return hashlib.pbkdf2_hmac(prf.value, secret.encode(), salt, iterations, size)


def _wrap(kek: bytes, iv: bytes, key: bytes) -> bytes:
    """RFC 3211 §2.3.1: length, check octets, key and padding, encrypted twice, the IV running on."""
    plain = bytes((len(key), *(octet ^ 0xFF for octet in key[:3]))) + key
    missing = max(2 * _BLOCK, -(-len(plain) // _BLOCK) * _BLOCK) - len(plain)
    plain += hmac.digest(kek, iv, "sha256")[:missing]
    encryptor = BlockCipher(AES(kek), CBC(iv)).encryptor()
    # The second pass goes on in the same chain: its IV is the last block of the first.
    return encryptor.update(encryptor.update(plain)) + encryptor.finalize()


def _cbc_decrypt(kek: bytes, iv: bytes, octets: bytes) -> bytes:
    decryptor = BlockCipher(AES(kek), CBC(iv)).decryptor()
    return decryptor.update(octets) + decryptor.finalize()


def _unwrap(kek: bytes, iv: bytes, wrapped: bytes) -> bytes | None:
    """RFC 3211 §2.3.2; None where the password is another one. `wrapped` is at least two whole blocks."""
    last, before = wrapped[-_BLOCK:], wrapped[-2 * _BLOCK : -_BLOCK]
    running_iv = _cbc_decrypt(kek, before, last)
    plain = _cbc_decrypt(kek, iv, _cbc_decrypt(kek, running_iv, wrapped[:-_BLOCK]) + running_iv)
    size, check, key = plain[0], plain[1:_CHECK], plain[_CHECK : _CHECK + plain[0]]
    if len(key) != size or bytes(octet ^ 0xFF for octet in key[:3]) != check:
        return None
    return key


def open_password_recipient(recipient: der.Tlv, secret: str, cipher: Cipher) -> bytes:
    """Open the content key that a RecipientInfo of kind pwri holds, as a client does with its own challenge.

    Raises `DerError` where it is not readable, uses algorithms or counts beyond ours, or is for another password. A
    server has no use for this: which of these it was may be told only to who sent the password.
    """
    version, derivation, encryption, wrapped = _parts(recipient)
    if version.as_integer() != 0:
        raise DerError("PasswordRecipientInfo is not of version 0")
    octets = wrapped.expect(der.OCTET_STRING).content
    if len(octets) < 2 * _BLOCK or len(octets) % _BLOCK:
        raise DerError("the wrapped key is not whole blocks")
    size, iv = _read_encryption(read_algorithm(encryption))
    prf, salt, iterations = _read_derivation(derivation, size)
    key = _unwrap(_derive(secret, salt, iterations, prf, size), iv, octets)
    if key is None or not cipher.fits(key):
        raise DerError("it is encrypted under another challenge than the one that was sent")
    return key


def _parts(recipient: der.Tlv) -> list[der.Tlv]:
    parts = recipient.expect(_PWRI).children()
    if len(parts) != 4:
        raise DerError("PasswordRecipientInfo has no key derivation, or more than its parts")
    return parts


def _read_encryption(algorithm: AlgorithmIdentifier) -> tuple[int, bytes]:
    """Octets of the key-encryption key, and its IV."""
    if algorithm.oid != oids.PWRI_KEK or algorithm.parameters is None:
        raise DerError(f"the content key is encrypted with {algorithm}")
    cipher = read_algorithm(algorithm.parameters)
    if cipher.oid not in _KEK_OCTETS or cipher.parameters is None:
        raise DerError(f"the content key is encrypted with {cipher}")
    iv = cipher.parameters.expect(der.OCTET_STRING).content
    if len(iv) != _BLOCK:
        raise DerError("the IV of the key wrap is not 16 octets")
    return _KEK_OCTETS[cipher.oid], iv


def _read_derivation(element: der.Tlv, size: int) -> tuple[Digest, bytes, int]:
    """PBKDF2-params (RFC 8018 appendix A.2)."""
    algorithm = read_algorithm(der.read_one(der.tlv(der.SEQUENCE, element.expect(_DERIVATION).content)))
    if algorithm.oid != oids.PBKDF2 or algorithm.parameters is None:
        raise DerError(f"the key is derived with {algorithm}")
    parts = algorithm.parameters.expect(der.SEQUENCE).children()
    if not 2 <= len(parts) <= 4:
        raise DerError("PBKDF2-params has two to four parts")
    salt, iterations = parts[0].expect(der.OCTET_STRING).content, parts[1].as_integer()
    rest = parts[2:]
    if rest and rest[0].tag == der.INTEGER and rest.pop(0).as_integer() != size:
        raise DerError("keyLength is not the one of the cipher")
    prf = Digest.SHA1
    if rest:
        function = read_algorithm(rest.pop(0))
        if function.oid not in _PRFS or not function.plain or rest:
            raise DerError(f"the key is derived with {function}")
        prf = _PRFS[function.oid]
    if len(salt) < _MIN_SALT_OCTETS or not _MIN_ITERATIONS <= iterations <= MAX_ITERATIONS:
        raise DerError(f"PBKDF2 with {len(salt)} octets of salt and {iterations} iterations")
    return prf, salt, iterations
