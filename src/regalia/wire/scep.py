"""SCEP messages (RFC 8894 §3): a request in, checked in the order of security.md §3; a reply out.

    read_message      steps 1 and 2: is it a SignedData at all, and can a refusal be addressed?
    verify_message    steps 3 to 5: algorithms in clear, attributes, digest, signature
    cms.encrypted_key_for, cms.decrypt_content    step 7
    build_success, build_pending, build_failure   the CertRep

Nothing here decides who may have a certificate. Only `PeerError` leaves the readers, whatever the bytes (IN-1).
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Final

from regalia import reasons
from regalia.errors import PeerError, Stage
from regalia.wire import cms, der, oids, tlv
from regalia.wire.algorithms import STANDARD
from regalia.wire.boundary import reading
from regalia.wire.certificate import read_certificate, read_time
from regalia.wire.cms import EnvelopedData, SignedData, SignerInfo
from regalia.wire.cms_build import attribute, build_enveloped, build_signed
from regalia.wire.der import DerError
from regalia.wire.public_key import PURE_KEYS, key_algorithm, key_fault, load_public_key
from regalia.wire.rsa_parameters import read_oaep
from regalia.wire.signature import SchemeRefusedError, signer_scheme

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from regalia.errors import Reason
    from regalia.wire.algorithms import Accepted, AlgorithmIdentifier, Cipher, Digest
    from regalia.wire.certificate import CertificateFacts
    from regalia.wire.cms_build import PasswordRecipient
    from regalia.wire.signature import Scheme

__all__ = [
    "FailInfo",
    "MessageType",
    "PkiMessage",
    "PkiStatus",
    "RawMessage",
    "SignedAttributes",
    "Transaction",
    "build_failure",
    "build_next_ca",
    "build_pending",
    "build_success",
    "capabilities",
    "check_signature",
    "judge_envelope",
    "judge_sealed",
    "read_message",
    "verify_message",
]

_MAX_TRANSACTION: Final = 255
_MAX_NONCE: Final = 64
_TEXT_CODECS: Final = {der.PRINTABLE_STRING: "ascii", der.IA5_STRING: "ascii", der.UTF8_STRING: "utf-8"}
_CAPABILITIES: Final = ("POSTPKIOperation", "Renewal", "SHA-256", "SHA-384", "SHA-512", "AES", "SCEPStandard")
_LEGACY_CAPABILITIES: Final = ("SHA-1", "DES3")


class MessageType(StrEnum):
    """messageType (RFC 8894 §3.2.1.2), compared as octets (IN-7)."""

    CERT_REP = "3"
    RENEWAL_REQ = "17"
    PKCS_REQ = "19"
    CERT_POLL = "20"
    GET_CERT = "21"
    GET_CRL = "22"


class PkiStatus(StrEnum):
    """pkiStatus (RFC 8894 §3.2.1.3)."""

    SUCCESS = "0"
    FAILURE = "2"
    PENDING = "3"


class FailInfo(IntEnum):
    """failInfo (RFC 8894 §3.2.1.4)."""

    BAD_ALG = 0
    BAD_MESSAGE_CHECK = 1
    BAD_REQUEST = 2
    BAD_TIME = 3
    BAD_CERT_ID = 4


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transactionID, to be echoed octet for octet under its own tag (R7)."""

    octets: bytes
    tag: int = der.PRINTABLE_STRING

    @property
    def text(self) -> str:
        """For people; never to compare with."""
        return self.octets.decode("utf-8", "backslashreplace")

    @property
    def encoded(self) -> bytes:
        """The value of the attribute."""
        return der.tlv(self.tag, self.octets)


@dataclass(frozen=True, slots=True)
class SignedAttributes:
    """The signed attributes of the one signer, by type; each stands once."""

    values: dict[str, list[der.Tlv]]

    def one(self, oid: str, tag: int) -> der.Tlv:
        """The single value of an attribute that must be there with this tag. Raises `PeerError` ATTRIBUTES_REFUSED."""
        values = self.values.get(oid, [])
        if len(values) != 1 or values[0].tag != tag:
            fault = "is missing" if not values else "has several values" if len(values) > 1 else "is of the wrong type"
            raise PeerError(reasons.ATTRIBUTES_REFUSED, f"{oids.describe(oid)} {fault}")
        return values[0]

    def maybe(self, oid: str) -> der.Tlv | None:
        """The single value of an attribute; None where it is missing or has several."""
        values = self.values.get(oid, [])
        return values[0] if len(values) == 1 else None


