"""The device's side of SCEP (RFC 8894 §3): requests out, replies in.

A reply is believed only when a certificate that the caller already trusts signed it; the certificates that come with
it are not looked at (SIG-3). Every fault is `PeerError` CLIENT_REPLY_REFUSED with a detail that says which.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from regalia import reasons
from regalia.errors import PeerError
from regalia.wire import cms, der, oids, tlv
from regalia.wire.algorithms import STANDARD, Accepted
from regalia.wire.boundary import reading
from regalia.wire.certificate import CertificateFacts, read_certificate
from regalia.wire.cms_build import attribute, build_enveloped, build_signed
from regalia.wire.public_key import key_algorithm
from regalia.wire.pwri import open_password_recipient
from regalia.wire.scep import (
    FailInfo,
    MessageType,
    PkiStatus,
    RawMessage,
    SignedAttributes,
    Transaction,
    check_signature,
    judge_sealed,
    read_message,
)
from regalia.wire.signature import SchemeRefusedError, signer_scheme

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from regalia.wire.algorithms import Cipher, Digest

__all__ = [
    "Reply",
    "build_request",
    "issuer_and_serial",
    "issuer_and_subject",
    "parse_capabilities",
    "read_certs_only",
    "read_crl_reply",
    "read_next_ca",
    "read_reply",
]

_MAX_FAIL_INFO_TEXT = 1024
_NO_SPARE_KEY = bytes(32)
"""Nobody watches how a client fails to decrypt, so the spare key need not be secret."""
_SIGNED_BY: Final = Accepted(non_rsa=True)
"""What a server may sign with: other products sign with a CA's key that is not RSA."""
_REPLY_LIMITS: Final = replace(tlv.SCEP_LIMITS, octets=1 << 24, elements=1 << 21)
"""Bounds of what a server sends, which may be a CRL: it is bounded by whom we ask, not by who asks us."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A CertRep whose signature, transaction and nonce hold."""

    status: PkiStatus
    fail_info: FailInfo | None
    """With FAILURE."""
    fail_info_text: str | None
    certificates: tuple[bytes, ...]
    """DER, in the order of the message; with SUCCESS at least one, or else a CRL."""
    crl: bytes | None = None
    """DER, with the SUCCESS to a GetCRL."""


def build_request(  # noqa: PLR0913 - each is a part of the message, and all are named at the call
    *,
    message_type: MessageType,
    transaction: Transaction,
    sender_nonce: bytes,
    message_data: bytes,
    recipient: bytes,
    signer: bytes,
    digest: Digest,
    cipher: Cipher,
    content_key: bytes,
    iv: bytes,
    sign: Callable[[bytes], bytes],
    signature: bytes | None = None,
) -> bytes:
    """Build a message to the server.

    `message_data` is a DER CSR, `issuer_and_subject` with a CertPoll, `issuer_and_serial` with GetCert and GetCRL.
    `recipient` is the RA certificate from GetCACert, `signer` the certificate of the key behind `sign`, which gets the
    DER SET OF signedAttrs and returns a signature with `digest`; `signature` is its DER AlgorithmIdentifier, or None
    for RSA PKCS #1 v1.5. `content_key` has at least `cipher.key_octets` random octets, `iv` 16, `sender_nonce` 16.
    """
    with reading(reasons.CLIENT_REPLY_REFUSED):  # only the RA certificate comes from outside here
        content = build_enveloped(message_data, recipient=recipient, cipher=cipher, content_key=content_key, iv=iv)
    attributes = [
        attribute(oids.MESSAGE_TYPE, der.printable_string(message_type)),
        attribute(oids.TRANSACTION_ID, transaction.encoded),
        attribute(oids.SENDER_NONCE, der.octet_string(sender_nonce)),
    ]
    return build_signed(
        content, attributes=attributes, digest=digest, certificate=signer, sign=sign, signature=signature
    )


def issuer_and_subject(issuer: bytes, subject: bytes) -> bytes:
    """Encode what a CertPoll carries (RFC 8894 §3.3.3): the CA's subject, and the one asked for; both DER Names.

    A server finds the request by its transactionID and key, and needs neither.
    """
    return der.sequence(issuer, subject)


def issuer_and_serial(issuer: bytes, serial: int) -> bytes:
    """Encode what GetCert and GetCRL carry (RFC 8894 §3.3.4, §3.3.5); `issuer` is a DER Name."""
    return der.sequence(issuer, der.integer(serial))


