"""What validateRequest answers, derived from the request and its challenge: the first thing that is wrong."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import AttributeOID

from regalia.lab.challenge import ChallengeError
from regalia.lab.names import requested_sans, requested_subject

if TYPE_CHECKING:
    from regalia.lab.challenge import ChallengeService, Expected
    from regalia.lab.tenant import MintedChallenge, Tenant

__all__ = ["Verdict", "judge"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """An answer, and for whoever rehearses the reason."""

    code: str
    detail: str = ""
    request: bytes = b""
    challenge: MintedChallenge | None = None


def judge(service: ChallengeService, tenant: Tenant, transaction_id: str, encoded: str) -> Verdict:
    """Judge one request of a tenant: base64 of the DER of a PKCS #10."""
    try:
        der = base64.b64decode(encoded, validate=True)
        request = _request(der)
    except (binascii.Error, ValueError, x509.DuplicateExtension) as error:
        return Verdict("CertificateRequestDecodingFailed", str(error))
    try:
        expected = service.opened(tenant, _challenge(request))
        minted = _known(tenant, expected)
        _in_time(tenant, expected)
        _still_targeted(tenant, expected)
        _unused(tenant, expected, transaction_id)
        _as_expected(request, expected)
    except ChallengeError as error:
        return Verdict(error.code, error.detail, der)
    return Verdict("Success", "", der, minted)


def _request(der: bytes) -> x509.CertificateSigningRequest:
    request = x509.load_der_x509_csr(der)
    if request.public_bytes(Encoding.DER) != der or not request.is_signature_valid:
        raise ValueError("not signed with its own key")
    # These are read when they are asked for; here is where a failure belongs.
    _ = request.subject, request.extensions, request.attributes
    return request


def _challenge(request: x509.CertificateSigningRequest) -> str:
    try:
        value = request.attributes.get_attribute_for_oid(AttributeOID.CHALLENGE_PASSWORD).value
    except x509.AttributeNotFound as error:
        raise ChallengeError("ChallengePasswordMissing", "no challengePassword") from error
    return value.decode("utf-8", "replace")


def _in_time(tenant: Tenant, expected: Expected) -> None:
    now = tenant.clock()
    skew = timedelta(seconds=tenant.unverified.clock_skew_seconds)
    if expected.issued > now + skew or expected.expires <= expected.issued:
        raise ChallengeError("ChallengeInvalidTimestamp", f"made {expected.issued}, now {now}")
    if expected.expires <= now:
        raise ChallengeError("ChallengeExpired", f"until {expected.expires}, now {now}")


def _known(tenant: Tenant, expected: Expected) -> MintedChallenge:
    minted = tenant.challenges.get(expected.request_id)
    if minted is None:
        raise ChallengeError("BadCertificateRequestIdInChallenge", expected.request_id)
    if minted.managed_device_id != expected.device_id or tenant.managed.get(expected.device_id) is None:
        raise ChallengeError("BadDeviceIdInChallenge", expected.device_id)
    if minted.user_id != expected.user_id or (expected.user_id and tenant.users.get(expected.user_id) is None):
        raise ChallengeError("BadUserIdInChallenge", str(expected.user_id))
    return minted


def _still_targeted(tenant: Tenant, expected: Expected) -> None:
    profile = tenant.profiles.get(expected.profile_id)
    if profile is None or not tenant.is_targeted(profile, tenant.managed[expected.device_id]):
        raise ChallengeError("ScepProfileNoLongerTargetedToTheClient", expected.profile_id)


def _unused(tenant: Tenant, expected: Expected, transaction_id: str) -> None:
    if not tenant.unverified.single_use:
        return
    with tenant.lock:
        earlier = {
            one.transaction_id
            for one in tenant.validations
            if one.challenge is not None and one.challenge.request_id == expected.request_id
        }
    if earlier - {transaction_id}:
        raise ChallengeError(tenant.unverified.used_challenge, f"used in transaction {min(earlier)}")


def _as_expected(request: x509.CertificateSigningRequest, expected: Expected) -> None:
    _same_subject(request, expected)
    _same_sans(request, expected)
    _same_usage(request, expected)
    key = request.public_key()
    size = key.key_size if isinstance(key, rsa.RSAPublicKey) else 0
    if size != expected.key_size:
        raise ChallengeError("KeyLengthMismatch", f"RSA of {size} bits, not {expected.key_size}")
    if expected.needs_registered_key:
        if not expected.registered_keys:
            raise ChallengeError("AadKeyIdentifierListMissing", "the challenge lists no registered key")
        info = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        if base64.b64encode(hashlib.sha256(info).digest()).decode() not in expected.registered_keys:
            raise ChallengeError("RegisteredKeyMismatch", "the key is none of those that are registered")


def _same_subject(request: x509.CertificateSigningRequest, expected: Expected) -> None:
    asked = requested_subject(request)
    if expected.subject and not asked:
        raise ChallengeError("SubjectNameMissing", f"expected {expected.subject}")
    # Platforms disagree about the order of the attributes.
    if sorted(asked) != sorted(expected.subject):
        raise ChallengeError("SubjectNameMismatch", f"{asked}, expected {expected.subject}")


def _same_sans(request: x509.CertificateSigningRequest, expected: Expected) -> None:
    asked = requested_sans(request)
    wanted = {(kind, value.lower() if kind in {"DNS", "Email"} else value) for kind, value in expected.sans}
    if wanted and not asked:
        raise ChallengeError("SubjectAltNameMissing", f"expected {sorted(wanted)}")
    if asked != wanted:
        raise ChallengeError("SubjectAltNameMismatch", f"{sorted(asked)}, expected {sorted(wanted)}")


def _same_usage(request: x509.CertificateSigningRequest, expected: Expected) -> None:
    asked = _key_usages(request)
    if asked != set(expected.key_usage):
        raise ChallengeError("KeyUsageMismatch", f"{sorted(asked)}, expected {expected.key_usage}")
    try:
        purposes = {
            oid.dotted_string for oid in request.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        }
    except x509.ExtensionNotFound:
        purposes = set()
    if expected.ekus and not purposes:
        raise ChallengeError("EnhancedKeyUsageMissing", f"expected {expected.ekus}")
    if purposes != set(expected.ekus):
        raise ChallengeError("EnhancedKeyUsageMismatch", f"{sorted(purposes)}, expected {expected.ekus}")


def _key_usages(request: x509.CertificateSigningRequest) -> set[str]:
    try:
        usage = request.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return set()
    bits = {
        "digitalSignature": usage.digital_signature,
        "nonRepudiation": usage.content_commitment,
        "keyEncipherment": usage.key_encipherment,
        "dataEncipherment": usage.data_encipherment,
        "keyAgreement": usage.key_agreement,
        "keyCertSign": usage.key_cert_sign,
        "cRLSign": usage.crl_sign,
    }
    return {name for name, is_set in bits.items() if is_set}