@dataclass(frozen=True, slots=True)
class RawMessage:
    """A message after steps 1 and 2: structure only, nothing verified."""

    signed_data: SignedData
    attributes: SignedAttributes | None
    """None unless exactly one signer has signed attributes, each once."""
    attributes_fault: str
    """Why they are None, for the administrator."""
    transaction: Transaction | None
    """None where it is not trustworthy (R6): then there is no CertRep, only HTTP 400."""
    sender_nonce: bytes | None
    """1 to 64 octets."""
    digest: Digest | None
    """The signer's digest where it is allowed: what a refusal is signed with."""


@dataclass(frozen=True, slots=True)
class PkiMessage:
    """A message whose outer signature holds. The signer is still a stranger."""

    transaction: Transaction
    message_type: str
    """The octets as sent, not looked up (MSG-1 is the caller's)."""
    sender_nonce: bytes
    signing_time: datetime | None
    """None where absent or not readable: it is only audited (R6)."""
    digest: Digest
    signer: bytes
    """The signer's certificate, DER as sent."""
    signer_facts: CertificateFacts
    enveloped: EnvelopedData


# --- steps 1 and 2 --------------------------------------------------------------------------------------------------


def read_message(body: bytes, accepted: Accepted = STANDARD, *, limits: tlv.Limits = tlv.SCEP_LIMITS) -> RawMessage:
    """Read the outer structure within the bounds of IN-3. Raises `PeerError` of stage MESSAGE.

    `accepted` only says which digests a refusal may be signed with.
    """
    with reading(reasons.STRUCTURE_REFUSED):
        content_type, element = cms.read_content_info(body, limits)
        if content_type != oids.ID_SIGNED_DATA:
            raise PeerError(reasons.NOT_SIGNED_DATA, f"it is {oids.describe(content_type)}")
        signed_data = cms.read_signed_data(element)
        if signed_data.content_type != oids.ID_DATA:
            raise PeerError(reasons.NOT_SIGNED_DATA, f"its content is {oids.describe(signed_data.content_type)}")
        attributes, fault = _read_signed_attributes(signed_data)
        signers = signed_data.signers
        return RawMessage(
            signed_data=signed_data,
            attributes=attributes,
            attributes_fault=fault,
            transaction=_read_transaction(attributes),
            sender_nonce=_read_nonce(attributes),
            digest=accepted.digests.get(signers[0].digest.oid) if len(signers) == 1 else None,
        )


def _read_signed_attributes(signed_data: SignedData) -> tuple[SignedAttributes | None, str]:
    """Read the signed attributes; a fault in them is a signed FAILURE later (R6), so it does not raise here."""
    if len(signed_data.signers) != 1:
        return None, "there is not exactly one signer"
    signed_attributes = signed_data.signers[0].signed_attributes
    if signed_attributes is None:
        return None, "signedAttrs are missing"  # SIG-2: never a signature over the bare content
    try:
        return SignedAttributes(cms.read_attributes(der.read_one(signed_attributes).content)), ""
    except DerError as fault:
        return None, str(fault)


def _read_transaction(attributes: SignedAttributes | None) -> Transaction | None:
    value = attributes.maybe(oids.TRANSACTION_ID) if attributes else None
    if value is None or value.tag not in _TEXT_CODECS or not 1 <= len(value.content) <= _MAX_TRANSACTION:
        return None
    try:
        printable = value.content.decode(_TEXT_CODECS[value.tag]).isprintable()
    except UnicodeDecodeError:
        return None
    return Transaction(value.content, value.tag) if printable else None


def _read_nonce(attributes: SignedAttributes | None) -> bytes | None:
    value = attributes.maybe(oids.SENDER_NONCE) if attributes else None
    if value is None or value.tag != der.OCTET_STRING or not 1 <= len(value.content) <= _MAX_NONCE:
        return None
    return value.content


# --- steps 3 to 5 ---------------------------------------------------------------------------------------------------


