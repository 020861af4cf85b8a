"""Contract of the record of CRLs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, cast

import pytest

from regalia.errors import InvariantError
from regalia.model import CrlIntent, CrlRecord, Revocation, RevocationReason, RevokedEntry, SigningIntent
from regalia.ports import EventFilter
from regalia.store.crls import SqlCrls
from regalia.store.session import LostError
from regalia.wire import der
from regalia.wire.crl import encode_entry
from store.databases import query
from store.samples import NOW, an_event, an_id, an_intent, at_once, octets

if TYPE_CHECKING:
    from collections.abc import Callable

    from regalia.ports import ReservedCrl, Store
    from regalia.store import SqlStore
    from regalia.store.session import Database, Transaction

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def revoke(store: Store, number: int, serial: int, not_after: datetime = NOW + 24 * HOUR) -> None:
    """Issue and revoke a certificate."""
    store.begin(replace(an_intent(number), serial=serial, not_after=not_after), ())
    store.finish(an_intent(number).id, b"der", NOW, ())
    reason = RevocationReason.SUPERSEDED
    assert store.revoke(Revocation(an_intent(number).id, reason, "administrator", "os:root", NOW), ())


def serials(store: Store, snapshot: int, at: datetime = NOW) -> list[int]:
    """Return the serials of a snapshot."""
    return [serial for page in store.crl_entries("staff-ca", range(1), snapshot, at) for serial in map(serial_of, page)]


def serial_of(entry: bytes) -> int:
    """Read the serial of an entry."""
    return der.read_one(entry).children()[0].as_integer()


def an_intent_for(reserved: ReservedCrl) -> CrlIntent:
    """Return a CRL to be signed."""
    return CrlIntent(
        id=reserved.id,
        authority="staff-ca",
        key_id=an_id("key", 1),
        number=reserved.number,
        this_update=NOW,
        next_update=NOW + 24 * HOUR,
        entries=3,
        tbs_sha256=octets("tbs"),
        tbs_path="spool/1",
        created_at=NOW,
    )


def a_record_of(reserved: ReservedCrl) -> CrlRecord:
    """Return the same CRL, published."""
    return CrlRecord(
        authority="staff-ca",
        number=reserved.number,
        this_update=NOW,
        next_update=NOW + 24 * HOUR,
        entries=3,
        snapshot=reserved.snapshot,
        sha256=octets("crl"),
        published_at=NOW,
    )


def publish(store: Store, reserved: ReservedCrl) -> CrlRecord:
    """Take a reserved CRL through its life."""
    store.begin_crl(an_intent_for(reserved))
    record = a_record_of(reserved)
    assert store.finish_crl(reserved.id, record, (b"the ", b"crl"), (an_event(),))
    return record


def test_numbers_are_the_time_at_least(store: Store) -> None:
    """The first number is the time in nanoseconds since 1970 (R8)."""
    reserved = store.reserve_crl(an_id("crl", 1), "staff-ca", NOW)
    assert reserved.number == (NOW - EPOCH) // timedelta(microseconds=1) * 1000
    assert (reserved.id, reserved.snapshot) == (an_id("crl", 1), 0)


def test_numbers_rise_whatever_the_clock_does(store: Store) -> None:
    """Numbers rise strictly when the clock stands still or goes back, each authority by itself (REV-2)."""
    times = (NOW, NOW, NOW - HOUR, NOW + HOUR, NOW - 24 * HOUR)
    numbers = [store.reserve_crl(an_id("crl", n), "staff-ca", at).number for n, at in enumerate(times)]
    assert numbers == sorted(set(numbers))
    assert numbers[1] == numbers[0] + 1
    other = store.reserve_crl(an_id("crl", 9), "root", NOW - HOUR).number
    assert other < numbers[0]


def test_numbers_taken_at_once_differ(store: Store) -> None:
    """Of many CRLs reserved at once no two share a number (REV-2)."""

    def reserve(turn: int) -> int:
        return store.reserve_crl(an_id("crl", turn), "staff-ca", NOW).number

    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(reserve, range(24)))
    assert len(set(numbers)) == 24


def test_a_snapshot_is_what_was_revoked_before(store: Store) -> None:
    """The snapshot of a CRL holds the revocations from before its number was taken, by serial, and stays so (REV-2)."""
    for number, serial in enumerate((5, 300, 70_000, 1 << 130), start=1):
        revoke(store, number, serial)
    reserved = store.reserve_crl(an_id("crl", 1), "staff-ca", NOW)
    revoke(store, 8, 6)
    assert reserved.snapshot == 4
    assert store.revocation_count("staff-ca") == 5
    assert serials(store, reserved.snapshot) == [5, 300, 70_000, 1 << 130]
    assert serials(store, 5) == [5, 6, 300, 70_000, 1 << 130]
    assert serials(store, 0) == []
    entry = next(store.crl_entries("staff-ca", range(1), 4, NOW))[0]
    wanted = RevokedEntry((5).to_bytes(20, "big"), round(NOW.timestamp() * 1000), RevocationReason.SUPERSEDED)
    assert entry == encode_entry(wanted)


def test_expired_certificates_leave_the_crl(store: Store) -> None:
    """A serial is on the CRL while its certificate ends later than the time given (REV-5)."""
    revoke(store, 1, 5, NOW)
    revoke(store, 2, 6, NOW + HOUR)
    assert serials(store, 2, NOW) == [6]
    assert serials(store, 2, NOW - HOUR) == [5, 6]


def test_authorities_count_apart(store: Store) -> None:
    """The CRL of one authority holds nothing of another one's."""
    revoke(store, 1, 5)
    assert [entry for page in store.crl_entries("other-ca", range(1), 5, NOW) for entry in page] == []
    assert store.revocation_count("other-ca") == 0


