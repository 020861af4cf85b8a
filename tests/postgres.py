"""A real PostgreSQL 15 for tests: one server per test process, and a database for each test.

The server runs as its package's user where the tests run as root, which it refuses to do itself. It does not fsync:
nothing that uses these fixtures claims durability.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql
from tools.postgres import running_cluster

from regalia.store.migrations import upgrade
from regalia.store.tables import metadata

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from tools.postgres import Cluster

__all__ = [
    "WITHOUT_TRIGGERS",
    "postgres_empty_url",
    "postgres_server",
    "postgres_shared_url",
    "postgres_url",
    "running_postgres",
]

PROGRAMS = Path("/usr/lib/postgresql/15/bin")
WITHOUT_TRIGGERS = "SET session_replication_role = replica"
"""What only a superuser may: our triggers and foreign keys do not act on this connection."""


def running_postgres(*settings: str) -> AbstractContextManager[Cluster]:
    """Run a server in a new directory until the block ends; `settings` are `name=value`."""
    return running_cluster(*settings, programs=PROGRAMS)


_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Cluster]:
    """One server for this test process."""
    settings = ("fsync=off", "full_page_writes=off", "shared_buffers=32MB", "max_connections=60")
    with running_postgres(*settings) as server:
        yield server


@pytest.fixture
def postgres_empty_url(postgres_server: Cluster) -> Iterator[str]:
    """Return the URL of a new database without a schema, for a test that changes the schema."""
    name = f"regalia_{next(_numbers)}"
    yield postgres_server.create(name)
    postgres_server.drop(name)


@pytest.fixture(scope="session")
def postgres_shared_url(postgres_server: Cluster) -> str:
    """Return the URL of the database that tests use one after the other."""
    url = postgres_server.create("regalia")
    upgrade(url)
    return url


@pytest.fixture
def postgres_url(postgres_shared_url: str) -> str:
    """Return the URL of a database with our schema and no rows. Emptying it takes 3 ms, a new one 300."""
    with psycopg.connect(postgres_shared_url, autocommit=True) as connection:
        connection.execute(WITHOUT_TRIGGERS.encode())
        for table in metadata.tables.values():
            connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table.name)))
    return postgres_shared_url
