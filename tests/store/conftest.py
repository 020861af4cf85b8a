"""The store under test: on SQLite, on PostgreSQL, and the fake that stands for both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from databases import (
    postgres_empty_url,
    postgres_server,
    postgres_shared_url,
    postgres_url,
    sqlite_template,
    sqlite_url,
    url,
)
from fakes import FakeClock, MemoryStore
from regalia.store import SqlStore, open_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from regalia.ports import Store

__all__ = [
    "postgres_empty_url",
    "postgres_server",
    "postgres_shared_url",
    "postgres_url",
    "sqlite_template",
    "sqlite_url",
    "url",
]


@pytest.fixture
def clock() -> FakeClock:
    """Return the clock of the store's leases."""
    return FakeClock()


@pytest.fixture
def sql(url: str, clock: FakeClock) -> Iterator[SqlStore]:
    """Open a store on each kind of database."""
    store = open_store(url, node="node", clock=clock)
    yield store
    store.close()


@pytest.fixture(params=["sqlite", "postgresql", "memory"])
def store(request: pytest.FixtureRequest, clock: FakeClock) -> Iterator[Store]:
    """Return a store that keeps the contract of the ports: on each kind of database, and the fake."""
    if request.param == "memory":
        yield MemoryStore()
        return
    url = request.getfixturevalue("postgres_url" if request.param == "postgresql" else "sqlite_url")
    opened = open_store(url, node="node", clock=clock)
    yield opened
    opened.close()
