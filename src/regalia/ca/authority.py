"""Our own certificates: roots, issuing authorities, and the RA, OCSP and TLS credentials that serve them.

Each goes the way of every other certificate (R8): key, to-be-signed octets, full lint on a specimen, committed intent,
signature by row id, committed result. Only then does it become an `Authority` or a `Credential`. A crash in between
leaves a certificate that nothing refers to; the same command makes another.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from regalia import reasons
from regalia.ca.crl_plan import check_name
from regalia.ca.issue import Prepared
from regalia.ca.lint import lint_full
from regalia.ca.revoke import revoke
from regalia.ca.scopes import ROOT_SCOPE, ca_ra_scope, ca_scope, ocsp_scope, ra_scope, tls_scope
from regalia.ca.serial import NODE_PREFIX, new_serial
from regalia.ca.templates import Subject, issuing_tbs, ocsp_tbs, ra_tbs, root_tbs, tls_tbs
from regalia.errors import AdminError, InvariantError, UnavailableError
from regalia.model import (
    Action,
    Authority,
    AuthorityKind,
    AuthorityState,
    Certificate,
    CertificateIntent,
    CertificateKind,
    Credential,
    CredentialPurpose,
    EventDraft,
    KeyKind,
    Names,
    Outcome,
    new_id,
)
from regalia.wire.certificate import assemble, encode_tbs, read_certificate, signature_algorithm_for
from regalia.wire.event import time_text
from regalia.wire.names import name_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from regalia.ca.issue import Issuer
    from regalia.ca.urls import Urls
    from regalia.model import Actor, JsonValue, RevocationReason, San
    from regalia.ports import Authorities, Certificates, Clock, Entropy, KeyStore, NewKey
    from regalia.wire.certificate import TbsCertificate

__all__ = [
    "AUTHORITY_NAME",
    "Ceremony",
    "Signatory",
    "prepare_own",
    "renewal_due",
    "revoke_authority",
]

AUTHORITY_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,39}")
"""What an authority may be called: a part of URLs and of its certificate's name."""

_COMMON_NAME_LIMIT: Final = 64
"""ub-common-name (RFC 5280 appendix A.1)."""
_ONLY_ACTIVE: Final = frozenset({AuthorityState.ACTIVE})
_SIGNS: Final = {
    CredentialPurpose.RA: frozenset({AuthorityState.NEXT, AuthorityState.ACTIVE}),
    CredentialPurpose.OCSP: frozenset(AuthorityState) - {AuthorityState.RETIRED},
    CredentialPurpose.TLS: _ONLY_ACTIVE,
}
"""In which states an authority gets credentials: whoever issued goes on to say what became of it."""
_KINDS: Final = {
    CredentialPurpose.RA: CertificateKind.RA,
    CredentialPurpose.OCSP: CertificateKind.OCSP,
    CredentialPurpose.TLS: CertificateKind.TLS,
}


@dataclass(frozen=True, slots=True)
class Signatory:
    """Who signs: an authority, or the key that is about to be a root's."""

    authority: str
    key_id: UUID
    key_kind: KeyKind
    public_key: bytes
    """DER SubjectPublicKeyInfo."""

    @classmethod
    def of(cls, authority: Authority) -> Signatory:
        """Name an authority as the one who signs."""
        public_key = read_certificate(authority.certificate_der).public_key
        return cls(authority.name, authority.key_id, authority.key_kind, public_key)


def prepare_own(
    kind: CertificateKind,
    tbs: TbsCertificate,
    signatory: Signatory,
    *,
    subject: Subject,
    group: str | None,
    entropy: Entropy,
    sans: frozenset[San] = frozenset(),
) -> Prepared:
    """Lint a certificate of our own in full and make it ready for `Issuer.issue`.

    pkilint reads finished certificates: the specimen has the octets that will be signed, under the signature of a
    throwaway key of the same kind (R8). Raises `AdminError` CA-001 with its findings.
    """
    octets = encode_tbs(tbs)
    findings = lint_full(assemble(octets, tbs.signature, _throwaway_signature(signatory.key_kind, octets)))
    if findings:
        raise AdminError(reasons.LINT_REFUSED, "; ".join(findings))
    intent = CertificateIntent(
        id=new_id(subject.now, entropy.octets(10)),
        kind=kind,
        authority=signatory.authority,
        key_id=signatory.key_id,
        serial=tbs.serial,
        tbs=octets,
        group=group,
        profile=None,
        profile_version=None,
        subject=name_text(tbs.subject),
        names=Names(subject.cn, sans),
        device=None,
        unverified=False,
        key_sha256=hashlib.sha256(tbs.public_key).digest(),
        not_before=tbs.not_before,
        not_after=tbs.not_after,
        enrolment_id=None,
        generation=0,
        lease_until=subject.now,
        created_at=subject.now,
    )
    return Prepared(intent, tbs.signature, signatory.public_key)


