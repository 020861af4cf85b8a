"""The decision: evidence → names → key → extensions → an order, a wait, or why not. One path for all protocols.

Pure but for what it asks the store. `Approved` holds the only kind of value that `ca.issue` takes (MSG-1).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from regalia import reasons
from regalia.ca.blocklist import blocked_by
from regalia.ca.profile import forbidden_extensions
from regalia.errors import PeerError
from regalia.model import (
    Approved,
    AuthorisationKind,
    Denied,
    Enrolment,
    EnrolmentState,
    IssueOrder,
    Names,
    NamesFrom,
    Pending,
    RevocationReason,
)
from regalia.ports import Authorities, Blocklists, Certificates, Challenges, Enrolments
from regalia.ra.evidence import authorise_keyed_renewal, authorise_order, authorise_renewal, judge_challenge
from regalia.ra.renew import lineage_of
from regalia.ra.request import Evidence
from regalia.wire.csr import without_challenge
from regalia.wire.names import check_names

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from regalia.errors import Reason
    from regalia.model import Authorisation, Certificate, Known, LineageLink
    from regalia.ra.request import EnrolmentRequest

__all__ = ["DecisionStore", "decide", "draft_enrolment", "judge"]

_QUOTA_SPAN = timedelta(days=1)


class KeyStore(Authorities, Blocklists, Protocol):
    """What is known of keys that are certified for nobody."""


class DecisionStore(KeyStore, Certificates, Challenges, Enrolments, Protocol):
    """What a decision needs to know."""


def decide(
    request: EnrolmentRequest, known: Known, store: DecisionStore, enrolment_id: UUID, *, certificates_per_device: int
) -> Approved | Pending | Denied:
    """Decide a fresh request: steps 9 and 10 of security.md §3. `enrolment_id` is the conversation's future id.

    `known` is what the store knows of the request's conversation key.

    `certificates_per_device`: how many a device that a challenge names may have begun in 24 hours (RES-5). Renewals
    are counted before their message is opened, by the protocol's limits.
    """
    if request.signer is not None:
        evidence = _renewal(request, request.signer, store)
    elif request.vouched is not None:
        # RES-5's daily limit holds off devices; it is the administrator whom it protects.
        evidence = authorise_order(request, request.vouched, enrolment_id)
    else:
        evidence = judge_challenge(request, known.challenge, enrolment_id)
        if isinstance(evidence, Evidence):
            evidence = _quota(request, evidence, store, certificates_per_device) or evidence
    if isinstance(evidence, Denied):
        return evidence
    return judge(request, evidence, known.same_key, store, enrolment_id)


def _renewal(request: EnrolmentRequest, signer: Certificate, store: DecisionStore) -> Evidence | Denied:
    before = lineage_of(store, signer)
    if not request.keyed_by_challenge:
        return authorise_renewal(request, signer, before)
    challenge = store.challenge(request.challenge_mac) if request.challenge_mac is not None else None
    return authorise_keyed_renewal(request, signer, before, challenge)


def judge(
    request: EnrolmentRequest,
    evidence: Evidence,
    same_key: Sequence[Certificate],
    store: KeyStore,
    enrolment_id: UUID,
) -> Approved | Pending | Denied:
    """Judge names, key and extensions of a request whose evidence stands (step 10).

    `same_key`: every certificate that was ever begun for the request's key.

    Pending where the evidence holds no authorisation yet: what could not be issued is not held either.
    """
    granted = _names(request, evidence)
    if isinstance(granted, Denied):
        return granted
    refused = _extensions(request) or _key(request, same_key, store, granted)
    if refused is not None:
        return refused
    if evidence.authorisation is None:
        # What an administrator approves is what all renewals of it are measured by (REN-3).
        link = replace(evidence.lineage, binding=granted.names, unverified=granted.unverified)
        return Pending(
            draft_enrolment(request, enrolment_id, EnrolmentState.PENDING, allowed=granted.names, lineage=link)
        )
    order = IssueOrder(
        authorisation=evidence.authorisation,
        door=request.door,
        names=granted.names,
        device=evidence.lineage.device,
        unverified=granted.unverified,
        public_key=request.csr.public_key,
        enrolment=draft_enrolment(
            request, enrolment_id, EnrolmentState.INTENT, allowed=granted.names, lineage=evidence.lineage
        ),
    )
    return Approved(order)


def draft_enrolment(
    request: EnrolmentRequest,
    enrolment_id: UUID,
    state: EnrolmentState,
    *,
    allowed: Names,
    lineage: LineageLink | None = None,
) -> Enrolment:
    """Describe the request as an enrolment; a refused one has no lineage."""
    return Enrolment(
        id=enrolment_id,
        key=request.conversation,
        group=request.door.group.name,
        profile=request.door.profile.name,
        profile_version=request.door.profile.version,
        state=state,
        asked=request.csr.asked,
        allowed=allowed,
        csr=without_challenge(request.csr),
        source=request.source,
        created_at=request.received_at,
        updated_at=request.received_at,
        lineage=lineage,
    )


def _quota(request: EnrolmentRequest, evidence: Evidence, store: DecisionStore, most: int) -> Denied | None:
    """RES-5: a device enrols so often a day and no more, whatever number of challenges is made for it."""
    device = evidence.lineage.device
    if device is None:
        return None
    begun = store.begun_since(request.received_at - _QUOTA_SPAN, device=device)
    if begun < most:
        return None
    return Denied(
        reasons.DEVICE_QUOTA,
        f"device {device} had {begun} in 24 hours",
        asked=request.csr.asked,
        facts={"device": device, "begun": begun, "limit": most},
    )


# --- names (R5) -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Granted:
    names: Names
    unverified: bool


def _names(request: EnrolmentRequest, evidence: Evidence) -> _Granted | Denied:
    asked = request.csr.asked
    try:
        # Where an administrator orders, the names in the request are nobody's wish: a server's tool wrote any.
        check_names(asked if request.vouched is None else request.vouched.names)
    except PeerError as fault:
        return Denied(fault.reason, fault.detail, asked=asked, allowed=evidence.names or Names())
    if request.signer is not None:
        return _names_of_renewal(request, evidence, asked)
    if evidence.names is not None:
        if request.vouched is None and not _within(asked, evidence.names):
            return _outside(reasons.NAMES_OUTSIDE_BINDING, asked, evidence.names)
        return _Granted(evidence.names, unverified=evidence.lineage.unverified)
    return _names_unbound(request, evidence.authorisation)


def _names_unbound(request: EnrolmentRequest, authorisation: Authorisation | None) -> _Granted | Denied:
    """Where the evidence fixes no name: a bearer's, a static challenge's, or what an administrator will judge."""
    asked = request.csr.asked
    # A bearer proves nothing about a name, so the name says nothing but the key (R5.4); the wish is only noted.
    by_key = _Granted(Names(cn=f"d-{request.key_sha256.hex()[:20]}"), unverified=True)
    if authorisation is None:
        return _Granted(asked, unverified=False) if asked else by_key
    if request.door.profile.names_from is not NamesFrom.CSR:
        return by_key
    if authorisation.kind is AuthorisationKind.STATIC:
        # The registry refuses the pair; here it is refused once more, for a profile that slipped past it (POL-3).
        return Denied(reasons.STATIC_NAMES_FROM_REQUEST, f"profile {request.door.profile.name}", asked=asked)
    if not asked:
        return Denied(reasons.NO_NAMES)
    return _Granted(asked, unverified=True)


def _names_of_renewal(request: EnrolmentRequest, evidence: Evidence, asked: Names) -> _Granted | Denied:
    """R5.3: nothing, the old certificate's names, or what the first CSR asked for. Every client repeats the latter."""
    names = evidence.names or Names()
    before = request.signer.intent.names if request.signer is not None else names
    if not (_within(asked, before) or _within(asked, evidence.lineage.asked)):
        return _outside(reasons.NAMES_CHANGED_ON_RENEWAL, asked, names)
    return _Granted(names, unverified=evidence.lineage.unverified)


