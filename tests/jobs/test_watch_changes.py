"""Hearing of what other processes changed."""

from __future__ import annotations

import pytest

from fakes import FakeClock, MemoryFeed
from regalia.jobs.watch_changes import WatchChanges
from regalia.model import Change

NOW = FakeClock().now()


class Memory:
    """Notes what it is told to forget."""

    def __init__(self) -> None:
        self.bypassed = False
        self.dropped: list[tuple[str, int]] = []
        self.forgotten = 0

    def drop(self, authority: str, serial: int) -> None:
        """Note it."""
        self.dropped.append((authority, serial))

    def forget(self) -> None:
        """Note it."""
        self.forgotten += 1

    def bypass(self, on: bool) -> None:  # noqa: FBT001 - as the port has it
        """Note it."""
        self.bypassed = on


class BrokenFeed:
    """A feed with a bug."""

    def wait(self, timeout: float) -> tuple[Change, ...] | None:
        """Fail."""
        raise ValueError(str(timeout))


@pytest.fixture
def memory() -> Memory:
    """An OCSP memory."""
    return Memory()


def test_a_revocation_drops_its_answers(memory: Memory) -> None:
    """R9: a certificate that another process revoked is forgotten here; others stay."""
    feed = MemoryFeed()
    watch = WatchChanges(feed, memory, lambda: None, lambda: None)
    feed.waiting = [Change("revocation", "default-ca-1/1f"), Change("crl", "default-ca-1")]
    watch.run(NOW)
    assert memory.dropped == [("default-ca-1", 0x1F)]


def test_a_catalogue_change_forgets_the_catalogue(memory: Memory) -> None:
    """R9: an endpoint that another process disabled closes here too."""
    feed, forgotten = MemoryFeed(), []
    watch = WatchChanges(feed, memory, lambda: forgotten.append(1), lambda: None)
    watch.run(NOW)
    assert forgotten == []
    feed.waiting = [Change("catalogue", "endpoint:default")]
    watch.run(NOW)
    assert forgotten == [1]


def test_a_changed_authority_forgets_every_answer(memory: Memory) -> None:
    """What was answered for an authority is forgotten when it or its responder changes, and for no lesser change."""
    feed = MemoryFeed()
    watch = WatchChanges(feed, memory, lambda: None, lambda: None)
    feed.waiting = [Change("catalogue", "endpoint:default")]
    watch.run(NOW)
    assert memory.forgotten == 0
    feed.waiting = [Change("catalogue", "authority:default-ca-1")]
    watch.run(NOW)
    assert memory.forgotten == 1


def test_a_changed_credential_lets_go_of_opened_keys(memory: Memory) -> None:
    """ENV-8: where a credential ended elsewhere, no process keeps its key; another change leaves them open."""
    feed, let_go = MemoryFeed(), []
    watch = WatchChanges(feed, memory, lambda: None, lambda: None, lambda: let_go.append(1))
    feed.waiting = [Change("catalogue", "authority:default-ca-1"), Change("catalogue", "endpoint:default")]
    watch.run(NOW)
    assert let_go == []
    feed.waiting = [Change("catalogue", "credential:01a20510-30a6-7d8a-8b5a-1758d96ec347")]
    watch.run(NOW)
    assert let_go == [1]


def test_a_published_crl_is_told_to_who_keeps_copies(memory: Memory) -> None:
    """A CRL that another node published has this one look after its copy."""
    feed, heard = MemoryFeed(), []
    watch = WatchChanges(feed, memory, lambda: None, lambda: heard.append(1))
    watch.run(NOW)
    assert heard == []
    feed.waiting = [Change("crl", "default-ca-1")]
    watch.run(NOW)
    assert heard == [1]


def test_nothing_is_remembered_while_the_feed_is_down(memory: Memory) -> None:
    """R8: OCSP answers uncached until the channel is back, and before it was ever heard."""
    feed, forgotten = MemoryFeed(), []
    watch = WatchChanges(feed, memory, lambda: forgotten.append(1), lambda: None)
    states = [memory.bypassed]
    for up in (True, False, False, True):
        feed.up = up
        watch.run(NOW)
        states.append(memory.bypassed)
    assert states == [True, False, True, True, False]
    assert forgotten == [1, 1]


def test_a_feed_with_a_bug_is_down(memory: Memory) -> None:
    """R8: what fails unexpectedly is not heard from either."""
    working = MemoryFeed()
    watch = WatchChanges(working, memory, lambda: None, lambda: None)
    watch.run(NOW)
    broken = WatchChanges(BrokenFeed(), memory, lambda: None, lambda: None)
    with pytest.raises(ValueError, match=r"1\.0"):
        broken.run(NOW)
    assert memory.bypassed
