"""Whether a certificate that another CA made is one that an authority of ours can work with.

Every fault is a sentence of its own, so that whoever made the certificate can put all of them right at once. What is
asked is what relying parties will ask later: a chain that does not verify today locks every device out (RFC 5280 §6).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from regalia.model import KeyKind
from regalia.wire import oids
from regalia.wire.certificate import (
    read_basic_constraints,
    read_certificate,
    read_extended_key_usage,
    read_key_usage,
)
from regalia.wire.der import DerError
from regalia.wire.names import name_text, same_name
from regalia.wire.public_key import key_fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from regalia.model import Authority
    from regalia.wire.certificate import CertificateFacts

__all__ = ["Path", "authority_faults", "build_path", "key_kind_of", "root_faults"]

_WEAK_SIGNATURES: Final = {
    oids.MD5_WITH_RSA: "MD5",
    oids.SHA1_WITH_RSA: "SHA-1",
    oids.ECDSA_WITH_SHA1: "SHA-1",
}
_UNDERSTOOD: Final = frozenset(
    {
        oids.CE_BASIC_CONSTRAINTS,
        oids.CE_KEY_USAGE,
        oids.CE_EXT_KEY_USAGE,
        oids.CE_SUBJECT_ALT_NAME,
        "2.5.29.30",  # nameConstraints
        "2.5.29.32",  # certificatePolicies
        "2.5.29.33",  # policyMappings
        "2.5.29.36",  # policyConstraints
        "2.5.29.54",  # inhibitAnyPolicy
    }
)
"""What every verifier understands where it is critical (RFC 5280 §4.2)."""
_ANY_PURPOSE: Final = "2.5.29.37.0"
_NEEDED_PURPOSES: Final = {oids.KP_CLIENT_AUTH: "clientAuth", oids.KP_OCSP_SIGNING: "OCSPSigning"}
_MAX_SERIAL: Final = 1 << 159
_LONGEST: Final = 8
"""Certificates of a path: more is a loop or a joke (RES-4)."""


@dataclass(frozen=True, slots=True)
class Path:
    """From a certificate's issuer to a self-signed root, as far as it was found."""

    above: tuple[bytes, ...]
    """DER, the issuer first."""
    fault: str | None
    """Why it ends before a root."""


def key_kind_of(public_key: bytes) -> KeyKind | None:
    """Tell of what kind a DER SubjectPublicKeyInfo is; None where an authority here cannot have it."""
    try:
        key = load_der_public_key(public_key)
    except (ValueError, UnsupportedAlgorithm):
        return None
    if isinstance(key, rsa.RSAPublicKey):
        return {2048: KeyKind.RSA_2048, 3072: KeyKind.RSA_3072, 4096: KeyKind.RSA_4096}.get(key.key_size)
    if isinstance(key, ec.EllipticCurvePublicKey):
        return {"secp256r1": KeyKind.P256, "secp384r1": KeyKind.P384}.get(key.curve.name)
    return None


def build_path(certificate: bytes, offered: Iterable[bytes]) -> Path:
    """Find the issuers of a certificate among those that are offered, in any order. Raises `DerError`."""
    pool = list(dict.fromkeys(offered))
    above: list[bytes] = []
    child = certificate
    while not _self_signed(child):
        if len(above) == _LONGEST:
            return Path(tuple(above), f"the chain has more than {_LONGEST} certificates")
        issuer, fault = _issuer(child, pool)
        if issuer is None:
            return Path(tuple(above), fault)
        above.append(issuer)
        child = issuer
    return Path(tuple(above), None)


def _self_signed(certificate: bytes) -> bool:
    return read_certificate(certificate).self_issued and _signed_by(certificate, certificate)


def _issuer(child: bytes, pool: Sequence[bytes]) -> tuple[bytes | None, str]:
    facts = read_certificate(child)
    named = [other for other in pool if other != child and same_name(read_certificate(other).subject, facts.issuer)]
    who, wanted = _called(facts), name_text(facts.issuer)
    if not named:
        return None, f"the chain is incomplete: {who} was issued by {wanted}, whose certificate is not there"
    identified = [other for other in named if facts.aki in (None, (ski := read_certificate(other).ski)) or ski is None]
    if not identified:
        return None, f"wrong issuer: {who} names the issuing key {_hex(facts.aki)}, and no {wanted} given has it"
    for other in identified:
        if _signed_by(child, other):
            return other, ""
    return None, f"the signature of {who} does not verify with the key of {wanted}"


def _signed_by(child: bytes, issuer: bytes) -> bool:
    try:
        read, above = x509.load_der_x509_certificate(child), x509.load_der_x509_certificate(issuer)
        above_key = above.public_key()
        if isinstance(above_key, rsa.RSAPublicKey):
            parameters = read.signature_algorithm_parameters
            if isinstance(parameters, ec.ECDSA) or parameters is None or read.signature_hash_algorithm is None:
                return False
            above_key.verify(read.signature, read.tbs_certificate_bytes, parameters, read.signature_hash_algorithm)
        elif isinstance(above_key, ec.EllipticCurvePublicKey):
            parameters = read.signature_algorithm_parameters
            if not isinstance(parameters, ec.ECDSA):
                return False
            above_key.verify(read.signature, read.tbs_certificate_bytes, parameters)
        else:
            return False
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True


