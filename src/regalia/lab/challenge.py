"""Challenges as a managed device gets them: what is expected of its request, encrypted, signed, base64.

The exact form of Microsoft's is not public (unverified); ours has the published layers, an EnvelopedData inside a
SignedData, so that whoever carries it carries as many octets of as strange a kind.
"""

from __future__ import annotations

import base64
import binascii
import json
import secrets
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.ciphers import algorithms
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509.oid import NameOID

from regalia.lab.der import DerError, is_intact, signed_data
from regalia.lab.names import rendered, subject_of, variables
from regalia.lab.tenant import MintedChallenge

if TYPE_CHECKING:
    from regalia.lab.directory import ManagedDevice, ScepProfile
    from regalia.lab.tenant import Tenant

__all__ = ["ChallengeError", "ChallengeService", "Expected", "mint", "rendered_names", "sealed"]

_LIFETIME: Final = timedelta(hours=1)


class ChallengeError(Exception):
    """The challenge cannot be believed; `code` is what validateRequest answers."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Expected:
    """What a challenge holds."""

    request_id: str
    device_id: str
    user_id: str | None
    profile_id: str
    subject: list[tuple[str, str]]
    sans: list[tuple[str, str]]
    key_usage: list[str]
    ekus: list[str]
    key_size: int
    needs_registered_key: bool
    registered_keys: list[str]
    issued: datetime
    expires: datetime


class ChallengeService:
    """What is behind challenges: a key that signs for all tenants, and a certificate of each tenant to encrypt to.

    The certificates have one key, since making one takes long; whose challenge it is, their serials tell apart.
    """

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = _certificate(self.key, self.key, "Intune SCEP challenge signing")
        self._recipient = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._tenants: dict[str, x509.Certificate] = {}

    def recipient(self, tenant: Tenant) -> tuple[rsa.RSAPrivateKey, x509.Certificate]:
        """Return what a tenant's challenges are encrypted to, and its key."""
        if tenant.id not in self._tenants:
            self._tenants[tenant.id] = _certificate(self._recipient, self.key, f"SCEP challenges of {tenant.id}")
        return self._recipient, self._tenants[tenant.id]

    def opened(self, tenant: Tenant, challenge: str) -> Expected:
        """Verify, decrypt and read a challenge; a `ChallengeError` says which of these it failed."""
        try:
            signed = signed_data(base64.b64decode(challenge, validate=True))
        except (binascii.Error, ValueError, DerError) as error:
            raise ChallengeError("ChallengeDecodingError", f"no base64 of a SignedData: {error}") from error
        if not is_intact(signed):
            raise ChallengeError("SignatureValidationFailed", "the signature is not of this content")
        if signed.certificate != self.certificate:
            raise ChallengeError("SigningCertThumbprintMismatch", "somebody else signed it")
        key, certificate = self.recipient(tenant)
        try:
            content = pkcs7.pkcs7_decrypt_der(signed.content, certificate, key, [])
        except ValueError as error:
            raise ChallengeError("ChallengeDecryptionError", f"not for this tenant: {error}") from error
        try:
            return _expected(json.loads(content))
        except (ValueError, KeyError, TypeError) as error:
            raise ChallengeError("ChallengeDeserializationError", f"unreadable content: {error!r}") from error


def _certificate(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, issuer: ec.EllipticCurvePrivateKey, name: str
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Intune SCEP challenge signing")]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.fromisoformat("2026-01-01T00:00:00+00:00"))
        .not_valid_after(datetime.fromisoformat("2099-01-01T00:00:00+00:00"))
        .sign(issuer, hashes.SHA256())
    )


