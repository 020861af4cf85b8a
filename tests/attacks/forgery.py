"""What attackers send: requests and certificates made octet by octet, on top of `forge` and `scep_parts`."""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from test_refusals import fermat_key

from forge import REQUEST_NONCE, envelope
from regalia.wire import der, oids
from regalia.wire.algorithms import Cipher
from regalia.wire.certificate import Extension, encode_extensions
from regalia.wire.cms_build import build_enveloped
from regalia.wire.names import encode_name
from scep_parts import Identity, Request
from scep_parts import algorithm as algorithm_identifier
from scep_parts import attribute as attribute_of
from world import spki as spki_of_key

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cryptography.hazmat.primitives.asymmetric import rsa

    from world import Device

__all__ = [
    "certificate",
    "close_primes",
    "csr_of",
    "message_of",
    "raw_extension",
    "rdn",
    "request_of",
    "requested",
    "seal",
    "sha256_rsa",
]

sha256_rsa = algorithm_identifier(oids.SHA256_WITH_RSA)


@cache
def close_primes() -> rsa.RSAPrivateKey:
    """A key with close primes, made once: the search takes seconds."""
    return fermat_key()


def rdn(*pairs: tuple[str, bytes]) -> bytes:
    """One RelativeDistinguishedName of (type, encoded value)."""
    return der.tlv(der.SET, *(der.sequence(der.oid(oid), value) for oid, value in pairs))


def raw_extension(oid: str, value: bytes, *, critical: bool = False) -> bytes:
    """One Extension, encoded."""
    return Extension(oid, critical, value).encode()


def requested(*extensions: bytes, oid: str = oids.EXTENSION_REQUEST) -> bytes:
    """An extensionRequest attribute of encoded extensions."""
    return attribute_of(oid, der.sequence(*extensions))


def csr_of(
    device: Device,
    *attributes: bytes,
    challenge: str | None = None,
    subject: bytes | None = None,
    public_key: bytes | None = None,
    signature: bytes | None = None,
    algorithm: bytes = sha256_rsa,
) -> bytes:
    """A PKCS #10 request with any attributes, signed with the device's key unless a signature is given."""
    wanted = [*attributes]
    if challenge is not None:
        wanted.append(attribute_of(oids.CHALLENGE_PASSWORD, der.printable_string(challenge)))
    info = der.sequence(
        der.integer(0),
        encode_name(cn="laptop-1") if subject is None else subject,
        device.public_key() if public_key is None else public_key,
        der.context(0, *sorted(wanted)),
    )
    return der.sequence(info, algorithm, der.bit_string(device.sign(info) if signature is None else signature))


def request_of(device: Device, csr: bytes, **changes: object) -> Request:
    """A good PKCSReq of the device around a request, part by part; `changes` replace parts of it."""
    parts: dict[str, object] = {
        "content": envelope(device, csr),
        "signer": Identity(device.key, device.certificate or device.self_signed()),
        "values": {
            oids.CONTENT_TYPE: der.oid(oids.ID_DATA),
            oids.MESSAGE_TYPE: der.printable_string("19"),
            oids.TRANSACTION_ID: device.transaction.encoded,
            oids.SENDER_NONCE: der.octet_string(REQUEST_NONCE),
        },
    }
    return Request(**{**parts, **changes})  # type: ignore[arg-type]  # the caller names the fields


def message_of(device: Device, csr: bytes, **changes: object) -> bytes:
    """The message of `request_of`."""
    return request_of(device, csr, **changes).build()


def seal(device: Device, plaintext: bytes, content_key: bytes = bytes(32), iv: bytes = bytes(16)) -> bytes:
    """Encrypt for the endpoint's RA with AES-128 under a chosen content key."""
    door = device.world.store.door(device.endpoint)
    assert door is not None
    return build_enveloped(
        plaintext, recipient=door.ra.certificate_der, cipher=Cipher.AES128_CBC, content_key=content_key, iv=iv
    )


def certificate(
    issuer_key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
    public_key: bytes,
    *,
    issuer: bytes,
    subject: bytes,
    serial: int,
    device: Device,
    extensions: Iterable[Extension] = (),
) -> bytes:
    """A certificate that somebody else signed: valid now, and whatever it is asked to say."""
    now = device.world.clock.now()
    algorithm = (
        der.sequence(der.oid(oids.ECDSA_WITH_SHA256))
        if isinstance(issuer_key, ec.EllipticCurvePrivateKey)
        else sha256_rsa
    )
    wanted = encode_extensions([*extensions])
    tbs = der.sequence(
        der.context(0, der.integer(2)),
        der.integer(serial),
        algorithm,
        issuer,
        der.sequence(der.time(now - timedelta(days=1)), der.time(now + timedelta(days=300))),
        subject,
        public_key or spki_of_key(issuer_key),
        der.context(3, wanted) if extensions else b"",
    )
    signature = (
        issuer_key.sign(tbs, ec.ECDSA(hashes.SHA256()))
        if isinstance(issuer_key, ec.EllipticCurvePrivateKey)
        else issuer_key.sign(tbs, padding.PKCS1v15(), hashes.SHA256())
    )
    return der.sequence(tbs, algorithm, der.bit_string(signature))
