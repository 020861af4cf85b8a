"""The fake of every store port: dictionaries under one lock. See `fakes`."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from memory_administration import MemoryAdministration
from memory_alerts import MemoryAlerts
from memory_audit import MemoryAudit
from memory_figures import MemoryFigures
from memory_fleet import MemoryFleet
from memory_hierarchy import MemoryHierarchies
from memory_lists import MemoryLists
from memory_sign_ins import MemorySignIns
from memory_status import MemoryStatus
from memory_succession import MemorySuccessions
from regalia.ca.recover import overdue
from regalia.errors import InvariantError
from regalia.model import (
    Action,
    Certificate,
    CertificateKind,
    CertificateState,
    CredentialPurpose,
    Door,
    EnrolmentState,
    Event,
    Known,
    Revocation,
    RevocationReason,
    SigningIntent,
)
from regalia.ports import (
    BLOCKED_OCTETS,
    ELSEWHERE,
    SOFTWARE,
    Begun,
    HandOut,
    IssuedRecord,
    JobStatus,
    KeyRecord,
    SealedSecret,
    SerialStatus,
)
from regalia.wire.event import canonical_record, record_hash

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from regalia.model import (
        Authority,
        AuthorityRequest,
        AuthorityState,
        CertificateIntent,
        Challenge,
        ConversationKey,
        Credential,
        CrlIntent,
        CrlRecord,
        Endpoint,
        Enrolment,
        EventDraft,
        Group,
        NdesPage,
        Profile,
        StageNote,
    )
    from regalia.ports import Blocklist, CertificateFilter, EnrolmentFilter, EventFilter, WrappedKey
    from regalia.ports.fleet import Notice

__all__ = ["MemoryStore"]


class MemoryStore(
    MemoryAdministration,
    MemoryAlerts,
    MemoryAudit,
    MemoryFigures,
    MemoryFleet,
    MemoryHierarchies,
    MemoryLists,
    MemorySignIns,
    MemoryStatus,
    MemorySuccessions,
):
    """The whole store in dictionaries, under one lock: each method is one transaction."""

    def __init__(self, stream: str = "memory/0") -> None:
        super().__init__()
        self._lock = threading.RLock()
        self._stream = stream
        self.log: list[Event] = []
        self._authorities: dict[str, Authority] = {}
        self._requests: dict[str, AuthorityRequest] = {}
        self._credentials: list[Credential] = []
        self._own_keys: frozenset[bytes] = frozenset()
        self._blocklists: dict[str, tuple[Blocklist, frozenset[bytes]]] = {}
        self._groups: dict[str, Group] = {}
        self._profiles: dict[tuple[str, int], Profile] = {}
        self._endpoints: dict[str, Endpoint] = {}
        self._challenges: dict[UUID, Challenge] = {}
        self._ndes_pages: dict[str, NdesPage] = {}
        self._enrolments: dict[UUID, Enrolment] = {}
        self._open: dict[ConversationKey, UUID] = {}
        self._sealed: dict[UUID, bytes] = {}
        self._certificates: dict[UUID, Certificate] = {}
        self._revoked_at_count: dict[UUID, int] = {}
        self._revocations: dict[str, int] = {}
        self._crl_numbers: dict[str, int] = {}
        self._crl_intents: dict[UUID, CrlIntent] = {}
        self._crls: dict[str, CrlRecord] = {}
        self._crl_octets: dict[str, bytes] = {}
        self._keys: dict[UUID, WrappedKey] = {}
        self._key_records: dict[UUID, KeyRecord] = {}
        self._leases: dict[str, tuple[str, datetime]] = {}
        self._began: dict[str, datetime] = {}
        self._job_status: dict[str, JobStatus] = {}

    def check(self) -> str:
        """Memory always answers."""
        return "memory"

    # events

    def record(self, events: Sequence[EventDraft]) -> None:
        with self._lock:
            for draft in events:
                previous = self.log[-1].hash if self.log else bytes(32)
                text = canonical_record(self._stream, len(self.log) + 1, previous, draft)
                self.log.append(Event(self._stream, len(self.log) + 1, previous, record_hash(text), draft))

    def events(self, wanted: EventFilter) -> tuple[Event, ...]:
        matching = [
            event
            for event in self.log
            if wanted.action in (None, event.draft.action)
            and wanted.object in (None, event.draft.object)
            and wanted.group in (None, event.draft.group)
            and wanted.security in (None, event.draft.security)
        ]
        return tuple(matching[-wanted.limit :])

    def streams(self) -> tuple[tuple[str, int, bytes], ...]:
        return ((self._stream, len(self.log), self.log[-1].hash),) if self.log else ()

    def stream(self, name: str, after: int | None = None) -> Iterator[tuple[int, bytes, bytes, str, bool]]:
        for event in self.log[after or 0 :] if name == self._stream else ():
            text = canonical_record(event.stream, event.sequence, event.previous, event.draft).decode()
            yield event.sequence, event.previous, event.hash, text, True

    # authorities and catalogue

    def authority(self, name: str) -> Authority | None:
        return self._authorities.get(name)

    def authorities(self) -> tuple[Authority, ...]:
        return tuple(self._authorities.values())

    def add_authority(self, authority: Authority, events: Sequence[EventDraft]) -> bool:
        with self._lock:
            if authority.name in self._authorities:
                return False
            self._authorities[authority.name] = authority
            self.record(events)
            return True

    def set_authority_state(
        self, name: str, state: AuthorityState, events: Sequence[EventDraft], *, at: datetime | None = None
    ) -> None:
        with self._lock:
            self._authorities[name] = replace(self._authorities[name], state=state, state_since=at)
            self.record(events)

    def credentials(self, purpose: CredentialPurpose, authority: str) -> tuple[Credential, ...]:
        found = [c for c in self._credentials if c.purpose is purpose and c.authority == authority]
        return tuple(reversed(found))

    def add_credential(self, credential: Credential, events: Sequence[EventDraft]) -> None:
        with self._lock:
            self._credentials.append(credential)
            self.record(events)

    def own_keys(self) -> frozenset[bytes]:
        ids = [a.certificate_id for a in self._authorities.values()] + [c.certificate_id for c in self._credentials]
        return frozenset(self._certificates[i].intent.key_sha256 for i in ids) | self._own_keys

    # inspection

    def certificates_after(self, after: UUID | None, limit: int) -> tuple[Certificate, ...]:
        rows = sorted(self._certificates.values(), key=lambda c: c.id)
        return tuple(c for c in rows if after is None or c.id > after)[:limit]

    def events_about(self, objects: Sequence[str]) -> tuple[tuple[Event, ...], ...]:
        return tuple(tuple(e for e in self.log if e.draft.object == each) for each in objects)

    def issued_on_record(self, after: int, limit: int) -> tuple[IssuedRecord, ...]:
        found = [
            IssuedRecord(position, int(event.draft.serial or "0", 16))
            for position, event in enumerate(self.log, 1)
            if event.draft.action is Action.CERTIFICATE_ISSUED and position > after
        ]
        return tuple(found[:limit])

    def missing_serials(self, serials: Sequence[int]) -> tuple[int, ...]:
        return tuple(serial for serial in serials if not self.find_serial(serial))

    # blocklists

    def blocklists(self) -> tuple[Blocklist, ...]:
        return tuple(self._blocklists[name][0] for name in sorted(self._blocklists))

    def is_listed(self, blocklist: Blocklist, digest: bytes) -> bool:
        kept, hashes = self._blocklists.get(blocklist.name, (None, frozenset()))
        return kept is not None and kept.id == blocklist.id and digest[:BLOCKED_OCTETS] in hashes

    def put_blocklist(self, blocklist: Blocklist, pieces: Sequence[bytes], events: Sequence[EventDraft]) -> None:
        whole = b"".join(pieces)
        hashes = {whole[at : at + BLOCKED_OCTETS] for at in range(0, len(whole), BLOCKED_OCTETS)}
        with self._lock:
            self._blocklists[blocklist.name] = (blocklist, frozenset(hashes))
            self.record(events)

    def remove_blocklist(self, name: str, events: Sequence[EventDraft]) -> bool:
        with self._lock:
            if self._blocklists.pop(name, None) is None:
                return False
            self.record(events)
            return True

    def add_own_key(self, key_sha256: bytes, purpose: str, at: datetime) -> None:
        del purpose, at
        self._own_keys |= {key_sha256}

    def group(self, name: str) -> Group | None:
        return self._groups.get(name)

    def groups(self) -> tuple[Group, ...]:
        return tuple(self._groups.values())

    def add_group(self, group: Group, events: Sequence[EventDraft]) -> bool:
        with self._lock:
            if group.name in self._groups:
                return False
            self._groups[group.name] = group
            self.record(events)
            return True

    def set_follow(self, group: str, follow: str, events: Sequence[EventDraft]) -> bool:
        with self._lock:
            found = self._groups.get(group)
            if found is None:
                return False
            self._groups[group] = replace(found, follow=follow)
            self.record(events)
            return True

    def profile(self, name: str, version: int | None = None) -> Profile | None:
        versions = [p for (n, _), p in self._profiles.items() if n == name]
        if version is not None:
            return self._profiles.get((name, version))
        return max(versions, key=lambda p: p.version, default=None)

    def profiles(self) -> tuple[Profile, ...]:
        newest = (self.profile(name) for name in dict.fromkeys(name for name, _ in self._profiles))
        return tuple(profile for profile in newest if profile is not None)

    def add_profile(self, profile: Profile, events: Sequence[EventDraft]) -> bool:
        with self._lock:
            if (profile.name, profile.version) in self._profiles:
                return False
            self._profiles[profile.name, profile.version] = profile
            self.record(events)
            return True

    def endpoint(self, name: str) -> Endpoint | None:
        return self._endpoints.get(name)

    def endpoints(self) -> tuple[Endpoint, ...]:
        return tuple(self._endpoints.values())

    def add_endpoint(self, endpoint: Endpoint, events: Sequence[EventDraft]) -> bool:
        with self._lock:
            if endpoint.name in self._endpoints:
                return False
            self._endpoints[endpoint.name] = endpoint
            self.record(events)
            return True

    def change_endpoint(self, before: Endpoint, after: Endpoint, events: Sequence[EventDraft]) -> bool:
        with self._lock:
            if self._endpoints.get(before.name) != before:
                return False
            self._endpoints[before.name] = replace(before, authoriser=after.authoriser, connector=after.connector)
            self.record(events)
            return True

    def disable_endpoint(self, name: str, events: Sequence[EventDraft]) -> bool:
        with self._lock:
            endpoint = self._endpoints.get(name)
            if endpoint is None or not endpoint.enabled:
                return False
            self._endpoints[name] = replace(endpoint, enabled=False)
            self.record(events)
            return True

    def door(self, endpoint: str) -> Door | None:
        found = self._endpoints.get(endpoint)
        if found is None:
            return None
        profile = self.profile(found.profile)
        if profile is None:
            raise InvariantError("endpoint without its profile")
        return self._door(found, profile, self._above(self._authorities[self._groups[found.group].authority]))

    def _above(self, authority: Authority) -> list[Authority]:
        above = []
        while authority.parent is not None:
            authority = self._authorities[authority.parent]
            above.append(authority)
        return above

    # challenges

    def challenge(self, mac: bytes) -> Challenge | None:
        return next((c for c in self._challenges.values() if c.mac == mac), None)

    def challenge_by_id(self, challenge_id: UUID) -> Challenge | None:
        return self._challenges.get(challenge_id)

    def challenges(self, endpoint: str | None = None) -> tuple[Challenge, ...]:
        return tuple(c for c in reversed(self._challenges.values()) if endpoint in (None, c.endpoint))

    def add_challenge(self, challenge: Challenge, events: Sequence[EventDraft]) -> None:
        with self._lock:
            self._challenges[challenge.id] = challenge
            self.record(events)

    def rotate_challenge(self, challenge: Challenge, until: datetime, events: Sequence[EventDraft]) -> None:
        with self._lock:
            at = challenge.created_at
            good = [c for c in self.challenges(challenge.endpoint) if c.reusable and self._is_open(c.id, at)]
            for place, old in enumerate(sorted(good, key=lambda c: (c.expires_at, c.id), reverse=True)):
                kept = place == 0 and until > at
                ended = replace(old, expires_at=min(old.expires_at, until)) if kept else replace(old, revoked_at=at)
                self._challenges[old.id] = ended
            self.add_challenge(challenge, events)

    def revoke_challenge(self, challenge_id: UUID, at: datetime, events: Sequence[EventDraft]) -> bool:
        with self._lock:
            challenge = self._challenges.get(challenge_id)
            if challenge is None or challenge.revoked_at is not None or challenge.consumed_at is not None:
                return False
            self._challenges[challenge_id] = replace(challenge, revoked_at=at)
            self.record(events)
            return True

    # NDES pages

    def ndes_page(self, endpoint: str) -> NdesPage | None:
        return self._ndes_pages.get(endpoint)

    def certsrv_endpoint(self) -> str | None:
        return next((page.endpoint for page in self._ndes_pages.values() if page.certsrv), None)

    def set_ndes_page(self, page: NdesPage, events: Sequence[EventDraft]) -> bool:
        with self._lock:
            if page.certsrv and self.certsrv_endpoint() not in (None, page.endpoint):
                return False
            self._ndes_pages[page.endpoint] = page
            self.record(events)
            return True

    def remove_ndes_page(self, endpoint: str, events: Sequence[EventDraft]) -> bool:
        with self._lock:
            if self._ndes_pages.pop(endpoint, None) is None:
                return False
            self.record(events)
            return True

    def hand_out(self, challenge: Challenge, page: NdesPage, events: Sequence[EventDraft]) -> HandOut:
        with self._lock:
            at = challenge.created_at
            made = [c for c in self.challenges(page.endpoint) if c.created_by == challenge.created_by]
            minute = timedelta(minutes=1)
            if sum(at - minute <= c.created_at < at + minute for c in made) >= page.per_minute:
                return HandOut.TOO_FAST
            if page.cache and sum(self._is_open(c.id, at) for c in made) >= page.cache:
                return HandOut.CACHE_FULL
            self.add_challenge(challenge, events)
            return HandOut.KEPT

    # enrolments

    def enrolment(self, enrolment_id: UUID) -> Enrolment | None:
        return self._enrolments.get(enrolment_id)

    def enrolments(self, wanted: EnrolmentFilter) -> tuple[Enrolment, ...]:
        matching = [
            e
            for e in sorted(self._enrolments.values(), key=lambda e: e.id, reverse=True)
            if wanted.state in (None, e.state) and wanted.endpoint in (None, e.key.endpoint)
        ]
        return tuple(matching[: wanted.limit])

    def _conversation(self, key: ConversationKey) -> Enrolment | None:
        found = self._open.get(key)
        return self._enrolments[found] if found is not None else None

    def _transaction_holder(self, endpoint: str, transaction_id: bytes, since: datetime) -> Enrolment | None:
        with self._lock:
            holders = [
                e
                for e in self._enrolments.values()
                if e.key.endpoint == endpoint
                and e.key.transaction_id == transaction_id
                and e.key.signer_serial is None
                and e.state is not EnrolmentState.REFUSED
                and (e.state is not EnrolmentState.ISSUED or e.created_at >= since)
            ]
        return max(holders, key=lambda e: e.id, default=None)

    def known(self, key: ConversationKey, since: datetime) -> Known:
        with self._lock:
            new = key.signer_serial is None
            return Known(
                conversation=self._conversation(key),
                holder=self._transaction_holder(key.endpoint, key.transaction_id, since) if new else None,
                challenge=self.challenge(key.challenge_mac) if new and key.challenge_mac is not None else None,
                same_key=self.certificates_by_key(key.key_sha256),
            )

    def conversation_of(self, endpoint: str, transaction_id: bytes, key_sha256: bytes) -> Enrolment | None:
        with self._lock:
            found = [
                e
                for e in map(self._enrolments.__getitem__, self._open.values())
                if (e.key.endpoint, e.key.transaction_id, e.key.key_sha256) == (endpoint, transaction_id, key_sha256)
                and e.key.signer_serial is None
            ]
        return max(found, key=lambda e: e.id, default=None)

    def hold(
        self,
        enrolment: Enrolment,
        events: Sequence[EventDraft],
        *,
        closes: UUID | None = None,
        sealed_challenge: bytes | None = None,
    ) -> Begun:
        with self._lock:
            refused = self._signer_revoked(enrolment) or self._conversation_taken(
                enrolment, enrolment.created_at, closes
            )
            if refused is not None:
                return refused
            if closes is not None:
                self._open.pop(self._enrolments[closes].key, None)
            self._enrolments[enrolment.id] = enrolment
            self._open[enrolment.key] = enrolment.id
            if sealed_challenge is not None:
                self._sealed[enrolment.id] = sealed_challenge
            self.record(events)
            return Begun.BEGUN

    def sealed_challenge(self, enrolment_id: UUID) -> bytes | None:
        with self._lock:
            return self._sealed.get(enrolment_id)

    def forget_sealed_challenges(self, before: datetime) -> int:
        with self._lock:
            ended = [
                held
                for held in self._sealed
                if self._enrolments[held].state is not EnrolmentState.PENDING
                and self._enrolments[held].updated_at < before
            ]
            for held in ended:
                del self._sealed[held]
            return len(ended)

    def dismiss(
        self, enrolment_id: UUID, at: datetime, reason_id: str, detail: str, events: Sequence[EventDraft]
    ) -> bool:
        with self._lock:
            held = self._enrolments.get(enrolment_id)
            if held is None or held.state is not EnrolmentState.PENDING:
                return False
            self._enrolments[enrolment_id] = replace(
                held, state=EnrolmentState.REFUSED, updated_at=at, reason_id=reason_id, detail=detail
            )
            self._open.pop(held.key, None)
            self.record(events)
            return True

    def pending_count(self, group: str) -> int:
        with self._lock:
            return sum(e.state is EnrolmentState.PENDING and e.group == group for e in self._enrolments.values())

    def pending_since(self, before: datetime, limit: int) -> tuple[Enrolment, ...]:
        with self._lock:
            held = [e for e in self._enrolments.values() if e.state is EnrolmentState.PENDING and e.created_at < before]
        return tuple(sorted(held, key=lambda e: (e.created_at, e.id))[:limit])

    def record_refusal(self, enrolment: Enrolment, events: Sequence[EventDraft]) -> None:
        with self._lock:
            self._enrolments[enrolment.id] = enrolment
            self.record(events)

    def forget_refusals(self, before: datetime) -> int:
        with self._lock:
            old = [
                e.id for e in self._enrolments.values() if e.state is EnrolmentState.REFUSED and e.updated_at < before
            ]
            for enrolment_id in old:
                del self._enrolments[enrolment_id]
            return len(old)

    # issuance

    def begin(
        self,
        intent: CertificateIntent,
        events: Sequence[EventDraft],
        *,
        enrolment: Enrolment | None = None,
        consume: UUID | None = None,
        closes: UUID | None = None,
        resumes: UUID | None = None,
        approves: bool = False,
        notice: Notice | None = None,
    ) -> Begun:
        with self._lock:
            if (intent.authority, intent.serial) in {
                (c.intent.authority, c.intent.serial) for c in self._certificates.values()
            }:
                raise InvariantError("serial used twice")
            contained = self._contained(intent)
            if contained is not None:
                return contained
            if enrolment is not None:
                refused = self._signer_revoked(enrolment) or (
                    self._decided(enrolment)
                    if approves
                    else self._moved(enrolment, resumes)
                    if resumes is not None
                    else self._conversation_taken(enrolment, intent.created_at, closes)
                )
                if refused is not None:
                    return refused
            if consume is not None:
                if not self._is_open(consume, intent.created_at) or self._challenges[consume].reusable:
                    return Begun.CHALLENGE_TAKEN
                self._consume(consume, intent, enrolment)
            if closes is not None:
                self._open.pop(self._enrolments[closes].key, None)
            if enrolment is not None:
                self._enrolments[enrolment.id] = replace(enrolment, certificate_id=intent.id)
                self._open[enrolment.key] = enrolment.id
            self._certificates[intent.id] = Certificate(intent, CertificateState.INTENT, None, None, None)
            if notice is not None:
                self._put_notice(notice)
            self.record(events)
            return Begun.BEGUN

    def _contained(self, intent: CertificateIntent) -> Begun | None:
        if intent.kind is not CertificateKind.LEAF:
            return None
        group, authority = self._groups.get(intent.group or ""), self._authorities.get(intent.authority)
        if group is not None and group.suspended_at is not None:
            return Begun.GROUP_SUSPENDED
        ended = authority is not None and authority.state.value in {"revoked", "retired"}
        return Begun.AUTHORITY_ENDED if ended else None

    def _signer_revoked(self, enrolment: Enrolment) -> Begun | None:
        predecessor = enrolment.lineage.predecessor if enrolment.lineage is not None else None
        signer = self._certificates.get(predecessor) if predecessor is not None else None
        return Begun.SIGNER_REVOKED if signer is not None and signer.revocation is not None else None

    def _decided(self, enrolment: Enrolment) -> Begun | None:
        stored = self._enrolments.get(enrolment.id)
        waits = stored is not None and stored.state is EnrolmentState.PENDING
        return None if waits else Begun.CONVERSATION_TAKEN

    def _moved(self, enrolment: Enrolment, resumes: UUID) -> Begun | None:
        stored, row = self._enrolments.get(enrolment.id), self._certificates.get(resumes)
        stays = stored is not None and stored.certificate_id == resumes
        abandoned = row is not None and row.state is CertificateState.ABANDONED
        return None if stays and abandoned else Begun.CONVERSATION_TAKEN

    def _conversation_taken(self, enrolment: Enrolment, at: datetime, closes: UUID | None) -> Begun | None:
        open_one = self._open.get(enrolment.key)
        if open_one is not None and open_one != closes:
            return Begun.CONVERSATION_TAKEN
        if enrolment.key.signer_serial is None:
            holder = self._transaction_holder(
                enrolment.key.endpoint, enrolment.key.transaction_id, at - timedelta(hours=24)
            )
            if holder is not None and holder.key.key_sha256 != enrolment.key.key_sha256:
                return Begun.TRANSACTION_TAKEN
        return None

    def _is_open(self, challenge_id: UUID, at: datetime) -> bool:
        challenge = self._challenges.get(challenge_id)
        return (
            challenge is not None
            and challenge.consumed_at is None
            and challenge.revoked_at is None
            and challenge.expires_at > at
        )

    def _consume(self, challenge_id: UUID, intent: CertificateIntent, enrolment: Enrolment | None) -> None:
        self._challenges[challenge_id] = replace(
            self._challenges[challenge_id],
            consumed_at=intent.created_at,
            consumed_by=enrolment.id if enrolment else None,
            consumed_key=intent.key_sha256,
            consumed_source=enrolment.source if enrolment else None,
        )

    def finish(
        self,
        certificate_id: UUID,
        der: bytes,
        at: datetime,
        events: Sequence[EventDraft],
        stages: Sequence[StageNote] = (),
    ) -> bool:
        with self._lock:
            row = self._certificates.get(certificate_id)
            if row is None or row.state is not CertificateState.INTENT:
                return False
            self._certificates[certificate_id] = replace(row, state=CertificateState.ISSUED, der=der, issued_at=at)
            enrolment = self._enrolments.get(row.intent.enrolment_id) if row.intent.enrolment_id else None
            if enrolment is not None:
                self._enrolments[enrolment.id] = replace(
                    enrolment, state=EnrolmentState.ISSUED, updated_at=at, stages=(*enrolment.stages, *stages)
                )
            self.record(events)
            return True

    def abandon(self, certificate_id: UUID, at: datetime, events: Sequence[EventDraft]) -> bool:
        with self._lock:
            row = self._certificates.get(certificate_id)
            if row is None or row.state is not CertificateState.INTENT:
                return False
            revocation = Revocation(certificate_id, RevocationReason.UNSPECIFIED, "abandoned", "system", at)
            self._certificates[certificate_id] = replace(row, state=CertificateState.ABANDONED, revocation=revocation)
            self._count_revocation(row)
            self.record(events)
            return True

    def expired_intents(self, now: datetime, limit: int) -> tuple[Certificate, ...]:
        waiting = [
            c for c in self._certificates.values() if c.state is CertificateState.INTENT and overdue(c.intent, now)
        ]
        return tuple(sorted(waiting, key=lambda c: c.id)[:limit])

    def signing_intent(self, row_id: UUID) -> SigningIntent | None:
        row = self._certificates.get(row_id)
        if row is not None and row.state is CertificateState.INTENT:
            return SigningIntent(row_id, row.intent.key_id, row.intent.tbs, None, None, row.intent.kind)
        crl = self._crl_intents.get(row_id)
        if crl is not None:
            return SigningIntent(row_id, crl.key_id, None, crl.tbs_path, crl.tbs_sha256)
        return self.request_intent(row_id)

    # certificates

    def certificate(self, certificate_id: UUID) -> Certificate | None:
        return self._certificates.get(certificate_id)

    def certificate_by_serial(self, authority: str, serial: int) -> Certificate | None:
        return next((c for c in self.find_serial(serial) if c.intent.authority == authority), None)

    def certificates_by_key(self, key_sha256: bytes) -> tuple[Certificate, ...]:
        found = [c for c in self._certificates.values() if c.intent.key_sha256 == key_sha256]
        return tuple(sorted(found, key=lambda c: c.id, reverse=True))

    def certificates(self, wanted: CertificateFilter) -> tuple[Certificate, ...]:
        matching = [
            c
            for c in sorted(self._certificates.values(), key=lambda c: c.id, reverse=True)
            if wanted.kind in (None, c.intent.kind)
            and wanted.group in (None, c.intent.group)
            and wanted.authority in (None, c.intent.authority)
            and wanted.revoked in (None, c.revocation is not None)
            and wanted.subject in (None, c.intent.subject)
            and wanted.device in (None, c.intent.device)
            and wanted.state in (None, c.state)
            and (wanted.live_at is None or (c.state is CertificateState.ISSUED and c.intent.not_after > wanted.live_at))
            and (wanted.expired_at is None or c.intent.not_after <= wanted.expired_at)
        ]
        if wanted.expired_at is not None and not wanted.revoked:
            matching.sort(key=lambda c: (c.intent.not_after, c.id), reverse=True)
        return tuple(matching[: wanted.limit])

    def find_serial(self, serial: int) -> tuple[Certificate, ...]:
        return tuple(c for c in self._certificates.values() if c.serial == serial)

    def newest_generation(self, first: UUID) -> int:
        return max((c.intent.generation for c in self._chain(first)), default=0)

    def withdrawn_since(self, first: UUID, generation: int) -> bool:
        return any(
            c.intent.generation >= max(generation, 1)
            and c.revocation is not None
            and c.revocation.reason is not RevocationReason.SUPERSEDED
            for c in self._chain(first)
        )

    def begun_since(self, since: datetime, *, device: str | None = None, chain: UUID | None = None) -> int:
        if (device is None) == (chain is None):
            raise InvariantError("a device or a chain, not both")
        with self._lock:
            return sum(
                (self._chain_of(c) == chain if device is None else c.intent.device == device)
                for c in self._certificates.values()
                if c.intent.kind is CertificateKind.LEAF
                and c.state is not CertificateState.ABANDONED
                and c.intent.created_at >= since
            )

    def _chain_of(self, certificate: Certificate) -> UUID | None:
        enrolment = self._enrolments.get(certificate.intent.enrolment_id) if certificate.intent.enrolment_id else None
        return enrolment.lineage.first if enrolment is not None and enrolment.lineage is not None else None

    def _chain(self, first: UUID) -> list[Certificate]:
        return [
            c
            for c in self._certificates.values()
            if c.state is CertificateState.ISSUED
            and c.intent.enrolment_id is not None
            and (link := self._enrolments[c.intent.enrolment_id].lineage) is not None
            and link.first == first
        ]

    def serial_status(self, authority: str, serial: int) -> SerialStatus | None:
        found = self.certificate_by_serial(authority, serial)
        if found is None:
            return None
        return SerialStatus(
            found.state is CertificateState.ISSUED, found.state is CertificateState.ABANDONED, found.revocation
        )

    # keys, jobs

    def put_key(self, key: WrappedKey, events: Sequence[EventDraft] = ()) -> None:
        with self._lock:
            self._keys[key.id] = key
            digest = hashlib.sha256(key.public_key).digest()
            self._key_records[key.id] = KeyRecord(key.id, key.kind, key.scope, SOFTWARE, digest, key.created_at)
            self.record(events)

    def wrapped_keys(self) -> Iterator[WrappedKey]:
        """Return every wrapped key, the oldest first."""
        yield from sorted(self._keys.values(), key=lambda key: key.id.bytes)

    def replace_wrapped(self, former: WrappedKey, fresh: WrappedKey) -> bool:
        """Put a key's new blob into the place of the old one; False where that is not there any more."""
        with self._lock:
            there = self._keys.get(former.id) == former
            if there:
                self._keys[former.id] = fresh
            return there

    def sealed_secrets(self) -> Iterator[SealedSecret]:
        """Return every sealed secret."""
        for enrolment_id, sealed in sorted(self._sealed.items()):
            yield SealedSecret(f"enrolment:{enrolment_id}", enrolment_id.bytes, sealed)
        yield from self.sealed_authenticators()
        yield from self.sealed_targets()
        yield from self.sealed_for_connectors()

    def replace_sealed(self, former: SealedSecret, fresh: bytes) -> bool:
        """Put a new seal into the place of the old one; False where that is not there any more."""
        with self._lock:
            if former.scope.startswith("administrator:"):
                return self.reseal_authenticator(former, fresh)
            if former.scope.startswith("alert-target:"):
                return self.reseal_target(former, fresh)
            if former.scope.startswith(("connector:", "notice:")):
                return self.reseal_for_connector(former, fresh)
            which = UUID(bytes=former.which) if isinstance(former.which, bytes) else None
            there = which is not None and self._sealed.get(which) == former.sealed
            if which is not None and there:
                self._sealed[which] = fresh
            return there

    def get_key(self, key_id: UUID) -> WrappedKey | None:
        return self._keys.get(key_id)

    def destroy_key(self, key_id: UUID, events: Sequence[EventDraft] = ()) -> bool:
        with self._lock:
            if self._keys.pop(key_id, None) is None:
                return False
            self._key_records[key_id] = replace(self._key_records[key_id], location=ELSEWHERE)
            self.record(events)
            return True

    def add_token_key(self, record: KeyRecord, events: Sequence[EventDraft]) -> None:
        with self._lock:
            self._key_records[record.id] = record
            self.record(events)

    def key_record(self, key_id: UUID) -> KeyRecord | None:
        return self._key_records.get(key_id)

    def key_records(self) -> tuple[KeyRecord, ...]:
        return tuple(sorted(self._key_records.values(), key=lambda record: record.id))

    def end_key(self, key_id: UUID, events: Sequence[EventDraft]) -> bool:
        with self._lock:
            record = self._key_records.get(key_id)
            if record is None or record.destroyed_at is not None:
                return False
            at, actor = events[0].at, events[0].actor
            self._key_records[key_id] = replace(record, destroyed_at=at, destroyed_by=f"{actor.kind} {actor.id}")
            self._keys.pop(key_id, None)
            self.record(events)
            return True

    def lease(self, job: str, holder: str, now: datetime, until: datetime) -> bool:
        with self._lock:
            held = self._leases.get(job)
            if held is not None and held[0] != holder and now < held[1] <= until + timedelta(minutes=1):
                return False
            if held is None or held[0] != holder:
                self._began[job] = now
            self._leases[job] = (holder, until)
            return True

    def probe(self, now: datetime) -> None:
        self.lease("readiness", "readiness", now, now)

    def give_back(self, job: str, holder: str) -> None:
        with self._lock:
            if self._leases.get(job, ("",))[0] == holder:
                del self._leases[job]

    def finished(
        self,
        job: str,
        holder: str,
        at: datetime,
        error: str,
        *,
        every: timedelta | None = None,
        wanted: datetime | None = None,
    ) -> None:
        with self._lock:
            if self._leases.get(job, ("",))[0] == holder:
                del self._leases[job]
                began = self._began[job]
            else:
                began = None
            former = self._job_status.get(job, JobStatus(job, None, ""))
            self._job_status[job] = JobStatus(
                job,
                at,
                error,
                began or former.last_began,
                former.last_success if error else at,
                every or former.every,
                wanted_at=None if former.wanted_at == wanted else former.wanted_at,
            )

    def job_status(self) -> tuple[JobStatus, ...]:
        return tuple(self._with_lease(self._job_status[name]) for name in sorted(self._job_status))

    def _with_lease(self, status: JobStatus) -> JobStatus:
        holder, until = self._leases.get(status.name, (None, None))
        return replace(status, holder=holder, lease_until=until)

    def want_job(self, job: str, at: datetime, events: Sequence[EventDraft]) -> bool:
        with self._lock:
            if job not in self._job_status:
                return False
            self._job_status[job] = replace(self._job_status[job], wanted_at=at)
            self.record(events)
            return True
