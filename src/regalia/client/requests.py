"""What a client sends inside its messages: PKCS #10 requests, and the certificate that signs the first one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from regalia import reasons
from regalia.client.keys import can_decrypt, key_text, public_octets, scheme_of, sign_with
from regalia.errors import AdminError
from regalia.model import Names, SanKind
from regalia.wire import der, oids
from regalia.wire.certificate import TbsCertificate, assemble, encode_tbs, key_usage, read_certificate
from regalia.wire.csr import build_csr
from regalia.wire.names import encode_name, read_name, read_sans, text_of

if TYPE_CHECKING:
    from datetime import datetime

    from regalia.client.keys import DeviceKey
    from regalia.wire.certificate import CertificateFacts

__all__ = ["check_decrypts", "check_reply_key", "csr", "names_of", "own_certificate", "self_signed"]


def check_reply_key(key: DeviceKey, challenge: str | None) -> None:
    """Raise `AdminError` CLI-010 where nothing could open the reply: asked before a message leaves.

    The reply goes to the key that signs the request. One that cannot decrypt needs a challenge, which keys the reply
    (RFC 8894 §3.1).
    """
    if challenge is None and not can_decrypt(key):
        raise AdminError(reasons.CLIENT_CHALLENGE_NEEDED, f"the key is of kind {key_text(key)}, which only signs")


def check_decrypts(key: DeviceKey) -> None:
    """Raise `AdminError` CLI-010 for a key that can open no reply to GetCert and GetCRL: these carry no challenge."""
    if not can_decrypt(key):
        told = "and GetCert and GetCRL carry no challenge: the CRL lies at the URL in the certificate"
        raise AdminError(
            reasons.CLIENT_CHALLENGE_NEEDED, f"the key is of kind {key_text(key)}, which only signs, {told}"
        )


def self_signed(key: DeviceKey, cn: str | None, *, serial: int, not_before: datetime, not_after: datetime) -> bytes:
    """Make the certificate that signs a first request (RFC 8894 §2.3): proof of the key, of nothing else."""
    subject = encode_name(cn=cn or "SCEP client")
    algorithm = scheme_of(key).algorithm
    usages = ("digitalSignature", "keyEncipherment") if can_decrypt(key) else ("digitalSignature",)
    tbs = encode_tbs(
        TbsCertificate(
            serial=serial,
            signature=algorithm,
            issuer=subject,
            not_before=not_before,
            not_after=not_after,
            subject=subject,
            public_key=public_octets(key),
            extensions=(key_usage(usages),),
        )
    )
    return assemble(tbs, algorithm, sign_with(key, tbs))


def own_certificate(certificate: bytes, key: DeviceKey) -> CertificateFacts:
    """Read a certificate of ours. Raises `AdminError` CLI-009 where it is not for this key."""
    try:
        facts = read_certificate(certificate)
    except der.DerError as fault:
        raise AdminError(reasons.CLIENT_FILE, f"the certificate is not readable: {fault}") from fault
    if facts.public_key != public_octets(key):
        raise AdminError(reasons.CLIENT_FILE, "certificate and key do not belong together")
    return facts


def names_of(facts: CertificateFacts) -> Names:
    """Read the names to ask for again; other parts of the subject are the server's business (R5)."""
    alternative = facts.extension(oids.CE_SUBJECT_ALT_NAME)
    try:
        names = [text_of(value) for rdn in read_name(facts.subject) for oid, value in rdn if oid == oids.AT_COMMON_NAME]
        sans = read_sans(alternative.value) if alternative is not None else frozenset()
    except der.DerError as fault:
        raise AdminError(reasons.CLIENT_FILE, f"the certificate's names are not readable: {fault}") from fault
    return Names(names[-1] if names else None, frozenset(san for san in sans if san.kind is not SanKind.OTHER))


def csr(names: Names, key: DeviceKey, challenge: str | None) -> bytes:
    """Make a request for `key`."""
    return build_csr(
        cn=names.cn,
        sans=names.sans,
        public_key=public_octets(key),
        challenge=challenge,
        sign=lambda data: sign_with(key, data),
        signature=scheme_of(key).algorithm,
    )
