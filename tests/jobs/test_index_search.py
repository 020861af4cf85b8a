"""The job that takes up what searches are to find."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from regalia.jobs.index_search import IndexSearch

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass
class Index:
    """An index with so many rows to take up, some at a time."""

    waiting: int
    asked: list[datetime] = field(default_factory=list)

    def index_more(self, now: datetime) -> int:
        """Take up five hundred of them."""
        self.asked.append(now)
        taken = min(self.waiting, 500)
        self.waiting -= taken
        return taken


def test_it_takes_up_all_that_waits() -> None:
    """A run goes on until nothing is left."""
    index = Index(1_200)
    IndexSearch(index).run(NOW)
    assert (index.waiting, index.asked) == (0, [NOW] * 4)


def test_a_run_ends() -> None:
    """After an upgrade there is more than one run should do: the next one goes on."""
    index = Index(50_000)
    IndexSearch(index).run(NOW)
    assert index.waiting == 30_000
    IndexSearch(index).run(NOW)
    assert index.waiting == 10_000