def read_reply(
    body: bytes,
    *,
    transaction: Transaction,
    sender_nonce: bytes,
    ra_certificates: Sequence[bytes],
    decrypt: Callable[[bytes], bytes] | None,
    recipient: bytes | None = None,
    secret: str | None = None,
) -> Reply:
    """Verify and open a CertRep that carries certificates.

    `ra_certificates` are the trusted ones, DER; `decrypt` is RSA PKCS #1 v1.5 with the key that signed the request,
    None where that key cannot decrypt; `recipient` is its certificate, without it the reply must have a single
    recipient; `secret` is the challengePassword that the request held, which opens a reply to a key that cannot
    decrypt (RFC 8894 §3.1).
    """
    with _believing():
        reply, content = _read(body, transaction, sender_nonce, ra_certificates, _Opener(decrypt, recipient, secret))
        return reply if content is None else replace(reply, certificates=cms.read_certs_only(content, _REPLY_LIMITS))


def read_crl_reply(
    body: bytes,
    *,
    transaction: Transaction,
    sender_nonce: bytes,
    ra_certificates: Sequence[bytes],
    decrypt: Callable[[bytes], bytes] | None,
    recipient: bytes | None = None,
    secret: str | None = None,
) -> Reply:
    """Verify and open the CertRep to a GetCRL, as `read_reply` does; the CRL itself is not verified."""
    with _believing():
        reply, content = _read(body, transaction, sender_nonce, ra_certificates, _Opener(decrypt, recipient, secret))
        return reply if content is None else replace(reply, crl=cms.read_crl_only(content, _REPLY_LIMITS))


@dataclass(frozen=True, slots=True)
class _Opener:
    """What a client has to open a reply with."""

    decrypt: Callable[[bytes], bytes] | None
    recipient: bytes | None
    secret: str | None


def _read(
    body: bytes, transaction: Transaction, sender_nonce: bytes, ra_certificates: Sequence[bytes], opener: _Opener
) -> tuple[Reply, bytes | None]:
    """The reply and, with SUCCESS, its decrypted content."""
    raw = _read_trusted(body, ra_certificates)
    attributes = raw.attributes or SignedAttributes({})
    _check_answers(attributes, transaction, sender_nonce)
    status = _read_status(attributes)
    if status is not PkiStatus.SUCCESS:
        return Reply(status, _read_fail_info(attributes, status), _read_fail_info_text(attributes), ()), None
    return Reply(status, None, None, ()), _open(raw.signed_data.content or b"", opener)


def read_next_ca(body: bytes, *, ra_certificates: Sequence[bytes]) -> tuple[bytes, ...]:
    """Verify the answer to GetNextCACert with the current RA or CA certificates, and read its certificates.

    They come in the order of the message and are vouched for by that signature alone (RFC 8894 §4.7.1).
    Raises `PeerError` CLIENT_REPLY_REFUSED.
    """
    with _believing():
        raw = _read_trusted(body, ra_certificates)
        return cms.read_certs_only(raw.signed_data.content or b"", _REPLY_LIMITS)


@contextmanager
def _believing() -> Iterator[None]:
    """Turn every fault of a reply into CLIENT_REPLY_REFUSED: the server's reasons are not the client's."""
    try:
        with reading(reasons.CLIENT_REPLY_REFUSED):
            yield
    except PeerError as fault:
        if fault.reason is reasons.CLIENT_REPLY_REFUSED:
            raise
        raise _refused(f"{fault.reason.title}: {fault.detail}" if fault.detail else fault.reason.title) from fault


def _refused(detail: str) -> PeerError:
    return PeerError(reasons.CLIENT_REPLY_REFUSED, detail)


def _read_trusted(body: bytes, ra_certificates: Sequence[bytes]) -> RawMessage:
    """Read, and verify with the one trusted certificate that the sid names."""
    raw = read_message(body, limits=_REPLY_LIMITS)
    if len(raw.signed_data.signers) != 1:
        raise _refused(raw.attributes_fault)
    signer = raw.signed_data.signers[0]
    digest = STANDARD.digests.get(signer.digest.oid)
    try:
        scheme = signer_scheme(signer.signature_algorithm, digest, _SIGNED_BY)
    except SchemeRefusedError:
        scheme = None
    if digest is None or scheme is None:
        raise _refused(f"it is signed with {signer.signature_algorithm} and {signer.digest}")
    facts = [fact for fact in map(read_certificate, dict.fromkeys(ra_certificates)) if _named(signer.sid, fact)]
    if len(facts) != 1:
        raise _refused("none of the trusted RA certificates signed it")
    key = key_algorithm(facts[0].public_key)
    if key.oid != scheme.key_oid:
        raise _refused(f"it is signed with {signer.signature_algorithm} by a key {key}")
    check_signature(raw, digest, scheme, facts[0].public_key, _SIGNED_BY)
    return raw