def verify_message(raw: RawMessage, accepted: Accepted = STANDARD) -> PkiMessage:
    """Check algorithms, attributes, digest and signature, in this order; `accepted` says which algorithms (R1).

    Raises `PeerError` of stage ALGORITHM or SIGNATURE; TRANSACTION_UNTRUSTED (MESSAGE) where everything before it
    held. A caller answers HTTP 400 whenever `raw.transaction` is None, whatever the reason.
    """
    with reading(reasons.ATTRIBUTES_REFUSED):
        signer = _only_signer(raw.signed_data)
        certificate, facts = _signer_certificate(raw.signed_data, signer)
        digest, scheme, enveloped = _check_algorithms(raw.signed_data, signer, facts, accepted)
        transaction, nonce, message_type = _check_attributes(raw)
        check_signature(raw, digest, scheme, facts.public_key, accepted)
        return PkiMessage(
            transaction=transaction,
            message_type=message_type,
            sender_nonce=nonce,
            signing_time=_read_signing_time(raw),
            digest=digest,
            signer=certificate,
            signer_facts=facts,
            enveloped=enveloped,
        )


def _only_signer(signed_data: SignedData) -> SignerInfo:
    if len(signed_data.signers) != 1:
        raise PeerError(reasons.SIGNER_COUNT, f"{len(signed_data.signers)} signers")
    return signed_data.signers[0]


def _signer_certificate(signed_data: SignedData, signer: SignerInfo) -> tuple[bytes, CertificateFacts]:
    """Find the certificate that the whole sid names; the others are only a pool and may be unreadable (SIG-3)."""
    found: list[tuple[bytes, CertificateFacts]] = []
    unreadable = 0
    for certificate in dict.fromkeys(signed_data.certificates):
        try:
            facts = read_certificate(certificate)
        except DerError:
            unreadable += 1
            continue
        if cms.names_certificate(signer.sid, issuer=facts.issuer, serial=facts.serial, ski=facts.ski):
            found.append((certificate, facts))
    if len(found) != 1:
        pool = f"{len(signed_data.certificates)} certificates, {unreadable} of them unreadable"
        raise PeerError(reasons.SIGNER_CERTIFICATE_MISSING, f"{len(found)} match the signer among {pool}")
    return found[0]


def _check_algorithms(
    signed_data: SignedData, signer: SignerInfo, facts: CertificateFacts, accepted: Accepted
) -> tuple[Digest, Scheme, EnvelopedData]:
    """Judge all algorithms, so that the administrator reads everything that is wrong with a client at once (R1)."""
    faults: list[tuple[Reason, str]] = []
    digest = accepted.digests.get(signer.digest.oid) if signer.digest.plain else None
    if digest is None:
        faults.append((reasons.DIGEST_REFUSED, f"digest {signer.digest}"))
    scheme = _judge_signature(signer.signature_algorithm, digest, facts, accepted, faults)
    try:
        enveloped = judge_envelope(signed_data.content or b"", accepted)
    except PeerError as fault:
        if fault.reason.stage is Stage.ALGORITHM or not faults:
            faults.append((fault.reason, fault.detail))
        enveloped = None
    if faults or digest is None or scheme is None or enveloped is None:
        raise PeerError(faults[0][0], "; ".join(detail for _, detail in faults))
    return digest, scheme, enveloped


def _judge_signature(
    algorithm: AlgorithmIdentifier,
    digest: Digest | None,
    facts: CertificateFacts,
    accepted: Accepted,
    faults: list[tuple[Reason, str]],
) -> Scheme | None:
    """Find the scheme, which must be the one of the signer's key; what is wrong is added to `faults`."""
    scheme = None
    try:
        scheme = signer_scheme(algorithm, digest, accepted)
    except SchemeRefusedError as fault:
        faults.append((reasons.SIGNATURE_ALGORITHM_REFUSED, str(fault)))
    with reading(reasons.SIGNER_CERTIFICATE_MISSING):
        key = key_algorithm(facts.public_key)
    if key.oid != oids.RSA_ENCRYPTION and not (
        accepted.non_rsa and (key.oid == oids.EC_PUBLIC_KEY or key.oid in PURE_KEYS)
    ):
        faults.append((reasons.SIGNATURE_ALGORITHM_REFUSED, f"signer's key {key}"))
    elif scheme is not None and scheme.key_oid != key.oid:
        faults.append((reasons.SIGNATURE_ALGORITHM_REFUSED, f"signature {algorithm} by a key {key}"))
    return scheme


def judge_envelope(content: bytes, accepted: Accepted = STANDARD) -> EnvelopedData:
    """Read the content as EnvelopedData and judge its algorithms, all in clear (ENV-5).

    Raises `PeerError` KEY_TRANSPORT_REFUSED, CIPHER_REFUSED or ENVELOPE_STRUCTURE_REFUSED.
    """
    with reading(reasons.ENVELOPE_STRUCTURE_REFUSED):
        return judge_sealed(cms.read_sealed_content(content), accepted)


