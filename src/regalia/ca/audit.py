"""Is what was issued still what it must be? Certificates are read again and tested against all that is known of them.

Each is compared with its row, its issuer's key, its profile, the lint, today's rules on keys, the log and the CRLs.
Nothing here changes anything; a finding is a value with the rule that it breaks.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol

from regalia.ca.audit_crls import Listed
from regalia.ca.audit_rows import ARRIVALS, beside_the_row, came_from_elsewhere, on_record
from regalia.ca.blocklist import blocked_by
from regalia.ca.keycheck import check_key
from regalia.ca.lint import lint_full, lint_leaf
from regalia.ca.profile import leaf_tbs
from regalia.ca.urls import Urls
from regalia.errors import PeerError
from regalia.model import (
    Action,
    Assurance,
    CertificateKind,
    CertificateState,
    EventDraft,
    Outcome,
    RevocationReason,
    new_id,
)
from regalia.ports import Authorities, Blocklists, Catalogue, Certificates, Crls, Inspection
from regalia.reasons import AUDIT_FOUND
from regalia.wire import der, oids
from regalia.wire.certificate import (
    encode_tbs,
    read_certificate,
    signature_algorithm_for,
    split,
    verify_signature,
)
from regalia.wire.event import time_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from uuid import UUID

    from regalia.model import Actor, Authority, Certificate, Event, JsonValue, Profile
    from regalia.wire.certificate import CertificateFacts

__all__ = ["AuditRule", "AuditStore", "Audited", "Auditor", "Doubt", "audit_events"]

_PAGE: Final = 200
_STALE_INTENT: Final = timedelta(days=1)
"""Recovery settles an interrupted issuance within minutes; one of a day ago nobody settles any more."""
_MOST_SHARDS: Final = 256
_MOST_TOLD: Final = 100
"""Findings of one run that are an event each; the summary counts all."""
_IN_THE_URL: Final = "/crl/"


class AuditRule(StrEnum):
    """What a certificate can break."""

    OCTETS = "octets"
    """The certificate is there, can be read, and is the one that was to be signed."""
    ROW = "row"
    """The columns say what the certificate says."""
    STATE = "state"
    """State, octets and revocation go together."""
    SIGNATURE = "signature"
    """It is signed by the key of its authority."""
    RENDERED = "rendered"
    """It is, octet for octet, what its version of its profile renders."""
    LINT = "lint"
    """It keeps the rules that it was to keep before it was signed."""
    FULL_LINT = "full-lint"
    """pkilint finds no error; asked of a sample, and of every certificate of our own."""
    KEY = "key"
    """Its key is one that would be certified today."""
    EVENT = "event"
    """The log says that it was issued, and of what."""
    REVOCATION = "revocation"
    """What the log says was revoked is revoked, and stands in the CRL."""
    MISSING = "missing"
    """What the log says was issued is there."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """One finding."""

    rule: AuditRule
    serial: int
    text: str
    kind: str = ""
    authority: str = ""
    subject: str = ""
    group: str | None = None


@dataclass(slots=True)
class Audited:
    """What a run looked at, and what it found."""

    certificates: int = 0
    leaves: int = 0
    """Of them, those of devices, users and servers."""
    sampled: int = 0
    """Of them, those that pkilint read."""
    elsewhere: int = 0
    """Leaves that tell another address for their CRL than new ones do: no finding, as long as that one answers."""
    doubts: list[Doubt] = field(default_factory=list)


class AuditStore(Authorities, Blocklists, Catalogue, Certificates, Crls, Inspection, Protocol):
    """What an audit reads."""


class Auditor:
    """One run: what it has read of authorities, profiles and CRLs is remembered for its length."""

    def __init__(self, store: AuditStore, urls: Urls, now: datetime) -> None:
        self._store = store
        self._urls = urls
        self._now = now
        self._authorities: dict[str, Authority | None] = {}
        self._profiles: dict[tuple[str, int], Profile | None] = {}
        self._listed = Listed(store)
        self._arrived: tuple[Event, ...] | None = None

    def run(self, *, since: datetime | None = None, most: int | None = None, sample: int = 0) -> Audited:
        """Test what was issued since then, or everything, oldest first, at most so many certificates.

        pkilint reads each of our own certificates and every `sample`th leaf; 0: none.
        """
        audited = Audited()
        after: UUID | None = None if since is None else new_id(since, bytes(10))
        while most is None or audited.certificates < most:
            page = self._store.certificates_after(after, min(_PAGE, (most or _PAGE) - audited.certificates or _PAGE))
            if not page:
                break
            self.look_at(page, audited, sample=sample)
            after = page[-1].id
        if since is None and most is None:
            audited.doubts.extend(self._missing())
        return audited

    def look_at(self, certificates: Sequence[Certificate], audited: Audited, *, sample: int = 0) -> None:
        """Test these, and add what was found."""
        told = self._store.events_about([f"certificate:{each.serial:x}" for each in certificates])
        for certificate, events in zip(certificates, told, strict=True):
            audited.certificates += 1
            is_leaf = certificate.intent.kind is CertificateKind.LEAF
            in_full = not is_leaf or bool(sample and audited.leaves % sample == 0)
            audited.leaves += is_leaf
            audited.sampled += in_full
            for rule, text in self._broken(certificate, events, audited, in_full=in_full):
                audited.doubts.append(_doubt(certificate, rule, text))

    def _missing(self) -> Iterator[Doubt]:
        """Look for what the log says was issued and nobody has any more."""
        position = 0
        while page := self._store.issued_on_record(position, _PAGE):
            for serial in self._store.missing_serials([each.serial for each in page]):
                yield Doubt(AuditRule.MISSING, serial, "the log says that it was issued, and there is no such row")
            position = page[-1].position

    # --- one certificate --------------------------------------------------------------------------------------------

    def _broken(
        self, certificate: Certificate, events: Sequence[Event], audited: Audited, *, in_full: bool
    ) -> Iterator[tuple[AuditRule, str]]:
        yield from ((AuditRule.STATE, text) for text in self._state(certificate))
        if not came_from_elsewhere(certificate, events, self._arrivals()):
            yield from ((AuditRule.EVENT, text) for text in on_record(certificate, events))
        yield from ((AuditRule.REVOCATION, text) for text in self._revocation(certificate, events))
        if certificate.der is None:
            return
        try:
            facts = read_certificate(certificate.der)
            tbs, _, _ = split(certificate.der)
        except (PeerError, der.DerError) as error:
            yield AuditRule.OCTETS, f"the certificate cannot be read: {error}"
            return
        if tbs != certificate.intent.tbs:
            yield AuditRule.OCTETS, "the certificate is not the one that was to be signed"
        yield from ((AuditRule.ROW, text) for text in beside_the_row(certificate, facts))
        authority = self._authority(certificate.intent.authority)
        if authority is None:
            yield AuditRule.ROW, f"there is no authority {certificate.intent.authority}"
            return
        yield from _signed(certificate, facts, authority)
        if certificate.intent.kind is CertificateKind.LEAF:
            yield from self._leaf(certificate, facts, tbs, authority, audited)
        if in_full:
            profile = self._profile(certificate.intent.profile or "", certificate.intent.profile_version or 0)
            ignored = [code for code, _ in profile.lint_ignored] if profile is not None else []
            yield from ((AuditRule.FULL_LINT, text) for text in lint_full(certificate.der, ignored))

    def _state(self, certificate: Certificate) -> Iterator[str]:
        intent = certificate.intent
        match certificate.state:
            case CertificateState.ISSUED:
                if certificate.der is None:
                    yield "it is issued, and there are no octets of it"
                if certificate.issued_at is None or certificate.issued_at < intent.created_at:
                    yield "it was issued before it was begun, or at no time"
            case CertificateState.ABANDONED:
                if certificate.der is not None:
                    yield "it is abandoned, and there are octets of it"
                if certificate.revocation is None:
                    yield "it is abandoned and not revoked (ISS-2)"
            case CertificateState.INTENT:
                if intent.created_at < self._now - _STALE_INTENT:
                    yield "its issuance was interrupted more than a day ago, and nobody settled it"

    def _revocation(self, certificate: Certificate, events: Sequence[Event]) -> Iterator[str]:
        return self._listed.broken(certificate, events, self._authority(certificate.intent.authority), self._now)

    # --- leaves -----------------------------------------------------------------------------------------------------

    def _leaf(
        self, certificate: Certificate, facts: CertificateFacts, tbs: bytes, authority: Authority, audited: Audited
    ) -> Iterator[tuple[AuditRule, str]]:
        intent = certificate.intent
        profile = self._profile(intent.profile or "", intent.profile_version or 0)
        if profile is None:
            yield AuditRule.ROW, f"there is no profile {intent.profile} v{intent.profile_version}"
            return
        then, urls = _at_its_time(certificate, facts, authority), self._addresses(facts)
        audited.elsewhere += urls != self._urls
        differences = [_differences(certificate, facts, tbs, profile, then, urls, assurance) for assurance in Assurance]
        nearest = min(range(len(differences)), key=lambda at: len(differences[at]))
        yield from ((AuditRule.RENDERED, text) for text in differences[nearest])
        yield from (
            (AuditRule.LINT, text)
            for text in lint_leaf(
                tbs,
                profile=profile,
                authority=then,
                names=intent.names,
                public_key=facts.public_key,
                urls=urls,
                assurance=tuple(Assurance)[nearest],
            )
        )
        yield from ((AuditRule.KEY, text) for text in self._key(certificate, facts.public_key, profile))

    def _key(self, certificate: Certificate, public_key: bytes, profile: Profile) -> Iterator[str]:
        if certificate.revocation is not None or certificate.intent.not_after <= self._now:
            # Nobody trusts it any more, whatever its key is.
            return
        try:
            check_key(public_key, profile, small_exponents=True)
        except PeerError as fault:
            yield f"{fault.reason.title}: {fault.detail}"
        digest = hashlib.sha256(public_key).digest()
        if digest in self._store.own_keys():
            yield "it is a key of the CA itself"
        listed = blocked_by(self._store, public_key)
        if listed is not None:
            yield f"it is on the list {listed}"
        for other in self._store.certificates_by_key(digest):
            if other.id == certificate.id or other.intent.kind is not CertificateKind.LEAF:
                continue
            revoked = other.revocation
            if revoked is not None and revoked.reason is RevocationReason.KEY_COMPROMISE:
                yield f"certificate {other.serial:x} of the same key was revoked because the key is known"
            elif other.intent.names != certificate.intent.names:
                yield f"certificate {other.serial:x} has it for {', '.join(other.intent.names.listed())}"

    def _addresses(self, facts: CertificateFacts) -> Urls:
        """Read which public URL was configured when a certificate was issued; today's where it tells none."""
        extension = facts.extension(oids.CE_CRL_DISTRIBUTION_POINTS)
        text = (extension.value if extension is not None else b"").decode("ascii", "replace")
        start, _, _ = text.partition(_IN_THE_URL)
        begin = start.find("http://")
        return Urls(start[begin:]) if begin >= 0 and start != text else self._urls

    def _arrivals(self) -> tuple[Event, ...]:
        """Return what the log says of authorities that were not made here, and of restores."""
        if self._arrived is None:
            told = self._store.events_about(["home", *(f"authority:{each.name}" for each in self._store.authorities())])
            self._arrived = tuple(event for events in told for event in events if event.draft.action in ARRIVALS)
        return self._arrived

    def _authority(self, name: str) -> Authority | None:
        if name not in self._authorities:
            self._authorities[name] = self._store.authority(name)
        return self._authorities[name]

    def _profile(self, name: str, version: int) -> Profile | None:
        if (name, version) not in self._profiles:
            self._profiles[name, version] = self._store.profile(name, version)
        return self._profiles[name, version]


