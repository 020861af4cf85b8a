"""Authorities whose issuer's key is elsewhere: a request goes out, a certificate comes back.

On this side are `request`, `accept` and `trust`; on the side of the root's key is `sign`. Neither needs the other's
machine, and what is signed on either goes through committed intents (R8).
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from regalia import reasons
from regalia.ca.adoption import Adoption, Arrival, HierarchyStore, common_name_of
from regalia.ca.authority import Signatory, prepare_own
from regalia.ca.scopes import ca_scope
from regalia.ca.templates import ISSUING_LIFETIME, cross_tbs, subordinate_tbs
from regalia.errors import AdminError, InvariantError
from regalia.model import (
    STANDING_PURPOSES,
    Action,
    Authority,
    AuthorityKind,
    AuthorityRequest,
    AuthorityState,
    CertificateKind,
    EventDraft,
    KeyKind,
    Outcome,
    new_id,
)
from regalia.wire.certificate import (
    assemble,
    authority_information_access,
    basic_constraints,
    crl_distribution_points,
    key_usage,
    read_certificate,
    signature_algorithm_for,
    verify_signature,
)
from regalia.wire.csr import encode_info, key_of_info
from regalia.wire.event import time_text
from regalia.wire.names import encode_name, name_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from regalia.ca.authority import Ceremony
    from regalia.ca.sign_request import Wish
    from regalia.ca.urls import Urls
    from regalia.model import Actor, JsonValue
    from regalia.ports import Clock, Entropy, IntentSigner

__all__ = ["Hierarchy", "HierarchyStore"]


class Hierarchy:
    """Requests, accepts and signs authorities. Each method is done, durably, when it returns."""

    def __init__(
        self,
        ceremony: Ceremony,
        *,
        store: HierarchyStore,
        signer: IntentSigner,
        clock: Clock,
        entropy: Entropy,
        urls: Urls,
    ) -> None:
        self._adoption = Adoption(store, clock, entropy)
        self._ceremony = ceremony
        self._store = store
        self._signer = signer
        self._clock = clock
        self._entropy = entropy
        self._urls = urls

    # --- where the authority will work ------------------------------------------------------------------------------

    def request(
        self,
        name: str,
        *,
        group: str,
        actor: Actor,
        parent: str | None = None,
        organisation: str | None = None,
        key_kind: KeyKind = KeyKind.P256,
    ) -> AuthorityRequest:
        """Make the key of a group's issuing authority to be, and its request (PKCS #10).

        With `parent`, a root that is known here, the request asks for the URLs at which this system serves that root's
        CRL and certificate; without, another PKI adds its own. Asked again under the same name, it returns the request
        that there is, finished if a crash kept it from that. Raises `AdminError` ADM-003 or ADM-005 for the name,
        ADM-004 or ADM-017 for the parent.
        """
        found = self._store.authority_request(name)
        if found is None:
            self._ceremony.check_name(name)
            above = self._root(parent) if parent is not None else None
            found = self._begun(name, group, above, organisation=organisation, key_kind=key_kind, actor=actor)
        elif (found.group, found.parent) != (group, parent):
            raise AdminError(reasons.NAME_TAKEN, f"request {name} of group {found.group} under {found.parent or '-'}")
        return found if found.csr is not None else self._signed(found, actor)

    def _root(self, name: str) -> Authority:
        authority = self._store.authority(name)
        if authority is None:
            raise AdminError(reasons.NOT_FOUND, f"authority {name}")
        self._ceremony.check_issuer(authority, AuthorityKind.ROOT)
        return authority

    def _begun(
        self,
        name: str,
        group: str,
        parent: Authority | None,
        *,
        organisation: str | None,
        key_kind: KeyKind,
        actor: Actor,
    ) -> AuthorityRequest:
        key = self._ceremony.new_key(key_kind, ca_scope(group), actor)
        subject = encode_name(
            cn=f"Regalia {name} {hashlib.sha256(key.public_key).hexdigest()[:8]}", organisation=organisation
        )
        wanted = [basic_constraints(ca=True, path_length=0), key_usage(("keyCertSign", "cRLSign"))]
        if parent is not None:
            wanted.append(crl_distribution_points(self._urls.crl(parent.name)))
            wanted.append(authority_information_access(ca_issuers=self._urls.issuer(parent.name)))
        now = self._clock.now()
        request = AuthorityRequest(
            id=new_id(now, self._entropy.octets(10)),
            name=name,
            group=group,
            parent=parent.name if parent is not None else None,
            key_id=key.id,
            key_kind=key_kind,
            info=encode_info(subject, key.public_key, wanted),
            csr=None,
            created_at=now,
        )
        details: dict[str, JsonValue] = {
            "parent": request.parent,
            "key_kind": key_kind.value,
            "key_sha256": hashlib.sha256(key.public_key).hexdigest(),
            "subject": name_text(subject),
        }
        event = self._event(Action.AUTHORITY_REQUESTED, name, actor, group, details)
        if not self._store.add_authority_request(request, (event,)):
            raise AdminError(reasons.NAME_TAKEN, f"authority {name}")
        return request

    def _signed(self, request: AuthorityRequest, actor: Actor) -> AuthorityRequest:
        algorithm = signature_algorithm_for(request.key_kind)
        signature = self._signer.sign_intent(request.id)
        key = key_of_info(request.info)
        if not verify_signature(request.info, algorithm, signature, key):
            raise InvariantError(f"the signature of request {request.name} does not verify with its own key")
        csr = assemble(request.info, algorithm, signature)
        details: dict[str, JsonValue] = {"csr_sha256": hashlib.sha256(csr).hexdigest()}
        event = self._event(Action.AUTHORITY_REQUEST_SIGNED, request.name, actor, request.group, details)
        if not self._store.sign_authority_request(request.id, csr, (event,)):
            raise AdminError(reasons.NAME_TAKEN, f"request {request.name}: somebody else was faster")
        return replace(request, csr=csr)

    def accept(
        self,
        name: str,
        certificate: bytes,
        chain: Sequence[bytes] = (),
        *,
        actor: Actor,
        state: AuthorityState = AuthorityState.ACTIVE,
    ) -> Authority:
        """Take the certificate that was made for a request: the authority is there, with its RA and OCSP credentials.

        `chain` holds what stands between it and its root, and the root, in any order; what is known here need not be
        repeated. In a group that has an authority already, let it be NEXT. Raises `AdminError` ADM-004 where nothing
        was requested under this name, ADM-030 with all that is wrong with the certificate.
        """
        request = self._store.authority_request(name)
        if request is None or request.csr is None:
            return self._accepted_before(name, certificate, actor)
        arrival = Arrival(
            name, certificate, request.key_id, request.group, Action.AUTHORITY_ACCEPTED, state, under=request.parent
        )
        authority = self._adoption.issuing(arrival, chain, key=key_of_info(request.info), actor=actor)
        return self.with_credentials(authority, actor)

    def _accepted_before(self, name: str, certificate: bytes, actor: Actor) -> Authority:
        """Go on where a crash left an accepted authority without its credentials."""
        authority = self._store.authority(name)
        if authority is None or authority.certificate_der != certificate or authority.kind is not AuthorityKind.ISSUING:
            raise AdminError(reasons.NOT_FOUND, f"no request {name!r} waits for a certificate")
        return self.with_credentials(authority, actor)

    def with_credentials(self, authority: Authority, actor: Actor) -> Authority:
        """Give an issuing authority that issues or will the RA and OCSP credentials that it has not."""
        if authority.state in (AuthorityState.NEXT, AuthorityState.ACTIVE):
            for purpose in STANDING_PURPOSES:
                if not self._store.credentials(purpose, authority.name):
                    self._ceremony.create_credential(purpose, authority, actor=actor)
        return authority

    def trust(self, name: str, certificate: bytes, *, actor: Actor) -> Authority:
        """Take in a root whose key is elsewhere. Raises `AdminError` ADM-003, ADM-005, ADM-030."""
        self._ceremony.check_name(name)
        return self._adoption.foreign_root(name, certificate, actor=actor)

    def recognise(self, name: str, certificate: bytes, *, actor: Actor) -> Authority:
        """Take in an authority whose key is elsewhere or lost: a root, or an issuing one that a root known here signed.

        The latter issues for no group; it can be shown and revoked, and its CRL served. Raises `AdminError` ADM-003,
        ADM-005, ADM-030.
        """
        self._ceremony.check_name(name)
        return self._adoption.foreign(name, certificate, actor=actor)

    # --- where the root's key is ------------------------------------------------------------------------------------

    def sign(
        self,
        name: str,
        wish: Wish,
        *,
        root: Authority,
        crl: str,
        issuer: str,
        actor: Actor,
        lifetime: timedelta = ISSUING_LIFETIME,
    ) -> Authority:
        """Have a root sign what a request asks for: an issuing authority that works elsewhere.

        `crl` and `issuer` are the URLs at which the other system serves the root's CRL and certificate. The authority
        is known here under `name`, so that it can be shown and revoked. Raises `AdminError` ADM-003 or ADM-005 for the
        name, ADM-017 where the root is not active or not valid, CA-001 where the lint finds something.
        """
        self._ceremony.check_name(name)
        self._ceremony.check_issuer(root, AuthorityKind.ROOT)
        subject = self._ceremony.subject_of(wish.subject, wish.public_key, common_name_of(wish.subject))
        prepared = prepare_own(
            CertificateKind.ISSUING,
            subordinate_tbs(root, subject, crl=crl, issuer=issuer, lifetime=lifetime),
            Signatory.of(root),
            subject=subject,
            group=None,
            entropy=self._entropy,
        )
        authority = Authority(
            name=name,
            kind=AuthorityKind.ISSUING,
            parent=root.name,
            group=None,
            state=AuthorityState.ACTIVE,
            key_id=new_id(subject.now, self._entropy.octets(10)),
            key_kind=wish.key_kind,
            certificate_id=prepared.intent.id,
            certificate_der=self._ceremony.issue(prepared, actor),
            created_at=subject.now,
        )
        return self._ceremony.keep(authority, prepared.intent, actor)

    def cross(self, issuer: Authority, other: Authority, *, actor: Actor, urls: Urls | None = None) -> bytes:
        """Have a root certify another root's name and key (RFC 5280 §3.2); return the certificate, DER.

        Whoever trusts `issuer` then trusts what is issued under `other`. `urls` are those of the system that serves the
        issuer's CRL, where it is not this one. Raises `AdminError` ADM-017 unless both are
        active roots, CA-001 where the lint finds something; `UnavailableError` CA-010 where the issuer's key is
        elsewhere.
        """
        for authority in (issuer, other):
            self._ceremony.check_issuer(authority, AuthorityKind.ROOT)
        if issuer.name == other.name:
            raise AdminError(reasons.AUTHORITY_STATE, f"{issuer.name} certifies itself already")
        facts = read_certificate(other.certificate_der)
        subject = self._ceremony.subject_of(facts.subject, facts.public_key, common_name_of(facts.subject))
        prepared = prepare_own(
            CertificateKind.CROSS,
            cross_tbs(issuer, other, subject, urls or self._urls),
            Signatory.of(issuer),
            subject=subject,
            group=None,
            entropy=self._entropy,
        )
        details: dict[str, JsonValue] = {
            "by": issuer.name,
            "subject": name_text(facts.subject),
            "not_after": time_text(prepared.intent.not_after),
        }
        event = self._event(Action.AUTHORITY_CROSSED, other.name, actor, None, details)
        return self._ceremony.issue(prepared, actor, also=(event,))

    def accept_cross(self, certificate: bytes, *, actor: Actor) -> tuple[Authority, Authority]:
        """Keep a cross-certificate that was made where the roots' keys are; see `Adoption.cross`."""
        return self._adoption.cross(certificate, actor=actor)

    def _event(
        self,
        action: Action,
        name: str,
        actor: Actor,
        group: str | None,
        details: dict[str, JsonValue],
    ) -> EventDraft:
        return EventDraft(self._clock.now(), actor, action, f"authority:{name}", Outcome.OK, group, details=details)
