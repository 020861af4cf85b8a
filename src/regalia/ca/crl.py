"""Publishing CRLs: numbered, built from one snapshot, signed through an intent, verified before anybody sees them.

The order of REV-2 and R8: reserve number and snapshot, stream the entries, stream the to-be-signed list, commit the
intent with its hash, sign, assemble, read the result back, store it with its record, put a copy in the place of the old
one. The database is the origin of every published CRL; each node serves a file that is a copy (`crl_copy` makes it on
the nodes that did not publish).
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Protocol

from regalia import reasons
from regalia.ca.crl_plan import covered, is_partial, lists_of
from regalia.errors import AdminError, InvariantError, UnavailableError
from regalia.model import (
    Action,
    Actor,
    ActorKind,
    AuthorityKind,
    CrlIntent,
    CrlRecord,
    EventDraft,
    Outcome,
    crl_name,
    new_id,
)
from regalia.ports import Authorities, Crls
from regalia.wire.certificate import freshest_crl, read_certificate, signature_algorithm_for
from regalia.wire.crl import (
    Tally,
    certificate_list_chunks,
    counted,
    delta_crl_indicator,
    issuing_distribution_point,
    read_crl,
    tbs_chunks,
    verify_crl_signature,
)
from regalia.wire.der import DerError
from regalia.wire.event import time_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from regalia.ca.urls import Urls
    from regalia.model import Authority, JsonValue
    from regalia.ports import Clock, CrlFiles, Entropy, IntentSigner, ReservedCrl, StreamedFile
    from regalia.wire.certificate import CertificateFacts, Extension, SignatureAlgorithm

__all__ = ["DELTA_LIFETIME", "ISSUING_LIFETIME", "ROOT_LIFETIME", "CrlPublisher", "CrlStore", "Spool"]

ISSUING_LIFETIME: Final = timedelta(days=7)
"""Long enough that a weekend without us locks nobody out; a new one comes with each revocation anyway."""
DELTA_LIFETIME: Final = timedelta(days=1)
"""How long whoever follows deltas may go on without looking for a newer one."""
ROOT_LIFETIME: Final = timedelta(days=365)
"""The root's key is fetched for it (R10)."""

_SYSTEM: Final = Actor(ActorKind.SYSTEM, "crl")
_EVER: Final = datetime(1970, 1, 1, tzinfo=UTC)


class CrlStore(Authorities, Crls, Protocol):
    """The ports that a CRL comes from and is recorded in."""


@dataclass(frozen=True, slots=True)
class _Draft:
    """All that a CRL says, besides its entries."""

    authority: Authority
    shard: int
    base: CrlRecord | None
    """In a delta CRL what it begins from."""
    issuer: CertificateFacts
    authority_key: bytes
    algorithm: SignatureAlgorithm
    reserved: ReservedCrl
    this_update: datetime
    next_update: datetime
    expiring_after: datetime
    more: tuple[Extension, ...]
    """Its extensions behind key and number."""

    @property
    def base_number(self) -> int | None:
        """The number that a delta CRL begins from."""
        return self.base.number if self.base is not None else None

    @property
    def name(self) -> str:
        """What the CRL is called."""
        return crl_name(self.authority.name, self.shard, delta=self.base is not None)