def judge_sealed(sealed: cms.SealedContent, accepted: Accepted = STANDARD) -> EnvelopedData:
    """Judge the algorithms of EnvelopedData that was read. Raises as `judge_envelope` does, or `DerError`."""
    faults: list[tuple[Reason, str]] = []
    recipients = tuple([_judge_recipient(recipient, faults) for recipient in sealed.recipients])
    cipher = accepted.ciphers.get(sealed.cipher.oid)
    if cipher is None:
        faults.append((reasons.CIPHER_REFUSED, f"content cipher {sealed.cipher}"))
    if faults or cipher is None:
        raise PeerError(faults[0][0], "; ".join(detail for _, detail in faults))
    iv = sealed.cipher.parameters
    if iv is None or len(iv.expect(der.OCTET_STRING).content) != cipher.block_octets:
        raise DerError(f"the IV is not {cipher.block_octets} octets")
    return EnvelopedData(recipients, cipher, iv.content, sealed.ciphertext)


def _judge_recipient(recipient: cms.Recipient, faults: list[tuple[Reason, str]]) -> cms.Recipient:
    """Every recipient must use a key transport that we know: no client sends a second one of another kind."""
    algorithm = recipient.algorithm
    if algorithm is None:
        faults.append((reasons.KEY_TRANSPORT_REFUSED, f"recipient of kind {recipient.kind}"))
    elif algorithm.oid == oids.RSAES_OAEP:
        try:
            return replace(recipient, oaep=read_oaep(algorithm))
        except DerError as fault:
            faults.append((reasons.KEY_TRANSPORT_REFUSED, f"key transport {algorithm} {fault}"))
    elif algorithm.oid != oids.RSA_ENCRYPTION or not algorithm.plain:
        faults.append((reasons.KEY_TRANSPORT_REFUSED, f"key transport {algorithm}"))
    return recipient


def _check_attributes(raw: RawMessage) -> tuple[Transaction, bytes, str]:
    attributes = raw.attributes
    if attributes is None:
        raise PeerError(reasons.ATTRIBUTES_REFUSED, raw.attributes_fault)
    if attributes.one(oids.CONTENT_TYPE, der.OID).as_oid() != oids.ID_DATA:
        raise PeerError(reasons.ATTRIBUTES_REFUSED, "contentType is not id-data")
    message_type = attributes.one(oids.MESSAGE_TYPE, der.PRINTABLE_STRING).content
    attributes.one(oids.SENDER_NONCE, der.OCTET_STRING)
    if raw.sender_nonce is None:
        raise PeerError(reasons.ATTRIBUTES_REFUSED, f"senderNonce has not 1 to {_MAX_NONCE} octets")
    if raw.transaction is None:
        raise PeerError(reasons.TRANSACTION_UNTRUSTED)
    return raw.transaction, raw.sender_nonce, message_type.decode("ascii", "backslashreplace")


def _read_signing_time(raw: RawMessage) -> datetime | None:
    value = raw.attributes.maybe(oids.SIGNING_TIME) if raw.attributes else None
    try:
        return None if value is None else read_time(value)
    except DerError:
        return None


def check_signature(
    raw: RawMessage, digest: Digest, scheme: Scheme, public_key: bytes, accepted: Accepted = STANDARD
) -> None:
    """Check messageDigest, then the bounds of the signer's key (KEY-1), then the signature (step 5).

    `public_key` is a DER SubjectPublicKeyInfo. Raises `PeerError` of stage SIGNATURE.
    """
    if raw.attributes is None:
        raise PeerError(reasons.ATTRIBUTES_REFUSED, raw.attributes_fault)
    signer = _only_signer(raw.signed_data)
    claimed = raw.attributes.one(oids.MESSAGE_DIGEST, der.OCTET_STRING).content
    if not hmac.compare_digest(claimed, digest.of(raw.signed_data.content or b"")):
        raise PeerError(reasons.DIGEST_MISMATCH)
    with reading(reasons.SIGNER_KEY_REFUSED):
        fault = key_fault(public_key, accepted)
        if fault is not None:
            raise PeerError(reasons.SIGNER_KEY_REFUSED, fault)
        key = load_public_key(public_key)
    for octets in cms.signed_octets(signer.signed_attributes or b""):
        if scheme.holds(key, signer.signature, octets):
            return
    raise PeerError(reasons.SIGNATURE_INVALID)