def audit_events(audited: Audited, actor: Actor, at: datetime, *, since: datetime | None) -> tuple[EventDraft, ...]:
    """Make the records of a run: each finding is a security event, and one event sums up."""
    rules = Counter(doubt.rule.value for doubt in audited.doubts)
    found: list[EventDraft] = [
        EventDraft(
            at,
            actor,
            Action.CERTIFICATE_DOUBTED,
            f"certificate:{doubt.serial:x}",
            Outcome.FAILED,
            doubt.group,
            AUDIT_FOUND.id,
            serial=f"{doubt.serial:x}",
            security=True,
            details={
                "rule": doubt.rule.value,
                "finding": doubt.text,
                "kind": doubt.kind,
                "authority": doubt.authority,
                "subject": doubt.subject,
            },
        )
        for doubt in audited.doubts[:_MOST_TOLD]
    ]
    outcome = Outcome.FAILED if found else Outcome.OK
    details: dict[str, JsonValue] = {
        "from": time_text(since) if since is not None else None,
        "certificates": audited.certificates,
        "findings": len(audited.doubts),
        "rules": dict(sorted(rules.items())),
        "sampled": audited.sampled,
    }
    whole = EventDraft(at, actor, Action.CERTIFICATES_AUDITED, "certificate:*", outcome, details=details)
    return (*found, whole)


