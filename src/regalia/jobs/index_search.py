"""Takes up what searches are to find, soon after it was written (decision 0042)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from regalia.jobs.loop import Scope

if TYPE_CHECKING:
    from datetime import datetime

    from regalia.ports import SearchIndex

__all__ = ["IndexSearch"]

_MOST: Final = 20_000
"""Rows of one run: after an upgrade there are many to take up, and other jobs wait for this one's thread."""


class IndexSearch:
    """Looks every ten seconds; one process of a cluster does it."""

    name = "index-search"
    every = timedelta(seconds=10)
    scope = Scope.CLUSTER

    def __init__(self, index: SearchIndex) -> None:
        self._index = index

    def run(self, now: datetime) -> None:
        """Take up what there is, a little in each transaction."""
        taken = 0
        while taken < _MOST and (more := self._index.index_more(now)):
            taken += more
