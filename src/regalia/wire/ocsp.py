"""OCSP (RFC 6960, RFC 5019, RFC 9654): requests read within bounds, responses written by a delegated responder."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Final

from regalia.errors import InvariantError
from regalia.model import RevocationReason
from regalia.wire import der, oids
from regalia.wire.certificate import Extension, SignatureAlgorithm, encode_extensions, key_identifier, read_extensions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

__all__ = [
    "MAX_CERT_IDS",
    "MAX_NONCE",
    "MAX_REQUEST",
    "CertId",
    "CertStatus",
    "OcspFault",
    "OcspRequest",
    "OcspStatus",
    "ResponderIdentity",
    "SingleAnswer",
    "build_response",
    "error_response",
    "issuer_hashes",
    "read_request",
]

MAX_REQUEST: Final = 4096
"""Octets (REV-6)."""
MAX_CERT_IDS: Final = 16
MAX_NONCE: Final = 128
"""Octets (RFC 9654 §2.1)."""

_ENUMERATED = 0x0A


class OcspStatus(IntEnum):
    """OCSPResponseStatus of RFC 6960 §4.2.1, the unsuccessful ones."""

    MALFORMED_REQUEST = 1
    INTERNAL_ERROR = 2
    TRY_LATER = 3
    SIG_REQUIRED = 5
    UNAUTHORIZED = 6


class OcspFault(Exception):  # noqa: N818 - a fault is what RFC 6960 lets us answer, not a failure of ours
    """The request gets no signed answer; `status` is what it gets instead."""

    def __init__(self, status: OcspStatus, detail: str) -> None:
        super().__init__(detail)
        self.status = status


# --- requests -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CertId:
    """Which certificate is asked about."""

    hash_oid: str
    name_hash: bytes
    """Of the issuer's DER Name."""
    key_hash: bytes
    """Of the issuer's subjectPublicKey bits."""
    serial: int
    raw: bytes
    """As asked: the answer repeats it octet for octet, or clients do not find it."""


@dataclass(frozen=True, slots=True)
class OcspRequest:
    """A request, without its optional signature, which nobody here asks for."""

    cert_ids: tuple[CertId, ...]
    nonce: bytes | None


def read_request(octets: bytes) -> OcspRequest:
    """Read an OCSPRequest of at most 4 KiB and 16 CertIDs with a nonce of at most 128 octets (REV-6).

    Raises `OcspFault` malformedRequest for everything else.
    """
    if len(octets) > MAX_REQUEST:
        raise OcspFault(OcspStatus.MALFORMED_REQUEST, f"{len(octets)} octets are more than {MAX_REQUEST}")
    try:
        return _read_request(octets)
    except der.DerError as error:
        raise OcspFault(OcspStatus.MALFORMED_REQUEST, str(error)) from None


def _read_request(octets: bytes) -> OcspRequest:
    outer = der.read_one(octets, der.SEQUENCE).children()
    if not 1 <= len(outer) <= 2 or (len(outer) == 2 and outer[1].tag != 0xA0):
        raise der.DerError("OCSPRequest is not a TBSRequest and perhaps a signature")
    parts = outer[0].expect(der.SEQUENCE).children()
    if parts and parts[0].tag == 0xA0 and der.read_one(parts.pop(0).content).as_integer() != 0:
        raise der.DerError("there is no such OCSP version")
    if parts and parts[0].tag == 0xA1:
        parts.pop(0)  # requestorName: nobody is refused or served for it
    if not 1 <= len(parts) <= 2:
        raise der.DerError("TBSRequest has no requestList or holds something else")
    requests = parts[0].expect(der.SEQUENCE).children()
    if not 1 <= len(requests) <= MAX_CERT_IDS:
        raise der.DerError(f"{len(requests)} CertIDs where 1 to {MAX_CERT_IDS} are allowed")
    cert_ids = tuple(_read_single_request(request) for request in requests)
    return OcspRequest(cert_ids, _read_nonce(parts[1]) if len(parts) == 2 else None)


def _read_single_request(request: der.Tlv) -> CertId:
    parts = request.expect(der.SEQUENCE).children()
    if not 1 <= len(parts) <= 2:
        raise der.DerError("Request is not a CertID and perhaps extensions")
    if len(parts) == 2:
        _refuse_critical(_read_explicit_extensions(parts[1], 0xA0))
    return _read_cert_id(parts[0])


def _read_cert_id(cert_id: der.Tlv) -> CertId:
    parts = cert_id.expect(der.SEQUENCE).children()
    if len(parts) != 4:
        raise der.DerError("CertID does not have four parts")
    algorithm = parts[0].expect(der.SEQUENCE).children()
    if not 1 <= len(algorithm) <= 2:
        raise der.DerError("AlgorithmIdentifier is not an identifier and perhaps parameters")
    return CertId(
        hash_oid=algorithm[0].as_oid(),
        name_hash=parts[1].expect(der.OCTET_STRING).content,
        key_hash=parts[2].expect(der.OCTET_STRING).content,
        serial=parts[3].as_integer(),
        raw=cert_id.raw,
    )