def _doubt(certificate: Certificate, rule: AuditRule, text: str) -> Doubt:
    intent = certificate.intent
    return Doubt(rule, certificate.serial, text, intent.kind.value, intent.authority, intent.subject, intent.group)


def _signed(certificate: Certificate, facts: CertificateFacts, authority: Authority) -> Iterator[tuple[AuditRule, str]]:
    """Verify the signature with the authority's key, and that row and certificate name this authority."""
    tbs, algorithm, signature = split(certificate.der or b"")
    issuer = read_certificate(authority.certificate_der)
    if algorithm is not signature_algorithm_for(authority.key_kind) or not verify_signature(
        tbs, algorithm, signature, issuer.public_key
    ):
        yield AuditRule.SIGNATURE, f"it is not signed by the key of authority {authority.name}"
    if certificate.intent.key_id != authority.key_id:
        yield AuditRule.ROW, f"the row names another key than that of authority {authority.name}"
    if facts.issuer != issuer.subject:
        yield AuditRule.SIGNATURE, f"its issuer is not the subject of authority {authority.name}"


def _at_its_time(certificate: Certificate, facts: CertificateFacts, authority: Authority) -> Authority:
    """Return the authority with as many partial CRLs as chose this certificate's own, and deltas if it tells of one.

    How CRLs are divided may have changed since; that a certificate tells of its own list is what is tested.
    """
    authority = replace(authority, crl_delta=facts.extension(oids.CE_FRESHEST_CRL) is not None)
    shard = certificate.intent.shard
    if not shard:
        return replace(authority, crl_shards=0)
    fitting = (n for n in range(shard, _MOST_SHARDS + 1) if certificate.serial % n + 1 == shard)
    return replace(authority, crl_shards=next(fitting, authority.crl_shards))


def _differences(
    certificate: Certificate,
    facts: CertificateFacts,
    tbs: bytes,
    profile: Profile,
    authority: Authority,
    urls: Urls,
    assurance: Assurance,
) -> list[str]:
    """Render the certificate anew, as it was begun, and say where the two differ."""
    intent = certificate.intent
    rendered = leaf_tbs(
        profile,
        authority,
        serial=intent.serial,
        names=intent.names,
        public_key=facts.public_key,
        now=intent.created_at,
        urls=urls,
        assurance=assurance,
    )
    octets = encode_tbs(rendered)
    if octets == tbs:
        return []
    wanted = {each.oid: each for each in rendered.extensions}
    found = {each.oid: each for each in facts.extensions}
    told = [
        f"the extension {oids.describe(oid)} is not the one that profile {profile.name} v{profile.version} renders"
        for oid in sorted(wanted.keys() | found.keys())
        if wanted.get(oid) != found.get(oid)
    ]
    return told or [f"it is not what profile {profile.name} v{profile.version} renders"]