def test_a_signer_sees_a_crl_between_begin_and_finish(store: Store) -> None:
    """A CRL can be signed once its file is recorded, until it is published (R8)."""
    reserved = store.reserve_crl(an_id("crl", 1), "staff-ca", NOW)
    assert store.signing_intent(reserved.id) is None
    store.begin_crl(an_intent_for(reserved))
    assert store.signing_intent(reserved.id) == SigningIntent(
        reserved.id, an_id("key", 1), None, "spool/1", octets("tbs")
    )
    store.finish_crl(reserved.id, a_record_of(reserved), (), ())
    assert store.signing_intent(reserved.id) is None


def test_the_last_crl(store: Store) -> None:
    """The last CRL is the published one with the highest number; one that was only begun does not count."""
    assert store.last_crl("staff-ca") is None
    first = store.reserve_crl(an_id("crl", 1), "staff-ca", NOW)
    record = publish(store, first)
    second = store.reserve_crl(an_id("crl", 2), "staff-ca", NOW)
    store.begin_crl(an_intent_for(second))
    assert store.last_crl("staff-ca") == record
    assert store.last_crl("root") is None
    assert len(store.events(EventFilter())) == 1
    store.finish_crl(second.id, a_record_of(second), (), ())
    assert store.last_crl("staff-ca") == a_record_of(second)


def test_a_publisher_that_was_overtaken_publishes_nothing(store: Store) -> None:
    """Of two that finish out of order the slower one is told so, and nothing of it is written (REV-2, I7)."""
    first = store.reserve_crl(an_id("crl", 1), "staff-ca", NOW)
    second = store.reserve_crl(an_id("crl", 2), "staff-ca", NOW)
    store.begin_crl(an_intent_for(first))
    newer = publish(store, second)
    assert not store.finish_crl(first.id, a_record_of(first), (b"older",), (an_event(2),))
    assert store.last_crl("staff-ca") == newer
    assert b"".join(store.crl_octets(newer)) == b"the crl"
    assert list(store.crl_octets(a_record_of(first))) == []
    assert len(store.events(EventFilter())) == 1