def _read_explicit_extensions(element: der.Tlv, tag: int) -> tuple[Extension, ...]:
    return read_extensions(der.read_one(element.expect(tag).content))


def _refuse_critical(extensions: Sequence[Extension]) -> None:
    if any(extension.critical for extension in extensions):
        raise der.DerError("a critical extension that we do not know")


def _read_nonce(element: der.Tlv) -> bytes | None:
    extensions = _read_explicit_extensions(element, 0xA2)
    _refuse_critical([extension for extension in extensions if extension.oid != oids.PKIX_OCSP_NONCE])
    for extension in extensions:
        if extension.oid == oids.PKIX_OCSP_NONCE:
            nonce = der.read_one(extension.value, der.OCTET_STRING).content
            if not 1 <= len(nonce) <= MAX_NONCE:
                raise der.DerError(f"a nonce of {len(nonce)} octets where 1 to {MAX_NONCE} are allowed")
            return nonce
    return None


def issuer_hashes(hash_oid: str, name: bytes, spki: bytes) -> tuple[bytes, bytes]:
    """Hash an issuer's Name and key as CertIDs do, by SHA-1 or SHA-256 (RFC 6960 §4.1.1). Raises `DerError`."""
    if hash_oid == oids.SHA1:
        return hashlib.sha1(name, usedforsecurity=False).digest(), key_identifier(spki)
    if hash_oid != oids.SHA256:
        raise der.DerError(f"CertIDs with {oids.describe(hash_oid)} are not looked up")
    key_bits = der.read_one(spki, der.SEQUENCE).children()[1].content[1:]
    return hashlib.sha256(name).digest(), hashlib.sha256(key_bits).digest()


# --- responses ------------------------------------------------------------------------------------------------------


class CertStatus(StrEnum):
    """CertStatus of RFC 6960 §4.2.1."""

    GOOD = "good"
    REVOKED = "revoked"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class SingleAnswer:
    """What is said about one certificate."""

    cert_id: CertId
    status: CertStatus
    this_update: datetime
    next_update: datetime
    revoked_at: datetime | None = None
    """Only and always with REVOKED."""
    reason: RevocationReason = RevocationReason.UNSPECIFIED


@dataclass(frozen=True, slots=True)
class ResponderIdentity:
    """Who signs: the delegated responder's certificate, its key hash (responderID byKey) and its algorithm."""

    certificate: bytes
    key_hash: bytes
    """SHA-1 of the responder's subjectPublicKey bits: its key identifier."""
    algorithm: SignatureAlgorithm = SignatureAlgorithm.ECDSA_SHA256


def build_response(
    answers: Sequence[SingleAnswer],
    *,
    responder: ResponderIdentity,
    produced_at: datetime,
    nonce: bytes | None,
    sign: Callable[[bytes], bytes],
) -> bytes:
    """Build a successful OCSPResponse that carries the responder's certificate.

    `sign` gets the DER ResponseData and returns the signature octets of the responder's algorithm.
    """
    data = der.sequence(
        der.context(2, der.octet_string(responder.key_hash)),
        _generalized_time(produced_at),
        der.sequence(*(_single_response(answer) for answer in answers)),
        b"" if nonce is None else der.context(1, _nonce_extensions(nonce)),
    )
    basic = der.sequence(
        data,
        responder.algorithm.identifier,
        der.bit_string(sign(data)),
        der.context(0, der.sequence(responder.certificate)),
    )
    response_bytes = der.sequence(der.oid(oids.PKIX_OCSP_BASIC), der.octet_string(basic))
    return der.sequence(der.tlv(_ENUMERATED, b"\x00"), der.context(0, response_bytes))


def error_response(status: OcspStatus) -> bytes:
    """Build an unsigned OCSPResponse that only says why there is no answer."""
    return der.sequence(der.tlv(_ENUMERATED, bytes((status,))))


def _nonce_extensions(nonce: bytes) -> bytes:
    return encode_extensions([Extension(oids.PKIX_OCSP_NONCE, critical=False, value=der.octet_string(nonce))])


def _single_response(answer: SingleAnswer) -> bytes:
    return der.sequence(
        answer.cert_id.raw,
        _cert_status(answer),
        _generalized_time(answer.this_update),
        der.context(0, _generalized_time(answer.next_update)),
    )


def _cert_status(answer: SingleAnswer) -> bytes:
    if answer.status is CertStatus.GOOD:
        return der.context(0, constructed=False)
    if answer.status is CertStatus.UNKNOWN:
        return der.context(2, constructed=False)
    if answer.revoked_at is None:
        raise InvariantError("a revoked answer without its time")
    reason = b""
    if answer.reason is not RevocationReason.UNSPECIFIED:
        reason = der.context(0, der.tlv(_ENUMERATED, bytes((answer.reason,))))
    return der.context(1, _generalized_time(answer.revoked_at), reason)


def _generalized_time(moment: datetime) -> bytes:
    return der.tlv(der.GENERALIZED_TIME, f"{moment.astimezone(UTC):%Y%m%d%H%M%SZ}".encode())
