"""Streams of several processes, and what a tampered log looks like."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from regalia import reasons
from regalia.errors import AdminError, InvariantError
from regalia.ports import EventFilter
from regalia.ra.audit import verify
from regalia.store import open_store
from store.databases import query, run, tamper
from store.samples import an_event, an_intent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fakes import FakeClock
    from regalia.store import SqlStore

LEASE = timedelta(seconds=60)


@pytest.fixture
def other(url: str, clock: FakeClock) -> Iterator[SqlStore]:
    """Open the same database as another process of the same node would."""
    store = open_store(url, node="node", clock=clock)
    yield store
    store.close()


def heads(store: SqlStore) -> dict[str, int]:
    """Return the length of each stream."""
    return {name: last for name, last, _ in store.streams()}


def test_each_process_has_its_stream(sql: SqlStore, other: SqlStore, url: str, clock: FakeClock) -> None:
    """Two processes of a node write to two slots, another node to its own (R9)."""
    far = open_store(url, node="far", clock=clock)
    for store in (sql, other, far, sql):
        store.record((an_event(),))
    far.close()
    assert heads(sql) == {"far/0": 1, "node/0": 2, "node/1": 1}
    assert verify(sql).findings == ()


def test_a_free_slot_is_taken_again(sql: SqlStore, other: SqlStore, clock: FakeClock) -> None:
    """A slot whose lease has ended goes to the next process, and its chain goes on; its first owner moves on (R9)."""
    sql.record((an_event(1),))
    clock.advance(LEASE - timedelta(milliseconds=1))
    other.record((an_event(2),))
    assert heads(sql) == {"node/0": 1, "node/1": 1}
    clock.advance(2 * LEASE)
    other.record((an_event(3),))
    sql.record((an_event(4),))
    assert heads(sql) == {"node/0": 2, "node/1": 2}
    assert verify(sql).findings == ()
    assert verify(sql).records == 4


def test_a_process_that_ends_gives_its_slot_back(sql: SqlStore, url: str, clock: FakeClock) -> None:
    """Commands in quick succession share one stream; who wrote nothing, or lost its slot, frees nobody's (R9)."""
    for number in (1, 2, 3):
        store = open_store(url, node="node", clock=clock)
        store.record((an_event(number),))
        store.close()
        store.close()
    assert heads(sql) == {"node/0": 3}
    robbed = open_store(url, node="node", clock=clock)
    robbed.record((an_event(4),))
    clock.advance(LEASE)
    sql.record((an_event(5),))
    robbed.close()
    idle = open_store(url, node="node", clock=clock)
    idle.events(EventFilter())
    idle.close()
    last = open_store(url, node="node", clock=clock)
    last.record((an_event(6),))
    last.close()
    assert heads(sql) == {"node/0": 5, "node/1": 1}
    assert verify(sql).findings == ()


def test_a_slot_that_cannot_be_given_back_fails_nobody(sql: SqlStore, url: str) -> None:
    """What was committed is done: a process whose database is gone at its end closes without an error."""
    sql.record((an_event(),))
    run(url, "ALTER TABLE event_stream RENAME TO gone")
    sql.close()
    run(url, "ALTER TABLE gone RENAME TO event_stream")


def test_a_lease_race_makes_no_fork(sql: SqlStore, other: SqlStore, clock: FakeClock) -> None:
    """Processes that fight for slots whose leases end at every moment still write chains without a gap (AUD-2)."""

    def work(turn: int) -> None:
        clock.advance(LEASE)
        (sql, other)[turn % 2].record((an_event(turn),))

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(48)))
    found = verify(sql)
    assert (found.findings, found.records) == ((), 48)


TAMPERED = {
    "a changed text": "UPDATE event SET record = replace(record, 'os:root', 'os:toor') WHERE sequence = 2",
    "a changed column": "UPDATE event SET object = 'challenge:7' WHERE sequence = 2",
    "a hidden outcome": "UPDATE event SET security = 1 WHERE sequence = 2",
    "a removed record": "DELETE FROM event WHERE sequence = 2",
    "a removed end": "DELETE FROM event WHERE sequence = 3",
    "a removed head": "DELETE FROM event_stream",
    "an emptied head": "UPDATE event_stream SET sequence = 0",
    "a stream of nobody": "UPDATE event SET stream = 'a' WHERE sequence = 3",
    "a record before the first": "UPDATE event SET sequence = -1 WHERE sequence = 2",
}


@pytest.mark.parametrize("name", TAMPERED)
def test_tampering_shows(sql: SqlStore, url: str, name: str) -> None:
    """Whatever is changed, removed or moved behind our back shows when the log is verified (AUD-2)."""
    sql.record([an_event(number) for number in (1, 2, 3)])
    assert verify(sql).findings == ()
    tamper(url, TAMPERED[name])
    assert verify(sql).findings != ()


def test_a_record_that_cannot_be_read(sql: SqlStore, url: str) -> None:
    """Listing events names the log as altered where a record is not what we write."""
    sql.record((an_event(),))
    tamper(url, "UPDATE event SET record = 'nothing'")
    with pytest.raises(AdminError) as caught:
        sql.events(EventFilter())
    assert caught.value.reason is reasons.CHAIN_BROKEN


def test_columns_repeat_the_record(sql: SqlStore, url: str) -> None:
    """What queries ask for stands in columns beside the text, cut to size as there (AUD-4, AUD-5)."""
    sql.record((an_event(object="challenge:" + "x" * 5000, serial="1f", transaction_id="t", security=True),))
    ((name, length, serial, transaction, security),) = query(
        url, "SELECT stream, length(object), serial, transaction_id, security FROM event"
    )
    assert (name, serial, transaction, security) == ("node/0", "1f", "t", 1)
    assert isinstance(length, int)
    assert length <= 1024
    assert verify(sql).findings == ()


def test_a_head_that_was_remembered_wrongly(sql: SqlStore) -> None:
    """After a transaction that failed the next record follows the last one that was committed (AUD-2)."""
    sql.record((an_event(1),))
    sql.begin(an_intent(1), (an_event(2),))
    with pytest.raises(InvariantError):
        sql.begin(replace(an_intent(2), serial=an_intent(1).serial), (an_event(3), an_event(4)))
    sql.record((an_event(5), an_event(6)))
    assert [event.draft.object for event in sql.events(EventFilter())] == [f"challenge:{n}" for n in (1, 2, 5, 6)]
    assert heads(sql) == {"node/0": 4}
    assert verify(sql).findings == ()


def test_records_among_failures(sql: SqlStore, other: SqlStore, clock: FakeClock) -> None:
    """Threads of two processes that write, fail and lose their slot make chains without a gap or a fork (AUD-2)."""
    sql.begin(an_intent(0), ())

    def work(turn: int) -> bool:
        if turn % 5 == 0:
            clock.advance(2 * LEASE)
        store = (sql, other)[turn % 2]
        if turn % 3:
            store.record((an_event(turn), an_event(turn)))
            return True
        try:
            store.begin(replace(an_intent(turn + 1), serial=an_intent(0).serial), (an_event(turn),))
        except InvariantError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        recorded = list(pool.map(work, range(60))).count(True)
    found = verify(sql)
    assert (found.findings, found.records, recorded) == ((), 80, 40)
