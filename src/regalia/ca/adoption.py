"""Taking in authorities whose certificates were made elsewhere: checked, written down, in one transaction each."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from cryptography import x509

from regalia import reasons
from regalia.ca.acceptance import authority_faults, build_path, key_kind_of, root_faults
from regalia.errors import AdminError, InvariantError
from regalia.model import (
    Action,
    Authority,
    AuthorityKind,
    AuthorityState,
    CertificateIntent,
    CertificateKind,
    EventDraft,
    Names,
    Outcome,
    new_id,
)
from regalia.ports import Adopted, Authorities, Hierarchies
from regalia.wire import oids
from regalia.wire.certificate import read_certificate
from regalia.wire.der import DerError
from regalia.wire.event import time_text
from regalia.wire.names import name_text, read_name, text_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from regalia.model import Actor, JsonValue, RevokedEntry
    from regalia.ports import Clock, Entropy
    from regalia.wire.certificate import CertificateFacts

__all__ = ["Adoption", "Arrival", "HierarchyStore", "common_name_of"]

_NO_LETTERS: Final = re.compile(r"[^a-z0-9]+")
_LONGEST_NAME: Final = 40


class HierarchyStore(Authorities, Hierarchies, Protocol):
    """The ports that a hierarchy is kept in."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """An authority that comes from elsewhere, with all that is said of it here."""

    name: str
    certificate: bytes
    key_id: UUID
    group: str | None
    action: Action
    """Accepted, or imported with its key."""
    state: AuthorityState = AuthorityState.ACTIVE
    under: str | None = None
    """The root that it must come from, where one was chosen beforehand."""
    revoked: tuple[RevokedEntry, ...] = ()
    """What it had revoked before."""
    crl_number: int = 0
    """The number of its last CRL."""


class Adoption:
    """Takes authorities in."""

    def __init__(self, store: HierarchyStore, clock: Clock, entropy: Entropy) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy

    def issuing(self, arrival: Arrival, chain: Sequence[bytes], *, key: bytes, actor: Actor) -> Authority:
        """Take in an issuing authority, and first whatever stands above it and is not known yet.

        `key` is the DER SubjectPublicKeyInfo that its certificate must certify. Raises `AdminError` ADM-030 with all
        that is wrong, ADM-003 where its name or its serial is taken.
        """
        above = self.check_issuing(arrival.certificate, chain, key=key)
        wanted = self._store.authority(arrival.under) if arrival.under is not None else None
        if wanted is not None and wanted.certificate_der not in above:
            told = f"wrong issuer: it was to be issued under {wanted.name}, SHA-256 {_sha256(wanted.certificate_der)}"
            raise AdminError(reasons.AUTHORITY_CERTIFICATE_REFUSED, told)
        parent: Authority | None = None
        for number, der in enumerate(reversed(above)):
            kind = AuthorityKind.INTERMEDIATE if number else AuthorityKind.ROOT
            parent = self._known(der) or self._foreign(self._free_name(der), kind, der, parent, actor)
        if parent is None:
            raise InvariantError(f"the path of {arrival.name} is empty")
        return self._adopt(arrival, AuthorityKind.ISSUING, parent, actor)

    def check_issuing(self, certificate: bytes, chain: Sequence[bytes], *, key: bytes) -> tuple[bytes, ...]:
        """See that a certificate can be an issuing authority's; return its issuers up to the root, DER.

        Raises `AdminError` ADM-030 with all that is wrong.
        """
        known = self._store.authorities()
        try:
            path = build_path(certificate, (*chain, *(authority.certificate_der for authority in known)))
        except DerError as error:
            raise AdminError(reasons.AUTHORITY_CERTIFICATE_REFUSED, f"it cannot be read: {error}") from error
        faults = authority_faults(certificate, path, key=key, now=self._clock.now(), others=known)
        if not path.above and path.fault is None:
            faults.append("it is signed with its own key: an issuing authority has an issuer")
        if faults:
            raise AdminError(reasons.AUTHORITY_CERTIFICATE_REFUSED, "\n".join(faults))
        return path.above

    def foreign_root(self, name: str, certificate: bytes, *, actor: Actor) -> Authority:
        """Take in a root whose key is elsewhere. Raises `AdminError` ADM-003, ADM-030."""
        self.check_root(certificate)
        return self._foreign(name, AuthorityKind.ROOT, certificate, None, actor)

    def foreign(self, name: str, certificate: bytes, *, actor: Actor) -> Authority:
        """Take in a root, or an issuing authority of a root known here, whose key is elsewhere or lost.

        Raises `AdminError` ADM-003, ADM-030.
        """
        try:
            facts = read_certificate(certificate)
        except DerError as error:
            raise AdminError(reasons.AUTHORITY_CERTIFICATE_REFUSED, f"it cannot be read: {error}") from error
        if facts.self_issued:
            return self.foreign_root(name, certificate, actor=actor)
        above = self.check_issuing(certificate, (), key=facts.public_key)
        return self._foreign(name, AuthorityKind.ISSUING, certificate, self._known(above[0]), actor)

    def root(self, arrival: Arrival, *, actor: Actor) -> Authority:
        """Take in a root with its key. Raises `AdminError` ADM-003, ADM-030."""
        self.check_root(arrival.certificate)
        if read_certificate(arrival.certificate).ski is None:
            told = "it has no subjectKeyIdentifier, which its CRLs must repeat"
            raise AdminError(reasons.AUTHORITY_CERTIFICATE_REFUSED, told)
        return self._adopt(arrival, AuthorityKind.ROOT, None, actor)

    def check_root(self, certificate: bytes) -> None:
        """See that a certificate can be a root's. Raises `AdminError` ADM-030 with all that is wrong."""
        faults = root_faults(certificate, now=self._clock.now(), others=self._store.authorities())
        if faults:
            raise AdminError(reasons.AUTHORITY_CERTIFICATE_REFUSED, "\n".join(faults))

    def cross(self, certificate: bytes, *, actor: Actor) -> tuple[Authority, Authority]:
        """Keep a cross-certificate that was made elsewhere; return the root that signed it, and the one it is about.

        Raises `AdminError` ADM-030 unless it is a good CA certificate that one root known here made for the name and
        key of another, ADM-003 where it is here already.
        """
        roots = [one for one in self._store.authorities() if one.kind is AuthorityKind.ROOT]
        try:
            facts = read_certificate(certificate)
            path = build_path(certificate, [root.certificate_der for root in roots])
            faults = authority_faults(certificate, path, key=facts.public_key, now=self._clock.now())
        except DerError as error:
            raise AdminError(reasons.AUTHORITY_CERTIFICATE_REFUSED, f"it cannot be read: {error}") from error
        other = next((root for root in roots if _same_ca(root, facts)), None)
        if other is None:
            faults.append(f"no root here has the name {name_text(facts.subject)} and this key")
        issuer = next((root for root in roots if path.above and root.certificate_der == path.above[0]), None)
        if faults or other is None or issuer is None:
            raise AdminError(reasons.AUTHORITY_CERTIFICATE_REFUSED, "\n".join(faults or ["it is that root's own"]))
        now = self._clock.now()
        row_id = new_id(now, self._entropy.octets(10))
        row = _row(certificate, CertificateKind.CROSS, issuer, row_id=row_id, group=None, at=now)
        details: dict[str, JsonValue] = {
            "by": issuer.name,
            "subject": name_text(facts.subject),
            "not_after": time_text(facts.not_after),
        }
        event = EventDraft(now, actor, Action.AUTHORITY_CROSSED, f"authority:{other.name}", Outcome.OK, details=details)
        if not self._store.keep_certificate(row, certificate, (event,)):
            raise AdminError(reasons.NAME_TAKEN, f"serial {facts.serial:x} of {issuer.name}")
        return issuer, other

    def _known(self, der: bytes) -> Authority | None:
        return next((found for found in self._store.authorities() if found.certificate_der == der), None)

    def _foreign(self, name: str, kind: AuthorityKind, der: bytes, parent: Authority | None, actor: Actor) -> Authority:
        """Keep a CA whose key is never here: its key's id is one that no store of keys knows."""
        key_id = new_id(self._clock.now(), self._entropy.octets(10))
        return self._adopt(Arrival(name, der, key_id, None, Action.AUTHORITY_ACCEPTED), kind, parent, actor)

    def _free_name(self, der: bytes) -> str:
        """Name a CA of another PKI after its common name."""
        slug = _NO_LETTERS.sub("-", (common_name_of(read_certificate(der).subject) or "external").lower()).strip("-")
        base = (slug if slug[:1].isalpha() else f"ca-{slug}")[: _LONGEST_NAME - 4].rstrip("-")
        taken = {authority.name for authority in self._store.authorities()}
        names = (base if number == 1 else f"{base}-{number}" for number in range(1, len(taken) + 2))
        return next(name for name in names if name not in taken)

    def _adopt(self, arrival: Arrival, kind: AuthorityKind, parent: Authority | None, actor: Actor) -> Authority:
        known = self._known(arrival.certificate)
        if known is not None:
            raise AdminError(reasons.NAME_TAKEN, f"this certificate is authority {known.name} already")
        facts, now = read_certificate(arrival.certificate), self._clock.now()
        key_kind = key_kind_of(facts.public_key)
        if key_kind is None:
            raise InvariantError(f"the key of {arrival.name} was not looked at")
        authority = Authority(
            name=arrival.name,
            kind=kind,
            parent=parent.name if parent is not None else None,
            group=arrival.group,
            state=arrival.state,
            key_id=arrival.key_id,
            key_kind=key_kind,
            certificate_id=new_id(now, self._entropy.octets(10)),
            certificate_der=arrival.certificate,
            created_at=now,
        )
        intent = _as_intent(authority, parent or authority)
        adopted = Adopted(authority, intent, arrival.revoked, arrival.crl_number)
        event = EventDraft(
            at=now,
            actor=actor,
            action=arrival.action,
            object=f"authority:{arrival.name}",
            outcome=Outcome.OK,
            group=arrival.group,
            serial=f"{facts.serial:x}",
            details=_details(authority, arrival),
        )
        if not self._store.adopt_authority(adopted, arrival.certificate, (event,)):
            raise AdminError(reasons.NAME_TAKEN, f"authority {arrival.name}, or serial {facts.serial:x} of its issuer")
        return authority


