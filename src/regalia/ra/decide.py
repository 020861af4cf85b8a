"""The decision: evidence → names → key → extensions → an order, a wait, or why not. One path for all protocols.

Pure but for what it asks the store. `Approved` holds the only kind of value that `ca.issue` takes (MSG-1).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from regalia import reasons
from regalia.ca.blocklist import blocked_by
from regalia.ca.profile import forbidden_extensions
from regalia.errors import InvariantError
from regalia.model import (
    Approved,
    Authoriser,
    Denied,
    Enrolment,
    EnrolmentState,
    IssueOrder,
    Names,
    Pending,
    RevocationReason,
)
from regalia.ports import Authorities, Blocklists, Certificates, Challenges, Enrolments
from regalia.ra.bearers import bearers_of, check_bearers
from regalia.ra.evidence import (
    authorise_keyed_renewal,
    authorise_order,
    authorise_renewal,
    judge_challenge,
    judge_verdict,
)
from regalia.ra.granting import Basis, grant_names
from regalia.ra.profile_rules import check_conditions, check_limits, check_renewal, check_reuse
from regalia.ra.protected import UNPROTECTED
from regalia.ra.renew import lineage_of
from regalia.ra.request import Evidence
from regalia.wire.csr import without_challenge

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from regalia.model import Authorisation, Certificate, Known, LineageLink
    from regalia.ra.bearers import Bearers, Records, Word
    from regalia.ra.granting import Granted
    from regalia.ra.protected import ProtectedNames
    from regalia.ra.request import EnrolmentRequest

__all__ = ["DecisionStore", "decide", "draft_enrolment", "judge"]

_QUOTA_SPAN = timedelta(days=1)


class KeyStore(Authorities, Blocklists, Certificates, Enrolments, Protocol):
    """What is known of keys that are certified for nobody, or were for somebody."""


class DecisionStore(KeyStore, Challenges, Protocol):
    """What a decision needs to know."""


def decide(
    request: EnrolmentRequest,
    known: Known,
    store: DecisionStore,
    enrolment_id: UUID,
    *,
    certificates_per_device: int,
    protected: ProtectedNames = UNPROTECTED,
    word: Word | None = None,
    records: Records | None = None,
) -> Approved | Pending | Denied:
    """Decide a fresh request: steps 9 and 10 of security.md §3. `enrolment_id` is the conversation's future id.

    `known` is what the store knows of the request's conversation key. `word` is what the endpoint's connector said of
    this very request, `records` where those of a renewal's device and user are.

    `certificates_per_device`: how many a device that a challenge names may have begun in 24 hours (RES-5). Renewals
    are counted before their message is opened, by the protocol's limits. `protected`: names that no device gets.
    """
    if request.signer is not None:
        evidence = _renewal(request, request.signer, store)
    elif request.vouched is not None:
        # RES-5's daily limit holds off devices; it is the administrator whom it protects.
        evidence = authorise_order(request, request.vouched, enrolment_id)
    else:
        evidence = _first(request, known, enrolment_id, word)
        if isinstance(evidence, Evidence):
            evidence = _quota(request, evidence, store, certificates_per_device) or evidence
    if isinstance(evidence, Denied):
        return evidence
    judged = judge(request, evidence, known.same_key, store, enrolment_id, protected=protected, records=records)
    if not isinstance(judged, Approved) or request.vouched is not None:
        # As above: who orders or approves sees what there is already, and is not held off by a count.
        return judged
    return check_limits(request, evidence.lineage, judged.order.names, store) or judged


def _first(request: EnrolmentRequest, known: Known, enrolment_id: UUID, word: Word | None) -> Evidence | Denied:
    """Judge what vouches for a first enrolment: the one kind that the endpoint's authoriser takes (AUTHZ-2)."""
    if request.door.endpoint.authoriser is not Authoriser.CONNECTOR:
        return judge_challenge(request, known.challenge, enrolment_id)
    if word is None:
        raise InvariantError(f"endpoint {request.door.endpoint.name} decides without its connector's word")
    return judge_verdict(request, word, enrolment_id)


def _renewal(request: EnrolmentRequest, signer: Certificate, store: DecisionStore) -> Evidence | Denied:
    """Judge what vouches for a renewal, and whether the profile lets this one be."""
    evidence = _live(request, signer, store)
    if isinstance(evidence, Denied):
        return evidence
    return check_renewal(request, signer, evidence.lineage, evidence.authorisation) or evidence


