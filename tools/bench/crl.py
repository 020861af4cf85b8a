"""CRLs: CPU time and memory of publishing one, by number of entries, each in a process of its own.

The revoked certificates are written straight into SQLite: issuing a million of them would take hours and is not what
is measured. Run as a program (home, authority): publishes once and prints what it took.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from regalia.app import build
from regalia.config import load_config
from regalia.store.sqlite import connect
from regalia.wire.certificate import read_certificate, signature_algorithm_for
from regalia.wire.crl import read_crl, verify_crl_signature
from regalia.wire.der import DerError
from tools.bench.homes import Home, make_home
from tools.bench.measure import VoidRunError, cpu_of, median, memory_of, reset_peak
from tools.bench.peer import openssl
from tools.bench.report import Bound, Budget, Figure, Report

if TYPE_CHECKING:
    import sqlite3

__all__ = ["FULL", "LEAST", "QUICK", "Sizes", "judge", "measure"]

_AUTHORITY: Final = "default-ca-1"
_CPU_BUDGETS: Final = {100_000: Budget(Bound.AT_MOST, 0.6)}
_MEMORY_BUDGETS: Final = {100_000: Budget(Bound.AT_MOST, 30.0)}
_METHOD: Final = """\
One home on SQLite for each number of entries; each pass publishes in a new process, which opened the home before.
CPU: all of the process, from the snapshot to the published and read-back file. Memory: peak over what it had before.
Each published file is read by our reader and verified with its issuer's key; the first of each size by openssl crl."""


_REVOKE: Final = """
INSERT INTO revocation (certificate_id, authority, serial, not_after, position, reason, cause, actor, at, note)
SELECT id, authority, serial, not_after, row_number() OVER (ORDER BY id),
       CASE abs(random()) % 4 WHEN 0 THEN 1 WHEN 1 THEN 4 WHEN 2 THEN 5 ELSE 0 END,
       'superseded', 'os:bench', created_at, ''
FROM certificate WHERE subject = 'CN=bench'
"""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured."""

    passes: int
    entries: tuple[int, ...]


FULL: Final = Sizes(passes=3, entries=(10_000, 100_000, 1_000_000))
QUICK: Final = Sizes(passes=3, entries=(10_000, 100_000))
LEAST: Final = Sizes(passes=1, entries=(100,))


def measure(sizes: Sizes) -> Report:
    """Measure each size. Raises `VoidRunError` where a CRL does not verify."""
    figures: list[Figure] = []
    verified = 0
    for entries in sizes.entries:
        with tempfile.TemporaryDirectory(prefix="regalia-bench-") as directory:
            home = make_home(Path(directory) / "home")
            revoke(home, entries)
            passes = []
            for number in range(sizes.passes):
                passes.append(_publish(home))
                verified += judge(home, entries, with_openssl=number == 0)
        figures += _figures(entries, passes)
    settings = {"passes": sizes.passes, "largest": max(sizes.entries)}
    return Report("crl", figures, verified, _METHOD, settings)


def _figures(entries: int, passes: list[dict[str, float]]) -> list[Figure]:
    cpu = tuple(each["cpu"] for each in passes)
    memory = tuple(each["memory"] for each in passes)
    return [
        Figure(f"CRL of {entries:,} entries, CPU", median(cpu), "s", _CPU_BUDGETS.get(entries), cpu),
        Figure(f"CRL of {entries:,} entries, over idle", median(memory), "MB", _MEMORY_BUDGETS.get(entries), memory),
    ]


def revoke(home: Home, entries: int) -> None:
    """Write so many issued and revoked certificates of group `default`, with random serials and usual reasons."""
    with closing(connect(home.path / "regalia.db")) as database:
        # SQLite's own concatenation makes text of octets.
        database.create_function("new_serial", 0, lambda: b"\x01" + os.urandom(19))
        database.execute("BEGIN IMMEDIATE")
        _copy_certificates(database, entries)
        database.execute(_REVOKE)
        database.execute(
            "INSERT INTO authority_counter (authority, revocations, crl_number) VALUES (?, ?, 0)"
            " ON CONFLICT (authority) DO UPDATE SET revocations = excluded.revocations",
            (_AUTHORITY, entries),
        )
        database.execute("COMMIT")


def _copy_certificates(database: sqlite3.Connection, entries: int) -> None:
    """Make certificates after the issuing authority's own row, which has every column that must be filled."""
    columns = [row["name"] for row in database.execute("PRAGMA table_info(certificate)")]
    own = {
        "id": "randomblob(16)",
        "kind": "'leaf'",
        "authority": "'default-ca-1'",
        "serial": "new_serial()",
        "subject": "'CN=bench'",
        "key_sha256": "randomblob(32)",
    }
    values = ", ".join(own.get(name, f'"{name}"') for name in columns)
    names = ", ".join(f'"{name}"' for name in columns)
    database.execute(
        f"""
        INSERT INTO certificate ({names})
        WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < ?)
        SELECT {values} FROM number, (
            SELECT * FROM certificate WHERE id = (SELECT certificate_id FROM authority WHERE name = ?)
        )
        """,  # noqa: S608 - the names of our own columns
        (entries, _AUTHORITY),
    )


def _publish(home: Home) -> dict[str, float]:
    command = [sys.executable, "-m", "tools.bench.crl", str(home.path)]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    if result.returncode != 0:
        raise VoidRunError(f"publishing failed:\n{result.stderr}")
    taken: dict[str, float] = json.loads(result.stdout)
    return taken


def judge(home: Home, entries: int, *, with_openssl: bool = False) -> int:
    """Read the published CRL and verify it with its issuer's key. Returns 1; raises `VoidRunError`."""
    app = build(load_config({}, home=home.path))
    try:
        authority, published = app.store.authority(_AUTHORITY), app.crl_files.published(_AUTHORITY)
    finally:
        app.close()
    if authority is None or published is None:
        raise VoidRunError("no CRL was published")
    issuer = read_certificate(authority.certificate_der)
    octets = Path(published.path).read_bytes()
    try:
        facts = read_crl([octets], signature_algorithm_for(authority.key_kind))
    except DerError as fault:
        raise VoidRunError(f"the CRL is not readable: {fault}") from fault
    if facts.entries != entries or not verify_crl_signature(facts, issuer.public_key):
        raise VoidRunError(f"the CRL has {facts.entries} of {entries} entries, or does not verify")
    if with_openssl:
        _judge_with_openssl(octets, authority.certificate_der, home.path.parent)
    return 1


def _judge_with_openssl(octets: bytes, issuer: bytes, directory: Path) -> None:
    anchor = directory / "issuer.pem"
    anchor.write_bytes(openssl("x509", "-inform", "DER", stdin=issuer))
    openssl("crl", "-inform", "DER", "-CAfile", anchor, "-noout", stdin=octets)


def _publish_here(home: Path) -> dict[str, float]:
    """Open a home, publish the root's CRL to have everything loaded, then measure the authority's."""
    app = build(load_config({}, home=home))
    try:
        app.crls.publish("root")
        reset_peak()
        idle = memory_of().now
        cpu = cpu_of(lambda: app.crls.publish(_AUTHORITY))
        return {"cpu": cpu, "memory": memory_of().peak - idle}
    finally:
        app.close()


if __name__ == "__main__":
    print(json.dumps(_publish_here(Path(sys.argv[1]))))
