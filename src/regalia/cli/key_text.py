"""Public keys in a word."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from regalia.wire import der, oids
from regalia.wire.public_key import key_algorithm

__all__ = ["key_text"]


def key_text(spki: bytes) -> str:
    """Name the kind of a DER SubjectPublicKeyInfo: `RSA-2048`, `P-256`, `Ed25519`, `ML-DSA-65`."""
    algorithm = key_algorithm(spki)
    if algorithm.oid == oids.RSA_ENCRYPTION:
        key = load_der_public_key(spki)
        return f"RSA-{key.key_size}" if isinstance(key, RSAPublicKey) else "RSA"
    curve = algorithm.parameters
    if algorithm.oid == oids.EC_PUBLIC_KEY and curve is not None and curve.tag == der.OID:
        return oids.describe(curve.as_oid())
    return oids.describe(algorithm.oid)
