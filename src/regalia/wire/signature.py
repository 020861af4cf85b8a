"""Signatures of peers: which algorithms are taken, judged in clear, and how each is verified.

A `Scheme` is what an AlgorithmIdentifier means once it is accepted; there are few, made once. RSA with PKCS #1 v1.5
or PSS is always taken; ECDSA (RFC 5754 §3.3), Ed25519 (RFC 8419) and ML-DSA (RFC 9882) with `non_rsa`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from regalia.wire import oids
from regalia.wire.algorithms import Digest
from regalia.wire.der import DerError
from regalia.wire.public_key import PURE_KEYS
from regalia.wire.rsa_parameters import read_pss

if TYPE_CHECKING:
    from cryptography.hazmat.primitives import hashes

    from regalia.wire.algorithms import Accepted, AlgorithmIdentifier
    from regalia.wire.public_key import PublicKey
    from regalia.wire.rsa_parameters import Pss

__all__ = ["Scheme", "SchemeRefusedError", "request_scheme", "signer_scheme"]


class SchemeRefusedError(ValueError):
    """A signature algorithm that is not taken; the text names it for the administrator."""


class Scheme(Protocol):
    """An accepted way to sign."""

    @property
    def key_oid(self) -> str:
        """Algorithm of the keys that sign so."""

    def holds(self, key: PublicKey, signature: bytes, octets: bytes) -> bool:
        """Whether the signature verifies; False also with a key of another type."""


@dataclass(frozen=True, slots=True)
class _Pkcs1v15:
    hash: hashes.HashAlgorithm
    key_oid: str = oids.RSA_ENCRYPTION

    def holds(self, key: PublicKey, signature: bytes, octets: bytes) -> bool:
        if not isinstance(key, RSAPublicKey):
            return False
        try:
            key.verify(signature, octets, _PKCS1V15, self.hash)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class _RsaPss:
    parameters: Pss
    key_oid: str = oids.RSA_ENCRYPTION

    def holds(self, key: PublicKey, signature: bytes, octets: bytes) -> bool:
        digest = self.parameters.digest.hash()
        salt = self.parameters.salt_octets
        # RFC 8017 §9.1.2 step 3: salt, digest and two octets fit into the modulus, less its highest bit.
        if not isinstance(key, RSAPublicKey) or salt + digest.digest_size + 2 > (key.key_size + 6) // 8:
            return False
        mask = padding.MGF1(self.parameters.mask_digest.hash())
        try:
            key.verify(signature, octets, padding.PSS(mask, salt), digest)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class _Ecdsa:
    algorithm: ECDSA
    key_oid: str = oids.EC_PUBLIC_KEY

    def holds(self, key: PublicKey, signature: bytes, octets: bytes) -> bool:
        if not isinstance(key, EllipticCurvePublicKey):
            return False
        try:
            key.verify(signature, octets, self.algorithm)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class _Pure:
    """Signs the octets themselves: Ed25519 and ML-DSA with an empty context."""

    key_oid: str

    def holds(self, key: PublicKey, signature: bytes, octets: bytes) -> bool:
        if isinstance(key, RSAPublicKey | EllipticCurvePublicKey) or not isinstance(key, PURE_KEYS[self.key_oid]):
            return False
        try:
            key.verify(signature, octets)
        except InvalidSignature:
            return False
        return True


_PKCS1V15: Final = padding.PKCS1v15()
_RSA: Final = {digest: _Pkcs1v15(digest.hash()) for digest in Digest}
_RSA_DIGESTS: Final = {
    oids.SHA1_WITH_RSA: Digest.SHA1,
    oids.SHA256_WITH_RSA: Digest.SHA256,
    oids.SHA384_WITH_RSA: Digest.SHA384,
    oids.SHA512_WITH_RSA: Digest.SHA512,
}
"""RSA PKCS #1 v1.5 by combined object identifier (RFC 8017 appendix A.2.4)."""
_ECDSA_DIGESTS: Final = {
    oids.ECDSA_WITH_SHA256: Digest.SHA256,
    oids.ECDSA_WITH_SHA384: Digest.SHA384,
    oids.ECDSA_WITH_SHA512: Digest.SHA512,
}
_ECDSA: Final = {digest: _Ecdsa(ECDSA(digest.hash())) for digest in _ECDSA_DIGESTS.values()}
_PURE: Final = {oid: _Pure(oid) for oid in PURE_KEYS}
_NON_RSA: Final = frozenset((*_ECDSA_DIGESTS, *_PURE))
_PURE_DIGESTS: Final = {
    oids.ED25519: (Digest.SHA512,),
    oids.ML_DSA_44: (Digest.SHA256, Digest.SHA384, Digest.SHA512),
    oids.ML_DSA_65: (Digest.SHA384, Digest.SHA512),
    oids.ML_DSA_87: (Digest.SHA512,),
}
"""Digests of signed attributes beside each (RFC 8419 §3.1, RFC 9882 §3.3): none is weaker than the signature."""