def _live(request: EnrolmentRequest, signer: Certificate, store: DecisionStore) -> Evidence | Denied:
    before = lineage_of(store, signer)
    if request.door.endpoint.authoriser is Authoriser.CONNECTOR and before.device_id is None and before.user_id is None:
        # A live certificate stands for the connector's word of then, and its records for how things stand now (REN-1).
        # Where nobody said whose it is, it stands for nothing here.
        return Denied(reasons.CHAIN_UNVOUCHED, f"certificate {signer.serial:x}", asked=request.csr.asked)
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
    *,
    protected: ProtectedNames = UNPROTECTED,
    records: Records | None = None,
) -> Approved | Pending | Denied:
    """Judge names, key and extensions of a request whose evidence stands (step 10).

    `same_key`: every certificate that was ever begun for the request's key.

    Pending where the evidence holds no authorisation yet: what could not be issued is not held either.
    """
    kind = evidence.authorisation.kind if evidence.authorisation is not None else None
    bearers = evidence.bearers or _bearers_on_record(request, evidence, records)
    if isinstance(bearers, Denied):
        return bearers
    basis = Basis(kind, evidence.names, evidence.lineage, bearers)
    granted = grant_names(request, basis, protected)
    if isinstance(granted, Denied):
        return granted
    refused = (
        _extensions(request)
        or _key(request, same_key, store, granted, evidence.lineage)
        or check_reuse(request, same_key)
        or check_conditions(request, basis, granted)
    )
    if refused is not None:
        return refused
    if evidence.authorisation is None:
        return _pending(request, evidence, granted, enrolment_id)
    return Approved(_order(request, evidence, evidence.authorisation, granted, enrolment_id))


def _bearers_on_record(request: EnrolmentRequest, evidence: Evidence, records: Records | None) -> Bearers | Denied:
    """Find whom a chain is bound to, and see that they are fit for another certificate."""
    bearers = bearers_of(evidence.lineage, records)
    return check_bearers(request, bearers, of_user=evidence.lineage.user_id is not None) or bearers


def _pending(request: EnrolmentRequest, evidence: Evidence, granted: Granted, enrolment_id: UUID) -> Pending:
    # What an administrator approves is what all renewals of it are measured by (REN-3).
    link = replace(evidence.lineage, binding=granted.binding, unverified=granted.unverified)
    return Pending(
        draft_enrolment(request, enrolment_id, EnrolmentState.PENDING, allowed=granted.names, lineage=link),
        evidence.second_key,
    )


def _order(
    request: EnrolmentRequest,
    evidence: Evidence,
    authorisation: Authorisation,
    granted: Granted,
    enrolment_id: UUID,
) -> IssueOrder:
    return IssueOrder(
        authorisation=authorisation,
        door=request.door,
        names=granted.names,
        device=evidence.lineage.device,
        unverified=granted.unverified,
        public_key=request.csr.public_key,
        enrolment=draft_enrolment(
            request, enrolment_id, EnrolmentState.INTENT, allowed=granted.names, lineage=evidence.lineage
        ),
        assurance=granted.assurance,
        inputs=granted.inputs,
    )


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
    request: EnrolmentRequest,
    same_key: Sequence[Certificate],
    store: KeyStore,
    granted: Granted,
    lineage: LineageLink,
) -> Denied | None:
    """KEY-2: a key names one identity, was never compromised and is not the CA's own."""
    if request.key_sha256 in store.own_keys():
        return Denied(reasons.KEY_BLOCKED, "it belongs to the CA itself", security=True)
    listed = blocked_by(store, request.csr.public_key)
    if listed is not None:
        return Denied(reasons.KEY_BLOCKED, f"it is on the list {listed}", security=True, facts={"blocklist": listed})
    # What was compromised has a certificate of ours, so a new key costs no look.
    if same_key and store.is_compromised(request.key_sha256):
        return Denied(reasons.KEY_BLOCKED, "it was reported as compromised", security=True)
    for earlier in same_key:
        revoked = earlier.revocation
        if revoked is not None and revoked.reason is RevocationReason.KEY_COMPROMISE:
            return Denied(reasons.KEY_BLOCKED, f"certificate {earlier.serial:x} was revoked for it", security=True)
        if revoked is not None and revoked.reason is RevocationReason.CERTIFICATE_HOLD:
            return Denied(reasons.KEY_ON_HOLD, f"certificate {earlier.serial:x}", security=True)
        if earlier.intent.names != granted.names and not _same_holder(earlier, lineage, store):
            return Denied(
                reasons.KEY_OF_ANOTHER,
                f"certificate {earlier.serial:x} has it for {', '.join(earlier.intent.names.listed())}",
                asked=request.csr.asked,
                allowed=granted.names,
            )
    return None


def _same_holder(earlier: Certificate, lineage: LineageLink, store: KeyStore) -> bool:
    """Whether a certificate with other names is the same holder's: a newer version of a profile makes others.

    It is where both stand in one chain of renewals, or were made for the same names and the same device.
    """
    enrolment = store.enrolment(earlier.intent.enrolment_id) if earlier.intent.enrolment_id is not None else None
    before = enrolment.lineage if enrolment is not None else None
    if before is None:
        return False
    if before.first == lineage.first:
        return True
    if lineage.device_id is not None or lineage.user_id is not None:
        # A connector says who it is, however it is called today.
        return (before.device_id, before.user_id) == (lineage.device_id, lineage.user_id)
    bound = bool(lineage.binding) or lineage.device is not None
    return bound and (before.binding, before.device) == (lineage.binding, lineage.device)
