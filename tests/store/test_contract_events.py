"""Contract of the audit log."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from regalia.model import Action
from regalia.ports import EventFilter
from regalia.wire.event import canonical_record, read_record, record_hash
from store.samples import a_challenge, an_event, an_intent

if TYPE_CHECKING:
    from regalia.ports import Store


def objects(store: Store, wanted: EventFilter) -> list[str]:
    """Return the objects of the events that match."""
    return [event.draft.object for event in store.events(wanted)]


def chain_is_whole(store: Store) -> int:
    """Check each link of each stream and return how many records there are."""
    count = 0
    for name, last, head in store.streams():
        previous = bytes(32)
        sequence = 0
        for number, stored_previous, digest, text, agrees in store.stream(name):
            assert number == sequence + 1
            assert stored_previous == previous
            assert record_hash(text.encode()) == digest
            assert read_record(text.encode())[:3] == (name, number, previous)
            assert agrees
            sequence, previous = number, digest
        assert (sequence, previous) == (last, head)
        count += sequence
    return count


def test_an_event_is_recorded_in_its_place(store: Store) -> None:
    """An event comes back with its place in the chain, and its hash is that of its canonical record (AUD-2)."""
    store.record((an_event(1), an_event(2)))
    first, second = store.events(EventFilter())
    assert (first.draft, second.draft) == (an_event(1), an_event(2))
    assert (first.sequence, first.previous) == (1, bytes(32))
    assert (second.sequence, second.previous) == (2, first.hash)
    text = canonical_record(second.stream, 2, first.hash, an_event(2))
    assert second.hash == record_hash(text)
    assert store.streams() == ((second.stream, 2, second.hash),)
    assert [text for *_, text, _ in store.stream(second.stream)][1] == text.decode()


def test_an_empty_log(store: Store) -> None:
    """Without events there is no stream, and recording none makes none."""
    store.record(())
    assert store.streams() == ()
    assert store.events(EventFilter()) == ()
    assert list(store.stream("nobody")) == []


def test_the_newest_events_oldest_first(store: Store) -> None:
    """The newest events that match are shown, oldest of them first, filtered by each column."""
    store.record([an_event(number) for number in range(1, 5)])
    store.record((an_event(5, security=True, group=None, action=Action.ENROLMENT_REFUSED),))
    assert objects(store, EventFilter(limit=2)) == ["challenge:4", "challenge:5"]
    assert objects(store, EventFilter(action="enrolment.refused")) == ["challenge:5"]
    assert objects(store, EventFilter(object="challenge:2")) == ["challenge:2"]
    assert objects(store, EventFilter(group="staff", limit=3)) == ["challenge:2", "challenge:3", "challenge:4"]
    assert objects(store, EventFilter(security=True)) == ["challenge:5"]
    assert objects(store, EventFilter(security=False, limit=1)) == ["challenge:4"]
    assert objects(store, EventFilter(action="nothing")) == []


def test_a_peer_cannot_break_the_log(store: Store) -> None:
    """An event whose text no database can hold is recorded all the same, and the chain stays whole (AUD-1)."""
    store.record((an_event(1, object="challenge:\x00\ud800", transaction_id="\x00", serial="\ud800"), an_event(2)))
    assert chain_is_whole(store) == 2


def test_many_threads_make_one_chain(store: Store) -> None:
    """Events of many transactions at once form a chain without gap or fork, in every stream there is (AUD-2)."""

    def work(turn: int) -> None:
        store.record((an_event(turn), an_event(turn + 1000)))
        store.add_challenge(a_challenge(turn), (an_event(turn),))
        store.begin(an_intent(turn), (an_event(turn),))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(16)))
    assert chain_is_whole(store) == 16 * 4
