"""Issuing: one straight function, numbered as in DESIGN §4 and security.md §6.

`prepare_leaf` makes a `Prepared` (serial, to-be-signed octets, lint); `Issuer.issue` records it, has it signed and
records that. There is no other way to a leaf certificate, and what was not linted cannot be signed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from regalia import reasons
from regalia.ca.crl_plan import shard_of
from regalia.ca.lint import lint_leaf
from regalia.ca.profile import leaf_tbs
from regalia.ca.serial import new_serial
from regalia.errors import InvariantError, Stage, UnavailableError
from regalia.model import (
    Action,
    Actor,
    AuthorityState,
    Certificate,
    CertificateIntent,
    CertificateKind,
    CertificateState,
    Denied,
    EventDraft,
    Outcome,
    StageNote,
    Unavailable,
    new_id,
)
from regalia.ports import Begun
from regalia.wire.certificate import (
    SignatureAlgorithm,
    assemble,
    encode_tbs,
    read_certificate,
    signature_algorithm_for,
    verify_signature,
)
from regalia.wire.names import name_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from regalia.ca.urls import Urls
    from regalia.model import Enrolment, IssueOrder, JsonValue
    from regalia.ports import Clock, Entropy, IntentSigner, Issuance
    from regalia.ports.fleet import Notice

__all__ = ["LEASE", "Issuer", "Prepared", "certificate_event", "halted", "prepare_leaf"]

LEASE = timedelta(seconds=60)
"""How long an intent belongs to the worker that began it, unless the settings say otherwise (R8)."""
_ISSUES = frozenset({AuthorityState.NEXT, AuthorityState.ACTIVE})


@dataclass(frozen=True, slots=True)
class Prepared:
    """A certificate that was built and linted, and not yet recorded. Made by `prepare_leaf` and `authority`."""

    intent: CertificateIntent
    """Its lease begins when `Issuer.issue` records it."""
    algorithm: SignatureAlgorithm
    signer_key: bytes
    """DER SubjectPublicKeyInfo that the signature must verify with."""
    facts: Mapping[str, JsonValue] = field(default_factory=dict)
    """What else its events tell: the variables that its names were made of."""


def prepare_leaf(
    order: IssueOrder, *, now: datetime, entropy: Entropy, serial_prefix: int, urls: Urls
) -> Prepared | Denied | Unavailable:
    """Steps 2 and 3: draw the serial, build the TBSCertificate, lint exactly these octets.

    A finding is a refusal (CA-001): nothing was stored, nothing will be signed.
    """
    authority, profile = order.door.authority, order.door.profile
    issuer = read_certificate(authority.certificate_der)
    # A next authority issues to whoever encrypted to its own RA, and that is the only way to a door with it.
    if authority.state not in _ISSUES or not issuer.not_before <= now < issuer.not_after:
        return Unavailable(reasons.ISSUER_UNAVAILABLE, f"authority {authority.name} is {authority.state} or not valid")
    serial = new_serial(entropy, now, serial_prefix)
    tbs = leaf_tbs(
        profile,
        authority,
        serial=serial,
        names=order.names,
        public_key=order.public_key,
        now=now,
        urls=urls,
        assurance=order.assurance,
    )
    octets = encode_tbs(tbs)
    findings = lint_leaf(
        octets,
        profile=profile,
        authority=authority,
        names=order.names,
        public_key=order.public_key,
        urls=urls,
        assurance=order.assurance,
    )
    if findings:
        return Denied(reasons.LINT_REFUSED, "; ".join(findings), asked=order.enrolment.asked, allowed=order.names)
    lineage = order.enrolment.lineage
    intent = CertificateIntent(
        id=new_id(now, entropy.octets(10)),
        kind=CertificateKind.LEAF,
        authority=authority.name,
        key_id=authority.key_id,
        serial=serial,
        tbs=octets,
        group=order.door.group.name,
        profile=profile.name,
        profile_version=profile.version,
        subject=name_text(tbs.subject),
        names=order.names,
        device=order.device,
        device_id=lineage.device_id if lineage is not None else None,
        user_id=lineage.user_id if lineage is not None else None,
        unverified=order.unverified,
        key_sha256=hashlib.sha256(order.public_key).digest(),
        not_before=tbs.not_before,
        not_after=tbs.not_after,
        enrolment_id=order.enrolment.id,
        generation=lineage.generation if lineage is not None else 0,
        lease_until=now,
        created_at=now,
        shard=shard_of(serial, authority.crl_shards),
    )
    facts: dict[str, JsonValue] = {"inputs": dict(order.inputs)} if order.inputs else {}
    return Prepared(intent, signature_algorithm_for(authority.key_kind), issuer.public_key, facts)


_HALTED: Final = {
    Begun.GROUP_SUSPENDED: reasons.GROUP_SUSPENDED,
    Begun.AUTHORITY_ENDED: reasons.ISSUER_UNAVAILABLE,
}


def halted(begun: Begun, intent: CertificateIntent) -> Unavailable | None:
    """Say why nothing is issued at present; None where a race was lost, so that it is to be looked at again."""
    if begun not in _HALTED:
        return None
    return Unavailable(_HALTED[begun], f"group {intent.group}, authority {intent.authority}: {begun}")


class Issuer:
    """Records, signs, records (R8)."""

    def __init__(self, issuance: Issuance, signer: IntentSigner, clock: Clock, *, lease: timedelta = LEASE) -> None:
        """`lease` is how long recovery leaves an intent to the worker that began it."""
        self._issuance = issuance
        self._signer = signer
        self._clock = clock
        self._lease = lease

    def issue(
        self,
        prepared: Prepared,
        *,
        actor: Actor,
        enrolment: Enrolment | None = None,
        consume: UUID | None = None,
        closes: UUID | None = None,
        resumes: UUID | None = None,
        approves: bool = False,
        also: Sequence[EventDraft] = (),
        notice: Notice | None = None,
    ) -> Certificate | Begun:
        """Steps 4 to 6. Returns the issued certificate, or how the race for it was lost.

        `consume`, `closes`, `resumes`, `approves` and `notice` are those of `ports.Issuance.begin`; `also` are events
        of what the intent decides, committed with it and before its own. Raises `UnavailableError` where the signer or
        the store cannot be reached after the intent was committed: recovery finishes it, and the same request then
        gets the same certificate.
        """
        intent = replace(prepared.intent, lease_until=self._clock.now() + self._lease)
        prepared = replace(prepared, intent=intent)
        begin = self._issuance.begin if notice is None else partial(self._issuance.begin, notice=notice)
        begun = begin(
            intent,
            (
                *also,
                certificate_event(
                    Action.CERTIFICATE_INTENT,
                    intent,
                    actor,
                    intent.created_at,
                    enrolment=enrolment,
                    details=dict(prepared.facts),
                ),
            ),
            enrolment=enrolment,
            consume=consume,
            closes=closes,
            resumes=resumes,
            approves=approves,
        )
        if begun is not Begun.BEGUN:
            return begun
        return self.complete(prepared, actor=actor, enrolment=enrolment)

    def complete(self, prepared: Prepared, *, actor: Actor, enrolment: Enrolment | None = None) -> Certificate:
        """Steps 5 and 6 for a committed intent; recovery calls it too, and gets the same octets (ISS-2)."""
        intent = prepared.intent
        signature = self._signer.sign_intent(intent.id)
        if not verify_signature(intent.tbs, prepared.algorithm, signature, prepared.signer_key):
            raise InvariantError(f"the signature of intent {intent.id} does not verify with its authority's key")
        der = assemble(intent.tbs, prepared.algorithm, signature)
        now = self._clock.now()
        event = certificate_event(Action.CERTIFICATE_ISSUED, intent, actor, now, enrolment=enrolment)
        note = StageNote(
            Stage.ISSUANCE, ok=True, note=f"signed by {intent.authority}, serial {intent.serial:x}", at=now
        )
        if not self._issuance.finish(intent.id, der, now, (event,), (note,)):
            # Recovery closed it meanwhile: this worker had stalled beyond its lease.
            raise UnavailableError(reasons.IN_PROGRESS, f"intent {intent.id} was closed by recovery")
        return Certificate(intent, CertificateState.ISSUED, der, now, None)


def certificate_event(
    action: Action,
    intent: CertificateIntent,
    actor: Actor,
    at: datetime,
    *,
    enrolment: Enrolment | None = None,
    details: dict[str, JsonValue] | None = None,
) -> EventDraft:
    """Describe what happened to a certificate."""
    facts: dict[str, JsonValue] = {
        "kind": intent.kind.value,
        "authority": intent.authority,
        "subject": intent.subject,
        "names": list(intent.names.listed()),
        "key_sha256": intent.key_sha256.hex(),
    }
    if intent.profile is not None:
        facts["profile"] = f"{intent.profile} v{intent.profile_version}"
        facts["unverified"] = intent.unverified
    if intent.device is not None:
        facts["device"] = intent.device
    # Which record a certificate follows is told here too: whoever turns a row away from it stops its revocation.
    facts |= {key: str(value) for key, value in intent.records().items()}
    if enrolment is not None:
        facts["enrolment"] = str(enrolment.id)
    if action is Action.CERTIFICATE_INTENT:
        facts["tbs_sha256"] = hashlib.sha256(intent.tbs).hexdigest()
    return EventDraft(
        at=at,
        actor=actor,
        action=action,
        object=f"certificate:{intent.serial:x}",
        outcome=Outcome.OK,
        group=intent.group,
        transaction_id=enrolment.key.transaction_id.decode("utf-8", "replace") if enrolment is not None else None,
        serial=f"{intent.serial:x}",
        details=facts | (details or {}),
    )