def _throwaway_signature(kind: KeyKind, octets: bytes) -> bytes:
    algorithm = signature_algorithm_for(kind).hash
    if kind is KeyKind.P256:
        return ec.generate_private_key(ec.SECP256R1()).sign(octets, ec.ECDSA(algorithm))
    if kind is KeyKind.P384:
        return ec.generate_private_key(ec.SECP384R1()).sign(octets, ec.ECDSA(algorithm))
    key = rsa.generate_private_key(public_exponent=65537, key_size=int(kind.removeprefix("rsa-")))
    return key.sign(octets, padding.PKCS1v15(), algorithm)


class Ceremony:
    """Makes authorities and credentials. Each method is done, durably, when it returns."""

    def __init__(
        self,
        issuer: Issuer,
        *,
        authorities: Authorities,
        keys: KeyStore,
        clock: Clock,
        entropy: Entropy,
        urls: Urls,
        serial_prefix: int = NODE_PREFIX,
    ) -> None:
        self._issuer = issuer
        self._authorities = authorities
        self._keys = keys
        self._clock = clock
        self._entropy = entropy
        self._urls = urls
        self._serial_prefix = serial_prefix

    def create_root(
        self, name: str, *, actor: Actor, organisation: str | None = None, key_kind: KeyKind = KeyKind.P384
    ) -> Authority:
        """Make a root for 20 years, self-signed through the same port as everything else.

        Its common name ends with the beginning of its key's hash, so that two installations never have roots of one
        name. Raises `AdminError` ADM-003 or ADM-005 for the name, CA-001 where the lint finds something.
        """
        self.check_name(name)
        key = self.new_key(key_kind, ROOT_SCOPE, actor)
        subject = self.subject(f"Regalia Root {_short_hash(key)}", key, organisation)
        prepared = prepare_own(
            CertificateKind.ROOT,
            root_tbs(key_kind, subject),
            Signatory(name, key.id, key_kind, key.public_key),
            subject=subject,
            group=None,
            entropy=self._entropy,
        )
        authority = Authority(
            name=name,
            kind=AuthorityKind.ROOT,
            parent=None,
            group=None,
            state=AuthorityState.ACTIVE,
            key_id=key.id,
            key_kind=key_kind,
            certificate_id=prepared.intent.id,
            certificate_der=self.issue(prepared, actor),
            created_at=subject.now,
        )
        return self.keep(authority, prepared.intent, actor)

    def create_issuing(
        self,
        name: str,
        *,
        group: str,
        root: Authority,
        actor: Actor,
        organisation: str | None = None,
        key_kind: KeyKind = KeyKind.P256,
        next_until: datetime | Literal[True] | None = None,
        is_ra: bool = False,
    ) -> Authority:
        """Make a group's issuing authority for 8 years, or as long as its root lives.

        `next_until` makes it NEXT, until that time or (True) until somebody activates it. `is_ra` lets its RSA key
        open and sign SCEP messages, too (R2).

        Raises `AdminError` ADM-009 where the root's key is not here, ADM-017 where the root is not active or not
        valid, ADM-003 or ADM-005 for the name, CA-001 where the lint finds something.
        """
        self.check_name(name)
        self.check_issuer(root, AuthorityKind.ROOT)
        if not self._keys.holds(root.key_id):
            raise AdminError(reasons.ROOT_KEY_ELSEWHERE, f"authority {root.name} signs with key {root.key_id}")
        if is_ra and not key_kind.startswith("rsa-"):
            raise AdminError(reasons.CA_AS_RA_REFUSED, f"a {key_kind} key decrypts nothing")
        key = self.new_key(key_kind, ca_ra_scope(group) if is_ra else ca_scope(group), actor)
        subject = self.subject(f"Regalia {name} {_short_hash(key)}", key, organisation)
        prepared = prepare_own(
            CertificateKind.ISSUING,
            issuing_tbs(root, subject, self._urls, is_ra=is_ra),
            Signatory.of(root),
            subject=subject,
            group=group,
            entropy=self._entropy,
        )
        authority = Authority(
            name=name,
            kind=AuthorityKind.ISSUING,
            parent=root.name,
            group=group,
            state=AuthorityState.ACTIVE if next_until is None else AuthorityState.NEXT,
            key_id=key.id,
            key_kind=key_kind,
            certificate_id=prepared.intent.id,
            certificate_der=self.issue(prepared, actor),
            created_at=subject.now,
            activates_at=None if next_until is True else next_until,
        )
        return self.keep(authority, prepared.intent, actor)

    def create_credential(self, purpose: CredentialPurpose, authority: Authority, *, actor: Actor) -> Credential:
        """Make the RA or OCSP credential of an issuing authority: the first, or a successor with a new key.

        Former RA keys stay and decrypt what was encrypted to them (ENV-8). An authority that issues no more goes on to
        answer by OCSP. Raises `AdminError` ADM-017 where the authority is not in a state for it or not valid, CA-001
        where the lint finds something; `UnavailableError` CA-010 where its key is elsewhere.
        """
        group = self._check_signer(authority, _SIGNS[purpose])
        if purpose is CredentialPurpose.RA:
            key = self.new_key(KeyKind.RSA_2048, ra_scope(group), actor)
            subject = self.subject(f"{group} RA", key)
            tbs = ra_tbs(authority, subject, self._urls)
        elif purpose is CredentialPurpose.OCSP:
            key = self.new_key(KeyKind.P256, ocsp_scope(authority.name), actor)
            subject = self.subject(f"{authority.name} OCSP", key)
            tbs = ocsp_tbs(authority, subject)
        else:
            raise InvariantError("a TLS credential has names: create_tls makes it")
        return self._credential(purpose, tbs, authority, key, subject=subject, actor=actor)

    def appoint_ra(self, authority: Authority, *, actor: Actor) -> Credential:
        """Let an issuing authority be its own RA (R2): its certificate and key, no others.

        Raises `AdminError` ADM-017 where it is not in a state for it or not valid, ADM-037 where no worker could open
        its key.
        """
        group = self._check_signer(authority, _SIGNS[CredentialPurpose.RA])
        try:
            self._keys.open(authority.key_id)
        except UnavailableError as error:
            raise AdminError(reasons.CA_AS_RA_REFUSED, error.detail) from error
        facts, now = read_certificate(authority.certificate_der), self._clock.now()
        credential = Credential(
            id=new_id(now, self._entropy.octets(10)),
            purpose=CredentialPurpose.RA,
            group=group,
            authority=authority.name,
            key_id=authority.key_id,
            certificate_id=authority.certificate_id,
            certificate_der=authority.certificate_der,
            not_before=facts.not_before,
            not_after=facts.not_after,
            created_at=now,
        )
        details: dict[str, JsonValue] = {
            "purpose": credential.purpose.value,
            "authority": authority.name,
            "acknowledged": "the authority is its own RA: its key opens messages from strangers",
            "not_after": time_text(facts.not_after),
        }
        event = EventDraft(
            at=now,
            actor=actor,
            action=Action.CREDENTIAL_RENEWED,
            object=f"credential:{credential.id}",
            outcome=Outcome.OK,
            group=group,
            serial=f"{facts.serial:x}",
            security=True,
            details=details,
        )
        self._authorities.add_credential(credential, (event,))
        return credential

    def create_tls(self, authority: Authority, sans: frozenset[San], *, actor: Actor) -> Credential:
        """Make a certificate for the device listener, under these names, with a new key.

        Raises what `create_credential` raises.
        """
        group = self._check_signer(authority, _SIGNS[CredentialPurpose.TLS])
        key = self.new_key(KeyKind.P256, tls_scope(group), actor)
        # Few look at it where there are SANs, but those that list certificates show it. A DNS name may be too long.
        first = next((name.value for name in sorted(sans) if len(name.value) <= _COMMON_NAME_LIMIT), f"{group} TLS")
        subject = self.subject(first, key)
        tbs = tls_tbs(authority, subject, sans, self._urls)
        return self._credential(CredentialPurpose.TLS, tbs, authority, key, subject=subject, actor=actor, sans=sans)

    # --- the steps that they share ---

    def _check_signer(self, authority: Authority, states: frozenset[AuthorityState]) -> str:
        """See that an authority can issue a credential, before a key is made; return its group."""
        self.check_issuer(authority, AuthorityKind.ISSUING, states)
        if authority.group is None:
            raise InvariantError(f"issuing authority {authority.name} belongs to no group")
        if not self._keys.holds(authority.key_id):
            # The renewal job would leave a key behind each time it tries.
            raise UnavailableError(reasons.ISSUER_UNAVAILABLE, f"authority {authority.name} signs elsewhere")
        return authority.group

    def _credential(
        self,
        purpose: CredentialPurpose,
        tbs: TbsCertificate,
        authority: Authority,
        key: NewKey,
        *,
        subject: Subject,
        actor: Actor,
        sans: frozenset[San] = frozenset(),
    ) -> Credential:
        group = authority.group or ""
        prepared = prepare_own(
            _KINDS[purpose],
            tbs,
            Signatory.of(authority),
            subject=subject,
            group=group,
            entropy=self._entropy,
            sans=sans,
        )
        credential = Credential(
            id=new_id(subject.now, self._entropy.octets(10)),
            purpose=purpose,
            group=group,
            authority=authority.name,
            key_id=key.id,
            certificate_id=prepared.intent.id,
            certificate_der=self.issue(prepared, actor),
            not_before=tbs.not_before,
            not_after=tbs.not_after,
            created_at=subject.now,
        )
        self._authorities.add_credential(credential, (self._credential_event(credential, prepared.intent, actor),))
        return credential

    def new_key(self, kind: KeyKind, scope: str, actor: Actor) -> NewKey:
        """Make a key with its event."""

        def told(key: NewKey) -> tuple[EventDraft]:
            details: dict[str, JsonValue] = {"kind": kind.value, "scope": scope, "key_sha256": _key_hash(key)}
            now = self._clock.now()
            return (EventDraft(now, actor, Action.KEY_GENERATED, f"key:{key.id}", Outcome.OK, details=details),)

        return self._keys.generate(kind, scope, told)

    def subject(self, cn: str, key: NewKey, organisation: str | None = None) -> Subject:
        """Say whom a certificate is about, with a new serial, now."""
        serial = new_serial(self._entropy, self._clock.now(), self._serial_prefix)
        return Subject(cn, organisation, key.public_key, serial, self._clock.now())

    def subject_of(self, name: bytes, public_key: bytes, cn: str | None) -> Subject:
        """The same for a DER Name and a key that are somebody else's."""
        serial = new_serial(self._entropy, self._clock.now(), self._serial_prefix)
        return Subject(cn or "", None, public_key, serial, self._clock.now(), name)

    def issue(self, prepared: Prepared, actor: Actor, also: Sequence[EventDraft] = ()) -> bytes:
        """Record, sign, record; return the certificate. `also` are events of what the intent decides."""
        issued = self._issuer.issue(prepared, actor=actor, also=also)
        if not isinstance(issued, Certificate) or issued.der is None:
            # Only an enrolment or a challenge can lose a race, and there is neither.
            raise InvariantError(f"certificate {prepared.intent.id} of our own was not issued: {issued}")
        return issued.der

    def keep(self, authority: Authority, intent: CertificateIntent, actor: Actor) -> Authority:
        """Add an authority that was just certified. Raises `AdminError` ADM-003 where its name was taken meanwhile."""
        details: dict[str, JsonValue] = {
            "kind": authority.kind.value,
            "parent": authority.parent,
            "key_kind": authority.key_kind.value,
            "subject": intent.subject,
            "sha256": hashlib.sha256(authority.certificate_der).hexdigest(),
            "not_after": time_text(intent.not_after),
        }
        event = EventDraft(
            at=self._clock.now(),
            actor=actor,
            action=Action.AUTHORITY_CREATED,
            object=f"authority:{authority.name}",
            outcome=Outcome.OK,
            group=authority.group,
            serial=f"{intent.serial:x}",
            details=details,
        )
        if not self._authorities.add_authority(authority, (event,)):
            raise AdminError(reasons.NAME_TAKEN, f"authority {authority.name}")
        return authority

    def _credential_event(self, credential: Credential, intent: CertificateIntent, actor: Actor) -> EventDraft:
        former = self._authorities.credentials(credential.purpose, credential.authority)
        details: dict[str, JsonValue] = {
            "purpose": credential.purpose.value,
            "authority": credential.authority,
            "replaces": str(former[0].id) if former else None,
            "not_after": time_text(credential.not_after),
        }
        return EventDraft(
            at=self._clock.now(),
            actor=actor,
            action=Action.CREDENTIAL_RENEWED,
            object=f"credential:{credential.id}",
            outcome=Outcome.OK,
            group=credential.group,
            serial=f"{intent.serial:x}",
            details=details,
        )

    def check_name(self, name: str) -> None:
        """Raise `AdminError` ADM-005 for a name that cannot be one, ADM-003 for one that is taken."""
        if not AUTHORITY_NAME.fullmatch(name):
            raise AdminError(reasons.NAME_REFUSED, name)
        if self._authorities.authority(name) is not None:
            raise AdminError(reasons.NAME_TAKEN, f"authority {name}")
        check_name(name, self._authorities.authorities())

    def check_issuer(
        self, authority: Authority, kind: AuthorityKind, states: frozenset[AuthorityState] = _ONLY_ACTIVE
    ) -> None:
        """Raise `AdminError` ADM-017 unless an authority of this kind is active and valid now."""
        certificate = read_certificate(authority.certificate_der)
        if authority.kind is not kind or authority.state not in states:
            raise AdminError(reasons.AUTHORITY_STATE, f"{authority.name} is {authority.kind}, {authority.state}")
        if not certificate.not_before <= self._clock.now() < certificate.not_after:
            raise AdminError(reasons.AUTHORITY_STATE, f"{authority.name} is valid until {certificate.not_after}")