def test_publishers_at_once(store: Store) -> None:
    """Whoever publishes at once, the highest number that was told True is the last, with its octets (REV-2)."""
    reserved = [store.reserve_crl(an_id("crl", number), "staff-ca", NOW) for number in range(6)]
    for crl in reserved:
        store.begin_crl(an_intent_for(crl))

    def finish(turn: int) -> bool:
        crl = reserved[turn - 1]
        return store.finish_crl(crl.id, a_record_of(crl), (str(crl.number).encode(),), (an_event(turn),))

    won = [crl.number for crl, published in zip(reserved, at_once(6, finish), strict=True) if published]
    last = store.last_crl("staff-ca")
    assert last is not None
    assert last.number == max(won) == reserved[5].number
    assert b"".join(store.crl_octets(last)) == str(last.number).encode()
    assert len(store.events(EventFilter())) == len(won)


def test_what_was_not_begun_is_not_published(store: Store) -> None:
    """A CRL that nobody could have signed is refused as a bug, and so is one that is published already (R8)."""
    reserved = store.reserve_crl(an_id("crl", 1), "staff-ca", NOW)
    with pytest.raises(InvariantError):
        store.finish_crl(reserved.id, a_record_of(reserved), (b"crl",), ())
    record = publish(store, reserved)
    with pytest.raises(InvariantError):
        store.finish_crl(reserved.id, record, (b"other",), ())
    assert b"".join(store.crl_octets(record)) == b"the crl"


def test_a_long_crl_comes_back_in_pieces(store: Store) -> None:
    """However it was cut when it came, the published CRL is read back octet by octet, each authority's its own."""
    whole = octets("a long crl", 600_000)
    reserved = store.reserve_crl(an_id("crl", 1), "staff-ca", NOW)
    store.begin_crl(an_intent_for(reserved))
    record = a_record_of(reserved)
    pieces = (whole[at : at + 70_001] for at in range(0, len(whole), 70_001))
    assert store.finish_crl(reserved.id, record, pieces, ())
    read = list(store.crl_octets(record))
    assert b"".join(read) == whole
    assert list(store.crl_octets(replace(record, authority="root"))) == []


def test_a_reader_that_is_overtaken_ends_early(sql: SqlStore, url: str) -> None:
    """A reader whose CRL is replaced meanwhile gets no octet of the new one; only the newest has any."""
    first = sql.reserve_crl(an_id("crl", 1), "staff-ca", NOW)
    sql.begin_crl(an_intent_for(first))
    assert sql.finish_crl(first.id, a_record_of(first), (octets("first", 600_000),), ())
    ((longest, count),) = query(url, "SELECT max(length(octets)), count(*) FROM crl_chunk")
    assert (longest, count) == (256 * 1024, 3)
    reader = sql.crl_octets(a_record_of(first))
    begun = next(reader)
    publish(sql, sql.reserve_crl(an_id("crl", 2), "staff-ca", NOW))
    other = sql.reserve_crl(an_id("crl", 3), "root", NOW)
    sql.begin_crl(replace(an_intent_for(other), authority="root"))
    assert sql.finish_crl(other.id, replace(a_record_of(other), authority="root"), (b"root",), ())
    assert octets("first", 600_000).startswith(begun)
    assert list(reader) == []
    assert query(url, "SELECT count(*) FROM crl_chunk") == [(2,)]


class _Twice:
    """A database that asks for every unit of work twice, as PostgreSQL may; the first run is rolled back."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def write(self, unit: Callable[[Transaction], object]) -> object:
        """Run the unit, roll it back, run it again."""

        def for_nothing(transaction: Transaction) -> None:
            unit(transaction)
            raise LostError

        with suppress(LostError):
            self._database.write(for_nothing)
        return self._database.write(unit)


def test_publishing_may_run_again(sql: SqlStore) -> None:
    """Octets that come but once are written whole where the database asks for the transaction a second time."""
    reserved = sql.reserve_crl(an_id("crl", 1), "staff-ca", NOW)
    sql.begin_crl(an_intent_for(reserved))
    whole = octets("a long crl", 600_000)
    crls = SqlCrls(cast("Database", _Twice(sql._database)))  # noqa: SLF001 - a test of what lies behind the store
    assert crls.finish_crl(reserved.id, a_record_of(reserved), iter([whole]), (an_event(),))
    assert b"".join(sql.crl_octets(a_record_of(reserved))) == whole
    assert len(sql.events(EventFilter())) == 1