class CrlPublisher:
    """Makes and publishes the CRL of one authority at a time."""

    def __init__(
        self,
        store: CrlStore,
        files: CrlFiles,
        signer: IntentSigner,
        clock: Clock,
        entropy: Entropy,
        urls: Urls,
        *,
        issuing_lifetime: timedelta = ISSUING_LIFETIME,
        root_lifetime: timedelta = ROOT_LIFETIME,
        delta_lifetime: timedelta = DELTA_LIFETIME,
    ) -> None:
        self._store = store
        self._files = files
        self._signer = signer
        self._clock = clock
        self._entropy = entropy
        self._urls = urls
        self._lifetimes = {AuthorityKind.ISSUING: issuing_lifetime, AuthorityKind.ROOT: root_lifetime}
        self._delta_lifetime = delta_lifetime

    def due(self, name: str, shard: int = 0) -> bool:
        """Whether a list of an authority needs a new CRL (REV-3).

        It has none, something it tells of was revoked, held or released since its snapshot, or half of its life, or of
        its delta's, is over. Whether this node has a copy of it is another question, which `CrlCopier` answers.
        """
        last = self._store.last_crl(crl_name(name, shard))
        if last is None or self._half_is_over(last):
            return True
        authority = self._authority(name)
        if last.partial is not is_partial(authority, shard):
            return True
        if authority.crl_delta:
            delta = self._store.last_crl(crl_name(name, shard, delta=True))
            if delta is None or delta.number != last.number or self._half_is_over(delta):
                return True
        if self._store.revocation_count(name) <= last.snapshot:
            return False
        return self._store.crl_changed(name, covered(authority, shard), last.snapshot)

    def _half_is_over(self, last: CrlRecord) -> bool:
        return self._clock.now() >= last.this_update + (last.next_update - last.this_update) / 2

    def publish(self, name: str, actor: Actor = _SYSTEM, *, shard: int = 0) -> CrlRecord:
        """Publish a new CRL of an authority, and return its record once this node serves it.

        Where the authority has deltas, one is published with it that says the same to whoever has an older CRL.

        Raises `AdminError` ADM-004 for an unknown authority; `UnavailableError` CA-010 where the key is elsewhere or
        the clock went back behind the last CRL, CA-013 where somebody else published meanwhile; `InvariantError`
        where the result does not verify. In each case the CRL that was served is still served.
        """
        authority = self._authority(name)
        draft = self._draft(authority, shard)
        record = self._make(draft, actor)
        if authority.crl_delta:
            self._make(self._delta_draft(draft, record), actor)
        return record

    def _make(self, draft: _Draft, actor: Actor) -> CrlRecord:
        with Spool(self._files).opened() as spool:
            tally = Tally()
            entries = spool.write(counted(self._entries(draft), tally))
            tbs = spool.write(self._tbs(draft, entries))
            self._store.begin_crl(self._intent(draft, tbs, tally.count))
            signature = self._signer.sign_intent(draft.reserved.id)
            crl = spool.write(
                certificate_list_chunks(tbs.length, self._files.read(tbs.path), draft.algorithm, signature)
            )
            self._verify(draft, crl, tally)
            record = self._record(draft, crl, tally.count)
            event = _event(record, draft, crl.length, actor)
            if not self._store.finish_crl(draft.reserved.id, record, self._files.read(crl.path), (event,)):
                raise UnavailableError(
                    reasons.IN_PROGRESS, f"a newer CRL than {record.number} of {record.name} came first"
                )
            self._put_in_place(record, crl.path)
            return record

    def _entries(self, draft: _Draft) -> Iterator[Sequence[bytes]]:
        name, lists = draft.authority.name, covered(draft.authority, draft.shard)
        snapshot, expiring_after = draft.reserved.snapshot, draft.expiring_after
        if draft.base is None:
            return self._store.crl_entries(name, lists, snapshot, expiring_after)
        return self._store.crl_changes(name, lists, snapshot, expiring_after, draft.base.snapshot)

    def _authority(self, name: str) -> Authority:
        authority = self._store.authority(name)
        if authority is None:
            raise AdminError(reasons.NOT_FOUND, f"authority {name}")
        return authority

    def _draft(self, authority: Authority, shard: int) -> _Draft:
        if shard not in lists_of(authority):
            raise AdminError(reasons.NOT_FOUND, f"list {shard} of authority {authority.name}")
        issuer = read_certificate(authority.certificate_der)
        if issuer.ski is None:
            raise InvariantError(f"the certificate of authority {authority.name} has no subjectKeyIdentifier")
        now = self._clock.now()
        last = self._store.last_crl(crl_name(authority.name, shard))
        if last is not None and now < last.this_update:
            raise UnavailableError(
                reasons.ISSUER_UNAVAILABLE,
                f"the clock says {now:%F %T}, before the last CRL of {authority.name}, {last.this_update:%F %T}",
            )
        this_update = now.replace(microsecond=0)
        crl_id = new_id(now, self._entropy.octets(10))
        return _Draft(
            authority=authority,
            shard=shard,
            base=None,
            more=(*self._scope(authority, shard), *self._where_deltas_are(authority, shard)),
            issuer=issuer,
            authority_key=issuer.ski,
            algorithm=signature_algorithm_for(authority.key_kind),
            reserved=self._store.reserve_crl(crl_id, authority.name, now, shard=shard),
            this_update=this_update,
            next_update=this_update + self._lifetimes[authority.kind],
            # What expired since the last CRL is listed once more (RFC 5280 §3.3), then dropped (REV-5). A certificate
            # is good in the second of its notAfter, so a CRL of that second was not beyond it yet.
            expiring_after=last.this_update - timedelta(seconds=1) if last is not None else _EVER,
        )

    def _scope(self, authority: Authority, shard: int) -> tuple[Extension, ...]:
        """Name what a partial list tells of, in the words of the certificates that point to it (RFC 5280 §5.2.5)."""
        if not is_partial(authority, shard):
            return ()
        # List 0 has our own certificates as well, and none of CAs: an issuing authority signs no CA.
        return (issuing_distribution_point(self._urls.crl(authority.name, shard), users_only=True),)

    def _where_deltas_are(self, authority: Authority, shard: int) -> tuple[Extension, ...]:
        return (freshest_crl(self._urls.crl(authority.name, shard, delta=True)),) if authority.crl_delta else ()

    def _delta_draft(self, draft: _Draft, complete: CrlRecord) -> _Draft:
        """Say the same as `complete`, under its number, as changes since the oldest CRL that is still good."""
        now = self._clock.now()
        base = self._store.delta_base(complete, now)
        crl_id = new_id(now, self._entropy.octets(10))
        return replace(
            draft,
            base=base,
            more=(delta_crl_indicator(base.number), *self._scope(draft.authority, draft.shard)),
            reserved=self._store.reserve_delta(crl_id, complete, base.number, now),
            next_update=min(draft.this_update + self._delta_lifetime, draft.next_update),
        )

    def _tbs(self, draft: _Draft, entries: StreamedFile) -> Iterator[bytes]:
        return tbs_chunks(
            issuer=draft.issuer.subject,
            algorithm=draft.algorithm,
            this_update=draft.this_update,
            next_update=draft.next_update,
            number=draft.reserved.number,
            authority_key=draft.authority_key,
            entries_length=entries.length,
            entries=self._files.read(entries.path),
            more=draft.more,
        )

    def _intent(self, draft: _Draft, tbs: StreamedFile, entries: int) -> CrlIntent:
        return CrlIntent(
            id=draft.reserved.id,
            authority=draft.authority.name,
            key_id=draft.authority.key_id,
            number=draft.reserved.number,
            this_update=draft.this_update,
            next_update=draft.next_update,
            entries=entries,
            tbs_sha256=tbs.sha256,
            tbs_path=tbs.path,
            created_at=self._clock.now(),
            shard=draft.shard,
            base=draft.base_number,
        )

    def _verify(self, draft: _Draft, crl: StreamedFile, written: Tally) -> None:
        """Read the finished file back and compare it with what it must be (REV-2)."""
        try:
            facts = read_crl(self._files.read(crl.path), draft.algorithm)
        except DerError as error:
            raise InvariantError(f"CRL {draft.reserved.number} of {draft.name}: {error}") from error
        checks = {
            "its signature": verify_crl_signature(facts, draft.issuer.public_key),
            "its issuer": (facts.issuer, facts.authority_key) == (draft.issuer.subject, draft.authority_key),
            "its number": facts.number == draft.reserved.number,
            "its times": (facts.this_update, facts.next_update) == (draft.this_update, draft.next_update),
            "its end": facts.next_update > self._clock.now(),
            "its entries": (facts.entries, facts.entries_sha256) == (written.count, written.sha256),
            "its scope": facts.more == draft.more,
            "its length": facts.octets == crl.length,
        }
        wrong = [what for what, is_right in checks.items() if not is_right]
        if wrong:
            raise InvariantError(f"CRL {draft.reserved.number} of {draft.name}: {', '.join(wrong)}")

    def _put_in_place(self, record: CrlRecord, path: str) -> None:
        """Serve it from here, unless a newer one was published meanwhile: that one is on its way to this place.

        What stands in the database only becomes newer, and one process at a time looks and puts: so the numbers that
        this node serves only rise.
        """
        with self._files.one_at_a_time():
            last = self._store.last_crl(record.name)
            if last is not None and last.number == record.number:
                self._files.publish(record.name, path)

    def _record(self, draft: _Draft, crl: StreamedFile, entries: int) -> CrlRecord:
        return CrlRecord(
            authority=draft.authority.name,
            number=draft.reserved.number,
            this_update=draft.this_update,
            next_update=draft.next_update,
            entries=entries,
            snapshot=draft.reserved.snapshot,
            sha256=crl.sha256,
            published_at=self._clock.now(),
            shard=draft.shard,
            base=draft.base_number,
            partial=is_partial(draft.authority, draft.shard),
        )


def _event(record: CrlRecord, draft: _Draft, octets: int, actor: Actor) -> EventDraft:
    lists: dict[str, JsonValue] = {"list": record.shard} if record.shard else {}
    if record.base is not None:
        lists["base"] = str(record.base)
    return EventDraft(
        at=record.published_at,
        actor=actor,
        action=Action.CRL_PUBLISHED,
        object=f"authority:{record.authority}",
        outcome=Outcome.OK,
        group=draft.authority.group,
        details={
            "number": str(record.number),
            "entries": record.entries,
            "octets": octets,
            "sha256": record.sha256.hex(),
            "next_update": time_text(record.next_update),
            **lists,
        },
    )


class Spool:
    """Spool files that are gone afterwards, however it ends; those that were published have left it."""

    def __init__(self, files: CrlFiles) -> None:
        self._files = files
        self._paths: list[str] = []

    def write(self, chunks: Iterable[bytes]) -> StreamedFile:
        """Write one more."""
        written = self._files.write(chunks)
        self._paths.append(written.path)
        return written

    @contextmanager
    def opened(self) -> Iterator[Spool]:
        """Remove what was written at the end."""
        try:
            yield self
        finally:
            for path in self._paths:
                self._files.discard(path)
