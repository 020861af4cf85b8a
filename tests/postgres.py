"""A real PostgreSQL 15 for tests: one server per test process, and a database for each test.

The server runs as its package's user where the tests run as root, which it refuses to do itself. It does not fsync:
nothing that uses these fixtures claims durability.
"""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql

from regalia.store.migrations import upgrade
from regalia.store.tables import metadata

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "WITHOUT_TRIGGERS",
    "PostgresServer",
    "postgres_empty_url",
    "postgres_server",
    "postgres_shared_url",
    "postgres_url",
    "start_server",
    "stop_server",
]

PROGRAMS = Path("/usr/lib/postgresql/15/bin")
WITHOUT_TRIGGERS = "SET session_replication_role = replica"
"""What only a superuser may: our triggers and foreign keys do not act on this connection."""


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A running server."""

    directory: Path
    port: int

    def url(self, database: str) -> str:
        """Return the URL of one of its databases."""
        return f"postgresql://regalia@127.0.0.1:{self.port}/{database}"

    def execute(self, statement: str) -> None:
        """Run a statement that no transaction may hold, such as CREATE DATABASE."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement.encode())

    def control(self, verb: str, *options: str) -> None:
        """Start or stop it by pg_ctl."""
        log = self.directory / "log"
        as_its_user("pg_ctl", "-D", str(self.directory / "data"), "-w", "-l", str(log), *options, verb)


def as_its_user(program: str, *arguments: str) -> None:
    """Run one of PostgreSQL's programs as the user that may."""
    command = [str(PROGRAMS / program), *arguments]
    user = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
    subprocess.run(
        command,
        check=True,
        stdout=subprocess.DEVNULL,
        cwd="/",
        user=user.pw_uid if user else None,
        group=user.pw_gid if user else None,
        extra_groups=[] if user else None,
    )


def start_server(*settings: str) -> PostgresServer:
    """Make a cluster in a new directory and start it on a free port; `settings` are `name=value`."""
    directory = Path(tempfile.mkdtemp(prefix="regalia-postgres-"))
    if os.geteuid() == 0:
        shutil.chown(directory, "postgres", "postgres")
    as_its_user(
        "initdb", "-D", str(directory / "data"), "-U", "regalia", "--auth=trust", "-E", "UTF8", "--locale=C.UTF-8",
        "--no-sync",
    )  # fmt: skip
    server = PostgresServer(directory, _free_port())
    options = [f"port={server.port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={directory}", *settings]
    server.control("start", "-o", " ".join(f"-c {option}" for option in options))
    return server


def stop_server(server: PostgresServer) -> None:
    """Stop it, unless a test that failed left it stopped, and remove its files."""
    if (server.directory / "data" / "postmaster.pid").exists():
        server.control("stop", "-m", "fast")
    shutil.rmtree(server.directory)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One server for this test process."""
    server = start_server("fsync=off", "full_page_writes=off", "shared_buffers=32MB", "max_connections=60")
    try:
        yield server
    finally:
        stop_server(server)


@pytest.fixture
def postgres_empty_url(postgres_server: PostgresServer) -> Iterator[str]:
    """Return the URL of a new database without a schema, for a test that changes the schema."""
    name = f"regalia_{next(_numbers)}"
    postgres_server.execute(f"CREATE DATABASE {name}")
    yield postgres_server.url(name)
    postgres_server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def postgres_shared_url(postgres_server: PostgresServer) -> str:
    """Return the URL of the database that tests use one after the other."""
    postgres_server.execute("CREATE DATABASE regalia")
    url = postgres_server.url("regalia")
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
