"""Publishing CRLs: numbered, built from one snapshot, signed through an intent, verified before anybody sees them.

The order of REV-2 and R8: reserve number and snapshot, stream the entries, stream the to-be-signed list, commit the
intent with its hash, sign, assemble, read the result back, store it with its record, put a copy in the place of the old
one. The database is the origin of every published CRL; each node serves a file that is a copy (`crl_copy` makes it on
the nodes that did not publish).
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Protocol

from regalia import reasons
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
    new_id,
)
from regalia.ports import Authorities, Crls
from regalia.wire.certificate import read_certificate, signature_algorithm_for
from regalia.wire.crl import (
    Tally,
    certificate_list_chunks,
    encode_entries,
    read_crl,
    tbs_chunks,
    verify_crl_signature,
)
from regalia.wire.der import DerError
from regalia.wire.event import time_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from regalia.model import Authority
    from regalia.ports import Clock, CrlFiles, Entropy, IntentSigner, ReservedCrl, StreamedFile
    from regalia.wire.certificate import CertificateFacts, SignatureAlgorithm

__all__ = ["ISSUING_LIFETIME", "ROOT_LIFETIME", "CrlPublisher", "CrlStore", "Spool"]

ISSUING_LIFETIME: Final = timedelta(days=7)
"""Long enough that a weekend without us locks nobody out; a new one comes with each revocation anyway."""
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
    issuer: CertificateFacts
    authority_key: bytes
    algorithm: SignatureAlgorithm
    reserved: ReservedCrl
    this_update: datetime
    next_update: datetime
    expiring_after: datetime


class CrlPublisher:
    """Makes and publishes the CRL of one authority at a time."""

    def __init__(
        self,
        store: CrlStore,
        files: CrlFiles,
        signer: IntentSigner,
        clock: Clock,
        entropy: Entropy,
        *,
        issuing_lifetime: timedelta = ISSUING_LIFETIME,
        root_lifetime: timedelta = ROOT_LIFETIME,
    ) -> None:
        self._store = store
        self._files = files
        self._signer = signer
        self._clock = clock
        self._entropy = entropy
        self._lifetimes = {AuthorityKind.ISSUING: issuing_lifetime, AuthorityKind.ROOT: root_lifetime}

    def due(self, name: str) -> bool:
        """Whether an authority needs a new CRL (REV-3).

        It has none, something was revoked since its snapshot, or half of its life is over. Whether this node has a
        copy of it is another question, which `CrlCopier` answers.
        """
        last = self._store.last_crl(name)
        if last is None:
            return True
        half = last.this_update + (last.next_update - last.this_update) / 2
        return self._store.revocation_count(name) > last.snapshot or self._clock.now() >= half

    def publish(self, name: str, actor: Actor = _SYSTEM) -> CrlRecord:
        """Publish a new CRL of an authority, and return its record once this node serves it.

        Raises `AdminError` ADM-004 for an unknown authority; `UnavailableError` CA-010 where the key is elsewhere or
        the clock went back behind the last CRL, CA-013 where somebody else published meanwhile; `InvariantError`
        where the result does not verify. In each case the CRL that was served is still served.
        """
        draft = self._draft(name)
        with Spool(self._files).opened() as spool:
            tally = Tally()
            revoked = self._store.revoked_entries(name, draft.reserved.snapshot, draft.expiring_after)
            entries = spool.write(encode_entries(revoked, tally))
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
                raise UnavailableError(reasons.IN_PROGRESS, f"a newer CRL than {record.number} of {name} came first")
            self._put_in_place(record, crl.path)
            return record

    def _draft(self, name: str) -> _Draft:
        authority = self._store.authority(name)
        if authority is None:
            raise AdminError(reasons.NOT_FOUND, f"authority {name}")
        issuer = read_certificate(authority.certificate_der)
        if issuer.ski is None:
            raise InvariantError(f"the certificate of authority {name} has no subjectKeyIdentifier")
        now = self._clock.now()
        last = self._store.last_crl(name)
        if last is not None and now < last.this_update:
            raise UnavailableError(
                reasons.ISSUER_UNAVAILABLE,
                f"the clock says {now:%F %T}, before the last CRL of {name}, {last.this_update:%F %T}",
            )
        this_update = now.replace(microsecond=0)
        return _Draft(
            authority=authority,
            issuer=issuer,
            authority_key=issuer.ski,
            algorithm=signature_algorithm_for(authority.key_kind),
            reserved=self._store.reserve_crl(new_id(now, self._entropy.octets(10)), name, now),
            this_update=this_update,
            next_update=this_update + self._lifetimes[authority.kind],
            # What expired since the last CRL is listed once more (RFC 5280 §3.3), then dropped (REV-5). A certificate
            # is good in the second of its notAfter, so a CRL of that second was not beyond it yet.
            expiring_after=last.this_update - timedelta(seconds=1) if last is not None else _EVER,
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
        )

    def _verify(self, draft: _Draft, crl: StreamedFile, written: Tally) -> None:
        """Read the finished file back and compare it with what it must be (REV-2)."""
        try:
            facts = read_crl(self._files.read(crl.path), draft.algorithm)
        except DerError as error:
            raise InvariantError(f"CRL {draft.reserved.number} of {draft.authority.name}: {error}") from error
        checks = {
            "its signature": verify_crl_signature(facts, draft.issuer.public_key),
            "its issuer": (facts.issuer, facts.authority_key) == (draft.issuer.subject, draft.authority_key),
            "its number": facts.number == draft.reserved.number,
            "its times": (facts.this_update, facts.next_update) == (draft.this_update, draft.next_update),
            "its end": facts.next_update > self._clock.now(),
            "its serials": (facts.entries, facts.serials_sha256) == (written.count, written.sha256),
            "its length": facts.octets == crl.length,
        }
        wrong = [what for what, is_right in checks.items() if not is_right]
        if wrong:
            raise InvariantError(f"CRL {draft.reserved.number} of {draft.authority.name}: {', '.join(wrong)}")

    def _put_in_place(self, record: CrlRecord, path: str) -> None:
        """Serve it from here, unless a newer one was published meanwhile: that one is on its way to this place.

        What stands in the database only becomes newer, and one process at a time looks and puts: so the numbers that
        this node serves only rise.
        """
        with self._files.one_at_a_time():
            last = self._store.last_crl(record.authority)
            if last is not None and last.number == record.number:
                self._files.publish(record.authority, path)

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
        )


def _event(record: CrlRecord, draft: _Draft, octets: int, actor: Actor) -> EventDraft:
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
