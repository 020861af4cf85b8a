"""A PostgreSQL server of one run or test: a cluster in a new directory, removed at the end.

It syncs as it does by default, unless it is told otherwise.
"""

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
    """A cluster of databases of its own, on a port of its own; it can be stopped, killed and started again."""

    programs: Path
    """Where `initdb` and `pg_ctl` are."""
    directory: Path
    port: int
    settings: tuple[str, ...]
    """Of each start, as `name=value`."""

    def url(self, database: str, port: int | None = None) -> str:
        """Return the URL of one of its databases, through another port if one is named."""
        return f"postgresql://regalia@127.0.0.1:{port or self.port}/{database}"

    def create(self, database: str) -> str:
        """Create an empty database; its URL."""
        self._execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
        return self.url(database)

    def drop(self, database: str) -> None:
        """Remove a database, whoever is connected to it."""
        self._execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(database)))

    @property
    def pid(self) -> int:
        """Process id of the server that runs."""
        return int(self._pid_file.read_text("ascii").splitlines()[0])

    def durable(self) -> bool:
        """Whether it syncs each commit to the disk."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            settings = [connection.execute(sql.SQL("SHOW {}").format(sql.Identifier(name))).fetchone()
                        for name in ("fsync", "synchronous_commit", "full_page_writes")]  # fmt: skip
        return settings == [("on",)] * 3

    def start(self) -> None:
        """Start, and wait until it answers."""
        own = (f"port={self.port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={self.directory}")
        options = " ".join(f"-c {setting}" for setting in (*own, *self.settings))
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

    def initialise(self) -> None:
        """Make its files."""
        _run(
            *(self.programs / "initdb", "-D", self._data, "-U", "regalia", "--auth=trust", "-E", "UTF8"),
            *("--locale=C.UTF-8", "--no-sync"),
        )

    def runs(self) -> bool:
        """Whether its server runs."""
        return self._pid_file.exists()

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    @property
    def _pid_file(self) -> Path:
        return self._data / "postmaster.pid"

    def _execute(self, statement: sql.Composed) -> None:
        # No transaction may hold such a statement.
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)

    def _read_only(self, switch: str) -> None:
        with psycopg.connect(
            self.url("postgres"), autocommit=True, options="-c default_transaction_read_only=off"
        ) as connection:
            connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {switch}".encode())
            connection.execute(b"SELECT pg_reload_conf()")

    def _control(self, verb: str, *options: str | Path) -> None:
        _run(self.programs / "pg_ctl", "-D", self._data, "-w", *options, verb)


@contextmanager
def running_cluster(*settings: str, programs: Path | None = None) -> Iterator[Cluster]:
    """Make a cluster and run it until the block ends, with the defaults of its package and these `name=value`.

    `programs` is the folder of one version; the newest that is here where none is named. Raises `OSError` where
    PostgreSQL is not installed.
    """
    found = programs or _newest()
    directory = Path(tempfile.mkdtemp(prefix="regalia-postgres-"))
    cluster = Cluster(found, directory, free_port(), settings)
    try:
        if os.geteuid() == 0:
            shutil.chown(directory, "postgres", "postgres")
        cluster.initialise()
        cluster.start()
        try:
            yield cluster
        finally:
            # Something that failed may have left it stopped. What is in it is not needed any more.
            if cluster.runs():
                cluster.stop("immediate")
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _newest() -> Path:
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
