"""Compact JWS with RSA, by hand: each thing that can be wrong with an assertion has an answer of its own."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

__all__ = ["Jws", "JwsError", "decode", "encode", "is_signed_by", "thumbprints", "unpadded"]


class JwsError(Exception):
    """These octets are no compact JWS of JSON objects."""


@dataclass(frozen=True, slots=True)
class Jws:
    """What was signed, and how, before anybody believes it."""

    header: dict[str, Any]
    claims: dict[str, Any]
    signed: bytes
    signature: bytes


def unpadded(octets: bytes) -> str:
    """Encode as base64url without padding."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def _octets(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _object(octets: bytes) -> dict[str, Any]:
    value = json.loads(octets)
    if not isinstance(value, dict):
        raise JwsError("not an object")
    return value


def encode(header: Mapping[str, object], claims: Mapping[str, object], key: RSAPrivateKey) -> str:
    """Sign claims with RS256."""
    first, second = (unpadded(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
    signed = f"{first}.{second}".encode()
    return f"{first}.{second}.{unpadded(key.sign(signed, padding.PKCS1v15(), hashes.SHA256()))}"


def decode(token: str) -> Jws:
    """Take a token apart; `JwsError` where it is none."""
    parts = token.split(".")
    if len(parts) != 3:
        raise JwsError("not three parts")
    try:
        header, claims = (_object(_octets(part)) for part in parts[:2])
        return Jws(header, claims, f"{parts[0]}.{parts[1]}".encode(), _octets(parts[2]))
    except (binascii.Error, ValueError) as error:
        raise JwsError(str(error)) from error


def is_signed_by(jws: Jws, key: RSAPublicKey) -> bool:
    """Verify RS256 or PS256, as the header says; every other algorithm is no signature."""
    schemes: dict[object, padding.AsymmetricPadding] = {
        "RS256": padding.PKCS1v15(),
        "PS256": padding.PSS(padding.MGF1(hashes.SHA256()), 32),
    }
    scheme = schemes.get(jws.header.get("alg"))
    if scheme is None:
        return False
    try:
        key.verify(jws.signature, jws.signed, scheme, hashes.SHA256())
    except InvalidSignature:
        return False
    return True


def thumbprints(der: bytes) -> dict[str, str]:
    """Return how a header names this certificate."""
    sha1 = hashlib.sha1(der, usedforsecurity=False).digest()
    return {"x5t": unpadded(sha1), "x5t#S256": unpadded(hashlib.sha256(der).digest())}
