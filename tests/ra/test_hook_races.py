"""Messages to a connector that come at once: together they end no more than one after the other would."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from ra.test_follow_run import Fleet
from ra.test_hooks import Scene, key_of
from regalia.ra.hooks import HookDesk, Receipt
from regalia.ra.sweeping import Sweeper

if TYPE_CHECKING:
    from datetime import datetime

    from memory_store import MemoryStore
    from regalia.ra.hooks import HookAnswer

TOGETHER = 8
MEETING_SECONDS = 0.2


class MeetingStore:
    """A store in which whoever asks what ended lately waits a moment, so that others can ask before it goes on."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._meeting = threading.Barrier(TOGETHER)
        self.met = False

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def ended_since(self, since: datetime) -> object:
        """Read it, and go on once all have, or after a moment."""
        read = self._store.ended_since(since)
        try:
            self._meeting.wait(MEETING_SECONDS)
            self.met = True
        except threading.BrokenBarrierError:
            # Each comes alone: nobody is waited for any more.
            pass
        return read


def test_messages_at_once_meet_the_brake() -> None:
    """REV-7: eight messages at once, of five wiped devices each, end no more than the brake lets through."""
    scene = Scene(Fleet(60))
    fleet = scene.fleet
    store = MeetingStore(fleet.store)
    scene.desk = HookDesk(
        store=store,  # type: ignore[arg-type]
        kinds=fleet.connectors.kinds,
        sweeper=Sweeper(fleet.store, fleet.clock, fleet.entropy),
        key_of=key_of,
        clock=fleet.clock,
    )
    messages = [
        scene.message(
            {"devices": [{"id": f"device-{first + each}", "pending": "wipe"} for each in range(5)]},
            source=f"192.0.2.{first}",
        )
        for first in range(1, 5 * TOGETHER, 5)
    ]
    with ThreadPoolExecutor(TOGETHER) as threads:
        answers: list[HookAnswer] = list(threads.map(scene.desk.receive, messages))
    assert all(isinstance(each, Receipt) for each in answers)
    assert not store.met
    assert fleet.revoked() == 20