def signer_scheme(algorithm: AlgorithmIdentifier, digest: Digest | None, accepted: Accepted) -> Scheme | None:
    """Judge the signatureAlgorithm of a SignerInfo beside its digest; None where the digest is refused already.

    Raises `SchemeRefusedError`.
    """
    if algorithm.oid == oids.RSA_ENCRYPTION and algorithm.plain:
        return _RSA.get(digest) if digest else None
    scheme, own = _of_signer(algorithm, accepted)
    if digest is not None and digest not in own:
        raise SchemeRefusedError(f"signature {algorithm} over digest {oids.describe(digest.oid)}")
    return scheme if digest else None


def _of_signer(algorithm: AlgorithmIdentifier, accepted: Accepted) -> tuple[Scheme, tuple[Digest, ...]]:
    if algorithm.oid in _NON_RSA and (not accepted.non_rsa or algorithm.parameters is not None):
        raise SchemeRefusedError(f"signature {algorithm}")
    if algorithm.oid in _PURE:
        return _PURE[algorithm.oid], _PURE_DIGESTS[algorithm.oid]
    scheme, digest = _with_digest(algorithm, accepted)
    return scheme, (digest,)


def request_scheme(algorithm: AlgorithmIdentifier, accepted: Accepted) -> Scheme:
    """Judge the signatureAlgorithm of a PKCS #10 request. Raises `SchemeRefusedError`.

    ECDSA needs no switch here: a certificate for such a key was always to be had, by renewing with an RSA one.
    """
    if algorithm.oid in _PURE and algorithm.parameters is None and accepted.non_rsa:
        return _PURE[algorithm.oid]
    return _with_digest(algorithm, accepted)[0]


def _with_digest(algorithm: AlgorithmIdentifier, accepted: Accepted) -> tuple[Scheme, Digest]:
    """An algorithm that names its digest itself."""
    if algorithm.oid == oids.RSASSA_PSS:
        return _pss(algorithm, accepted)
    if algorithm.plain:
        digest = _RSA_DIGESTS.get(algorithm.oid)
        if digest is not None and digest.oid in accepted.digests:
            return _RSA[digest], digest
        digest = _ECDSA_DIGESTS.get(algorithm.oid)
        if digest is not None:
            return _ECDSA[digest], digest
    raise SchemeRefusedError(f"signature {algorithm}")


def _pss(algorithm: AlgorithmIdentifier, accepted: Accepted) -> tuple[Scheme, Digest]:
    try:
        parameters = read_pss(algorithm)
    except DerError as fault:
        raise SchemeRefusedError(f"signature {algorithm} {fault}") from None
    named = f"signature {algorithm} with digest {oids.describe(parameters.digest.oid)}"
    if parameters.digest.oid not in accepted.digests:
        raise SchemeRefusedError(named)
    if parameters.mask_digest is not parameters.digest:
        # RFC 4055 §3.1 recommends one digest for both; nobody is known to use two, and the weaker one would count.
        raise SchemeRefusedError(f"{named} and MGF1 digest {oids.describe(parameters.mask_digest.oid)}")
    return _RsaPss(parameters), parameters.digest