def renewal_due(credential: Credential, now: datetime) -> bool:
    """Whether to make a successor: an RA or TLS credential in its last third of life, an OCSP one in its last half."""
    life, left = credential.not_after - credential.not_before, credential.not_after - now
    return left * (2 if credential.purpose is CredentialPurpose.OCSP else 3) < life


def revoke_authority(
    authorities: Authorities,
    certificates: Certificates,
    clock: Clock,
    authority: Authority,
    *,
    reason: RevocationReason,
    actor: Actor,
    note: str = "",
) -> Authority:
    """Revoke an issuing authority's certificate at its root, and let it issue no more. The root's CRL is due then.

    Called again after a crash in between, it does what is left. Raises `AdminError` ADM-008 where all is done
    already, ADM-017 for a root, which nobody can revoke.
    """
    if authority.kind is not AuthorityKind.ISSUING:
        raise AdminError(reasons.AUTHORITY_STATE, f"{authority.name} is a root: remove it where it is trusted instead")
    if authority.state is AuthorityState.REVOKED:
        raise AdminError(reasons.ALREADY_REVOKED, f"authority {authority.name}")
    certificate = certificates.certificate(authority.certificate_id)
    if certificate is None:
        raise InvariantError(f"authority {authority.name} has no certificate row")
    if certificate.revocation is None:
        revoke(certificates, clock, certificate, reason=reason, actor=actor, note=note)
    event = EventDraft(
        at=clock.now(),
        actor=actor,
        action=Action.AUTHORITY_REVOKED,
        object=f"authority:{authority.name}",
        outcome=Outcome.OK,
        group=authority.group,
        serial=f"{certificate.serial:x}",
        details={"reason": reason.name.lower(), "note": note},
    )
    authorities.set_authority_state(authority.name, AuthorityState.REVOKED, (event,), at=event.at)
    return replace(authority, state=AuthorityState.REVOKED, state_since=event.at)


def _key_hash(key: NewKey) -> str:
    return hashlib.sha256(key.public_key).hexdigest()


def _short_hash(key: NewKey) -> str:
    return _key_hash(key)[:8]