def _within(asked: Names, allowed: Names) -> bool:
    return asked.cn in (None, allowed.cn) and asked.sans <= allowed.sans


def _outside(reason: Reason, asked: Names, allowed: Names) -> Denied:
    extra = sorted(set(asked.listed()) - set(allowed.listed()))
    return Denied(
        reason,
        f"not allowed: {', '.join(extra)}",
        asked=asked,
        allowed=allowed,
        facts={"difference": list(extra)},
    )


# --- extensions and keys --------------------------------------------------------------------------------------------


def _extensions(request: EnrolmentRequest) -> Denied | None:
    forbidden, _dropped = forbidden_extensions(request.door.profile, request.csr.extensions)
    if not forbidden:
        return None
    return Denied(
        reasons.EXTENSION_FORBIDDEN,
        f"asked for {', '.join(forbidden)}",
        asked=request.csr.asked,
        security=True,
        facts={"extensions": list(forbidden)},
    )


def _key(
    request: EnrolmentRequest, same_key: Sequence[Certificate], store: KeyStore, granted: _Granted
) -> Denied | None:
    """KEY-2: a key names one identity, was never compromised and is not the CA's own."""
    if request.key_sha256 in store.own_keys():
        return Denied(reasons.KEY_BLOCKED, "it belongs to the CA itself", security=True)
    listed = blocked_by(store, request.csr.public_key)
    if listed is not None:
        return Denied(reasons.KEY_BLOCKED, f"it is on the list {listed}", security=True, facts={"blocklist": listed})
    for earlier in same_key:
        revoked = earlier.revocation
        if revoked is not None and revoked.reason is RevocationReason.KEY_COMPROMISE:
            return Denied(reasons.KEY_BLOCKED, f"certificate {earlier.serial:x} was revoked for it", security=True)
        if earlier.intent.names != granted.names:
            return Denied(
                reasons.KEY_OF_ANOTHER,
                f"certificate {earlier.serial:x} has it for {', '.join(earlier.intent.names.listed())}",
                asked=request.csr.asked,
                allowed=granted.names,
            )
    return None
