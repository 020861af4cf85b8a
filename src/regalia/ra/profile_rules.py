"""What a profile asks of a request besides its names and its key's form: conditions, renewal, limits, fresh keys."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from regalia import reasons
from regalia.ca.profile_conditions import Circumstances, require
from regalia.errors import PeerError
from regalia.model import Authoriser, CertificateKind, CertificateState, Denied, KeyReuse
from regalia.ports import CertificateFilter, Certificates
from regalia.ra.granting import facts_for
from regalia.wire.names import encode_name, name_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from regalia.model import Authorisation, Certificate, LineageLink, Names, RenewalRule
    from regalia.ra.granting import Basis, Granted
    from regalia.ra.request import EnrolmentRequest

__all__ = ["check_conditions", "check_limits", "check_renewal", "check_reuse"]

_DAY = timedelta(days=1)
_LOOKED_AT = 1000
"""Certificates of a device that are counted at most, as many as a limit may allow."""


class CountedCertificates(Certificates, Protocol):
    """What is counted."""


def check_conditions(request: EnrolmentRequest, basis: Basis, granted: Granted) -> Denied | None:
    """Judge the profile's expressions, and its last day; what cannot be evaluated refuses (AUTHZ-3)."""
    profile = request.door.profile
    expiry = profile.expiry
    if expiry is not None and expiry.until is not None and request.received_at >= expiry.until:
        return Denied(reasons.CONDITION_UNMET, f"validity.until was {expiry.until:%Y-%m-%d}", asked=request.csr.asked)
    if not profile.conditions:
        return None
    given = Circumstances(
        facts=facts_for(request, basis),
        names=granted.names,
        public_key=request.csr.public_key,
        generation=basis.lineage.generation,
        source=request.source,
        assurance=granted.assurance,
        now=request.received_at,
    )
    try:
        require(profile.conditions, given)
    except PeerError as fault:
        return Denied(fault.reason, fault.detail, asked=request.csr.asked, allowed=granted.names)
    return None


def check_reuse(request: EnrolmentRequest, same_key: Sequence[Certificate]) -> Denied | None:
    """Refuse a key that was certified before, where the profile wants a new one each time.

    A certificate that was abandoned before it was signed does not count: its request is judged again (I4).
    """
    if request.door.profile.key_reuse is not KeyReuse.NEVER:
        return None
    earlier = next((each for each in same_key if each.state is not CertificateState.ABANDONED), None)
    if earlier is None:
        return None
    return Denied(reasons.KEY_REUSED, f"certificate {earlier.serial:x} has it", asked=request.csr.asked)


def check_renewal(
    request: EnrolmentRequest, signer: Certificate, lineage: LineageLink, authorisation: Authorisation | None
) -> Denied | None:
    """REN-4: a renewal comes within the profile's window, and no more often than it allows.

    One with a fresh challenge was authorised anew, however many went before it.
    """
    rule = request.door.profile.renewal
    if rule is None:
        return None
    opens = _opens(signer, rule)
    if opens is not None and request.received_at < signer.intent.not_after - opens:
        moment = signer.intent.not_after - opens
        return Denied(reasons.RENEWAL_EARLY, f"the window opens {moment:%Y-%m-%d %H:%M} UTC", asked=request.csr.asked)
    fresh = authorisation is not None and authorisation.challenge_id is not None
    if rule.most is not None and lineage.generation > rule.most and not fresh:
        return Denied(
            reasons.RENEWALS_SPENT,
            f"generation {signer.intent.generation} is the last of {rule.most}",
            asked=request.csr.asked,
        )
    return None


def _opens(signer: Certificate, rule: RenewalRule) -> timedelta | None:
    if rule.share is not None:
        return (signer.intent.not_after - signer.intent.not_before) * rule.share / 100
    return rule.window


def check_limits(
    request: EnrolmentRequest, lineage: LineageLink, names: Names, store: CountedCertificates
) -> Denied | None:
    """Count what a device has under this profile: by its id, or by its subject where nobody named a device.

    A renewal takes its predecessor's place, so that only first enrolments count against those that live.
    """
    limits = request.door.profile.limits
    if limits is None:
        return None
    now = request.received_at
    if request.signer is not None:
        begun = store.begun_since(now - _DAY, chain=lineage.first)
        return _over("in 24 hours", begun, limits.per_day, request)
    found = [each for each in _held(request, lineage, names, store) if each.state is not CertificateState.ABANDONED]
    today = sum(each.intent.created_at >= now - _DAY for each in found)
    live = sum(each.revocation is None and each.intent.not_after >= now for each in found)
    # Where a connector vouches for each request the oldest makes room: a device that lost its key is not locked out.
    most = limits.live if request.door.endpoint.authoriser is not Authoriser.CONNECTOR else None
    return _over("in 24 hours", today, limits.per_day, request) or _over("live", live, most, request)


def _held(
    request: EnrolmentRequest, lineage: LineageLink, names: Names, store: CountedCertificates
) -> Sequence[Certificate]:
    profile = request.door.profile
    device = lineage.device
    subject = None
    if device is None:
        subject = name_text(encode_name(cn=names.cn, organisation=profile.organisation, rdns=names.rdns))
    wanted = CertificateFilter(kind=CertificateKind.LEAF, subject=subject, device=device, limit=_LOOKED_AT)
    return [each for each in store.certificates(wanted) if each.intent.profile == profile.name]


def _over(what: str, count: int, most: int | None, request: EnrolmentRequest) -> Denied | None:
    if most is None or count < most:
        return None
    return Denied(
        reasons.PROFILE_QUOTA,
        f"{count} {what}, where the profile allows {most}",
        asked=request.csr.asked,
        facts={"count": count, "limit": most},
    )
