"""The keys that a device may have, and what each can do: all sign, only RSA decrypts (RFC 8894 §3.1).

A key that cannot decrypt gets its certificate in a reply that is encrypted under the challenge of its request.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypeAlias

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from regalia.wire.algorithms import Digest
from regalia.wire.certificate import SignatureAlgorithm

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "MIN_RSA_BITS",
    "DeviceKey",
    "KeyType",
    "Scheme",
    "can_decrypt",
    "device_key",
    "generate_key",
    "key_text",
    "public_octets",
    "scheme_of",
    "sign_with",
    "unwrap_with",
]

MlDsaKey: TypeAlias = mldsa.MLDSA44PrivateKey | mldsa.MLDSA65PrivateKey | mldsa.MLDSA87PrivateKey
DeviceKey: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | MlDsaKey

MIN_RSA_BITS: Final = 2048
_EXPONENT: Final = 65537


class KeyType(StrEnum):
    """Kinds of keys that are made."""

    RSA_2048 = "rsa-2048"
    RSA_3072 = "rsa-3072"
    RSA_4096 = "rsa-4096"
    P_256 = "p-256"
    P_384 = "p-384"
    ED25519 = "ed25519"
    ML_DSA_44 = "ml-dsa-44"
    ML_DSA_65 = "ml-dsa-65"
    ML_DSA_87 = "ml-dsa-87"


@dataclass(frozen=True, slots=True)
class Scheme:
    """How a key signs."""

    algorithm: SignatureAlgorithm
    """In a request and in a certificate."""
    digest: Digest
    """What a CMS message is digested with that the key signs, and within the signature where it takes a digest."""


_MAKERS: Final[dict[KeyType, Callable[[], DeviceKey]]] = {
    KeyType.RSA_2048: lambda: rsa.generate_private_key(_EXPONENT, 2048),
    KeyType.RSA_3072: lambda: rsa.generate_private_key(_EXPONENT, 3072),
    KeyType.RSA_4096: lambda: rsa.generate_private_key(_EXPONENT, 4096),
    KeyType.P_256: lambda: ec.generate_private_key(ec.SECP256R1()),
    KeyType.P_384: lambda: ec.generate_private_key(ec.SECP384R1()),
    KeyType.ED25519: ed25519.Ed25519PrivateKey.generate,
    KeyType.ML_DSA_44: mldsa.MLDSA44PrivateKey.generate,
    KeyType.ML_DSA_65: mldsa.MLDSA65PrivateKey.generate,
    KeyType.ML_DSA_87: mldsa.MLDSA87PrivateKey.generate,
}
_CURVES: Final = {ec.SECP256R1.name: "P-256", ec.SECP384R1.name: "P-384"}
_RSA_SCHEME: Final = Scheme(SignatureAlgorithm.RSA_SHA256, Digest.SHA256)
_SCHEMES: Final = {
    "P-256": Scheme(SignatureAlgorithm.ECDSA_SHA256, Digest.SHA256),
    "P-384": Scheme(SignatureAlgorithm.ECDSA_SHA384, Digest.SHA384),
    "Ed25519": Scheme(SignatureAlgorithm.ED25519, Digest.SHA512),
    "ML-DSA-44": Scheme(SignatureAlgorithm.ML_DSA_44, Digest.SHA512),
    "ML-DSA-65": Scheme(SignatureAlgorithm.ML_DSA_65, Digest.SHA512),
    "ML-DSA-87": Scheme(SignatureAlgorithm.ML_DSA_87, Digest.SHA512),
}


def generate_key(kind: KeyType = KeyType.RSA_2048) -> DeviceKey:
    """Make a key."""
    return _MAKERS[kind]()


def device_key(loaded: object) -> DeviceKey | None:
    """Take a private key that was read from somewhere; None where it is none of those that a device may have."""
    match loaded:
        case rsa.RSAPrivateKey():
            return loaded if loaded.key_size >= MIN_RSA_BITS else None
        case ec.EllipticCurvePrivateKey():
            return loaded if loaded.curve.name in _CURVES else None
        case (
            ed25519.Ed25519PrivateKey()
            | mldsa.MLDSA44PrivateKey()
            | mldsa.MLDSA65PrivateKey()
            | mldsa.MLDSA87PrivateKey()
        ):
            return loaded
    return None


def key_text(key: DeviceKey) -> str:
    """Name the kind of a key for people."""
    match key:
        case rsa.RSAPrivateKey():
            return f"RSA-{key.key_size}"
        case ec.EllipticCurvePrivateKey():
            return _CURVES[key.curve.name]
        case ed25519.Ed25519PrivateKey():
            return "Ed25519"
        case mldsa.MLDSA44PrivateKey():
            return "ML-DSA-44"
        case mldsa.MLDSA65PrivateKey():
            return "ML-DSA-65"
        case mldsa.MLDSA87PrivateKey():
            return "ML-DSA-87"


def public_octets(key: DeviceKey) -> bytes:
    """Return the public half of a key as DER SubjectPublicKeyInfo."""
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def can_decrypt(key: DeviceKey) -> bool:
    """Whether a reply can be encrypted to it."""
    return isinstance(key, rsa.RSAPrivateKey)


def scheme_of(key: DeviceKey) -> Scheme:
    """Tell how a key signs.

    RFC 8419 §3.1 asks for SHA-512 beside Ed25519 in CMS, and RFC 9882 advises it beside ML-DSA.
    """
    return _RSA_SCHEME if isinstance(key, rsa.RSAPrivateKey) else _SCHEMES[key_text(key)]


def sign_with(key: DeviceKey, data: bytes) -> bytes:
    """Sign by the key's scheme; RSA by PKCS #1 v1.5, ECDSA as DER."""
    digest = scheme_of(key).digest.hash()
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, padding.PKCS1v15(), digest)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(data, ec.ECDSA(digest))
    return key.sign(data)


def unwrap_with(key: DeviceKey, octets: bytes) -> bytes:
    """Decrypt the key of a reply's content by RSA PKCS #1 v1.5; empty where the key cannot decrypt."""
    return key.decrypt(octets, padding.PKCS1v15()) if isinstance(key, rsa.RSAPrivateKey) else b""
