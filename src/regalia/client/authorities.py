"""Which certificates of a GetCACert answer are believed, and for what (RFC 8894 §2.2, §4.2; scep.md §4.6).

Anybody can put a genuine root into an answer. So the fingerprint must be of a certificate on the very path, verified
signature by signature, that leads from the RA certificate upwards; what is beside that path is not looked at again.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from regalia import reasons
from regalia.errors import PeerError
from regalia.wire import der, oids
from regalia.wire.certificate import CertificateFacts, read_certificate, read_key_usage, split, verify_signature
from regalia.wire.names import name_text, same_name
from regalia.wire.public_key import key_algorithm, key_fault

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

__all__ = [
    "NOT_PINNED",
    "PINNED_BY_SHA1",
    "PINNED_RA",
    "CaCertificates",
    "Pin",
    "ending",
    "issued_by",
    "judge",
    "read_pin",
]

_MAX_CERTIFICATES: Final = 10
_MAX_DEPTH: Final = 4
"""RES-4: certificates above the RA's."""
_OLD: Final = 0.8
"""Part of a CA certificate's life after which its successor is looked for."""
_HEX: Final = re.compile(r"[0-9a-f]+")
_PIN_DIGESTS: Final = {40: "sha1", 64: "sha256"}

NOT_PINNED: Final = (
    "no fingerprint was given: whoever answers at this address is believed to be the CA. "
    "`regalia ca show root` on the server prints it, for --fingerprint"
)
PINNED_RA: Final = "the fingerprint is the RA certificate's: the CA certificates above it are as the server told them"
PINNED_BY_SHA1: Final = "the fingerprint is SHA-1, which can be forged with effort: use the SHA-256 one"


@dataclass(frozen=True, slots=True)
class Pin:
    """The fingerprint of one certificate of the chain, got by another way than the network."""

    digest: str
    """`sha256` or `sha1`."""
    value: bytes

    def matches(self, certificate: bytes) -> bool:
        """Whether it is this DER certificate's."""
        return hashlib.new(self.digest, certificate).digest() == self.value


def read_pin(text: str) -> Pin:
    """Read a SHA-256 or SHA-1 fingerprint in hex, with or without colons or spaces. Raises `PeerError` CLI-004."""
    digits = re.sub(r"[\s:]", "", text.rpartition("=")[2]).lower()  # `openssl x509 -fingerprint` prints NAME=HEX
    digest = _PIN_DIGESTS.get(len(digits))
    if digest is None or not _HEX.fullmatch(digits):
        raise PeerError(reasons.CLIENT_FINGERPRINT, f"{text[:100]!a} is not 64 (SHA-256) or 40 (SHA-1) hex digits")
    return Pin(digest, bytes.fromhex(digits))


