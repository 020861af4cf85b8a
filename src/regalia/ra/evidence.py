"""Evidence: the only room where an `Authorisation` for a device is made (MSG-1, AUTHZ-2).

Each function takes a request and what the store knows, and returns `Evidence` or a `Denied` with its reason.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import unquote

from regalia import reasons
from regalia.errors import InvariantError
from regalia.model import Authorisation, AuthorisationKind, Authoriser, Denied, LineageLink, RevocationReason, SanKind
from regalia.ports.fleet import FOLLOWED
from regalia.ra.bearers import NOBODY, check_bearers, is_of_user
from regalia.ra.request import Evidence
from regalia.ra.superseding import KeyVerdict, judge_key, live_certificate
from regalia.wire.names import SID_URI

if TYPE_CHECKING:
    from uuid import UUID

    from regalia.model import Actor, Certificate, Challenge, Enrolment, Names
    from regalia.ra.bearers import Word
    from regalia.ra.request import EnrolmentRequest, Vouched
    from regalia.ra.superseding import KeyDecision

__all__ = [
    "authorise_approval",
    "authorise_keyed_renewal",
    "authorise_order",
    "authorise_renewal",
    "authorise_resumption",
    "judge_challenge",
    "judge_verdict",
]


def judge_challenge(request: EnrolmentRequest, challenge: Challenge | None, enrolment_id: UUID) -> Evidence | Denied:
    """Judge the challenge of a first enrolment: only the kind that the endpoint's authoriser takes (AUTHZ-2).

    `challenge` was looked up by its keyed hash (CHA-1, CHA-2). That is the comparison, and its time tells nothing:
    without the key nobody can choose a hash, so how much of one agrees with a stored one says nothing of the secret.
    """
    if request.challenge_mac is None:
        return Denied(reasons.CHALLENGE_MISSING)
    if challenge is None:
        return Denied(reasons.CHALLENGE_UNKNOWN)
    endpoint = request.door.endpoint
    if challenge.endpoint != endpoint.name:
        return Denied(reasons.CHALLENGE_UNKNOWN, f"it belongs to endpoint {challenge.endpoint}", security=True)
    if challenge.reusable is (endpoint.authoriser is Authoriser.ONE_TIME):
        kind = "static" if challenge.reusable else "one-time"
        return Denied(reasons.CHALLENGE_UNKNOWN, f"it is {kind}, which the endpoint does not take", security=True)
    ended = _ended(request, challenge)
    if ended is not None:
        return ended
    return Evidence(
        _authorisation(endpoint.authoriser, challenge),
        _first_link(request, challenge, enrolment_id),
        challenge.binding or None,
        f"{'static' if challenge.reusable else 'one-time'} challenge {challenge.id}, created by {challenge.created_by}",
    )


def judge_verdict(request: EnrolmentRequest, word: Word, enrolment_id: UUID) -> Evidence | Denied:
    """Judge a connector's yes: the only maker of its authorisation (CON-4).

    Whom it named must belong here and be fit for a certificate. A SID that it repeats from the request is left out: one
    comes from the record alone. Where its yes is not about this very request, a second key waits for a person.
    """
    endpoint, profile, bearers = request.door.endpoint, request.door.profile, word.bearers
    if endpoint.authoriser is not Authoriser.CONNECTOR or endpoint.connector != word.connector:
        raise InvariantError(f"connector {word.connector} was asked for endpoint {endpoint.name}")
    of_user = is_of_user(profile, bearers)
    refused = check_bearers(request, bearers, of_user=of_user)
    if refused is not None:
        return refused
    key = _key_of(request, word)
    waits = key.why if key.verdict is KeyVerdict.HELD else _held_by_a_person(request, word)
    said = "; ".join((*word.notes, key.why))
    lineage = _vouched_link(request, word, enrolment_id, of_user=of_user)
    authorisation = None if waits else Authorisation(AuthorisationKind.CONNECTOR, said)
    return Evidence(authorisation, lineage, lineage.binding or None, said, bearers, waits)


def _key_of(request: EnrolmentRequest, word: Word) -> KeyDecision:
    return judge_key(
        map(live_certificate, word.beside),
        request.key_sha256,
        group=request.door.group.name,
        profile=request.door.profile.name,
        own_verdict=word.verdict.fresh,
        now=request.received_at,
    )


def _vouched_link(request: EnrolmentRequest, word: Word, enrolment_id: UUID, *, of_user: bool) -> LineageLink:
    """Bind a chain to whom the connector named; its names are what may be asked for."""
    names, device, user = _without_sid(word.verdict.names), word.bearers.device, word.bearers.user
    return LineageLink(
        first=enrolment_id,
        generation=0,
        predecessor=None,
        binding=names,
        device=device.external_id if device is not None else None,
        asked=request.csr.asked,
        challenge_mac=request.challenge_mac,
        unverified=not names and word.bearers == NOBODY,
        device_id=device.id if device is not None else None,
        user_id=user.id if of_user and user is not None else None,
    )


def _held_by_a_person(request: EnrolmentRequest, word: Word) -> str:
    """Say which certificate of the device an administrator suspended: another key does not get round that."""
    for each in word.beside:
        ended = each.revocation
        if ended is None or each.intent.key_sha256 == request.key_sha256 or ended.cause in FOLLOWED:
            continue
        if each.intent.group == request.door.group.name and ended.reason is RevocationReason.CERTIFICATE_HOLD:
            return f"a new key, while certificate {each.serial:x} of the device is on hold by {ended.actor}"
    return ""


def _without_sid(names: Names) -> Names:
    sans = frozenset(
        san
        for san in names.sans
        if not (san.kind is SanKind.URI and unquote(san.value).casefold().startswith(SID_URI.casefold()))
    )
    return replace(names, sans=sans, sid=None)


def _authorisation(authoriser: Authoriser, challenge: Challenge) -> Authorisation | None:
    """What the challenge is worth here; nothing yet where it only lets a request into the queue (POL-3)."""
    by = f"challenge {challenge.id}"
    match authoriser:
        case Authoriser.ONE_TIME:
            return Authorisation(AuthorisationKind.CHALLENGE, by, challenge.id)
        case Authoriser.STATIC:
            return Authorisation(AuthorisationKind.STATIC, by)
        case Authoriser.APPROVAL:
            return None
        case Authoriser.CONNECTOR:
            raise InvariantError(f"{by} was judged at an endpoint whose connector vouches")


def _first_link(request: EnrolmentRequest, challenge: Challenge, enrolment_id: UUID) -> LineageLink:
    return LineageLink(
        first=enrolment_id,
        generation=0,
        predecessor=None,
        binding=challenge.binding,
        device=challenge.device,
        asked=request.csr.asked,
        challenge_mac=challenge.mac,
        unverified=not challenge.binding,
    )


def _ended(request: EnrolmentRequest, challenge: Challenge) -> Denied | None:
    # A replay stays a security event after the challenge expired, so use is looked at before expiry.
    if challenge.consumed_at is not None:
        return _used(request, challenge)
    if challenge.revoked_at is not None:
        return Denied(reasons.CHALLENGE_REVOKED, f"revoked {challenge.revoked_at:%Y-%m-%d %H:%M} UTC")
    if challenge.expires_at <= request.received_at:
        return Denied(reasons.CHALLENGE_EXPIRED, f"expired {challenge.expires_at:%Y-%m-%d %H:%M} UTC")
    return None


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
    return _renewal(signer, before, None)


def authorise_keyed_renewal(
    request: EnrolmentRequest, signer: Certificate, before: LineageLink, challenge: Challenge | None
) -> Evidence | Denied:
    """Let a live certificate vouch whose key cannot decrypt: a fresh challenge keys its answer, and is consumed (R4).

    `challenge` was looked up by its keyed hash. It must be what would enrol this device anew: a one-time challenge of
    this endpoint with the binding and the device of the chain.
    """
    if challenge is None or request.challenge_mac == before.challenge_mac:
        which = "none" if request.challenge_mac is None else "an unknown one" if challenge is None else "its first one"
        return Denied(reasons.RENEWAL_NEEDS_CHALLENGE, f"it has {which}")
    endpoint = request.door.endpoint
    if challenge.endpoint != endpoint.name or challenge.reusable or endpoint.authoriser is not Authoriser.ONE_TIME:
        return Denied(
            reasons.RENEWAL_NEEDS_CHALLENGE,
            f"it has one of another kind, of endpoint {challenge.endpoint}",
            security=True,
        )
    if (challenge.binding, challenge.device) != (before.binding, before.device):
        return Denied(
            reasons.RENEWAL_NEEDS_CHALLENGE,
            "it has one for other names or another device",
            asked=challenge.binding,
            allowed=before.binding,
            security=True,
        )
    return _ended(request, challenge) or _renewal(signer, before, challenge)


def _renewal(signer: Certificate, before: LineageLink, challenge: Challenge | None) -> Evidence:
    lineage = LineageLink(
        first=before.first,
        generation=signer.intent.generation + 1,
        predecessor=signer.id,
        binding=before.binding,
        device=before.device,
        asked=before.asked,
        challenge_mac=before.challenge_mac,
        unverified=before.unverified,
        device_id=before.device_id,
        user_id=before.user_id,
    )
    return Evidence(
        Authorisation(
            AuthorisationKind.RENEWAL,
            f"certificate {signer.serial:x}" + (f" and challenge {challenge.id}" if challenge is not None else ""),
            challenge.id if challenge is not None else None,
        ),
        lineage,
        # Recomputed from the binding (REN-3); a bearer's chain has none, so it keeps the name that we gave it.
        before.binding or signer.intent.names,
        f"signed with certificate {signer.serial:x}, generation {signer.intent.generation}",
    )


def authorise_approval(enrolment: Enrolment, lineage: LineageLink, actor: Actor) -> Evidence:
    """Let an administrator vouch for exactly the names that a pending enrolment would be granted (POL-1, POL-3)."""
    by = f"{actor.kind} {actor.id}"
    return Evidence(Authorisation(AuthorisationKind.APPROVAL, by), lineage, enrolment.allowed, f"approved by {by}")


def authorise_order(request: EnrolmentRequest, vouched: Vouched, enrolment_id: UUID) -> Evidence:
    """Let an administrator vouch for the names of a certificate that no device asks for; they are the binding."""
    by = f"{vouched.actor.kind} {vouched.actor.id}"
    lineage = LineageLink(
        first=enrolment_id,
        generation=0,
        predecessor=None,
        binding=vouched.names,
        device=vouched.device,
        asked=request.csr.asked,
        challenge_mac=None,
        unverified=False,
    )
    return Evidence(
        Authorisation(AuthorisationKind.ADMINISTRATOR, by), lineage, vouched.names, f"ordered by {by}, who vouches"
    )


_VOUCHED = {
    Authoriser.ONE_TIME: AuthorisationKind.CHALLENGE,
    Authoriser.STATIC: AuthorisationKind.STATIC,
    Authoriser.APPROVAL: AuthorisationKind.APPROVAL,
    Authoriser.CONNECTOR: AuthorisationKind.CONNECTOR,
}
"""What vouched for a first enrolment that got as far as a certificate, by its endpoint's authoriser."""


def authorise_resumption(request: EnrolmentRequest, enrolment: Enrolment, lineage: LineageLink) -> Evidence:
    """Let a conversation whose intent was abandoned go on: its evidence was judged and consumed by itself (I4)."""
    renewal = request.signer is not None
    kind = AuthorisationKind.RENEWAL if renewal else _VOUCHED[request.door.endpoint.authoriser]
    if request.vouched is not None:
        kind = AuthorisationKind.ADMINISTRATOR
    bound = enrolment.allowed if renewal else lineage.binding
    return Evidence(
        Authorisation(kind, f"enrolment {enrolment.id}"),
        lineage,
        bound or None,
        f"resumed: its certificate {enrolment.certificate_id} was abandoned before it was signed",
    )