def _named(sid: cms.CertificateId, facts: CertificateFacts) -> bool:
    return cms.names_certificate(sid, issuer=facts.issuer, serial=facts.serial, ski=facts.ski)


def _check_answers(attributes: SignedAttributes, transaction: Transaction, sender_nonce: bytes) -> None:
    """Check that this is the CertRep to our message (RFC 8894 §3.2.1.5: a wrong nonce is refused)."""
    if attributes.one(oids.MESSAGE_TYPE, der.PRINTABLE_STRING).content != MessageType.CERT_REP.encode():
        raise _refused("it is not a CertRep")
    echoed = attributes.maybe(oids.TRANSACTION_ID)
    if echoed is None or echoed.content != transaction.octets:
        raise _refused("its transactionID is another one")
    nonce = attributes.maybe(oids.RECIPIENT_NONCE)
    if nonce is None or nonce.tag != der.OCTET_STRING or nonce.content != sender_nonce:
        raise _refused("its recipientNonce is not the nonce that was sent")


def _read_status(attributes: SignedAttributes) -> PkiStatus:
    octets = attributes.one(oids.PKI_STATUS, der.PRINTABLE_STRING).content
    for status in PkiStatus:
        if octets == status.encode():
            return status
    raise _refused("its pkiStatus is not in RFC 8894")


def _read_fail_info(attributes: SignedAttributes, status: PkiStatus) -> FailInfo | None:
    if status is not PkiStatus.FAILURE:
        return None
    octets = attributes.one(oids.FAIL_INFO, der.PRINTABLE_STRING).content
    for fail_info in FailInfo:
        if octets == str(int(fail_info)).encode():
            return fail_info
    raise _refused("its failInfo is not in RFC 8894")


def _read_fail_info_text(attributes: SignedAttributes) -> str | None:
    value = attributes.maybe(oids.FAIL_INFO_TEXT)
    if value is None or value.tag != der.UTF8_STRING or len(value.content) > _MAX_FAIL_INFO_TEXT:
        return None
    return value.content.decode("utf-8", "replace")


def _open(content: bytes, opener: _Opener) -> bytes:
    with reading(reasons.ENVELOPE_STRUCTURE_REFUSED):
        sealed = cms.read_sealed_content(content, _REPLY_LIMITS)
    only = sealed.recipients[0]
    if len(sealed.recipients) == 1 and only.other is not None and only.kind == "pwri":
        if opener.secret is None:
            raise _refused("it is encrypted under a challenge, and the request had none")
        enveloped = judge_sealed(replace(sealed, recipients=()))
        return cms.open_content(enveloped, open_password_recipient(only.other, opener.secret, enveloped.cipher))
    enveloped, decrypt = judge_sealed(sealed), opener.decrypt
    encrypted_key = _encrypted_key(enveloped, opener.recipient)
    if encrypted_key is None or decrypt is None:
        raise _refused("it is not encrypted to the key that signed the request")
    if encrypted_key.oaep is not None:
        raise _refused("it is encrypted with RSAES-OAEP, which no request of ours asks for")
    return cms.decrypt_content(enveloped, encrypted_key, lambda octets, _: decrypt(octets), _NO_SPARE_KEY)


def _encrypted_key(enveloped: cms.EnvelopedData, recipient: bytes | None) -> cms.EncryptedKey | None:
    if recipient is not None:
        return cms.encrypted_key_for(enveloped, recipient)
    if len(enveloped.recipients) != 1:
        return None
    only = enveloped.recipients[0]
    return cms.EncryptedKey(only.encrypted_key, only.oaep)


def read_certs_only(body: bytes) -> tuple[bytes, ...]:
    """Read the certificates of a GetCACert answer in their order. Raises `PeerError` CLIENT_REPLY_REFUSED."""
    with reading(reasons.CLIENT_REPLY_REFUSED):
        return cms.read_certs_only(body, _REPLY_LIMITS)


def parse_capabilities(body: bytes) -> frozenset[str]:
    """Read GetCACaps: one keyword a line, LF or CRLF, any case; comes upper-cased (RFC 8894 §3.5.2)."""
    return frozenset(line.strip().upper() for line in body.decode("ascii", "replace").splitlines() if line.strip())
