"""A PostgreSQL server of one run: a new cluster that syncs as it does by default, stopped and removed at the end."""

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
from tools.bench.measure import VoidRunError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Postgres", "running_postgres"]


@dataclass(frozen=True, slots=True)
class Postgres:
    """A running server."""

    port: int
    pid: int

    def new_database(self, name: str) -> str:
        """Create an empty database; its URL."""
        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self._url(name)

    def durable(self) -> bool:
        """Whether it syncs each commit to the disk."""
        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            settings = [connection.execute(sql.SQL("SHOW {}").format(sql.Identifier(name))).fetchone()
                        for name in ("fsync", "synchronous_commit", "full_page_writes")]  # fmt: skip
        return settings == [("on",)] * 3

    def _url(self, database: str) -> str:
        return f"postgresql://regalia@127.0.0.1:{self.port}/{database}"


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Run a server with the defaults of its package until the block ends. Raises `VoidRunError` where none is here."""
    programs = _programs()
    directory = Path(tempfile.mkdtemp(prefix="regalia-bench-postgres-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(directory, "postgres", "postgres")
        data, port = directory / "data", free_port()
        _run(
            programs / "initdb",
            "-D",
            data,
            "-U",
            "regalia",
            "--auth=trust",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
        )
        options = f"-c port={port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={directory}"
        control = (programs / "pg_ctl", "-D", data, "-w", "-l", directory / "log")
        _run(*control, "-o", options, "start")
        try:
            yield Postgres(port, int((data / "postmaster.pid").read_text("ascii").splitlines()[0]))
        finally:
            _run(*control, "-m", "fast", "stop")
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        raise VoidRunError("PostgreSQL is not installed; as root: apt-get install postgresql")
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