def rendered_names(
    tenant: Tenant, managed: ManagedDevice, profile: ScepProfile
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return subject and alternative names that a device is to ask for; a `ValueError` where it has no user."""
    user = tenant.users.get(managed.user_id) if managed.user_id else None
    if profile.for_user and user is None:
        raise ValueError(f"{managed.name} has no user")
    values = variables(managed, tenant.entra_device_of(managed), user if profile.for_user else None)
    return subject_of(profile.subject, values), [(kind, rendered(text, values)) for kind, text in profile.sans]


def mint(
    service: ChallengeService,
    tenant: Tenant,
    managed: ManagedDevice,
    profile: ScepProfile,
    lifetime: timedelta | None = None,
) -> str:
    """Make the challenge that a device would get with a profile; a `ValueError` where the profile is not for it.

    Without a `lifetime` it lives as long as the tenant's challenges do.
    """
    if not tenant.is_targeted(profile, managed):
        raise ValueError(f"the profile {profile.name} is not assigned to {managed.name}")
    user = tenant.users.get(managed.user_id) if managed.user_id else None
    subject, sans = rendered_names(tenant, managed, profile)
    now = tenant.clock()
    expires = now + (tenant.challenge_life if lifetime is None else lifetime)
    minted = MintedChallenge(str(uuid.uuid4()), managed.id, user.id if user else None, profile.id)
    expected = Expected(
        request_id=minted.request_id,
        device_id=managed.id,
        user_id=minted.user_id,
        profile_id=profile.id,
        subject=subject,
        sans=sans,
        key_usage=sorted(profile.key_usage),
        ekus=sorted(profile.ekus),
        key_size=profile.key_size,
        needs_registered_key=profile.registered_key,
        registered_keys=list(managed.registered_keys),
        # One that is over already was made before its end, as a device has it that comes late.
        issued=min(now, expires - _LIFETIME),
        expires=expires,
    )
    with tenant.lock:
        tenant.challenges[minted.request_id] = minted
    return sealed(service, tenant, _document(expected))


def sealed(service: ChallengeService, tenant: Tenant, document: object) -> str:
    """Encrypt a document to a tenant and sign the result: a challenge, whatever the document is."""
    _, recipient = service.recipient(tenant)
    enveloped = (
        pkcs7.PKCS7EnvelopeBuilder()
        .set_data(json.dumps(document).encode())
        .add_recipient(recipient)
        .set_content_encryption_algorithm(algorithms.AES256)
        .encrypt(Encoding.DER, [pkcs7.PKCS7Options.Binary])
    )
    signed = (
        pkcs7.PKCS7SignatureBuilder()
        .set_data(enveloped)
        .add_signer(service.certificate, service.key, hashes.SHA256())
        .sign(Encoding.DER, [pkcs7.PKCS7Options.Binary, pkcs7.PKCS7Options.NoCapabilities])
    )
    return base64.b64encode(signed).decode()


def _document(expected: Expected) -> dict[str, Any]:
    return {
        "version": 1,
        "certificateRequestId": expected.request_id,
        "deviceId": expected.device_id,
        "userId": expected.user_id,
        "profileId": expected.profile_id,
        "subjectName": expected.subject,
        "subjectAlternativeNames": expected.sans,
        "keyUsage": expected.key_usage,
        "enhancedKeyUsage": expected.ekus,
        "keyLength": expected.key_size,
        "aadKeyIdentifierRequired": expected.needs_registered_key,
        "aadKeyIdentifierList": expected.registered_keys,
        "timestamp": expected.issued.isoformat(),
        "expires": expected.expires.isoformat(),
        "nonce": secrets.token_hex(16),
    }


def _expected(document: dict[str, Any]) -> Expected:
    return Expected(
        request_id=document["certificateRequestId"],
        device_id=document["deviceId"],
        user_id=document["userId"],
        profile_id=document["profileId"],
        subject=[(oid, value) for oid, value in document["subjectName"]],
        sans=[(kind, value) for kind, value in document["subjectAlternativeNames"]],
        key_usage=list(document["keyUsage"]),
        ekus=list(document["enhancedKeyUsage"]),
        key_size=int(document["keyLength"]),
        needs_registered_key=bool(document["aadKeyIdentifierRequired"]),
        registered_keys=list(document["aadKeyIdentifierList"]),
        issued=datetime.fromisoformat(document["timestamp"]),
        expires=datetime.fromisoformat(document["expires"]),
    )
