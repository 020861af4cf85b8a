"""A server for each file of tests, on SQLite, and for each test a device of its own and who relies on certificates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from interop.laptop import Laptop
from interop.openssl import RelyingParty
from interop.server import Server, running_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["laptop", "relying_party", "server"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server in a fresh home, as `regalia init` leaves it."""
    with running_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def laptop(server: Server, tmp_path: Path) -> Laptop:
    """A new device."""
    directory = tmp_path / "laptop"
    directory.mkdir()
    return Laptop(directory, server)


@pytest.fixture
def relying_party(server: Server, tmp_path: Path) -> RelyingParty:
    """OpenSSL with the server's root as its trust anchor."""
    directory = tmp_path / "relying-party"
    directory.mkdir()
    return RelyingParty(directory, server.device)
