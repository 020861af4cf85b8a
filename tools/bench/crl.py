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

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp

from regalia.app import build
from regalia.config import load_config
from regalia.model import RevokedEntry
from regalia.store.sqlite import connect
from regalia.wire.certificate import read_certificate, signature_algorithm_for
from regalia.wire.crl import encode_entry, read_crl, verify_crl_signature
from regalia.wire.der import DerError
from regalia.wire.public_key import key_bits
from tools.bench.homes import Home, make_home
from tools.bench.measure import VoidRunError, cpu_of, median, memory_of, reset_peak
from tools.bench.peer import openssl
from tools.bench.report import Bound, Budget, Figure, Report

if TYPE_CHECKING:
    import sqlite3

    from regalia.app import App

__all__ = ["FULL", "LEAST", "QUICK", "Sizes", "judge", "judge_ocsp", "measure"]

_AUTHORITY: Final = "default-ca-1"
_CPU_BUDGETS: Final = {100_000: Budget(Bound.AT_MOST, 0.6)}
_MEMORY_BUDGETS: Final = {100_000: Budget(Bound.AT_MOST, 30.0)}
_SAMPLES: Final = 300
"""Certificates of each kind that OCSP is asked about."""
_METHOD: Final = """\
One home on SQLite for each number of entries; each pass publishes in a new process, which opened the home before.
CPU: all of the process, from the snapshot to the published and read-back file. Memory: peak over what it had before.
Each published file is read by our reader and verified with its issuer's key; the first of each size by openssl crl.
OCSP is then asked about random ones of the revoked, as many good ones and serials that were never issued."""


_REVOKE: Final = """
INSERT INTO revocation (certificate_id, authority, serial, not_after, position, reason, cause, actor, at, note, entry)
SELECT id, authority, serial, not_after, row_number() OVER (ORDER BY id), reason,
       'superseded', 'os:bench', created_at, '', entry(serial, created_at, reason)
FROM (
    SELECT *, CASE abs(random()) % 4 WHEN 0 THEN 1 WHEN 1 THEN 4 WHEN 2 THEN 5 ELSE 0 END AS reason
    FROM certificate WHERE subject = 'CN=bench'
)
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
            verified += judge_ocsp(home, min(entries, _SAMPLES))
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
        database.create_function("entry", 3, lambda *revoked: encode_entry(RevokedEntry(*revoked)))
        database.execute("BEGIN IMMEDIATE")
        _copy_certificates(database, entries)
        _copy_certificates(database, min(entries, _SAMPLES), "CN=good")
        database.execute(_REVOKE)
        database.execute(
            "INSERT INTO authority_counter (authority, revocations, crl_number) VALUES (?, ?, 0)"
            " ON CONFLICT (authority) DO UPDATE SET revocations = excluded.revocations",
            (_AUTHORITY, entries),
        )
        database.execute("COMMIT")


def _copy_certificates(database: sqlite3.Connection, entries: int, subject: str = "CN=bench") -> None:
    """Make certificates after the issuing authority's own row, which has every column that must be filled."""
    columns = [row["name"] for row in database.execute("PRAGMA table_info(certificate)")]
    own = {
        "id": "randomblob(16)",
        "kind": "'leaf'",
        "authority": "'default-ca-1'",
        "serial": "new_serial()",
        "subject": f"'{subject}'",
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


def judge_ocsp(home: Home, samples: int) -> int:
    """Ask OCSP about random revoked ones, good ones and unknown ones, each made for this request.

    Returns how many answers were right; raises `VoidRunError` at the first that is not.
    """
    with closing(connect(home.path / "regalia.db")) as database:
        revoked = database.execute("SELECT serial, at, reason FROM revocation ORDER BY random() LIMIT ?", (samples,))
        asked = [(row["serial"], row["at"], row["reason"]) for row in revoked.fetchall()]
        good = database.execute("SELECT serial FROM certificate WHERE subject = 'CN=good'").fetchall()
    app = build(load_config({}, home=home.path))
    try:
        authority = app.store.authority(_AUTHORITY)
        if authority is None:
            raise VoidRunError("the authority is gone")
        issuer = x509.load_der_x509_certificate(authority.certificate_der)
        for serial, at, reason in asked:
            told = _answer(app, issuer, serial)
            when = told.revocation_time_utc
            code = _REASONS.get(told.revocation_reason)
            if when is None or (int(when.timestamp()), code) != (at // 1000, reason):
                raise VoidRunError(f"OCSP says {when}, {code} of a certificate revoked at {at} for {reason}")
        for row in good:
            if _answer(app, issuer, row["serial"]).certificate_status is not ocsp.OCSPCertStatus.GOOD:
                raise VoidRunError("OCSP does not say good of a good certificate")
        for _ in range(samples):
            if _answer(app, issuer, os.urandom(19)).certificate_status is not ocsp.OCSPCertStatus.UNKNOWN:
                raise VoidRunError("OCSP does not say unknown of a serial that nobody has")
    finally:
        app.close()
    return len(asked) + len(good) + samples


_REASONS: Final = {
    None: 0,
    x509.ReasonFlags.key_compromise: 1,
    x509.ReasonFlags.superseded: 4,
    x509.ReasonFlags.cessation_of_operation: 5,
}


def _answer(app: App, issuer: x509.Certificate, serial: bytes) -> ocsp.OCSPResponse:
    name, key = hashes.Hash(hashes.SHA256()), hashes.Hash(hashes.SHA256())
    name.update(issuer.subject.public_bytes())
    key.update(key_bits(read_certificate(issuer.public_bytes(serialization.Encoding.DER)).public_key))
    builder = ocsp.OCSPRequestBuilder().add_certificate_by_hash(
        name.finalize(), key.finalize(), int.from_bytes(serial, "big"), hashes.SHA256()
    )
    return ocsp.load_der_ocsp_response(app.ocsp.answer(builder.build().public_bytes(serialization.Encoding.DER)).der)


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