@dataclass(frozen=True, slots=True)
class CaCertificates:
    """What a client believes of a server: all DER."""

    recipient: bytes
    """The RA certificate that requests are encrypted to."""
    signers: tuple[bytes, ...]
    """The certificates that replies may be signed with: mostly the same one."""
    chain: tuple[bytes, ...]
    """The issuing CA first, then upwards as far as the server tells; the CA itself where it is its own RA."""
    warnings: tuple[str, ...]
    """What weakens this belief, in words for people."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    certificate: bytes
    facts: CertificateFacts
    usages: tuple[str, ...]
    """Empty where the extension is missing: then nothing says that it is meant for SCEP."""


def judge(certificates: Sequence[bytes], pin: Pin | None, now: datetime) -> CaCertificates:
    """Choose the RA certificate by its keyUsage, verify the path above it, and look for the pin on that path.

    A CA serves as its own RA only where no other certificate can. Raises `PeerError`: CLI-005 where no certificate
    fits, the path does not verify or is not valid now; CLI-004 where the pin is of no certificate on the path.
    """
    if len(certificates) > _MAX_CERTIFICATES:
        raise _unusable(f"it holds {len(certificates)} certificates")
    candidates = [_read(certificate) for certificate in dict.fromkeys(certificates)]
    able = [candidate for candidate in candidates if _is_rsa(candidate.facts)]
    recipient = _first(able, "keyEncipherment")
    path = _path(recipient, candidates)
    for candidate in path:
        _check_time(candidate.facts, now)
    if pin is not None and not any(pin.matches(candidate.certificate) for candidate in path):
        shown = ", ".join(f"{name_text(one.facts.subject)} {_sha256(one.certificate)}" for one in path)
        raise PeerError(reasons.CLIENT_FINGERPRINT, f"the server's are: {shown}")
    signer = recipient if "digitalSignature" in recipient.usages else _beside(recipient, able, path)
    chain = path if recipient.facts.is_ca else path[1:]
    return CaCertificates(
        recipient=recipient.certificate,
        signers=(signer.certificate,),
        chain=tuple(candidate.certificate for candidate in chain),
        warnings=_warnings(pin, recipient),
    )


def issued_by(certificate: bytes, issuer: bytes) -> bool:
    """Whether `issuer` is a CA whose name and key made this certificate. Raises nothing."""
    try:
        child, parent = read_certificate(certificate), read_certificate(issuer)
        return _is_ca(parent) and same_name(child.issuer, parent.subject) and _signed_by(certificate, parent.public_key)
    except der.DerError:
        return False


def ending(chain: Sequence[bytes], now: datetime) -> tuple[CertificateFacts, ...]:
    """Find the CA certificates of a believed chain that have lived 80 % of their life: time for GetNextCACert."""
    every = map(read_certificate, chain)
    return tuple(facts for facts in every if now > facts.not_before + _OLD * (facts.not_after - facts.not_before))


def _read(certificate: bytes) -> _Candidate:
    try:
        facts = read_certificate(certificate)
        usage = facts.extension(oids.CE_KEY_USAGE)
        return _Candidate(certificate, facts, read_key_usage(usage.value) if usage is not None else ())
    except der.DerError as fault:
        raise _unusable(f"a certificate is not readable: {fault}") from fault


def _is_rsa(facts: CertificateFacts) -> bool:
    try:
        return key_algorithm(facts.public_key).oid == oids.RSA_ENCRYPTION and key_fault(facts.public_key) is None
    except der.DerError:
        return False


def _first(able: Sequence[_Candidate], usage: str) -> _Candidate:
    fitting = [candidate for candidate in able if usage in candidate.usages]
    if not fitting:
        raise _unusable(f"no RSA certificate among those has {usage}")
    return min(fitting, key=lambda candidate: (candidate.facts.is_ca, "digitalSignature" not in candidate.usages))


def _beside(recipient: _Candidate, able: Sequence[_Candidate], path: Sequence[_Candidate]) -> _Candidate:
    """Find the signing twin of an RA certificate that only encrypts, as NDES has it: of the same issuer."""
    issuer = path[min(1, len(path) - 1)]
    twins = [one for one in able if "digitalSignature" in one.usages and issued_by(one.certificate, issuer.certificate)]
    if not twins:
        raise _unusable(f"{name_text(recipient.facts.subject)} has no digitalSignature, and nothing beside it has")
    return min(twins, key=lambda candidate: candidate.facts.is_ca)


def _path(leaf: _Candidate, candidates: Sequence[_Candidate]) -> list[_Candidate]:
    """Follow signatures upwards to a self-signed certificate, or to where the answer ends (R2: maybe without root)."""
    path = [leaf]
    while not issued_by(path[-1].certificate, path[-1].certificate):
        above = [one for one in candidates if one not in path and issued_by(path[-1].certificate, one.certificate)]
        if not above:
            break
        if len(path) > _MAX_DEPTH:
            raise _unusable("its chain is too long")
        path.append(above[0])
    if len(path) == 1 and not leaf.facts.is_ca:
        raise _unusable(f"none of its CA certificates signed {name_text(leaf.facts.subject)}")
    return path


def _signed_by(certificate: bytes, public_key: bytes) -> bool:
    tbs, algorithm, signature = split(certificate)
    return verify_signature(tbs, algorithm, signature, public_key)


def _is_ca(facts: CertificateFacts) -> bool:
    usage = facts.extension(oids.CE_KEY_USAGE)
    return facts.is_ca and (usage is None or "keyCertSign" in read_key_usage(usage.value))


def _check_time(facts: CertificateFacts, now: datetime) -> None:
    if not facts.not_before <= now < facts.not_after:
        raise _unusable(
            f"{name_text(facts.subject)} is valid from {facts.not_before:%Y-%m-%d %H:%M} to "
            f"{facts.not_after:%Y-%m-%d %H:%M} UTC, and here it is {now:%Y-%m-%d %H:%M}"
        )


def _warnings(pin: Pin | None, recipient: _Candidate) -> tuple[str, ...]:
    if pin is None:
        return (NOT_PINNED,)
    found = [PINNED_BY_SHA1] if pin.digest == "sha1" else []
    if not recipient.facts.is_ca and pin.matches(recipient.certificate):
        found.append(PINNED_RA)
    return tuple(found)


def _sha256(certificate: bytes) -> str:
    return hashlib.sha256(certificate).hexdigest()


def _unusable(detail: str) -> PeerError:
    return PeerError(reasons.CLIENT_CA_UNUSABLE, detail)
