"""What the server does at its start and end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fakes import FakeClock
from memory_store import MemoryStore
from regalia import reasons
from regalia.app.serving import record_server
from regalia.errors import UnavailableError
from regalia.model import Action
from regalia.web.serve import Bound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from regalia.model import EventDraft


class FullDisk(MemoryStore):
    """A store that takes nothing any more."""

    def record(self, events: Sequence[EventDraft]) -> None:
        """Refuse."""
        del events
        raise UnavailableError(reasons.STORE_UNAVAILABLE, "disk full")


def started(store: MemoryStore) -> None:
    """Record a start as `serve` does."""
    record_server(store, FakeClock(), Action.SERVER_STARTED, [Bound("device", "::1", 80, tls=False)])


def test_a_start_is_an_event() -> None:
    """AUD-1: the log says since when and where the server answers."""
    store = MemoryStore()
    started(store)
    assert store.log[-1].draft.action is Action.SERVER_STARTED
    assert store.log[-1].draft.details == {"listeners": ["device http://[::1]:80"]}


def test_a_start_that_cannot_be_recorded_is_a_start_all_the_same() -> None:
    """RES-7: on a full disk OCSP and CRLs are served; nothing can be issued, so nothing goes unrecorded."""
    started(FullDisk())
