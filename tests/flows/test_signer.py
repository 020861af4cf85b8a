"""CA keys are in the signer and nowhere else, and nothing is lost when it is killed: real processes, both databases."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cluster import cluster, environment, regalia
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from fleet import Fleet
from test_nodes import lost_nothing

from interop.openssl import fetch
from interop.programs import run, wait_for
from postgres import running_postgres
from regalia import reasons
from regalia.app import SystemEntropy, build
from regalia.ca.scopes import is_ca_scope
from regalia.config import load_config
from regalia.errors import AdminError
from regalia.keys.master import signer_ring
from regalia.keys.wrapping import Keypair, Wrapping
from regalia.model import KeyKind
from world import ADMIN

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from cluster import Node
    from tools.postgres import Cluster

    from regalia.app import App

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

PLENTY = {
    "limits__wrong_challenges_per_source": "100000",
    "limits__certificates_per_device": "10000",
    "server__connections_per_source": "1000",
    "issuance__lease_seconds": "2",
}
KILLS = 20
SECONDS = 60
"""Patience on a busy machine, not a bound: a caller gives its signer up after 15 s."""

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Cluster]:
    """A server that commits durably, as in production."""
    with running_postgres("max_connections=100") as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> str | None:
    """Return the URL of an empty PostgreSQL database, or None for SQLite in the home."""
    if request.param == "sqlite":
        return None
    server: Cluster = request.getfixturevalue("postgresql")
    return server.create(f"signer_{next(_numbers)}")


@contextmanager
def opened(home: Path, variables: Mapping[str, str] | None = None) -> Iterator[App]:
    """Open a home beside its server, as a command does."""
    app = build(load_config(variables or {}, home=home))
    try:
        yield app
    finally:
        app.close()


@contextmanager
def one_node(directory: Path, database: str | None, *, workers: int = 2) -> Iterator[Node]:
    """Make one node; nothing runs yet."""
    with cluster(directory, database, PLENTY, workers=workers) as nodes:
        yield nodes[0]


def test_killing_the_signer_loses_nothing(tmp_path: Path, database: str | None) -> None:
    """ISS-1, R8: killed twenty times under load, half of them with a call in its hands, every device is served."""
    with one_node(tmp_path, database) as node, opened(node.home) as app:
        node.start()
        fleet = Fleet([node.device], app, clients=4)
        fleet.start()
        try:
            fleet.wait_for(4)
            for turn in range(KILLS):
                victim = node.signer()
                if turn % 2:
                    # Stopped, it takes no answer back: whoever asks now has it die in the midst of its call.
                    os.kill(victim, signal.SIGSTOP)
                    time.sleep(0.05)
                os.kill(victim, signal.SIGKILL)
                wait_for("the next signer", lambda: node.signer() != victim or None, seconds=SECONDS)  # noqa: B023 - used at once
                fleet.wait_for(2)
        finally:
            fleet.stop()
        lost_nothing([node], fleet)
        assert len(node.log("signer-ended")) == KILLS
        assert node.stop() == 0


def test_a_signer_that_is_away_holds_up_issuing_alone(tmp_path: Path) -> None:
    """RES-7: while the signer does not answer, CRLs and OCSP do, and `/readyz` says that nothing can be issued."""
    with one_node(tmp_path, None, workers=1) as node, opened(node.home) as app:
        node.start()
        wait_for("ready", lambda: _ready(node) or None, seconds=SECONDS)
        issuing = app.store.authorities()[1].name
        os.kill(node.signer(), signal.SIGSTOP)
        try:
            wait_for("not ready", lambda: not _ready(node) or None, seconds=SECONDS)
            assert fetch(f"{node.device}/crl/{issuing}.crl")
        finally:
            os.kill(node.signer(), signal.SIGCONT)
        wait_for("ready again", lambda: _ready(node) or None, seconds=SECONDS)
        assert node.stop() == 0


def _ready(node: Node) -> bool:
    asked = subprocess.run(
        ("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", f"{node.device}/readyz"),
        capture_output=True,
        check=True,
    )
    return asked.stdout == b"200"


# --- where the octets of private keys are ---------------------------------------------------------------------------


def secrets_of(app: App) -> dict[str, list[bytes]]:
    """Return the private numbers of every CA key, as they may stand in memory: big-endian, and as words of OpenSSL."""
    ring = signer_ring(app.config.home, {**app.config.key_environment, **app.config.signer_environment})
    wrapping = Wrapping(ring, SystemEntropy())
    return {
        f"{row.scope} {row.kind}": _octets(wrapping.unwrap(row))
        for row in app.store.wrapped_keys()
        if is_ca_scope(row.scope)
    }


def _octets(key: Keypair) -> list[bytes]:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        numbers = [key.private_numbers().private_value]
    else:
        private = key.private_numbers()
        numbers = [private.p, private.q, private.d]
    found = []
    for number in numbers:
        # Without its first octets, which a leading zero would make another length.
        octets = number.to_bytes((number.bit_length() + 7) // 8, "big")
        found += [octets, octets[::-1]]
    found.append(
        key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return found


def memory_of(process: int) -> Iterator[bytes]:
    """Return the readable memory of a process, range by range. Raises `PermissionError`."""
    maps = Path(f"/proc/{process}/maps").read_text(encoding="utf-8").splitlines()
    with Path(f"/proc/{process}/mem").open("rb", buffering=0) as memory:
        for line in maps:
            where, rights, *_, name = [*line.split(maxsplit=5), ""][:6]
            if not rights.startswith("r") or line.endswith(("[vvar]", "[vsyscall]", "[vvar_vclock]")):
                continue
            del name
            begin, end = (int(part, 16) for part in where.split("-"))
            try:
                memory.seek(begin)
                yield memory.read(end - begin)
            except OSError:
                continue


def found_in(parts: Iterable[bytes], secrets: Mapping[str, Sequence[bytes]]) -> set[str]:
    """Say whose octets are there."""
    return {name for part in parts for name, forms in secrets.items() if any(form in part for form in forms)}


def files_below(*places: Path) -> Iterator[bytes]:
    """Return the content of every file."""
    for place in places:
        for path in [place] if place.is_file() else sorted(place.rglob("*")):
            if path.is_file():
                yield path.read_bytes()


def test_the_search_finds_a_key_that_is_there() -> None:
    """The control: a key in this very process is found by the search that must find none elsewhere."""
    keys: list[Keypair] = [ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)]
    secrets = {str(number): _octets(key)[:-1] for number, key in enumerate(keys)}
    for key in keys:
        assert key.key_size
    assert found_in(memory_of(os.getpid()), secrets) == {"0", "1"}


def test_ca_keys_are_in_the_signer_and_nowhere_else(tmp_path: Path) -> None:
    """SEC-1, SEC-2, R10: their octets are in no other process, and in no file of the home, log, database or backup."""
    with one_node(tmp_path, None) as node:
        with opened(node.home) as app:
            app.registry.create_group("rsa", actor=ADMIN, key_kind=KeyKind.RSA_2048)
        node.start()
        with opened(node.home) as app:
            fleet = Fleet([node.device], app, clients=2)
            fleet.start()
            fleet.wait_for(6)
            fleet.stop()
            app.crls.publish(app.store.authorities()[-1].name)
            secrets = secrets_of(app)
        assert len(secrets) == 3
        backup = tmp_path / "backup"
        _back_up(node, backup)
        shut = {node.pid, *node.workers_running()}
        assert len(shut) == 3
        for process in shut:
            assert found_in(memory_of(process), secrets) == set()
        assert found_in(files_below(node.home, node.home.with_suffix(".log"), backup), secrets) == set()
        holder = node.signer()
        try:
            held = found_in(memory_of(holder), secrets)
        except PermissionError:
            # Not root: then nobody of the same user may look into it, which is what was asked of it.
            assert os.geteuid() != 0
        else:
            assert any(name.startswith("ca:group:default") for name in held)
        limits = Path(f"/proc/{holder}/limits").read_text(encoding="ascii")
        assert next(line for line in limits.splitlines() if line.startswith("Max core")).split()[4:6] == ["0", "0"]
        assert Path(f"/proc/{holder}/status").read_text(encoding="ascii").count("NoNewPrivs:\t1") == 1
        assert node.stop() == 0


def _back_up(node: Node, directory: Path) -> None:
    directory.mkdir()
    source = sqlite3.connect(node.home / "regalia.db")
    copy = sqlite3.connect(directory / "copy.db")
    source.backup(copy)
    source.close()
    copy.close()


def test_a_stolen_database_opens_nothing(tmp_path: Path) -> None:
    """SEC-1: a copy of the database without the key files, in another home with keys of its own, has no key to use."""
    with one_node(tmp_path, None) as node:
        run(*regalia("key", "separate-signer", "--yes"), environment=environment(node.home))
        thief = tmp_path / "thief"
        shutil.copytree(node.home, thief, ignore=shutil.ignore_patterns("*.key"))
        (thief / "master.key").write_text("66" * 32 + "\n", encoding="ascii")
        (thief / "master.key").chmod(0o600)
        with pytest.raises(AdminError) as refused, opened(thief):
            pass
        assert refused.value.reason is reasons.MASTER_KEY_REFUSED
        # With the master key too, what a worker has: CA keys still do not open, the faces' do.
        shutil.copy(node.home / "master.key", thief / "master.key")
        with opened(thief) as app:
            for row in app.store.wrapped_keys():
                if is_ca_scope(row.scope):
                    with pytest.raises(AdminError):
                        app.keys.prove(row.id)
                else:
                    app.keys.prove(row.id)
