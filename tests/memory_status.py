"""The part of the store's fake that knows what ended or suspended a certificate, and its CRLs. See `memory_store`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from regalia.errors import InvariantError
from regalia.model import Hold, Revocation, RevocationReason, RevokedEntry
from regalia.ports import ReservedCrl
from regalia.ports.fleet import FOLLOWED, KeptCause
from regalia.wire.crl import REMOVE_FROM_CRL, encode_entry

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from regalia.model import Authority, Certificate, CrlIntent, CrlRecord, EventDraft

__all__ = ["MemoryStatus"]


@dataclass(frozen=True, slots=True)
class _Held:
    """A hold, with the positions of the authority's counter where it began and ended."""

    hold: Hold
    position: int
    ended: int | None = None


def _is_final(row: Certificate) -> bool:
    return row.revocation is not None and row.revocation.reason is not RevocationReason.CERTIFICATE_HOLD


def _entry(row: Certificate, at: datetime, reason: int) -> RevokedEntry:
    return RevokedEntry(row.serial.to_bytes(20, "big"), round(at.timestamp() * 1000), reason)


class MemoryStatus:
    """Revocations, holds, plans of CRLs, and CRLs."""

    _lock: threading.RLock
    _authorities: dict[str, Authority]
    _certificates: dict[UUID, Certificate]
    _revoked_at_count: dict[UUID, int]
    _revocations: dict[str, int]
    _crl_numbers: dict[str, int]
    _crl_intents: dict[UUID, CrlIntent]
    _crls: dict[str, CrlRecord]
    _crl_octets: dict[str, bytes]
    _kept: list[KeptCause]

    def __init__(self) -> None:
        self._published: list[CrlRecord] = []
        self._holds: list[_Held] = []
        self._compromised: set[bytes] = set()

    if TYPE_CHECKING:

        def record(self, events: Sequence[EventDraft]) -> None:
            """Append events: the whole store does."""

    # certificates

    def revoke(self, revocation: Revocation, events: Sequence[EventDraft]) -> bool:
        """See the port."""
        with self._lock:
            row = self._certificates.get(revocation.certificate_id)
            if row is None or _is_final(row):
                return False
            self._certificates[row.id] = replace(row, revocation=revocation)
            self._count_revocation(row)
            position = self._revoked_at_count[row.id]
            self._end_hold(row.id, position, revocation.at, revocation.actor, revocation.note, released=False)
            self.record(events)
            return True

    def hold_certificate(self, hold: Hold, events: Sequence[EventDraft]) -> bool:
        """See the port."""
        with self._lock:
            row = self._certificates.get(hold.certificate_id)
            if row is None or (row.revocation is not None and not self._share(row, hold)):
                return False
            if row.revocation is not None:
                self.record(events)
                return True
            held = Revocation(row.id, RevocationReason.CERTIFICATE_HOLD, hold.cause, hold.actor, hold.at, hold.note)
            self._certificates[row.id] = replace(row, revocation=held)
            self._holds.append(_Held(hold, self._next_position(row)))
            self.record(events)
            return True

    def _share(self, row: Certificate, hold: Hold) -> bool:
        """Let an administrator hold what is held by following; False where that is not so."""
        held = row.revocation
        if held is None or _is_final(row) or held.cause not in FOLLOWED or hold.cause in FOLLOWED:
            return False
        if any(each.cause is None for each in self._lasting(row.id)):
            return False
        self._kept.append(KeptCause(row.id, None, hold.at, hold.note, hold.at))
        return True

    def _lasting(self, certificate_id: UUID) -> list[KeptCause]:
        return [each for each in self._kept if each.certificate_id == certificate_id and each.ended_at is None]

    def release_certificate(
        self,
        certificate_id: UUID,
        at: datetime,
        by: str,
        note: str,
        events: Sequence[EventDraft],
        *,
        instead: Hold | None = None,
    ) -> bool:
        """See the port."""
        with self._lock:
            row = self._certificates.get(certificate_id)
            if row is None or row.revocation is None or _is_final(row):
                return False
            for share in (each for each in self._lasting(row.id) if each.cause is None):
                self._kept[self._kept.index(share)] = replace(share, ended_at=at)
                if self._lasting(row.id):
                    self.record(events)
                    return True
            self._certificates[row.id] = replace(row, revocation=None)
            self._end_hold(row.id, self._next_position(row), at, by, note, released=True)
            if instead is not None and not self.hold_certificate(instead, ()):
                raise InvariantError("what was released just now can be held")
            self.record(events)
            return True

    def _end_hold(
        self, certificate_id: UUID, position: int, at: datetime, by: str, note: str, *, released: bool
    ) -> None:
        for index, held in enumerate(self._holds):
            if held.hold.certificate_id == certificate_id and held.ended is None:
                ended = replace(held.hold, released=released, ended_at=at, ended_by=by, ended_note=note)
                self._holds[index] = _Held(ended, held.position, position)

    def compromise_key(self, key_sha256: bytes, at: datetime, by: str, note: str, events: Sequence[EventDraft]) -> bool:
        """See the port."""
        del at, by, note
        with self._lock:
            if key_sha256 in self._compromised:
                return False
            self._compromised.add(key_sha256)
            self.record(events)
            return True

    def is_compromised(self, key_sha256: bytes) -> bool:
        """See the port."""
        return key_sha256 in self._compromised

    def holds(self, certificate_id: UUID) -> tuple[Hold, ...]:
        """See the port."""
        return tuple(held.hold for held in self._holds if held.hold.certificate_id == certificate_id)

    def live_by_list(self, authority: str, now: datetime) -> Mapping[int, int]:
        """See the port."""
        return Counter(
            c.intent.shard
            for c in self._certificates.values()
            if c.intent.authority == authority and c.intent.not_after > now
        )

    def _next_position(self, row: Certificate) -> int:
        count = self._revocations.get(row.intent.authority, 0) + 1
        self._revocations[row.intent.authority] = count
        return count

    def _count_revocation(self, row: Certificate) -> None:
        self._revoked_at_count[row.id] = self._next_position(row)

    # CRLs

    def set_crl_plan(
        self, name: str, shards: int, events: Sequence[EventDraft], *, lists: int, delta: bool, full: bool
    ) -> None:
        """See the port."""
        with self._lock:
            known = self._authorities[name]
            most = max(known.crl_lists, shards, lists)
            self._authorities[name] = replace(known, crl_shards=shards, crl_lists=most, crl_delta=delta, crl_full=full)
            self.record(events)

    def reserve_crl(self, crl_id: UUID, authority: str, at: datetime, *, shard: int = 0) -> ReservedCrl:
        """See the port."""
        del shard
        with self._lock:
            nanoseconds = int(at.timestamp() * 1000) * 1_000_000
            number = max(self._crl_numbers.get(authority, 0) + 1, nanoseconds)
            self._crl_numbers[authority] = number
            return ReservedCrl(crl_id, number, self._revocations.get(authority, 0))

    def reserve_delta(self, crl_id: UUID, complete: CrlRecord, base: int, at: datetime) -> ReservedCrl:
        """See the port."""
        del base, at
        return ReservedCrl(crl_id, complete.number, complete.snapshot)

    def crl_entries(
        self, authority: str, shards: range, snapshot: int, expiring_after: datetime
    ) -> Iterator[Sequence[bytes]]:
        """See the port."""
        yield [encode_entry(entry) for _, entry in self._revoked(authority, shards, snapshot, expiring_after)]
        yield [encode_entry(entry) for _, entry in self._held(authority, shards, snapshot, expiring_after)]

    def crl_changes(
        self, authority: str, shards: range, snapshot: int, expiring_after: datetime, since: int
    ) -> Iterator[Sequence[bytes]]:
        """See the port."""
        revoked = self._revoked(authority, shards, snapshot, expiring_after)
        held = self._held(authority, shards, snapshot, expiring_after)
        stays = {entry.serial for _, entry in (*revoked, *held)}
        yield [encode_entry(entry) for position, entry in (*revoked, *held) if position > since]
        released: dict[bytes, RevokedEntry] = {}
        for each, row in self._holds_of(authority, shards, expiring_after):
            if each.hold.released and each.hold.ended_at and each.ended and since < each.ended <= snapshot:
                entry = _entry(row, each.hold.ended_at, REMOVE_FROM_CRL)
                released[entry.serial] = entry
        yield [encode_entry(entry) for serial, entry in released.items() if serial not in stays]

    def crl_changed(self, authority: str, shards: range, snapshot: int) -> bool:
        """See the port."""
        with self._lock:
            places = list(self._revoked_at_count.items())
            for held in self._holds:
                places += [(held.hold.certificate_id, place) for place in (held.position, held.ended or 0)]
            intents = [(self._certificates[which].intent, place) for which, place in places]
        return any(i.authority == authority and i.shard in shards and place > snapshot for i, place in intents)

    def delta_base(self, complete: CrlRecord, now: datetime) -> CrlRecord:
        """See the port."""
        scope = (complete.name, complete.partial)
        good = [each for each in self._published if (each.name, each.partial) == scope and each.next_update > now]
        return min(good, key=lambda record: record.number, default=complete)

    def _revoked(
        self, authority: str, shards: range, snapshot: int, expiring_after: datetime
    ) -> list[tuple[int, RevokedEntry]]:
        with self._lock:
            rows = [
                c
                for c in self._certificates.values()
                if c.intent.authority == authority
                and c.intent.shard in shards
                and _is_final(c)
                and self._revoked_at_count[c.id] <= snapshot
                and c.intent.not_after > expiring_after
            ]
        return [
            (self._revoked_at_count[row.id], _entry(row, row.revocation.at, row.revocation.reason))
            for row in sorted(rows, key=lambda c: (c.intent.shard, c.serial))
            if row.revocation is not None
        ]

    def _held(
        self, authority: str, shards: range, snapshot: int, expiring_after: datetime
    ) -> list[tuple[int, RevokedEntry]]:
        return [
            (held.position, _entry(row, held.hold.at, RevocationReason.CERTIFICATE_HOLD))
            for held, row in self._holds_of(authority, shards, expiring_after)
            if held.position <= snapshot and (held.ended is None or held.ended > snapshot)
        ]

    def _holds_of(self, authority: str, shards: range, expiring_after: datetime) -> list[tuple[_Held, Certificate]]:
        with self._lock:
            found = [(held, self._certificates[held.hold.certificate_id]) for held in self._holds]
        return [
            (held, row)
            for held, row in found
            if row.intent.authority == authority
            and row.intent.shard in shards
            and row.intent.not_after > expiring_after
        ]

    def begin_crl(self, intent: CrlIntent) -> None:
        """See the port."""
        with self._lock:
            self._crl_intents[intent.id] = intent

    def finish_crl(
        self, crl_id: UUID, record: CrlRecord, octets: Iterable[bytes], events: Sequence[EventDraft]
    ) -> bool:
        """See the port."""
        whole = b"".join(octets)
        with self._lock:
            last = self._crls.get(record.name)
            if last is not None and last.number > record.number:
                return False
            if self._crl_intents.pop(crl_id, None) is None:
                raise InvariantError("a CRL that was not begun")
            self._crls[record.name] = record
            self._published.append(record)
            self._crl_octets[record.name] = whole
            self.record(events)
            return True

    def crl_octets(self, record: CrlRecord) -> Iterator[bytes]:
        """See the port."""
        if self._crls.get(record.name) == record:
            yield self._crl_octets[record.name]

    def last_crl(self, name: str) -> CrlRecord | None:
        """See the port."""
        return self._crls.get(name)

    def revocation_count(self, authority: str) -> int:
        """See the port."""
        return self._revocations.get(authority, 0)
