"""One server for each file of tests, on SQLite; each test has its own device."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from interop.openssl import RelyingParty
from interop.server import Server, running_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server in a fresh home, as `regalia init` leaves it."""
    with running_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def relying_party(server: Server, tmp_path: Path) -> RelyingParty:
    """OpenSSL with the server's root as its trust anchor."""
    directory = tmp_path / "relying-party"
    directory.mkdir()
    return RelyingParty(directory, server.device)