# --- replies --------------------------------------------------------------------------------------------------------


def build_success(  # noqa: PLR0913 - each is a part of the message, and all are named at the call
    *,
    transaction: Transaction,
    recipient_nonce: bytes,
    sender_nonce: bytes,
    digest: Digest,
    cipher: Cipher,
    content: bytes,
    recipient: bytes | PasswordRecipient,
    content_key: bytes,
    iv: bytes,
    ra_certificate: bytes,
    sign: Callable[[bytes], bytes],
) -> bytes:
    """Build a CertRep SUCCESS around `content`, which `cms.certs_only` or `cms_build.crl_only` made.

    `recipient` is the request's signing certificate, or a secret where its key cannot decrypt; `content_key` has at
    least `cipher.key_octets` random octets, `iv` 16. `sign` gets the DER SET OF signedAttrs and returns an RSA
    PKCS #1 v1.5 signature with `digest`.
    """
    content = build_enveloped(content, recipient=recipient, cipher=cipher, content_key=content_key, iv=iv)
    attributes = _reply_attributes(PkiStatus.SUCCESS, transaction, recipient_nonce, sender_nonce)
    return build_signed(content, attributes=attributes, digest=digest, certificate=ra_certificate, sign=sign)


def build_pending(
    *,
    transaction: Transaction,
    recipient_nonce: bytes,
    sender_nonce: bytes,
    digest: Digest,
    ra_certificate: bytes,
    sign: Callable[[bytes], bytes],
) -> bytes:
    """Build a CertRep PENDING; certmonger needs the zero-length eContent to see that it waits."""
    attributes = _reply_attributes(PkiStatus.PENDING, transaction, recipient_nonce, sender_nonce)
    return build_signed(b"", attributes=attributes, digest=digest, certificate=ra_certificate, sign=sign)


def build_failure(
    *,
    transaction: Transaction,
    recipient_nonce: bytes | None,
    sender_nonce: bytes,
    digest: Digest,
    fail_info: FailInfo,
    fail_info_text: str | None,
    ra_certificate: bytes,
    sign: Callable[[bytes], bytes],
) -> bytes:
    """Build a CertRep FAILURE; `recipient_nonce` is None where the request had no usable senderNonce."""
    attributes = [
        *_reply_attributes(PkiStatus.FAILURE, transaction, recipient_nonce, sender_nonce),
        attribute(oids.FAIL_INFO, der.printable_string(str(int(fail_info)))),
    ]
    if fail_info_text is not None:
        attributes.append(attribute(oids.FAIL_INFO_TEXT, der.utf8_string(fail_info_text)))
    return build_signed(b"", attributes=attributes, digest=digest, certificate=ra_certificate, sign=sign)


def build_next_ca(
    certificates: Sequence[bytes], *, digest: Digest, ra_certificate: bytes, sign: Callable[[bytes], bytes]
) -> bytes:
    """Build the answer to GetNextCACert (RFC 8894 §4.7.1): SignedData over a certs-only message, no SCEP attributes.

    The certificates are DER, in the order of GetCACert, which is kept.
    """
    content = cms.certs_only(certificates, ordered=True)
    return build_signed(content, attributes=(), digest=digest, certificate=ra_certificate, sign=sign)


def _reply_attributes(
    status: PkiStatus, transaction: Transaction, recipient_nonce: bytes | None, sender_nonce: bytes
) -> list[bytes]:
    attributes = [
        attribute(oids.MESSAGE_TYPE, der.printable_string(MessageType.CERT_REP)),
        attribute(oids.PKI_STATUS, der.printable_string(status)),
        attribute(oids.TRANSACTION_ID, transaction.encoded),
        attribute(oids.SENDER_NONCE, der.octet_string(sender_nonce)),
    ]
    if recipient_nonce is not None:
        attributes.append(attribute(oids.RECIPIENT_NONCE, der.octet_string(recipient_nonce)))
    return attributes


def capabilities(accepted: Accepted = STANDARD, *, next_ca: bool = False) -> bytes:
    """Write the body of GetCACaps (R1): one keyword a line, LF; SHA-384 because strongSwan 5.9 insists on it.

    Keys that are not RSA have no keyword: a client knows by its configuration where they are taken.
    """
    keywords = [*_CAPABILITIES, *(_LEGACY_CAPABILITIES if accepted.legacy else ())]
    if next_ca:
        keywords.append("GetNextCACert")
    return "".join(f"{keyword}\n" for keyword in keywords).encode()
