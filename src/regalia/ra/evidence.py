"""Evidence: the only room where an `Authorisation` for a device is made (MSG-1, AUTHZ-2).

Each function takes a request and what the store knows, and returns `Evidence` or a `Denied` with its reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from regalia import reasons
from regalia.model import Authorisation, AuthorisationKind, Denied, LineageLink
from regalia.ra.request import Evidence

if TYPE_CHECKING:
    from uuid import UUID

    from regalia.model import Certificate, Challenge, Enrolment
    from regalia.ports import Challenges
    from regalia.ra.request import EnrolmentRequest

__all__ = ["authorise_renewal", "authorise_resumption", "judge_challenge"]


def judge_challenge(request: EnrolmentRequest, challenges: Challenges, enrolment_id: UUID) -> Evidence | Denied:
    """Judge the one-time challenge of a first enrolment (CHA-1)."""
    if request.challenge_mac is None:
        return Denied(reasons.CHALLENGE_MISSING)
    challenge = challenges.challenge(request.challenge_mac)
    if challenge is None:
        return Denied(reasons.CHALLENGE_UNKNOWN)
    if challenge.endpoint != request.door.endpoint.name:
        return Denied(reasons.CHALLENGE_UNKNOWN, f"it belongs to endpoint {challenge.endpoint}", security=True)
    # A replay stays a security event after the challenge expired, so use is looked at before expiry.
    if challenge.consumed_at is not None:
        return _used(request, challenge)
    if challenge.revoked_at is not None:
        return Denied(reasons.CHALLENGE_REVOKED, f"revoked {challenge.revoked_at:%Y-%m-%d %H:%M} UTC")
    if challenge.expires_at <= request.received_at:
        return Denied(reasons.CHALLENGE_EXPIRED, f"expired {challenge.expires_at:%Y-%m-%d %H:%M} UTC")
    lineage = LineageLink(
        first=enrolment_id,
        generation=0,
        predecessor=None,
        binding=challenge.binding,
        device=challenge.device,
        asked=request.csr.asked,
        challenge_mac=challenge.mac,
        unverified=not challenge.binding,
    )
    return Evidence(
        Authorisation(AuthorisationKind.CHALLENGE, f"challenge {challenge.id}", challenge.id),
        lineage,
        challenge.binding or None,
        f"one-time challenge {challenge.id}, created by {challenge.created_by}",
    )


def _used(request: EnrolmentRequest, challenge: Challenge) -> Denied:
    first_key = challenge.consumed_key or b""
    facts = {
        "challenge": str(challenge.id),
        "used_by_enrolment": str(challenge.consumed_by),
        "first_key_sha256": first_key.hex(),
        "first_source": challenge.consumed_source,
        "this_key_sha256": request.key_sha256.hex(),
        "this_source": request.source,
    }
    if first_key == request.key_sha256:
        return Denied(reasons.CHALLENGE_USED, f"used {challenge.consumed_at:%Y-%m-%d %H:%M} UTC", facts={**facts})
    detail = (
        f"first used {challenge.consumed_at:%Y-%m-%d %H:%M} UTC by key {first_key.hex()[:16]}… from "
        f"{challenge.consumed_source}; now shown with key {request.key_sha256.hex()[:16]}… from {request.source}"
    )
    return Denied(reasons.CHALLENGE_REPLAYED, detail, security=True, facts={**facts})


def authorise_renewal(request: EnrolmentRequest, signer: Certificate, before: LineageLink) -> Evidence | Denied:
    """Let a live certificate vouch for its successor; its challenge is not evidence (R4).

    certmonger and scepclient repeat the challenge they enrolled with on each renewal: that one is ignored, any other
    is refused.
    """
    if request.challenge_mac is not None and request.challenge_mac != before.challenge_mac:
        return Denied(reasons.RENEWAL_CHALLENGE_WRONG, security=True)
    lineage = LineageLink(
        first=before.first,
        generation=signer.intent.generation + 1,
        predecessor=signer.id,
        binding=before.binding,
        device=before.device,
        asked=before.asked,
        challenge_mac=before.challenge_mac,
        unverified=before.unverified,
    )
    return Evidence(
        Authorisation(AuthorisationKind.RENEWAL, f"certificate {signer.serial:x}"),
        lineage,
        # Recomputed from the binding (REN-3); a bearer's chain has none, so it keeps the name that we gave it.
        before.binding or signer.intent.names,
        f"signed with certificate {signer.serial:x}, generation {signer.intent.generation}",
    )


def authorise_resumption(request: EnrolmentRequest, enrolment: Enrolment, lineage: LineageLink) -> Evidence:
    """Let a conversation whose intent was abandoned go on: its evidence was judged and consumed by itself (I4)."""
    renewal = request.signer is not None
    kind = AuthorisationKind.RENEWAL if renewal else AuthorisationKind.CHALLENGE
    bound = enrolment.allowed if renewal else lineage.binding
    return Evidence(
        Authorisation(kind, f"enrolment {enrolment.id}"),
        lineage,
        bound or None,
        f"resumed: its certificate {enrolment.certificate_id} was abandoned before it was signed",
    )
