"""A PostgreSQL server to be stopped, killed, restarted and made read-only; it syncs as it does by default."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from tools.bench.load import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Cluster", "running_cluster"]


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster of databases of its own, on a port of its own."""

    directory: Path
    port: int

    def url(self, database: str, port: int | None = None) -> str:
        """Return the URL of one of its databases, through another port if one is named."""
        return f"postgresql://regalia@127.0.0.1:{port or self.port}/{database}"

    def create(self, database: str) -> None:
        """Create an empty database."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))

    def start(self) -> None:
        """Start, and wait until it answers."""
        options = f"-c port={self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.directory}"
        self._control("start", "-l", self.directory / "log", "-o", options)

    def stop(self, mode: str = "fast") -> None:
        """Stop: `fast` ends its connections first, `immediate` is a crash."""
        self._control("stop", "-m", mode)

    def refuse_writes(self) -> None:
        """Refuse every write of every connection, those that are open included."""
        self._read_only("on")

    def allow_writes(self) -> None:
        """Allow them again."""
        self._read_only("off")

    def _read_only(self, switch: str) -> None:
        with psycopg.connect(
            self.url("postgres"), autocommit=True, options="-c default_transaction_read_only=off"
        ) as connection:
            connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {switch}".encode())
            connection.execute(b"SELECT pg_reload_conf()")

    def _control(self, verb: str, *options: str | Path) -> None:
        _run(_programs() / "pg_ctl", "-D", self.directory / "data", "-w", *options, verb)


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Make a cluster and run it until the block ends. Raises `OSError` where PostgreSQL is not installed."""
    directory = Path(tempfile.mkdtemp(prefix="regalia-faults-postgres-"))
    cluster = Cluster(directory, free_port())
    try:
        if os.geteuid() == 0:
            shutil.chown(directory, "postgres", "postgres")
        _run(
            *(_programs() / "initdb", "-D", directory / "data", "-U", "regalia", "--auth=trust", "-E", "UTF8"),
            *("--locale=C.UTF-8", "--no-sync"),
        )
        cluster.start()
        try:
            yield cluster
        finally:
            if (directory / "data" / "postmaster.pid").exists():
                cluster.stop("immediate")
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        raise FileNotFoundError("PostgreSQL is not installed; as root: apt-get install postgresql")
    return found[-1].parent


def _run(*command: str | Path) -> None:
    # The server refuses to run as root.
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