def authority_faults(
    certificate: bytes, path: Path, *, key: bytes, now: datetime, others: Sequence[Authority] = ()
) -> list[str]:
    """Say all that keeps a certificate from being an issuing authority's; nothing where it can be.

    `key` is the DER SubjectPublicKeyInfo that it must certify. `others` are those that it and what is new above it must
    not be taken for.
    """
    try:
        facts = read_certificate(certificate)
        faults = list(_own_faults(facts, key))
        faults += _ca_faults(facts, now, below=0)
        for number, above in enumerate(path.above):
            faults += _issuer_faults(read_certificate(above), now, below=number, path=path)
        for one in (certificate, *path.above):
            faults += _name_faults(one, others)
    except DerError as error:
        return [f"it cannot be read: {error}"]
    if path.fault is not None:
        faults.append(path.fault)
    return faults


def root_faults(certificate: bytes, *, now: datetime, others: Sequence[Authority] = ()) -> list[str]:
    """Say all that keeps a certificate from being a root's; `others` are those that it must not be taken for."""
    try:
        facts = read_certificate(certificate)
        faults = list(_ca_faults(facts, now, below=0, signature_counts=False))
        if not _self_signed(certificate):
            faults.append(f"{_called(facts)} is not a root: it is not signed with its own key")
        faults += _kind_faults(facts)
        faults += _name_faults(certificate, others)
    except DerError as error:
        return [f"it cannot be read: {error}"]
    return faults


def _name_faults(certificate: bytes, others: Sequence[Authority]) -> Iterator[str]:
    """Name whoever has the same name and another key: certificates and CRLs name their issuer by its name alone."""
    if any(other.certificate_der == certificate for other in others):
        return
    facts = read_certificate(certificate)
    for other in others:
        known = read_certificate(other.certificate_der)
        if same_name(known.subject, facts.subject) and known.public_key != facts.public_key:
            yield f"{_called(facts)} is the name of authority {other.name}, which has another key"


def _own_faults(facts: CertificateFacts, key: bytes) -> Iterator[str]:
    if facts.public_key != key:
        yield (
            f"it certifies another key: SHA-256 {hashlib.sha256(facts.public_key).hexdigest()[:16]}…, "
            f"where {hashlib.sha256(key).hexdigest()[:16]}… was asked for"
        )
    if facts.subject == b"\x30\x00":
        yield "it names nobody: the subject is empty"
    elif facts.self_issued:
        yield "its subject is its issuer's: nobody could tell the two apart"
    if not 0 < facts.serial < _MAX_SERIAL:
        yield "its serial number is not positive, or longer than 20 octets"
    if facts.ski is None:
        yield "it has no subjectKeyIdentifier, which its CRLs and certificates must repeat"
    yield from _kind_faults(facts)


def _issuer_faults(facts: CertificateFacts, now: datetime, *, below: int, path: Path) -> Iterator[str]:
    root = below == len(path.above) - 1 and path.fault is None
    yield from _ca_faults(facts, now, below=below + 1, signature_counts=not root)
    yield from _kind_faults(facts)


def _kind_faults(facts: CertificateFacts) -> Iterator[str]:
    if key_kind_of(facts.public_key) is None:
        yield f"the key of {_called(facts)} is neither P-256 or P-384 nor RSA of 2048, 3072 or 4096 bits"


def _ca_faults(facts: CertificateFacts, now: datetime, *, below: int, signature_counts: bool = True) -> Iterator[str]:
    """What keeps anybody from believing in a CA; `below` is how many CAs its chain has under it."""
    who = _called(facts)
    if facts.version != 3:
        yield f"{who} is a version {facts.version} certificate, which cannot be a CA's"
    constraints = facts.extension(oids.CE_BASIC_CONSTRAINTS)
    is_ca, longest = read_basic_constraints(constraints.value) if constraints is not None else (False, None)
    if not is_ca:
        yield f"{who} is not a CA: basicConstraints does not say so"
    elif longest is not None and longest < below:
        yield f"{who} allows {longest} CAs below it (pathLenConstraint), and there are {below}"
    yield from _usage_faults(facts)
    if not facts.not_before <= now:
        yield f"{who} is not valid before {facts.not_before:%F %T} UTC"
    if not now < facts.not_after:
        yield f"{who} has expired on {facts.not_after:%F %T} UTC"
    weak = _WEAK_SIGNATURES.get(facts.signature_oid)
    if weak is not None and signature_counts:
        yield f"{who} is signed with {weak}, which can be forged"
    fault = key_fault(facts.public_key)
    if fault is not None:
        yield f"the key of {who} is weak or unusual: {fault}"
    for extension in facts.extensions:
        if extension.critical and extension.oid not in _UNDERSTOOD:
            yield f"{who} has the critical extension {oids.describe(extension.oid)}, which verifiers may not know"


def _usage_faults(facts: CertificateFacts) -> Iterator[str]:
    who = _called(facts)
    usage = facts.extension(oids.CE_KEY_USAGE)
    missing = {"keyCertSign", "cRLSign"} - set(read_key_usage(usage.value) if usage is not None else ())
    # A root of the nineties may have no KeyUsage at all, which forbids nothing (RFC 5280 §4.2.1.3).
    if missing and not (usage is None and facts.self_issued):
        yield f"{who} lacks the key usage {' and '.join(sorted(missing))}"
    purposes = facts.extension(oids.CE_EXT_KEY_USAGE)
    if purposes is None:
        return
    allowed = read_extended_key_usage(purposes.value)
    if _ANY_PURPOSE in allowed:
        return
    for oid, name in _NEEDED_PURPOSES.items():
        if oid not in allowed:
            yield f"{who} has an extended key usage without {name}: no certificate under it could be used for that"


def _called(facts: CertificateFacts) -> str:
    return name_text(facts.subject) or "a certificate without a subject"


def _hex(octets: bytes | None) -> str:
    return octets.hex() if octets is not None else "none"