def _details(authority: Authority, arrival: Arrival) -> dict[str, JsonValue]:
    facts = read_certificate(authority.certificate_der)
    told: dict[str, JsonValue] = {
        "kind": authority.kind.value,
        "parent": authority.parent,
        "key_kind": authority.key_kind.value,
        "subject": name_text(facts.subject),
        "sha256": _sha256(authority.certificate_der),
        "not_after": time_text(facts.not_after),
    }
    if arrival.crl_number:
        told |= {"crl_number": str(arrival.crl_number), "revoked": len(arrival.revoked)}
    return told


def _as_intent(authority: Authority, issuer: Authority) -> CertificateIntent:
    """Write down an authority's certificate that was made elsewhere as the row of one that was made here."""
    kind = CertificateKind.ROOT if authority.kind is AuthorityKind.ROOT else CertificateKind.ISSUING
    der, at = authority.certificate_der, authority.created_at
    return _row(der, kind, issuer, row_id=authority.certificate_id, group=authority.group, at=at)


def _row(
    certificate: bytes, kind: CertificateKind, issuer: Authority, *, row_id: UUID, group: str | None, at: datetime
) -> CertificateIntent:
    facts = read_certificate(certificate)
    return CertificateIntent(
        id=row_id,
        kind=kind,
        authority=issuer.name,
        key_id=issuer.key_id,
        serial=facts.serial,
        tbs=x509.load_der_x509_certificate(certificate).tbs_certificate_bytes,
        group=group,
        profile=None,
        profile_version=None,
        subject=name_text(facts.subject),
        names=Names(common_name_of(facts.subject), frozenset()),
        device=None,
        unverified=False,
        key_sha256=hashlib.sha256(facts.public_key).digest(),
        not_before=facts.not_before,
        not_after=facts.not_after,
        enrolment_id=None,
        generation=0,
        lease_until=at,
        created_at=at,
    )


def _same_ca(root: Authority, facts: CertificateFacts) -> bool:
    known = read_certificate(root.certificate_der)
    return (known.subject, known.public_key) == (facts.subject, facts.public_key)


def common_name_of(subject: bytes) -> str | None:
    """The last common name of a DER Name, as text. Raises `DerError` where it is not text."""
    texts = [text_of(value) for rdn in read_name(subject) for oid, value in rdn if oid == oids.AT_COMMON_NAME]
    return texts[-1] if texts else None


def _sha256(octets: bytes) -> str:
    return hashlib.sha256(octets).hexdigest()
