"""When an old certificate is evidence for a new one (security.md §3 step 6, REN-1, REN-2)."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Protocol

from regalia import reasons
from regalia.errors import PeerError
from regalia.model import AuthorityState, CertificateKind, CertificateState
from regalia.ports import Authorities, Certificates, Enrolments
from regalia.wire import der
from regalia.wire.certificate import read_certificate, split, verify_signature

if TYPE_CHECKING:
    from datetime import datetime

    from regalia.model import Authority, Certificate, Door, LineageLink
    from regalia.wire.certificate import CertificateFacts

__all__ = ["SUCCESSORS", "RenewalStore", "believed", "lineage_of", "live_signer", "renewals_since"]

SUCCESSORS = 1
"""How many later generations may exist before a certificate can no longer renew (REN-1: one)."""


class RenewalStore(Authorities, Certificates, Enrolments, Protocol):
    """What judging a signer needs."""


def live_signer(
    store: RenewalStore, door: Door, signer: bytes, facts: CertificateFacts, now: datetime
) -> Certificate | None:
    """Tell whose certificate signed the message: None for a NEW signer, the stored row for a LIVE one.

    A self-issued certificate says nothing about its holder and its own signature proves nothing that the message's
    signature does not, so NEW asks only that issuer and subject agree. LIVE asks that the very octets are those of a
    certificate of this group that we issued: that implies the chain by signature (REN-2).
    Raises `PeerError` of stage SIGNER for anything else.
    """
    if hashlib.sha256(facts.public_key).digest() in store.own_keys():
        raise PeerError(reasons.SIGNER_IS_OURS)
    if facts.self_issued:
        return None
    certificate = _stored(store, door, signer, facts)
    intent = certificate.intent
    if certificate.revocation is not None:
        raise PeerError(reasons.SIGNER_REVOKED, f"serial {certificate.serial:x}, cause {certificate.revocation.cause}")
    if not intent.not_before <= now <= intent.not_after:
        raise PeerError(
            reasons.SIGNER_EXPIRED, f"serial {certificate.serial:x}, valid until {intent.not_after:%Y-%m-%d}"
        )
    if intent.authority not in believed(door):
        raise _unbelieved(store, certificate)
    chain = lineage_of(store, certificate).first
    if store.withdrawn_since(chain, intent.generation):
        raise PeerError(reasons.SIGNER_WITHDRAWN, f"serial {certificate.serial:x} is generation {intent.generation}")
    newest = store.newest_generation(chain)
    if newest - intent.generation > SUCCESSORS:
        raise PeerError(
            reasons.SIGNER_SUPERSEDED,
            f"serial {certificate.serial:x} is generation {intent.generation}, the newest is {newest}",
        )
    return certificate


def _stored(store: RenewalStore, door: Door, signer: bytes, facts: CertificateFacts) -> Certificate:
    """Find the signer among the group's own certificates, octet for octet (REN-1)."""
    candidates = store.find_serial(facts.serial)
    for candidate in candidates:
        if candidate.der != signer or candidate.state is not CertificateState.ISSUED:
            continue
        if candidate.intent.kind is not CertificateKind.LEAF:
            raise PeerError(reasons.SIGNER_IS_OURS, f"it is a {candidate.intent.kind} certificate")
        if candidate.intent.group != door.group.name:
            raise PeerError(reasons.SIGNER_FOREIGN, f"it belongs to group {candidate.intent.group}")
        if candidate.intent.profile != door.profile.name:
            raise PeerError(reasons.SIGNER_FOREIGN, f"it was issued under profile {candidate.intent.profile}")
        return candidate
    if not candidates and any(_signed(authority, signer, facts) for authority in (door.authority, *door.former)):
        made = f"valid from {facts.not_before:%Y-%m-%d %H:%M} UTC"
        raise PeerError(reasons.SIGNER_NOT_ON_RECORD, f"serial {facts.serial:x}, {made}")
    raise PeerError(reasons.SIGNER_FOREIGN, f"serial {facts.serial:x} is not one of ours")


def believed(door: Door) -> set[str]:
    """Name the authorities of the group whose certificates vouch for anything: none that is revoked."""
    successor = () if door.successor is None else (door.successor,)
    every = (door.authority, *door.former, *successor)
    return {authority.name for authority in every if authority.state is not AuthorityState.REVOKED}


def _unbelieved(store: Authorities, certificate: Certificate) -> PeerError:
    authority = store.authority(certificate.intent.authority)
    told = f"serial {certificate.serial:x}, authority {certificate.intent.authority}"
    if authority is not None and authority.state is AuthorityState.REVOKED:
        return PeerError(reasons.SIGNER_COMPROMISED, told)
    return PeerError(reasons.SIGNER_FOREIGN, f"{told} is of this group no more")


def _signed(authority: Authority, certificate: bytes, facts: CertificateFacts) -> bool:
    """Whether an authority's key made the signature of a certificate."""
    issuer = read_certificate(authority.certificate_der)
    if facts.issuer != issuer.subject:
        return False
    try:
        tbs, algorithm, signature = split(certificate)
    except der.DerError:
        return False
    return verify_signature(tbs, algorithm, signature, issuer.public_key)


def lineage_of(store: Enrolments, certificate: Certificate) -> LineageLink:
    """Find the chain of renewals that a certificate belongs to. Raises `PeerError` where it has none."""
    enrolment_id = certificate.intent.enrolment_id
    enrolment = store.enrolment(enrolment_id) if enrolment_id is not None else None
    if enrolment is None or enrolment.lineage is None:
        raise PeerError(reasons.SIGNER_FOREIGN, f"serial {certificate.serial:x} was not enrolled")
    return enrolment.lineage


def renewals_since(store: RenewalStore, signer: Certificate, since: datetime) -> int:
    """Count what was begun since then in the chain of renewals that a LIVE signer belongs to (RES-5).

    The chain's first certificate counts too. Raises `PeerError` where the signer has no chain.
    """
    return store.begun_since(since, chain=lineage_of(store, signer).first)
