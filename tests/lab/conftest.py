"""The cloud of these tests, started once; each test has tenants of its own in it."""

from __future__ import annotations

import itertools
import ssl
from typing import TYPE_CHECKING

import httpx2
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
from lab_parts import Rehearsal
from regalia.lab.cloud import Cloud

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "postgres_empty_url",
    "postgres_server",
    "postgres_shared_url",
    "postgres_url",
    "sqlite_template",
    "sqlite_url",
    "url",
]

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def _cloud() -> Iterator[tuple[Cloud, httpx2.Client]]:
    with Cloud() as cloud, httpx2.Client(verify=ssl.create_default_context(cafile=str(cloud.ca_file))) as http:
        yield cloud, http


@pytest.fixture
def lab(_cloud: tuple[Cloud, httpx2.Client]) -> Rehearsal:
    """Return two tenants, and a client of the cloud."""
    return Rehearsal(*_cloud, next(_NUMBERS))
